/* relayout.c - the call tree and its sums made anew when names changed (intern.h). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/intern.h"

/* ---- what is stale ---- */

/* What a frame is to be; at first what it is. */
static struct stale_frame *stale_of(struct intern *in, uint32_t frame)
{
    uint32_t *at = map_put(&in->stale_index, frame);
    if (!*at) {
        mem_reserve(&in->stale, &in->cap_stale, in->n_stale + 1, sizeof(*in->stale));
        in->stale[in->n_stale] =
            (struct stale_frame){.frame = frame, .symbol = in->frames[frame - 1].symbol};
        *at = (uint32_t)++in->n_stale;
    }
    return &in->stale[*at - 1];
}

bool intern_move_frame(struct intern *in, uint32_t frame, uint32_t symbol)
{
    bool is_same = !intern_is_stale(in, frame) && in->frames[frame - 1].symbol == symbol;
    if (is_same || in->is_frozen) {
        return false;
    }
    stale_of(in, frame)->symbol = symbol;
    return true;
}

void intern_touch_frame(struct intern *in, uint32_t frame)
{
    if (!in->is_frozen) {
        stale_of(in, frame);
    }
}

/* A list of its own; 0: none. */
static uint32_t add_list(struct intern *in, const uint32_t *symbols, size_t n)
{
    if (n == 0) {
        return 0;
    }
    size_t at = in->n_inlined ? in->n_inlined : 1; /* 0 is no list */
    mem_reserve(&in->inlined, &in->cap_inlined, at + 1 + n, sizeof(*in->inlined));
    in->inlined[at] = (uint32_t)n;
    memcpy(in->inlined + at + 1, symbols, n * sizeof(*symbols));
    in->n_inlined = at + 1 + n;
    return (uint32_t)at;
}

bool intern_set_inlined(struct intern *in, uint32_t frame, const uint32_t *symbols, size_t n)
{
    const uint32_t *current;
    size_t n_current = intern_inlined(in, frame, &current);
    bool is_same =
        n == n_current && (n == 0 || memcmp(current, symbols, n * sizeof(*symbols)) == 0);
    if (in->is_frozen || (is_same && !intern_is_stale(in, frame))) {
        return false;
    }
    struct stale_frame *s = stale_of(in, frame);
    s->has_inlined = true;
    s->inlined = add_list(in, symbols, n);
    return true;
}

static void forget_stale(struct intern *in)
{
    in->n_stale = 0;
    map_free(&in->stale_index);
}

void intern_freeze(struct intern *in)
{
    in->is_frozen = true;
    in->is_left_out |= in->n_stale > 0;
    fine_free(&in->fine);
    forget_stale(in);
}

struct intern_share intern_stale_share(const struct intern *in)
{
    struct intern_share share = {0};
    uint8_t *is_stale = mem_new(in->n_callsites + 1, 1), *is_frame = mem_new(in->n_frames + 1, 1);
    for (size_t i = 0; i < in->n_stale; i++) {
        is_frame[in->stale[i].frame] = 1;
    }
    for (size_t i = 0; i < in->n_callsites; i++) {
        const struct callsite *c = &in->callsites[i];
        is_stale[i + 1] = is_frame[c->frame] | is_stale[c->parent];
    }
    for (size_t i = 0; i < in->fine.n_stacks; i++) {
        const struct fine_stack *f = &in->fine.stacks[i];
        share.n_samples += is_stale[f->callsite] | is_frame[f->frame] ? f->n_samples : 0;
    }
    for (size_t i = 0; i < in->fine.n_waits; i++) {
        const struct fine_wait *f = &in->fine.waits[i];
        share.n_waits += is_stale[f->callsite] ? f->n : 0;
        share.n_waits_of += f->n;
    }
    share.n_samples_of = in->n_samples;
    free(is_stale);
    free(is_frame);
    return share;
}

/* ---- the layout ---- */

static void apply_stale(struct intern *in)
{
    for (size_t i = 0; i < in->n_stale; i++) {
        const struct stale_frame *s = &in->stale[i];
        in->frames[s->frame - 1].symbol = s->symbol;
        if (!s->has_inlined) {
            continue;
        }
        if (in->n_inlined_at < s->frame) {
            mem_reserve(&in->inlined_at, &in->cap_inlined_at, s->frame, sizeof(*in->inlined_at));
            memset(in->inlined_at + in->n_inlined_at, 0,
                   (s->frame - in->n_inlined_at) * sizeof(*in->inlined_at));
            in->n_inlined_at = s->frame;
        }
        in->inlined_at[s->frame - 1] = s->inlined;
    }
    forget_stale(in);
}

/* Parents are smaller: their nodes are new when their turn comes. */
static void place_callsites(struct intern *in)
{
    for (size_t i = 0; i < in->n_callsites; i++) {
        struct callsite *c = &in->callsites[i];
        uint32_t above = c->parent ? in->callsites[c->parent - 1].node : 0;
        uint32_t node = intern_frame_node(in, above, c->frame);
        if (node != c->node && i < in->callsites_written) {
            mem_reserve(&in->changed_callsites, &in->cap_changed_callsites,
                        in->n_changed_callsites + 1, sizeof(*in->changed_callsites));
            in->changed_callsites[in->n_changed_callsites++] = (uint32_t)i + 1;
        }
        c->node = node;
    }
}

static void place_fine(struct intern *in)
{
    in->n_stacks = in->stacks_written = in->n_batch = 0;
    map_clear(&in->stack_index);
    for (size_t i = 0; i < in->fine.n_stacks; i++) {
        struct fine_stack *f = &in->fine.stacks[i];
        uint32_t node = intern_frame_node(in, in->callsites[f->callsite - 1].node, f->frame);
        f->stack = intern_stack(in, f->utid, node);
        intern_add_to_stack(in, f->stack, f->n_samples, f->on_cpu_ns,
                            in->n_counters ? fine_counters(&in->fine, f) : NULL);
    }
    for (size_t i = 0; i < in->fine.n_waits; i++) {
        struct fine_wait *f = &in->fine.waits[i];
        f->leaf = intern_node(in, in->callsites[f->callsite - 1].node, f->marker);
        intern_add_waits(in, f->leaf, f->n, f->dur_ns);
    }
}

static void note_dead_nodes(struct intern *in)
{
    for (size_t i = 0; i < in->nodes_written; i++) {
        if (in->nodes[i].is_written && !in->nodes[i].is_live) {
            mem_reserve(&in->changed_nodes, &in->cap_changed_nodes, in->n_changed_nodes + 1,
                        sizeof(*in->changed_nodes));
            in->changed_nodes[in->n_changed_nodes++] = (uint32_t)i + 1;
        }
    }
}

void intern_relayout(struct intern *in)
{
    struct lazy_table *const tables[] = {&in->tree, &in->symbol_sums, &in->thread_sums};
    enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };
    intern_settle(in);
    apply_stale(in);
    for (size_t i = 0; i < N_TABLES; i++) {
        lazy_begin_again(tables[i]);
    }
    for (size_t i = 0; i < in->tree.n_rows; i++) {
        in->nodes[i].is_live = false;
    }
    place_callsites(in);
    place_fine(in);
    intern_settle(in);
    note_dead_nodes(in);
    for (size_t i = 0; i < N_TABLES; i++) {
        lazy_end_again(tables[i], in->n_samples);
    }
    in->has_new_layout = true;
}
