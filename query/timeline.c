/*
 * timeline.c - on-CPU time of threads over time, from 100 ms buckets.
 *
 * The range is widened to whole buckets, and buckets are joined until at most max_buckets are left.
 * Excluding functions needs the stacks, so that alone reads raw samples.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/timeline.sql.h"
#include "query/view.h"

#define UNIT_NS 100000000LL /* of time_bucket */

struct timeline {
    struct query *q;
    int64_t first, last; /* time_bucket.bucket, inclusive */
    int64_t width;       /* of a shown bucket, in time_bucket's */
    int64_t n_buckets;
    size_t *lane_of; /* by utid; 0: not shown, else lane + 1 */
    uint64_t *lanes; /* n_lanes * n_buckets; NULL: sums per thread are being made */
    bool is_raw;
};

struct busy {
    size_t utid;
    uint64_t on_cpu_ns;
};

static void set_range(struct timeline *t, const struct params *p)
{
    const struct filter *f = &p->filter;
    int64_t max_buckets = params_int(p, "max_buckets", 240);
    int64_t end_ns = t->q->run.end_ns > 0 ? t->q->run.end_ns : 1;

    if (f->has_to && f->to_ns < end_ns) {
        end_ns = f->to_ns;
    }
    t->first = f->from_ns / UNIT_NS;
    t->last = (end_ns - 1) / UNIT_NS;
    int64_t n = t->last >= t->first ? t->last - t->first + 1 : 0;
    t->width = n > 0 ? (n + max_buckets - 1) / max_buckets : 1;
    t->n_buckets = (n + t->width - 1) / t->width;
}

static void add(struct timeline *t, int64_t bucket, int64_t utid, int64_t on_cpu_ns)
{
    struct fold *f = &t->q->fold;

    if (utid <= 0 || (uint64_t)utid >= f->n_threads || bucket < t->first || bucket > t->last) {
        return;
    }
    if (!t->lanes) {
        f->threads[utid].ns += (uint64_t)on_cpu_ns;
        f->threads[utid].n++;
    } else if (t->lane_of[utid]) {
        size_t lane = t->lane_of[utid] - 1;
        size_t slot = (size_t)((bucket - t->first) / t->width);
        t->lanes[lane * (size_t)t->n_buckets + slot] += (uint64_t)on_cpu_ns;
    }
}

static void read_buckets(struct timeline *t)
{
    struct stmt *s = db_stmt(t->q->db, &sql_timeline_buckets);

    stmt_bind_int(s, timeline_buckets_p_first, t->first);
    stmt_bind_int(s, timeline_buckets_p_last, t->last);
    while (stmt_next(s)) {
        int64_t utid = stmt_int(s, timeline_buckets_c_utid);
        if (fold_accepts(&t->q->fold, utid, 0)) {
            add(t, stmt_int(s, timeline_buckets_c_bucket), utid,
                stmt_int(s, timeline_buckets_c_on_cpu_ns));
        }
    }
}

static void read_samples(struct timeline *t, const struct params *p)
{
    struct query *q = t->q;
    struct stmt *s = db_stmt(q->db, &sql_timeline_samples);
    int64_t after, upto, since;

    fold_range(&q->run.fold, &p->filter, &after, &upto);
    stmt_bind_int(s, timeline_samples_p_after, after);
    stmt_bind_int(s, timeline_samples_p_upto, upto);
    while (stmt_next(s)) {
        int64_t utid = stmt_int(s, timeline_samples_c_utid);
        uint32_t node = tree_sample_node(&q->fold.tree, stmt_int(s, timeline_samples_c_callsite),
                                         stmt_int(s, timeline_samples_c_frame));
        if (fold_accepts(&q->fold, utid, node) &&
            !__builtin_sub_overflow(stmt_int(s, timeline_samples_c_ts), q->run.fold.start_ts,
                                    &since)) {
            add(t, since / UNIT_NS, utid, stmt_int(s, timeline_samples_c_on_cpu_ns));
        }
    }
}

static void read_all(struct timeline *t, const struct params *p)
{
    if (t->is_raw) {
        read_samples(t, p);
    } else {
        read_buckets(t);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct busy *x = a, *y = b;

    if (x->on_cpu_ns != y->on_cpu_ns) {
        return x->on_cpu_ns < y->on_cpu_ns ? 1 : -1;
    }
    return x->utid < y->utid ? -1 : x->utid > y->utid;
}

/* The busiest threads of the range, most first. */
static struct busy *choose(const struct fold *f, size_t *n)
{
    struct busy *busy = mem_new(f->n_threads + 1, sizeof(*busy));

    *n = 0;
    for (size_t utid = 1; utid < f->n_threads; utid++) {
        if (f->threads[utid].n) {
            busy[(*n)++] = (struct busy){utid, f->threads[utid].ns};
        }
    }
    qsort(busy, *n, sizeof(*busy), by_time);
    return busy;
}

static json_t *lane_document(struct timeline *t, size_t utid)
{
    struct stmt *s = db_stmt(t->q->db, &sql_timeline_thread);
    const uint64_t *lane = t->lanes + (t->lane_of[utid] - 1) * (size_t)t->n_buckets;
    json_t *o = json_object();
    json_t *values = json_array();

    stmt_bind_int(s, timeline_thread_p_utid, (int64_t)utid);
    if (stmt_next(s)) {
        view_set_int(o, "utid", (int64_t)utid);
        view_set_int(o, "tid", stmt_int(s, timeline_thread_c_tid));
        view_set_int(o, "pid", stmt_int(s, timeline_thread_c_pid));
        json_object_set_new(o, "name", json_clean_string(stmt_text(s, timeline_thread_c_name)));
    }
    stmt_reset(s);
    for (int64_t i = 0; i < t->n_buckets; i++) {
        json_array_append_new(values, json_integer((int64_t)lane[i]));
    }
    json_object_set_new(o, "on_cpu_ns", values);
    return o;
}

static void show(struct timeline *t, const struct params *p, json_t *threads, size_t limit)
{
    size_t n, n_all;
    struct busy *busy = choose(&t->q->fold, &n_all);

    n = limit < n_all ? limit : n_all;
    t->lane_of = mem_new(t->q->fold.n_threads + 1, sizeof(*t->lane_of));
    t->lanes = mem_new(n * (size_t)t->n_buckets + 1, sizeof(*t->lanes));
    for (size_t i = 0; i < n; i++) {
        t->lane_of[busy[i].utid] = i + 1;
    }
    read_all(t, p);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(threads, lane_document(t, busy[i].utid));
    }
    if (n < n_all) {
        view_warn(t->q, "%zu more threads ran in this range", n_all - n);
    }
    free(t->lanes);
    free(t->lane_of);
    free(busy);
}

int view_timeline(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct timeline t = {.q = q, .is_raw = p->filter.n_excluded > 0};
    json_t *threads = json_array();

    json_object_set_new(data, "threads", threads);
    int rc = fold_threads(&q->fold, q->db, &p->filter, e);
    if (rc == 0 && t.is_raw) {
        rc = fold_prepare(&q->fold, q->db, &q->run.fold, &p->filter, e);
    } else if (rc == 0) {
        fold_clear_excluded(&q->fold);
    }
    if (rc < 0) {
        return rc;
    }
    set_range(&t, p);
    view_set_int(data, "bucket_ns", t.width * UNIT_NS);
    view_set_int(data, "n_buckets", t.n_buckets);
    view_set_int(data, "from_ns", t.first * UNIT_NS);
    if (t.n_buckets > 0) {
        int64_t limit = params_int(p, "limit", 20);
        read_all(&t, p);
        show(&t, p, threads, limit > 0 && limit < 1000 ? (size_t)limit : 1000);
    }
    if (t.is_raw && q->run.fold.raw_from_ts > q->run.fold.start_ts) {
        view_warn(q,
                  "sample rows of the first %.3f s were dropped to save space; with exclude they "
                  "are missing here",
                  ((double)q->run.fold.raw_from_ts - (double)q->run.fold.start_ts) / 1e9);
    }
    run_warnings(q, false, json_array_size(threads) == 0, p);
    return db_status(q->db, e);
}
