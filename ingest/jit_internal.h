/* jit_internal.h - what the parts of jit (jit.c, jit_lines.c) share; see jit.h. */
#ifndef STAX_INGEST_JIT_INTERNAL_H
#define STAX_INGEST_JIT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/jit_table.h"
#include "ingest/jit.h"

struct jit_source {
    struct jit_space *space;
    uint32_t binary; /* 0: not opened yet */
    bool is_map, is_guess_said;
};

struct jit_move {
    struct jit_space *owner;
    uint32_t frame, load; /* load: index + 1 */
    uint64_t delta;
};

/* From this byte of its load on. */
struct code_line {
    uint32_t delta, file, line; /* file: index + 1, 0: the one that the name tells */
};

/* A frame of [anon], which waits for a load. */
struct waiting {
    uint64_t address;
    int64_t first_ts, last_ts; /* of the stacks it was in */
    int64_t period;
    uint32_t frame; /* 0: it waits no more */
    uint32_t next;  /* in its page (index + 1) */
    bool is_caller; /* stacks that are remembered do not move last_ts */
};

struct jit_space {
    uint32_t upid, number;    /* one process has several, one after the other, when it execs */
    struct jit_space *parent; /* it was forked with the code of this one; NULL: none */
    int64_t fork_ts;
    bool has_source, has_map;
    int64_t news_ts; /* when a file last told of code, as samples go */
    struct jit_table table;
    struct buf names;
    struct code_line *lines; /* of a load in the dump's order; sorted once it has a symbol */
    size_t n_lines, cap_lines;
    uint32_t anon;  /* binary */
    uint32_t noted; /* source of what is said of it, 0: none */
    struct waiting *waiting;
    size_t n_waiting, cap_waiting;
    struct map waiting_at, waiting_pages; /* see key_of(), page -> waiting (index + 1) */
};

/* ---- jit_lines.c ---- */

/* What a batch says of an item's lines becomes those of a load. */
void jit_lines_take(struct jit *j, struct jit_space *s, const struct jit_batch *batch,
                    const struct jit_item *item, struct jit_load *l);
/* An origin got its symbol: its lines are put in order, and its table is to be written. */
void jit_lines_begin(struct jit *j, struct jit_space *s, struct jit_load *origin);
/* The line of a frame in a load; without debug info the one its name tells. */
void jit_lines_add(struct jit *j, struct jit_space *s, const struct jit_load *l, uint32_t frame,
                   uint64_t delta);

#endif
