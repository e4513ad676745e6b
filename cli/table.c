/* table.c - see table.h. */
#include "cli/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

enum { GAP = 2, MIN_FLEXIBLE = 8 };

struct table {
    const struct column *columns;
    size_t n_columns;
    char **cells; /* row after row */
    size_t n_cells;
    size_t cap;
    size_t *widths;
    bool *is_dropped;
    bool keeps_all;
};

struct table *table_new(const struct column *columns, size_t n_columns)
{
    struct table *t = mem_new(1, sizeof *t);
    t->columns = columns;
    t->n_columns = n_columns;
    t->widths = mem_new(n_columns ? n_columns : 1, sizeof *t->widths);
    t->is_dropped = mem_new(n_columns ? n_columns : 1, sizeof *t->is_dropped);
    for (size_t i = 0; i < n_columns; i++) {
        t->widths[i] = text_width(columns[i].title);
    }
    return t;
}

void table_keep_all(struct table *t)
{
    t->keeps_all = true;
}

void table_free(struct table *t)
{
    if (!t) {
        return;
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    free(t->widths);
    free(t->is_dropped);
    free(t);
}

void table_text(struct table *t, const char *s)
{
    table_textn(t, s, strlen(s));
}

void table_textn(struct table *t, const char *s, size_t n)
{
    struct buf clean = {0};
    text_clean(&clean, s, n);
    size_t width = text_width(buf_str(&clean));
    size_t column = t->n_cells % t->n_columns;
    if (width > t->widths[column]) {
        t->widths[column] = width;
    }
    mem_reserve(&t->cells, &t->cap, t->n_cells + 1, sizeof *t->cells);
    t->cells[t->n_cells++] = buf_take(&clean);
}

void table_textf(struct table *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *s = NULL;
    if (vasprintf(&s, fmt, args) < 0) {
        abort();
    }
    va_end(args);
    table_text(t, s);
    free(s);
}

void table_int(struct table *t, int64_t value)
{
    table_textf(t, "%" PRId64, value);
}

void table_ms(struct table *t, int64_t value_ns)
{
    table_textf(t, "%.1f", (double)value_ns / 1e6);
}

void table_format_count(char *text, size_t n, int64_t value)
{
    static const char units[] = "kMGTPE";
    double scaled = (double)value;
    if (value < 100000 && value > -100000) {
        snprintf(text, n, "%" PRId64, value);
        return;
    }
    const char *unit = units;
    for (scaled /= 1000; (scaled >= 999.95 || scaled <= -999.95) && unit[1]; unit++) {
        scaled /= 1000;
    }
    snprintf(text, n, "%.1f%c", scaled, *unit);
}

void table_count(struct table *t, int64_t value)
{
    char text[16];
    table_format_count(text, sizeof(text), value);
    table_text(t, text);
}

void table_pct(struct table *t, double pct)
{
    table_textf(t, "%.1f", pct);
}

void table_none(struct table *t)
{
    table_text(t, "-");
}

static size_t line_width(const struct table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (!t->is_dropped[i]) {
            n += t->widths[i] + (n ? GAP : 0);
        }
    }
    return n;
}

static bool is_flexible(const struct column *c)
{
    return c->kind == COLUMN_FLEXIBLE || c->kind == COLUMN_SOURCE;
}

/* The narrowest line that the columns shown can make. */
static size_t least_width(const struct table *t)
{
    size_t n = line_width(t);
    for (size_t i = 0; i < t->n_columns; i++) {
        bool can_shrink = is_flexible(&t->columns[i]) && t->widths[i] > MIN_FLEXIBLE;
        n -= can_shrink && !t->is_dropped[i] ? t->widths[i] - MIN_FLEXIBLE : 0;
    }
    return n;
}

static void drop_columns(struct table *t, size_t width)
{
    while (least_width(t) > width) {
        size_t next = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++) {
            int rank = t->is_dropped[i] ? 0 : t->columns[i].drop;
            if (rank > 0 && (next == t->n_columns || rank > t->columns[next].drop)) {
                next = i;
            }
        }
        if (next == t->n_columns) {
            return;
        }
        t->is_dropped[next] = true;
    }
}

/* Takes columns from the widest flexible column, one by one, until the line fits. */
static void fit(struct table *t, size_t width)
{
    if (!t->keeps_all) {
        drop_columns(t, width);
    } else if (least_width(t) > width) {
        return; /* cutting would not help */
    }
    for (size_t n = line_width(t); n > width; n--) {
        size_t widest = t->n_columns;
        for (size_t i = 0; i < t->n_columns; i++) {
            bool can_shrink =
                !t->is_dropped[i] && is_flexible(&t->columns[i]) && t->widths[i] > MIN_FLEXIBLE;
            if (can_shrink && (widest == t->n_columns || t->widths[i] > t->widths[widest])) {
                widest = i;
            }
        }
        if (widest == t->n_columns) {
            return;
        }
        t->widths[widest]--;
    }
}

/* From shortly before byte at on: what the first bytes do not tell apart. */
static void cut_from(struct buf *out, const char *cell, size_t at, size_t width)
{
    enum { BEFORE = 2 };
    at -= at < BEFORE ? at : BEFORE;
    while (at && ((unsigned char)cell[at] & 0xc0) == 0x80) {
        at--; /* inside a character */
    }
    struct buf tail = {0};
    buf_addf(&tail, "…%s", cell + at);
    text_cut_end(out, buf_str(&tail), width);
    buf_free(&tail);
}

/* Cells that differ look different, also when they are cut. */
static void cut_column(struct table *t, size_t column)
{
    enum { TRIES = 4 };
    struct strmap seen = {0}; /* cut text -> index of its cell + 1 */
    size_t n_kept = t->n_cells / t->n_columns;
    char **whole = mem_new(n_kept ? n_kept : 1, sizeof *whole);
    for (size_t row = 0; row < n_kept; row++) {
        char **cell = &t->cells[row * t->n_columns + column];
        struct buf cut = {0};
        whole[row] = *cell;
        text_cut_name(&cut, *cell, t->widths[column]);
        for (int i = 0; i < TRIES; i++) {
            uint32_t *first = strmap_put(&seen, buf_str(&cut), cut.len);
            if (!*first) {
                *first = (uint32_t)row + 1;
            }
            const char *other = whole[*first - 1];
            size_t n_same = 0;
            while (other[n_same] && other[n_same] == (*cell)[n_same]) {
                n_same++;
            }
            if (!other[n_same] && !(*cell)[n_same]) {
                break;
            }
            buf_clear(&cut);
            cut_from(&cut, *cell, n_same, t->widths[column]);
        }
        *cell = buf_take(&cut);
    }
    for (size_t row = 0; row < n_kept; row++) {
        free(whole[row]);
    }
    free(whole);
    strmap_free(&seen);
}

static void print_dropped(const struct table *t, struct out *out)
{
    struct buf text = {0};
    for (size_t i = 0; i < t->n_columns; i++) {
        if (t->is_dropped[i]) {
            buf_addf(&text, "%s%s", text.len ? ", " : "too narrow for: ", t->columns[i].title);
        }
    }
    if (text.len) {
        buf_addstr(&out->text, out_style(out, STYLE_DIM));
        out_foreign_wrapped(out, buf_str(&text), 0);
        buf_addf(&out->text, "%s\n", out_style(out, STYLE_PLAIN));
    }
    buf_free(&text);
}

static void pad(struct buf *b, size_t n)
{
    memset(buf_room(b, n), ' ', n);
    buf_advance(b, n);
}

static void print_cell(const struct table *t, size_t column, const char *cell, enum style style,
                       struct out *out)
{
    if (t->is_dropped[column]) {
        return;
    }
    struct buf cut = {0};
    size_t width = t->widths[column];
    if (t->columns[column].kind == COLUMN_SOURCE) {
        text_cut_end(&cut, cell, width);
    } else {
        text_cut_name(&cut, cell, width);
    }
    size_t n_pad = width - text_width(buf_str(&cut));
    bool is_last = column + 1 == t->n_columns;
    if (t->columns[column].kind == COLUMN_NUMBER) {
        pad(&out->text, n_pad);
        n_pad = 0;
    }
    bool is_styled = style != STYLE_PLAIN;
    buf_addstr(&out->text, is_styled ? out_style(out, style) : "");
    buf_add(&out->text, buf_str(&cut), cut.len);
    buf_addstr(&out->text, is_styled ? out_style(out, STYLE_PLAIN) : "");
    pad(&out->text, is_last ? 0 : n_pad + GAP);
    buf_free(&cut);
}

/* Lines end without blanks, whatever their last cells are. */
static void end_line(struct buf *b)
{
    while (b->len && b->data[b->len - 1] == ' ') {
        b->data[--b->len] = '\0';
    }
    buf_addch(b, '\n');
}

void table_print(struct table *t, struct out *out)
{
    if (out->width) {
        fit(t, out->width);
    }
    for (size_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i].kind == COLUMN_FLEXIBLE && !t->is_dropped[i]) {
            cut_column(t, i);
        }
    }
    for (size_t i = 0; i < t->n_columns; i++) {
        print_cell(t, i, t->columns[i].title, STYLE_BOLD, out);
    }
    end_line(&out->text);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t column = i % t->n_columns;
        print_cell(t, column, t->cells[i], t->columns[column].style, out);
        if (column + 1 == t->n_columns) {
            end_line(&out->text);
        }
    }
    print_dropped(t, out);
    table_free(t);
}
