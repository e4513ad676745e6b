/* intern.c - see intern.h. */
#include "ingest/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/wait_reason.h"

const char *symbol_kind_text(enum symbol_kind kind)
{
    static const char *const texts[] = {"function", "unnamed", "process", "marker"};
    return texts[kind];
}

void intern_free(struct intern *in)
{
    for (size_t i = 0; i < in->n_symbols - in->symbols_written; i++) {
        free(in->new_symbols[i].name);
        free(in->new_symbols[i].linkage_name);
    }
    free(in->new_symbols);
    free(in->symbol_kinds);
    free(in->symbol_reasons);
    free(in->frames);
    free(in->callsites);
    map_free(&in->callsite_index);
    lazy_free(&in->tree);
    free(in->nodes);
    free(in->stacks);
    free(in->stack_counters);
    map_free(&in->stack_index);
    free(in->batch);
    lazy_free(&in->symbol_sums);
    lazy_free(&in->thread_sums);
    lazy_free(&in->frame_sums);
    lazy_free(&in->callsite_sums);
    *in = (struct intern){0};
}

void intern_count(struct intern *in, size_t n)
{
    in->n_counters = n;
    in->tree.n_counters = n;
    in->symbol_sums.n_counters = n;
    in->frame_sums.n_counters = n;
}

uint32_t intern_symbol(struct intern *in, const struct symbol_text *text)
{
    size_t n_new = in->n_symbols - in->symbols_written;
    mem_reserve(&in->new_symbols, &in->cap_new_symbols, n_new + 1, sizeof(*in->new_symbols));
    mem_reserve(&in->symbol_kinds, &in->cap_symbol_kinds, in->n_symbols + 1, 1);
    in->new_symbols[n_new] = *text;
    in->symbol_kinds[in->n_symbols] = (uint8_t)text->kind;
    mem_reserve(&in->symbol_reasons, &in->cap_symbol_reasons, in->n_symbols + 1, 1);
    const struct wait_row *row =
        text->kind == SYMBOL_FUNCTION ? wait_row_of(WAIT_USER_FUNCTION, text->name) : NULL;
    in->symbol_reasons[in->n_symbols] = row ? (uint8_t)(row->reason + 1) : 0;
    return (uint32_t)++in->n_symbols;
}

uint32_t intern_frame(struct intern *in, uint32_t binary, uint64_t rel_address, uint32_t symbol)
{
    mem_reserve(&in->frames, &in->cap_frames, in->n_frames + 1, sizeof(*in->frames));
    in->frames[in->n_frames] =
        (struct frame){.rel_address = rel_address, .binary = binary, .symbol = symbol};
    return (uint32_t)++in->n_frames;
}

/* Whether symbol already stands between node and the root. */
static bool is_above(const struct intern *in, uint32_t node, uint32_t symbol)
{
    while (node) {
        const struct lazy_row *row = lazy_row(&in->tree, node);
        if (row->b == symbol) {
            return true;
        }
        node = row->a;
    }
    return false;
}

uint32_t intern_node(struct intern *in, uint32_t parent, uint32_t symbol)
{
    size_t n_before = in->tree.n_rows;
    uint32_t id = lazy_id(&in->tree, parent, symbol);
    if (in->tree.n_rows > n_before) {
        mem_reserve(&in->nodes, &in->cap_nodes, id, sizeof(*in->nodes));
        in->nodes[id - 1] = (struct node){
            .depth = parent ? in->nodes[parent - 1].depth + 1 : 0,
            .is_recursive = is_above(in, parent, symbol),
        };
    }
    return id;
}

uint32_t intern_callsite(struct intern *in, uint32_t parent, uint32_t frame)
{
    uint32_t *id = map_put(&in->callsite_index, map_pair(parent, frame));
    if (*id) {
        return *id;
    }
    mem_reserve(&in->callsites, &in->cap_callsites, in->n_callsites + 1, sizeof(*in->callsites));
    const struct callsite *above = parent ? &in->callsites[parent - 1] : NULL;
    in->callsites[in->n_callsites] = (struct callsite){
        .parent = parent,
        .frame = frame,
        .depth = above ? above->depth + 1 : 0,
        .node = intern_node(in, above ? above->node : 0, in->frames[frame - 1].symbol),
    };
    *id = (uint32_t)++in->n_callsites;
    return *id;
}

uint32_t intern_stack(struct intern *in, uint32_t utid, uint32_t node)
{
    uint32_t *id = map_put(&in->stack_index, map_pair(utid, node));
    if (!*id) {
        mem_reserve(&in->stacks, &in->cap_stacks, in->n_stacks + 1, sizeof(*in->stacks));
        in->stacks[in->n_stacks] = (struct stack){.utid = utid, .node = node};
        size_t n_words = 2 * in->n_counters;
        if (n_words) {
            mem_reserve(&in->stack_counters, &in->cap_stack_counters, (in->n_stacks + 1) * n_words,
                        sizeof(*in->stack_counters));
            memset(in->stack_counters + in->n_stacks * n_words, 0,
                   n_words * sizeof(*in->stack_counters));
        }
        *id = (uint32_t)++in->n_stacks;
    }
    return *id;
}

void intern_sample(struct intern *in, uint32_t callsite, uint32_t frame, uint32_t utid,
                   int64_t on_cpu_ns, const uint64_t *counters)
{
    uint32_t node = intern_node(in, in->callsites[callsite - 1].node, in->frames[frame - 1].symbol);
    uint32_t id = intern_stack(in, utid, node);
    struct stack *stack = &in->stacks[id - 1];
    if (stack->n_batch == 0) {
        mem_reserve(&in->batch, &in->cap_batch, in->n_batch + 1, sizeof(*in->batch));
        in->batch[in->n_batch++] = id;
    }
    stack->n_samples++;
    stack->on_cpu_ns += on_cpu_ns;
    stack->n_batch++;
    stack->batch_ns += on_cpu_ns;
    in->n_samples++;
    const struct sums one = {.n_self = 1, .self_ns = on_cpu_ns};
    uint32_t location = lazy_id(&in->frame_sums, frame, utid);
    lazy_add(&in->frame_sums, location, &one, in->n_samples);
    if (in->n_counters && counters) {
        lazy_add_counters(&in->frame_sums, location, counters, NULL);
        uint64_t *sums = intern_stack_counters(in, id);
        for (size_t i = 0; i < in->n_counters; i++) {
            sums[i] += counters[i];
            sums[in->n_counters + i] += counters[i];
        }
    }
    lazy_add(&in->callsite_sums, lazy_id(&in->callsite_sums, callsite, utid), &one, in->n_samples);
}

/* Adds what the counters of a stack gained to one of its nodes and to the symbol there. */
static void settle_counters(struct intern *in, uint32_t node, uint32_t symbol, bool is_leaf,
                            const uint64_t *gain)
{
    bool is_outermost = !in->nodes[node - 1].is_recursive;
    lazy_add_counters(&in->tree, node, is_leaf ? gain : NULL, gain);
    if (is_outermost || is_leaf) {
        lazy_add_counters(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0),
                          is_leaf ? gain : NULL, is_outermost ? gain : NULL);
    }
}

static void add_to_symbol(struct intern *in, uint32_t utid, uint32_t symbol,
                          const struct sums *delta)
{
    lazy_add(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0), delta, in->n_samples);
    lazy_add(&in->thread_sums, lazy_id(&in->thread_sums, utid, symbol), delta, in->n_samples);
}

/* Adds a stack's gain to its nodes and, once per symbol, to the symbols on it. */
static void settle_stack(struct intern *in, struct stack *stack)
{
    struct sums total = {.n_total = stack->n_batch, .total_ns = stack->batch_ns};
    struct sums leaf = total;
    leaf.n_self = stack->n_batch;
    leaf.self_ns = stack->batch_ns;
    uint64_t *counters = NULL;
    if (in->n_counters) {
        counters = intern_stack_counters(in, (uint32_t)(stack - in->stacks) + 1) + in->n_counters;
    }
    stack->n_batch = 0;
    stack->batch_ns = 0;
    for (uint32_t node = stack->node; node;) {
        bool is_leaf = node == stack->node;
        const struct lazy_row *row = lazy_row(&in->tree, node);
        uint32_t parent = row->a, symbol = row->b;
        lazy_add(&in->tree, node, is_leaf ? &leaf : &total, in->n_samples);
        bool is_outermost = !in->nodes[node - 1].is_recursive;
        if (is_outermost || is_leaf) {
            struct sums delta = is_leaf ? leaf : total;
            delta.n_total = is_outermost ? total.n_total : 0;
            delta.total_ns = is_outermost ? total.total_ns : 0;
            add_to_symbol(in, stack->utid, symbol, &delta);
        }
        if (counters) {
            settle_counters(in, node, symbol, is_leaf, counters);
        }
        node = parent;
    }
    if (counters) {
        memset(counters, 0, in->n_counters * sizeof(*counters));
    }
}

void intern_waits(struct intern *in, uint32_t callsite, uint32_t marker, uint64_t n, int64_t dur_ns)
{
    uint32_t leaf = intern_node(in, in->callsites[callsite - 1].node, marker);
    for (uint32_t node = leaf; node;) {
        const struct lazy_row *row = lazy_row(&in->tree, node);
        uint32_t parent = row->a, symbol = row->b;
        struct sums delta = {.n_waits = n, .total_off_ns = dur_ns};
        if (node == leaf) {
            delta.n_self_waits = n;
            delta.self_off_ns = dur_ns;
        }
        lazy_add(&in->tree, node, &delta, in->n_samples);
        if (!in->nodes[node - 1].is_recursive) {
            lazy_add(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0), &delta, in->n_samples);
        }
        node = parent;
    }
}

void intern_settle(struct intern *in)
{
    for (size_t i = 0; i < in->n_batch; i++) {
        settle_stack(in, &in->stacks[in->batch[i] - 1]);
    }
    in->n_batch = 0;
}

uint64_t intern_n_pending(const struct intern *in)
{
    const struct lazy_table *tables[] = {&in->tree, &in->symbol_sums, &in->thread_sums,
                                         &in->frame_sums, &in->callsite_sums};
    uint64_t clean = in->n_samples;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        uint64_t c = lazy_clean_until(tables[i], in->n_samples);
        clean = c < clean ? c : clean;
    }
    return in->n_samples - clean;
}

size_t intern_bytes(const struct intern *in)
{
    return lazy_bytes(&in->tree) + lazy_bytes(&in->symbol_sums) + lazy_bytes(&in->thread_sums) +
           lazy_bytes(&in->frame_sums) + lazy_bytes(&in->callsite_sums) +
           map_bytes(&in->callsite_index) + map_bytes(&in->stack_index) +
           in->cap_stack_counters * sizeof(*in->stack_counters) +
           in->cap_callsites * sizeof(*in->callsites) + in->cap_frames * sizeof(*in->frames) +
           in->cap_stacks * sizeof(*in->stacks) + in->cap_nodes * sizeof(*in->nodes);
}
