/* annotate_lines.c - a function and its samples by source line (annotate.h). */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "query/annotate.h"
#include "query/annotate.sql.h"
#include "query/line_table.h"
#include "schema/source.h"

enum { MAX_DEPTH = 64 };

struct line_sum {
    json_t *file;
    int64_t line;
    struct annotated_sum sum;
    json_t *document;
};

struct line_sums {
    struct line_sum *items;
    size_t n, cap;
    struct strmap index; /* "line file" -> index + 1 */
};

static struct line_sum *sum_of(struct line_sums *sums, const struct line_place *place)
{
    struct buf key = {0};

    buf_addf(&key, "%lld ", (long long)place->line);
    buf_addstr(&key, json_string_value(place->file));
    uint32_t *id = strmap_put(&sums->index, key.data, key.len);
    buf_free(&key);
    if (!*id) {
        mem_reserve(&sums->items, &sums->cap, sums->n + 1, sizeof(*sums->items));
        sums->items[sums->n++] =
            (struct line_sum){.file = json_incref(place->file), .line = place->line};
        *id = (uint32_t)sums->n;
    }
    return &sums->items[*id - 1];
}

static int by_place(const void *a, const void *b)
{
    const struct line_sum *x = a, *y = b;
    int c = strcmp(json_string_value(x->file), json_string_value(y->file));

    return c ? c : x->line < y->line ? -1 : x->line > y->line;
}

static int by_time(const void *a, const void *b)
{
    const struct line_sum *x = a, *y = b;

    if (x->sum.on_cpu_ns != y->sum.on_cpu_ns) {
        return x->sum.on_cpu_ns < y->sum.on_cpu_ns ? 1 : -1;
    }
    return by_place(a, b);
}

/* Where an address is that was sampled, from its own rows: runs without line tables have them, and
 * generated code. New references in *place. */
static void read_frame_lines(struct query *q, int64_t frame, struct line_place *place)
{
    struct stmt *s = db_stmt(q->db, &sql_annotate_frame_lines);
    json_t *names = json_array();

    *place = (struct line_place){0};
    stmt_bind_int(s, annotate_frame_lines_p_frame, frame);
    for (int depth = 0; depth < MAX_DEPTH && stmt_next(s); depth++) {
        const char *file = stmt_text(s, annotate_frame_lines_c_file);
        int64_t line = stmt_int(s, annotate_frame_lines_c_line);
        if (depth == 0 && *file && line > 0) {
            place->file = json_clean_string(file);
            place->line = line;
        }
        json_array_append_new(names,
                              symbols_name(q->db, stmt_int(s, annotate_frame_lines_c_symbol)));
    }
    stmt_reset(s);
    /* The last is the function itself. */
    if (json_array_size(names) > 1) {
        json_array_remove(names, json_array_size(names) - 1);
        place->inlined = names;
    } else {
        json_decref(names);
    }
}

/* What an instruction says of its place. */
static void set_place(json_t *instruction, const struct line_place *place)
{
    if (place->file && place->line) {
        json_object_set_nocheck(instruction, "file", place->file);
        json_object_set_new_nocheck(instruction, "line", json_integer(place->line));
    } else {
        json_object_set_new_nocheck(instruction, "line", json_null());
    }
    if (place->inlined) {
        json_object_set_nocheck(instruction, "inlined", place->inlined);
    }
}

static bool is_same(const struct line_place *a, const struct line_place *b)
{
    return a->file == b->file && a->line == b->line && a->inlined == b->inlined;
}

/* Instructions with samples, and those where the place changes. */
static void place_instructions(const struct annotated *a, const struct line_table *table,
                               json_t *instructions, struct line_sums *sums)
{
    struct line_place last = {0};

    for (size_t i = 0; a->has_code && table->n && i < a->disasm.n; i++) {
        struct line_place place =
            line_table_at(table, annotated_rel_address(a, a->disasm.items[i].address));
        json_t *instruction = json_array_get(instructions, i);
        bool is_new = !is_same(&place, &last);
        if (is_new || json_object_get(instruction, "n_samples")) {
            set_place(instruction, &place);
        }
        if (is_new && place.file && place.line) {
            sum_of(sums, &place);
        }
        last = place;
    }
}

/* Adds a place's samples to its line. False: the debug information does not say. */
static bool take_place(struct query *q, const struct annotated_place *at,
                       const struct line_table *table, json_t *instruction, struct line_sums *sums)
{
    struct line_place place = line_table_at(table, at->rel_address), own = {0};

    if (!place.file) {
        read_frame_lines(q, at->frame, &own);
        place = own;
    }
    bool is_known = place.file && place.line;
    if (is_known) {
        annotate_add_sum(&sum_of(sums, &place)->sum, &at->sum);
    }
    if ((is_known || place.inlined) && instruction && (own.file || own.inlined)) {
        set_place(instruction, &place);
    }
    json_decref(own.file);
    json_decref(own.inlined);
    return is_known;
}

static json_t *line_of(struct query *q, struct source_reader *reader, const struct line_sum *sum,
                       int64_t all_ns)
{
    const char *text = source_text(reader, json_string_value(sum->file), sum->line);
    json_t *o = json_object();

    json_object_set_nocheck(o, "file", sum->file);
    json_object_set_new_nocheck(o, "line", json_integer(sum->line));
    json_object_set_new_nocheck(o, "text", text ? json_clean_string(text) : json_null());
    annotate_set_sum(q, o, &sum->sum, all_ns);
    return o;
}

static void warn_of(struct query *q, const struct source_reader *reader)
{
    const char *newer = source_newer(reader), *too_large = source_too_large(reader);
    struct buf name = {0};

    if (newer) {
        text_clean(&name, newer, strlen(newer));
        view_warn(q, "%s was changed after the code was built: its text may not be what ran",
                  buf_str(&name));
    }
    buf_clear(&name);
    if (too_large) {
        text_clean(&name, too_large, strlen(too_large));
        view_warn(q, "%s has more than %d MiB: its text is left out", buf_str(&name),
                  SOURCE_FILE_MAX >> 20);
    }
    buf_free(&name);
}

/* Texts file by file, then the list by time. */
static json_t *list_lines(struct query *q, const struct annotated *a, struct line_sums *sums)
{
    struct source_reader *reader = source_reader_new(q->db, !q->is_archive);
    json_t *list = json_array();

    source_set_function(reader, a->symbol);
    if (sums->n) {
        qsort(sums->items, sums->n, sizeof(*sums->items), by_place);
    }
    for (size_t i = 0; i < sums->n; i++) {
        sums->items[i].document = line_of(q, reader, &sums->items[i], a->sum.on_cpu_ns);
    }
    warn_of(q, reader);
    if (sums->n) {
        qsort(sums->items, sums->n, sizeof(*sums->items), by_time);
    }
    for (size_t i = 0; i < sums->n; i++) {
        json_array_append_new(list, sums->items[i].document);
        json_decref(sums->items[i].file);
    }
    source_reader_free(reader);
    return list;
}

void annotate_lines(struct query *q, const struct annotated *a, json_t *data)
{
    json_t *instructions = json_object_get(data, "instructions");
    struct line_table table = {0};
    struct line_sums sums = {0};
    struct annotated_sum unknown = {0};

    line_table_read(&table, q->db, a->symbol);
    place_instructions(a, &table, instructions, &sums);
    for (size_t i = 0; i < a->n_places; i++) {
        const struct annotated_place *place = &a->places[i];
        json_t *instruction = place->instruction == SIZE_MAX
                                  ? NULL
                                  : json_array_get(instructions, place->instruction);
        if (!take_place(q, place, &table, instruction, &sums)) {
            annotate_add_sum(&unknown, &place->sum);
        }
    }
    json_object_set_new(data, "lines", list_lines(q, a, &sums));
    view_set_int(data, "n_unlined_samples", unknown.n_samples);
    view_set_int(data, "unlined_on_cpu_ns", unknown.on_cpu_ns);
    line_table_fini(&table);
    strmap_free(&sums.index);
    free(sums.items);
}
