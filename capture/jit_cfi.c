/* jit_cfi.c - see jit_cfi.h. */
#include "capture/jit_cfi.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/jit_table.h"
#include "base/jitdump.h"
#include "base/mem.h"
#include "capture/mapped_file.h"

enum {
    BATCH_BYTES = 256 << 10,      /* read at once */
    BATCH_TABLE_BYTES = 16 << 20, /* made at once; more is dropped */
    TABLE_OVERHEAD_BYTES = 64,    /* of an allocation or two */
    FRAME_ALIGN = 8               /* of .eh_frame behind the code, as perf inject lays it out */
};
/* From when a dump was asked for until stacks go without it. */
static const int64_t PATIENCE_NS = 3000000000;
/* How often a dump that has no unwinding info is looked at. */
static const int64_t LOOK_NS = 50000000;
/* For what was read, each time it is collected. */
static const int64_t COLLECT_NS = 2000000;
/* Tables of code that was replaced so long before the newest stack are not asked for any more. */
static const int64_t OLD_NS = 10000000000, SWEEP_NS = 1000000000;

/* What one look at a dump gave. */
struct result {
    struct jit_batch batch;
    struct cfi_table **tables; /* of its items, NULL: none */
    uint64_t n_dropped;
    int64_t began_ts;
    bool is_end;  /* all that was there at began_ts was read */
    bool is_over; /* no more can come */
    bool has_unwinding;
};

struct jit_dump {
    struct jit_cfi *cfi;
    struct jit_dump *next;
    uint64_t device;
    struct mapped_file file;
    /* with the lock */
    bool is_asked, is_dropped;
    struct result *result;
    /* the thread's */
    bool is_opened;
    int fd;
    struct jitdump parser;
    /* the owner's */
    size_t n_refs;
    struct jit_table loads; /* a load's name is its table (index + 1), 0: none */
    struct cfi_table **tables;
    size_t n_tables, cap_tables;
    struct result *taking;
    size_t n_taken;
    int64_t read_ts;  /* all that was written before was read; 0: nothing was */
    int64_t asked_ts; /* of what is under way, 0: nothing is */
    bool is_over, has_unwinding, is_slow;
};

struct jit_cfi {
    const struct unwind_arch *arch;
    size_t max_bytes;
    int fd;
    struct jit_cfi_stats stats;
    int64_t newest_ts, swept_ts;
    struct jit_dump **all; /* that have references */
    size_t n_all, cap_all;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t has_work;
    struct jit_dump *dumps;
    bool is_stopping;
    unsigned n_users; /* the owner and the thread: the last one frees */
};

/* ---- tables ---- */

static bool is_cie(const uint8_t *bytes, size_t n)
{
    uint32_t words[2]; /* length, id */
    if (n < sizeof(words)) {
        return false;
    }
    memcpy(words, bytes, sizeof(words));
    return words[0] != 0 && words[1] == 0;
}

struct cfi_table *jit_cfi_table(const struct unwind_arch *arch, const uint8_t *info, size_t n,
                                size_t n_header, uint64_t address, uint64_t n_code)
{
    uint64_t pad = (FRAME_ALIGN - n_code % FRAME_ALIGN) % FRAME_ALIGN;
    if (n_header >= n || !is_cie(info, n - n_header) || address + n_code < address ||
        address + n_code + pad < address) {
        return NULL;
    }
    struct cfi_section section = {
        .bytes = info, .n_bytes = n - n_header, .address = address + n_code + pad, .is_open = true};
    struct cfi_range code = {address, address + n_code};
    return cfi_table_from_sections(arch, &section, 1, &code, 1);
}

static size_t table_bytes(const struct cfi_table *t)
{
    struct cfi_table_stats stats;
    cfi_table_get_stats(t, &stats);
    return stats.n_bytes + TABLE_OVERHEAD_BYTES;
}

/* ---- the thread ---- */

static void result_free(struct result *r)
{
    for (size_t i = 0; r && i < r->batch.n_items; i++) {
        cfi_table_free(r->tables[i]);
    }
    if (r) {
        free(r->tables);
        jit_batch_fini(&r->batch);
        free(r);
    }
}

static size_t read_at(int fd, struct buf *bytes, uint64_t offset, size_t n)
{
    buf_clear(bytes);
    ssize_t got = offset <= INT64_MAX ? pread(fd, buf_room(bytes, n), n, (off_t)offset) : 0;
    return got > 0 ? (size_t)got : 0;
}

static void make_tables(struct jit_dump *d, struct result *r, struct buf *bytes)
{
    size_t n_made = 0;
    r->tables = mem_new(r->batch.n_items + 1, sizeof(*r->tables));
    for (size_t i = 0; i < r->batch.n_items; i++) {
        const struct jit_item *item = &r->batch.items[i];
        const struct jit_unwinding *u = &item->unwinding;
        if (item->what != JIT_LOAD || !u->size) {
            continue;
        }
        r->has_unwinding = true;
        if (n_made > BATCH_TABLE_BYTES) {
            r->n_dropped++;
        } else if (read_at(d->fd, bytes, u->offset, u->size) == u->size) {
            r->tables[i] = jit_cfi_table(d->cfi->arch, (const uint8_t *)bytes->data, u->size,
                                         u->header, item->address, item->size);
            n_made += r->tables[i] ? table_bytes(r->tables[i]) : 0;
        }
    }
}

static struct result *read_dump(struct jit_dump *d, struct buf *bytes)
{
    struct result *r = mem_new(1, sizeof(*r));
    struct jitdump *p = &d->parser;
    struct stat st;
    bool is_more = true;
    r->began_ts = clock_monotonic_ns();
    if (!d->is_opened) {
        d->is_opened = true;
        d->fd = mapped_file_open(&d->file, &st);
    }
    while (d->fd >= 0 && is_more && (jit_batch_bytes(&r->batch) < BATCH_BYTES || p->has_debug)) {
        uint64_t first = p->at;
        size_t n = read_at(d->fd, bytes, first, jitdump_want(p));
        p->latest_ts = clock_monotonic_ns() + JITDUMP_LATE_NS;
        while (p->at - first <= n && jitdump_feed(p, (const uint8_t *)bytes->data + (p->at - first),
                                                  n - (size_t)(p->at - first), &r->batch)) {
        }
        is_more = p->at != first;
    }
    jitdump_settle(p, &r->batch);
    make_tables(d, r, bytes);
    r->is_end = d->fd < 0 || !is_more;
    r->is_over = d->fd < 0 || p->refusal;
    return r;
}

static void dump_free(struct jit_dump *d)
{
    result_free(d->result);
    fd_close(&d->fd);
    free((char *)(uintptr_t)d->file.path);
    free(d);
}

/* With the lock: frees those that nobody needs, and gives one that was asked for. */
static struct jit_dump *next_dump(struct jit_cfi *j)
{
    struct jit_dump *asked = NULL;
    for (struct jit_dump **at = &j->dumps; *at;) {
        struct jit_dump *d = *at;
        if (d->is_dropped) {
            *at = d->next;
            dump_free(d);
            continue;
        }
        asked = d->is_asked && !asked ? d : asked;
        at = &d->next;
    }
    return asked;
}

/* The last one to leave frees everything. */
static void leave(struct jit_cfi *j)
{
    pthread_mutex_lock(&j->lock);
    bool is_last = --j->n_users == 0;
    pthread_mutex_unlock(&j->lock);
    if (is_last) {
        (void)next_dump(j); /* all were dropped */
        fd_close(&j->fd);
        pthread_cond_destroy(&j->has_work);
        pthread_mutex_destroy(&j->lock);
        free(j->all);
        free(j);
    }
}

static void wake(struct jit_cfi *j)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, and then it is readable all the same. */
    ssize_t n = write(j->fd, &one, sizeof(one));
    (void)n;
}

static void *loop(void *ctx)
{
    struct jit_cfi *j = ctx;
    struct buf bytes = {0};
    pthread_setname_np(pthread_self(), "stax-jit-cfi");
    pthread_mutex_lock(&j->lock);
    while (!j->is_stopping) {
        struct jit_dump *d = next_dump(j);
        if (!d) {
            pthread_cond_wait(&j->has_work, &j->lock);
            continue;
        }
        d->is_asked = false;
        pthread_mutex_unlock(&j->lock);
        struct result *r = read_dump(d, &bytes);
        pthread_mutex_lock(&j->lock);
        d->result = r;
        wake(j);
    }
    pthread_mutex_unlock(&j->lock);
    buf_free(&bytes);
    leave(j);
    return NULL;
}

/* ---- its owner ---- */

int jit_cfi_new(struct jit_cfi **out, const struct unwind_arch *arch, size_t max_bytes,
                struct err *e)
{
    struct jit_cfi *j = mem_new(1, sizeof(*j));
    sigset_t all, old;
    pthread_t thread;
    j->arch = arch;
    j->max_bytes = max_bytes;
    j->n_users = 2;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->has_work, NULL);
    j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = j->fd < 0 ? errno : 0;
    if (!failed) {
        /* Signals are the business of the threads that were there before. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        failed = pthread_create(&thread, NULL, loop, j);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (failed) {
        j->n_users = 1;
        leave(j);
        return err_set_errno(e, failed, "cannot start the thread for unwind tables of jitdumps");
    }
    pthread_detach(thread); /* nobody waits for one that is stuck in a file system */
    *out = j;
    return 0;
}

void jit_cfi_free(struct jit_cfi *j)
{
    if (j) {
        pthread_mutex_lock(&j->lock);
        j->is_stopping = true;
        pthread_cond_signal(&j->has_work);
        pthread_mutex_unlock(&j->lock);
        leave(j);
    }
}

bool jit_cfi_is_dump(const struct cfi_file *file)
{
    static const char begin[] = "/jit-", end[] = ".dump";
    const size_t n_begin = sizeof(begin) - 1, n_end = sizeof(end) - 1;
    size_t at = file->path_len;
    while (at && file->path[at - 1] != '/') {
        at--;
    }
    return file->inode && at && file->path[0] == '/' && file->path_len - at + 1 > n_begin + n_end &&
           memcmp(file->path + at - 1, begin, n_begin) == 0 &&
           memcmp(file->path + file->path_len - n_end, end, n_end) == 0;
}

static void ask(struct jit_dump *d)
{
    struct jit_cfi *j = d->cfi;
    d->asked_ts = clock_monotonic_ns();
    d->is_slow = false;
    j->stats.n_pending++;
    pthread_mutex_lock(&j->lock);
    d->is_asked = true;
    pthread_cond_signal(&j->has_work);
    pthread_mutex_unlock(&j->lock);
}

struct jit_dump *jit_cfi_follow(struct jit_cfi *j, const struct cfi_file *file)
{
    if (j->n_all >= JIT_CFI_DUMPS_MAX) {
        return NULL;
    }
    struct jit_dump *d = mem_new(1, sizeof(*d));
    char *path = mem_new(file->path_len + 1, 1);
    memcpy(path, file->path, file->path_len);
    d->cfi = j;
    d->n_refs = 1;
    d->fd = -1;
    d->device = file->device;
    d->file = (struct mapped_file){.pid = file->pid,
                                   .start = file->start,
                                   .end = file->end,
                                   .inode = file->inode,
                                   .path = path};
    mem_reserve(&j->all, &j->cap_all, j->n_all + 1, sizeof(*j->all));
    j->all[j->n_all++] = d;
    pthread_mutex_lock(&j->lock);
    d->next = j->dumps;
    j->dumps = d;
    pthread_mutex_unlock(&j->lock);
    ask(d); /* opened while its process lives */
    return d;
}

struct jit_dump *jit_dump_ref(struct jit_dump *d)
{
    d->n_refs++;
    return d;
}

static void drop_table(struct jit_cfi *j, struct cfi_table **t)
{
    if (*t) {
        j->stats.n_bytes -= table_bytes(*t);
        j->stats.n_tables--;
        cfi_table_free(*t);
        *t = NULL;
    }
}

void jit_dump_unref(struct jit_dump *d)
{
    if (!d || --d->n_refs) {
        return;
    }
    struct jit_cfi *j = d->cfi;
    for (size_t i = 0; i < d->n_tables; i++) {
        drop_table(j, &d->tables[i]);
    }
    free(d->tables);
    jit_table_fini(&d->loads);
    result_free(d->taking);
    j->stats.n_pending -= d->asked_ts != 0;
    for (size_t i = 0; i < j->n_all; i++) {
        if (j->all[i] == d) {
            j->all[i] = j->all[--j->n_all];
            break;
        }
    }
    pthread_mutex_lock(&j->lock);
    d->is_dropped = true;
    pthread_cond_signal(&j->has_work); /* frees it */
    pthread_mutex_unlock(&j->lock);
}

bool jit_dump_is_of(const struct jit_dump *d, uint64_t device, uint64_t inode)
{
    return d->device == device && d->file.inode == inode;
}

/* Frees the tables of code that had been replaced long before the newest stack. */
static void sweep(struct jit_dump *d, int64_t before_ts)
{
    bool *is_used = mem_new(d->n_tables + 1, sizeof(*is_used));
    for (size_t i = 0; i < d->loads.n_loads; i++) {
        const struct jit_load *l = &d->loads.loads[i];
        if (l->to_ts > before_ts) {
            is_used[l->name] = true;
        }
    }
    for (size_t i = 0; i < d->n_tables; i++) {
        if (!is_used[i + 1]) {
            drop_table(d->cfi, &d->tables[i]);
        }
    }
    free(is_used);
}

static bool has_room(struct jit_cfi *j, size_t n)
{
    int64_t now = clock_monotonic_ns();
    if (j->stats.n_bytes + n > j->max_bytes && now - j->swept_ts >= SWEEP_NS) {
        j->swept_ts = now;
        for (size_t i = 0; i < j->n_all; i++) {
            sweep(j->all[i], j->newest_ts - OLD_NS);
        }
    }
    return j->stats.n_bytes + n <= j->max_bytes;
}

/* Takes *table; returns what a load calls it. */
static size_t keep_table(struct jit_dump *d, struct cfi_table **table)
{
    struct jit_cfi *j = d->cfi;
    if (!*table) {
        return 0;
    }
    size_t n = table_bytes(*table);
    if (!has_room(j, n)) {
        j->stats.n_dropped++;
        return 0;
    }
    mem_reserve(&d->tables, &d->cap_tables, d->n_tables + 1, sizeof(*d->tables));
    d->tables[d->n_tables++] = *table;
    *table = NULL;
    j->stats.n_bytes += n;
    j->stats.n_tables++;
    return d->n_tables;
}

static void take_item(struct jit_dump *d, const struct jit_item *item, struct cfi_table **table)
{
    if (item->what == JIT_MOVE) {
        jit_table_move(&d->loads, item->from, item->address, item->size, item->ts);
        return;
    }
    struct jit_load load = {.start = item->address,
                            .size = item->size,
                            .from_ts = item->ts,
                            .name = keep_table(d, table)};
    jit_table_load(&d->loads, &load);
}

/* Takes what was read of a dump, until a time. */
static void take(struct jit_dump *d, int64_t until)
{
    struct jit_cfi *j = d->cfi;
    struct result *r = d->taking;
    d->has_unwinding |= r->has_unwinding;
    while (d->n_taken < r->batch.n_items && clock_monotonic_ns() < until) {
        take_item(d, &r->batch.items[d->n_taken], &r->tables[d->n_taken]);
        d->n_taken++;
    }
    if (d->n_taken < r->batch.n_items) {
        wake(j); /* for the rest */
        return;
    }
    j->stats.n_pending--;
    j->stats.n_dropped += r->n_dropped;
    d->asked_ts = 0;
    d->is_over = r->is_over;
    if (r->is_end) {
        d->read_ts = r->began_ts;
    } else {
        ask(d);
    }
    result_free(r);
    d->taking = NULL;
    d->n_taken = 0;
}

void jit_cfi_collect(struct jit_cfi *j)
{
    int64_t now = clock_monotonic_ns();
    uint64_t n;
    if (!j->stats.n_pending) {
        return;
    }
    pthread_mutex_lock(&j->lock);
    ssize_t n_read = read(j->fd, &n, sizeof(n));
    (void)n_read; /* EAGAIN: nothing was read yet */
    for (size_t i = 0; i < j->n_all; i++) {
        struct jit_dump *d = j->all[i];
        if (d->result) {
            d->taking = d->result;
            d->result = NULL;
        }
    }
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; i < j->n_all; i++) {
        struct jit_dump *d = j->all[i];
        if (d->taking) {
            take(d, now + COLLECT_NS);
        }
        d->is_slow |= d->asked_ts && now - d->asked_ts >= PATIENCE_NS;
    }
}

static enum unwind_found find_load(struct jit_dump *d, uint64_t pc, int64_t ts,
                                   struct unwind_code *code)
{
    const struct jit_load *l = jit_table_find(&d->loads, pc, ts);
    if (!l) {
        return UNWIND_NOT_CODE;
    }
    const struct jit_load *origin = &d->loads.loads[l->origin - 1];
    *code = (struct unwind_code){.start = l->start,
                                 .end = l->start + l->size,
                                 .bias = l->start - origin->start,
                                 .table = l->name ? d->tables[l->name - 1] : NULL};
    return UNWIND_CODE;
}

enum unwind_found jit_dump_find(struct jit_dump *d, uint64_t pc, int64_t ts,
                                struct unwind_code *code)
{
    d->cfi->newest_ts = ts > d->cfi->newest_ts ? ts : d->cfi->newest_ts;
    if (d->is_over || d->read_ts >= ts) {
        return find_load(d, pc, ts, code);
    }
    bool is_needed = !d->loads.n_loads || d->has_unwinding; /* the first may have it */
    if (!d->asked_ts && (is_needed || ts - d->read_ts >= LOOK_NS)) {
        ask(d);
    }
    return is_needed && !d->is_slow ? UNWIND_CODE_PENDING : find_load(d, pc, ts, code);
}

int jit_cfi_fd(const struct jit_cfi *j)
{
    return j->fd;
}

void jit_cfi_get_stats(const struct jit_cfi *j, struct jit_cfi_stats *stats)
{
    *stats = j->stats;
}
