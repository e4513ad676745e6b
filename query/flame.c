/*
 * flame.c - the call tree, heaviest first, cut where it becomes small or deep: of samples, or of
 * waits, whose stacks end in the marker of their reason.
 *
 * Nodes wait in a heap by total time: the largest is shown next and its children join the heap. So
 * when the bound on nodes is reached, what was left out is smaller than all that is shown, and
 * siblings come out in order.
 *
 * A tree is deep where it branches: the only child that is large enough is as deep as its parent,
 * so that a runtime's forty functions above the program do not use up the depth. Functions that are
 * on the path already count, or recursion would have no end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/counters.sql.h"
#include "query/flame.sql.h"
#include "query/waits.h"
#include "query/waits.sql.h"

struct flame_node {
    uint32_t id, symbol;
    uint32_t depth, level; /* as bounded by max_depth; in the document */
    bool is_inlined;
    int64_t n_self, self_ns;
    int64_t n_total, total_ns;
    int64_t weight; /* total_ns, or what a counter counted */
    struct counts counts;
    size_t parent;   /* index of a shown node; 0: none, it is a root */
    size_t n_cut;    /* children left out */
    bool is_deep;    /* some of them only as they are too deep */
    uint64_t cut_ns; /* ... and their time; unsigned: a foreign file may hold any numbers */
    uint64_t cut_counters[COUNTERS_MAX];
    json_t *children; /* borrowed from its document */
};

struct flame {
    struct query *q;
    bool is_folded;
    struct flame_node *shown; /* [0] stands above the roots */
    size_t n_shown, cap_shown;
    struct flame_node *heap;
    size_t n_heap, cap_heap;
    struct flame_node *children; /* of the node that is expanded */
    size_t n_children, cap_children;
    const struct measure *measure;
    int64_t n, ns; /* of everything that counts */
    int by;        /* BY_ON_CPU or a slot */
    int64_t all;   /* what shares are of: ns, or a counter */
    int64_t counters[COUNTERS_MAX];
    double threshold;
    int64_t max_depth, max_level, max_nodes;
};

/* Each level is two in JSON: jansson refuses to parse more than 2048, jq 1.6 more than 256. The
 * lower bound holds unless more depth than the default is asked for. */
enum { DEFAULT_DEPTH = 12, MAX_LEVEL = 1000, MAX_DEFAULT_LEVEL = 120 };

static bool is_before(const struct flame_node *a, const struct flame_node *b)
{
    if (a->weight != b->weight) {
        return a->weight > b->weight;
    }
    return a->id < b->id;
}

static void heap_push(struct flame *f, const struct flame_node *node)
{
    mem_reserve(&f->heap, &f->cap_heap, f->n_heap + 1, sizeof(*f->heap));
    size_t i = f->n_heap++;
    while (i > 0 && is_before(node, &f->heap[(i - 1) / 2])) {
        f->heap[i] = f->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    f->heap[i] = *node;
}

static struct flame_node heap_pop(struct flame *f)
{
    struct flame_node top = f->heap[0];
    struct flame_node last = f->heap[--f->n_heap];
    size_t i = 0;

    for (size_t child = 1; child < f->n_heap; child = 2 * i + 1) {
        if (child + 1 < f->n_heap && is_before(&f->heap[child + 1], &f->heap[child])) {
            child++;
        }
        if (!is_before(&f->heap[child], &last)) {
            break;
        }
        f->heap[i] = f->heap[child];
        i = child;
    }
    f->heap[i] = last;
    return top;
}

static void cut(struct flame *f, const struct flame_node *node)
{
    f->shown[node->parent].n_cut++;
    f->shown[node->parent].cut_ns += (uint64_t)node->total_ns;
    for (size_t i = 0; i < COUNTERS_MAX; i++) {
        f->shown[node->parent].cut_counters[i] += (uint64_t)node->counts.total[i];
    }
}

static bool is_large(const struct flame *f, const struct flame_node *node)
{
    return (double)node->weight >= f->threshold;
}

static bool is_on_path(const struct flame *f, size_t shown, uint32_t symbol)
{
    for (; shown; shown = f->shown[shown].parent) {
        if (f->shown[shown].symbol == symbol) {
            return true;
        }
    }
    return false;
}

static void add_child(struct flame *f, const struct flame_node *node)
{
    mem_reserve(&f->children, &f->cap_children, f->n_children + 1, sizeof(*f->children));
    struct flame_node *child = &f->children[f->n_children++];
    *child = *node;
    child->weight = f->by == BY_ON_CPU ? node->total_ns : node->counts.total[f->by];
    child->level = node->parent ? f->shown[node->parent].level + 1 : 0;
}

/* How deep the children of a shown node are, and which of them may be shown. */
static void consider_children(struct flame *f, size_t parent)
{
    size_t n_large = 0;

    for (size_t i = 0; i < f->n_children; i++) {
        n_large += is_large(f, &f->children[i]);
    }
    for (size_t i = 0; i < f->n_children; i++) {
        struct flame_node *child = &f->children[i];
        bool is_same = n_large == 1 && is_large(f, child) && !is_on_path(f, parent, child->symbol);
        child->depth = parent ? f->shown[parent].depth + !is_same : 0;
        bool is_deep = child->depth > f->max_depth || child->level > f->max_level;
        if (is_large(f, child) && !is_deep) {
            heap_push(f, child);
        } else {
            cut(f, child);
            f->shown[parent].is_deep |= is_large(f, child);
        }
    }
    f->n_children = 0;
}

_Static_assert((int)flame_children_c_total_on_cpu_ns == (int)wait_children_c_total_on_cpu_ns &&
                   (int)flame_children_p_parent == (int)wait_children_p_parent,
               "both kinds of children have the same columns");

static void read_counts(struct query *q, uint32_t node, struct counts *counts)
{
    struct stmt *s = db_stmt(q->db, &sql_node_counters);

    stmt_bind_int(s, node_counters_p_node, node);
    if (stmt_next(s)) {
        counters_of_row(q, s, node_counters_c_self_c0, counts->self);
        counters_of_row(q, s, node_counters_c_total_c0, counts->total);
    }
    stmt_reset(s);
}

static void add_row(struct flame *f, size_t parent, struct stmt *s)
{
    struct flame_node node = {
        .id = (uint32_t)stmt_int(s, flame_children_c_id),
        .symbol = (uint32_t)stmt_int(s, flame_children_c_symbol),
        .is_inlined = stmt_int(s, flame_children_c_is_inlined) != 0,
        .n_self = stmt_int(s, flame_children_c_n_self_samples),
        .self_ns = stmt_int(s, flame_children_c_self_on_cpu_ns),
        .n_total = stmt_int(s, flame_children_c_n_total_samples),
        .total_ns = stmt_int(s, flame_children_c_total_on_cpu_ns),
        .parent = parent,
    };
    if (f->q->counters.n && f->measure == &measure_on_cpu) {
        read_counts(f->q, node.id, &node.counts);
    }
    add_child(f, &node);
}

static void add_folded(struct flame *f, size_t parent, uint32_t id)
{
    const struct tree_node *t = &f->q->fold.tree.nodes[id];
    const struct node_sum *sum = &f->q->fold.nodes[id];
    struct flame_node node = {
        .id = id,
        .symbol = t->symbol,
        .is_inlined = (t->flags & NODE_INLINED) != 0,
        .n_self = (int64_t)sum->n_self,
        .self_ns = (int64_t)sum->self_ns,
        .n_total = (int64_t)sum->n_total,
        .total_ns = (int64_t)sum->total_ns,
        .parent = parent,
    };
    if (f->q->fold.n_counters) {
        counters_of_node(&f->q->fold, id, &node.counts);
    }
    if (node.n_total) {
        add_child(f, &node);
    }
}

static void read_children(struct flame *f, size_t parent)
{
    const struct tree *t = &f->q->fold.tree;
    uint32_t id = f->shown[parent].id;

    if (!f->is_folded) {
        bool is_on_cpu = f->measure == &measure_on_cpu;
        struct stmt *s = db_stmt(f->q->db, is_on_cpu ? &sql_flame_children : &sql_wait_children);
        stmt_bind_int(s, flame_children_p_parent, id);
        while (stmt_next(s)) {
            add_row(f, parent, s);
        }
        return;
    }
    if (id < t->n_real) {
        for (uint32_t i = t->first_child[id]; i < t->first_child[id + 1]; i++) {
            add_folded(f, parent, t->children[i]);
        }
    }
    /* Made-up nodes are few: those of samples newer than the tree in memory. */
    for (size_t made = t->n_real; made < t->n_nodes; made++) {
        if (t->nodes[made].parent == id) {
            add_folded(f, parent, (uint32_t)made);
        }
    }
}

static void expand(struct flame *f, size_t parent)
{
    read_children(f, parent);
    consider_children(f, parent);
}

/* Fields that are known when a node is shown; "cut" follows when all its children were considered.
 */
static json_t *document_of(struct flame *f, struct flame_node *node)
{
    json_t *o = json_object();

    node->children = json_array();
    symbols_describe(f->q->db, node->symbol, o);
    view_set_int(o, f->measure->self_ns, node->self_ns);
    view_set_int(o, f->measure->total_ns, node->total_ns);
    view_set_int(o, f->measure->n_self, node->n_self);
    view_set_int(o, f->measure->n_total, node->n_total);
    json_object_set_new(o, "total_pct", view_pct(node->weight, f->all));
    json_object_set_new(o, "is_inlined", json_boolean(node->is_inlined));
    if (f->measure == &measure_on_cpu) {
        counters_add_counts(f->q, o, &node->counts);
    }
    json_object_set_new(o, "children", node->children);
    return o;
}

static json_t *cut_of(const struct flame *f, const struct flame_node *node)
{
    if (node->n_cut == 0) {
        return json_null();
    }
    json_t *o = json_object();
    view_set_int(o, "n_nodes", (int64_t)node->n_cut);
    view_set_int(o, f->measure->total_ns, (int64_t)node->cut_ns);
    json_object_set_new(o, "is_deep", json_boolean(node->is_deep));
    if (f->measure == &measure_on_cpu) {
        int64_t counters[COUNTERS_MAX];
        memcpy(counters, node->cut_counters, sizeof(counters));
        counters_add(f->q, o, "total_counters", counters);
    }
    return o;
}

static void show_all(struct flame *f, json_t *roots, json_t *data)
{
    json_t **documents = NULL;
    size_t cap_documents = 0;
    struct flame_node above = {.children = roots};

    mem_reserve(&f->shown, &f->cap_shown, 1, sizeof(*f->shown));
    f->shown[f->n_shown++] = above;
    expand(f, 0);
    while (f->n_heap > 0 && (int64_t)f->n_shown <= f->max_nodes) {
        struct flame_node node = heap_pop(f);
        json_t *document = document_of(f, &node);
        json_array_append_new(f->shown[node.parent].children, document);
        mem_reserve(&f->shown, &f->cap_shown, f->n_shown + 1, sizeof(*f->shown));
        mem_reserve(&documents, &cap_documents, f->n_shown + 1, sizeof(*documents));
        documents[f->n_shown] = document;
        f->shown[f->n_shown++] = node;
        expand(f, f->n_shown - 1);
    }
    if (f->n_heap > 0) {
        view_warn(f->q, "%zu more nodes reach the threshold but max_nodes is %lld", f->n_heap,
                  (long long)f->max_nodes);
    }
    while (f->n_heap > 0) {
        struct flame_node node = heap_pop(f);
        cut(f, &node);
    }
    for (size_t i = 1; i < f->n_shown; i++) {
        json_object_set_new(documents[i], "cut", cut_of(f, &f->shown[i]));
    }
    json_object_set_new(data, "cut", cut_of(f, &f->shown[0]));
    free(documents);
}

/* What everything adds up to, read or folded. */
static int prepare(struct flame *f, const struct params *p, int reason, struct waits_rest *rest,
                   struct err *e)
{
    struct query *q = f->q;
    int rc = 0;

    f->is_folded = filter_is_any(&p->filter) || reason >= 0;
    if (f->is_folded) {
        rc = f->measure == &measure_on_cpu ? view_fold(q, p, true, e)
                                           : waits_fold(q, &p->filter, reason, rest, e);
        f->n = (int64_t)q->fold.n;
        f->ns = (int64_t)q->fold.ns;
        memcpy(f->counters, q->fold.counters, sizeof(f->counters));
    } else if (f->measure == &measure_off_cpu) {
        rc = waits_total(q, &f->n, &f->ns, rest, e);
    } else {
        f->n = q->run.fold.n_samples;
        f->ns = q->run.on_cpu_ns;
        counters_of_run(q, f->counters);
    }
    f->all = f->by == BY_ON_CPU ? f->ns : f->counters[f->by];
    return rc;
}

int view_flamegraph(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct flame f = {.q = q};
    struct waits_rest rest = {0};
    bool is_off_cpu;
    int reason;
    int rc = waits_asked(p, &is_off_cpu, &reason, e);

    if (rc == 0) {
        rc = counters_asked(q, p, is_off_cpu, &f.by, e);
    }
    f.measure = is_off_cpu ? &measure_off_cpu : &measure_on_cpu;
    if (rc == 0) {
        rc = prepare(&f, p, reason, &rest, e);
    }
    if (rc < 0) {
        return rc;
    }
    f.max_depth = params_int(p, "max_depth", DEFAULT_DEPTH);
    f.max_level = f.max_depth > DEFAULT_DEPTH ? MAX_LEVEL : MAX_DEFAULT_LEVEL;
    f.max_nodes = params_int(p, "max_nodes", 20000);
    f.threshold = (double)f.all * params_real(p, "threshold_pct", 1.0) / 100.0;
    json_t *roots = json_array();
    view_set_int(data, f.measure->n, f.n);
    view_set_int(data, f.measure->ns, f.ns);
    if (!is_off_cpu) {
        counters_describe(q, data, f.by, f.counters);
    }
    json_object_set_new(data, "roots", roots);
    show_all(&f, roots, data);
    view_set_int(data, "n_nodes", (int64_t)f.n_shown - 1);
    if (is_off_cpu) {
        waits_describe(data, reason, &rest);
        waits_warnings(q, p, f.n_shown == 1, f.ns, &rest);
    } else {
        run_warnings(q, true, f.n_shown == 1, p);
        counters_warn(q, f.by);
    }
    free(f.shown);
    free(f.heap);
    free(f.children);
    return db_status(q->db, e);
}
