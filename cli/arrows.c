/* arrows.c - see arrows.h. */
#include "cli/arrows.h"

#include <stdlib.h>

#include "base/mem.h"

enum { CELL_UP = 1, CELL_DOWN = 2, CELL_RIGHT = 4 };
enum { HEAD_NONE, HEAD_FROM, HEAD_TO };

static size_t top_of(const struct arrow *a)
{
    return a->from < a->to ? a->from : a->to;
}

static size_t length_of(const struct arrow *a)
{
    return a->from < a->to ? a->to - a->from : a->from - a->to;
}

static int by_length(const void *a, const void *b)
{
    const struct arrow *x = a, *y = b;
    size_t lx = length_of(x), ly = length_of(y);

    if (lx != ly) {
        return lx < ly ? -1 : 1;
    }
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->to < y->to ? -1 : x->to > y->to;
}

static int is_free(const struct arrows *a, size_t lane, size_t top, size_t length)
{
    for (size_t row = top; row <= top + length; row++) {
        if (a->cells[row][lane]) {
            return 0;
        }
    }
    return 1;
}

static void place(struct arrows *a, const struct arrow *arrow, size_t max_lanes)
{
    size_t top = top_of(arrow), length = length_of(arrow), lane = 0;

    if (length > ARROW_ROWS_MAX) {
        return;
    }
    while (lane < max_lanes && !is_free(a, lane, top, length)) {
        lane++;
    }
    if (lane == max_lanes) {
        return;
    }
    for (size_t row = top; row <= top + length; row++) {
        uint8_t cell = (uint8_t)((row > top ? CELL_UP : 0) | (row < top + length ? CELL_DOWN : 0));
        a->cells[row][lane] = cell | (row == top || row == top + length ? CELL_RIGHT : 0);
    }
    a->heads[arrow->to] = HEAD_TO;
    if (a->heads[arrow->from] == HEAD_NONE) {
        a->heads[arrow->from] = HEAD_FROM;
    }
    a->n_lanes = lane + 1 > a->n_lanes ? lane + 1 : a->n_lanes;
}

void arrows_init(struct arrows *a, struct arrow *items, size_t n, size_t n_rows, size_t max_lanes)
{
    *a = (struct arrows){.n_rows = n_rows};
    a->cells = mem_new(n_rows + 1, sizeof(*a->cells));
    a->heads = mem_new(n_rows + 1, 1);
    if (n) {
        qsort(items, n, sizeof(*items), by_length);
    }
    for (size_t i = 0; i < n; i++) {
        place(a, &items[i], max_lanes);
    }
}

void arrows_fini(struct arrows *a)
{
    free(a->cells);
    free(a->heads);
    *a = (struct arrows){0};
}

size_t arrows_width(const struct arrows *a)
{
    return a->n_lanes ? a->n_lanes + 1 : 0;
}

/* passes: a horizontal line comes from a lane further out. */
static const char *glyph(uint8_t cell, int passes)
{
    static const char *const glyphs[] = {
        [0] = " ",
        [CELL_UP | CELL_DOWN] = "│",
        [CELL_RIGHT] = "─", /* a jump to itself */
        [CELL_RIGHT | CELL_UP] = "└",
        [CELL_RIGHT | CELL_DOWN] = "┌",
    };

    if (!passes) {
        return glyphs[cell];
    }
    switch (cell) {
    case CELL_UP | CELL_DOWN:
        return "┼";
    case CELL_RIGHT | CELL_UP:
        return "┴";
    case CELL_RIGHT | CELL_DOWN:
        return "┬";
    default:
        return "─";
    }
}

void arrows_draw(const struct arrows *a, size_t row, struct buf *out)
{
    static const char *const heads[] = {" ", "─", ">"};
    int passes = 0;

    if (!a->n_lanes || row >= a->n_rows) {
        return;
    }
    for (size_t lane = a->n_lanes; lane-- > 0;) {
        uint8_t cell = a->cells[row][lane];
        buf_addstr(out, glyph(cell, passes));
        passes = passes || (cell & CELL_RIGHT);
    }
    buf_addstr(out, heads[a->heads[row]]);
}
