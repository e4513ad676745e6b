/* waits.c - see waits.h. */
#include "query/waits.h"

#include <string.h>

#include "query/run.sql.h"
#include "query/waits.sql.h"

#define BUCKET_NS   100000000LL  /* of folded_state */
#define DISORDER_NS 1000000000LL /* far more than rows stand apart from the order of their ends */

struct scan {
    struct query *q;
    int64_t from, to; /* ns, [from, to) */
    wait_fn *fn;
    void *context;
};

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

void waits_range(const struct query *q, const struct filter *filter, int64_t *from, int64_t *to)
{
    int64_t start = q->run.fold.start_ts;

    *from = filter->has_from && filter->from_ns > 0 ? add_saturating(start, filter->from_ns)
                                                    : INT64_MIN;
    *to = filter->has_to ? add_saturating(start, filter->to_ns) : INT64_MAX;
}

/* Length of what [ts, end) and [from, to) share; 0 where numbers of a foreign file make none. */
static int64_t shared_ns(int64_t ts, int64_t end, int64_t from, int64_t to)
{
    int64_t first = ts > from ? ts : from;
    int64_t last = end < to ? end : to;
    int64_t ns;

    return last > first && !__builtin_sub_overflow(last, first, &ns) ? ns : 0;
}

static bool is_accepted(const struct query *q, int64_t utid)
{
    return utid > 0 && (uint64_t)utid < q->fold.n_threads && q->fold.threads[utid].is_accepted;
}

/* Rows stand in the order in which intervals ended, so those of a late range are found without
 * reading what was before. */
int64_t waits_first_row(struct query *q, int64_t from)
{
    struct stmt *s = db_stmt(q->db, &sql_wait_ids);
    int64_t since = add_saturating(from, -DISORDER_NS);
    int64_t low = INT64_MIN, high = INT64_MIN;

    if (from == INT64_MIN) {
        return INT64_MIN;
    }
    if (stmt_next(s) && !stmt_is_null(s, wait_ids_c_first)) {
        low = stmt_int(s, wait_ids_c_first);
        high = stmt_int(s, wait_ids_c_last);
    }
    stmt_reset(s);
    while (low < high) {
        int64_t middle = low + (int64_t)(((uint64_t)high - (uint64_t)low) / 2);
        s = db_stmt(q->db, &sql_wait_at);
        stmt_bind_int(s, wait_at_p_id, middle);
        if (!stmt_next(s) || stmt_int(s, wait_at_c_end_ts) > since) {
            high = middle;
        } else {
            low = stmt_int(s, wait_at_c_id) + 1; /* not the last row, else low was high */
        }
        stmt_reset(s);
    }
    return low;
}

static void each_row(const struct scan *scan)
{
    int64_t first = waits_first_row(scan->q, scan->from);
    struct stmt *s = db_stmt(scan->q->db, &sql_wait_rows);

    stmt_bind_int(s, wait_rows_p_first, first);
    stmt_bind_int(s, wait_rows_p_from, scan->from);
    stmt_bind_int(s, wait_rows_p_to, scan->to);
    while (stmt_next(s)) {
        struct wait_piece piece = {
            .kind = WAIT_SINGLE,
            .id = stmt_int(s, wait_rows_c_id),
            .utid = stmt_int(s, wait_rows_c_utid),
            .ts = stmt_int(s, wait_rows_c_ts),
            .dur = stmt_int(s, wait_rows_c_dur),
            .n = 1,
            .callsite = stmt_int(s, wait_rows_c_callsite),
        };
        bool is_guessed = stmt_int(s, wait_rows_c_is_guessed) != 0;
        if (is_accepted(scan->q, piece.utid)) {
            int64_t end = add_saturating(piece.ts, piece.dur);
            piece.reason =
                reason_of(stmt_text(s, wait_rows_c_state), stmt_text(s, wait_rows_c_reason));
            piece.ns = shared_ns(piece.ts, end, scan->from, scan->to);
            piece.guessed_ns = is_guessed ? piece.ns : 0;
            scan->fn(scan->context, &piece);
        }
    }
}

int64_t waits_cut(int64_t value, double part)
{
    return part >= 1 ? value : (int64_t)((double)value * part);
}

int64_t waits_bucket(const struct query *q, int64_t ts)
{
    int64_t since;

    if (__builtin_sub_overflow(ts, q->run.fold.start_ts, &since)) {
        return ts < 0 ? INT64_MIN : INT64_MAX;
    }
    return since / BUCKET_NS;
}

/* The time that a folded row may be of; false where numbers of a foreign file make none. */
static bool bucket_span(const struct query *q, int64_t bucket, int64_t n_buckets, int64_t *ts,
                        int64_t *dur)
{
    int64_t since;

    if (n_buckets < 1 || __builtin_mul_overflow(bucket, BUCKET_NS, &since) ||
        __builtin_mul_overflow(n_buckets, BUCKET_NS, dur)) {
        return false;
    }
    *ts = add_saturating(q->run.fold.start_ts, since);
    return true;
}

double waits_bucket_part(const struct query *q, int64_t bucket, int64_t n_buckets, int64_t from,
                         int64_t to)
{
    int64_t ts, dur;

    if (!bucket_span(q, bucket, n_buckets, &ts, &dur)) {
        return 0;
    }
    return (double)shared_ns(ts, add_saturating(ts, dur), from, to) / (double)dur;
}

static void each_folded(const struct scan *scan)
{
    const struct query *q = scan->q;
    struct stmt *s = db_stmt(q->db, &sql_wait_folded);

    stmt_bind_int(s, wait_folded_p_first, waits_bucket(q, scan->from));
    stmt_bind_int(s, wait_folded_p_last, waits_bucket(q, scan->to));
    while (stmt_next(s)) {
        int64_t bucket = stmt_int(s, wait_folded_c_bucket);
        int64_t n_buckets = stmt_int(s, wait_folded_c_n_buckets);
        struct wait_piece piece = {
            .kind = WAIT_FOLDED,
            .utid = stmt_int(s, wait_folded_c_utid),
            .callsite = stmt_int(s, wait_folded_c_callsite),
        };
        if (!is_accepted(q, piece.utid) ||
            !bucket_span(q, bucket, n_buckets, &piece.ts, &piece.dur)) {
            continue;
        }
        double part = waits_bucket_part(q, bucket, n_buckets, scan->from, scan->to);
        piece.reason =
            reason_of(stmt_text(s, wait_folded_c_state), stmt_text(s, wait_folded_c_reason));
        piece.n = waits_cut(stmt_int(s, wait_folded_c_n_intervals), part);
        piece.ns = waits_cut(stmt_int(s, wait_folded_c_dur), part);
        piece.guessed_ns = stmt_is_null(s, wait_folded_c_guessed_ns)
                               ? -1
                               : waits_cut(stmt_int(s, wait_folded_c_guessed_ns), part);
        if (part > 0) {
            scan->fn(scan->context, &piece);
        }
    }
}

static void each_open(const struct scan *scan)
{
    struct stmt *s = db_stmt(scan->q->db, &sql_wait_open);

    while (stmt_next(s)) {
        int64_t end = scan->q->run.now_ts;
        struct wait_piece piece = {
            .kind = WAIT_OPEN,
            .utid = stmt_int(s, wait_open_c_utid),
            .ts = stmt_int(s, wait_open_c_ts),
            .n = 1,
            .callsite = stmt_int(s, wait_open_c_callsite),
        };
        if (!stmt_is_null(s, wait_open_c_end_ts) && stmt_int(s, wait_open_c_end_ts) < end) {
            end = stmt_int(s, wait_open_c_end_ts);
        }
        piece.reason = reason_of(stmt_text(s, wait_open_c_state), stmt_text(s, wait_open_c_reason));
        piece.dur = shared_ns(piece.ts, end, INT64_MIN, INT64_MAX);
        piece.ns = shared_ns(piece.ts, end, scan->from, scan->to);
        if (piece.ns > 0 && is_accepted(scan->q, piece.utid)) {
            scan->fn(scan->context, &piece);
        }
    }
}

int waits_each(struct query *q, const struct filter *filter, wait_fn *fn, void *context,
               struct err *e)
{
    struct scan scan = {.q = q, .fn = fn, .context = context};

    waits_range(q, filter, &scan.from, &scan.to);
    each_row(&scan);
    each_folded(&scan);
    each_open(&scan);
    return db_status(q->db, e);
}

void waits_longest(struct query *q, int reason, size_t n, wait_fn *fn, void *context)
{
    struct stmt *s = db_stmt(q->db, &sql_wait_longest);
    int64_t last_ns = INT64_MIN;
    size_t n_told = 0;

    stmt_bind_text(s, wait_longest_p_reason,
                   reason == REASON_RUNNABLE ? NULL : reasons[reason].name);
    while (stmt_next(s)) {
        struct wait_piece piece = {
            .kind = WAIT_SINGLE,
            .reason = reason,
            .id = stmt_int(s, wait_longest_c_id),
            .utid = stmt_int(s, wait_longest_c_utid),
            .ts = stmt_int(s, wait_longest_c_ts),
            .dur = stmt_int(s, wait_longest_c_dur),
            .n = 1,
            .callsite = stmt_int(s, wait_longest_c_callsite),
        };
        if (n_told >= n && piece.dur < last_ns) {
            stmt_reset(s);
            break;
        }
        if (is_accepted(q, piece.utid)) {
            int64_t end = add_saturating(piece.ts, piece.dur);
            piece.ns = shared_ns(piece.ts, end, INT64_MIN, INT64_MAX);
            fn(context, &piece);
            last_ns = piece.dur;
            n_told++;
        }
    }
}

void waits_totals(struct query *q, struct wait_total totals[N_STATES])
{
    struct stmt *s = db_stmt(q->db, &sql_wait_sums);

    memset(totals, 0, N_STATES * sizeof(*totals));
    while (stmt_next(s)) {
        const char *word = stmt_text(s, wait_sums_c_reason);
        struct wait_total *t = &totals[reason_of(*word ? "blocked" : "runnable", word)];
        t->n = stmt_int(s, wait_sums_c_n_intervals);
        t->ns = stmt_int(s, wait_sums_c_dur);
        t->n_folded = stmt_int(s, wait_sums_c_n_folded_intervals);
        t->folded_ns = stmt_int(s, wait_sums_c_folded_dur);
    }
}

void waits_open(struct query *q, const struct filter *filter, wait_fn *fn, void *context)
{
    struct scan scan = {.q = q, .fn = fn, .context = context};

    waits_range(q, filter, &scan.from, &scan.to);
    each_open(&scan);
}

/* ---- the call tree of waits ------------------------------------------------------------------
 */

struct fold_waits {
    struct query *q;
    int reason; /* -1: all */
    struct wait_markers markers;
    struct waits_rest *rest;
};

struct wait_markers waits_markers(struct query *q)
{
    struct wait_markers markers = {0};
    struct stmt *s = db_stmt(q->db, &sql_wait_markers);

    while (stmt_next(s)) {
        int64_t id = stmt_int(s, wait_markers_c_id);
        for (int i = 0; i < N_REASONS && id > 0 && id < UINT32_MAX; i++) {
            if (strcmp(stmt_text(s, wait_markers_c_name), reasons[i].marker) == 0) {
                markers.symbols[i] = (uint32_t)id;
            }
        }
    }
    return markers;
}

static void fold_piece(void *context, const struct wait_piece *piece)
{
    struct fold_waits *w = context;
    struct tree *t = &w->q->fold.tree;

    if (piece->reason == REASON_RUNNABLE || (w->reason >= 0 && piece->reason != w->reason)) {
        return;
    }
    if (piece->kind == WAIT_OPEN) {
        w->rest->open_ns += (uint64_t)piece->ns;
        return;
    }
    uint32_t node = tree_wait_node(t, piece->callsite, w->markers.symbols[piece->reason]);
    fold_add(&w->q->fold, piece->utid, node, (uint64_t)piece->n, (uint64_t)piece->ns);
}

/* Leaves right below a process, or below nothing in a file that has no callsite for them. */
static uint64_t sum_stackless(const struct fold *f)
{
    uint64_t ns = f->nodes[0].self_ns;

    for (size_t id = 1; id < f->tree.n_nodes; id++) {
        uint32_t parent = f->tree.nodes[id].parent;
        if (parent && f->tree.nodes[parent].parent == 0) {
            ns += f->nodes[id].self_ns;
        }
    }
    return ns;
}

static void open_piece(void *context, const struct wait_piece *piece)
{
    struct fold_waits *w = context;
    w->rest->open_ns += piece->reason == w->reason ? (uint64_t)piece->ns : 0;
}

/* All waits of one reason, from the call tree. False: it has nodes that are not in memory. */
static bool add_leaves(struct fold_waits *w)
{
    struct fold *f = &w->q->fold;
    struct stmt *s = db_stmt(w->q->db, &sql_wait_leaves);
    bool is_known = true;

    stmt_bind_int(s, wait_leaves_p_marker, w->markers.symbols[w->reason]);
    while (is_known && stmt_next(s)) {
        int64_t id = stmt_int(s, wait_leaves_c_id);
        is_known = id > 0 && (uint64_t)id < f->tree.n_real && tree_has(&f->tree, (uint32_t)id);
        if (is_known) {
            fold_add_node(f, (uint32_t)id, (uint64_t)stmt_int(s, wait_leaves_c_n_waits),
                          (uint64_t)stmt_int(s, wait_leaves_c_off_cpu_ns));
        }
    }
    stmt_reset(s);
    return is_known;
}

/* The whole run needs no single intervals, which are many more than nodes. */
static int fold_leaves(struct fold_waits *w, const struct filter *everything, struct err *e)
{
    struct query *q = w->q;

    if (!add_leaves(w)) {
        q->fold.tree.is_read = false;
        int rc = fold_begin(&q->fold, q->db, &q->run.fold, everything, true, e);
        if (rc < 0 || !add_leaves(w)) {
            return rc < 0 ? rc : err_set(e, STAX_ECORRUPT, "the call tree of this run is cut");
        }
    }
    waits_open(q, everything, open_piece, w);
    return db_status(q->db, e);
}

int waits_fold(struct query *q, const struct filter *filter, int reason, struct waits_rest *rest,
               struct err *e)
{
    struct fold_waits w = {.q = q, .reason = reason, .rest = rest};
    int rc = fold_begin(&q->fold, q->db, &q->run.fold, filter, true, e);

    *rest = (struct waits_rest){0};
    if (rc == 0) {
        w.markers = waits_markers(q);
        rc = reason >= 0 && !filter_is_any(filter) ? fold_leaves(&w, filter, e)
                                                   : waits_each(q, filter, fold_piece, &w, e);
    }
    if (rc == 0) {
        fold_end(&q->fold);
        rest->stackless_ns = q->fold.tree.n_nodes ? sum_stackless(&q->fold) : 0;
    }
    return rc;
}

static void add_blocked(void *context, const struct wait_piece *piece)
{
    uint64_t *ns = context;
    *ns += piece->reason == REASON_RUNNABLE ? 0 : (uint64_t)piece->ns;
}

int waits_total(struct query *q, int64_t *n_waits, int64_t *off_cpu_ns, struct waits_rest *rest,
                struct err *e)
{
    const struct filter everything = {0};
    int rc = fold_threads(&q->fold, q->db, &everything, e);

    *rest = (struct waits_rest){0};
    if (rc < 0) {
        return rc;
    }
    struct stmt *s = db_stmt(q->db, &sql_wait_roots);
    if (stmt_next(s)) {
        *n_waits = stmt_int(s, wait_roots_c_n_waits);
        *off_cpu_ns = stmt_int(s, wait_roots_c_off_cpu_ns);
    }
    stmt_reset(s);
    s = db_stmt(q->db, &sql_wait_stackless);
    rest->stackless_ns = stmt_next(s) ? (uint64_t)stmt_int(s, wait_stackless_c_off_cpu_ns) : 0;
    stmt_reset(s);
    waits_open(q, &everything, add_blocked, &rest->open_ns);
    return db_status(q->db, e);
}

int waits_asked(const struct params *p, bool *is_off_cpu, int *reason, struct err *e)
{
    const char *word = params_text(p, "reason", NULL);

    *is_off_cpu = word || json_is_true(json_object_get(p->object, "off_cpu"));
    *reason = -1;
    if (!word) {
        return 0;
    }
    int rc = reason_parse(word, reason, e);
    if (rc == 0 && *reason == REASON_RUNNABLE) {
        rc = err_set(e, STAX_EUSAGE, "threads that are runnable wait for a CPU and have no stack");
        err_hint(e, "stax waits --reason runnable lists them one by one");
    }
    return rc;
}

void waits_describe(json_t *data, int reason, const struct waits_rest *rest)
{
    json_object_set_new(data, "reason",
                        reason < 0 ? json_null() : json_string(reasons[reason].name));
    view_set_int(data, "stackless_off_cpu_ns", (int64_t)rest->stackless_ns);
    view_set_int(data, "open_off_cpu_ns", (int64_t)rest->open_ns);
}

bool waits_warn_of_lack(struct query *q, const char *ability, const char *what)
{
    struct stmt *s = db_stmt(q->db, &sql_run_missing_ability);
    bool is_missing;

    stmt_bind_text(s, run_missing_ability_p_name, ability);
    is_missing = stmt_next(s);
    if (is_missing) {
        const char *unlock = stmt_text(s, run_missing_ability_c_unlock);
        view_warn(q, "%s: %s%s%s", what, stmt_text(s, run_missing_ability_c_reason),
                  *unlock ? "; to record it: " : "", unlock);
    }
    stmt_reset(s);
    return is_missing;
}

void waits_warn_unrecorded(struct query *q)
{
    if (!q->run.has_off_cpu) {
        waits_warn_of_lack(q, "off_cpu", "no time off the CPU");
    }
}

static void warn_of_rest(struct query *q, int64_t off_cpu_ns, const struct waits_rest *rest)
{
    double stackless = (double)rest->stackless_ns, all = (double)off_cpu_ns;

    if (stackless > 0.05 * all) {
        view_warn(q, "%.0f %% of the waiting has no stack", 100 * stackless / all);
        waits_warn_of_lack(q, "wait_stacks", "no stacks of waits");
    }
    if (rest->open_ns) {
        view_warn(q,
                  "%.1f ms of waits that have not ended are missing here; stax waits has them and "
                  "their stacks",
                  (double)rest->open_ns / 1e6);
    }
}

void waits_warnings(struct query *q, const struct params *p, bool is_empty, int64_t off_cpu_ns,
                    const struct waits_rest *rest)
{
    bool is_filtered = filter_is_any(&p->filter) || params_text(p, "reason", NULL);

    if (!q->run.has_off_cpu) {
        if (!waits_warn_of_lack(q, "off_cpu", "no time off the CPU")) {
            view_warn(q, "time off the CPU was not recorded in this run");
        }
    } else if (is_empty && !(rest && rest->open_ns)) {
        view_warn(q, is_filtered ? "no wait passes the filter" : "no thread has waited so far");
    }
    if (rest) {
        warn_of_rest(q, off_cpu_ns, rest);
    }
    run_warnings(q, false, false, p);
}
