/* wakers.c - who ended the waits of whom, and chains of waits that ended one another. */
#include "query/wakers.sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/places.h"
#include "query/waits.h"

enum {
    STACKS_SHOWN = 3,
    CHAIN_MAX = 32,       /* steps */
    CHAIN_AHEAD = 5000,   /* rows may stand so far behind one that ended later */
    CHAIN_LOOKED = 50000, /* ... and the wait before is looked for among so many */
};

/* Wakeups of one thread by another at one place. */
struct woken {
    uint8_t kind; /* of kinds */
    int64_t waker_utid, utid, callsite;
    uint64_t n, ns;
};

/* As thread_state.waker spells them. */
static const char *const kinds[] = {"thread", "outside", "interrupt"};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct wakers {
    struct query *q;
    struct woken *rows;
    size_t n_rows, cap_rows;
    struct woken *pairs; /* rows of one pair added up; callsite: index of its first row */
    size_t n_pairs, cap_pairs;
    uint64_t n_wakeups, blocked_ns;
    uint64_t off_cpu_ns; /* all waits of these threads, whoever ended them */
};

static void add_row(struct wakers *w, const char *kind, const struct woken *row)
{
    struct fold *f = &w->q->fold;
    struct woken copy = *row;

    while (copy.kind < N_KINDS && strcmp(kinds[copy.kind], kind) != 0) {
        copy.kind++;
    }
    if (copy.kind == N_KINDS || row->utid <= 0 || (uint64_t)row->utid >= f->n_threads ||
        !f->threads[row->utid].is_accepted ||
        (f->is_excluded && row->callsite &&
         !fold_accepts(f, row->utid, tree_wait_node(&f->tree, row->callsite, 0)))) {
        return;
    }
    mem_reserve(&w->rows, &w->cap_rows, w->n_rows + 1, sizeof(*w->rows));
    w->rows[w->n_rows++] = copy;
}

static void read_sums(struct wakers *w)
{
    struct stmt *s = db_stmt(w->q->db, &sql_waker_sums);

    while (stmt_next(s)) {
        const struct woken row = {.waker_utid = stmt_int(s, waker_sums_c_waker_utid),
                                  .utid = stmt_int(s, waker_sums_c_utid),
                                  .callsite = stmt_int(s, waker_sums_c_waker_callsite),
                                  .n = (uint64_t)stmt_int(s, waker_sums_c_n_wakeups),
                                  .ns = (uint64_t)stmt_int(s, waker_sums_c_blocked_ns)};
        add_row(w, stmt_text(s, waker_sums_c_waker), &row);
    }
}

static void read_range(struct wakers *w, int64_t from, int64_t to)
{
    struct stmt *s = db_stmt(w->q->db, &sql_waker_rows);

    stmt_bind_int(s, waker_rows_p_from, from);
    stmt_bind_int(s, waker_rows_p_to, to);
    while (stmt_next(s)) {
        const struct woken row = {.waker_utid = stmt_int(s, waker_rows_c_waker_utid),
                                  .utid = stmt_int(s, waker_rows_c_utid),
                                  .callsite = stmt_int(s, waker_rows_c_waker_callsite),
                                  .n = (uint64_t)stmt_int(s, waker_rows_c_n_wakeups),
                                  .ns = (uint64_t)stmt_int(s, waker_rows_c_blocked_ns)};
        add_row(w, stmt_text(s, waker_rows_c_waker), &row);
    }
    s = db_stmt(w->q->db, &sql_waker_folded);
    stmt_bind_int(s, waker_folded_p_first, waits_bucket(w->q, from));
    stmt_bind_int(s, waker_folded_p_last, waits_bucket(w->q, to));
    while (stmt_next(s)) {
        double part = waits_bucket_part(w->q, stmt_int(s, waker_folded_c_bucket),
                                        stmt_int(s, waker_folded_c_n_buckets), from, to);
        const struct woken row = {
            .waker_utid = stmt_int(s, waker_folded_c_waker_utid),
            .utid = stmt_int(s, waker_folded_c_utid),
            .n = (uint64_t)waits_cut(stmt_int(s, waker_folded_c_n_wakeups), part),
            .ns = (uint64_t)waits_cut(stmt_int(s, waker_folded_c_blocked_ns), part)};
        if (part > 0) {
            add_row(w, stmt_text(s, waker_folded_c_waker), &row);
        }
    }
}

static void add_blocked(void *context, const struct wait_piece *piece)
{
    struct wakers *w = context;

    if (piece->reason != REASON_RUNNABLE && piece->kind != WAIT_OPEN) {
        w->off_cpu_ns += (uint64_t)piece->ns;
    }
}

static int read_all(struct wakers *w, const struct filter *filter, struct err *e)
{
    if (filter->has_from || filter->has_to) {
        int64_t from, to;
        waits_range(w->q, filter, &from, &to);
        read_range(w, from, to);
        return waits_each(w->q, filter, add_blocked, w, e);
    }
    read_sums(w);
    struct stmt *s = db_stmt(w->q->db, &sql_waker_blocked);
    view_bind_threads(s, waker_blocked_p_tid, waker_blocked_p_pid, filter);
    if (stmt_next(s)) {
        w->off_cpu_ns = (uint64_t)stmt_int(s, waker_blocked_c_off_cpu_ns);
    }
    stmt_reset(s);
    return db_status(w->q->db, e);
}

/* ---- pairs ---- */

static int compare_int(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_pair(const struct woken *x, const struct woken *y)
{
    int order = compare_int(x->kind, y->kind);
    order = order ? order : compare_int(x->waker_utid, y->waker_utid);
    return order ? order : compare_int(x->utid, y->utid);
}

/* Rows of a pair together, the most waiting time first. */
static int by_pair_and_time(const void *a, const void *b)
{
    const struct woken *x = a, *y = b;
    int order = by_pair(x, y);

    order = order ? order : -((x->ns > y->ns) - (x->ns < y->ns));
    return order ? order : compare_int(x->callsite, y->callsite);
}

static int by_time(const void *a, const void *b)
{
    const struct woken *x = a, *y = b;

    if (x->ns != y->ns) {
        return x->ns < y->ns ? 1 : -1;
    }
    return by_pair(x, y);
}

static void make_pairs(struct wakers *w)
{
    if (w->n_rows) {
        qsort(w->rows, w->n_rows, sizeof(*w->rows), by_pair_and_time);
    }
    for (size_t i = 0; i < w->n_rows; i++) {
        const struct woken *row = &w->rows[i];
        if (!i || by_pair(row, row - 1) != 0) {
            mem_reserve(&w->pairs, &w->cap_pairs, w->n_pairs + 1, sizeof(*w->pairs));
            struct woken *pair = &w->pairs[w->n_pairs++];
            *pair = *row;
            pair->callsite = (int64_t)i;
            pair->n = pair->ns = 0;
        }
        w->pairs[w->n_pairs - 1].n += row->n;
        w->pairs[w->n_pairs - 1].ns += row->ns;
        w->n_wakeups += row->n;
        w->blocked_ns += row->ns;
    }
    if (w->n_pairs) {
        qsort(w->pairs, w->n_pairs, sizeof(*w->pairs), by_time);
    }
}

static json_t *stacks_of(struct wakers *w, const struct woken *pair)
{
    json_t *stacks = json_array();
    size_t first = (size_t)pair->callsite;

    for (size_t i = first; i < w->n_rows && json_array_size(stacks) < STACKS_SHOWN &&
                           by_pair(&w->rows[i], &w->rows[first]) == 0;
         i++) {
        uint32_t node = place_node(w->q, w->rows[i].callsite);
        if (node) {
            json_t *o = json_object();
            view_set_int(o, "n_wakeups", (int64_t)w->rows[i].n);
            view_set_int(o, "blocked_ns", (int64_t)w->rows[i].ns);
            place_add_stack(w->q, o, &place_of_wait, node);
            json_array_append_new(stacks, o);
        }
    }
    return stacks;
}

static json_t *pair_of(struct wakers *w, const struct woken *pair)
{
    json_t *o = json_object();

    place_add_waker(w->q, o, kinds[pair->kind], pair->waker_utid);
    place_add_thread(w->q, o, pair->utid);
    view_set_int(o, "n_wakeups", (int64_t)pair->n);
    view_set_int(o, "blocked_ns", (int64_t)pair->ns);
    json_object_set_new(o, "stacks", stacks_of(w, pair));
    return o;
}

/* ---- the chain ---- */

struct chain_step {
    int64_t utid, ts, end_ts, dur, callsite, waker_utid, waker_callsite;
};

/* The longest wait that a thread of the target ended; if there is none, the longest. 0: none. */
static int64_t chain_start(struct query *q, const struct filter *filter)
{
    struct fold *f = &q->fold;
    int64_t from, to, best = 0, best_ns = -1;
    bool is_best_woken = false;

    waits_range(q, filter, &from, &to);
    int64_t first = waits_first_row(q, from);
    struct stmt *s = db_stmt(q->db, &sql_chain_rows);
    stmt_bind_int(s, chain_rows_p_first, first);
    stmt_bind_int(s, chain_rows_p_from, from);
    stmt_bind_int(s, chain_rows_p_to, to);
    while (stmt_next(s)) {
        int64_t utid = stmt_int(s, chain_rows_c_utid), ns = stmt_int(s, chain_rows_c_dur);
        int64_t callsite = stmt_int(s, chain_rows_c_callsite);
        bool is_woken = stmt_int(s, chain_rows_c_is_woken);
        if (utid <= 0 || (uint64_t)utid >= f->n_threads || !f->threads[utid].is_accepted ||
            (f->is_excluded && callsite &&
             !fold_accepts(f, utid, tree_wait_node(&f->tree, callsite, 0)))) {
            continue;
        }
        if (is_woken > is_best_woken || (is_woken == is_best_woken && ns > best_ns)) {
            best = stmt_int(s, chain_rows_c_id);
            best_ns = ns;
            is_best_woken = is_woken;
        }
    }
    return best;
}

static json_t *read_step(struct query *q, int64_t id, struct chain_step *step)
{
    struct stmt *s = db_stmt(q->db, &sql_chain_wait);
    int64_t since = 0;

    stmt_bind_int(s, chain_wait_p_id, id);
    if (!stmt_next(s)) {
        stmt_reset(s);
        return NULL;
    }
    *step = (struct chain_step){.utid = stmt_int(s, chain_wait_c_utid),
                                .ts = stmt_int(s, chain_wait_c_ts),
                                .dur = stmt_int(s, chain_wait_c_dur),
                                .callsite = stmt_int(s, chain_wait_c_callsite),
                                .waker_utid = stmt_int(s, chain_wait_c_waker_utid),
                                .waker_callsite = stmt_int(s, chain_wait_c_waker_callsite)};
    char *reason = mem_strdup(stmt_text(s, chain_wait_c_reason));
    char *kind = mem_strdup(stmt_text(s, chain_wait_c_waker));
    stmt_reset(s);
    if (__builtin_add_overflow(step->ts, step->dur, &step->end_ts)) {
        step->end_ts = step->ts;
    }
    if (__builtin_sub_overflow(step->ts, q->run.fold.start_ts, &since)) {
        since = 0;
    }
    json_t *o = json_object();
    view_set_int(o, "since_start_ns", since);
    view_set_int(o, "dur_ns", step->dur);
    place_add_thread(q, o, step->utid);
    json_object_set_new(o, "reason", json_clean_string(reason));
    place_add_stack(q, o, &place_of_wait, place_node(q, step->callsite));
    place_add_waker(q, o, kind, step->waker_utid);
    place_add_stack(q, o, &place_of_waker, place_node(q, step->waker_callsite));
    free(reason);
    free(kind);
    return o;
}

/* The wait of the waker that ended while the thread waited, and takes most of that time; 0: it did
 * not wait then. */
static int64_t wait_before(struct query *q, int64_t id, const struct chain_step *step,
                           int64_t *end_ts)
{
    struct stmt *s = db_stmt(q->db, &sql_chain_before);
    int64_t before = 0, last;

    stmt_bind_int(s, chain_before_p_last,
                  __builtin_add_overflow(id, CHAIN_AHEAD, &last) ? INT64_MAX : last);
    stmt_bind_int(s, chain_before_p_n, CHAIN_LOOKED);
    stmt_bind_int(s, chain_before_p_utid, step->waker_utid);
    stmt_bind_int(s, chain_before_p_from, step->ts);
    stmt_bind_int(s, chain_before_p_to, step->end_ts);
    if (stmt_next(s)) {
        before = stmt_int(s, chain_before_c_id);
        *end_ts = stmt_int(s, chain_before_c_end_ts);
    }
    stmt_reset(s);
    return before;
}

static json_t *make_chain(struct query *q, const struct filter *filter)
{
    json_t *chain = json_array(), *o;
    int64_t id = chain_start(q, filter);
    struct chain_step step;

    for (int i = 0; id && i < CHAIN_MAX && (o = read_step(q, id, &step)); i++) {
        int64_t awake_ts = step.ts;
        id = step.waker_utid ? wait_before(q, id, &step, &awake_ts) : 0;
        json_object_set_new(o, "waker_awake_ns",
                            step.waker_utid ? json_integer(step.end_ts - awake_ts) : json_null());
        json_array_append_new(chain, o);
    }
    return chain;
}

/* ---- the view ---- */

static void warnings(struct query *q, const struct params *p, const struct wakers *w)
{
    if (!waits_warn_of_lack(q, "off_cpu", "no time off the CPU") &&
        !waits_warn_of_lack(q, "wakeups", "no wakers") && !w->n_wakeups) {
        view_warn(q, filter_is_any(&p->filter) ? "no wakeup passes the filter"
                                               : "no wakeup was recorded so far");
    }
    run_warnings(q, false, false, p);
}

int view_wakers(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct wakers w = {.q = q};
    int64_t limit = params_int(p, "limit", 20);
    bool is_chain = json_is_true(json_object_get(p->object, "chain"));
    json_t *list = json_array();

    json_object_set_new(data, "wakers", list);
    int rc = fold_threads(&q->fold, q->db, &p->filter, e);
    if (rc == 0) {
        rc = fold_prepare(&q->fold, q->db, &q->run.fold, &p->filter, e);
    }
    if (rc == 0) {
        rc = read_all(&w, &p->filter, e);
    }
    if (rc == 0) {
        make_pairs(&w);
        for (size_t i = 0; i < w.n_pairs && (limit <= 0 || i < (size_t)limit); i++) {
            json_array_append_new(list, pair_of(&w, &w.pairs[i]));
        }
        view_set_int(data, "n_pairs", (int64_t)w.n_pairs);
        view_set_int(data, "n_wakeups", (int64_t)w.n_wakeups);
        view_set_int(data, "blocked_ns", (int64_t)w.blocked_ns);
        view_set_int(data, "off_cpu_ns", (int64_t)w.off_cpu_ns);
        json_object_set_new(data, "chain", is_chain ? make_chain(q, &p->filter) : json_null());
        warnings(q, p, &w);
    }
    free(w.rows);
    free(w.pairs);
    return rc < 0 ? rc : db_status(q->db, e);
}
