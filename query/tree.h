/*
 * tree.h - what filtered views keep in memory of a run: the call tree's shape, and how samples and
 * stacks lead into it. Read once, then only what was added since; dropped when names changed.
 *
 * Nodes are numbered by call_tree.id. Samples may be newer than the tree that was read: nodes they
 * need and it lacks are made up (ids from n_real on) and live until the tree is read again.
 * Always: parent < node. One thread.
 *
 * With no_inlines the nodes of inlined functions are not there: what they hold belongs to the
 * function they are inlined into, and what they call is called by it. Nodes that thereby become the
 * same have the smallest of their numbers.
 */
#ifndef STAX_QUERY_TREE_H
#define STAX_QUERY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "schema/db.h"

enum { NODE_KNOWN = 1, NODE_INLINED = 2, NODE_RECURSIVE = 4 };

struct tree_node {
    uint32_t parent; /* 0: root */
    uint32_t symbol;
    uint8_t flags;
};

struct tree_callsite {
    uint32_t parent, frame, node; /* as in the table */
    bool is_known;                /* the tree in memory has node */
};

struct tree_stack {
    uint32_t utid, node;
};

struct tree {
    struct tree_node *nodes;
    size_t n_nodes, n_real, cap_nodes;
    uint32_t *children;     /* real nodes by parent: of p at [first_child[p], first_child[p + 1]) */
    uint32_t *first_child;  /* n_real + 1 entries */
    struct map child_index; /* (parent, symbol) -> node, of those looked up */
    struct tree_callsite *callsites;
    size_t n_callsites, cap_callsites;
    uint32_t *frame_symbols; /* symbol by frame.id */
    size_t n_frames, cap_frames;
    uint32_t *inlined; /* symbols inlined at frames, outermost first; see tree_inlined() */
    size_t n_inlined, cap_inlined;
    uint32_t *first_inlined; /* by frame.id: index into inlined; one more than frames have any */
    size_t n_first_inlined, cap_first_inlined;
    uint32_t *alias;  /* with no_inlines: the node that stands for each one read */
    bool has_inlined; /* a node that was read is inlined: then frames have them */
    bool no_inlines;
    struct tree_stack *stacks;
    size_t n_stacks, cap_stacks;
    int64_t n_renames; /* of the names in memory */
    bool is_read;
};

void tree_free(struct tree *t);

/* Drops what names changed and reads stacks, callsites and frames that are new; the nodes too if
 * they were never read or a stack leads to one that is not there.
 * Errors: STAX_ECORRUPT (ids that no run of ours has), or what the connection says. */
int tree_refresh(struct tree *t, struct db *db, int64_t n_renames, bool no_inlines, struct err *e);

/* The node of a sample; made up if need be. 0: the file contradicts itself. */
uint32_t tree_sample_node(struct tree *t, int64_t callsite, int64_t frame);

/* What tree_sample_node() will read first, asked for ahead: of rows that come in a block, the
 * misses overlap. The second is for later in the block, when what the first asked for has come. */
void tree_prefetch_callsite(const struct tree *t, int64_t callsite);
void tree_prefetch_child(const struct tree *t, int64_t callsite, int64_t frame);

/* The node of a wait: callsite includes the innermost function, marker is the symbol of its reason
 * (0: none is known, the wait counts at the function). 0: the file contradicts itself. */
uint32_t tree_wait_node(struct tree *t, int64_t callsite, uint32_t marker);

/* Whether a node of that number was read or made up. */
static inline bool tree_has(const struct tree *t, uint32_t node)
{
    return node > 0 && node < t->n_nodes && (t->nodes[node].flags & NODE_KNOWN);
}

/* The node that stands for call_tree.id node; 0: it was not read. */
static inline uint32_t tree_node_of(const struct tree *t, uint32_t node)
{
    if (t->alias && node < t->n_real) {
        return t->alias[node];
    }
    return node < t->n_real && tree_has(t, node) ? node : 0;
}

#endif
