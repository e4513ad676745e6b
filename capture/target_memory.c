/* target_memory.c - see target_memory.h. */
#include "capture/target_memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/uio.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "capture/staxd/slice.h"
#include "capture/proc.h"

enum {
    READERS_MAX = 4,
    PAGE_BYTES = 4096,
    PAGES_MAX = TARGET_MEMORY_BYTES_MAX / PAGE_BYTES + 1,
    STAT_BYTES = 512,
    PATH_BYTES = 64,
    STRIKES_MAX = 12,
    STRUCK_MAX = 1024, /* processes that are remembered for having hung */
};
/* So long an answer is waited for; longer, if the reader has had no CPU since. */
static const int64_t PATIENCE_NS = 15000000, BUSY_PATIENCE_NS = 20000000;
/* How long a process is left alone after it hung once, doubled each time unless it did not for a
 * multiple of the last time: one that reads pages under its lock is slow now and then. */
static const int64_t REFUSED_NS = 100000000;
enum { REFORMED = 8 };
/* A host that leaves readers without a CPU is not asked for more at once. */
static const int64_t BUSY_NS = 200000000;

enum state { IDLE, ASKED, READING, DONE, QUIT };

/* A thread, with all that it touches; free()s it when it was abandoned. */
struct reader {
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t is_asked, is_done;
    enum state state;
    bool is_abandoned; /* nobody knows of it any more */
    pid_t tid;         /* its own, 0: not known yet */
    int cpu;           /* that it was moved to, -1: none */
    pid_t pid;
    bool is_cmdline;
    uint64_t address;
    size_t n, n_read;
    int rc; /* 0 or -errno of the read; of proc_read_cmdline() */
    uint8_t bytes[TARGET_MEMORY_BYTES_MAX];
};

struct struck {
    pid_t pid;
    unsigned n_strikes;
    int64_t until_ts; /* ns, CLOCK_MONOTONIC */
};

struct target_memory {
    struct reader *readers[READERS_MAX]; /* NULL: none yet */
    struct map by_pid;                   /* -> index + 1 in struck */
    struct struck *struck;
    size_t n_struck, cap_struck;
    int64_t busy_until_ts;
    size_t n_unanswered_left; /* target_memory_allow() */
    struct target_memory_stats stats;
};

/* ---- the thread ---- */

static size_t read_pages(const struct reader *r, void *to, int *error)
{
    struct iovec local = {to, r->n}, remote[PAGES_MAX];
    size_t n_remote = 0;
    /* Page by page: what is not mapped cuts off a whole element. */
    for (uint64_t at = r->address, left = r->n; left && n_remote < PAGES_MAX; n_remote++) {
        size_t n_page = PAGE_BYTES - at % PAGE_BYTES;
        n_page = n_page < left ? n_page : (size_t)left;
        remote[n_remote] = (struct iovec){(void *)(uintptr_t)at, n_page};
        at += n_page;
        left -= n_page;
    }
    ssize_t n_read = process_vm_readv(r->pid, &local, 1, remote, n_remote, 0);
    *error = n_read < 0 ? -errno : 0;
    return n_read < 0 ? 0 : (size_t)n_read;
}

static void do_read(struct reader *r)
{
    if (!r->is_cmdline) {
        r->n_read = read_pages(r, r->bytes, &r->rc);
        return;
    }
    struct buf text = {0};
    r->rc = proc_read_cmdline(r->pid, r->n, &text);
    r->n_read = text.len < sizeof(r->bytes) ? text.len : sizeof(r->bytes);
    if (r->n_read) {
        memcpy(r->bytes, text.data, r->n_read);
    }
    buf_free(&text);
}

static void free_reader(struct reader *r)
{
    pthread_cond_destroy(&r->is_asked);
    pthread_cond_destroy(&r->is_done);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void *serve(void *ctx)
{
    struct reader *r = ctx;
    slice_shorten();
    pthread_mutex_lock(&r->lock);
    r->tid = gettid();
    while (r->state != QUIT && !r->is_abandoned) {
        if (r->state != ASKED) {
            pthread_cond_wait(&r->is_asked, &r->lock);
            continue;
        }
        r->state = READING;
        pthread_mutex_unlock(&r->lock);
        do_read(r);
        pthread_mutex_lock(&r->lock);
        r->state = DONE;
        pthread_cond_signal(&r->is_done);
    }
    bool is_abandoned = r->is_abandoned;
    pthread_mutex_unlock(&r->lock);
    if (is_abandoned) {
        free_reader(r);
    }
    return NULL;
}

/* ---- its owner ---- */

static struct reader *new_reader(void)
{
    struct reader *r = mem_new(1, sizeof(*r));
    pthread_condattr_t monotonic;
    sigset_t all, old;
    r->cpu = -1;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->is_asked, NULL);
    pthread_cond_init(&r->is_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Signals are the business of the threads that were there before. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&r->thread, NULL, serve, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        free_reader(r);
        return NULL;
    }
    pthread_setname_np(r->thread, "stax-memory");
    return r;
}

struct target_memory *target_memory_new(void)
{
    struct target_memory *m = mem_new(1, sizeof(*m));
    m->n_unanswered_left = SIZE_MAX;
    return m;
}

void target_memory_allow(struct target_memory *m, size_t n_unanswered)
{
    m->n_unanswered_left = n_unanswered;
}

void target_memory_free(struct target_memory *m)
{
    for (size_t i = 0; m && i < READERS_MAX; i++) {
        struct reader *r = m->readers[i];
        if (!r) {
            continue;
        }
        pthread_mutex_lock(&r->lock);
        bool hangs = r->state == READING;
        r->is_abandoned = hangs;
        r->state = hangs ? r->state : QUIT;
        pthread_t thread = r->thread;
        pthread_cond_signal(&r->is_asked);
        pthread_mutex_unlock(&r->lock);
        if (hangs) {
            pthread_detach(thread);
        } else {
            pthread_join(thread, NULL);
            free_reader(r);
        }
    }
    if (m) {
        map_free(&m->by_pid);
        free(m->struck);
        free(m);
    }
}

/* One that has nothing to do. NULL: all hang, or one does that reads from this process. */
static struct reader *find_reader(struct target_memory *m, pid_t pid)
{
    struct reader *found = NULL;
    bool is_hanging = false;
    m->stats.n_stuck = 0;
    for (size_t i = 0; i < READERS_MAX; i++) {
        struct reader *r = m->readers[i];
        if (!r) {
            if (!found) {
                found = m->readers[i] = new_reader();
            }
            break;
        }
        pthread_mutex_lock(&r->lock);
        bool hangs = r->state == READING;
        pthread_mutex_unlock(&r->lock);
        m->stats.n_stuck += hangs;
        is_hanging |= hangs && r->pid == pid;
        found = !found && !hangs ? r : found;
    }
    return is_hanging ? NULL : found;
}

static bool is_struck(const struct target_memory *m, pid_t pid, int64_t now)
{
    uint32_t index = map_get(&m->by_pid, (uint32_t)pid);
    return index && now < m->struck[index - 1].until_ts;
}

static void strike(struct target_memory *m, pid_t pid, int64_t now)
{
    m->stats.n_hung++;
    if (m->n_struck == STRUCK_MAX) { /* too many to remember them all */
        m->n_struck = 0;
        map_clear(&m->by_pid);
    }
    uint32_t *index = map_put(&m->by_pid, (uint32_t)pid);
    if (!*index) {
        mem_reserve(&m->struck, &m->cap_struck, m->n_struck + 1, sizeof(*m->struck));
        m->struck[m->n_struck++] = (struct struck){.pid = pid};
        *index = (uint32_t)m->n_struck;
    }
    struct struck *s = &m->struck[*index - 1];
    if (s->n_strikes && now - s->until_ts > REFORMED * (REFUSED_NS << (s->n_strikes - 1))) {
        s->n_strikes = 0;
    }
    s->until_ts = now + (REFUSED_NS << s->n_strikes);
    s->n_strikes += s->n_strikes < STRIKES_MAX;
}

/* Whether a reader waits for something and not for a CPU. Without the lock. */
static bool is_blocked(pid_t tid)
{
    struct proc_stat stat;
    return proc_read_stat(getpid(), tid, &stat) != 0 || stat.state != 'R';
}

/* With the lock of r: waits until it is done or the time is over. */
static void wait_until(struct reader *r, int64_t until_ns)
{
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    while (r->state != DONE && pthread_cond_timedwait(&r->is_done, &r->lock, &until) == 0) {
    }
}

/* With the lock of r: whether it answers. */
static bool is_answered(struct target_memory *m, struct reader *r, int64_t now)
{
    wait_until(r, now + PATIENCE_NS);
    if (r->state == DONE) {
        return true;
    }
    pid_t tid = r->tid;
    pthread_mutex_unlock(&r->lock);
    bool is_hanging = is_blocked(tid);
    pthread_mutex_lock(&r->lock);
    if (r->state == ASKED || !is_hanging) {
        wait_until(r, now + BUSY_PATIENCE_NS);
    }
    if (r->state == ASKED) { /* it had no CPU in all that time: that is no hang */
        r->state = IDLE;
        m->busy_until_ts = clock_monotonic_ns() + BUSY_NS;
    } else if (r->state != DONE) {
        strike(m, r->pid, clock_monotonic_ns());
    }
    return r->state == DONE;
}

/* With the lock of r: moves it to this CPU. Handing over to a thread that runs where we do is a
 * switch; waking one elsewhere costs twenty times that in a virtual machine. */
static void bring_here(struct reader *r)
{
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu == r->cpu || !r->tid) {
        return;
    }
    size_t size = CPU_ALLOC_SIZE((size_t)cpu + 1);
    cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
    if (set) {
        CPU_ZERO_S(size, set);
        CPU_SET_S((size_t)cpu, size, set);
        (void)sched_setaffinity(r->tid, size, set);
        CPU_FREE(set);
        r->cpu = cpu; /* also if that is refused: it is not tried each time */
    }
}

/* Has a reader do it; its lock is held when it did, NULL: it did not. */
static struct reader *ask(struct target_memory *m, pid_t pid, bool is_cmdline, uint64_t address,
                          size_t n)
{
    int64_t now = clock_monotonic_ns();
    if (now < m->busy_until_ts || !m->n_unanswered_left || is_struck(m, pid, now)) {
        return NULL;
    }
    struct reader *r = find_reader(m, pid);
    if (!r) {
        return NULL;
    }
    pthread_mutex_lock(&r->lock);
    r->pid = pid;
    r->is_cmdline = is_cmdline;
    r->address = address;
    r->n = n < sizeof(r->bytes) ? n : sizeof(r->bytes);
    r->state = ASKED;
    bring_here(r);
    pthread_cond_signal(&r->is_asked);
    if (!is_answered(m, r, now)) {
        m->n_unanswered_left--;
        pthread_mutex_unlock(&r->lock);
        return NULL;
    }
    r->state = IDLE;
    return r;
}

size_t target_memory_read(struct target_memory *m, pid_t pid, uint64_t address, void *to, size_t n,
                          bool *is_refused)
{
    struct reader *r = ask(m, pid, false, address, n);
    if (!r) {
        *is_refused = true;
        return 0;
    }
    size_t n_read = r->n_read;
    *is_refused = r->rc != 0 && r->rc != -EFAULT;
    memcpy(to, r->bytes, n_read);
    pthread_mutex_unlock(&r->lock);
    return n_read;
}

int target_memory_cmdline(struct target_memory *m, pid_t pid, size_t limit, struct buf *cmdline)
{
    struct reader *r = ask(m, pid, true, 0, limit);
    if (!r) {
        return STAX_ENOTFOUND;
    }
    int rc = r->rc;
    buf_add(cmdline, r->bytes, r->n_read);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void target_memory_get_stats(const struct target_memory *m, struct target_memory_stats *stats)
{
    *stats = m->stats;
}
