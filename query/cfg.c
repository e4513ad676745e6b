/* cfg.c - basic blocks of a function and the edges between them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/annotate.h"

struct block {
    size_t first, n; /* instructions */
    struct annotated_sum sum;
};

struct cfg {
    const struct disasm *disasm;
    struct block *blocks;
    size_t n, cap;
    uint32_t *block_of; /* by instruction */
};

static bool ends_block(const struct instruction *i)
{
    return i->flow != FLOW_NEXT && i->flow != FLOW_CALL;
}

/* The instruction that begins at an address, or d->n. */
static size_t start_at(const struct disasm *d, uint64_t address)
{
    size_t i = disasm_at(d, address);
    return i < d->n && d->items[i].address == address ? i : d->n;
}

static void find_blocks(struct cfg *c, const struct disasm *d, const struct annotated_sum *sums)
{
    uint8_t *is_leader = mem_new(d->n + 1, 1);

    c->disasm = d;
    c->block_of = mem_new(d->n + 1, sizeof(*c->block_of));
    is_leader[0] = 1;
    for (size_t i = 0; i < d->n; i++) {
        const struct instruction *in = &d->items[i];
        if (ends_block(in)) {
            is_leader[i + 1] = 1;
        }
        if (ends_block(in) && in->has_target) {
            is_leader[start_at(d, in->target)] = 1;
        }
    }
    for (size_t i = 0; i < d->n; i++) {
        if (is_leader[i]) {
            mem_reserve(&c->blocks, &c->cap, c->n + 1, sizeof(*c->blocks));
            c->blocks[c->n++] = (struct block){.first = i};
        }
        struct block *b = &c->blocks[c->n - 1];
        b->n++;
        annotate_add_sum(&b->sum, &sums[i]);
        c->block_of[i] = (uint32_t)(c->n - 1);
    }
    free(is_leader);
}

/* to: a block, or -1: outside of the function, at target. */
static void add_edge(json_t *edges, size_t from, int64_t to, const char *kind, uint64_t target)
{
    json_t *o = json_object();

    view_set_int(o, "from", (int64_t)from);
    json_object_set_new(o, "to", to < 0 ? json_null() : json_integer(to));
    json_object_set_new(o, "kind", json_string(kind));
    view_set_int(o, "target", (int64_t)target);
    json_array_append_new(edges, o);
}

static void add_edges(const struct cfg *c, size_t at, json_t *edges)
{
    const struct disasm *d = c->disasm;
    const struct block *b = &c->blocks[at];
    const struct instruction *last = &d->items[b->first + b->n - 1];
    bool jumps = last->flow == FLOW_JUMP || last->flow == FLOW_BRANCH;
    bool goes_on = last->flow == FLOW_NEXT || last->flow == FLOW_CALL || last->flow == FLOW_BRANCH;

    if (jumps && last->has_target) {
        size_t target = start_at(d, last->target);
        add_edge(edges, at, target < d->n ? (int64_t)c->block_of[target] : -1,
                 flow_text(last->flow), last->target);
    }
    if (goes_on) {
        bool is_last = at + 1 == c->n;
        add_edge(edges, at, is_last ? -1 : (int64_t)at + 1, "next", last->address + last->size);
    }
}

static json_t *block_of(const struct query *q, const struct annotated *a, const struct cfg *c,
                        size_t at)
{
    const struct block *b = &c->blocks[at];
    const struct instruction *first = &c->disasm->items[b->first];
    const struct instruction *last = &c->disasm->items[b->first + b->n - 1];
    json_t *o = json_object();

    view_set_int(o, "id", (int64_t)at);
    annotate_set_address(a, o, annotated_rel_address(a, first->address));
    view_set_int(o, "size_bytes", (int64_t)(last->address + last->size - first->address));
    view_set_int(o, "first_instruction", (int64_t)b->first);
    view_set_int(o, "n_instructions", (int64_t)b->n);
    annotate_set_sum(q, o, &b->sum, a->sum.on_cpu_ns);
    json_object_set_new(o, "ends_in", json_string(flow_text(last->flow)));
    json_object_set_new(
        o, "is_indirect",
        json_boolean((last->flow == FLOW_JUMP || last->flow == FLOW_BRANCH) && !last->has_target));
    return o;
}

static void add_blocks(const struct query *q, const struct annotated *a, json_t *data)
{
    struct annotated_sum *sums = annotated_sums(a, false);
    struct cfg c = {0};
    json_t *blocks = json_array(), *edges = json_array();
    int64_t n_outside = a->sum.n_samples, outside_ns = a->sum.on_cpu_ns;

    if (sums) {
        find_blocks(&c, &a->disasm, sums);
    }
    for (size_t i = 0; i < c.n; i++) {
        json_array_append_new(blocks, block_of(q, a, &c, i));
        add_edges(&c, i, edges);
        n_outside = (int64_t)((uint64_t)n_outside - (uint64_t)c.blocks[i].sum.n_samples);
        outside_ns = (int64_t)((uint64_t)outside_ns - (uint64_t)c.blocks[i].sum.on_cpu_ns);
    }
    json_object_set_new(data, "blocks", blocks);
    json_object_set_new(data, "edges", edges);
    view_set_int(data, "n_outside_samples", n_outside);
    view_set_int(data, "outside_on_cpu_ns", outside_ns);
    free(c.blocks);
    free(c.block_of);
    free(sums);
}

int view_cfg(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct annotated a;
    int rc = annotated_read(&a, q, p, e);

    if (rc == 0) {
        annotated_describe(q, &a, data);
        annotated_instructions(q, &a, data);
        add_blocks(q, &a, data);
        run_warnings(q, false, a.sum.n_samples == 0, p);
        rc = db_status(q->db, e);
    }
    annotated_free(&a);
    return rc;
}
