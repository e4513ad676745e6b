/*
 * jit_follow.c - see jit_follow.h.
 *
 * The owner adds sources and takes batches under one lock that is never held while a file is
 * touched. Everything in struct source belongs to the thread.
 */
#include "ingest/jit_follow.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/jitdump.h"
#include "ingest/perf_map.h"

enum {
    POLL_MS = 50,
    TICK_MS = 10,               /* how coarse times of files may be */
    POLL_MANY_MS = 1000,        /* ... for a map that was not there in LOOK_POLLS looks */
    LOOK_POLLS = 100,           /* looks for a map that is not there, one every POLL_MS */
    BATCH_BYTES = 128 << 10,    /* of results handed over at once */
    RESULTS_MAX = 32 << 20,     /* bytes of results that may wait */
    MAP_READ_BYTES = 256 << 10, /* read at once */
    STATUS_BYTES = 64 << 10,
    N_NOTES = 4 /* said of a file at most */
};

struct source {
    uint32_t id;
    bool is_map;
    bool is_over; /* refused, or nothing can come any more */
    int32_t pid;
    int fd; /* -1: not found yet */
    unsigned n_looks;
    int64_t look_ns;    /* when to look for it next */
    int64_t gone_ns;    /* when to look next whether its process is gone */
    int64_t read_ns;    /* map: when it was last read to its end; 0: never */
    int64_t map_offset; /* map: how far it was read */
    int64_t tail_at;    /* map: of a line without its end (+ 1), which was there from tail_ts on */
    int64_t tail_ts;
    struct perf_map map;
    struct jitdump dump;
    const char *told[N_NOTES]; /* already */
    size_t n_told;
};

struct jit_follow {
    pthread_mutex_t lock;
    unsigned n_users; /* the owner and the thread: the last one frees */
    pthread_cond_t has_news, is_idle;
    bool is_stopping, is_finishing, is_finished;
    struct source **added; /* by the owner, not seen yet */
    size_t n_added, cap_added;
    size_t n_all; /* added or followed */
    struct jit_batch *results, **last_result;
    size_t n_result_bytes;
    /* the thread's */
    struct source **sources;
    size_t n_sources, cap_sources;
    uint8_t *bytes;
    size_t cap_bytes;
};

/* Moves what batch holds into the results. */
static void hand_over(struct jit_follow *f, struct source *s, struct jit_batch *batch)
{
    if (!batch->n_items && !batch->path && !batch->note) {
        jit_batch_fini(batch);
        return;
    }
    struct jit_batch *own = mem_new(1, sizeof(*own));
    *own = *batch;
    own->source = s->id;
    *batch = (struct jit_batch){0};
    pthread_mutex_lock(&f->lock);
    *f->last_result = own;
    f->last_result = &own->next;
    f->n_result_bytes += jit_batch_bytes(own);
    pthread_mutex_unlock(&f->lock);
}

/* ---- finding a perf map ---- */

/* The value of a line of /proc/PID/status. */
static const char *status_value(const char *status, const char *key)
{
    const char *line = strstr(status, key);
    return line ? line + strlen(key) : NULL;
}

struct owner {
    int32_t ns_pid; /* in its innermost namespace */
    uint32_t euid;
    int64_t start_wall_ns;
    int64_t start_ts; /* CLOCK_MONOTONIC; too early by what the machine has slept since */
};

/* The word of /proc/PID/stat with that number, from 3 on, as the manual counts them; 0: not there.
 */
static uint64_t stat_number(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');
    for (int i = 2; at && i < number; i++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

static void read_stat(int32_t pid, struct buf *stat)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd_read_file(path, STATUS_BYTES, stat);
}

/* When a process began: clock ticks since boot. */
static bool read_start(int32_t pid, struct owner *o)
{
    struct buf stat = {0};
    read_stat(pid, &stat);
    uint64_t ticks = stat_number(buf_str(&stat), 22);
    bool is_there = stat.len > 0;
    buf_free(&stat);
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    int64_t since_boot = (int64_t)(ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
    int64_t ago = (int64_t)boot.tv_sec * 1000000000 + boot.tv_nsec - since_boot;
    o->start_wall_ns = clock_realtime_ns() - ago;
    o->start_ts = clock_monotonic_ns() - ago;
    return is_there;
}

/* A zombie writes nothing more, and is there until its parent asks for it. */
static bool is_zombie(int32_t pid)
{
    struct buf stat = {0};
    read_stat(pid, &stat);
    const char *at = strrchr(buf_str(&stat), ')');
    bool is = at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0) &&
              stat_number(buf_str(&stat), 20) <= 1; /* threads: the first may end before others */
    buf_free(&stat);
    return is;
}

static bool read_owner(int32_t pid, struct owner *o)
{
    char path[64];
    struct buf status = {0};
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    fd_read_file(path, STATUS_BYTES, &status);
    const char *uids = status_value(buf_str(&status), "\nUid:");
    const char *pids = status_value(buf_str(&status), "\nNSpid:");
    o->ns_pid = pid;
    if (uids) {
        char *end;
        strtoul(uids, &end, 10);
        o->euid = (uint32_t)strtoul(end, NULL, 10);
    }
    for (char *end; pids && *pids && *pids != '\n'; pids = end) {
        long number = strtol(pids, &end, 10);
        if (end == pids) {
            break;
        }
        o->ns_pid = (int32_t)number;
    }
    buf_free(&status);
    return uids && read_start(pid, o);
}

/* Opens a regular file without following a link at its end, and without waking what is no file. */
static int open_regular(const char *path, const struct owner *o)
{
    struct stat st;
    char own[64];
    int fd = -1, at = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    /* a second of room: the clock's ticks are coarse, and so are times of files */
    if (at >= 0 && fstat(at, &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_uid == o->euid || st.st_uid == 0) &&
        (int64_t)st.st_mtim.tv_sec + 1 >= o->start_wall_ns / 1000000000) {
        snprintf(own, sizeof(own), "/proc/self/fd/%d", at);
        fd = open(own, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    fd_close(&at);
    return fd;
}

static void look_for_map(struct jit_follow *f, struct source *s, int64_t now, bool is_finishing)
{
    struct owner o;
    char path[64], full[128];
    if (now < s->look_ns && !is_finishing) {
        return;
    }
    s->look_ns = now + (s->n_looks++ < LOOK_POLLS ? POLL_MS : POLL_MANY_MS) * INT64_C(1000000);
    if (!read_owner(s->pid, &o)) {
        s->is_over = true;
        return;
    }
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", o.ns_pid);
    snprintf(full, sizeof(full), "/proc/%d/root%s", s->pid, path);
    s->fd = open_regular(full, &o);
    if (s->fd >= 0) {
        struct jit_batch batch = {.path = mem_strdup(path)};
        hand_over(f, s, &batch);
    }
}

/* ---- reading ---- */

/* Once each. at: file offset, -1: none. */
static void tell(struct jit_follow *f, struct source *s, const char *note, int64_t at)
{
    for (size_t i = 0; i < s->n_told; i++) {
        note = s->told[i] == note ? NULL : note;
    }
    if (note && s->n_told < N_NOTES) {
        s->told[s->n_told++] = note;
        struct jit_batch batch = {.note = note, .note_at = at};
        hand_over(f, s, &batch);
    }
}

static void tell_of_dump(struct jit_follow *f, struct source *s)
{
    const struct jitdump *d = &s->dump;
    tell(f, s, d->doubt, (int64_t)d->doubt_at);
    tell(f, s, d->fault, (int64_t)d->fault_at);
    tell(f, s, d->refusal, (int64_t)d->at);
    s->is_over |= d->refusal != NULL;
}

static bool is_full(struct jit_follow *f)
{
    pthread_mutex_lock(&f->lock);
    bool is = f->is_stopping || f->n_result_bytes > RESULTS_MAX;
    pthread_mutex_unlock(&f->lock);
    return is;
}

static size_t read_at(struct jit_follow *f, int fd, uint64_t offset, size_t n)
{
    if (f->cap_bytes < n) {
        f->bytes = mem_grow(f->bytes, n, 1);
        f->cap_bytes = n;
    }
    ssize_t got = offset <= INT64_MAX ? pread(fd, f->bytes, n, (off_t)offset) : 0;
    return got > 0 ? (size_t)got : 0;
}

static void find_start(struct source *s)
{
    struct owner o;
    if (!s->dump.has_header && s->pid > 0 && read_owner(s->pid, &o)) {
        s->dump.owner_pid = (uint32_t)o.ns_pid;
        s->dump.earliest_ts = o.start_ts - JITDUMP_LATE_NS;
    }
}

/* Up to a batch. True: there may be more. */
static bool read_dump(struct jit_follow *f, struct source *s)
{
    struct jit_batch batch = {0};
    struct jitdump *d = &s->dump;
    bool is_more = true;
    find_start(s);
    while (is_more && (jit_batch_bytes(&batch) < BATCH_BYTES || d->has_debug)) {
        uint64_t first = d->at;
        size_t n = read_at(f, s->fd, first, jitdump_want(d));
        d->latest_ts = clock_monotonic_ns() + JITDUMP_LATE_NS;
        while (d->at - first <= n &&
               jitdump_feed(d, f->bytes + (d->at - first), n - (size_t)(d->at - first), &batch)) {
        }
        is_more = d->at != first;
    }
    jitdump_settle(d, &batch);
    hand_over(f, s, &batch);
    tell_of_dump(f, s);
    return is_more && !s->is_over;
}

/* Whether there is something new. A file that became shorter was begun anew. */
static bool is_longer(struct source *s, int64_t *changed_ts)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0 || st.st_size == s->map_offset) {
        return false;
    }
    if (st.st_size < s->map_offset) {
        s->map_offset = 0;
        s->map.is_skipping = false;
    }
    int64_t changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    *changed_ts = clock_monotonic_ns() - (clock_realtime_ns() - changed_ns);
    return true;
}

/* Up to a batch. What was written since the last look was written, and so ran, after that look; a
 * line that came alone was written when the file was last changed. */
static bool read_map(struct jit_follow *f, struct source *s)
{
    struct jit_batch batch = {0};
    int64_t began = clock_monotonic_ns(), changed_ts;
    if (!is_longer(s, &changed_ts)) {
        s->read_ns = began;
        return false;
    }
    size_t n = read_at(f, s->fd, (uint64_t)s->map_offset, MAP_READ_BYTES);
    size_t taken = perf_map_feed(&s->map, (const char *)f->bytes, n, s->read_ns, &batch);
    s->map_offset += (int64_t)taken;
    changed_ts -= TICK_MS * INT64_C(1000000);
    bool is_exact = s->read_ns && changed_ts > s->read_ns && changed_ts < began;
    if (batch.n_items == 1 && is_exact) {
        batch.items[0].ts = changed_ts;
    }
    if (taken < n && s->tail_at != s->map_offset + 1) {
        s->tail_at = s->map_offset + 1;
        s->tail_ts = batch.n_items == 0 && is_exact ? changed_ts : s->read_ns;
    }
    hand_over(f, s, &batch);
    tell(f, s, s->map.n_large ? jit_batch_too_large : NULL, -1);
    bool is_more = n == MAP_READ_BYTES && taken;
    if (!is_more) {
        s->read_ns = began;
    }
    return is_more;
}

/* Looked for before what there is is read, so that what it wrote last is not missed. */
static bool is_gone(struct source *s, int64_t now, bool is_finishing)
{
    if (s->pid <= 0 || (now < s->gone_ns && !is_finishing)) {
        return false;
    }
    s->gone_ns = now + POLL_MANY_MS * INT64_C(1000000);
    return (kill(s->pid, 0) != 0 && errno == ESRCH) || is_zombie(s->pid);
}

/* The last line ends with the process that wrote it. */
static void end_map(struct jit_follow *f, struct source *s)
{
    struct jit_batch batch = {0};
    size_t n = read_at(f, s->fd, (uint64_t)s->map_offset, PERF_MAP_LINE_MAX + 2);
    if (n && n <= PERF_MAP_LINE_MAX) {
        f->bytes[n] = '\n';
        int64_t ts = s->tail_at == s->map_offset + 1 ? s->tail_ts : s->read_ns;
        perf_map_feed(&s->map, (const char *)f->bytes, n + 1, ts, &batch);
    }
    hand_over(f, s, &batch);
}

static void end_dump(struct jit_follow *f, struct source *s)
{
    struct stat st;
    size_t n = read_at(f, s->fd, s->dump.at, jitdump_want(&s->dump));
    if (fstat(s->fd, &st) == 0) {
        jitdump_end(&s->dump, f->bytes, n, (uint64_t)st.st_size);
        tell_of_dump(f, s);
    }
}

static void follow(struct jit_follow *f, struct source *s, bool is_finishing)
{
    bool was_gone = s->fd >= 0 && is_gone(s, clock_monotonic_ns(), is_finishing);
    if (s->fd < 0 && !s->is_over) {
        look_for_map(f, s, clock_monotonic_ns(), is_finishing);
    }
    bool is_more = s->fd >= 0 && !s->is_over;
    while (is_more && !is_full(f)) {
        is_more = s->is_map ? read_map(f, s) : read_dump(f, s);
    }
    if (was_gone && !is_more && !s->is_over) {
        s->is_over = true;
        (s->is_map ? end_map : end_dump)(f, s);
    }
    if (s->is_over) {
        fd_close(&s->fd);
    }
}

/* ---- the thread ---- */

static void take_added(struct jit_follow *f)
{
    for (size_t i = 0; i < f->n_added; i++) {
        mem_reserve(&f->sources, &f->cap_sources, f->n_sources + 1, sizeof(struct source *));
        f->sources[f->n_sources++] = f->added[i];
    }
    f->n_added = 0;
}

static void source_free(struct source *s)
{
    fd_close(&s->fd);
    free(s);
}

/* Makes room for others. */
static void drop_over(struct jit_follow *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n_sources; i++) {
        if (f->sources[i]->is_over) {
            source_free(f->sources[i]);
            f->n_all--;
        } else {
            f->sources[kept++] = f->sources[i];
        }
    }
    f->n_sources = kept;
}

static void sleep_a_while(struct jit_follow *f)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&f->has_news, &f->lock, &until);
}

static void destroy(struct jit_follow *f)
{
    for (size_t i = 0; i < f->n_sources; i++) {
        source_free(f->sources[i]);
    }
    for (size_t i = 0; i < f->n_added; i++) {
        source_free(f->added[i]);
    }
    struct jit_batch *b;
    while ((b = jit_follow_take(f)) != NULL) {
        jit_batch_fini(b);
        free(b);
    }
    pthread_cond_destroy(&f->has_news);
    pthread_cond_destroy(&f->is_idle);
    pthread_mutex_destroy(&f->lock);
    free(f->sources);
    free(f->added);
    free(f->bytes);
    free(f);
}

/* The last one to leave frees everything. */
static void leave(struct jit_follow *f)
{
    pthread_mutex_lock(&f->lock);
    bool is_last = --f->n_users == 0;
    pthread_mutex_unlock(&f->lock);
    if (is_last) {
        destroy(f);
    }
}

static void *loop(void *arg)
{
    struct jit_follow *f = arg;
    pthread_setname_np(pthread_self(), "stax-jit");
    pthread_mutex_lock(&f->lock);
    while (!f->is_stopping) {
        take_added(f);
        bool is_finishing = f->is_finishing;
        pthread_mutex_unlock(&f->lock);
        for (size_t i = 0; i < f->n_sources; i++) {
            follow(f, f->sources[i], is_finishing);
        }
        pthread_mutex_lock(&f->lock);
        drop_over(f);
        /* what was left unread for want of room is read once results are taken */
        if (is_finishing && f->n_result_bytes <= RESULTS_MAX) {
            f->is_finished = true;
            pthread_cond_signal(&f->is_idle);
        }
        bool is_asked = f->is_stopping || f->n_added || (f->is_finishing && !f->is_finished);
        if (!is_asked && f->n_sources) {
            sleep_a_while(f);
        } else if (!is_asked) {
            pthread_cond_wait(&f->has_news, &f->lock);
        } else if (f->n_result_bytes > RESULTS_MAX) { /* finishing, once there is room */
            sleep_a_while(f);
        }
    }
    pthread_mutex_unlock(&f->lock);
    leave(f);
    return NULL;
}

struct jit_follow *jit_follow_new(void)
{
    pthread_t thread;
    struct jit_follow *f = mem_new(1, sizeof(*f));
    pthread_condattr_t clock;
    f->last_result = &f->results;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&f->has_news, &clock);
    pthread_cond_init(&f->is_idle, &clock);
    pthread_condattr_destroy(&clock);
    f->n_users = 2;
    if (pthread_create(&thread, NULL, loop, f) != 0) {
        f->n_users = 1;
        leave(f);
        return NULL;
    }
    pthread_detach(thread); /* nobody waits for one that is stuck in a file system */
    return f;
}

void jit_follow_free(struct jit_follow *f)
{
    if (!f) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->has_news);
    pthread_mutex_unlock(&f->lock);
    leave(f);
}

static bool add(struct jit_follow *f, const struct source *source)
{
    struct source *s = mem_new(1, sizeof(*s));
    *s = *source;
    pthread_mutex_lock(&f->lock);
    bool has_room = f->n_all < JIT_FOLLOW_MAX;
    if (has_room) {
        f->n_all++;
        mem_reserve(&f->added, &f->cap_added, f->n_added + 1, sizeof(struct source *));
        f->added[f->n_added++] = s;
        pthread_cond_signal(&f->has_news);
    }
    pthread_mutex_unlock(&f->lock);
    if (!has_room) {
        source_free(s);
    }
    return has_room;
}

bool jit_follow_dump(struct jit_follow *f, uint32_t source, int fd, int32_t pid)
{
    return add(f, &(struct source){.id = source, .fd = fd, .pid = pid});
}

bool jit_follow_map(struct jit_follow *f, uint32_t source, int32_t pid)
{
    return add(f, &(struct source){.id = source, .is_map = true, .pid = pid, .fd = -1});
}

struct jit_batch *jit_follow_take(struct jit_follow *f)
{
    pthread_mutex_lock(&f->lock);
    struct jit_batch *b = f->results;
    if (b) {
        f->results = b->next;
        f->last_result = f->results ? f->last_result : &f->results;
        f->n_result_bytes -= jit_batch_bytes(b);
        b->next = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return b;
}

bool jit_follow_finish(struct jit_follow *f, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&f->lock);
    f->is_finishing = true;
    f->is_finished = false;
    pthread_cond_signal(&f->has_news);
    while (!f->is_finished && pthread_cond_timedwait(&f->is_idle, &f->lock, &until) == 0) {
    }
    bool is_finished = f->is_finished;
    pthread_mutex_unlock(&f->lock);
    return is_finished;
}
