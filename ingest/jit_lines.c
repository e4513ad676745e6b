/*
 * jit_lines.c - source lines of code made at run time: of frames, and of whole functions.
 *
 * A jitdump is read once, while it is written, so a function's table is written when it has its
 * first frame: from memory, not from the file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/jit_internal.h"
#include "ingest/jit_names.h"
#include "ingest/line_tables.h"

enum {
    SPANS_MAX = 1 << 14, /* of a function; what lies behind them is of no known line */
    ROWS_MAX = 1 << 20   /* of all functions */
};

/* ---- what a dump says ---- */

/* 0: no name of a file. V8 20 writes what it has freed already where a script's name is no plain
 * string; control bytes give that away, and the function's own name tells the script. */
static uint32_t file_of(struct jit *j, const char *raw)
{
    struct buf clean = {0};
    text_clean(&clean, raw, strlen(raw));
    if (strcmp(buf_str(&clean), raw) != 0) {
        buf_free(&clean);
        return 0;
    }
    uint32_t *id = strmap_put(&j->files, buf_str(&clean), clean.len);
    if (!*id) {
        mem_reserve(&j->file_names, &j->cap_files, j->n_files + 1, sizeof(char *));
        j->file_names[j->n_files++] = buf_take(&clean);
        *id = (uint32_t)j->n_files;
        j->n_text_bytes += strlen(j->file_names[*id - 1]);
    }
    buf_free(&clean);
    return *id;
}

void jit_lines_take(struct jit *j, struct jit_space *s, const struct jit_batch *batch,
                    const struct jit_item *item, struct jit_load *l)
{
    l->first_line = s->n_lines;
    for (size_t i = 0; i < item->n_lines; i++) {
        const struct jit_line *line = &batch->lines[item->first_line + i];
        if (line->delta >= item->size) {
            continue;
        }
        mem_reserve(&s->lines, &s->cap_lines, s->n_lines + 1, sizeof(*s->lines));
        s->lines[s->n_lines++] =
            (struct code_line){.delta = (uint32_t)line->delta,
                               .file = file_of(j, jit_batch_str(batch, line->file)),
                               .line = line->line};
    }
    l->n_lines = s->n_lines - l->first_line;
    j->n_text_bytes += l->n_lines * sizeof(*s->lines);
}

/* ---- in order ---- */

struct ranked {
    struct code_line line;
    uint32_t rank;
};

static int by_delta(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->line.delta != y->line.delta) {
        return x->line.delta < y->line.delta ? -1 : 1;
    }
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static bool is_sorted(const struct code_line *lines, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (lines[i].delta <= lines[i - 1].delta) {
            return false;
        }
    }
    return true;
}

/* By place, each once: what was said of it last counts. Returns how many there are. */
static size_t sort(struct code_line *lines, size_t n)
{
    if (is_sorted(lines, n)) {
        return n;
    }
    struct ranked *all = mem_new(n, sizeof(*all));
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        all[i] = (struct ranked){lines[i], (uint32_t)i};
    }
    qsort(all, n, sizeof(*all), by_delta);
    for (size_t i = 0; i < n; i++) {
        n_kept -= n_kept && lines[n_kept - 1].delta == all[i].line.delta;
        lines[n_kept++] = all[i].line;
    }
    free(all);
    return n_kept;
}

void jit_lines_begin(struct jit *j, struct jit_space *s, struct jit_load *origin)
{
    origin->n_lines = origin->n_lines ? sort(&s->lines[origin->first_line], origin->n_lines) : 0;
    if (!j->sources[origin->source - 1].is_map) {
        mem_reserve(&j->tables, &j->cap_tables, j->n_tables + 1, sizeof(*j->tables));
        j->tables[j->n_tables++] =
            (struct jit_lines_due){s, (uint32_t)(origin - s->table.loads) + 1};
    }
}

/* NULL: it lies before the first. */
static const struct code_line *line_at(const struct code_line *lines, size_t n, uint64_t delta)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lines[middle].delta <= delta) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? &lines[low - 1] : NULL;
}

/* ---- of frames ---- */

/* Where the function itself is, as its name tells; *line 0: it does not. */
static void own_place(const struct jit_space *s, const struct jit_load *origin, struct buf *file,
                      uint32_t *line)
{
    struct buf name = {0};
    jit_names_read(s->names.data + origin->name, &name, file, line);
    buf_free(&name);
}

void jit_lines_add(struct jit *j, struct jit_space *s, const struct jit_load *l, uint32_t frame,
                   uint64_t delta)
{
    const struct jit_load *origin = &s->table.loads[l->origin - 1];
    const struct code_line *best =
        origin->n_lines ? line_at(&s->lines[origin->first_line], origin->n_lines, delta) : NULL;
    struct line_row row = {.frame = frame, .symbol = origin->symbol, .is_last = true};
    if (best && best->file) {
        row.file = mem_strdup(j->file_names[best->file - 1]);
    } else {
        struct buf file = {0};
        own_place(s, origin, &file, &row.line);
        row.file = file.len ? buf_take(&file) : NULL;
        buf_free(&file);
    }
    row.line = best ? best->line : row.line;
    if (row.file) {
        store_add_line(j->store, &row);
    }
}

/* ---- of whole functions ---- */

struct spans {
    struct line_tables_span *items;
    size_t n, cap;
};

/* A range begins at rel_address, where it is of another line than the one before. */
static void add_span(struct spans *spans, uint64_t rel_address, uint32_t file, uint32_t line)
{
    const struct line_tables_span *last = spans->n ? &spans->items[spans->n - 1] : NULL;
    struct line_tables_span span = {rel_address, file, file ? line : 0};
    if (spans->n == SPANS_MAX) {
        spans->items[spans->n - 1].file = spans->items[spans->n - 1].line = 0;
    } else if (!last || last->file != span.file || last->line != span.line) {
        mem_reserve(&spans->items, &spans->cap, spans->n + 1, sizeof(*spans->items));
        spans->items[spans->n++] = span;
    }
}

/* The same that jit_lines_add() says of every byte. */
static void read_spans(const struct jit *j, const struct jit_lines_due *due, struct line_tables *t,
                       struct spans *spans)
{
    const struct jit_space *s = due->space;
    const struct jit_load *origin = &s->table.loads[due->load - 1];
    struct buf own_file = {0};
    struct map ids = {0}; /* file of the dump -> source_file.id */
    uint32_t own_line;
    own_place(s, origin, &own_file, &own_line);
    uint32_t own = own_file.len ? line_tables_file(t, buf_str(&own_file)) : 0;
    add_span(spans, origin->rel_address, own, own_line);
    for (size_t i = 0; i < origin->n_lines; i++) {
        const struct code_line *line = &s->lines[origin->first_line + i];
        uint32_t id = line->file ? map_get(&ids, line->file) : own;
        if (line->file && !id) {
            id = line_tables_file(t, j->file_names[line->file - 1]);
            *map_put(&ids, line->file) = id;
        }
        if (i == 0 && line->delta == 0) {
            spans->n = 0;
        }
        add_span(spans, origin->rel_address + line->delta, id, line->line);
    }
    map_free(&ids);
    buf_free(&own_file);
}

static void put_table(struct jit *j, const struct jit_lines_due *due, struct line_tables *t)
{
    struct spans spans = {0};
    read_spans(j, due, t, &spans);
    if (j->n_rows + spans.n <= ROWS_MAX) {
        uint32_t symbol = due->space->table.loads[due->load - 1].symbol;
        line_tables_put(t, symbol, spans.items, spans.n);
        j->n_rows += spans.n;
    }
    free(spans.items);
}

bool jit_put_tables(struct jit *j, struct line_tables *t, int64_t until)
{
    size_t n = 0;
    if (!j->n_tables) {
        return true;
    }
    db_begin(t->db);
    do {
        put_table(j, &j->tables[n++], t);
    } while (n < j->n_tables && clock_monotonic_ns() < until);
    db_commit(t->db);
    j->n_tables -= n;
    memmove(j->tables, j->tables + n, j->n_tables * sizeof(*j->tables));
    return j->n_tables == 0;
}
