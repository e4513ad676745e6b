/*
 * table.h - aligned text tables that fit a terminal.
 *
 * Numbers are right-aligned and never cut; text columns marked as flexible share what is left of
 * the line and are cut in the middle, or where else two of them would look the same. Where even
 * that does not fit, columns that are marked as less important are left out, and a line says which.
 * Cells are foreign text and cleaned when added. The columns are borrowed for the life of the
 * table. Not shared between threads.
 */
#ifndef STAX_CLI_TABLE_H
#define STAX_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/out.h"

enum column_kind {
    COLUMN_NUMBER,   /* right-aligned, never cut */
    COLUMN_TEXT,     /* left-aligned, never cut */
    COLUMN_FLEXIBLE, /* left-aligned, cut in the middle when the line is too long */
    COLUMN_SOURCE,   /* the same, cut at the end: a line of source */
};

struct column {
    const char *title; /* borrowed */
    enum column_kind kind;
    enum style style; /* of the cells */
    int drop;         /* 0: always shown; else left out on narrow terminals, the highest first */
};

struct table;

struct table *table_new(const struct column *columns, size_t n_columns);
/* NULL is accepted. */
void table_free(struct table *t);

/* No column is left out: lines become longer than the terminal is wide. */
void table_keep_all(struct table *t);

/* Cells are added left to right, row after row. */
void table_text(struct table *t, const char *s);
/* n bytes, which may hold NUL. */
void table_textn(struct table *t, const char *s, size_t n);
void table_textf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_int(struct table *t, int64_t value);
/* Nanoseconds as milliseconds with one decimal. */
void table_ms(struct table *t, int64_t value_ns);
/* Counts: at most five digits, then 123.4k, M, G, T, P. */
void table_count(struct table *t, int64_t value);
/* The same for other renderers: n bytes, of which 12 are enough. */
void table_format_count(char *text, size_t n, int64_t value);
void table_pct(struct table *t, double pct);
/* "-": there is no value. */
void table_none(struct table *t);

/* Appends the header and the rows to out, and frees the table. */
void table_print(struct table *t, struct out *out);

#endif
