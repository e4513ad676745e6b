/* run.c - the run, quality and warnings members that every document carries. */
#include <math.h>
#include <string.h>

#include "base/fd.h"
#include "query/run.sql.h"
#include "query/view.h"

enum { HIGH_FREQUENCY_HZ = 10000 }; /* from here on the kernel's clock itself skips ticks */
/* CPU time without samples that is worth saying: more than this and one part of so many. */
static const int64_t UNSAMPLED_NS = 50000000;
enum { UNSAMPLED_PART = 20 };
static const int64_t UNSAMPLED_AGE_NS = 1000000000;

/* Up to when this file knows what threads do. Nothing newer than its newest event may have happened
 * for long (everybody waits), but what has happened is here within 250 ms (DESIGN §8). */
static int64_t known_until(int64_t data_ts, int64_t now)
{
    int64_t settled = now - 250000000;
    return data_ts > settled ? data_ts : settled;
}

static bool is_any_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

int run_read(struct query *q, struct err *e)
{
    struct stmt *s = db_stmt(q->db, &sql_run_row);
    struct run_row *r = &q->run;

    if (!stmt_next(s)) {
        int rc = db_status(q->db, e);
        return rc < 0 ? rc : err_set(e, STAX_ECORRUPT, "%s holds no run", q->path);
    }
    *r = (struct run_row){
        .fold =
            {
                .start_ts = stmt_int(s, run_row_c_start_ts),
                .data_ts = stmt_int(s, run_row_c_data_ts),
                .raw_from_ts = stmt_int(s, run_row_c_raw_from_ts),
                .n_samples = stmt_int(s, run_row_c_n_samples),
                .n_renames = stmt_int(s, run_row_c_n_renames),
            },
        .on_cpu_ns = stmt_int(s, run_row_c_on_cpu_ns),
        .n_lost = stmt_int(s, run_row_c_n_lost),
        .n_truncated = stmt_int(s, run_row_c_n_truncated),
        .n_unnamed = stmt_int(s, run_row_c_n_unnamed),
        .n_pending = stmt_int(s, run_row_c_n_pending),
        .has_off_cpu = stmt_int(s, run_row_c_has_off_cpu) != 0,
        .frequency_hz = stmt_int(s, run_row_c_frequency_hz),
        .is_cut_short = is_any_of(stmt_text(s, run_row_c_stop_reason), "storage_full",
                                  "capture_failed", "server_died"),
        .is_recording = strcmp(stmt_text(s, run_row_c_state), "recording") == 0 && !q->is_archive,
    };
    int64_t end =
        stmt_is_null(s, run_row_c_end_ts) ? r->fold.data_ts : stmt_int(s, run_row_c_end_ts);
    r->now_ts = end;
    if (r->is_recording) {
        end = clock_monotonic_ns();
        r->now_ts = known_until(r->fold.data_ts, end);
    }
    /* A foreign file may hold any two numbers. */
    if (__builtin_sub_overflow(end, r->fold.start_ts, &r->elapsed_ns) || r->elapsed_ns < 0) {
        r->elapsed_ns = 0;
    }
    r->end_ns = r->elapsed_ns;
    stmt_reset(s);
    counters_read(q);
    return db_status(q->db, e);
}

static void set_text(json_t *object, const char *key, struct stmt *s, int column)
{
    json_object_set_new(object, key,
                        stmt_is_null(s, column) ? json_null()
                                                : json_clean_string(stmt_text(s, column)));
}

/* Why storage ended the run early, if it did. */
static void add_stop_detail(struct query *q, json_t *run)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);

    stmt_bind_text(s, run_missing_ability_p_name, "whole_run");
    if (stmt_next(s)) {
        set_text(run, "stop_detail", s, run_missing_ability_c_reason);
    }
    stmt_reset(s);
}

json_t *run_document(struct query *q)
{
    json_t *run = json_object();
    struct stmt *s = db_stmt(q->db, &sql_run_row);

    if (stmt_next(s)) {
        view_set_int(run, "id", stmt_int(s, run_row_c_id));
        set_text(run, "state", s, run_row_c_state);
        set_text(run, "stop_reason", s, run_row_c_stop_reason);
        view_set_int(run, "pid", stmt_int(s, run_row_c_pid));
        set_text(run, "command", s, run_row_c_command);
        json_object_set_new(run, "is_launched", json_boolean(stmt_int(s, run_row_c_is_launched)));
        view_set_int(run, "start_wall_ns", stmt_int(s, run_row_c_start_wall_ns));
        view_set_int(run, "elapsed_ns", q->run.elapsed_ns);
        view_set_int(run, "frequency_hz", stmt_int(s, run_row_c_frequency_hz));
        view_set_int(run, "n_samples", stmt_int(s, run_row_c_n_samples));
        view_set_int(run, "on_cpu_ns", stmt_int(s, run_row_c_on_cpu_ns));
        json_object_set_new(run, "path", json_clean_string(q->path));
    }
    stmt_reset(s);
    add_stop_detail(q, run);
    return run;
}

/* An integer of the one row of a block without parameters. */
static int64_t read_one(struct query *q, const struct sql_block *block)
{
    struct stmt *s = db_stmt(q->db, block);
    int64_t value = stmt_next(s) ? stmt_int(s, 0) : 0;

    stmt_reset(s);
    return value;
}

/* CPU time that no sample stands for; 0 where that is little: threads end between two samples. Its
 * cost grows with the threads the run ever had: while they change it is at most a second old. */
static void read_unsampled(struct query *q)
{
    struct unsampled *u = &q->unsampled;
    const struct run_row *r = &q->run;
    int64_t now = clock_monotonic_ns(), ns;

    bool is_same = u->data_ts == r->fold.data_ts && u->on_cpu_ns == r->on_cpu_ns;
    bool is_young = r->is_recording && now - u->read_ts < UNSAMPLED_AGE_NS;
    if (u->read_ts && (is_same || is_young)) {
        return;
    }
    int64_t exact_ns = r->has_off_cpu ? read_one(q, &sql_run_ledger) : 0;
    bool is_sane = !__builtin_sub_overflow(exact_ns, r->on_cpu_ns, &ns);
    u->ns = is_sane && ns > UNSAMPLED_NS && ns > exact_ns / UNSAMPLED_PART ? ns : 0;
    u->data_ts = r->fold.data_ts;
    u->on_cpu_ns = r->on_cpu_ns;
    u->read_ts = now;
}

static void add_loss_sums(struct query *q, json_t *quality)
{
    struct stmt *s = db_stmt(q->db, &sql_run_loss_sums);
    bool has_row = stmt_next(s);

    view_set_int(quality, "n_throttled", has_row ? stmt_int(s, run_loss_sums_c_n_throttled) : 0);
    view_set_int(quality, "n_unrecorded", has_row ? stmt_int(s, run_loss_sums_c_n_unrecorded) : 0);
    q->unsampled.n_unseen = has_row ? stmt_int(s, run_loss_sums_c_n_unseen) : 0;
    stmt_reset(s);
}

json_t *run_quality(struct query *q)
{
    json_t *quality = json_object();
    int64_t age_ns = 0;

    view_set_int(quality, "n_samples", q->run.fold.n_samples);
    view_set_int(quality, "n_lost", q->run.n_lost);
    view_set_int(quality, "n_truncated", q->run.n_truncated);
    view_set_int(quality, "n_unnamed", q->run.n_unnamed);
    view_set_int(quality, "n_pending", q->run.n_pending);
    read_unsampled(q);
    view_set_int(quality, "unsampled_ns", q->unsampled.ns);
    add_loss_sums(q, quality);
    if (q->run.is_recording &&
        __builtin_sub_overflow(clock_monotonic_ns(), q->run.fold.data_ts, &age_ns)) {
        age_ns = 0;
    }
    json_object_set_new(quality, "data_age_ns",
                        q->run.is_recording ? json_integer(age_ns > 0 ? age_ns : 0) : json_null());
    return quality;
}

static bool lacks_kernel(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);

    stmt_bind_text(s, run_missing_ability_p_name, "kernel_stacks");
    bool is_missing = stmt_next(s);
    stmt_reset(s);
    return is_missing;
}

static void warn_of_unsampled(struct query *q, int64_t n_ms)
{
    /* What is stored comes from the periods alone; what the switches tell holds lost samples too.
     */
    n_ms = q->unsampled.ns && !q->unsampled.n_unseen ? q->unsampled.ns / 1000000 : n_ms;
    double ms = (double)n_ms, all_ms = ms + (double)q->run.on_cpu_ns / 1e6;
    const char *why = "fell between samples: short-lived threads; a higher -F sees more";

    if (q->run.frequency_hz > HIGH_FREQUENCY_HZ) {
        why = "fell between samples: short-lived threads, or a clock that cannot keep up with so "
              "high a -F";
    } else if (lacks_kernel(q)) {
        why = "is in no sample: time in the kernel, or short-lived threads, of which a higher -F "
              "sees more";
    }
    view_warn(q, "%lld ms of CPU time (%.0f %% of the whole run's) %s", (long long)n_ms,
              all_ms > 0 ? 100 * ms / all_ms : 0.0, why);
}

static void warn_of_threads(struct query *q, int64_t n)
{
    int64_t n_all = read_one(q, &sql_run_n_threads);

    view_warn(q,
              "%lld of %lld threads are not recorded: raise ulimit -n of stax-server, or "
              "LimitNOFILE= in its systemd unit; threads of other users need root",
              (long long)n, (long long)(n_all > n ? n_all : n));
}

/* One wording for each kind of loss, about the whole run. */
static void warn_of_kind(struct query *q, const char *kind, int64_t n)
{
    long long count = (long long)n, n_samples = (long long)q->run.fold.n_samples;
    const char *s = n == 1 ? "" : "s";

    if (strcmp(kind, "ring_full") == 0) {
        view_warn(q,
                  "%lld record%s lost: the kernel's ring was full; the whole run has %lld samples",
                  count, s, n_samples);
    } else if (strcmp(kind, "queue_full") == 0) {
        view_warn(q,
                  "%lld samples or mappings lost: storing them was too slow; the whole run has "
                  "%lld samples",
                  count, n_samples);
    } else if (strcmp(kind, "malformed") == 0) {
        view_warn(q, "%lld record%s lost: they could not be read", count, s);
    } else if (strcmp(kind, "late") == 0) {
        view_warn(q, "%lld record%s came too late to be put in order: kept out of order", count, s);
    } else if (strcmp(kind, "throttled") == 0) {
        view_warn(q, "the kernel paused sampling %lld time%s: a lower -F avoids that", count, s);
    } else if (strcmp(kind, "stacks") == 0) {
        view_warn(
            q,
            "%lld stacks of waits, or wakeups with theirs, found no room: those waits have no "
            "stack of their own, or no waker",
            count);
    } else if (strcmp(kind, "no_events") == 0) {
        warn_of_threads(q, n);
    } else if (strcmp(kind, "not_dumpable") == 0) {
        view_warn(q,
                  "%lld process%s not recorded from an exec on: the kernel ends that for a program "
                  "that is setuid or that its user may not read; record as root (sudo stax record, "
                  "or --pid once it runs)",
                  count, n == 1 ? " was" : "es were");
    } else if (strcmp(kind, "unsampled") == 0) {
        warn_of_unsampled(q, n);
    } else if (strcmp(kind, "wakeups") != 0) { /* the view of wakers says what has one */
        view_warn(q, "loss of kind %s: %lld", kind, count);
    }
}

static void warn_of_loss(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_losses);

    while (stmt_next(s)) {
        warn_of_kind(q, stmt_text(s, run_losses_c_kind), stmt_int(s, run_losses_c_n));
    }
}

/* What the most frequent cause of unfinished stacks means, and what would help; "" if nothing. */
static const char *cut_advice(struct query *q)
{
    static const char *const advice[][2] = {
        {"stack_copy_exhausted", "; they are deeper than what could be copied of them: raise "
                                 "kernel.perf_event_mlock_kb, or record at a lower frequency"},
        {"no_cfi", "; most are in code without unwind information (.eh_frame), such as JIT code "
                   "without frame pointers"},
        {"pending", "; most were taken before the unwind tables of a large binary were ready"},
        {"too_deep", "; they are recursion of more than 1,024 frames"},
        {"kernel_limit", "; they are as deep as the kernel walks them: sudo sysctl "
                         "kernel.perf_event_max_stack=1024, or record with DWARF unwinding"},
        {"no_mapping", "; most come from code without frame pointers: record with DWARF unwinding"},
    };
    struct stmt *s = db_stmt(q->db, &sql_run_unfinished);
    const char *found = "";
    if (stmt_next(s)) {
        const char *cause = stmt_text(s, run_unfinished_c_cause);
        for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
            found = strcmp(cause, advice[i][0]) == 0 ? advice[i][1] : found;
        }
    }
    stmt_reset(s);
    return found;
}

static void warn_of_shares(struct query *q)
{
    double n = (double)q->run.fold.n_samples;

    if (n > 0 && (double)q->run.n_truncated > 0.2 * n) {
        view_warn(q,
                  "%.0f %% of the whole run's stacks are cut off: callers above that point are "
                  "missing%s",
                  100 * (double)q->run.n_truncated / n, cut_advice(q));
    }
    if (n > 0 && (double)q->run.n_unnamed > 0.2 * n) {
        view_warn(q,
                  "%.0f %% of the whole run's samples have no name: stax diagnose says what would "
                  "name them",
                  100 * (double)q->run.n_unnamed / n);
    }
}

static void warn_of_kernel(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);

    stmt_bind_text(s, run_missing_ability_p_name, "kernel_stacks");
    if (stmt_next(s)) {
        const char *unlock = stmt_text(s, run_missing_ability_c_unlock);
        view_warn(q, "no kernel functions: %s%s%s", stmt_text(s, run_missing_ability_c_reason),
                  *unlock ? "; to record them: " : "", unlock);
    }
    stmt_reset(s);
}

/* Whether it may leave samples out; that inlined functions are folded away does not. */
static bool filter_leaves_out(const struct filter *f)
{
    return f->has_tid || f->has_pid || f->has_from || f->has_to || f->n_excluded > 0;
}

/* "tid 4711, from 2.5 s, without main": what the filter says. */
static void describe_filter(const struct filter *f, struct buf *text)
{
    if (f->has_tid) {
        buf_addf(text, ", tid %lld", (long long)f->tid);
    }
    if (f->has_pid) {
        buf_addf(text, ", pid %lld", (long long)f->pid);
    }
    if (f->has_from) {
        buf_addf(text, ", from %.9g s", (double)f->from_ns / 1e9);
    }
    if (f->has_to) {
        buf_addf(text, ", to %.9g s", (double)f->to_ns / 1e9);
    }
    for (size_t i = 0; i < f->n_excluded; i++) {
        buf_addf(text, ", without %s", f->excluded[i]);
    }
}

/* What is left of the run when a filter lets nothing through: which part of it does that, and what
 * to ask instead. */
static void warn_of_filter(struct query *q, const struct filter *f)
{
    double run_s = (double)q->run.end_ns / 1e9;
    long long n = (long long)q->run.fold.n_samples;
    bool has_range = f->has_from || f->has_to, has_thread = f->has_tid || f->has_pid;
    struct buf text = {0};

    describe_filter(f, &text);
    if (f->has_from && f->from_ns >= q->run.end_ns) {
        view_warn(q, "no samples from %.9g s on: the run is %.3f s long", (double)f->from_ns / 1e9,
                  run_s);
    } else if (has_range + has_thread + (f->n_excluded > 0) > 1) {
        view_warn(q,
                  "no samples pass all of: %s; leave one out (the run has %lld samples in %.3f s)",
                  buf_str(&text) + 2, n, run_s);
    } else if (has_range) {
        view_warn(q, "no samples in this time (%s); the run has %lld samples in %.3f s: widen it",
                  buf_str(&text) + 2, n, run_s);
    } else if (f->n_excluded) {
        view_warn(q, "no samples %s; the run has %lld in %.3f s: exclude what is on fewer stacks",
                  buf_str(&text) + 2, n, run_s);
    } else {
        view_warn(q, "no samples of %s; stax threads shows who of the run has some",
                  buf_str(&text) + 2);
    }
    buf_free(&text);
}

static void warn_of_names(struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);

    stmt_bind_text(s, run_missing_ability_p_name, "late_names");
    if (stmt_next(s)) {
        view_warn(q, "%s: %s completes them", stmt_text(s, run_missing_ability_c_reason),
                  stmt_text(s, run_missing_ability_c_unlock));
    }
    stmt_reset(s);
}

static void warn_of_emptiness(struct query *q, const struct params *p)
{
    bool is_lossy = q->run.fold.n_samples == 0 && read_one(q, &sql_run_is_lossy);

    if (is_lossy) {
        view_warn(q, "no samples%s, but not all of the target %s recorded",
                  q->run.is_recording ? " yet" : "", q->run.is_recording ? "is" : "was");
    } else if (q->run.fold.n_samples == 0 && q->run.is_recording) {
        view_warn(q, "no samples yet: the target has not used the CPU so far "
                     "(stax wait --for-samples 1 waits for the first)");
    } else if (q->run.fold.n_samples == 0 && q->run.is_cut_short) {
        view_warn(q, "no samples: the recording ended early, stax diagnose says more");
    } else if (q->run.fold.n_samples == 0) {
        view_warn(q, "no samples: the target used no CPU while it was recorded, or ended too soon; "
                     "record for longer or with a higher -F");
    } else if (p && filter_leaves_out(&p->filter)) {
        warn_of_filter(q, &p->filter);
    } else if (q->run.n_pending > 0) {
        view_warn(q, "summaries are behind by %lld samples: ask again in a moment",
                  (long long)q->run.n_pending);
    }
}

void run_warnings(struct query *q, bool shows_stacks, bool is_empty, const struct params *p)
{
    if (is_empty) {
        warn_of_emptiness(q, p);
    }
    warn_of_loss(q);
    if (shows_stacks) {
        warn_of_shares(q);
        warn_of_kernel(q);
        warn_of_names(q);
    }
    if (q->is_migrated) {
        view_warn(q, "this archive was made by an older version; a private copy was migrated");
    }
}
