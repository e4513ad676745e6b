/* annotate_lines.c - samples of a function by source line (annotate.h). */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "query/annotate.h"
#include "query/annotate.sql.h"
#include "schema/source.h"

enum { MAX_DEPTH = 64 };

struct line_sum {
    char *file;
    int64_t line, n_samples, on_cpu_ns;
};

struct line_sums {
    struct line_sum *items;
    size_t n, cap;
    struct strmap index; /* "line file" -> index + 1 */
};

static struct line_sum *sum_of(struct line_sums *sums, const char *file, int64_t line)
{
    struct buf key = {0};

    buf_addf(&key, "%lld ", (long long)line);
    buf_addstr(&key, file);
    uint32_t *id = strmap_put(&sums->index, key.data, key.len);
    buf_free(&key);
    if (!*id) {
        mem_reserve(&sums->items, &sums->cap, sums->n + 1, sizeof(*sums->items));
        sums->items[sums->n++] = (struct line_sum){.file = mem_strdup(file), .line = line};
        *id = (uint32_t)sums->n;
    }
    return &sums->items[*id - 1];
}

static int by_time(const void *a, const void *b)
{
    const struct line_sum *x = a, *y = b;

    if (x->on_cpu_ns != y->on_cpu_ns) {
        return x->on_cpu_ns < y->on_cpu_ns ? 1 : -1;
    }
    int c = strcmp(x->file, y->file);
    return c ? c : x->line < y->line ? -1 : x->line > y->line;
}

/* Notes where a place is in the source on its instruction (which may be NULL) and adds it to its
 * line. False: the debug information does not say. */
static bool take_place(struct query *q, const struct annotated_place *place, json_t *instruction,
                       struct line_sums *sums)
{
    struct stmt *s = db_stmt(q->db, &sql_annotate_frame_lines);
    json_t *inlined = json_array();
    bool is_known = false;

    stmt_bind_int(s, annotate_frame_lines_p_frame, place->frame);
    for (int depth = 0; depth < MAX_DEPTH && stmt_next(s); depth++) {
        const char *file = stmt_text(s, annotate_frame_lines_c_file);
        int64_t line = stmt_int(s, annotate_frame_lines_c_line);
        if (depth == 0 && *file && line > 0) {
            struct line_sum *sum = sum_of(sums, file, line);
            annotate_add(&sum->n_samples, place->n_samples);
            annotate_add(&sum->on_cpu_ns, place->on_cpu_ns);
            is_known = true;
            json_object_set_new(instruction, "file", json_clean_string(file));
            json_object_set_new(instruction, "line", json_integer(line));
        }
        int64_t symbol = stmt_int(s, annotate_frame_lines_c_symbol);
        json_array_append_new(inlined, symbols_name(q->db, symbol));
    }
    stmt_reset(s);
    /* The last is the function itself. */
    if (json_array_size(inlined) > 1) {
        json_array_remove(inlined, json_array_size(inlined) - 1);
        json_object_set(instruction, "inlined", inlined);
    }
    json_decref(inlined);
    return is_known;
}

static json_t *line_of(struct source_reader *reader, const struct line_sum *sum, int64_t all_ns)
{
    const char *text = source_text(reader, sum->file, sum->line);
    json_t *o = json_object();

    json_object_set_new(o, "file", json_clean_string(sum->file));
    json_object_set_new(o, "line", json_integer(sum->line));
    json_object_set_new(o, "text", text ? json_clean_string(text) : json_null());
    view_set_int(o, "n_samples", sum->n_samples);
    view_set_int(o, "on_cpu_ns", sum->on_cpu_ns);
    json_object_set_new(o, "pct", view_pct(sum->on_cpu_ns, all_ns));
    return o;
}

void annotate_lines(struct query *q, const struct annotated *a, json_t *data)
{
    json_t *instructions = json_object_get(data, "instructions"), *lines = json_array();
    struct line_sums sums = {0};
    int64_t n_unknown = 0, unknown_ns = 0;
    struct source_reader *reader = source_reader_new(q->db, !q->is_archive);

    for (size_t i = 0; i < a->n_places; i++) {
        const struct annotated_place *place = &a->places[i];
        json_t *instruction = place->instruction == SIZE_MAX
                                  ? NULL
                                  : json_array_get(instructions, place->instruction);
        if (!take_place(q, place, instruction, &sums)) {
            annotate_add(&n_unknown, place->n_samples);
            annotate_add(&unknown_ns, place->on_cpu_ns);
        }
    }
    if (sums.n) {
        qsort(sums.items, sums.n, sizeof(*sums.items), by_time);
    }
    for (size_t i = 0; i < sums.n; i++) {
        json_array_append_new(lines, line_of(reader, &sums.items[i], a->on_cpu_ns));
        free(sums.items[i].file);
    }
    if (source_is_newer(reader)) {
        view_warn(q,
                  "source files were changed after the run began: their text may not be what ran");
    }
    json_object_set_new(data, "lines", lines);
    view_set_int(data, "n_unlined_samples", n_unknown);
    view_set_int(data, "unlined_on_cpu_ns", unknown_ns);
    source_reader_free(reader);
    strmap_free(&sums.index);
    free(sums.items);
}
