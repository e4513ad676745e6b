/*
 * top.h - rows of a top view, whether they count samples or waits. Inside query/ only. One thread.
 */
#ifndef STAX_QUERY_TOP_H
#define STAX_QUERY_TOP_H

#include "query/view.h"
#include "query/waits.h"

struct top_row {
    int64_t symbol;
    int64_t n_self, self_ns;
    int64_t n_total, total_ns;
    int64_t self, total;  /* what rows are sorted by: those times, or a counter */
    struct counts counts; /* of samples */
    const char *blocked;  /* reason of most of self_ns, of waits; NULL: none */
};

struct top_rows {
    struct top_row *items;
    size_t n, cap;
    int64_t n_all, all_ns; /* of everything that counts */
    int64_t all;           /* what shares are of: all_ns, or a counter */
    int64_t counters[COUNTERS_MAX];
    int by; /* BY_ON_CPU or a slot */
    int64_t n_functions;
};

/* Adds a row if its symbol is a function; fills in what it is sorted by. */
void top_add(struct query *q, struct top_rows *rows, const struct top_row *row);
/* The same for sums[0 .. q->fold.symbols.n) by symbol, without those that are zero, and sets
 * n_functions. counts: beside sums, NULL: none. */
void top_add_sums(struct query *q, struct top_rows *rows, const struct node_sum *sums,
                  const struct counts *counts);

/* top_waits.c: functions by blocked time. Self is time in waits that the function began: it is the
 * innermost one outside the kernel, where every wait ends in the scheduler. reason: -1 for all. */
int top_read_waits(struct query *q, struct top_rows *rows, const struct filter *filter, int reason,
                   struct waits_rest *rest, struct err *e);

#endif
