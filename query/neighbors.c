/*
 * neighbors.c - who calls a function and whom it calls, with the time that goes through each.
 *
 * Every stack counts once: callers at the function's outermost frame, a callee at the outermost
 * place where the function calls it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "query/view.h"

struct neighbor {
    int64_t symbol;
    uint64_t n_samples, on_cpu_ns;
};

static int by_time(const void *a, const void *b)
{
    const struct neighbor *x = a, *y = b;

    if (x->on_cpu_ns != y->on_cpu_ns) {
        return x->on_cpu_ns < y->on_cpu_ns ? 1 : -1;
    }
    return x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
}

static bool is_flagged(const struct fold *f, const uint8_t *flags, uint32_t node)
{
    uint32_t symbol = f->tree.nodes[node].symbol;
    return node && symbol < f->symbols.n && flags[symbol];
}

/* Whether one of the functions asked for is nearer to the root. */
static bool has_flagged_above(const struct fold *f, const uint8_t *flags, uint32_t node)
{
    for (node = f->tree.nodes[node].parent; node; node = f->tree.nodes[node].parent) {
        if (is_flagged(f, flags, node)) {
            return true;
        }
    }
    return false;
}

/* Whether the same call, from a flagged function to this symbol, is nearer to the root. */
static bool has_call_above(const struct fold *f, const uint8_t *flags, uint32_t node)
{
    const struct tree_node *nodes = f->tree.nodes;
    uint32_t symbol = nodes[node].symbol;

    for (node = nodes[node].parent; node; node = nodes[node].parent) {
        if (nodes[node].symbol == symbol && is_flagged(f, flags, nodes[node].parent)) {
            return true;
        }
    }
    return false;
}

static void add(struct neighbor *sums, const struct fold *f, uint32_t node, uint32_t symbol)
{
    if (symbol < f->symbols.n) {
        sums[symbol].n_samples += f->nodes[node].n_total;
        sums[symbol].on_cpu_ns += f->nodes[node].total_ns;
    }
}

static json_t *list_of(struct query *q, struct neighbor *sums, int64_t limit, int64_t whole_ns)
{
    json_t *list = json_array();
    size_t n = 0;

    for (size_t symbol = 1; symbol < q->fold.symbols.n; symbol++) {
        if (sums[symbol].n_samples) {
            sums[n] = sums[symbol];
            sums[n++].symbol = (int64_t)symbol;
        }
    }
    qsort(sums, n, sizeof(*sums), by_time);
    for (size_t i = 0; i < n && (limit == 0 || (int64_t)i < limit); i++) {
        json_t *o = json_object();
        symbols_describe(q->db, sums[i].symbol, o);
        view_set_int(o, "n_samples", (int64_t)sums[i].n_samples);
        view_set_int(o, "on_cpu_ns", (int64_t)sums[i].on_cpu_ns);
        json_object_set_new(o, "pct", view_pct((int64_t)sums[i].on_cpu_ns, whole_ns));
        json_array_append_new(list, o);
    }
    return list;
}

static void fill(struct query *q, const struct params *p, const uint8_t *flags, json_t *data)
{
    const struct fold *f = &q->fold;
    struct neighbor *callers = mem_new(f->symbols.n + 1, sizeof(*callers));
    struct neighbor *callees = mem_new(f->symbols.n + 1, sizeof(*callees));
    struct node_sum sum = {0};
    int64_t limit = params_int(p, "limit", 20);

    for (uint32_t node = 1; node < f->tree.n_nodes; node++) {
        uint32_t parent = f->tree.nodes[node].parent;
        if (f->nodes[node].n_total == 0) {
            continue;
        }
        if (is_flagged(f, flags, node)) {
            sum.n_self += f->nodes[node].n_self;
            sum.self_ns += f->nodes[node].self_ns;
            if (!has_flagged_above(f, flags, node)) {
                sum.n_total += f->nodes[node].n_total;
                sum.total_ns += f->nodes[node].total_ns;
                add(callers, f, node, f->tree.nodes[parent].symbol);
            }
        }
        if (is_flagged(f, flags, parent) && !has_call_above(f, flags, node)) {
            add(callees, f, node, f->tree.nodes[node].symbol);
        }
    }
    json_object_set_new(data, "name", json_clean_string(params_text(p, "symbol", "")));
    view_set_int(data, "n_self_samples", (int64_t)sum.n_self);
    view_set_int(data, "self_on_cpu_ns", (int64_t)sum.self_ns);
    view_set_int(data, "n_total_samples", (int64_t)sum.n_total);
    view_set_int(data, "total_on_cpu_ns", (int64_t)sum.total_ns);
    json_object_set_new(data, "callers", list_of(q, callers, limit, (int64_t)sum.total_ns));
    json_object_set_new(data, "callees", list_of(q, callees, limit, (int64_t)sum.total_ns));
    free(callers);
    free(callees);
    run_warnings(q, true, sum.n_total == 0, p);
}

int view_neighbors(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    const char *name = params_text(p, "symbol", NULL);

    if (!name) {
        return err_set(e, STAX_EUSAGE, "neighbors needs the parameter \"symbol\"");
    }
    int rc = view_fold(q, p, true, e);
    if (rc < 0) {
        return rc;
    }
    uint8_t *flags = mem_new(q->fold.symbols.n + 1, 1);
    rc = view_flag_function(q, name, flags, e);
    if (rc == 0) {
        fill(q, p, flags, data);
        rc = db_status(q->db, e);
    }
    free(flags);
    return rc;
}
