/* cfi_cache.c - see cfi_cache.h. */
#include "capture/cfi_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "capture/mapped_file.h"

enum {
    MAPS_BYTES_MAX = 1 << 24,
    BINARIES_MIN = 1024, /* that are remembered; more only while they are mapped */
    UNUSED_MAX = 512,    /* tables that nobody maps, kept for who may */
    STUCK_S = 5,         /* for what is under way at the end */
    STUCK_MS = 100,      /* ... if it has hung before */
    WORKERS_MAX = 4,
};
/* Opening a file takes no time; one that takes so long hangs (a dead network mount). Reading one
 * may take longer on a busy host, but others need not wait for it. */
static const int64_t HANGS_NS = 1000000000;
/* From when a table was asked for until stacks go without it. */
static const int64_t PATIENCE_NS = 3000000000;
/* A binary mapped again so soon after it was looked at is the same file. */
static const int64_t SEEN_NS = 100000000;
/* A table without room is not made again before, unless others were freed: it takes long. */
static const int64_t DROPPED_NS = 10000000000;

/* What tells a file from another that was given its inode. */
struct generation {
    int64_t size, mtime_ns, ctime_ns;
};

struct cfi_binary {
    uint64_t identity[2]; /* device and inode */
    size_t n_refs, n_jobs;
    size_t n_slow; /* jobs that nobody waits for any more */
    struct cfi_table *table;
    size_t n_bytes;
    struct generation generation;
    int64_t seen_ts;    /* CLOCK_MONOTONIC ns, when its file was asked for last; 0: never */
    int64_t dropped_ts; /* ns, when its table found no room; 0: it did not */
    uint64_t n_freed;   /* of the cache, then */
};

/* What the thread is to do, and later what it did. */
struct job {
    struct job *next;
    struct cfi_binary *binary;
    int32_t pid;
    uint64_t start, end, inode;
    char *path;
    int64_t asked_ts;
    bool is_slow;   /* of the owner: nobody waits for it any more */
    bool has_table; /* of this generation: only look whether it is still that */
    struct generation generation;
    bool is_same, is_unread;
    struct cfi_table *table;
    int64_t took_ns;
};

/* One thread; more are started while others hang. */
struct worker {
    struct cfi_cache *cache;
    pthread_t thread;
    struct job *job; /* under way, NULL: none */
    int64_t began_ts;
    bool is_opening; /* the file of job */
};

struct cfi_cache {
    const struct unwind_arch *arch;
    size_t max_bytes;
    struct strmap by_identity;    /* device and inode -> index + 1 */
    struct cfi_binary **binaries; /* by index */
    size_t n_binaries, cap_binaries;
    size_t sweep_at; /* so many are looked through for those that may be forgotten */
    struct cfi_binary vdso;
    struct cfi_cache_stats stats;
    uint64_t n_freed; /* tables, ever */
    int fd;           /* eventfd: there is something in done */
    size_t n_workers;

    pthread_mutex_t lock; /* of what follows */
    struct worker workers[WORKERS_MAX];
    pthread_cond_t has_work;
    struct job *urgent, **last_urgent; /* those that have a table to be checked: quickly done */
    struct job *todo, **last_todo;
    struct job *done;
    bool is_stopping;
    size_t n_holders; /* its owner and its threads: the last one frees it */
};

static void free_job(struct job *j)
{
    cfi_table_free(j->table);
    free(j->path);
    free(j);
}

static void free_jobs(struct job *list)
{
    while (list) {
        struct job *next = list->next;
        free_job(list);
        list = next;
    }
}

static void free_owned(struct cfi_cache *c)
{
    for (size_t i = 0; i < c->n_binaries; i++) {
        cfi_table_free(c->binaries[i]->table);
        free(c->binaries[i]);
    }
    free(c->binaries);
    cfi_table_free(c->vdso.table);
    strmap_free(&c->by_identity);
    free_jobs(c->urgent);
    free_jobs(c->todo);
    free_jobs(c->done);
    fd_close(&c->fd);
    pthread_cond_destroy(&c->has_work);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void release(struct cfi_cache *c)
{
    pthread_mutex_lock(&c->lock);
    bool is_last = --c->n_holders == 0;
    pthread_mutex_unlock(&c->lock);
    if (is_last) {
        free_owned(c);
    }
}

/* ---- the threads ---- */

static struct generation generation_of(const struct stat *st)
{
    return (struct generation){
        .size = st->st_size,
        .mtime_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec,
        .ctime_ns = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec,
    };
}

static bool is_same_generation(const struct generation *a, const struct generation *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static void do_job(struct worker *w, struct job *j)
{
    struct cfi_cache *c = w->cache;
    struct stat st;
    struct err ignored;
    struct mapped_file file = {
        .pid = j->pid, .start = j->start, .end = j->end, .inode = j->inode, .path = j->path};
    int fd = mapped_file_open(&file, &st);
    pthread_mutex_lock(&c->lock);
    w->is_opening = false;
    pthread_mutex_unlock(&c->lock);
    if (fd < 0) {
        /* What cannot be looked at any more is taken for what it was. */
        j->is_same = j->has_table;
        j->is_unread = !j->has_table;
    } else {
        struct generation now = generation_of(&st);
        j->is_same = j->has_table && is_same_generation(&now, &j->generation);
        j->generation = now;
        if (!j->is_same) {
            j->table = cfi_table_open(c->arch, fd, &ignored);
            j->is_unread = !j->table;
        }
    }
    fd_close(&fd);
    j->took_ns = clock_monotonic_ns() - w->began_ts;
}

static struct job *take_job(struct cfi_cache *c)
{
    struct job *j = c->urgent ? c->urgent : c->todo;
    if (!j) {
        return NULL;
    }
    struct job **first = c->urgent ? &c->urgent : &c->todo;
    struct job ***last = c->urgent ? &c->last_urgent : &c->last_todo;
    *first = j->next;
    if (!*first) {
        *last = first;
    }
    return j;
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct cfi_cache *c = w->cache;
    pthread_mutex_lock(&c->lock);
    while (!c->is_stopping) {
        struct job *j = take_job(c);
        if (!j) {
            pthread_cond_wait(&c->has_work, &c->lock);
            continue;
        }
        w->job = j;
        w->began_ts = clock_monotonic_ns();
        w->is_opening = true;
        pthread_mutex_unlock(&c->lock);
        do_job(w, j);
        pthread_mutex_lock(&c->lock);
        w->job = NULL;
        j->next = c->done;
        c->done = j;
        uint64_t one = 1;
        /* Fails only when the counter is full, and then it is readable all the same. */
        ssize_t n = write(c->fd, &one, sizeof(one));
        (void)n;
    }
    pthread_mutex_unlock(&c->lock);
    release(c);
    return NULL;
}

/* ---- its owner ---- */

static size_t table_bytes(const struct cfi_table *t)
{
    struct cfi_table_stats stats = {0};
    if (t) {
        cfi_table_get_stats(t, &stats);
    }
    return stats.n_bytes;
}

static void set_table(struct cfi_cache *c, struct cfi_binary *b, struct cfi_table *table)
{
    c->stats.n_bytes -= b->n_bytes;
    c->stats.n_binaries -= b->table != NULL;
    c->n_freed += b->table != NULL;
    cfi_table_free(b->table);
    b->table = table;
    b->n_bytes = table_bytes(table);
    c->stats.n_bytes += b->n_bytes;
    c->stats.n_binaries += b->table != NULL;
}

/* Makes room for n bytes: forgets tables that nobody maps, those not mapped for longest first. */
static bool make_room(struct cfi_cache *c, size_t n)
{
    while (c->stats.n_bytes + n > c->max_bytes) {
        struct cfi_binary *oldest = NULL;
        for (size_t i = 0; i < c->n_binaries; i++) {
            struct cfi_binary *b = c->binaries[i];
            if (b->table && !b->n_refs && !b->n_jobs && (!oldest || b->seen_ts < oldest->seen_ts)) {
                oldest = b;
            }
        }
        if (!oldest) {
            return false;
        }
        set_table(c, oldest, NULL);
        oldest->seen_ts = 0;
    }
    return true;
}

/* The vDSO's size is nowhere but in the maps file. */
static void open_vdso(struct cfi_cache *c)
{
    unsigned long image = getauxval(AT_SYSINFO_EHDR);
    struct buf maps = {0};
    struct err ignored;
    char start[32];
    fd_read_file("/proc/self/maps", MAPS_BYTES_MAX, &maps);
    snprintf(start, sizeof(start), "\n%lx-", image);
    const char *line = image ? strstr(buf_str(&maps), start) : NULL;
    unsigned long end = line ? strtoul(line + strlen(start), NULL, 16) : 0;
    if (end > image) {
        set_table(c, &c->vdso,
                  cfi_table_from_image(c->arch, (const void *)image, end - image, &ignored));
    }
    buf_free(&maps);
}

static int start_thread(struct cfi_cache *c, struct err *e)
{
    sigset_t all, old;
    /* Signals are the business of the threads that were there before. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    struct worker *w = &c->workers[c->n_workers];
    w->cache = c;
    c->n_holders++;
    int rc = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        c->n_holders--;
        return err_set_errno(e, rc, "cannot start the thread for unwind tables");
    }
    pthread_setname_np(w->thread, "stax-tables");
    c->n_workers++;
    return 0;
}

int cfi_cache_new(struct cfi_cache **cache, const struct unwind_arch *arch, size_t max_bytes,
                  struct err *e)
{
    struct cfi_cache *c = mem_new(1, sizeof(*c));
    c->arch = arch;
    c->max_bytes = max_bytes;
    c->n_holders = 1;
    c->sweep_at = BINARIES_MIN;
    c->last_urgent = &c->urgent;
    c->last_todo = &c->todo;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->has_work, NULL);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = c->fd < 0 ? err_set_errno(e, errno, "cannot make an eventfd") : start_thread(c, e);
    if (rc != 0) {
        free_owned(c);
        return rc;
    }
    open_vdso(c);
    *cache = c;
    return 0;
}

/* Waits for what it does to end; if that hangs, it frees the cache when it comes back. */
static void join(struct cfi_cache *c, struct worker *w, int64_t now)
{
    pthread_mutex_lock(&c->lock);
    bool hangs = w->job && now - w->began_ts >= HANGS_NS;
    pthread_mutex_unlock(&c->lock);
    int64_t until_ns = now + (hangs ? STUCK_MS * 1000000LL : STUCK_S * 1000000000LL);
    /* Not pthread_clockjoin_np(), which the thread sanitizer of clang 14 does not know. */
    while (pthread_tryjoin_np(w->thread, NULL) != 0) {
        if (clock_monotonic_ns() >= until_ns) {
            pthread_detach(w->thread);
            return;
        }
        poll(NULL, 0, 1);
    }
}

void cfi_cache_free(struct cfi_cache *c)
{
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_broadcast(&c->has_work);
    pthread_mutex_unlock(&c->lock);
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < c->n_workers; i++) {
        join(c, &c->workers[i], now);
    }
    release(c);
}

static bool is_used(const struct cfi_binary *b)
{
    return b->n_refs || b->n_jobs;
}

/* Those in use, then tables that are not, those asked for last before others; then the rest. */
static int compare_worth(const void *left, const void *right)
{
    const struct cfi_binary *a = *(struct cfi_binary *const *)left;
    const struct cfi_binary *b = *(struct cfi_binary *const *)right;
    int worth_a = is_used(a) ? 2 : a->table != NULL;
    int worth_b = is_used(b) ? 2 : b->table != NULL;
    if (worth_a != worth_b) {
        return worth_a > worth_b ? -1 : 1;
    }
    return (a->seen_ts < b->seen_ts) - (a->seen_ts > b->seen_ts);
}

static void index_binary(struct cfi_cache *c, size_t i)
{
    const struct cfi_binary *b = c->binaries[i];
    *strmap_put(&c->by_identity, b->identity, sizeof(b->identity)) = (uint32_t)i + 1;
}

/* A target that maps ever new files: what nobody maps any more is forgotten. */
static void sweep(struct cfi_cache *c)
{
    size_t n_kept = 0, n_unused = 0;
    qsort(c->binaries, c->n_binaries, sizeof(*c->binaries), compare_worth);
    strmap_free(&c->by_identity);
    for (size_t i = 0; i < c->n_binaries; i++) {
        struct cfi_binary *b = c->binaries[i];
        if (is_used(b) || (b->table && n_unused++ < UNUSED_MAX)) {
            c->binaries[n_kept] = b;
            index_binary(c, n_kept++);
        } else {
            set_table(c, b, NULL);
            free(b);
        }
    }
    c->n_binaries = n_kept;
    c->sweep_at = BINARIES_MIN + 2 * n_kept;
}

static struct cfi_binary *find_binary(struct cfi_cache *c, uint64_t device, uint64_t inode)
{
    const uint64_t identity[] = {device, inode};
    uint32_t index = strmap_get(&c->by_identity, identity, sizeof(identity));
    if (index) {
        return c->binaries[index - 1];
    }
    if (c->n_binaries >= c->sweep_at) {
        sweep(c);
    }
    mem_reserve(&c->binaries, &c->cap_binaries, c->n_binaries + 1, sizeof(*c->binaries));
    struct cfi_binary *b = mem_new(1, sizeof(*b));
    memcpy(b->identity, identity, sizeof(identity));
    c->binaries[c->n_binaries] = b;
    index_binary(c, c->n_binaries++);
    return b;
}

/* Maps files name what was deleted since. */
static char *path_of(const struct cfi_file *file)
{
    static const char deleted[] = " (deleted)";
    size_t len = strnlen(file->path, file->path_len), n = sizeof(deleted) - 1;
    if (len > n && memcmp(file->path + len - n, deleted, n) == 0) {
        len -= n;
    }
    return mem_strndup(file->path, len);
}

static void ask(struct cfi_cache *c, struct cfi_binary *b, const struct cfi_file *file)
{
    struct job *j = mem_new(1, sizeof(*j));
    j->binary = b;
    j->pid = file->pid;
    j->start = file->start;
    j->end = file->end;
    j->inode = file->inode;
    j->path = path_of(file);
    j->has_table = b->table != NULL;
    j->generation = b->generation;
    j->asked_ts = clock_monotonic_ns();
    b->n_jobs++;
    c->stats.n_pending++;
    pthread_mutex_lock(&c->lock);
    struct job ***last = j->has_table ? &c->last_urgent : &c->last_todo;
    **last = j;
    *last = &j->next;
    pthread_cond_signal(&c->has_work);
    pthread_mutex_unlock(&c->lock);
}

/* Whether its table found no room, and would find none now for all that is known. */
static bool is_dropped(const struct cfi_cache *c, const struct cfi_binary *b, int64_t ts)
{
    return b->dropped_ts && ts - b->dropped_ts < DROPPED_NS && c->n_freed == b->n_freed;
}

struct cfi_binary *cfi_cache_get(struct cfi_cache *c, const struct cfi_file *file)
{
    if (file->inode == 0 || file->path_len == 0 || file->path[0] != '/') {
        return NULL;
    }
    struct cfi_binary *b = find_binary(c, file->device, file->inode);
    if (!b->n_jobs && !is_dropped(c, b, file->ts) &&
        (!b->seen_ts || file->ts - b->seen_ts >= SEEN_NS)) {
        /* The file is looked at from now on, not as of when it was mapped. */
        b->seen_ts = clock_monotonic_ns();
        ask(c, b, file);
    }
    return cfi_binary_ref(b);
}

struct cfi_binary *cfi_cache_vdso(struct cfi_cache *c)
{
    return cfi_binary_ref(&c->vdso);
}

struct cfi_binary *cfi_binary_ref(struct cfi_binary *b)
{
    b->n_refs++;
    return b;
}

void cfi_binary_unref(struct cfi_binary *b)
{
    if (b) {
        b->n_refs--;
    }
}

bool cfi_binary_is_pending(const struct cfi_binary *b)
{
    return b->n_jobs > b->n_slow;
}

const struct cfi_table *cfi_binary_table(const struct cfi_binary *b)
{
    return b->table;
}

static void collect(struct cfi_cache *c, struct job *j)
{
    struct cfi_binary *b = j->binary;
    b->n_jobs--;
    b->n_slow -= j->is_slow;
    c->stats.n_pending--;
    c->stats.n_unread += j->is_unread;
    if (j->is_same) {
        return;
    }
    c->stats.n_made += j->table != NULL;
    c->stats.max_make_ns = j->took_ns > c->stats.max_make_ns ? j->took_ns : c->stats.max_make_ns;
    b->generation = j->generation;
    set_table(c, b, NULL);
    b->dropped_ts = 0;
    if (j->table && !make_room(c, table_bytes(j->table))) {
        c->stats.n_dropped++;
        b->dropped_ts = clock_monotonic_ns();
        b->n_freed = c->n_freed;
        return;
    }
    set_table(c, b, j->table);
    j->table = NULL;
}

static void give_up(struct job *j)
{
    j->binary->n_slow += !j->is_slow;
    j->is_slow = true;
}

/* Queues are in the order in which their jobs were asked for. */
static void give_up_old(struct job *queue, int64_t asked_before)
{
    for (struct job *j = queue; j && j->asked_ts < asked_before; j = j->next) {
        give_up(j);
    }
}

/* With the lock: sees to it that a file that hangs holds up neither stacks nor other files. */
static void look_for_hangs(struct cfi_cache *c)
{
    int64_t now = clock_monotonic_ns();
    size_t n_held = 0, n_hanging = 0;
    for (size_t i = 0; i < c->n_workers; i++) {
        const struct worker *w = &c->workers[i];
        if (!w->job || now - w->began_ts < HANGS_NS) {
            continue;
        }
        n_held++;
        n_hanging += w->is_opening;
        if (w->is_opening || now - w->job->asked_ts >= PATIENCE_NS) {
            give_up(w->job);
        }
    }
    /* With all threads gone that way nothing can be expected for the rest. */
    bool is_stuck = n_hanging == WORKERS_MAX;
    give_up_old(c->urgent, is_stuck ? INT64_MAX : now - PATIENCE_NS);
    give_up_old(c->todo, is_stuck ? INT64_MAX : now - PATIENCE_NS);
    if (n_held == c->n_workers && n_held < WORKERS_MAX && (c->urgent || c->todo)) {
        struct err ignored;
        (void)start_thread(c, &ignored); /* the others may still come back */
    }
}

void cfi_cache_collect(struct cfi_cache *c)
{
    if (!c->stats.n_pending) {
        return;
    }
    uint64_t n;
    pthread_mutex_lock(&c->lock);
    ssize_t n_read = read(c->fd, &n, sizeof(n));
    (void)n_read; /* EAGAIN: nothing is done yet */
    struct job *done = c->done;
    c->done = NULL;
    look_for_hangs(c);
    pthread_mutex_unlock(&c->lock);
    for (struct job *j = done; j; j = j->next) {
        collect(c, j);
    }
    free_jobs(done);
}

int cfi_cache_fd(const struct cfi_cache *c)
{
    return c->fd;
}

void cfi_cache_get_stats(const struct cfi_cache *c, struct cfi_cache_stats *stats)
{
    *stats = c->stats;
    stats->n_known = c->n_binaries;
}
