/*
 * intern.h - the run's identities in memory: symbols, frames, callsites, tree nodes, stacks.
 *
 * Everything has a dense id from 1 that is also its row id. What was created since the last commit
 * is what ids beyond the *_written marks name; the store inserts those rows and moves the marks.
 * Summaries follow from stacks: a sample adds to its stack, intern_settle() carries the batch's
 * sums up the call tree.
 *
 * Better names come late. A symbol's text is replaced at once (intern_rename()). What changes the
 * shape of the call tree - a frame turns out to belong to another function, or functions to be
 * inlined at it - is noted (intern_move_frame(), intern_set_inlined()), and the frame is stale
 * until intern_relayout() lays out tree and sums anew from the fine stacks, as if the names had
 * always been those. Nodes keep their ids; those that nothing leads to any more are dead: they are
 * no rows, and come back under their id when something does. One thread.
 */
#ifndef STAX_INGEST_INTERN_H
#define STAX_INGEST_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/fine.h"
#include "ingest/lazy.h"

enum symbol_kind { SYMBOL_FUNCTION, SYMBOL_UNNAMED, SYMBOL_PROCESS, SYMBOL_MARKER };
const char *symbol_kind_text(enum symbol_kind kind);

/* What a symbol row says; texts are owned and dropped once written. */
struct symbol_text {
    char *name;
    char *linkage_name; /* NULL: same as name */
    uint32_t binary;    /* 0: none */
    uint64_t rel_address, size;
    const char *source;   /* static */
    const char *language; /* static; NULL or "": not known */
    uint32_t whole;       /* symbol that it is a part or a clone of; 0: none */
    uint64_t address;     /* of code made at run time: where it was loaded; 0: other code */
    enum symbol_kind kind;
};

/* A symbol that is already written, named better. */
struct symbol_rename {
    uint32_t id;
    struct symbol_text text; /* owned */
};

/* What is known of the language of a symbol that is already written. */
struct symbol_language {
    uint32_t id;
    const char *language; /* static */
};

/* Which function a symbol counts for from the next relayout on, or since one. */
struct symbol_whole {
    uint32_t id, whole; /* 0: itself */
};

struct frame {
    uint64_t rel_address;
    uint32_t binary;
    uint32_t symbol;
};

struct callsite {
    uint32_t parent, frame;
    uint32_t node; /* the tree node of these callers */
    uint32_t depth;
};

struct node {
    uint32_t depth;
    bool is_inlined;
    bool is_recursive;
    bool is_live;    /* something leads to it */
    bool is_written; /* it is a row */
};

/* What a frame is to be from the next relayout on. */
struct stale_frame {
    uint32_t frame, symbol;
    bool has_inlined; /* the list changes: */
    uint32_t inlined; /* as intern.inlined_at */
};

struct stack {
    uint32_t utid, node;
    uint64_t n_samples;
    int64_t on_cpu_ns;
    uint64_t n_batch; /* of the samples since the last settle */
    int64_t batch_ns;
};

/* Where a stack of addresses led. check: a second hash of it, so that two of them would have to
 * agree in 128 bits that nobody outside can foresee. */
struct known_callers {
    uint64_t check;
    uint32_t callsite;
    bool is_cut;
};

/* In symbol_reasons: right around another function that waits, it is what that is part of. */
enum { SYMBOL_IS_OUTER = 0x80 };

struct batch_entry {
    uint32_t utid, stack;
};

struct intern {
    struct symbol_text *new_symbols; /* of ids symbols_written+1 .. n_symbols */
    uint8_t *symbol_kinds;           /* by id - 1 */
    uint8_t *symbol_reasons;       /* by id - 1: enum event_reason + 1 of what waits there, or 0 */
    uint32_t *symbol_wholes;       /* by id - 1: what stands for it in summaries, 0: itself */
    const char **symbol_languages; /* by id - 1: static, "": not known */
    size_t n_symbols, symbols_written, cap_new_symbols, cap_symbol_kinds, cap_symbol_reasons;
    size_t n_wholes, cap_symbol_wholes, n_symbol_languages, cap_symbol_languages;
    struct frame *frames;
    size_t n_frames, frames_written, cap_frames;
    struct symbol_rename *renames; /* not written yet */
    size_t n_renames, cap_renames;
    struct symbol_language *languages; /* not written yet */
    size_t n_languages, cap_languages;
    struct symbol_whole *late_wholes; /* wait for a relayout */
    size_t n_late_wholes, cap_late_wholes;
    struct map late_whole_index; /* symbol -> index in late_wholes + 1 */
    uint32_t *changed_wholes;    /* of symbols that are already written; not written yet */
    size_t n_changed_wholes, cap_changed_wholes;
    /* Functions inlined at frames, outermost first: where a frame's list begins in inlined (by id
     * - 1; 0: it has none), which holds the length of a list and then its symbols. */
    uint32_t *inlined_at, *inlined;
    size_t n_inlined_at, cap_inlined_at, n_inlined, cap_inlined;
    struct stale_frame *stale;
    size_t n_stale, cap_stale;
    struct map stale_index; /* frame -> index in stale + 1 */
    struct fine fine;
    bool is_frozen; /* fine stacks were given up: no relayout any more */
    bool has_lost;  /* ... while something waited for one */
    struct callsite *callsites;
    size_t n_callsites, callsites_written, cap_callsites;
    struct map callsite_index; /* (parent, frame) -> id */
    struct map known_index;    /* hash of a process's addresses -> known + 1; see stacks.c */
    struct known_callers *known;
    size_t n_known, cap_known;
    uint64_t seeds[2];      /* of those hashes; 0: not chosen yet */
    struct lazy_table tree; /* (parent node, node_key()); ids are call_tree.id */
    struct node *nodes;     /* beside tree.rows */
    size_t cap_nodes, nodes_written;
    uint32_t *changed_nodes; /* up to nodes_written: rows to insert or delete */
    size_t n_changed_nodes, cap_changed_nodes;
    uint32_t *changed_callsites; /* up to callsites_written: rows whose node is another one */
    size_t n_changed_callsites, cap_changed_callsites;
    bool has_new_layout; /* since the last commit: rows of stacks and of snapshots mean nothing */
    struct stack *stacks;
    size_t n_stacks, stacks_written, cap_stacks;
    struct map stack_index;   /* (utid, node) -> id */
    size_t n_counters;        /* that samples bring; see intern_count() */
    uint64_t *stack_counters; /* by stack: n_counters so far, n_counters since the last settle */
    size_t cap_stack_counters;
    struct batch_entry *batch; /* stacks with samples since the last settle */
    size_t n_batch, cap_batch;
    struct sums
        *gains; /* beside tree.rows: what a node gains while one thread is settled, else 0 */
    uint64_t *gain_counters; /* beside gains: n_counters of self, then n_counters of total */
    size_t cap_gain_counters;
    uint64_t *gaining; /* a bit per node: it gains */
    size_t n_gains, cap_gains, n_gaining, cap_gaining;
    struct lazy_table symbol_sums;   /* (symbol, 0) */
    struct lazy_table thread_sums;   /* (utid, symbol): symbol_thread_sum */
    struct lazy_table frame_sums;    /* (frame, utid) */
    struct lazy_table callsite_sums; /* (callsite, utid) */
    uint64_t n_samples;              /* of the run */
};

void intern_free(struct intern *in);

/* Samples will bring n counters. Before anything else. */
void intern_count(struct intern *in, size_t n);
/* What a stack has counted so far, n_counters of them. */
static inline uint64_t *intern_stack_counters(const struct intern *in, uint32_t id)
{
    return in->stack_counters + (size_t)(id - 1) * 2 * in->n_counters;
}

/* Takes the strings of *text. Returns the new symbol's id. */
uint32_t intern_symbol(struct intern *in, const struct symbol_text *text);
uint32_t intern_frame(struct intern *in, uint32_t binary, uint64_t rel_address, uint32_t symbol);
/* The callsite reached from parent (0: root) through frame. */
uint32_t intern_callsite(struct intern *in, uint32_t parent, uint32_t frame);
/* The tree node of symbol below parent (0: root). */
uint32_t intern_node(struct intern *in, uint32_t parent, uint32_t symbol);
uint32_t intern_inlined_node(struct intern *in, uint32_t parent, uint32_t symbol);
uint32_t intern_stack(struct intern *in, uint32_t utid, uint32_t node);

/* A function may be called and inlined by the same caller: two nodes. */
#define NODE_INLINED_BIT (UINT32_C(1) << 31)
static inline uint32_t node_symbol(const struct lazy_row *row)
{
    return row->b & ~NODE_INLINED_BIT;
}

/* Names a symbol better; takes the strings. Binary, address and id stay. Returns whether another
 * symbol stands for it in summaries from the next relayout on: then its frames are to be touched.
 * When frozen, none does. */
bool intern_rename(struct intern *in, uint32_t symbol, const struct symbol_text *text);
/* Says what a symbol is written in, where that was not known. language: static. */
void intern_set_language(struct intern *in, uint32_t symbol, const char *language);
/* The symbol that stands for one in summaries: parts and clones count for their function. */
static inline uint32_t intern_whole(const struct intern *in, uint32_t symbol)
{
    uint32_t whole = symbol <= in->n_wholes ? in->symbol_wholes[symbol - 1] : 0;
    return whole ? whole : symbol;
}
/* The same for symbols of a file, by id. */
void intern_set_whole(struct intern *in, uint32_t symbol, uint32_t whole);
/* What a frame is from the next relayout on: of another function; with these functions inlined at
 * it, outermost first. False: it is that already. Not when frozen. */
bool intern_move_frame(struct intern *in, uint32_t frame, uint32_t symbol);
/* It stays what it is, but counts for another function. */
void intern_touch_frame(struct intern *in, uint32_t frame);
bool intern_set_inlined(struct intern *in, uint32_t frame, const uint32_t *symbols, size_t n);
/* Functions inlined at a frame, outermost first; *symbols is borrowed until the next call that sets
 * any. */
size_t intern_inlined(const struct intern *in, uint32_t frame, const uint32_t **symbols);
static inline bool intern_is_stale(const struct intern *in, uint32_t frame)
{
    return in->n_stale && map_get(&in->stale_index, frame) != 0;
}

struct intern_share {
    uint64_t n_samples, n_samples_of; /* stale ones, of all */
    uint64_t n_waits, n_waits_of;
};
/* Something waits for a relayout. */
static inline bool intern_has_stale(const struct intern *in)
{
    return in->n_stale || in->n_late_wholes;
}
/* How many samples and waits have a stale frame on their stack. Looks at every fine stack. */
struct intern_share intern_stale_share(const struct intern *in);
/* Makes the stale frames what they are to be, and lays out the tree and all sums anew. The store
 * then writes in one commit what became another. */
void intern_relayout(struct intern *in);
/* Gives up fine stacks and what waits for a relayout. Done by itself when they grow too many. */
void intern_freeze(struct intern *in);
/* For a tree that is loaded with its ids: the next id is no node. */
void intern_skip_node(struct intern *in);

/* Counts one sample: callers, sampled frame, thread, weight, and n_counters counts (NULL: 0). */
void intern_sample(struct intern *in, uint32_t callsite, uint32_t frame, uint32_t utid,
                   int64_t on_cpu_ns, const uint64_t *counters);
/* Counts n waits of dur_ns in all at a callsite (innermost function included), below which the
 * marker symbol of their reason stands. */
void intern_waits(struct intern *in, uint32_t callsite, uint32_t marker, uint64_t n,
                  int64_t dur_ns);
/* Carries what the stacks gained since the last call into the summary tables. */
void intern_settle(struct intern *in);
/* For relayout.c: the node of a frame below parent, and a wait added to a leaf and all above. */
uint32_t intern_frame_node(struct intern *in, uint32_t parent, uint32_t frame);
void intern_add_waits(struct intern *in, uint32_t leaf, uint64_t n, int64_t dur_ns);
/* Adds to what a stack gained since the last settle; counters: n_counters, or NULL. */
void intern_add_to_stack(struct intern *in, uint32_t id, uint64_t n, int64_t on_cpu_ns,
                         const uint64_t *counters);

/* Samples that slow summaries may still lack. */
uint64_t intern_n_pending(const struct intern *in);
size_t intern_bytes(const struct intern *in);

#endif
