/* intern.c - see intern.h. */
#include "ingest/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/wait_reason.h"

enum { FINE_MAX = 4000000 }; /* fine stacks and waits: some 250 MB */

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
    for (size_t i = 0; i < in->n_renames; i++) {
        free(in->renames[i].text.name);
        free(in->renames[i].text.linkage_name);
    }
    free(in->renames);
    free(in->inlined);
    free(in->inlined_at);
    free(in->stale);
    map_free(&in->stale_index);
    fine_free(&in->fine);
    free(in->changed_nodes);
    free(in->changed_callsites);
    free(in->symbol_kinds);
    free(in->symbol_reasons);
    free(in->symbol_wholes);
    free(in->symbol_languages);
    free(in->languages);
    free(in->late_wholes);
    map_free(&in->late_whole_index);
    free(in->changed_wholes);
    free(in->frames);
    free(in->callsites);
    map_free(&in->callsite_index);
    map_free(&in->known_index);
    free(in->known);
    lazy_free(&in->tree);
    free(in->nodes);
    free(in->stacks);
    free(in->stack_counters);
    map_free(&in->stack_index);
    free(in->batch);
    free(in->gains);
    free(in->gain_counters);
    free(in->gaining);
    lazy_free(&in->symbol_sums);
    lazy_free(&in->thread_sums);
    lazy_free(&in->frame_sums);
    lazy_free(&in->callsite_sums);
    *in = (struct intern){0};
}

void intern_count(struct intern *in, size_t n)
{
    in->n_counters = n;
    in->fine.n_counters = n;
    in->tree.n_counters = n;
    in->symbol_sums.n_counters = n;
    in->frame_sums.n_counters = n;
}

/* What a symbol's name and kind say of it. */
static void classify(struct intern *in, uint32_t symbol, const struct symbol_text *text)
{
    const struct wait_row *row =
        text->kind == SYMBOL_FUNCTION ? wait_row_of(WAIT_USER_FUNCTION, text->name) : NULL;
    in->symbol_kinds[symbol - 1] = (uint8_t)text->kind;
    in->symbol_reasons[symbol - 1] =
        row ? (uint8_t)((row->reason + 1) | (row->rank == WAIT_OUTER ? SYMBOL_IS_OUTER : 0)) : 0;
}

void intern_set_whole(struct intern *in, uint32_t symbol, uint32_t whole)
{
    mem_reserve(&in->symbol_wholes, &in->cap_symbol_wholes, symbol, sizeof(*in->symbol_wholes));
    while (in->n_wholes < symbol) {
        in->symbol_wholes[in->n_wholes++] = 0;
    }
    in->symbol_wholes[symbol - 1] = whole;
}

static const char **language_of(struct intern *in, uint32_t symbol)
{
    mem_reserve(&in->symbol_languages, &in->cap_symbol_languages, symbol, sizeof(const char *));
    while (in->n_symbol_languages < symbol) {
        in->symbol_languages[in->n_symbol_languages++] = "";
    }
    return &in->symbol_languages[symbol - 1];
}

void intern_set_language(struct intern *in, uint32_t symbol, const char *language)
{
    const char **known = language_of(in, symbol);
    if ((*known)[0] || !language || !language[0]) {
        return;
    }
    *known = language;
    if (symbol > in->symbols_written) {
        in->new_symbols[symbol - in->symbols_written - 1].language = language;
        return;
    }
    mem_reserve(&in->languages, &in->cap_languages, in->n_languages + 1, sizeof(*in->languages));
    in->languages[in->n_languages++] = (struct symbol_language){symbol, language};
}

uint32_t intern_symbol(struct intern *in, const struct symbol_text *text)
{
    size_t n_new = in->n_symbols - in->symbols_written;
    mem_reserve(&in->new_symbols, &in->cap_new_symbols, n_new + 1, sizeof(*in->new_symbols));
    mem_reserve(&in->symbol_kinds, &in->cap_symbol_kinds, in->n_symbols + 1, 1);
    mem_reserve(&in->symbol_reasons, &in->cap_symbol_reasons, in->n_symbols + 1, 1);
    in->new_symbols[n_new] = *text;
    classify(in, (uint32_t)++in->n_symbols, text);
    intern_set_whole(in, (uint32_t)in->n_symbols, text->whole);
    *language_of(in, (uint32_t)in->n_symbols) = text->language ? text->language : "";
    return (uint32_t)in->n_symbols;
}

/* What the tree has and will have must be told apart: rows say what it has. */
static bool set_late_whole(struct intern *in, uint32_t symbol, uint32_t whole)
{
    uint32_t at = map_get(&in->late_whole_index, symbol);
    uint32_t current = at ? in->late_wholes[at - 1].whole : in->symbol_wholes[symbol - 1];
    if (in->is_frozen || current == whole) {
        return false;
    }
    if (!at) {
        mem_reserve(&in->late_wholes, &in->cap_late_wholes, in->n_late_wholes + 1,
                    sizeof(*in->late_wholes));
        at = (uint32_t)++in->n_late_wholes;
        *map_put(&in->late_whole_index, symbol) = at;
    }
    in->late_wholes[at - 1] = (struct symbol_whole){symbol, whole};
    return true;
}

bool intern_rename(struct intern *in, uint32_t symbol, const struct symbol_text *text)
{
    struct symbol_text renamed = *text;
    const char **language = language_of(in, symbol);
    classify(in, symbol, text);
    bool is_moved = set_late_whole(in, symbol, text->whole);
    renamed.whole = in->symbol_wholes[symbol - 1];
    if (text->language && text->language[0]) {
        *language = text->language;
    }
    renamed.language = *language;
    if (symbol > in->symbols_written) {
        struct symbol_text *old = &in->new_symbols[symbol - in->symbols_written - 1];
        free(old->name);
        free(old->linkage_name);
        *old = renamed;
        return is_moved;
    }
    mem_reserve(&in->renames, &in->cap_renames, in->n_renames + 1, sizeof(*in->renames));
    in->renames[in->n_renames++] = (struct symbol_rename){symbol, renamed};
    return is_moved;
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
        if (node_symbol(row) == symbol) {
            return true;
        }
        node = row->a;
    }
    return false;
}

/* Something leads to a node that was dead, or is new. Its parent is live: nodes are reached from
 * above. */
static void revive(struct intern *in, uint32_t id)
{
    struct node *node = &in->nodes[id - 1];
    node->is_live = true;
    if (id <= in->nodes_written && !node->is_written) {
        mem_reserve(&in->changed_nodes, &in->cap_changed_nodes, in->n_changed_nodes + 1,
                    sizeof(*in->changed_nodes));
        in->changed_nodes[in->n_changed_nodes++] = id;
    }
}

static uint32_t put_node(struct intern *in, uint32_t parent, uint32_t symbol, bool is_inlined)
{
    size_t n_before = in->tree.n_rows;
    uint32_t id = lazy_id(&in->tree, parent, symbol | (is_inlined ? NODE_INLINED_BIT : 0));
    if (in->tree.n_rows > n_before) {
        mem_reserve(&in->nodes, &in->cap_nodes, id, sizeof(*in->nodes));
        in->nodes[id - 1] = (struct node){
            .depth = parent ? in->nodes[parent - 1].depth + 1 : 0,
            .is_inlined = is_inlined,
            .is_recursive = is_above(in, parent, symbol),
        };
    }
    if (!in->nodes[id - 1].is_live) {
        revive(in, id);
    }
    return id;
}

void intern_skip_node(struct intern *in)
{
    /* a key that no node has: symbols are fewer */
    uint32_t id = lazy_id(&in->tree, 0, UINT32_MAX - (uint32_t)in->tree.n_rows);
    mem_reserve(&in->nodes, &in->cap_nodes, id, sizeof(*in->nodes));
    in->nodes[id - 1] = (struct node){0};
}

uint32_t intern_node(struct intern *in, uint32_t parent, uint32_t symbol)
{
    return put_node(in, parent, symbol, false);
}

uint32_t intern_inlined_node(struct intern *in, uint32_t parent, uint32_t symbol)
{
    return put_node(in, parent, symbol, true);
}

size_t intern_inlined(const struct intern *in, uint32_t frame, const uint32_t **symbols)
{
    uint32_t at = frame <= in->n_inlined_at ? in->inlined_at[frame - 1] : 0;
    *symbols = at ? in->inlined + at + 1 : NULL;
    return at ? in->inlined[at] : 0;
}

uint32_t intern_frame_node(struct intern *in, uint32_t parent, uint32_t frame)
{
    uint32_t node = intern_node(in, parent, intern_whole(in, in->frames[frame - 1].symbol));
    if (frame <= in->n_inlined_at && in->inlined_at[frame - 1]) {
        const uint32_t *inlined;
        size_t n = intern_inlined(in, frame, &inlined);
        for (size_t i = 0; i < n; i++) {
            node = intern_inlined_node(in, node, intern_whole(in, inlined[i]));
        }
    }
    return node;
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
        .node = intern_frame_node(in, above ? above->node : 0, frame),
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

void intern_add_to_stack(struct intern *in, uint32_t id, uint64_t n, int64_t on_cpu_ns,
                         const uint64_t *counters)
{
    struct stack *stack = &in->stacks[id - 1];
    if (stack->n_batch == 0) {
        mem_reserve(&in->batch, &in->cap_batch, in->n_batch + 1, sizeof(*in->batch));
        in->batch[in->n_batch++] = (struct batch_entry){.utid = stack->utid, .stack = id};
    }
    stack->n_samples += n;
    stack->on_cpu_ns += on_cpu_ns;
    stack->n_batch += n;
    stack->batch_ns += on_cpu_ns;
    uint64_t *sums = counters ? intern_stack_counters(in, id) : NULL;
    for (size_t i = 0; sums && i < in->n_counters; i++) {
        sums[i] += counters[i];
        sums[in->n_counters + i] += counters[i];
    }
}

/* Where a fine stack leads. */
static void resolve(struct intern *in, struct fine_stack *f)
{
    uint32_t node = intern_frame_node(in, in->callsites[f->callsite - 1].node, f->frame);
    f->stack = intern_stack(in, f->utid, node);
    f->location = lazy_id(&in->frame_sums, f->frame, f->utid);
    f->callers = lazy_id(&in->callsite_sums, f->callsite, f->utid);
}

static bool has_room(struct intern *in)
{
    if (!in->is_frozen && in->fine.n_stacks + in->fine.n_waits >= FINE_MAX) {
        intern_freeze(in);
    }
    return !in->is_frozen;
}

void intern_sample(struct intern *in, uint32_t callsite, uint32_t frame, uint32_t utid,
                   int64_t on_cpu_ns, const uint64_t *counters)
{
    struct fine_stack once = {.callsite = callsite, .frame = frame, .utid = utid}, *f = &once;
    bool is_new = true, is_fine = has_room(in);
    if (is_fine) {
        f = fine_stack(&in->fine, callsite, frame, utid, &is_new);
    }
    if (is_new) {
        resolve(in, f);
    }
    f->n_samples++;
    f->on_cpu_ns += on_cpu_ns;
    in->n_samples++;
    counters = in->n_counters ? counters : NULL;
    intern_add_to_stack(in, f->stack, 1, on_cpu_ns, counters);
    const struct sums one = {.n_self = 1, .self_ns = on_cpu_ns};
    lazy_add(&in->frame_sums, f->location, &one, in->n_samples);
    lazy_add(&in->callsite_sums, f->callers, &one, in->n_samples);
    if (counters) {
        lazy_add_counters(&in->frame_sums, f->location, counters, NULL);
        uint64_t *sums = is_fine ? fine_counters(&in->fine, f) : NULL;
        for (size_t i = 0; sums && i < in->n_counters; i++) {
            sums[i] += counters[i];
        }
    }
}

static void cover_gains(struct intern *in)
{
    size_t n = in->tree.n_rows, n_words = n / 64 + 1;
    if (in->n_gains < n) {
        mem_reserve(&in->gains, &in->cap_gains, n, sizeof(*in->gains));
        memset(in->gains + in->n_gains, 0, (n - in->n_gains) * sizeof(*in->gains));
        size_t per_node = 2 * in->n_counters;
        if (per_node) {
            mem_reserve(&in->gain_counters, &in->cap_gain_counters, n * per_node,
                        sizeof(*in->gain_counters));
            memset(in->gain_counters + in->n_gains * per_node, 0,
                   (n - in->n_gains) * per_node * sizeof(*in->gain_counters));
        }
        in->n_gains = n;
    }
    if (in->n_gaining < n_words) {
        mem_reserve(&in->gaining, &in->cap_gaining, n_words, sizeof(*in->gaining));
        memset(in->gaining + in->n_gaining, 0, (n_words - in->n_gaining) * sizeof(*in->gaining));
        in->n_gaining = n_words;
    }
}

static uint64_t *gain_counters(const struct intern *in, uint32_t node)
{
    return in->gain_counters + (size_t)(node - 1) * 2 * in->n_counters;
}

/* Moves what the counters of a stack gained to its node. */
static void note_counters(struct intern *in, const struct stack *stack)
{
    size_t n = in->n_counters;
    uint64_t *batch = intern_stack_counters(in, (uint32_t)(stack - in->stacks) + 1) + n;
    uint64_t *gain = gain_counters(in, stack->node);
    for (size_t i = 0; i < n; i++) {
        gain[i] += batch[i];
        gain[n + i] += batch[i];
        batch[i] = 0;
    }
}

/* The same as settle_node() for counters; before it, as it takes the gain away. */
static void settle_counters(struct intern *in, uint32_t node, uint32_t parent, uint32_t symbol)
{
    size_t n = in->n_counters;
    uint64_t *gain = gain_counters(in, node);
    bool is_recursive = in->nodes[node - 1].is_recursive;
    lazy_add_counters(&in->tree, node, gain, gain + n);
    for (size_t i = 0; parent && i < n; i++) {
        gain_counters(in, parent)[n + i] += gain[n + i];
    }
    if (!is_recursive || in->gains[node - 1].n_self) {
        lazy_add_counters(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0), gain,
                          is_recursive ? NULL : gain + n);
    }
    memset(gain, 0, 2 * n * sizeof(*gain));
}

/* Moves what a stack gained to its node, and marks the node and all above it. */
static void note_gain(struct intern *in, struct stack *stack)
{
    struct sums *gain = &in->gains[stack->node - 1];
    gain->n_self += stack->n_batch;
    gain->n_total += stack->n_batch;
    gain->self_ns += stack->batch_ns;
    gain->total_ns += stack->batch_ns;
    stack->n_batch = 0;
    stack->batch_ns = 0;
    if (in->n_counters) {
        note_counters(in, stack);
    }
    for (uint32_t node = stack->node; node; node = lazy_row(&in->tree, node)->a) {
        uint64_t bit = UINT64_C(1) << (node % 64);
        if (in->gaining[node / 64] & bit) {
            return;
        }
        in->gaining[node / 64] |= bit;
    }
}

/* Adds a node's gain to the summaries and to its caller's. A function counts in full where it
 * stands outermost, so that recursion counts once. */
static void settle_node(struct intern *in, uint32_t utid, uint32_t node)
{
    const struct lazy_row *row = lazy_row(&in->tree, node);
    uint32_t parent = row->a, symbol = node_symbol(row);
    if (in->n_counters) {
        settle_counters(in, node, parent, symbol);
    }
    struct sums gain = in->gains[node - 1];
    in->gains[node - 1] = (struct sums){0};
    lazy_add(&in->tree, node, &gain, in->n_samples);
    if (parent) {
        in->gains[parent - 1].n_total += gain.n_total;
        in->gains[parent - 1].total_ns += gain.total_ns;
    }
    if (in->nodes[node - 1].is_recursive) {
        gain.n_total = 0;
        gain.total_ns = 0;
        if (!gain.n_self) {
            return;
        }
    }
    lazy_add(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0), &gain, in->n_samples);
    lazy_add(&in->thread_sums, lazy_id(&in->thread_sums, utid, symbol), &gain, in->n_samples);
}

/* Callers have smaller ids than what they call: from the largest id down, every node's gain is
 * whole when its turn comes. */
static void settle_thread(struct intern *in, uint32_t utid)
{
    for (size_t word = in->n_gaining; word-- > 0;) {
        while (in->gaining[word]) {
            unsigned bit = 63u - (unsigned)__builtin_clzll(in->gaining[word]);
            in->gaining[word] &= ~(UINT64_C(1) << bit);
            settle_node(in, utid, (uint32_t)(word * 64 + bit));
        }
    }
}

void intern_add_waits(struct intern *in, uint32_t leaf, uint64_t n, int64_t dur_ns)
{
    for (uint32_t node = leaf; node;) {
        const struct lazy_row *row = lazy_row(&in->tree, node);
        uint32_t parent = row->a, symbol = node_symbol(row);
        struct sums delta = {.n_total = n, .total_ns = dur_ns};
        if (node == leaf) {
            delta.n_self = n;
            delta.self_ns = dur_ns;
        }
        lazy_add_waits(&in->tree, node, &delta, in->n_samples);
        if (!in->nodes[node - 1].is_recursive) {
            lazy_add_waits(&in->symbol_sums, lazy_id(&in->symbol_sums, symbol, 0), &delta,
                           in->n_samples);
        }
        node = parent;
    }
}

void intern_waits(struct intern *in, uint32_t callsite, uint32_t marker, uint64_t n, int64_t dur_ns)
{
    struct fine_wait once = {0}, *f = &once;
    bool is_new = true;
    if (has_room(in)) {
        f = fine_wait(&in->fine, callsite, marker, &is_new);
    }
    if (is_new) {
        f->leaf = intern_node(in, in->callsites[callsite - 1].node, marker);
    }
    f->n += n;
    f->dur_ns += dur_ns;
    intern_add_waits(in, f->leaf, n, dur_ns);
}

static int by_thread(const void *a, const void *b)
{
    const struct batch_entry *x = a, *y = b;
    return x->utid != y->utid ? (x->utid < y->utid ? -1 : 1)
                              : (x->stack > y->stack) - (x->stack < y->stack);
}

void intern_settle(struct intern *in)
{
    if (!in->n_batch) {
        return;
    }
    cover_gains(in);
    qsort(in->batch, in->n_batch, sizeof(*in->batch), by_thread);
    for (size_t i = 0; i < in->n_batch; i++) {
        uint32_t utid = in->batch[i].utid;
        note_gain(in, &in->stacks[in->batch[i].stack - 1]);
        if (i + 1 == in->n_batch || in->batch[i + 1].utid != utid) {
            settle_thread(in, utid);
        }
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
           map_bytes(&in->callsite_index) + map_bytes(&in->known_index) +
           in->cap_stack_counters * sizeof(*in->stack_counters) +
           in->cap_gain_counters * sizeof(*in->gain_counters) + in->cap_known * sizeof(*in->known) +
           fine_bytes(&in->fine) + map_bytes(&in->stack_index) +
           in->cap_callsites * sizeof(*in->callsites) + in->cap_frames * sizeof(*in->frames) +
           in->cap_stacks * sizeof(*in->stacks) + in->cap_nodes * sizeof(*in->nodes) +
           in->cap_gains * sizeof(*in->gains);
}
