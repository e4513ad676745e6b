/* intervals.c - the longest single waits: when, who, why, and on which stack. */
#include "query/intervals.sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/places.h"
#include "query/waits.h"

struct intervals {
    struct query *q;
    int reason;                /* reasons.h; -1: all that are blocked */
    struct wait_piece *chosen; /* up to twice as many as wanted, then the longest of them */
    size_t n_chosen, cap_chosen, n_wanted;
    int64_t least_ns; /* shorter ones need not be looked at */
    uint64_t n_waits, off_cpu_ns;
    uint64_t n_folded, folded_ns;
};

static int by_duration(const void *a, const void *b)
{
    const struct wait_piece *x = a, *y = b;

    if (x->dur != y->dur) {
        return x->dur < y->dur ? 1 : -1;
    }
    if (x->ts != y->ts) {
        return x->ts < y->ts ? -1 : 1;
    }
    return x->utid < y->utid ? -1 : x->utid > y->utid;
}

static void keep_longest(struct intervals *in)
{
    if (in->n_chosen) {
        qsort(in->chosen, in->n_chosen, sizeof(*in->chosen), by_duration);
    }
    if (in->n_chosen > in->n_wanted) {
        in->n_chosen = in->n_wanted;
        in->least_ns = in->chosen[in->n_chosen - 1].dur;
    }
}

static bool is_wanted(const struct intervals *in, int reason)
{
    return in->reason < 0 ? reason != REASON_RUNNABLE : reason == in->reason;
}

static void choose(struct intervals *in, const struct wait_piece *piece)
{
    if (piece->dur < in->least_ns) {
        return;
    }
    mem_reserve(&in->chosen, &in->cap_chosen, in->n_chosen + 1, sizeof(*in->chosen));
    in->chosen[in->n_chosen++] = *piece;
    if (in->n_chosen >= 2 * in->n_wanted) {
        keep_longest(in);
    }
}

static void choose_summed(void *context, const struct wait_piece *piece)
{
    choose(context, piece); /* the sums have it already */
}

static void take(void *context, const struct wait_piece *piece)
{
    struct intervals *in = context;
    struct fold *f = &in->q->fold;

    if (!is_wanted(in, piece->reason) ||
        (f->is_excluded && piece->callsite &&
         !fold_accepts(f, piece->utid, tree_wait_node(&f->tree, piece->callsite, 0)))) {
        return;
    }
    if (piece->kind == WAIT_FOLDED) {
        in->n_folded += (uint64_t)piece->n;
        in->folded_ns += (uint64_t)piece->ns;
        return;
    }
    in->n_waits++;
    in->off_cpu_ns += (uint64_t)piece->ns;
    choose(in, piece);
}

static bool is_whole_run(const struct filter *f)
{
    return !f->has_from && !f->has_to && !f->n_excluded && !filter_is_thread(f);
}

/* The whole run: from sums, and of each reason no more than are shown. */
static int take_all(struct intervals *in, const struct filter *filter, struct err *e)
{
    struct wait_total totals[N_STATES];

    waits_totals(in->q, totals);
    for (int reason = 0; reason < N_STATES; reason++) {
        if (is_wanted(in, reason)) {
            in->n_waits += (uint64_t)totals[reason].n;
            in->off_cpu_ns += (uint64_t)totals[reason].ns;
            in->n_folded += (uint64_t)totals[reason].n_folded;
            in->folded_ns += (uint64_t)totals[reason].folded_ns;
            waits_longest(in->q, reason, in->n_wanted, choose_summed, in);
        }
    }
    waits_open(in->q, filter, take, in);
    return db_status(in->q->db, e);
}

static json_t *text_or_null(struct stmt *s, int column)
{
    return stmt_is_null(s, column) ? json_null() : json_clean_string(stmt_text(s, column));
}

static void add_open_origin(struct query *q, int64_t utid, json_t **reason_from,
                            json_t **stack_from)
{
    struct stmt *s = db_stmt(q->db, &sql_open_wait_of);

    stmt_bind_int(s, open_wait_of_p_utid, utid);
    if (stmt_next(s)) {
        *reason_from = text_or_null(s, open_wait_of_c_reason_from);
        *stack_from = text_or_null(s, open_wait_of_c_stack_from);
    }
    stmt_reset(s);
}

static void add_origin(struct query *q, json_t *o, const struct wait_piece *piece)
{
    struct stmt *s = db_stmt(q->db, &sql_interval_by_id);
    json_t *reason_from = NULL, *stack_from = NULL;
    int64_t waker_utid = 0, waker_callsite = 0;
    char *kind = NULL;

    stmt_bind_int(s, interval_by_id_p_id, piece->id);
    if (piece->kind == WAIT_OPEN) {
        add_open_origin(q, piece->utid, &reason_from, &stack_from);
    } else if (piece->kind == WAIT_SINGLE && stmt_next(s)) {
        reason_from = text_or_null(s, interval_by_id_c_reason_from);
        stack_from = text_or_null(s, interval_by_id_c_stack_from);
        kind = mem_strdup(stmt_text(s, interval_by_id_c_waker));
        waker_utid = stmt_int(s, interval_by_id_c_waker_utid);
        waker_callsite = stmt_int(s, interval_by_id_c_waker_callsite);
    }
    stmt_reset(s);
    place_add_waker(q, o, kind ? kind : "", waker_utid);
    json_object_set_new(o, "waker_function", place_function(q, place_node(q, waker_callsite)));
    free(kind);
    json_object_set_new(o, "reason_from", reason_from ? reason_from : json_null());
    json_object_set_new(o, "stack_from", stack_from ? stack_from : json_null());
}

static json_t *interval_of(struct query *q, const struct wait_piece *piece)
{
    json_t *o = json_object();
    bool is_runnable = piece->reason == REASON_RUNNABLE;
    int64_t since = 0;

    if (__builtin_sub_overflow(piece->ts, q->run.fold.start_ts, &since)) {
        since = 0;
    }
    view_set_int(o, "since_start_ns", since);
    view_set_int(o, "dur_ns", piece->dur);
    json_object_set_new(o, "is_open", json_boolean(piece->kind == WAIT_OPEN));
    place_add_thread(q, o, piece->utid);
    json_object_set_new(o, "state", json_string(is_runnable ? "runnable" : "blocked"));
    json_object_set_new(o, "reason",
                        is_runnable ? json_null() : json_string(reasons[piece->reason].name));
    add_origin(q, o, piece);
    uint32_t node = place_node(q, piece->callsite);
    place_add_stack(q, o, &place_of_wait, node);
    return o;
}

static int read_reason(const struct params *p, int *reason, struct err *e)
{
    const char *word = params_text(p, "reason", NULL);

    *reason = -1;
    return word ? reason_parse(word, reason, e) : 0;
}

int view_intervals(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct fold *f = &q->fold;
    struct intervals in = {.q = q, .least_ns = INT64_MIN};
    int64_t limit = params_int(p, "limit", 20);
    json_t *waits = json_array();
    int rc = read_reason(p, &in.reason, e);

    json_object_set_new(data, "waits", waits);
    in.n_wanted = limit > 0 && limit < 10000 ? (size_t)limit : 10000;
    if (rc == 0) {
        rc = fold_threads(f, q->db, &p->filter, e);
    }
    if (rc == 0) {
        rc = fold_prepare(f, q->db, &q->run.fold, &p->filter, e);
    }
    if (rc == 0) {
        rc = is_whole_run(&p->filter) ? take_all(&in, &p->filter, e)
                                      : waits_each(q, &p->filter, take, &in, e);
    }
    if (rc == 0) {
        keep_longest(&in);
        for (size_t i = 0; i < in.n_chosen; i++) {
            json_array_append_new(waits, interval_of(q, &in.chosen[i]));
        }
        json_object_set_new(data, "reason",
                            in.reason < 0 ? json_null() : json_string(reasons[in.reason].name));
        view_set_int(data, "n_waits", (int64_t)in.n_waits);
        view_set_int(data, "off_cpu_ns", (int64_t)in.off_cpu_ns);
        view_set_int(data, "n_folded", (int64_t)in.n_folded);
        view_set_int(data, "folded_off_cpu_ns", (int64_t)in.folded_ns);
        waits_warnings(q, p, in.n_waits + in.n_folded == 0, 0, NULL);
    }
    free(in.chosen);
    return rc < 0 ? rc : db_status(q->db, e);
}
