/* samples.c - the newest raw samples with their stacks, for looking closely. */
#include "query/samples.sql.h"
#include "query/view.h"

enum { MAX_SHOWN_DEPTH = 1200 }; /* deeper than any stack that is recorded */

static void add_thread(struct query *q, json_t *o, int64_t utid)
{
    struct stmt *s = db_stmt(q->db, &sql_samples_thread);

    stmt_bind_int(s, samples_thread_p_utid, utid);
    if (stmt_next(s)) {
        view_set_int(o, "tid", stmt_int(s, samples_thread_c_tid));
        view_set_int(o, "pid", stmt_int(s, samples_thread_c_pid));
        json_object_set_new(o, "thread", json_clean_string(stmt_text(s, samples_thread_c_name)));
    }
    stmt_reset(s);
}

static void add_address(struct query *q, json_t *o, int64_t frame)
{
    struct stmt *s = db_stmt(q->db, &sql_samples_address);

    stmt_bind_int(s, samples_address_p_frame, frame);
    if (stmt_next(s)) {
        view_set_int(o, "rel_address", stmt_int(s, samples_address_c_rel_address));
        json_object_set_new(o, "binary", json_clean_string(stmt_text(s, samples_address_c_binary)));
    }
    stmt_reset(s);
}

/* Names of a stack, the process first and the sampled function last. */
static json_t *stack_of(struct query *q, uint32_t node)
{
    const struct tree *t = &q->fold.tree;
    json_t *names = json_array();

    for (int depth = 0; node && depth < MAX_SHOWN_DEPTH; node = t->nodes[node].parent, depth++) {
        json_array_insert_new(names, 0, symbols_name(q->db, t->nodes[node].symbol));
    }
    return names;
}

static json_t *sample_of(struct query *q, struct stmt *s, uint32_t node)
{
    json_t *o = json_object();
    int64_t since = 0;

    if (__builtin_sub_overflow(stmt_int(s, samples_newest_c_ts), q->run.fold.start_ts, &since)) {
        since = 0;
    }
    view_set_int(o, "since_start_ns", since);
    view_set_int(o, "utid", stmt_int(s, samples_newest_c_utid));
    add_thread(q, o, stmt_int(s, samples_newest_c_utid));
    view_set_int(o, "cpu", stmt_int(s, samples_newest_c_cpu));
    view_set_int(o, "on_cpu_ns", stmt_int(s, samples_newest_c_on_cpu_ns));
    view_set_int(o, "callsite", stmt_int(s, samples_newest_c_callsite));
    view_set_int(o, "frame", stmt_int(s, samples_newest_c_frame));
    add_address(q, o, stmt_int(s, samples_newest_c_frame));
    json_object_set_new(o, "stack", stack_of(q, node));
    return o;
}

int view_samples(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct fold *f = &q->fold;
    json_t *samples = json_array();
    int64_t limit = params_int(p, "limit", 100);
    int64_t after, upto;

    json_object_set_new(data, "samples", samples);
    int rc = fold_threads(f, q->db, &p->filter, e);
    if (rc == 0) {
        rc = fold_prepare(f, q->db, &q->run.fold, &p->filter, e);
    }
    if (rc < 0) {
        return rc;
    }
    limit = limit > 0 && limit < 10000 ? limit : 10000;
    fold_range(&q->run.fold, &p->filter, &after, &upto);
    struct stmt *s = db_stmt(q->db, &sql_samples_newest);
    stmt_bind_int(s, samples_newest_p_after, after);
    stmt_bind_int(s, samples_newest_p_upto, upto);
    while ((int64_t)json_array_size(samples) < limit && stmt_next(s)) {
        uint32_t node = tree_sample_node(&f->tree, stmt_int(s, samples_newest_c_callsite),
                                         stmt_int(s, samples_newest_c_frame));
        if (fold_accepts(f, stmt_int(s, samples_newest_c_utid), node)) {
            json_array_append_new(samples, sample_of(q, s, node));
        }
    }
    stmt_reset(s);
    view_set_int(data, "n_samples", (int64_t)json_array_size(samples));
    run_warnings(q, true, json_array_size(samples) == 0, p);
    return db_status(q->db, e);
}
