/*
 * arrows.h - lines that join jumps with their targets, drawn beside rows of text in a few columns.
 *
 * Short jumps lie next to the text. What finds no free column, or reaches over more than
 * ARROW_ROWS_MAX rows, is not drawn. Not shared between threads.
 */
#ifndef STAX_CLI_ARROWS_H
#define STAX_CLI_ARROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { ARROW_LANES_MAX = 8, ARROW_ROWS_MAX = 1000 };

struct arrow {
    size_t from, to; /* rows */
};

struct arrows {
    size_t n_lanes; /* columns taken, the head not included */
    size_t n_rows;
    uint8_t (*cells)[ARROW_LANES_MAX]; /* by row and lane, lane 0 beside the text */
    uint8_t *heads;                    /* by row */
};

/* Sorts items. Rows are below n_rows; max_lanes is at most ARROW_LANES_MAX. */
void arrows_init(struct arrows *a, struct arrow *items, size_t n, size_t n_rows, size_t max_lanes);
void arrows_fini(struct arrows *a);

/* Columns that arrows_draw() takes; 0: there is no arrow. */
size_t arrows_width(const struct arrows *a);
/* Appends the part of a row, arrows_width() columns. */
void arrows_draw(const struct arrows *a, size_t row, struct buf *out);

#endif
