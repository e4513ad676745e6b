/* line_table.c - see line_table.h. */
#include "query/line_table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "query/line_table.sql.h"

enum { MAX_DEPTH = 64, MAX_SPANS = 1 << 20 };

static json_t *keep(struct line_table *t, uint32_t *index, json_t *value)
{
    json_array_append_new(t->texts, value);
    *index = (uint32_t)json_array_size(t->texts);
    return value;
}

static json_t *file_of(struct line_table *t, struct db *db, int64_t id)
{
    uint32_t *index = map_put(&t->files, (uint64_t)id);

    if (*index) {
        return json_array_get(t->texts, *index - 1);
    }
    struct stmt *s = db_stmt(db, &sql_line_table_file);
    stmt_bind_int(s, line_table_file_p_id, id);
    bool is_there = stmt_next(s);
    json_t *path = is_there ? json_clean_string(stmt_text(s, line_table_file_c_path)) : json_null();
    stmt_reset(s);
    return keep(t, index, path);
}

/* The names of a call and of those that it is made in. */
static json_t *names_of(struct line_table *t, struct db *db, int64_t id)
{
    uint32_t *index = map_put(&t->calls, (uint64_t)id);

    if (*index) {
        return json_array_get(t->texts, *index - 1);
    }
    json_t *names = json_array();
    for (int depth = 0; id > 0 && depth < MAX_DEPTH; depth++) {
        struct stmt *s = db_stmt(db, &sql_line_table_call);
        stmt_bind_int(s, line_table_call_p_id, id);
        int64_t parent = 0;
        if (stmt_next(s)) {
            json_array_append_new(names,
                                  json_clean_string(stmt_text(s, line_table_call_c_function)));
            parent = stmt_int(s, line_table_call_c_parent);
        }
        stmt_reset(s);
        id = parent < id ? parent : 0; /* a foreign file may go in circles */
    }
    return keep(t, index, names);
}

void line_table_read(struct line_table *t, struct db *db, int64_t symbol)
{
    struct stmt *s = db_stmt(db, &sql_line_table_spans);

    t->texts = json_array();
    stmt_bind_int(s, line_table_spans_p_symbol, symbol);
    while (t->n < MAX_SPANS && stmt_next(s)) {
        int64_t file = stmt_int(s, line_table_spans_c_file);
        int64_t call = stmt_int(s, line_table_spans_c_call);
        struct line_span span = {
            .rel_address = (uint64_t)stmt_int(s, line_table_spans_c_rel_address),
            .place.line = stmt_int(s, line_table_spans_c_line),
        };
        span.place.file = file > 0 ? file_of(t, db, file) : NULL;
        span.place.file = json_is_string(span.place.file) ? span.place.file : NULL;
        span.place.line = span.place.line > 0 ? span.place.line : 0;
        span.place.inlined = call > 0 ? names_of(t, db, call) : NULL;
        if (t->n && span.rel_address <= t->spans[t->n - 1].rel_address) {
            continue; /* addresses beyond the middle of all */
        }
        mem_reserve(&t->spans, &t->cap, t->n + 1, sizeof(*t->spans));
        t->spans[t->n++] = span;
    }
    stmt_reset(s);
}

void line_table_fini(struct line_table *t)
{
    free(t->spans);
    map_free(&t->files);
    map_free(&t->calls);
    json_decref(t->texts);
    *t = (struct line_table){0};
}

struct line_place line_table_at(const struct line_table *t, uint64_t rel_address)
{
    size_t low = 0, high = t->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->spans[middle].rel_address <= rel_address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? t->spans[low - 1].place : (struct line_place){0};
}
