/* tree.c - the call tree's shape in memory. */
#include "query/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/tree.sql.h"

/* Ids of a run are dense. A file whose ids are much larger than their number is not one of ours,
 * and must not make us allocate what it likes. */
static bool is_plausible(int64_t id, size_t n_known)
{
    return id > 0 && id < UINT32_MAX / 2 && (uint64_t)id < (uint64_t)n_known * 16 + 1000000;
}

static bool is_u32(int64_t value)
{
    return value >= 0 && value < UINT32_MAX / 2;
}

static int bad_ids(const char *table, struct err *e)
{
    return err_set(e, STAX_ECORRUPT, "table %s of this run holds impossible ids", table);
}

static void clear_nodes(struct tree *t)
{
    free(t->children);
    free(t->first_child);
    free(t->alias);
    t->children = NULL;
    t->first_child = NULL;
    t->alias = NULL;
    t->n_nodes = 0;
    t->n_real = 0;
    t->is_read = false;
    map_clear(&t->child_index);
}

void tree_free(struct tree *t)
{
    clear_nodes(t);
    map_free(&t->child_index);
    free(t->nodes);
    free(t->callsites);
    free(t->frame_symbols);
    free(t->inlined);
    free(t->first_inlined);
    free(t->stacks);
    memset(t, 0, sizeof(*t));
}

/* Makes items[0 .. id] valid; new ones are zero. */
static void extend(void *items, size_t *n, size_t *cap, size_t id, size_t size)
{
    if (id < *n) {
        return;
    }
    mem_reserve(items, cap, id + 1, size);
    memset(*(char **)items + *n * size, 0, (id + 1 - *n) * size);
    *n = id + 1;
}

/* Counting sort of the nodes by parent. */
static void index_children(struct tree *t)
{
    size_t n = t->n_real;
    uint32_t *first = mem_new(n + 2, sizeof(*first));

    for (size_t id = 1; id < n; id++) {
        if (t->nodes[id].flags & NODE_KNOWN) {
            first[t->nodes[id].parent + 2]++;
        }
    }
    for (size_t id = 2; id < n + 2; id++) {
        first[id] += first[id - 1];
    }
    t->children = mem_new(n + 1, sizeof(*t->children));
    for (size_t id = 1; id < n; id++) {
        if (t->nodes[id].flags & NODE_KNOWN) {
            t->children[first[t->nodes[id].parent + 1]++] = (uint32_t)id;
        }
    }
    t->first_child = first;
}

static bool has_ancestor(const struct tree *t, uint32_t node, uint32_t symbol)
{
    for (; node; node = t->nodes[node].parent) {
        if (t->nodes[node].symbol == symbol) {
            return true;
        }
    }
    return false;
}

/* Key of a child: a function may be called and inlined by the same one. */
static uint64_t child_key(uint32_t parent, uint32_t symbol, bool is_inlined)
{
    return map_pair(parent, symbol | (is_inlined ? UINT32_C(1) << 31 : 0));
}

/* Folds the nodes of inlined functions into what they are inlined into. */
static void fold_inlined(struct tree *t)
{
    t->alias = mem_new(t->n_real + 1, sizeof(*t->alias));
    for (size_t id = 1; id < t->n_real; id++) {
        struct tree_node *node = &t->nodes[id];
        uint32_t parent = t->alias[node->parent];
        if (!(node->flags & NODE_KNOWN)) {
            continue;
        }
        uint32_t stands_for = parent;
        if (!(node->flags & NODE_INLINED) || !parent) {
            uint32_t *slot = map_put(&t->child_index, child_key(parent, node->symbol, false));
            *slot = *slot ? *slot : (uint32_t)id;
            stands_for = *slot;
        }
        t->alias[id] = stands_for;
        if (stands_for == id) {
            node->parent = parent;
            node->flags = (uint8_t)(NODE_KNOWN |
                                    (has_ancestor(t, parent, node->symbol) ? NODE_RECURSIVE : 0));
        } else {
            node->flags = 0;
        }
    }
}

/* Rows come by parent, which is nearly by id; a parent not read yet is checked at the end. */
static int read_nodes(struct tree *t, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_tree_nodes);
    int64_t last_id = 0;

    clear_nodes(t);
    extend(&t->nodes, &t->n_nodes, &t->cap_nodes, 0, sizeof(*t->nodes));
    while (stmt_next(s)) {
        int64_t id = stmt_int(s, tree_nodes_c_id);
        int64_t parent = stmt_int(s, tree_nodes_c_parent);
        int64_t symbol = stmt_int(s, tree_nodes_c_symbol);
        /* Relayouts leave gaps anywhere: only all ids together tell. */
        last_id = last_id ? last_id : stmt_int(s, tree_nodes_c_last_id);
        bool is_bounded =
            id > 0 && id <= last_id && is_plausible(last_id, (size_t)stmt_int(s, tree_nodes_c_n));
        if (!is_bounded || parent < 0 || parent >= id || !is_u32(symbol)) {
            stmt_reset(s);
            return bad_ids("call_tree", e);
        }
        extend(&t->nodes, &t->n_nodes, &t->cap_nodes, (size_t)id, sizeof(*t->nodes));
        t->nodes[id] = (struct tree_node){
            .parent = (uint32_t)parent,
            .symbol = (uint32_t)symbol,
            .flags =
                (uint8_t)(NODE_KNOWN | (stmt_int(s, tree_nodes_c_is_inlined) ? NODE_INLINED : 0) |
                          (stmt_int(s, tree_nodes_c_is_recursive) ? NODE_RECURSIVE : 0)),
        };
    }
    t->n_real = t->n_nodes;
    for (size_t id = 1; id < t->n_real; id++) {
        uint32_t parent = t->nodes[id].parent;
        if (parent && !(t->nodes[parent].flags & NODE_KNOWN)) {
            return bad_ids("call_tree", e);
        }
        t->has_inlined |= (t->nodes[id].flags & NODE_INLINED) != 0;
    }
    if (t->no_inlines && t->has_inlined) {
        fold_inlined(t);
    }
    index_children(t);
    t->is_read = true;
    return db_status(db, e);
}

static int read_callsites(struct tree *t, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_tree_callsites);
    size_t n = t->n_callsites;

    stmt_bind_int(s, tree_callsites_p_after, n ? (int64_t)n - 1 : 0);
    while (stmt_next(s)) {
        int64_t id = stmt_int(s, tree_callsites_c_id);
        int64_t parent = stmt_int(s, tree_callsites_c_parent);
        int64_t frame = stmt_int(s, tree_callsites_c_frame);
        int64_t node = stmt_int(s, tree_callsites_c_node);
        if (!is_plausible(id, ++n) || parent < 0 || parent >= id || !is_u32(frame) ||
            !is_u32(node)) {
            stmt_reset(s);
            return bad_ids("callsite", e);
        }
        extend(&t->callsites, &t->n_callsites, &t->cap_callsites, (size_t)id,
               sizeof(*t->callsites));
        t->callsites[id] = (struct tree_callsite){
            .parent = (uint32_t)parent,
            .frame = (uint32_t)frame,
            .node = (uint32_t)node,
        };
    }
    return db_status(db, e);
}

static int read_frames(struct tree *t, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_tree_frames);
    size_t n = t->n_frames;

    stmt_bind_int(s, tree_frames_p_after, n ? (int64_t)n - 1 : 0);
    while (stmt_next(s)) {
        int64_t id = stmt_int(s, tree_frames_c_id);
        int64_t symbol = stmt_int(s, tree_frames_c_symbol);
        if (!is_plausible(id, ++n) || !is_u32(symbol)) {
            stmt_reset(s);
            return bad_ids("frame", e);
        }
        extend(&t->frame_symbols, &t->n_frames, &t->cap_frames, (size_t)id,
               sizeof(*t->frame_symbols));
        t->frame_symbols[id] = (uint32_t)symbol;
    }
    return db_status(db, e);
}

static int read_stacks(struct tree *t, struct db *db, bool *is_behind, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_tree_stacks);
    size_t n = t->n_stacks;

    stmt_bind_int(s, tree_stacks_p_after, n ? (int64_t)n - 1 : 0);
    while (stmt_next(s)) {
        int64_t id = stmt_int(s, tree_stacks_c_id);
        int64_t utid = stmt_int(s, tree_stacks_c_utid);
        int64_t node = stmt_int(s, tree_stacks_c_node);
        if (!is_plausible(id, ++n) || !is_u32(utid) || !is_u32(node)) {
            stmt_reset(s);
            return bad_ids("stack", e);
        }
        extend(&t->stacks, &t->n_stacks, &t->cap_stacks, (size_t)id, sizeof(*t->stacks));
        t->stacks[id] = (struct tree_stack){(uint32_t)utid, (uint32_t)node};
        /* A made-up node may sit under that number: only those below n_real count. */
        *is_behind = *is_behind || !tree_node_of(t, (uint32_t)node);
    }
    return db_status(db, e);
}

/* What is inlined at each frame. That is written together with the tree that has nodes for it, and
 * then run.n_renames counts: read once. */
static int read_inlined(struct tree *t, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_tree_inlined);
    size_t last = 0;

    while (stmt_next(s)) {
        int64_t frame = stmt_int(s, tree_inlined_c_frame);
        int64_t symbol = stmt_int(s, tree_inlined_c_symbol);
        if (frame <= 0 || (uint64_t)frame < last || (uint64_t)frame >= t->n_frames ||
            !is_u32(symbol)) {
            stmt_reset(s);
            return bad_ids("frame_line", e);
        }
        if ((uint64_t)frame == last) { /* the first row is the frame's own function */
            mem_reserve(&t->first_inlined, &t->cap_first_inlined, last + 2,
                        sizeof(*t->first_inlined));
            while (t->n_first_inlined <= last) {
                t->first_inlined[t->n_first_inlined++] = (uint32_t)t->n_inlined;
            }
            mem_reserve(&t->inlined, &t->cap_inlined, t->n_inlined + 1, sizeof(*t->inlined));
            t->inlined[t->n_inlined++] = (uint32_t)symbol;
        }
        last = (size_t)frame;
    }
    if (t->n_first_inlined) { /* room was made: where the last one's end */
        t->first_inlined[t->n_first_inlined++] = (uint32_t)t->n_inlined;
    }
    return db_status(db, e);
}

/* Answered here once, so that a sample costs one look at its callsite instead of two. */
static void check_callsites(struct tree *t, size_t first)
{
    for (size_t id = first; id < t->n_callsites; id++) {
        struct tree_callsite *c = &t->callsites[id];
        uint32_t node = tree_node_of(t, c->node);
        c->is_known = node != 0;
        c->node = node ? node : c->node;
    }
}

int tree_refresh(struct tree *t, struct db *db, int64_t n_renames, bool no_inlines, struct err *e)
{
    bool is_behind = false;
    size_t n_checked = t->n_callsites;
    int rc;

    if (t->n_renames != n_renames || t->no_inlines != no_inlines) {
        tree_free(t);
        t->n_renames = n_renames;
        t->no_inlines = no_inlines;
        n_checked = 0;
    }
    rc = read_callsites(t, db, e);
    if (rc == 0) {
        rc = read_frames(t, db, e);
    }
    if (rc == 0) {
        rc = read_stacks(t, db, &is_behind, e);
    }
    /* Made-up nodes are found by walking them all, so they must stay few. */
    if (rc == 0 && (!t->is_read || is_behind || t->n_nodes - t->n_real > 4096 + t->n_real / 64)) {
        rc = read_nodes(t, db, e);
        n_checked = 0;
    }
    if (rc == 0 && t->has_inlined && !t->n_first_inlined) {
        rc = read_inlined(t, db, e);
    }
    check_callsites(t, n_checked);
    if (rc < 0) {
        tree_free(t); /* what was read before a failure may lack its other half */
    }
    return rc;
}

static uint32_t find_child(const struct tree *t, uint32_t parent, uint32_t symbol, bool is_inlined)
{
    if (parent >= t->n_real) {
        return 0;
    }
    for (uint32_t i = t->first_child[parent]; i < t->first_child[parent + 1]; i++) {
        const struct tree_node *child = &t->nodes[t->children[i]];
        if (child->symbol == symbol && !(child->flags & NODE_INLINED) == !is_inlined) {
            return t->children[i];
        }
    }
    return 0;
}

/* The child of parent (0: a root) with this symbol. */
static uint32_t child_of(struct tree *t, uint32_t parent, uint32_t symbol, bool is_inlined)
{
    uint32_t *slot = map_put(&t->child_index, child_key(parent, symbol, is_inlined));

    if (*slot) {
        return *slot;
    }
    *slot = find_child(t, parent, symbol, is_inlined);
    if (!*slot) {
        uint32_t id = (uint32_t)t->n_nodes;
        *slot = id;
        extend(&t->nodes, &t->n_nodes, &t->cap_nodes, id, sizeof(*t->nodes));
        t->nodes[id] = (struct tree_node){
            .parent = parent,
            .symbol = symbol,
            .flags = (uint8_t)(NODE_KNOWN | (is_inlined ? NODE_INLINED : 0) |
                               (has_ancestor(t, parent, symbol) ? NODE_RECURSIVE : 0)),
        };
        return id;
    }
    return *slot;
}

/* The node of a frame below parent: its function, then what is inlined there. */
static uint32_t frame_node(struct tree *t, uint32_t parent, uint32_t frame)
{
    uint32_t symbol = frame < t->n_frames ? t->frame_symbols[frame] : 0;
    uint32_t node = child_of(t, parent, symbol, false);
    if (!t->no_inlines && (size_t)frame + 1 < t->n_first_inlined) {
        for (uint32_t i = t->first_inlined[frame]; i < t->first_inlined[frame + 1]; i++) {
            node = child_of(t, node, t->inlined[i], true);
        }
    }
    return node;
}

/* The node of a stack of callers, down from the nearest one that the tree has. */
static uint32_t callsite_node(struct tree *t, uint32_t callsite)
{
    enum { MAX_MISSING = 1200 }; /* deeper than any stack that is recorded */
    uint32_t missing[MAX_MISSING];
    size_t n = 0;
    uint32_t node = 0;

    for (; callsite && callsite < t->n_callsites && n < MAX_MISSING;
         callsite = t->callsites[callsite].parent) {
        if (t->callsites[callsite].is_known) {
            node = t->callsites[callsite].node;
            break;
        }
        missing[n++] = callsite;
    }
    while (n > 0) {
        node = frame_node(t, node, t->callsites[missing[--n]].frame);
    }
    return node;
}

uint32_t tree_sample_node(struct tree *t, int64_t callsite, int64_t frame)
{
    if (callsite < 0 || (uint64_t)callsite >= t->n_callsites || frame <= 0 ||
        (uint64_t)frame >= t->n_frames) {
        return 0;
    }
    return frame_node(t, callsite_node(t, (uint32_t)callsite), (uint32_t)frame);
}

void tree_prefetch_callsite(const struct tree *t, int64_t callsite)
{
    if (callsite >= 0 && (uint64_t)callsite < t->n_callsites) {
        __builtin_prefetch(&t->callsites[callsite]);
    }
}

void tree_prefetch_child(const struct tree *t, int64_t callsite, int64_t frame)
{
    if (callsite >= 0 && (uint64_t)callsite < t->n_callsites && t->callsites[callsite].is_known &&
        frame > 0 && (uint64_t)frame < t->n_frames) {
        map_prefetch(&t->child_index,
                     child_key(t->callsites[callsite].node, t->frame_symbols[frame], false));
    }
}

uint32_t tree_wait_node(struct tree *t, int64_t callsite, uint32_t marker)
{
    if (callsite <= 0 || (uint64_t)callsite >= t->n_callsites) {
        return 0;
    }
    uint32_t node = callsite_node(t, (uint32_t)callsite);
    return marker ? child_of(t, node, marker, false) : node;
}
