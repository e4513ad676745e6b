/* view.c - helpers that shape the documents of the views. */
#include "query/view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/symbols.h"
#include "query/view.sql.h"

const struct measure measure_on_cpu = {
    .n = "n_samples",
    .ns = "on_cpu_ns",
    .n_self = "n_self_samples",
    .self_ns = "self_on_cpu_ns",
    .n_total = "n_total_samples",
    .total_ns = "total_on_cpu_ns",
};

const struct measure measure_off_cpu = {
    .n = "n_waits",
    .ns = "off_cpu_ns",
    .n_self = "n_self_waits",
    .self_ns = "self_off_cpu_ns",
    .n_total = "n_total_waits",
    .total_ns = "total_off_cpu_ns",
};

void view_warn(struct query *q, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_array_append_new(q->warnings, json_clean_string(text));
}

int view_flag_function(struct query *q, const char *name, uint8_t *flags, struct err *e)
{
    char *taken;
    int rc = symbols_flag_matching(&q->fold.symbols, q->db, name, flags, &taken, e);

    if (rc == 0 && taken) {
        view_warn(q,
                  "several functions have \"%s\" in their name: this is \"%s\", which has the most "
                  "CPU time",
                  name, taken);
    }
    free(taken);
    return rc;
}

json_t *view_pct(int64_t part, int64_t whole)
{
    double pct = whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
    return json_real(round(pct * 1000.0) / 1000.0);
}

void view_set_int(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

void view_bind_threads(struct stmt *s, int p_tid, int p_pid, const struct filter *filter)
{
    if (filter->has_tid) {
        stmt_bind_int(s, p_tid, filter->tid);
    } else {
        stmt_bind_null(s, p_tid);
    }
    if (filter->has_pid) {
        stmt_bind_int(s, p_pid, filter->pid);
    } else {
        stmt_bind_null(s, p_pid);
    }
}

void view_threads_total(struct query *q, const struct filter *filter, int64_t *n_samples,
                        int64_t *on_cpu_ns)
{
    struct stmt *s = db_stmt(q->db, &sql_threads_total);

    view_bind_threads(s, threads_total_p_tid, threads_total_p_pid, filter);
    if (stmt_next(s)) {
        *n_samples = stmt_int(s, threads_total_c_n_samples);
        *on_cpu_ns = stmt_int(s, threads_total_c_on_cpu_ns);
    }
    stmt_reset(s);
}

static void warn_of_move(struct query *q, const char *what, int64_t ts)
{
    double since_s =
        ts > q->run.fold.start_ts ? ((double)ts - (double)q->run.fold.start_ts) / 1e9 : 0;
    view_warn(q,
              "the %s of the range was moved to %.3f s: sample rows around it were dropped to "
              "save space",
              what, since_s);
}

int view_fold(struct query *q, const struct params *p, bool with_nodes, struct err *e)
{
    int rc = fold_samples(&q->fold, q->db, &q->run.fold, &p->filter, with_nodes, e);

    if (rc == 0 && q->fold.is_from_moved) {
        warn_of_move(q, "start", q->fold.from_ts);
    }
    if (rc == 0 && q->fold.is_to_moved) {
        warn_of_move(q, "end", q->fold.to_ts);
    }
    return rc;
}
