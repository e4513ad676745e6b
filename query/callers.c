/*
 * callers.c - trees rooted at a function: who calls it, and what it calls.
 *
 * Every sample counts once, whatever recursion its stack holds: for callers at the outermost call
 * of the function, for callees at the innermost, so that a function which calls itself does not
 * appear below itself. A caller or callee that calls itself directly is one node.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "query/waits.h"

enum { ROOT = 1 };

struct branch {
    uint32_t parent; /* index; 0: none, it is the root */
    uint32_t symbol;
    int64_t depth;
    bool is_inlined; /* in all the places it stands for */
    struct node_sum sum;
    size_t n_cut; /* children left out */
    bool is_deep; /* some of them only as they are too deep */
    uint64_t cut_ns;
    json_t *children; /* borrowed from its document; NULL: not shown */
};

struct branches {
    struct branch *items; /* [0] stands above the root; parents before children */
    size_t n, cap;
    struct map children; /* (parent, symbol) -> index */
};

/* What a tree is made of. */
struct asked {
    struct query *q;
    const struct measure *measure;
    int reason;     /* of waits; -1: all */
    uint8_t *flags; /* by symbol: it is the function asked for */
    size_t n_symbols;
    struct waits_rest rest;
};

static bool is_flagged(const struct asked *a, uint32_t node)
{
    uint32_t symbol = a->q->fold.tree.nodes[node].symbol;
    return node && symbol < a->q->fold.symbols.n && a->flags[symbol];
}

static uint32_t add_branch(struct branches *b, uint32_t parent, uint32_t symbol, bool is_inlined)
{
    mem_reserve(&b->items, &b->cap, b->n + 1, sizeof(*b->items));
    b->items[b->n] = (struct branch){
        .parent = parent,
        .symbol = symbol,
        .depth = b->n > ROOT ? b->items[parent].depth + 1 : 0,
        .is_inlined = is_inlined,
    };
    return (uint32_t)b->n++;
}

/* The branch below parent that a node of the call tree belongs to. */
static uint32_t branch_of(struct branches *b, uint32_t parent, const struct tree_node *node)
{
    bool is_inlined = (node->flags & NODE_INLINED) != 0;

    if (b->items[parent].symbol == node->symbol) {
        return parent; /* it calls itself */
    }
    uint32_t *slot = map_put(&b->children, map_pair(parent, node->symbol));
    if (!*slot) {
        uint32_t index = add_branch(b, parent, node->symbol, is_inlined);
        *slot = index;
        return index;
    }
    b->items[*slot].is_inlined = b->items[*slot].is_inlined && is_inlined;
    return *slot;
}

static void add_self(struct branches *b, uint32_t at, const struct node_sum *sum)
{
    b->items[at].sum.n_self += sum->n_self;
    b->items[at].sum.self_ns += sum->self_ns;
}

static void add_total(struct branches *b, uint32_t at, const struct node_sum *sum)
{
    b->items[at].sum.n_total += sum->n_total;
    b->items[at].sum.total_ns += sum->total_ns;
}

/* Parents come first in the call tree and among the branches, so that one pass down places every
 * node below the innermost call of the function, and one pass up adds up the totals. */
static void grow_callees(const struct asked *a, struct branches *b)
{
    const struct fold *f = &a->q->fold;
    uint32_t *place = mem_new(f->tree.n_nodes + 1, sizeof(*place)); /* by node; 0: not below it */

    for (uint32_t id = 1; id < f->tree.n_nodes; id++) {
        const struct tree_node *node = &f->tree.nodes[id];
        if (f->nodes[id].n_total == 0) {
            continue;
        }
        if (is_flagged(a, id)) {
            place[id] = ROOT;
        } else if (place[node->parent]) {
            place[id] = branch_of(b, place[node->parent], node);
        }
        if (place[id]) {
            add_self(b, place[id], &f->nodes[id]);
        }
    }
    for (uint32_t i = (uint32_t)b->n; i-- > ROOT;) {
        struct node_sum *sum = &b->items[i].sum;
        sum->n_total += sum->n_self;
        sum->total_ns += sum->self_ns;
        if (i > ROOT) {
            add_total(b, b->items[i].parent, sum);
        }
    }
    free(place);
}

/* Whether what ends in this node was spent in the function itself: a sample there, or a wait that
 * it began, being the innermost function outside the kernel (as in top). */
static bool is_own(const struct asked *a, uint32_t id)
{
    const struct fold *f = &a->q->fold;
    uint32_t innermost = 0;

    if (a->measure == &measure_on_cpu) {
        return is_flagged(a, id);
    }
    for (; id; id = f->tree.nodes[id].parent) {
        uint32_t symbol = f->tree.nodes[id].symbol;
        if (symbols_kind(&f->symbols, symbol) == SYMBOL_IS_FUNCTION) {
            innermost = innermost ? innermost : id;
            if (!symbols_is_kernel(&f->symbols, symbol)) {
                return is_flagged(a, id);
            }
        }
    }
    return is_flagged(a, innermost);
}

/* Adds what passes the outermost call at node id to the path of its callers. own: the part of it
 * that was spent in the function itself. */
static void add_path(const struct asked *a, struct branches *b, uint32_t id,
                     const struct node_sum *own)
{
    const struct fold *f = &a->q->fold;
    uint32_t at = ROOT;
    struct node_sum sum = {own->n_self, own->self_ns, f->nodes[id].n_total, f->nodes[id].total_ns};

    add_self(b, at, &sum);
    add_total(b, at, &sum);
    for (uint32_t above = f->tree.nodes[id].parent; above; above = f->tree.nodes[above].parent) {
        uint32_t next = branch_of(b, at, &f->tree.nodes[above]);
        if (next != at) {
            add_self(b, next, &sum);
            add_total(b, next, &sum);
        }
        at = next;
    }
}

static void grow_callers(const struct asked *a, struct branches *b)
{
    const struct fold *f = &a->q->fold;
    size_t n = f->tree.n_nodes;
    uint32_t *outermost = mem_new(n + 1, sizeof(*outermost)); /* call above or at a node; 0: none */
    struct node_sum *own = mem_new(n + 1, sizeof(*own));      /* by outermost call */

    for (uint32_t id = 1; id < n; id++) {
        uint32_t above = outermost[f->tree.nodes[id].parent];
        outermost[id] = above ? above : is_flagged(a, id) ? id : 0;
        if (outermost[id] && f->nodes[id].n_self && is_own(a, id)) {
            own[outermost[id]].n_self += f->nodes[id].n_self;
            own[outermost[id]].self_ns += f->nodes[id].self_ns;
        }
    }
    for (uint32_t id = 1; id < n; id++) {
        if (outermost[id] == id && f->nodes[id].n_total) {
            add_path(a, b, id, &own[id]);
        }
    }
    free(own);
    free(outermost);
}

/* ---- the document ---------------------------------------------------------------------------- */

static int by_total(const void *a, const void *b, void *context)
{
    const struct branch *items = context;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    int64_t x = (int64_t)items[i].sum.total_ns, y = (int64_t)items[k].sum.total_ns;

    if (x != y) {
        return x < y ? 1 : -1;
    }
    return i < k ? -1 : i > k;
}

static json_t *document_of(const struct asked *a, const struct branches *b, struct branch *branch)
{
    const struct measure *m = a->measure;
    json_t *o = json_object();

    branch->children = json_array();
    symbols_describe(a->q->db, branch->symbol, o);
    view_set_int(o, m->self_ns, (int64_t)branch->sum.self_ns);
    view_set_int(o, m->total_ns, (int64_t)branch->sum.total_ns);
    view_set_int(o, m->n_self, (int64_t)branch->sum.n_self);
    view_set_int(o, m->n_total, (int64_t)branch->sum.n_total);
    json_object_set_new(o, "total_pct",
                        view_pct((int64_t)branch->sum.total_ns, (int64_t)a->q->fold.ns));
    json_object_set_new(
        o, "root_pct",
        view_pct((int64_t)branch->sum.total_ns, (int64_t)b->items[ROOT].sum.total_ns));
    json_object_set_new(o, "is_inlined", json_boolean(branch->is_inlined));
    json_object_set_new(o, "children", branch->children);
    return o;
}

static json_t *cut_of(const struct asked *a, const struct branch *branch)
{
    if (branch->n_cut == 0) {
        return json_null();
    }
    json_t *o = json_object();
    view_set_int(o, "n_nodes", (int64_t)branch->n_cut);
    view_set_int(o, a->measure->total_ns, (int64_t)branch->cut_ns);
    json_object_set_new(o, "is_deep", json_boolean(branch->is_deep));
    return o;
}

/* Heaviest first: what max_nodes leaves out is smaller than all that is shown, and siblings come
 * out in order. */
static size_t show(const struct asked *a, struct branches *b, const struct params *p, json_t *roots)
{
    int64_t max_depth = params_int(p, "max_depth", 12);
    size_t max_nodes = (size_t)params_int(p, "max_nodes", 20000), n_shown = 0, n_over = 0;
    double least = (double)b->items[ROOT].sum.total_ns * params_real(p, "threshold_pct", 1.0) / 100;
    uint32_t *order = mem_new(b->n, sizeof(*order));
    json_t **documents = mem_new(b->n, sizeof(*documents));

    b->items[0].children = roots;
    for (size_t i = ROOT; i < b->n; i++) {
        order[i] = (uint32_t)i;
    }
    qsort_r(order + ROOT, b->n - ROOT, sizeof(*order), by_total, b->items);
    for (size_t i = ROOT; i < b->n; i++) {
        struct branch *branch = &b->items[order[i]], *parent = &b->items[branch->parent];
        bool is_deep = branch->depth > max_depth;
        bool is_large = (double)branch->sum.total_ns >= least && parent->children;
        parent->is_deep |= is_large && is_deep;
        is_large = is_large && !is_deep;
        if (is_large && n_shown < max_nodes) {
            documents[order[i]] = document_of(a, b, branch);
            json_array_append_new(parent->children, documents[order[i]]);
            n_shown++;
        } else {
            parent->n_cut++;
            parent->cut_ns += branch->sum.total_ns;
            n_over += is_large;
        }
    }
    for (size_t i = ROOT; i < b->n; i++) {
        if (documents[i]) {
            json_object_set_new(documents[i], "cut", cut_of(a, &b->items[i]));
        }
    }
    if (n_over) {
        view_warn(a->q, "%zu more nodes reach the threshold but max_nodes is %zu", n_over,
                  max_nodes);
    }
    free(documents);
    free(order);
    return n_shown;
}

/* The heaviest function of that name stands for all of them. */
static uint32_t root_symbol(struct asked *a)
{
    const struct fold *f = &a->q->fold;
    uint64_t *ns = mem_new(f->symbols.n + 1, sizeof(*ns));
    uint32_t root = 0;

    for (uint32_t id = 1; id < f->tree.n_nodes; id++) {
        if (is_flagged(a, id) && !(f->tree.nodes[id].flags & NODE_RECURSIVE)) {
            ns[f->tree.nodes[id].symbol] += f->nodes[id].total_ns;
        }
    }
    for (uint32_t symbol = 1; symbol < f->symbols.n; symbol++) {
        if (a->flags[symbol]) {
            a->n_symbols++;
            root = !root || ns[symbol] > ns[root] ? symbol : root;
        }
    }
    free(ns);
    return root;
}

/* There is something, but not on stacks with the function: where to look instead. */
static void warn_of_none(struct asked *a, const struct params *p)
{
    const char *name = params_text(p, "symbol", "");

    if (a->measure == &measure_off_cpu) {
        view_warn(a->q,
                  "no wait has %s on its stack; without --off-cpu its CPU time is shown, and "
                  "stax top --off-cpu lists functions with waits",
                  name);
    } else {
        view_warn(a->q,
                  "no sample has %s on its stack; --off-cpu shows its waits, and stax top lists "
                  "functions with samples",
                  name);
    }
}

static void fill(struct asked *a, const struct params *p, bool is_callers, json_t *data)
{
    struct branches b = {0};
    json_t *roots = json_array();
    const struct fold *f = &a->q->fold;
    size_t n_shown = 0;

    add_branch(&b, 0, 0, false);
    add_branch(&b, 0, root_symbol(a), false);
    if (is_callers) {
        grow_callers(a, &b);
    } else {
        grow_callees(a, &b);
    }
    bool is_empty = b.items[ROOT].sum.n_total == 0;
    bool is_filtered = filter_is_any(&p->filter) || params_text(p, "reason", NULL);
    if (!is_empty) {
        n_shown = show(a, &b, p, roots);
    } else if (f->n && !is_filtered) {
        warn_of_none(a, p);
        is_empty = false; /* the run is not */
    }
    json_object_set_new(data, "name", json_clean_string(params_text(p, "symbol", "")));
    view_set_int(data, "n_symbols", (int64_t)a->n_symbols);
    view_set_int(data, a->measure->n, (int64_t)f->n);
    view_set_int(data, a->measure->ns, (int64_t)f->ns);
    view_set_int(data, "n_nodes", (int64_t)n_shown);
    json_object_set_new(data, "roots", roots);
    json_object_set_new(data, "cut", cut_of(a, &b.items[0]));
    if (a->measure == &measure_off_cpu) {
        waits_describe(data, a->reason, &a->rest);
        waits_warnings(a->q, p, is_empty, (int64_t)f->ns, &a->rest);
    } else {
        run_warnings(a->q, true, is_empty, p);
    }
    map_free(&b.children);
    free(b.items);
}

static int view_tree_of(struct query *q, const struct params *p, bool is_callers, json_t *data,
                        struct err *e)
{
    struct asked a = {.q = q};
    const char *name = params_text(p, "symbol", NULL);
    bool is_off_cpu = false;
    int rc = waits_asked(p, &is_off_cpu, &a.reason, e);

    if (rc == 0 && !name) {
        rc = err_set(e, STAX_EUSAGE, "%s needs the parameter \"symbol\"",
                     is_callers ? "callers" : "callees");
    }
    if (rc < 0) {
        return rc;
    }
    a.measure = is_off_cpu ? &measure_off_cpu : &measure_on_cpu;
    rc = is_off_cpu ? waits_fold(q, &p->filter, a.reason, &a.rest, e) : view_fold(q, p, true, e);
    if (rc < 0) {
        return rc;
    }
    a.flags = mem_new(q->fold.symbols.n + 1, 1);
    rc = view_flag_function(q, name, a.flags, e);
    if (rc == 0) {
        fill(&a, p, is_callers, data);
        rc = db_status(q->db, e);
    }
    free(a.flags);
    return rc;
}

int view_callers(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    return view_tree_of(q, p, true, data, e);
}

int view_callees(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    return view_tree_of(q, p, false, data, e);
}
