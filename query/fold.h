/*
 * fold.h - filtered sums: which samples or waits count, added up over the call tree and over
 * threads.
 *
 * A time range is the difference of two moments. A moment is the nearest snapshot of stack_sum,
 * plus or minus the raw samples between it and the moment; a short range reads its raw samples
 * alone. Sums are unsigned so that differences wrap instead of being undefined on files that lie.
 * Arrays are kept between calls: no allocation a row. One thread.
 */
#ifndef STAX_QUERY_FOLD_H
#define STAX_QUERY_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "query/params.h"
#include "query/symbols.h"
#include "query/tree.h"
#include "schema/db.h"

enum { COUNTERS_MAX = 4 }; /* c0 to c3 */

/* Samples and their on-CPU time, or waits and their off-CPU time. */
struct node_sum {
    uint64_t n_self, self_ns;
    uint64_t n_total, total_ns;
};

struct thread_sum {
    uint64_t n, ns;
    bool is_accepted; /* by tid and pid */
};

/* What a fold must know of the run; read in the same snapshot as everything else. */
struct fold_run {
    int64_t start_ts, data_ts, raw_from_ts, n_samples;
    int64_t n_renames;
    size_t n_counters; /* that its samples have, at most COUNTERS_MAX */
};

struct fold {
    struct tree tree;
    struct symbols symbols;
    struct node_sum *nodes; /* by node */
    size_t n_sums, cap_nodes;
    uint8_t *is_cut; /* by node: its stack holds an excluded function */
    size_t cap_cut, n_cut;
    struct thread_sum *threads; /* by utid */
    size_t n_threads, cap_threads;
    uint8_t *is_excluded;            /* by symbol; NULL: none */
    uint64_t n, ns;                  /* of all that passed */
    int64_t from_ts, to_ts;          /* what the range became: (from_ts, to_ts] */
    bool is_from_moved, is_to_moved; /* raw rows there were dropped to save space */
    bool has_nodes;
    /* Of samples in runs that count; n_counters 0: nothing is counted. */
    size_t n_counters;
    uint64_t counters[COUNTERS_MAX]; /* of all that passed */
    uint64_t *node_counters;         /* by node: n_counters of self, then n_counters of total */
    size_t cap_node_counters;
    uint64_t *thread_counters; /* by utid: n_counters each */
    size_t cap_thread_counters;
};

void fold_free(struct fold *f);

/* Reads which threads the filter accepts. STAX_ENOTFOUND: no such thread or process. */
int fold_threads(struct fold *f, struct db *db, const struct filter *filter, struct err *e);

/* Forgets the excluded functions of an earlier call. */
void fold_clear_excluded(struct fold *f);

/* Names and tree up to date with the snapshot, excluded functions looked up. */
int fold_prepare(struct fold *f, struct db *db, const struct fold_run *run,
                 const struct filter *filter, struct err *e);

/* Adds up what the filter lets through; f->threads, n, ns and, if with_nodes,
 * f->nodes[0 .. tree.n_nodes) with totals; in runs that count, the counters too. Calls
 * fold_threads() and fold_prepare(). */
int fold_samples(struct fold *f, struct db *db, const struct fold_run *run,
                 const struct filter *filter, bool with_nodes, struct err *e);

/* The same for what the caller adds: begin, add as often as needed, end. node: of f->tree. */
int fold_begin(struct fold *f, struct db *db, const struct fold_run *run,
               const struct filter *filter, bool with_nodes, struct err *e);
void fold_add(struct fold *f, int64_t utid, uint32_t node, uint64_t n, uint64_t ns);
/* The same for all threads at once: f->threads has no part of it. */
void fold_add_node(struct fold *f, uint32_t node, uint64_t n, uint64_t ns);
void fold_end(struct fold *f);

/* Whether a sample counts: its thread accepted, its stack free of excluded functions. */
bool fold_accepts(struct fold *f, int64_t utid, uint32_t node);

/* Bounds of a filter on the clock of sample.ts: (after, upto]. */
void fold_range(const struct fold_run *run, const struct filter *filter, int64_t *after,
                int64_t *upto);

#endif
