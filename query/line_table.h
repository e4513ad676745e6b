/*
 * line_table.h - the line table of a function as the run has it: which line and which inlined calls
 * each address is of. Inside query/ only. One thread.
 *
 * A file may hold anything: what does not fit together is not known.
 */
#ifndef STAX_QUERY_LINE_TABLE_H
#define STAX_QUERY_LINE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/map.h"
#include "schema/db.h"

struct line_place {
    json_t *file;    /* string, NULL: not known; borrowed from the table */
    int64_t line;    /* 0: none */
    json_t *inlined; /* names, innermost first; NULL: none; borrowed from the table */
};

struct line_span {
    uint64_t rel_address;
    struct line_place place;
};

struct line_table {
    struct line_span *spans; /* by address, each up to the next */
    size_t n, cap;
    struct map files, calls; /* ids -> index + 1 in texts */
    json_t *texts;           /* array: clean paths, lists of names */
};

/* Of a function; empty if the run has none. A zeroed struct is empty. */
void line_table_read(struct line_table *t, struct db *db, int64_t symbol);
void line_table_fini(struct line_table *t);

/* The place of an address; file NULL where nothing is known. */
struct line_place line_table_at(const struct line_table *t, uint64_t rel_address);

#endif
