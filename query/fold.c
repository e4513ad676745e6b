/* fold.c - filtered sums over the call tree and over threads. */
#include "query/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/fold.sql.h"

struct snapshot {
    int64_t id; /* 0: nothing recorded yet */
    int64_t ts;
    double n_samples;
};

/* A moment to be added: a snapshot and the raw rows between it and ts. */
struct moment {
    int64_t ts;
    struct snapshot from;
    double n_rows; /* estimate */
    bool is_moved;
};

struct plan {
    struct snapshot *snapshots; /* [0] is the empty one */
    size_t n, cap;
};

void fold_free(struct fold *f)
{
    tree_free(&f->tree);
    symbols_free(&f->symbols);
    free(f->nodes);
    free(f->node_counters);
    free(f->thread_counters);
    free(f->is_cut);
    free(f->threads);
    free(f->is_excluded);
    memset(f, 0, sizeof(*f));
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void fold_range(const struct fold_run *run, const struct filter *filter, int64_t *after,
                int64_t *upto)
{
    *after = INT64_MIN;
    *upto = INT64_MAX;
    if (filter->has_from && filter->from_ns > 0) {
        *after = add_saturating(run->start_ts, filter->from_ns - 1);
    }
    if (filter->has_to) {
        *upto = add_saturating(run->start_ts, filter->to_ns - 1);
    }
}

int fold_threads(struct fold *f, struct db *db, const struct filter *filter, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_fold_thread_ids);
    bool is_any = false;

    f->n_threads = 0;
    if (filter->has_tid) {
        stmt_bind_int(s, fold_thread_ids_p_tid, filter->tid);
    }
    if (filter->has_pid) {
        stmt_bind_int(s, fold_thread_ids_p_pid, filter->pid);
    }
    while (stmt_next(s)) {
        int64_t utid = stmt_int(s, fold_thread_ids_c_utid);
        if (utid <= 0 || (uint64_t)utid > f->n_threads + 1000000) {
            stmt_reset(s);
            return err_set(e, STAX_ECORRUPT, "table thread of this run holds impossible ids");
        }
        size_t n = (size_t)utid + 1;
        mem_reserve(&f->threads, &f->cap_threads, n, sizeof(*f->threads));
        memset(f->threads + f->n_threads, 0, (n - f->n_threads) * sizeof(*f->threads));
        f->n_threads = n;
        f->threads[utid].is_accepted = stmt_int(s, fold_thread_ids_c_is_accepted) != 0;
        is_any = is_any || f->threads[utid].is_accepted;
    }
    int rc = db_status(db, e);
    if (rc < 0 || is_any || !filter_is_thread(filter)) {
        return rc;
    }
    if (filter->has_tid && filter->has_pid) {
        rc = err_set(e, STAX_ENOTFOUND, "no thread %lld of process %lld in this run",
                     (long long)filter->tid, (long long)filter->pid);
    } else {
        rc = err_set(e, STAX_ENOTFOUND, "no %s %lld in this run",
                     filter->has_tid ? "thread" : "process",
                     (long long)(filter->has_tid ? filter->tid : filter->pid));
    }
    err_hint(e, "stax threads -n 0 lists the threads of a run");
    return rc;
}

void fold_clear_excluded(struct fold *f)
{
    free(f->is_excluded);
    f->is_excluded = NULL;
}

static int find_excluded(struct fold *f, struct db *db, const struct filter *filter, struct err *e)
{
    fold_clear_excluded(f);
    if (filter->n_excluded == 0) {
        return 0;
    }
    f->is_excluded = mem_new(f->symbols.n + 1, 1);
    for (size_t i = 0; i < filter->n_excluded; i++) {
        int rc = symbols_flag_named(&f->symbols, db, filter->excluded[i], f->is_excluded, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int fold_prepare(struct fold *f, struct db *db, const struct fold_run *run,
                 const struct filter *filter, struct err *e)
{
    if (f->tree.n_renames != run->n_renames) {
        symbols_free(&f->symbols);
    }
    int rc = tree_refresh(&f->tree, db, run->n_renames, filter->no_inlines, e);
    if (rc == 0) {
        rc = symbols_refresh(&f->symbols, db, e);
    }
    if (rc == 0) {
        rc = find_excluded(f, db, filter, e);
    }
    f->n_cut = 0;
    return rc;
}

/* Nodes are made up while samples are read, so marks and sums follow the tree's size. */
static void cover_marks(struct fold *f)
{
    size_t n = f->tree.n_nodes;

    if (f->is_excluded && f->n_cut < n) {
        mem_reserve(&f->is_cut, &f->cap_cut, n, 1);
        for (size_t id = f->n_cut; id < n; id++) {
            const struct tree_node *node = &f->tree.nodes[id];
            bool is_excluded = node->symbol < f->symbols.n && f->is_excluded[node->symbol];
            f->is_cut[id] = is_excluded || (id > 0 && f->is_cut[node->parent]);
        }
        f->n_cut = n;
    }
}

bool fold_accepts(struct fold *f, int64_t utid, uint32_t node)
{
    if (utid <= 0 || (uint64_t)utid >= f->n_threads || !f->threads[utid].is_accepted) {
        return false;
    }
    if (!f->is_excluded) {
        return true;
    }
    if (node >= f->n_cut) {
        cover_marks(f);
    }
    return !f->is_cut[node];
}

static void cover_sums(struct fold *f)
{
    size_t n = f->tree.n_nodes;

    if (f->n_sums < n) {
        mem_reserve(&f->nodes, &f->cap_nodes, n, sizeof(*f->nodes));
        memset(f->nodes + f->n_sums, 0, (n - f->n_sums) * sizeof(*f->nodes));
        if (f->n_counters) {
            size_t n_words = 2 * f->n_counters;
            mem_reserve(&f->node_counters, &f->cap_node_counters, n * n_words, sizeof(uint64_t));
            memset(f->node_counters + f->n_sums * n_words, 0,
                   (n - f->n_sums) * n_words * sizeof(uint64_t));
        }
        f->n_sums = n;
    }
}

void fold_add_node(struct fold *f, uint32_t node, uint64_t n, uint64_t ns)
{
    f->n += n;
    f->ns += ns;
    if (!f->has_nodes) {
        return;
    }
    if (node >= f->n_sums) {
        cover_sums(f);
    }
    f->nodes[node].n_self += n;
    f->nodes[node].self_ns += ns;
}

void fold_add(struct fold *f, int64_t utid, uint32_t node, uint64_t n, uint64_t ns)
{
    if (!fold_accepts(f, utid, node)) {
        return;
    }
    f->threads[utid].n += n;
    f->threads[utid].ns += ns;
    fold_add_node(f, node, n, ns);
}

/* What a sample or stack counted; beside fold_add(). */
static void add_counts(struct fold *f, int64_t utid, uint32_t node, const uint64_t *counts)
{
    if (!fold_accepts(f, utid, node)) {
        return;
    }
    if (f->has_nodes && node >= f->n_sums) {
        cover_sums(f);
    }
    for (size_t i = 0; i < f->n_counters; i++) {
        f->counters[i] += counts[i];
        f->thread_counters[(size_t)utid * f->n_counters + i] += counts[i];
        if (f->has_nodes) {
            f->node_counters[node * 2 * f->n_counters + i] += counts[i];
        }
    }
}

static void read_counts(const struct fold *f, struct stmt *s, int first, uint64_t sign,
                        uint64_t counts[COUNTERS_MAX])
{
    for (size_t i = 0; i < f->n_counters; i++) {
        counts[i] = sign * (uint64_t)stmt_int(s, first + (int)i);
    }
}

/* Rows read ahead of being added: the tables they lead into are larger than any cache, so each is
 * prefetched for the whole block before it is read. */
struct block_row {
    int64_t utid, callsite, frame;
    uint64_t n, ns;
    uint32_t node;
};

struct block {
    struct block_row rows[128];
    uint64_t counts[128][COUNTERS_MAX]; /* of rows, with has_counts */
    bool has_counts;
    size_t n;
};

static bool is_full(const struct block *b)
{
    return b->n == sizeof(b->rows) / sizeof(b->rows[0]);
}

static void add_block(struct fold *f, struct block *b)
{
    for (size_t i = 0; f->has_nodes && i < b->n; i++) {
        if (b->rows[i].node < f->n_sums) {
            __builtin_prefetch(&f->nodes[b->rows[i].node], 1);
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        fold_add(f, b->rows[i].utid, b->rows[i].node, b->rows[i].n, b->rows[i].ns);
    }
    for (size_t i = 0; b->has_counts && i < b->n; i++) {
        add_counts(f, b->rows[i].utid, b->rows[i].node, b->counts[i]);
    }
    b->n = 0;
}

static void find_nodes(struct fold *f, struct block *b)
{
    for (size_t i = 0; i < b->n; i++) {
        tree_prefetch_callsite(&f->tree, b->rows[i].callsite);
    }
    for (size_t i = 0; i < b->n; i++) {
        tree_prefetch_child(&f->tree, b->rows[i].callsite, b->rows[i].frame);
    }
    for (size_t i = 0; i < b->n; i++) {
        b->rows[i].node = tree_sample_node(&f->tree, b->rows[i].callsite, b->rows[i].frame);
    }
}

/* sign, here and below: 1, or -1 as a two's complement number. */
static void add_stack_sums(struct fold *f, struct db *db, int64_t snapshot, uint64_t sign)
{
    struct stmt *s = db_stmt(db, &sql_fold_stack_sums);
    const struct tree *t = &f->tree;
    struct block block;

    block.n = 0;
    block.has_counts = false; /* they are in a table of their own */
    stmt_bind_int(s, fold_stack_sums_p_snapshot, snapshot);
    while (stmt_next(s)) {
        int64_t id = stmt_int(s, fold_stack_sums_c_stack);
        if (id <= 0 || (uint64_t)id >= t->n_stacks) {
            continue; /* no run of ours has it, and it names no thread to count it for */
        }
        block.rows[block.n++] = (struct block_row){
            .utid = t->stacks[id].utid,
            .node = tree_node_of(t, t->stacks[id].node),
            .n = sign * (uint64_t)stmt_int(s, fold_stack_sums_c_n_samples),
            .ns = sign * (uint64_t)stmt_int(s, fold_stack_sums_c_on_cpu_ns),
        };
        if (is_full(&block)) {
            add_block(f, &block);
        }
    }
    add_block(f, &block);
}

static void add_stack_counters(struct fold *f, struct db *db, int64_t snapshot, uint64_t sign)
{
    struct stmt *s = db_stmt(db, &sql_fold_stack_counters);
    const struct tree *t = &f->tree;

    stmt_bind_int(s, fold_stack_counters_p_snapshot, snapshot);
    while (f->n_counters && stmt_next(s)) {
        int64_t id = stmt_int(s, fold_stack_counters_c_stack);
        uint64_t counts[COUNTERS_MAX];
        if (id > 0 && (uint64_t)id < t->n_stacks) {
            read_counts(f, s, fold_stack_counters_c_c0, sign, counts);
            add_counts(f, t->stacks[id].utid, tree_node_of(t, t->stacks[id].node), counts);
        }
    }
}

_Static_assert((int)fold_sample_rows_c_on_cpu_ns ==
                       (int)fold_sample_rows_with_counters_c_on_cpu_ns &&
                   (int)fold_sample_rows_p_upto == (int)fold_sample_rows_with_counters_p_upto,
               "both kinds of rows begin with the same columns");

static void add_rows(struct fold *f, struct db *db, int64_t after, int64_t upto, uint64_t sign)
{
    struct stmt *s =
        db_stmt(db, f->n_counters ? &sql_fold_sample_rows_with_counters : &sql_fold_sample_rows);
    bool needs_node = f->has_nodes || f->is_excluded, is_last = after >= upto;
    struct block block;

    block.n = 0;
    block.has_counts = f->n_counters > 0;
    stmt_bind_int(s, fold_sample_rows_p_after, after);
    stmt_bind_int(s, fold_sample_rows_p_upto, upto);
    while (!is_last) {
        is_last = !stmt_next(s);
        if (!is_last) {
            read_counts(f, s, fold_sample_rows_with_counters_c_c0, sign, block.counts[block.n]);
            block.rows[block.n++] = (struct block_row){
                .utid = stmt_int(s, fold_sample_rows_c_utid),
                .callsite = stmt_int(s, fold_sample_rows_c_callsite),
                .frame = stmt_int(s, fold_sample_rows_c_frame),
                .n = sign,
                .ns = sign * (uint64_t)stmt_int(s, fold_sample_rows_c_on_cpu_ns),
            };
        }
        if (needs_node && (is_last || is_full(&block))) {
            find_nodes(f, &block);
        }
        if (is_last || is_full(&block)) {
            add_block(f, &block);
        }
    }
}

static int read_snapshots(struct plan *p, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_fold_snapshots);

    mem_reserve(&p->snapshots, &p->cap, 1, sizeof(*p->snapshots));
    p->snapshots[p->n++] = (struct snapshot){.ts = INT64_MIN};
    while (stmt_next(s)) {
        mem_reserve(&p->snapshots, &p->cap, p->n + 1, sizeof(*p->snapshots));
        p->snapshots[p->n++] = (struct snapshot){
            .id = stmt_int(s, fold_snapshots_c_id),
            .ts = stmt_int(s, fold_snapshots_c_ts),
            .n_samples = (double)stmt_int(s, fold_snapshots_c_n_samples),
        };
    }
    return db_status(db, e);
}

/* Samples up to ts, interpolated between the snapshots around it. */
static double estimate(const struct plan *p, const struct fold_run *run, int64_t ts)
{
    double ts0 = (double)run->start_ts, n0 = 0;
    double ts1 = (double)run->data_ts, n1 = (double)run->n_samples;

    if (ts <= run->start_ts || ts >= run->data_ts) {
        return ts <= run->start_ts ? 0 : n1;
    }
    for (size_t i = 1; i < p->n; i++) {
        const struct snapshot *s = &p->snapshots[i];
        if (s->ts <= ts) {
            ts0 = (double)s->ts;
            n0 = s->n_samples;
        } else {
            ts1 = (double)s->ts;
            n1 = s->n_samples;
            break;
        }
    }
    return ts1 > ts0 ? n0 + (n1 - n0) * ((double)ts - ts0) / (ts1 - ts0) : n1;
}

static bool has_rows_between(const struct fold_run *run, int64_t a, int64_t b)
{
    int64_t first = a < b ? a : b;
    return a == b || run->raw_from_ts <= run->start_ts || first >= run->raw_from_ts - 1 ||
           (a < run->start_ts && b < run->start_ts);
}

/* The snapshot to reach ts from: the nearest in rows; the nearest in time if rows are gone. */
static struct moment choose(const struct plan *p, const struct fold_run *run, int64_t ts)
{
    struct moment best = {.ts = ts, .is_moved = true, .n_rows = INFINITY};
    double best_distance = INFINITY;
    double n = estimate(p, run, ts);

    for (size_t i = 0; i < p->n; i++) {
        const struct snapshot *s = &p->snapshots[i];
        double n_rows = fabs(n - s->n_samples);
        double distance = fabs((double)ts - (double)(s->id ? s->ts : run->start_ts));
        bool is_usable = has_rows_between(run, s->ts, ts);
        if (is_usable ? best.is_moved || n_rows < best.n_rows
                      : best.is_moved && distance < best_distance) {
            best = (struct moment){.ts = is_usable ? ts : s->ts,
                                   .from = *s,
                                   .n_rows = is_usable ? n_rows : 0,
                                   .is_moved = !is_usable};
            best_distance = distance;
        }
    }
    return best;
}

static void add_moment(struct fold *f, struct db *db, const struct moment *m, uint64_t sign)
{
    if (m->from.id) {
        add_stack_sums(f, db, m->from.id, sign);
        add_stack_counters(f, db, m->from.id, sign);
    }
    if (m->from.ts < m->ts) {
        add_rows(f, db, m->from.ts, m->ts, sign);
    } else {
        add_rows(f, db, m->ts, m->from.ts, 0 - sign);
    }
}

static void add_range(struct fold *f, struct db *db, const struct plan *p,
                      const struct fold_run *run, int64_t after, int64_t upto)
{
    struct moment from = choose(p, run, after);
    struct moment to = choose(p, run, upto);
    double n_direct = estimate(p, run, upto) - estimate(p, run, after);
    double n_sums = (double)f->tree.n_stacks * ((from.from.id != 0) + (to.from.id != 0));
    bool is_direct = has_rows_between(run, after, upto) &&
                     (from.from.id == to.from.id || n_direct <= n_sums + from.n_rows + to.n_rows);

    f->is_from_moved = !is_direct && from.is_moved;
    f->is_to_moved = !is_direct && to.is_moved;
    f->from_ts = is_direct ? after : from.ts;
    f->to_ts = is_direct ? upto : to.ts;
    if (is_direct) {
        add_rows(f, db, after, upto, 1);
    } else if (from.ts < to.ts) {
        add_moment(f, db, &to, 1);
        add_moment(f, db, &from, 0 - (uint64_t)1);
    }
}

static void carry_counters(struct fold *f, size_t id)
{
    size_t n = f->n_counters, parent = f->tree.nodes[id].parent;
    uint64_t *counts = f->node_counters + id * 2 * n;

    for (size_t i = 0; i < n; i++) {
        counts[n + i] += counts[i];
        if (parent) {
            f->node_counters[parent * 2 * n + n + i] += counts[n + i];
        }
    }
}

/* Parents are smaller than their children, so one pass from the end carries everything up. */
static void carry_up(struct fold *f)
{
    for (size_t id = f->tree.n_nodes; id-- > 0;) {
        if (f->n_counters) {
            carry_counters(f, id);
        }
        struct node_sum *sum = &f->nodes[id];
        uint32_t parent = f->tree.nodes[id].parent;
        sum->n_total += sum->n_self;
        sum->total_ns += sum->self_ns;
        if (parent && sum->n_total) {
            f->nodes[parent].n_total += sum->n_total;
            f->nodes[parent].total_ns += sum->total_ns;
        }
    }
}

static int begin(struct fold *f, struct db *db, const struct fold_run *run,
                 const struct filter *filter, bool with_nodes, struct err *e)
{
    f->n = 0;
    f->ns = 0;
    f->has_nodes = with_nodes;
    f->n_sums = 0;
    memset(f->counters, 0, sizeof(f->counters));
    int rc = fold_threads(f, db, filter, e);
    if (rc == 0 && f->n_counters) {
        size_t n = f->n_threads * f->n_counters;
        mem_reserve(&f->thread_counters, &f->cap_thread_counters, n + 1, sizeof(uint64_t));
        memset(f->thread_counters, 0, n * sizeof(uint64_t));
    }
    if (rc == 0) {
        rc = fold_prepare(f, db, run, filter, e);
    }
    if (rc == 0 && with_nodes) {
        cover_sums(f);
    }
    return rc;
}

int fold_begin(struct fold *f, struct db *db, const struct fold_run *run,
               const struct filter *filter, bool with_nodes, struct err *e)
{
    f->n_counters = 0;
    return begin(f, db, run, filter, with_nodes, e);
}

void fold_end(struct fold *f)
{
    if (f->has_nodes) {
        cover_sums(f);
        carry_up(f);
    }
}

int fold_samples(struct fold *f, struct db *db, const struct fold_run *run,
                 const struct filter *filter, bool with_nodes, struct err *e)
{
    struct plan plan = {0};
    int64_t after, upto;
    f->n_counters = run->n_counters;
    int rc = begin(f, db, run, filter, with_nodes, e);

    if (rc == 0) {
        rc = read_snapshots(&plan, db, e);
    }
    if (rc == 0) {
        fold_range(run, filter, &after, &upto);
        add_range(f, db, &plan, run, after, upto);
        rc = db_status(db, e);
    }
    if (rc == 0) {
        fold_end(f);
    }
    free(plan.snapshots);
    return rc;
}
