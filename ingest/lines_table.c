/*
 * lines_table.c - the line table of a stretch of code (lines.h).
 *
 * The code is cut wherever the unit, the function, a row of the unit's line table or an inlined
 * call begins or ends. Inlined calls are painted over the pieces in the order in which they were
 * met, so that inner ones win; equal neighbours are joined.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "ingest/lines_internal.h"

enum { MAX_PIECES = 1 << 21, MAX_PAINTED = 1 << 27, MAX_LOOKED_AT = 1 << 26 };

/* One function's part of the stretch. */
struct part {
    struct lines *l;
    struct lines_unit *u;
    struct lines_function *f; /* NULL: none */
    Dwarf_Lines *rows;        /* NULL: none */
    size_t n_rows;
    uint64_t low, high;
    uint64_t *cuts; /* where pieces begin, ascending, the first is low */
    size_t n_cuts, cap_cuts;
    uint32_t *calls; /* innermost, by piece */
};

static void add_cut(struct part *p, uint64_t address)
{
    if (address >= p->low && address < p->high && p->n_cuts < MAX_PIECES) {
        mem_reserve(&p->cuts, &p->cap_cuts, p->n_cuts + 1, sizeof(*p->cuts));
        p->cuts[p->n_cuts++] = address;
    }
}

static uint64_t row_address(const struct part *p, size_t i)
{
    Dwarf_Addr address = 0;
    return dwarf_lineaddr(dwarf_onesrcline(p->rows, i), &address) == 0 ? address : 0;
}

/* The last row at or before an address (libdw keeps them sorted), n_rows if none is. */
static size_t row_at(const struct part *p, uint64_t address)
{
    size_t low = 0, high = p->n_rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (row_address(p, middle) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? low - 1 : p->n_rows;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void cut(struct part *p)
{
    add_cut(p, p->low);
    size_t i = p->n_rows ? row_at(p, p->low) : 0;
    for (i = i < p->n_rows ? i : 0; i < p->n_rows && row_address(p, i) < p->high; i++) {
        add_cut(p, row_address(p, i));
    }
    for (i = 0; p->f && i < p->f->ranges.n; i++) {
        add_cut(p, p->f->ranges.items[i].low);
        add_cut(p, p->f->ranges.items[i].high);
    }
    qsort(p->cuts, p->n_cuts, sizeof(*p->cuts), by_value);
    size_t n = 1;
    for (i = 1; i < p->n_cuts; i++) {
        if (p->cuts[i] != p->cuts[n - 1]) {
            p->cuts[n++] = p->cuts[i];
        }
    }
    p->n_cuts = n;
}

static size_t piece_from(const struct part *p, uint64_t address)
{
    size_t low = 0, high = p->n_cuts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->cuts[middle] < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* False: more calls than any compiler makes; who is inlined where stays unknown then. */
static bool paint(struct part *p)
{
    size_t n_painted = 0;
    p->calls = mem_new(p->n_cuts, sizeof(*p->calls));
    for (size_t i = 0; i < p->n_cuts; i++) {
        p->calls[i] = LINES_NO_CALL;
    }
    for (size_t i = 0; p->f && i < p->f->ranges.n; i++) {
        const struct lines_range *r = &p->f->ranges.items[i];
        size_t end = piece_from(p, r->high);
        for (size_t k = piece_from(p, r->low); k < end; k++) {
            p->calls[k] = r->item;
            if (++n_painted > MAX_PAINTED) {
                return false;
            }
        }
    }
    return true;
}

/* The row of a call of the part's function in the table; made when it is first needed, after those
 * of the calls it is made in. */
static uint32_t table_call(struct part *p, struct lines_table *t, struct map *known, uint32_t call)
{
    uint32_t chain[LINES_MAX_DEPTH];
    size_t n = 0;
    for (; call != LINES_NO_CALL && n < LINES_MAX_DEPTH - 1; call = p->f->calls[call].parent) {
        chain[n++] = call;
    }
    uint32_t parent = 0;
    while (n) {
        uint32_t *id = map_put(known, chain[--n] + UINT64_C(1));
        if (!*id) {
            struct lines_inlined made = {.parent = parent};
            struct lines_row what = {0};
            struct lines_row at =
                lines_describe_call(p->l, p->u, &p->f->calls[chain[n]], &t->text, &what);
            made.function = what.function;
            made.file = at.file;
            made.line = at.line;
            mem_reserve(&t->calls, &t->cap_calls, t->n_calls + 1, sizeof(*t->calls));
            t->calls[t->n_calls++] = made;
            *id = (uint32_t)t->n_calls;
        }
        parent = *id;
    }
    return parent;
}

static void add_span(struct lines_table *t, const struct lines_span *span)
{
    const struct lines_span *last = t->n_spans ? &t->spans[t->n_spans - 1] : NULL;
    if (t->n_spans >= LINES_TABLE_MAX || (last && last->file == span->file &&
                                          last->line == span->line && last->call == span->call)) {
        return;
    }
    mem_reserve(&t->spans, &t->cap_spans, t->n_spans + 1, sizeof(*t->spans));
    t->spans[t->n_spans++] = *span;
}

/* File and line of a piece. files: of a unit, by the address of libdw's name. */
static void locate(const struct part *p, uint64_t address, struct lines_table *t, struct map *files,
                   struct lines_span *span)
{
    size_t at = p->n_rows ? row_at(p, address) : 0;
    bool is_end = true;
    int number = 0;
    if (at >= p->n_rows) {
        return;
    }
    Dwarf_Line *row = dwarf_onesrcline(p->rows, at);
    if (dwarf_lineendsequence(row, &is_end) != 0 || is_end) {
        return;
    }
    const char *name = dwarf_linesrc(row, NULL, NULL);
    uint32_t *file = name ? map_put(files, (uint64_t)(uintptr_t)name) : NULL;
    if (file && !*file) {
        *file = lines_keep_file(p->u, &t->text, name);
    }
    span->file = file ? *file : 0;
    span->line = dwarf_lineno(row, &number) == 0 && number > 0 ? (uint32_t)number : 0;
}

static void read_part(struct part *p, struct lines_table *t, struct map *files)
{
    struct map known = {0};
    Dwarf_Die die = p->u->die;
    if (dwarf_getsrclines(&die, &p->rows, &p->n_rows) != 0) {
        p->n_rows = 0;
    }
    if (p->f) {
        lines_read_calls(p->l, p->f);
    }
    cut(p);
    bool is_painted = paint(p);
    for (size_t i = 0; i < p->n_cuts; i++) {
        struct lines_span span = {.address = p->cuts[i]};
        locate(p, span.address, t, files, &span);
        if (is_painted && p->calls[i] != LINES_NO_CALL) {
            span.call = table_call(p, t, &known, p->calls[i]);
        }
        add_span(t, &span);
    }
    map_free(&known);
    free(p->cuts);
    free(p->calls);
}

bool lines_read_table(struct lines *l, uint64_t address, uint64_t size, struct lines_table *t)
{
    struct map files = {0};
    size_t n_looked_at = 0; /* more than any compiler makes: the rest is not known */
    uint64_t end = size < UINT64_MAX - address ? address + size : UINT64_MAX;
    while (address < end && t->n_spans < LINES_TABLE_MAX && n_looked_at < MAX_LOOKED_AT) {
        struct lines_unit *u = lines_find_unit(l, address);
        struct part p = {.l = l, .u = u, .low = address};
        p.f = u ? lines_find_function(l, u, address) : NULL;
        p.high = lines_same_until(l, u, address);
        p.high = p.high < end ? p.high : end;
        if (u) {
            read_part(&p, t, &files);
        } else {
            add_span(t, &(struct lines_span){.address = address});
        }
        n_looked_at += 1 + (p.f ? p.f->ranges.n : 0);
        address = p.high;
    }
    if (address < end && t->n_spans) {
        uint64_t last = t->spans[t->n_spans - 1].address;
        t->spans[t->n_spans - 1] = (struct lines_span){.address = last};
    }
    map_free(&files);
    bool is_known = false;
    for (size_t i = 0; i < t->n_spans && !is_known; i++) {
        is_known = t->spans[i].file || t->spans[i].call;
    }
    return is_known;
}

void lines_free_table(struct lines_table *t)
{
    free(t->spans);
    free(t->calls);
    buf_free(&t->text);
    *t = (struct lines_table){0};
}
