/*
 * ingest.c - the loop from event batches to committed rows; see ingest.h.
 *
 * Reading order: take_*() handle one event each (waits.c those about off-CPU time), ingest_commit()
 * writes, loop() is the thread.
 */
#include "ingest/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/code.h"
#include "ingest/ingest_internal.h"
#include "ingest/naming.h"
#include "ingest/stacks.h"
#include "schema/db.h"

enum {
    COMMIT_MS = 100,
    JIT_END_MS = 3000,       /* ... and for files about code made at run time */
    JIT_LINES_MS = 10,       /* that a commit takes for line tables of such code */
    JIT_LINES_END_MS = 2000, /* ... and the end of a run: nobody can read them later */
    NAMES_END_MS = 300,      /* that the end of a run waits for names under way, then lines */
    MIN_ROOM_FOR_JIT_LINES = 32 << 20, /* bytes that the run may still grow by */
    MIN_ROOM_FOR_LINES = 128 << 20,    /* ... for others */
    CHECKPOINT_WAL_BYTES = 16 << 20,   /* copy the WAL back from this size on */
    TRUNCATE_WAL_BYTES = 256 << 20,    /* ... and make it small again when readers allow */
    MAX_FOLDED = 200000,               /* rows of folded waits and wakeups */
    FOLDED_LOOK_COMMITS = 64,          /* between two looks at how many there are */
    DROP_ROWS = 20000,                 /* sample rows given back a commit when over the bound */
    LOCK_SAID_MS = 2000,      /* from when on it is said that somebody else holds the lock */
    LOCK_END_MS = 10000,      /* that the end of a run waits for it */
    LOCK_STEP_MS = 1000,      /* looks at the lock that are farther apart are two waits */
    RESERVE_BYTES = 128 << 10 /* kept beside the file so that a full disk can be noted */
};

/* Room that can be given back when the disk is full, so that the end of the run can be written. */
static void make_reserve(struct ingest *in)
{
    int fd = open(in->reserve_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0) {
            unlink(in->reserve_path);
        }
        close(fd);
    }
}

static bool holds_end(const void *block, size_t n)
{
    size_t at = 0;
    bool is_bad = false;
    const struct event_head *head;
    while ((head = event_next(block, n, &at, &is_bad)) != NULL) {
        if (head->type == EVENT_END) {
            return true;
        }
    }
    return false;
}

/* Another program holds the write lock. Nothing is fed meanwhile, so what waits is in the queue. */
static bool waits_for_lock(void *ctx)
{
    struct ingest *in = ctx;
    int64_t now = clock_monotonic_ns();
    if (!in->lock_ns || now - in->lock_asked_ns > LOCK_STEP_MS * 1000000LL) {
        in->lock_ns = now;
        in->is_lock_said = false;
        in->patience_ns = 0;
    }
    in->lock_asked_ns = now;
    if (!in->is_lock_said && now - in->lock_ns > LOCK_SAID_MS * 1000000LL) {
        in->is_lock_said = true;
        fprintf(stderr, "stax-server: another program holds the write lock of %s: waiting for it\n",
                in->path);
    }
    bool is_ending =
        in->has_ended || in->end_reason || !in->queue || queue_newest_is(in->queue, holds_end);
    if (is_ending && !in->patience_ns) {
        in->patience_ns = now + LOCK_END_MS * 1000000LL;
    }
    return !is_ending || now < in->patience_ns;
}

int ingest_open(struct ingest **out, const struct ingest_options *options,
                const struct ingest_run *run, const struct ingest_ability *abilities,
                size_t n_abilities, struct err *e)
{
    struct ingest *in = mem_new(1, sizeof(*in));
    int rc = store_create(&in->store, options->path, run, abilities, n_abilities, e);
    if (rc) {
        store_fini(&in->store);
        free(in);
        return rc;
    }
    in->waits = (struct waits){.binaries = &in->binaries,
                               .tasks = &in->tasks,
                               .store = &in->store,
                               .start_ts = run->start_ts};
    intern_count(&in->intern, run->n_counters);
    binaries_init(&in->binaries, &in->intern, options->kallsyms, options->without_files);
    late_names_init(&in->late_names, &in->binaries, &in->store,
                    options->with_debug_info && !options->without_files, options->servers);
    jit_init(&in->jit, &in->binaries, &in->store, run->start_ts, !options->without_files);
    in->binaries.kallsyms_fd = options->kallsyms_fd > 0 ? options->kallsyms_fd : -1;
    in->path = mem_strdup(options->path);
    struct buf reserve = {0};
    buf_addf(&reserve, "%s-reserve", options->path);
    in->reserve_path = buf_take(&reserve);
    in->start_ts = in->last_ts = run->start_ts;
    in->max_bytes = options->max_bytes;
    in->max_folded = options->max_folded ? options->max_folded : MAX_FOLDED;
    in->committed = options->committed;
    in->ctx = options->ctx;
    pthread_mutex_init(&in->stats_lock, NULL);
    db_set_patience(in->store.db, waits_for_lock, in);
    make_reserve(in);
    *out = in;
    return 0;
}

/* ---- events ---- */

static void take_mapping(struct ingest *in, const struct event_mapping *m)
{
    struct process *p = tasks_process(&in->tasks, tasks_upid(&in->tasks, m->head.ts, m->pid));
    bool is_file = m->inode != 0;
    uint32_t binary = binaries_of_mapping(&in->binaries, m, p->upid, is_file && !p->has_file);
    p->has_file |= is_file;
    jit_take_mapping(&in->jit, p, m, binary);
    uint64_t end;
    if (__builtin_add_overflow(m->start, m->size, &end)) {
        return;
    }
    struct space_mapping mapping = {
        .start = m->start, .end = end, .file_offset = m->file_offset, .binary = binary};
    p->version++;
    p->space = p->space ? p->space : space_new();
    if (space_map(&p->space, &mapping) == 0) {
        store_add_mapping(&in->store, &(struct mapping_row){.ts = m->head.ts,
                                                            .start = m->start,
                                                            .size = m->size,
                                                            .file_offset = m->file_offset,
                                                            .upid = p->upid,
                                                            .binary = binary});
    }
}

static void add_to_thread(struct ingest *in, uint32_t utid, int64_t ts, int64_t on_cpu_ns)
{
    struct tasks *t = &in->tasks;
    struct thread *th = tasks_thread(t, utid);
    int64_t bucket = (ts - in->start_ts) / BUCKET_NS;
    if (th->bucket.bucket != bucket) {
        if (th->has_new_sums) {
            store_add_bucket(&in->store, utid, &th->bucket);
        }
        th->bucket = (struct bucket){.bucket = bucket};
    }
    th->n_samples++;
    th->on_cpu_ns += on_cpu_ns;
    th->bucket.n_samples++;
    th->bucket.on_cpu_ns += on_cpu_ns;
    tasks_touch(t, utid);
}

/* sample.ts is unique and ascending: a stamp that is not after the last one is moved up. */
static int64_t unique_ts(struct ingest *in, int64_t ts)
{
    if (ts <= in->last_ts) {
        int64_t moved = in->last_ts + 1 - ts;
        struct run_counts *c = &in->store.counts;
        c->n_moved++;
        c->max_moved_ns = moved > c->max_moved_ns ? moved : c->max_moved_ns;
        ts = in->last_ts + 1;
    }
    in->last_ts = ts;
    return ts;
}

/* The counters of a sample, added to its thread and the run; NULL if they are not those of the run.
 */
static const uint64_t *counters_of(struct ingest *in, uint32_t utid, const struct event_sample *s)
{
    size_t n = in->intern.n_counters;
    const uint64_t *counters = event_sample_counters(s);
    if (n == 0 || s->n_counters != n) {
        return NULL;
    }
    struct thread *th = tasks_thread(&in->tasks, utid);
    for (size_t i = 0; i < n; i++) {
        th->counters[i] += counters[i];
        in->store.counts.counters[i].n_attributed += counters[i];
    }
    return counters;
}

static void take_counter_total(struct ingest *in, const struct event_counter_total *t)
{
    struct counter_count *c = &in->store.counts.counters[t->slot];
    c->has_ended = true;
    c->n_counted = t->n_counted;
    c->enabled_ns = t->enabled_ns;
    c->running_ns = t->running_ns;
}

static void take_sample(struct ingest *in, const struct event_sample *s)
{
    int64_t ts = unique_ts(in, s->head.ts);
    uint32_t utid = tasks_utid(&in->tasks, ts, s->pid, s->tid);
    struct thread *th = tasks_thread(&in->tasks, utid);
    struct process *p = tasks_process(&in->tasks, th->upid);
    p->space = p->space ? p->space : space_new();
    bool is_truncated = s->stack_end != EVENT_STACK_END_ROOT;
    const struct stack_text text = {s->addresses, s->n_kernel, s->n_addresses};
    uint32_t callsite = stacks_callers(&in->binaries, th, p, ts, &is_truncated, &text);
    store_count_stack(&in->store, stacks_end(s->stack_end, is_truncated), s->is_guessed, false);
    uint32_t frame = stacks_leaf(&in->binaries, p, &text);
    th->sample_callsite = callsite;
    th->sample_frame = frame;
    const uint64_t *counters = counters_of(in, utid, s);
    intern_sample(&in->intern, callsite, frame, utid, s->on_cpu_ns, counters);
    add_to_thread(in, utid, ts, s->on_cpu_ns);
    struct sample_row row = {.ts = ts,
                             .on_cpu_ns = s->on_cpu_ns,
                             .utid = utid,
                             .cpu = s->cpu,
                             .callsite = callsite,
                             .frame = frame};
    store_add_sample(&in->store, &row, counters);
    struct run_counts *c = &in->store.counts;
    uint32_t symbol = in->intern.frames[frame - 1].symbol;
    c->sample_ts = ts;
    c->on_cpu_ns += s->on_cpu_ns;
    c->n_truncated += is_truncated;
    c->n_unnamed += in->intern.symbol_kinds[symbol - 1] == SYMBOL_UNNAMED;
}

static void take_loss(struct ingest *in, const struct event_loss *l)
{
    int64_t cpu = l->cpu == UINT32_MAX ? -1 : (int64_t)l->cpu;
    store_add_loss(&in->store, l->head.ts, cpu, l->kind, l->n);
    if (l->kind == EVENT_LOSS_RING_FULL || l->kind == EVENT_LOSS_QUEUE_FULL ||
        l->kind == EVENT_LOSS_MALFORMED) {
        in->store.counts.n_lost += l->n;
    }
}

static void take_process(struct ingest *in, const struct event_process *p)
{
    const char *name = p->text, *cmdline = p->text + p->name_len;
    struct tasks *t = &in->tasks;
    switch (p->head.type) {
    case EVENT_PROCESS_START:
        tasks_start_process(t, p->head.ts, p->pid, p->parent_pid, name, p->name_len, cmdline,
                            p->cmdline_len);
        break;
    case EVENT_PROCESS_END:
        tasks_end_process(t, p->head.ts, p->pid);
        break;
    default:
        tasks_exec(t, p->head.ts, p->pid, name, p->name_len, cmdline, p->cmdline_len);
        break;
    }
}

static void take_thread(struct ingest *in, const struct event_thread *th)
{
    struct tasks *t = &in->tasks;
    switch (th->head.type) {
    case EVENT_THREAD_START:
        tasks_start_thread(t, th->head.ts, th->pid, th->tid, th->name, th->name_len);
        break;
    case EVENT_THREAD_END:
        tasks_end_thread(t, th->head.ts, th->pid, th->tid);
        break;
    default:
        tasks_name_thread(t, th->head.ts, th->pid, th->tid, th->name, th->name_len);
        break;
    }
}

static void take_end(struct ingest *in, const struct event_end *end)
{
    static const char *const reasons[] = {
#define X(name, text) text,
        EVENT_END_REASONS(X)
#undef X
    };
    in->end_reason = reasons[end->reason];
    in->end_ts = end->head.ts;
}

static void take(struct ingest *in, const struct event_head *head)
{
    switch (head->type) {
    case EVENT_SAMPLE:
        take_sample(in, (const struct event_sample *)head);
        break;
    case EVENT_MAPPING:
        take_mapping(in, (const struct event_mapping *)head);
        break;
    case EVENT_LOSS:
        take_loss(in, (const struct event_loss *)head);
        break;
    case EVENT_OFF_CPU:
        waits_take(&in->waits, (const struct event_off_cpu *)head);
        break;
    case EVENT_OPEN_WAIT:
        waits_take_open(&in->waits, (const struct event_off_cpu *)head);
        break;
    case EVENT_OFF_CPU_FOLDED:
        waits_take_folded(&in->waits, (const struct event_off_cpu_folded *)head);
        break;
    case EVENT_WAKEUP:
        waits_take_wakeup(&in->waits, (const struct event_wakeup *)head);
        break;
    case EVENT_WAKEUPS_FOLDED:
        waits_take_wakeups_folded(&in->waits, (const struct event_wakeups_folded *)head);
        break;
    case EVENT_THREAD_TIME:
        waits_take_time(&in->waits, (const struct event_thread_time *)head);
        break;
    case EVENT_COUNTER_TOTAL:
        take_counter_total(in, (const struct event_counter_total *)head);
        break;
    case EVENT_END:
        take_end(in, (const struct event_end *)head);
        break;
    case EVENT_PROCESS_START:
    case EVENT_PROCESS_END:
    case EVENT_EXEC:
        take_process(in, (const struct event_process *)head);
        break;
    default:
        take_thread(in, (const struct event_thread *)head);
        break;
    }
}

void ingest_feed(struct ingest *in, const void *batch, size_t n_bytes)
{
    if (in->has_ended) {
        return;
    }
    size_t at = 0;
    bool is_bad = false;
    const struct event_head *head;
    while ((head = event_next(batch, n_bytes, &at, &is_bad)) != NULL) {
        if (!in->has_failed || head->type == EVENT_END) {
            take(in, head);
        }
        struct run_counts *c = &in->store.counts;
        c->data_ts = head->ts > c->data_ts ? head->ts : c->data_ts;
    }
    if (is_bad) {
        store_add_loss(&in->store, in->store.counts.data_ts, -1, EVENT_LOSS_MALFORMED, 1);
        in->store.counts.n_lost++;
    }
    if (in->last_ts > in->store.counts.data_ts) {
        in->store.counts.data_ts = in->last_ts;
    }
    in->has_data = true;
}

/* ---- commits ---- */

static void note_commit(struct ingest *in, int64_t began)
{
    int64_t took = clock_monotonic_ns() - began;
    int64_t cpu_ns = clock_thread_cpu_ns();
    uint64_t memory =
        intern_bytes(&in->intern) + binaries_bytes(&in->binaries) + jit_bytes(&in->jit);
    uint64_t debug_info = in->late_names.naming ? naming_bytes(in->late_names.naming) : 0;
    pthread_mutex_lock(&in->stats_lock);
    struct ingest_stats *st = &in->stats;
    st->n_samples = in->intern.n_samples;
    st->n_commits++;
    st->n_rows_written = in->store.n_rows;
    st->n_pending = intern_n_pending(&in->intern);
    st->last_commit_ns = took;
    st->total_commit_ns += took;
    st->max_commit_ns = took > st->max_commit_ns ? took : st->max_commit_ns;
    st->data_ts = in->store.counts.data_ts;
    st->memory_bytes = memory + debug_info;
    st->names_bytes = binaries_table_bytes(&in->binaries);
    st->debug_info_bytes = debug_info;
    st->n_dropped_names = in->binaries.n_dropped;
    st->cpu_time_ns = cpu_ns;
    pthread_mutex_unlock(&in->stats_lock);
}

const char *ingest_failure_reason(const struct err *failure)
{
    return failure->code == STAX_EFULL ? "storage_full" : "capture_failed";
}

/* Storage gave up: frees the reserve and writes the end of the run, with exact summaries unless the
 * commit that failed left memory and file apart (is_torn). */
static void fail(struct ingest *in, const struct err *e, bool is_torn)
{
    in->has_failed = true;
    in->failure = *e;
    in->end_reason = ingest_failure_reason(e);
    unlink(in->reserve_path);
    db_clear_error(in->store.db);
    db_rollback(in->store.db);
    struct err ignored;
    if (!is_torn) {
        store_commit(&in->store, &in->intern, &in->binaries, &in->tasks, true, &ignored);
    }
    store_end_failed(&in->store, in->end_reason, in->store.committed_ts, &in->failure, &ignored);
    db_clear_error(in->store.db);
    db_rollback(in->store.db);
}

/* Keeps the WAL short and the file within its bound. A file that stays over it with nothing left to
 * give back is full. */
static int keep_small(struct ingest *in, struct err *e)
{
    int64_t wal = db_wal_bytes(in->path), share = in->max_bytes / 8;
    bool is_large = in->max_bytes && wal >= share;
    if (wal >= CHECKPOINT_WAL_BYTES || is_large) {
        db_checkpoint(in->store.db, wal >= TRUNCATE_WAL_BYTES || is_large);
        wal = db_wal_bytes(in->path);
    }
    if (in->n_commits++ % FOLDED_LOOK_COMMITS == 0 || in->max_folded < MAX_FOLDED) {
        store_widen_folded(&in->store, in->max_folded);
    }
    int64_t used = in->max_bytes ? store_used_bytes(&in->store) : 0;
    bool is_over = in->max_bytes && used >= in->max_bytes;
    /* Rows are dropped up to a snapshot, and a relayout leaves none. */
    in->late_names.is_end_only |= in->max_bytes && used >= in->max_bytes / 10 * 7;
    if (is_over && store_drop_raw(&in->store, &in->intern, DROP_ROWS)) {
        intern_freeze(&in->intern); /* what was dropped has the shape it was dropped in */
    }
    /* Also a WAL that a reader keeps from being copied back counts: it is memory all the same. */
    if (in->max_bytes && used + wal >= in->max_bytes + in->max_bytes / 4) {
        return err_set(e, STAX_EFULL, "the run reached its size bound of %lld MiB",
                       (long long)(in->max_bytes >> 20));
    }
    return db_status(in->store.db, e);
}

int ingest_commit(struct ingest *in, struct err *e)
{
    struct err own;
    e = e ? e : &own;
    if (in->has_failed || in->has_ended) {
        return 0;
    }
    int64_t began = clock_monotonic_ns();
    bool is_relayout = in->intern.has_new_layout;
    int rc = store_commit(&in->store, &in->intern, &in->binaries, &in->tasks, false, e);
    in->late_names.relayout_took_ns += is_relayout ? clock_monotonic_ns() - began : 0;
    in->has_data = false;
    if (rc) {
        fail(in, e, true);
        return rc;
    }
    int64_t lines_until = clock_monotonic_ns() + (int64_t)JIT_LINES_MS * 1000000;
    /* Close to its bound a run keeps its samples instead. */
    in->has_data = !in->late_names.is_end_only &&
                   !jit_put_tables(&in->jit, &in->late_names.tables, lines_until);
    rc = keep_small(in, e);
    if (rc) {
        fail(in, e, false);
        return rc;
    }
    note_commit(in, began);
    if (in->committed) {
        in->committed(in->ctx, false);
    }
    return 0;
}

/* What its names lack, said where everything is that a run lacks. */
static void note_names(struct ingest *in)
{
    const struct late_names *l = &in->late_names;
    if (l->is_left_out || in->jit.is_left_out) {
        store_lack_names(&in->store,
                         "names came after rows were given up to stay within a bound: inlined "
                         "functions are missing, or some functions are called by poorer names");
    } else if (l->is_cut_off || in->jit.is_cut_off) {
        store_lack_names(&in->store, store_names_cut_off);
    }
}

int ingest_finish(struct ingest *in, const char *stop_reason, int64_t end_ts, struct err *e)
{
    struct err own;
    e = e ? e : &own;
    if (in->has_ended) {
        return 0;
    }
    in->has_ended = true;
    int rc = 0;
    if (!in->has_failed) {
        int64_t began = clock_monotonic_ns();
        jit_finish(&in->jit, JIT_END_MS);
        int64_t lines_ns = clock_monotonic_ns() + (int64_t)NAMES_END_MS * 1000000;
        late_names_finish(&in->late_names, NAMES_END_MS, false);
        lines_ns -= clock_monotonic_ns(); /* names left so much of it */
        jit_settle(&in->jit);
        rc = store_commit(&in->store, &in->intern, &in->binaries, &in->tasks, true, e);
        if (rc == 0) {
            note_names(in);
            rc = store_end(&in->store, stop_reason, end_ts, e);
        }
        if (rc) {
            fail(in, e, true);
        }
        if (rc == 0) {
            int64_t room = in->max_bytes ? in->max_bytes - store_used_bytes(&in->store) : INT64_MAX;
            if (room > MIN_ROOM_FOR_JIT_LINES) {
                int64_t lines_until = clock_monotonic_ns() + (int64_t)JIT_LINES_END_MS * 1000000;
                jit_put_tables(&in->jit, &in->late_names.tables, lines_until);
            }
            code_store(&in->store, &in->intern, &in->binaries, room / 2);
            if (in->late_names.naming && room > MIN_ROOM_FOR_LINES) {
                struct line_tables_bound bound = {.until_ns = clock_monotonic_ns() + lines_ns};
                line_tables_finish(&in->late_names.tables, &bound, false);
            }
        }
        note_commit(in, began);
        db_checkpoint(in->store.db, true);
        db_clear_error(in->store.db);
    }
    unlink(in->reserve_path);
    if (in->committed) {
        in->committed(in->ctx, true);
    }
    return rc;
}

static void *loop(void *arg)
{
    struct ingest *in = arg;
    pthread_setname_np(pthread_self(), "stax-ingest");
    int64_t next = clock_monotonic_ns() + (int64_t)COMMIT_MS * 1000000;
    while (!in->end_reason) {
        int64_t left_ms = (next - clock_monotonic_ns() + 999999) / 1000000;
        size_t n_bytes;
        void *batch = left_ms > 0 ? queue_pop(in->queue, (int)left_ms, &n_bytes) : NULL;
        if (batch) {
            ingest_feed(in, batch, n_bytes);
            free(batch);
        }
        int64_t now = clock_monotonic_ns();
        if (now >= next) {
            if (atomic_exchange(&in->is_renaming, false)) {
                late_names_retry(&in->late_names);
            }
            in->has_data |= jit_step(&in->jit);
            in->has_data |= late_names_step(&in->late_names);
            in->has_data |= jit_settle(&in->jit);
            if (in->has_data) {
                ingest_commit(in, NULL);
            }
            next = now + (int64_t)COMMIT_MS * 1000000;
        }
    }
    ingest_finish(in, in->end_reason, in->end_ts, NULL);
    return NULL;
}

int ingest_start(struct ingest *in, struct queue *queue, struct err *e)
{
    in->queue = queue;
    int rc = pthread_create(&in->thread, NULL, loop, in);
    if (rc) {
        return err_set_errno(e, rc, "cannot start the ingest thread");
    }
    in->has_thread = true;
    return 0;
}

void ingest_rename(struct ingest *in)
{
    atomic_store(&in->is_renaming, true);
}

void ingest_close(struct ingest *in)
{
    if (!in) {
        return;
    }
    if (in->has_thread) {
        pthread_join(in->thread, NULL);
    }
    late_names_fini(&in->late_names);
    jit_fini(&in->jit);
    store_fini(&in->store);
    binaries_fini(&in->binaries);
    tasks_free(&in->tasks);
    intern_free(&in->intern);
    pthread_mutex_destroy(&in->stats_lock);
    unlink(in->reserve_path);
    free(in->reserve_path);
    free(in->path);
    free(in);
}

void ingest_stats(struct ingest *in, struct ingest_stats *stats)
{
    pthread_mutex_lock(&in->stats_lock);
    *stats = in->stats;
    pthread_mutex_unlock(&in->stats_lock);
}

const struct err *ingest_failure(const struct ingest *in)
{
    return &in->failure;
}
