/* threads.c - threads, the busiest first. */
#include <stdlib.h>

#include "base/mem.h"
#include "query/threads.sql.h"
#include "query/view.h"

/* The reasons of thread_state, in the order of thread_sum's columns. */
static const struct reason {
    const char *key;  /* member of "reasons" */
    const char *name; /* what "blocked" says */
    int column;
} reasons[] = {
    {"idle_ns", "idle", threads_by_time_c_idle_ns},
    {"lock_ns", "lock", threads_by_time_c_lock_ns},
    {"sem_ns", "sem", threads_by_time_c_sem_ns},
    {"ipc_ns", "ipc", threads_by_time_c_ipc_ns},
    {"io_r_ns", "ioR", threads_by_time_c_io_r_ns},
    {"io_w_ns", "ioW", threads_by_time_c_io_w_ns},
    {"ready_ns", "ready", threads_by_time_c_ready_ns},
    {"sleep_ns", "sleep", threads_by_time_c_sleep_ns},
    {"conn_ns", "conn", threads_by_time_c_conn_ns},
    {"other_ns", "other", threads_by_time_c_other_ns},
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

/* Waiting is not known for a part of a run, and not for runs recorded without it. */
static void add_no_waits(json_t *o)
{
    static const char *const keys[] = {"runnable_ns", "off_cpu_ns", "blocked", "reasons"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_object_set_new(o, keys[i], json_null());
    }
}

static void add_waits(json_t *o, struct stmt *s)
{
    uint64_t off_cpu_ns = 0; /* a foreign file may hold any numbers */
    int64_t most_ns = 0;
    const char *blocked = NULL;

    if (stmt_is_null(s, threads_by_time_c_runnable_ns) &&
        stmt_is_null(s, threads_by_time_c_other_ns)) {
        add_no_waits(o);
        return;
    }
    json_t *all = json_object();
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        int64_t ns = stmt_int(s, reasons[i].column);
        view_set_int(all, reasons[i].key, ns);
        off_cpu_ns += (uint64_t)ns;
        if (ns > most_ns) {
            most_ns = ns;
            blocked = reasons[i].name;
        }
    }
    json_object_set_new(o, "runnable_ns",
                        stmt_is_null(s, threads_by_time_c_runnable_ns)
                            ? json_null()
                            : json_integer(stmt_int(s, threads_by_time_c_runnable_ns)));
    view_set_int(o, "off_cpu_ns", (int64_t)off_cpu_ns);
    json_object_set_new(o, "blocked", blocked ? json_string(blocked) : json_null());
    json_object_set_new(o, "reasons", all);
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
        view_threads_total(q, &p->filter, &n_samples, &on_cpu_ns);
    }
    s = db_stmt(q->db, &sql_threads_count);
    view_bind_threads(s, threads_count_p_tid, threads_count_p_pid, &p->filter);
    view_set_int(data, "n_threads", stmt_next(s) ? stmt_int(s, threads_count_c_n) : 0);
    stmt_reset(s);
    view_set_int(data, "on_cpu_ns", on_cpu_ns);
    view_set_int(data, "n_samples", n_samples);
    s = db_stmt(q->db, &sql_threads_by_time);
    view_bind_threads(s, threads_by_time_p_tid, threads_by_time_p_pid, &p->filter);
    stmt_bind_int(s, threads_by_time_p_limit, limit ? limit : -1);
    while (stmt_next(s)) {
        json_t *o = identity_of(q, s);
        add_usage(o, stmt_int(s, threads_by_time_c_n_samples),
                  stmt_int(s, threads_by_time_c_on_cpu_ns), on_cpu_ns);
        add_waits(o, s);
        json_array_append_new(threads, o);
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

/* Threads with samples that pass the filter; the others did not run in that range. */
static int show_folded(struct query *q, const struct params *p, int64_t limit, json_t *data,
                       struct err *e)
{
    const struct fold *f = &q->fold;
    json_t *threads = json_array();
    struct usage *used;
    size_t n = 0;

    json_object_set_new(data, "threads", threads);
    int rc = view_fold(q, p, false, e);
    if (rc < 0) {
        return rc;
    }
    used = mem_new(f->n_threads + 1, sizeof(*used));
    for (size_t utid = 1; utid < f->n_threads; utid++) {
        if (f->threads[utid].n_samples) {
            used[n++] = (struct usage){utid, (int64_t)f->threads[utid].n_samples,
                                       (int64_t)f->threads[utid].on_cpu_ns};
        }
    }
    qsort(used, n, sizeof(*used), by_usage);
    view_set_int(data, "n_threads", (int64_t)n);
    view_set_int(data, "on_cpu_ns", (int64_t)f->on_cpu_ns);
    view_set_int(data, "n_samples", (int64_t)f->n_samples);
    for (size_t i = 0; i < n && (limit == 0 || (int64_t)i < limit); i++) {
        struct stmt *s = db_stmt(q->db, &sql_thread_by_id);
        stmt_bind_int(s, thread_by_id_p_utid, (int64_t)used[i].utid);
        if (stmt_next(s)) {
            json_t *o = identity_of(q, s);
            add_usage(o, used[i].n_samples, used[i].on_cpu_ns, (int64_t)f->on_cpu_ns);
            add_no_waits(o);
            json_array_append_new(threads, o);
        }
        stmt_reset(s);
    }
    free(used);
    return db_status(q->db, e);
}

int view_threads(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    int64_t limit = params_int(p, "limit", 20);
    int rc = filter_needs_fold(&p->filter) ? show_folded(q, p, limit, data, e)
                                           : show_summed(q, p, limit, data, e);
    if (rc == 0) {
        run_warnings(q, false, json_array_size(json_object_get(data, "threads")) == 0, p);
    }
    return rc;
}
