/*
 * lazy.h - a summary table kept in memory whose rows reach the database at a bounded rate.
 *
 * Writing every touched row in each commit is what would decide ingest's speed (FACTS, SQLite), so
 * a commit writes the rows that matter and a bounded number of the others: rows whose unwritten
 * part is at least 1/1000 of the run at once, the rest oldest change first. Values are absolute, so
 * any row may be written any time, and writing all of them makes the table exact. One thread.
 */
#ifndef STAX_INGEST_LAZY_H
#define STAX_INGEST_LAZY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

/* Of samples: their number and on-CPU ns. Of waits: blocked intervals and off-CPU ns. */
struct sums {
    uint64_t n_self, n_total;
    int64_t self_ns, total_ns;
};
enum { N_SUMS = sizeof(struct sums) / sizeof(int64_t) };

/* Rows are touched at random, many per sample: they hold no more than samples need. */
struct lazy_row {
    uint32_t a, b; /* the key; rows are unique by (a, b) */
    struct sums sums;
    uint32_t n_unwritten; /* growth of n_self + n_total since it was last written; saturates */
    bool is_dirty;        /* differs from the database */
    bool is_queued;       /* stands in the queue of changes */
    bool is_big;          /* stands in the list of big changes */
};

struct lazy_change {
    uint32_t id;
    uint64_t since; /* samples of the run when the row became dirty */
};

struct lazy_table {
    struct lazy_row *rows; /* row id is index + 1 */
    size_t n_rows, cap_rows;
    size_t n_counters;  /* of each row; fixed before the first one */
    uint64_t *counters; /* by row: n_counters of self, then n_counters of total */
    size_t cap_counters;
    struct sums *waits; /* of rows up to n_waits; the others have none */
    size_t n_waits, cap_waits;
    struct map index; /* (a, b) -> id */
    struct lazy_change *changes;
    size_t first_change, n_changes, cap_changes; /* [first_change, n_changes) */
    uint32_t *big;
    size_t n_big, cap_big;
    uint32_t *chosen; /* scratch of lazy_flush() */
    size_t cap_chosen;
    struct lazy_before *before; /* between lazy_begin_again() and lazy_end_again(), else NULL */
};

void lazy_free(struct lazy_table *t);

/* The id of row (a, b), created when absent. */
uint32_t lazy_id(struct lazy_table *t, uint32_t a, uint32_t b);
static inline struct lazy_row *lazy_row(const struct lazy_table *t, uint32_t id)
{
    return &t->rows[id - 1];
}

/* Adds to a row and notes the change; n_samples is the run's count so far. */
void lazy_add(struct lazy_table *t, uint32_t id, const struct sums *delta, uint64_t n_samples);
void lazy_add_waits(struct lazy_table *t, uint32_t id, const struct sums *delta,
                    uint64_t n_samples);
/* The waits of a row; borrowed until the next lazy_add_waits(). */
const struct sums *lazy_waits(const struct lazy_table *t, uint32_t id);

/* Adds to the counters of a row what samples brought that were added to it; either may be NULL. */
void lazy_add_counters(struct lazy_table *t, uint32_t id, const uint64_t *self,
                       const uint64_t *total);
/* The counters of a row: those of self, then those of total. */
static inline const uint64_t *lazy_counters(const struct lazy_table *t, uint32_t id)
{
    return t->counters + (size_t)(id - 1) * 2 * t->n_counters;
}

typedef void lazy_write(void *ctx, uint32_t id, const struct lazy_row *row,
                        const struct sums *waits);

/* Writes the big changes, then others, oldest first, for about budget_ns; INT64_MAX: all of them.
 * Returns rows written. */
size_t lazy_flush(struct lazy_table *t, int64_t budget_ns, lazy_write *write, void *ctx);
/* Everything is about to be added once more: all sums become zero, and adding notes no changes. */
void lazy_begin_again(struct lazy_table *t);
/* Rows that came out as something else than they were are big changes: the next flush writes all of
 * them. */
void lazy_end_again(struct lazy_table *t, uint64_t n_samples);
/* Marks a row as equal to the database (it was just inserted). */
void lazy_mark_written(struct lazy_table *t, uint32_t id);

/* Samples of the run when the oldest unwritten change was made; n_samples if there is none. */
uint64_t lazy_clean_until(const struct lazy_table *t, uint64_t n_samples);
size_t lazy_bytes(const struct lazy_table *t);

#endif
