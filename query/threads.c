/*
 * threads.c - threads and where their wall time went, the busiest first.
 *
 * For each thread wall = on-CPU + runnable + blocked by reason + unknown. What a thread is doing
 * since the last commit is counted up to run_row.now_ts.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/counters.sql.h"
#include "query/threads.sql.h"
#include "query/waits.h"

/* thread_sum's columns in the order of reasons.h. */
static const int columns[N_STATES] = {
    threads_by_time_c_idle_ns,  threads_by_time_c_lock_ns,     threads_by_time_c_sem_ns,
    threads_by_time_c_ipc_ns,   threads_by_time_c_io_r_ns,     threads_by_time_c_io_w_ns,
    threads_by_time_c_ready_ns, threads_by_time_c_sleep_ns,    threads_by_time_c_conn_ns,
    threads_by_time_c_other_ns, threads_by_time_c_runnable_ns,
};

/* Sums are unsigned: a foreign file may hold any numbers. */
struct ledger {
    uint64_t ns[N_STATES];
    uint64_t on_cpu_ns;
    uint64_t guessed_ns; /* of the reasons */
    bool is_guess_unknown;
    int64_t wall_ns;
};

_Static_assert((int)threads_by_time_c_end_ts == (int)thread_by_id_c_end_ts,
               "both statements begin with the same columns");

static json_t *since_start(const struct query *q, struct stmt *s, int column)
{
    int64_t since;

    if (stmt_is_null(s, column) ||
        __builtin_sub_overflow(stmt_int(s, column), q->run.fold.start_ts, &since)) {
        return json_null();
    }
    return json_integer(since);
}

static json_t *identity_of(const struct query *q, struct stmt *s)
{
    json_t *o = json_object();

    view_set_int(o, "utid", stmt_int(s, threads_by_time_c_utid));
    view_set_int(o, "tid", stmt_int(s, threads_by_time_c_tid));
    view_set_int(o, "pid", stmt_int(s, threads_by_time_c_pid));
    view_set_int(o, "upid", stmt_int(s, threads_by_time_c_upid));
    json_object_set_new(o, "name", json_clean_string(stmt_text(s, threads_by_time_c_name)));
    json_object_set_new(o, "process", json_clean_string(stmt_text(s, threads_by_time_c_process)));
    json_object_set_new(o, "is_main_thread",
                        json_boolean(stmt_int(s, threads_by_time_c_is_main_thread)));
    json_object_set_new(o, "start_ns", since_start(q, s, threads_by_time_c_start_ts));
    json_object_set_new(o, "end_ns", since_start(q, s, threads_by_time_c_end_ts));
    return o;
}

static void add_usage(json_t *o, int64_t n_samples, int64_t on_cpu_ns, int64_t whole_ns)
{
    view_set_int(o, "on_cpu_ns", on_cpu_ns);
    json_object_set_new(o, "on_cpu_pct", view_pct(on_cpu_ns, whole_ns));
    view_set_int(o, "n_samples", n_samples);
}

/* Time from the start of a thread to its end or now, as far as the range of the filter has it. */
static int64_t wall_of(const struct query *q, const struct filter *filter, struct stmt *s)
{
    int64_t from, to, ns;
    int64_t start = stmt_int(s, threads_by_time_c_start_ts);
    int64_t end = stmt_is_null(s, threads_by_time_c_end_ts) ? q->run.now_ts
                                                            : stmt_int(s, threads_by_time_c_end_ts);

    waits_range(q, filter, &from, &to);
    end = end < q->run.now_ts ? end : q->run.now_ts;
    start = start > from ? start : from;
    end = end < to ? end : to;
    return end > start && !__builtin_sub_overflow(end, start, &ns) ? ns : 0;
}

/* Members of runs that did not record it. */
static void add_no_ledger(json_t *o)
{
    static const char *const keys[] = {"runnable_ns", "off_cpu_ns", "blocked", "reasons",
                                       "guessed_ns",  "unknown_ns", "wall_ns", "n_switches"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_object_set_new(o, keys[i], json_null());
    }
}

static void add_ledger(json_t *o, const struct ledger *l, json_t *n_switches)
{
    json_t *all = json_object();
    uint64_t off_cpu_ns = 0, known_ns = l->on_cpu_ns + l->ns[REASON_RUNNABLE];
    const char *blocked = NULL;
    uint64_t most_ns = 0;

    for (int i = 0; i < N_REASONS; i++) {
        view_set_int(all, reasons[i].key, (int64_t)l->ns[i]);
        off_cpu_ns += l->ns[i];
        if (l->ns[i] > most_ns) {
            most_ns = l->ns[i];
            blocked = reasons[i].name;
        }
    }
    known_ns += off_cpu_ns;
    view_set_int(o, "runnable_ns", (int64_t)l->ns[REASON_RUNNABLE]);
    view_set_int(o, "off_cpu_ns", (int64_t)off_cpu_ns);
    json_object_set_new(o, "blocked", blocked ? json_string(blocked) : json_null());
    json_object_set_new(o, "reasons", all);
    json_object_set_new(o, "guessed_ns",
                        l->is_guess_unknown ? json_null() : json_integer((int64_t)l->guessed_ns));
    view_set_int(o, "unknown_ns",
                 known_ns < (uint64_t)l->wall_ns ? l->wall_ns - (int64_t)known_ns : 0);
    view_set_int(o, "wall_ns", l->wall_ns);
    json_object_set_new(o, "n_switches", n_switches);
}

/* Adds what the thread has been doing since its sums were written. */
static void add_open(const struct query *q, struct ledger *l, struct stmt *s)
{
    const char *state = stmt_text(s, threads_by_time_c_open_state);
    int64_t end = q->run.now_ts, ns;

    if (!stmt_is_null(s, threads_by_time_c_end_ts) && stmt_int(s, threads_by_time_c_end_ts) < end) {
        end = stmt_int(s, threads_by_time_c_end_ts);
    }
    if (!*state || stmt_is_null(s, threads_by_time_c_open_ts) ||
        __builtin_sub_overflow(end, stmt_int(s, threads_by_time_c_open_ts), &ns) || ns <= 0) {
        return;
    }
    if (strcmp(state, "running") == 0) {
        l->on_cpu_ns += (uint64_t)ns;
    } else if (strcmp(state, "runnable") == 0 || strcmp(state, "blocked") == 0) {
        l->ns[reason_of(state, stmt_text(s, threads_by_time_c_open_reason))] += (uint64_t)ns;
    }
}

/* "counters" and "ipc", in runs that count. */
static void add_counters(const struct query *q, json_t *o, const int64_t values[COUNTERS_MAX])
{
    counters_add(q, o, "counters", values);
    counters_add_ipc(q, o, "ipc", values);
}

static void add_summed_counters(const struct query *q, json_t *o, int64_t utid)
{
    int64_t values[COUNTERS_MAX] = {0};

    if (q->counters.n) {
        struct stmt *s = db_stmt(q->db, &sql_thread_counters);
        stmt_bind_int(s, thread_counters_p_utid, utid);
        if (stmt_next(s)) {
            counters_of_row(q, s, thread_counters_c_c0, values);
        }
        stmt_reset(s);
        add_counters(q, o, values);
    }
}

static json_t *summed_thread(const struct query *q, const struct filter *filter, struct stmt *s,
                             int64_t all_ns)
{
    json_t *o = identity_of(q, s);
    struct ledger l = {.on_cpu_ns = (uint64_t)stmt_int(s, threads_by_time_c_on_cpu_ns),
                       .guessed_ns = (uint64_t)stmt_int(s, threads_by_time_c_guessed_ns),
                       .is_guess_unknown = stmt_is_null(s, threads_by_time_c_guessed_ns),
                       .wall_ns = wall_of(q, filter, s)};

    for (int i = 0; i < N_STATES; i++) {
        l.ns[i] = (uint64_t)stmt_int(s, columns[i]);
    }
    if (q->run.has_off_cpu) {
        add_open(q, &l, s);
    }
    add_usage(o, stmt_int(s, threads_by_time_c_n_samples), (int64_t)l.on_cpu_ns, all_ns);
    if (q->run.has_off_cpu) {
        add_ledger(o, &l,
                   stmt_is_null(s, threads_by_time_c_n_switches)
                       ? json_null()
                       : json_integer(stmt_int(s, threads_by_time_c_n_switches)));
    } else {
        add_no_ledger(o);
    }
    add_summed_counters(q, o, stmt_int(s, threads_by_time_c_utid));
    return o;
}

static void describe_counters(struct query *q, const struct filter *filter, json_t *data)
{
    int64_t values[COUNTERS_MAX] = {0};

    if (q->counters.n) {
        struct stmt *s = db_stmt(q->db, &sql_threads_counters);
        view_bind_threads(s, threads_counters_p_tid, threads_counters_p_pid, filter);
        if (stmt_next(s)) {
            counters_of_row(q, s, threads_counters_c_c0, values);
        }
        stmt_reset(s);
        counters_add(q, data, "counters", values);
    }
}

static int show_summed(struct query *q, const struct params *p, int64_t limit, json_t *data,
                       struct err *e)
{
    int64_t n_samples = q->run.fold.n_samples, on_cpu_ns = q->run.on_cpu_ns;
    json_t *threads = json_array();
    struct stmt *s;

    json_object_set_new(data, "threads", threads);
    if (filter_is_thread(&p->filter)) {
        int rc = fold_threads(&q->fold, q->db, &p->filter, e);
        if (rc < 0) {
            return rc;
        }
    }
    if (filter_is_thread(&p->filter) || q->run.has_off_cpu) {
        /* Exact; what the run has is what samples stand for. */
        view_threads_total(q, &p->filter, &n_samples, &on_cpu_ns);
    }
    s = db_stmt(q->db, &sql_threads_count);
    view_bind_threads(s, threads_count_p_tid, threads_count_p_pid, &p->filter);
    view_set_int(data, "n_threads", stmt_next(s) ? stmt_int(s, threads_count_c_n) : 0);
    stmt_reset(s);
    view_set_int(data, "on_cpu_ns", on_cpu_ns);
    view_set_int(data, "n_samples", n_samples);
    describe_counters(q, &p->filter, data);
    s = db_stmt(q->db, &sql_threads_by_time);
    view_bind_threads(s, threads_by_time_p_tid, threads_by_time_p_pid, &p->filter);
    stmt_bind_int(s, threads_by_time_p_limit, limit ? limit : -1);
    while (stmt_next(s)) {
        json_array_append_new(threads, summed_thread(q, &p->filter, s, on_cpu_ns));
    }
    return db_status(q->db, e);
}

struct usage {
    size_t utid;
    int64_t n_samples, on_cpu_ns;
};

static int by_usage(const void *a, const void *b)
{
    const struct usage *x = a, *y = b;

    if (x->on_cpu_ns != y->on_cpu_ns) {
        return x->on_cpu_ns < y->on_cpu_ns ? 1 : -1;
    }
    return x->utid < y->utid ? -1 : x->utid > y->utid;
}

static void add_piece(void *context, const struct wait_piece *piece)
{
    struct ledger *ledgers = context, *l = &ledgers[piece->utid];

    l->ns[piece->reason] += (uint64_t)piece->ns;
    if (piece->guessed_ns < 0) {
        l->is_guess_unknown = true;
    } else {
        l->guessed_ns += (uint64_t)piece->guessed_ns;
    }
}

/* Waits of a range by thread. NULL where nothing is known of them: the run did not record it, or
 * functions are excluded, which only samples can be asked about. */
static struct ledger *read_ledgers(struct query *q, const struct filter *filter, struct err *e)
{
    if (!q->run.has_off_cpu || filter->n_excluded) {
        return NULL;
    }
    struct ledger *ledgers = mem_new(q->fold.n_threads + 1, sizeof(*ledgers));
    waits_each(q, filter, add_piece, ledgers, e);
    return ledgers;
}

static bool has_waited(const struct ledger *ledgers, size_t utid)
{
    uint64_t ns = 0;

    for (int i = 0; ledgers && i < N_STATES; i++) {
        ns |= ledgers[utid].ns[i];
    }
    return ns != 0;
}

/* Threads that ran or waited in the range, the busiest first. */
static struct usage *choose(const struct fold *f, const struct ledger *ledgers, size_t *n)
{
    struct usage *used = mem_new(f->n_threads + 1, sizeof(*used));

    *n = 0;
    for (size_t utid = 1; utid < f->n_threads; utid++) {
        if (f->threads[utid].n || has_waited(ledgers, utid)) {
            used[(*n)++] =
                (struct usage){utid, (int64_t)f->threads[utid].n, (int64_t)f->threads[utid].ns};
        }
    }
    qsort(used, *n, sizeof(*used), by_usage);
    return used;
}

static json_t *folded_thread(struct query *q, const struct filter *filter, const struct usage *used,
                             const struct ledger *ledgers)
{
    struct stmt *s = db_stmt(q->db, &sql_thread_by_id);
    json_t *o = NULL;

    stmt_bind_int(s, thread_by_id_p_utid, (int64_t)used->utid);
    if (stmt_next(s)) {
        o = identity_of(q, s);
        add_usage(o, used->n_samples, used->on_cpu_ns, (int64_t)q->fold.ns);
        if (ledgers) {
            struct ledger l = ledgers[used->utid];
            l.on_cpu_ns = (uint64_t)used->on_cpu_ns;
            l.wall_ns = wall_of(q, filter, s);
            add_ledger(o, &l, json_null());
        } else {
            add_no_ledger(o);
        }
        int64_t values[COUNTERS_MAX] = {0};
        for (size_t i = 0; i < q->fold.n_counters; i++) {
            values[i] = (int64_t)q->fold.thread_counters[used->utid * q->fold.n_counters + i];
        }
        add_counters(q, o, values);
    }
    stmt_reset(s);
    return o;
}

static int show_folded(struct query *q, const struct params *p, int64_t limit, json_t *data,
                       struct err *e)
{
    const struct fold *f = &q->fold;
    json_t *threads = json_array();
    size_t n = 0;

    json_object_set_new(data, "threads", threads);
    int rc = view_fold(q, p, false, e);
    if (rc < 0) {
        return rc;
    }
    struct ledger *ledgers = read_ledgers(q, &p->filter, e);
    struct usage *used = choose(f, ledgers, &n);
    view_set_int(data, "n_threads", (int64_t)n);
    view_set_int(data, "on_cpu_ns", (int64_t)f->ns);
    view_set_int(data, "n_samples", (int64_t)f->n);
    int64_t values[COUNTERS_MAX];
    memcpy(values, f->counters, sizeof(values));
    counters_add(q, data, "counters", values);
    for (size_t i = 0; i < n && (limit == 0 || (int64_t)i < limit); i++) {
        json_t *o = folded_thread(q, &p->filter, &used[i], ledgers);
        if (o) {
            json_array_append_new(threads, o);
        }
    }
    free(ledgers);
    free(used);
    return db_status(q->db, e);
}

int view_threads(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    int64_t limit = params_int(p, "limit", 20);
    int rc = filter_needs_fold(&p->filter) ? show_folded(q, p, limit, data, e)
                                           : show_summed(q, p, limit, data, e);
    if (rc == 0) {
        waits_warn_unrecorded(q);
        run_warnings(q, false, json_array_size(json_object_get(data, "threads")) == 0, p);
        counters_warn_threads(q);
    }
    return rc;
}
