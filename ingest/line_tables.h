/*
 * line_tables.h - line tables of whole functions: what stax annotate shows beside instructions
 * without samples too.
 *
 * They are read by the thread of naming and written by the owner of the run's connection: the
 * hottest functions while a run records, the others as far as the end of the run has time for them,
 * when it is completed, named again or saved. One thread.
 */
#ifndef STAX_INGEST_LINE_TABLES_H
#define STAX_INGEST_LINE_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "ingest/naming.h"
#include "schema/db.h"

struct line_tables {
    struct db *db;                 /* borrowed */
    struct naming *naming;         /* borrowed */
    struct map asked;              /* symbol ids */
    struct strmap files;           /* path -> source_file.id */
    int64_t n_rows;                /* of code_line, written and found */
    int64_t next_ns;               /* when to look for functions that became hot */
    uint32_t last_file, last_call; /* ids */
    bool is_begun;
    struct strmap *named; /* gets the paths of tables that are taken; borrowed, or NULL */
};

/* How long to go on. */
struct line_tables_bound {
    int64_t until_ns;           /* CLOCK_MONOTONIC */
    bool (*goes_on)(void *ctx); /* false: give up; NULL: until time is over */
    void *ctx;
};

/* From here on, code is of a line. */
struct line_tables_span {
    uint64_t rel_address;
    uint32_t file, line; /* file: line_tables_file(); 0: not known */
};

enum { LINE_TABLES_MAX_ROWS = 4 << 20 }; /* of a run; 12 bytes each */

void line_tables_init(struct line_tables *t, struct db *db, struct naming *naming);
void line_tables_fini(struct line_tables *t);

/* Asks for functions that have no table yet, the hottest first; min_self_samples 0: callers too. A
 * function is asked for once; is_again: also those that were looked up in vain or have calls
 * without names. False: not all could be asked for yet. */
bool line_tables_ask(struct line_tables *t, int64_t min_self_samples, bool is_again);
/* The inlined functions of a binary have names now: tables that were made without are made anew. */
void line_tables_ask_again(struct line_tables *t, uint32_t binary);
/* For each commit of a run that records: asks for functions that became hot since. */
void line_tables_step(struct line_tables *t, int64_t n_samples);
/* Writes tables of a result from *next on, whole ones, until there were max rows, in a transaction
 * of its own. Returns how many rows there were. */
size_t line_tables_take(struct line_tables *t, const struct naming_result *r, size_t *next,
                        size_t max);
/* source_file.id of a path, which is written if it is new; 0: none. In a transaction. */
uint32_t line_tables_file(struct line_tables *t, const char *path);
/* Writes the table of a function that was read elsewhere, by ascending address. In a transaction.
 */
void line_tables_put(struct line_tables *t, uint32_t symbol, const struct line_tables_span *spans,
                     size_t n);
/* Asks for all, waits and writes what comes. What else naming finds is dropped. False: some did not
 * come in time. */
bool line_tables_finish(struct line_tables *t, const struct line_tables_bound *bound,
                        bool is_again);

/* Fills a stopped run that nobody else writes from the files of this machine that are still the
 * recorded ones. *is_complete: all were looked at. */
int line_tables_fill(struct db *db, const struct line_tables_bound *bound, bool *is_complete,
                     struct err *e);

#endif
