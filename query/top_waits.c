/* top_waits.c - functions by the time that was waited in them; see top.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "query/top.h"
#include "query/waits.sql.h"

/* A call tree node below which somebody waited; the leaves are markers of reasons. */
struct node {
    uint32_t parent; /* index, smaller than its own; 0: none */
    uint32_t id;     /* call_tree.id */
    uint32_t symbol;
    bool is_recursive;
    struct node_sum sum;
};

struct nodes {
    struct node *items; /* [0] stands above the roots */
    size_t n, cap;
};

/* What a function itself waited for, by reason. */
struct by_reason {
    uint64_t ns[N_REASONS];
};

static struct node *add_node(struct nodes *nodes, const struct node *node)
{
    mem_reserve(&nodes->items, &nodes->cap, nodes->n + 1, sizeof(*nodes->items));
    nodes->items[nodes->n] = *node;
    return &nodes->items[nodes->n++];
}

/* Breadth first from the roots, so that only what somebody waited in is read. Ids grow with depth,
 * which also ends the walk in a file that lies. */
static void read_tree(struct nodes *nodes, struct db *db)
{
    add_node(nodes, &(struct node){0});
    for (size_t i = 0; i < nodes->n; i++) {
        struct stmt *s = db_stmt(db, &sql_wait_children);
        uint32_t above = nodes->items[i].id;
        stmt_bind_int(s, wait_children_p_parent, above);
        while (stmt_next(s)) {
            int64_t id = stmt_int(s, wait_children_c_id);
            int64_t symbol = stmt_int(s, wait_children_c_symbol);
            if (id > above && id < UINT32_MAX && symbol > 0 && symbol < UINT32_MAX) {
                const struct node node = {
                    .parent = (uint32_t)i,
                    .id = (uint32_t)id,
                    .symbol = (uint32_t)symbol,
                    .is_recursive = stmt_int(s, wait_children_c_is_recursive) != 0,
                    .sum = {(uint64_t)stmt_int(s, wait_children_c_n_self_samples),
                            (uint64_t)stmt_int(s, wait_children_c_self_on_cpu_ns),
                            (uint64_t)stmt_int(s, wait_children_c_n_total_samples),
                            (uint64_t)stmt_int(s, wait_children_c_total_on_cpu_ns)},
                };
                add_node(nodes, &node);
            }
        }
    }
}

/* The same from a fold; parents have smaller numbers there too. */
static void take_fold(struct nodes *nodes, const struct fold *f)
{
    uint32_t *index_of = mem_new(f->tree.n_nodes + 1, sizeof(*index_of));

    add_node(nodes, &(struct node){0});
    for (size_t id = 1; id < f->tree.n_nodes; id++) {
        if (f->nodes[id].n_total) {
            const struct tree_node *t = &f->tree.nodes[id];
            index_of[id] = (uint32_t)nodes->n;
            add_node(nodes, &(struct node){.parent = index_of[t->parent],
                                           .id = (uint32_t)id,
                                           .symbol = t->symbol,
                                           .is_recursive = (t->flags & NODE_RECURSIVE) != 0,
                                           .sum = f->nodes[id]});
        }
    }
    free(index_of);
}

/* The function that began a wait: the innermost outside the kernel, else the innermost. */
static uint32_t waiter_of(const struct query *q, const struct nodes *nodes, uint32_t leaf)
{
    const struct symbols *symbols = &q->fold.symbols;
    uint32_t innermost = 0;

    for (uint32_t i = leaf; i; i = nodes->items[i].parent) {
        uint32_t symbol = nodes->items[i].symbol;
        if (symbols_kind(symbols, symbol) == SYMBOL_IS_FUNCTION) {
            innermost = innermost ? innermost : symbol;
            if (!symbols_is_kernel(symbols, symbol)) {
                return symbol;
            }
        }
    }
    return innermost;
}

static void name_reasons(struct top_rows *rows, const struct by_reason *by)
{
    for (size_t i = 0; i < rows->n; i++) {
        const uint64_t *ns = by[rows->items[i].symbol].ns;
        int most = 0;
        for (int r = 1; r < N_REASONS; r++) {
            most = ns[r] > ns[most] ? r : most;
        }
        rows->items[i].blocked = ns[most] ? reasons[most].name : NULL;
    }
}

static void sum_up(struct query *q, struct top_rows *rows, const struct nodes *nodes)
{
    size_t n_symbols = q->fold.symbols.n;
    struct node_sum *sums = mem_new(n_symbols + 1, sizeof(*sums));
    struct by_reason *by = mem_new(n_symbols + 1, sizeof(*by));
    const struct wait_markers markers = waits_markers(q);

    for (uint32_t i = 1; i < nodes->n; i++) {
        const struct node *node = &nodes->items[i];
        if (node->symbol < n_symbols && !node->is_recursive) {
            sums[node->symbol].n_total += node->sum.n_total;
            sums[node->symbol].total_ns += node->sum.total_ns;
        }
        uint32_t waiter = node->sum.n_self ? waiter_of(q, nodes, i) : 0;
        sums[waiter].n_self += node->sum.n_self;
        sums[waiter].self_ns += node->sum.self_ns;
        for (int r = 0; r < N_REASONS && node->sum.n_self; r++) {
            by[waiter].ns[r] += markers.symbols[r] == node->symbol ? node->sum.self_ns : 0;
        }
    }
    top_add_sums(q, rows, sums, NULL);
    name_reasons(rows, by);
    free(by);
    free(sums);
}

int top_read_waits(struct query *q, struct top_rows *rows, const struct filter *filter, int reason,
                   struct waits_rest *rest, struct err *e)
{
    struct nodes nodes = {0};
    int rc;

    if (filter_is_any(filter) || reason >= 0) {
        rc = waits_fold(q, filter, reason, rest, e);
        rows->n_all = (int64_t)q->fold.n;
        rows->all_ns = (int64_t)q->fold.ns;
    } else {
        rc = waits_total(q, &rows->n_all, &rows->all_ns, rest, e);
        rc = rc < 0 ? rc : symbols_refresh(&q->fold.symbols, q->db, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (filter_is_any(filter) || reason >= 0) {
        take_fold(&nodes, &q->fold);
    } else {
        read_tree(&nodes, q->db);
    }
    sum_up(q, rows, &nodes);
    free(nodes.items);
    return db_status(q->db, e);
}
