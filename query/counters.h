/*
 * counters.h - the counters of a run in the documents of views. Inside query/ only. One thread.
 */
#ifndef STAX_QUERY_COUNTERS_H
#define STAX_QUERY_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "query/fold.h"
#include "query/params.h"

struct query;

/* What a run counts, by slot. */
struct run_counters {
    size_t n;
    struct run_counter {
        char name[128]; /* clean text */
        int64_t n_attributed;
        int64_t n_counted, enabled_ns, running_ns; /* -1: not known yet */
    } items[COUNTERS_MAX];
    int cycles, instructions; /* slots that make up a ratio of instructions per cycle, -1: none */
};

/* By what a view sorts and measures shares: time, or a counter. */
enum { BY_ON_CPU = -1 };

/* Self and total of something, by slot. */
struct counts {
    int64_t self[COUNTERS_MAX], total[COUNTERS_MAX];
};

/* Reads table counter; what a foreign file may hold besides is left out. */
void counters_read(struct query *q);

/* The parameter "by": *by is BY_ON_CPU or a slot. STAX_ENOTFOUND: the run does not count that;
 * STAX_EUSAGE: together with waits. */
int counters_asked(struct query *q, const struct params *p, bool is_off_cpu, int *by,
                   struct err *e);

/* A value of a row, by slot; SQL's NULL is 0. */
void counters_of_row(const struct query *q, struct stmt *s, int first_column,
                     int64_t values[COUNTERS_MAX]);
/* The counts of a node of q->fold. */
void counters_of_node(const struct fold *f, size_t node, struct counts *counts);

/* Members of documents, only in runs that count: KEY: {name: value}. */
void counters_add(const struct query *q, json_t *object, const char *key,
                  const int64_t values[COUNTERS_MAX]);
/* "self_counters", "total_counters", and "self_ipc", "total_ipc" where the run counts both. */
void counters_add_counts(const struct query *q, json_t *object, const struct counts *counts);
/* KEY: instructions per cycle, null without cycles; absent where the run does not count both. */
void counters_add_ipc(const struct query *q, json_t *object, const char *key,
                      const int64_t values[COUNTERS_MAX]);
/* "by" and "counters" of a view's data: what shares are of. */
void counters_describe(const struct query *q, json_t *data, int by,
                       const int64_t values[COUNTERS_MAX]);

/* What all samples of the run counted. */
void counters_of_run(const struct query *q, int64_t values[COUNTERS_MAX]);

/* What everybody should know of an answer about a counter: what samples do not tell of, and whether
 * counts are estimates. */
void counters_warn(struct query *q, int by);
/* ... of what each thread counted: what samples do not tell of. */
void counters_warn_threads(struct query *q);

#endif
