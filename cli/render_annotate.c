/* render_annotate.c - instructions of a function as text (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/arrows.h"
#include "cli/render_code.h"
#include "cli/table.h"

enum {
    FOLD_FROM = 120, /* instructions from which stretches without samples are left out */
    CONTEXT = 6,     /* ... but for this many around samples */
    NARROW = 70,     /* columns below which arrows get less room */
};

/* What a line shows. */
enum row_kind { ROW_INSTRUCTION, ROW_ELSEWHERE, ROW_GAP, ROW_INLINED, ROW_SOURCE };

/* Where in the source code is. */
struct place {
    const char *file; /* NULL: not known */
    int64_t line;
    const json_t *inlined; /* NULL: nothing is inlined there */
};

struct row {
    enum row_kind kind;
    size_t index;       /* of the instruction, or in "elsewhere"; of a gap: how many */
    struct place place; /* of ROW_INLINED and ROW_SOURCE */
};

struct listing {
    const json_t *data, *instructions, *elsewhere;
    json_t *texts; /* "file:line" -> text of "lines" */
    struct row *rows;
    size_t n_rows, cap_rows;
    size_t *row_of; /* row + 1 by instruction, 0: not shown */
    struct arrows arrows;
    struct code_sums sums;
    int64_t hottest; /* -1: none */
    int address_width;
};

static void add_row(struct listing *l, enum row_kind kind, size_t index, const struct place *place)
{
    mem_reserve(&l->rows, &l->cap_rows, l->n_rows + 1, sizeof(*l->rows));
    l->rows[l->n_rows] = (struct row){.kind = kind, .index = index};
    if (place) {
        l->rows[l->n_rows].place = *place;
    }
    l->n_rows++;
}

/* Which instructions are shown: all of short functions, else those near samples and the ends. */
static uint8_t *choose(const struct listing *l, bool is_all)
{
    size_t n = json_array_size(l->instructions), i;
    uint8_t *shown = mem_new(n + 1, 1);
    const json_t *in;

    if (is_all || n < FOLD_FROM) {
        memset(shown, 1, n);
        return shown;
    }
    for (i = 0; i < CONTEXT; i++) {
        shown[i] = shown[n - 1 - i] = 1;
    }
    json_array_foreach(l->instructions, i, in)
    {
        if (json_int_at(in, "n_samples", 0) > 0) {
            size_t from = i > CONTEXT ? i - CONTEXT : 0;
            size_t to = i + CONTEXT < n ? i + CONTEXT : n - 1;
            memset(shown + from, 1, to - from + 1);
        }
    }
    json_array_foreach(l->elsewhere, i, in)
    {
        int64_t at = json_int_at(in, "instruction", -1);
        if (at >= 0 && (uint64_t)at < n) {
            shown[at] = 1;
        }
    }
    return shown;
}

/* Moves on to an instruction; those that do not say are where the one before is. */
static void follow(struct place *p, const json_t *in)
{
    const json_t *line = json_object_get(in, "line");

    if (line) {
        p->file = json_text_at(in, "file", NULL);
        p->line = json_integer_value(line);
        p->inlined = json_object_get(in, "inlined");
    }
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void add_place_rows(struct listing *l, size_t i, const struct place *now,
                           struct place *shown)
{
    bool is_inlined_anew =
        now->inlined != shown->inlined &&
        !(now->inlined && shown->inlined &&
          json_equal((json_t *)(uintptr_t)now->inlined, (json_t *)(uintptr_t)shown->inlined));
    bool is_moved = now->line != shown->line || !is_same_text(now->file, shown->file);

    if (is_inlined_anew) {
        add_row(l, ROW_INLINED, i, now);
    }
    if ((is_moved || is_inlined_anew) && now->file) {
        add_row(l, ROW_SOURCE, i, now);
    }
    *shown = *now;
}

/* Those inside the code are shown behind the instruction that holds them, by address. */
static void add_elsewhere(struct listing *l, int64_t instruction, size_t *next)
{
    const json_t *o;

    while ((o = json_array_get(l->elsewhere, *next)) != NULL &&
           (instruction < 0 || json_int_at(o, "instruction", -1) == instruction)) {
        if (instruction >= 0 || json_is_null(json_object_get(o, "instruction"))) {
            add_row(l, ROW_ELSEWHERE, *next, NULL);
        }
        ++*next;
    }
}

static void add_rows(struct listing *l, bool is_all)
{
    uint8_t *shown = choose(l, is_all);
    size_t n_hidden = 0, next = 0, i, n = json_array_size(l->instructions);
    struct place now = {0}, last = {0};

    l->row_of = mem_new(n + 1, sizeof(*l->row_of));
    for (i = 0; i < n; i++) {
        follow(&now, json_array_get(l->instructions, i));
        if (!shown[i]) {
            n_hidden++;
            continue;
        }
        if (n_hidden) {
            add_row(l, ROW_GAP, n_hidden, NULL);
            n_hidden = 0;
        }
        add_place_rows(l, i, &now, &last);
        add_row(l, ROW_INSTRUCTION, i, NULL);
        l->row_of[i] = l->n_rows;
        while (json_is_null(json_object_get(json_array_get(l->elsewhere, next), "instruction"))) {
            next++; /* before the code; shown at the end */
        }
        add_elsewhere(l, (int64_t)i, &next);
    }
    next = 0;
    add_elsewhere(l, -1, &next);
    free(shown);
}

/* Jumps whose two ends are shown. */
static void join_jumps(struct listing *l, size_t max_lanes)
{
    struct arrow *items = NULL;
    size_t n = 0, cap = 0;

    for (size_t i = 0; i < l->n_rows; i++) {
        const struct row *row = &l->rows[i];
        const json_t *in = json_array_get(l->instructions, row->index);
        const char *flow = json_text_at(in, "flow", "");
        if (row->kind != ROW_INSTRUCTION || !json_object_get(in, "target") ||
            (strcmp(flow, "jump") != 0 && strcmp(flow, "branch") != 0)) {
            continue;
        }
        size_t to = code_find(l->instructions, (uint64_t)json_int_at(in, "target", 0));
        if (to != SIZE_MAX && l->row_of[to]) {
            mem_reserve(&items, &cap, n + 1, sizeof(*items));
            items[n++] = (struct arrow){.from = i, .to = l->row_of[to] - 1};
        }
    }
    arrows_init(&l->arrows, items, n, l->n_rows, max_lanes);
    free(items);
}

/* Columns that are left of a line. */
static size_t room(const struct out *out, size_t indent)
{
    return out->width > indent + 10 ? out->width - indent : out->width ? 10 : 0;
}

/* "inner < outer": what is inlined where, from here on. */
static void draw_inlined(struct out *out, size_t indent, const struct place *place)
{
    struct buf text = {0};
    size_t i;
    const json_t *name;

    buf_addstr(&text, place->inlined ? "inlined: " : "(the function itself)");
    json_array_foreach(place->inlined, i, name)
    {
        buf_addf(&text, "%s%s", i ? " < " : "", json_string_value(name));
    }
    buf_addf(&out->text, " %s", out_style(out, STYLE_DIM));
    out_foreign_cut(out, buf_str(&text), room(out, indent));
    buf_addf(&out->text, "%s\n", out_style(out, STYLE_PLAIN));
    buf_free(&text);
}

static void draw_source(struct out *out, const struct listing *l, size_t indent,
                        const struct place *place)
{
    struct buf key = {0}, text = {0};

    buf_addf(&key, "%s:%" PRId64, place->file, place->line);
    const char *source = json_text_at(l->texts, buf_str(&key), "");
    const char *slash = strrchr(buf_str(&key), '/');
    buf_addstr(&text, slash ? slash + 1 : buf_str(&key));
    source += strspn(source, " ");
    buf_addf(&text, "%s%s", *source ? "  " : "", source);
    buf_addf(&out->text, " %s", out_style(out, STYLE_CYAN));
    out_foreign_cut_end(out, buf_str(&text), room(out, indent));
    buf_addf(&out->text, "%s\n", out_style(out, STYLE_PLAIN));
    buf_free(&key);
    buf_free(&text);
}

static void draw_row(struct out *out, const struct listing *l, size_t at)
{
    const struct row *row = &l->rows[at];
    bool is_gap = row->kind == ROW_GAP, is_elsewhere = row->kind == ROW_ELSEWHERE;
    const json_t *item = is_gap         ? NULL
                         : is_elsewhere ? json_array_get(l->elsewhere, row->index)
                                        : json_array_get(l->instructions, row->index);
    size_t used = l->sums.width + arrows_width(&l->arrows) + (size_t)l->address_width + 4;

    if (row->kind == ROW_SOURCE || row->kind == ROW_INLINED) {
        size_t indent = l->sums.width + arrows_width(&l->arrows) + 1;
        code_draw_sums(out, &l->sums, NULL, false);
        arrows_draw(&l->arrows, at, &out->text);
        if (row->kind == ROW_SOURCE) {
            draw_source(out, l, indent, &row->place);
        } else {
            draw_inlined(out, indent, &row->place);
        }
        return;
    }
    bool is_hottest = row->kind == ROW_INSTRUCTION && (int64_t)row->index == l->hottest;
    code_draw_sums(out, &l->sums, item, is_hottest);
    buf_addstr(&out->text, out_style(out, STYLE_DIM));
    arrows_draw(&l->arrows, at, &out->text);
    if (is_gap) {
        buf_addf(&out->text, " ... %zu instructions without samples (--all)%s\n", row->index,
                 out_style(out, STYLE_PLAIN));
        return;
    }
    buf_addf(&out->text, " %*" PRIx64 "%s  ", l->address_width, code_address(item),
             out_style(out, STYLE_PLAIN));
    if (is_elsewhere) {
        bool is_inside = json_is_integer(json_object_get(item, "instruction"));
        buf_addf(&out->text, "%s%s%s\n", out_style(out, STYLE_RED),
                 is_inside                               ? "(inside the instruction above)"
                 : json_array_size(l->instructions) == 0 ? "(code not known)"
                                                         : "(outside of the code)",
                 out_style(out, STYLE_PLAIN));
        return;
    }
    code_draw_text(out, item, out->width > used + 12 ? out->width - used : out->width ? 12 : 0);
    buf_addch(&out->text, '\n');
}

static void read_texts(struct listing *l)
{
    size_t i;
    const json_t *line;

    l->texts = json_object();
    json_array_foreach(json_object_get(l->data, "lines"), i, line)
    {
        struct buf key = {0};
        buf_addf(&key, "%s:%" PRId64, json_text_at(line, "file", ""), json_int_at(line, "line", 0));
        json_object_set(l->texts, buf_str(&key), json_object_get(line, "text"));
        buf_free(&key);
    }
}

static void render_listing(struct out *out, const json_t *data, bool is_all)
{
    struct listing l = {.data = data,
                        .instructions = json_object_get(data, "instructions"),
                        .elsewhere = json_object_get(data, "elsewhere"),
                        .hottest = json_int_at(data, "hottest", -1)};

    code_sums_init(&l.sums, out, data);
    l.address_width = code_address_width(l.instructions, l.elsewhere);
    read_texts(&l);
    add_rows(&l, is_all);
    join_jumps(&l, out->width && out->width < NARROW ? 3 : ARROW_LANES_MAX);
    code_draw_header(out, &l.sums, arrows_width(&l.arrows), l.address_width);
    for (size_t i = 0; i < l.n_rows; i++) {
        draw_row(out, &l, i);
    }
    arrows_fini(&l.arrows);
    json_decref(l.texts);
    free(l.rows);
    free(l.row_of);
}

static void render_lines(struct out *out, const json_t *data)
{
    static const struct column columns[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0}, {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 1}, {"line", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"source", COLUMN_SOURCE, STYLE_PLAIN, 2},
    };
    struct table *t = table_new(columns, sizeof(columns) / sizeof(*columns));
    int64_t all_ns = json_int_at(json_object_get(data, "function"), "self_on_cpu_ns", 0);
    int64_t unlined_ns = json_int_at(data, "unlined_on_cpu_ns", 0);
    int64_t n_unlined = json_int_at(data, "n_unlined_samples", 0);
    size_t i;
    const json_t *line;

    json_array_foreach(json_object_get(data, "lines"), i, line)
    {
        const char *text = json_text_at(line, "text", "");
        if (json_int_at(line, "n_samples", 0) == 0) {
            continue;
        }
        table_ms(t, json_int_at(line, "on_cpu_ns", 0));
        table_pct(t, json_real_at(line, "pct", 0));
        table_int(t, json_int_at(line, "n_samples", 0));
        table_textf(t, "%s:%" PRId64, json_text_at(line, "file", ""), json_int_at(line, "line", 0));
        table_text(t, text + strspn(text, " "));
    }
    if (n_unlined > 0) {
        table_ms(t, unlined_ns);
        table_pct(t, all_ns > 0 ? 100.0 * (double)unlined_ns / (double)all_ns : 0);
        table_int(t, n_unlined);
        table_text(t, "(no line known)");
        table_text(t, "");
    }
    table_print(t, out);
}

static void render_matches(struct out *out, const json_t *data)
{
    static const struct column columns[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0}, {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 1}, {"address", COLUMN_NUMBER, STYLE_PLAIN, 2},
        {"bytes", COLUMN_NUMBER, STYLE_PLAIN, 3},   {"function", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 3},
    };
    const json_t *matches = json_object_get(data, "matches");
    struct table *t = table_new(columns, sizeof(columns) / sizeof(*columns));
    size_t i;
    const json_t *m;

    json_array_foreach(matches, i, m)
    {
        table_ms(t, json_int_at(m, "self_on_cpu_ns", 0));
        table_pct(t, json_real_at(m, "self_pct", 0));
        table_int(t, json_int_at(m, "n_self_samples", 0));
        table_textf(t, "0x%" PRIx64, (uint64_t)json_int_at(m, "rel_address", 0));
        table_int(t, json_int_at(m, "size_bytes", 0));
        table_text(t, json_text_at(m, "name", "?"));
        table_text(t, json_text_at(m, "binary", ""));
    }
    table_print(t, out);
    int64_t n_more = json_int_at(data, "n_matches", 0) - (int64_t)json_array_size(matches);
    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more functions (--limit)%s\n",
                 out_style(out, STYLE_DIM), n_more, out_style(out, STYLE_PLAIN));
    }
}

void render_annotate(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");

    render_run_line(out, document);
    if (!json_is_object(json_object_get(data, "function"))) {
        render_matches(out, data);
        return;
    }
    code_draw_function(out, data);
    if (json_int_at(json_object_get(data, "function"), "n_self_samples", 0) == 0) {
        buf_addstr(&out->text, "no samples of its own: see what it calls with stax callees\n\n");
    }
    if (args && args_has(args, "source")) {
        render_lines(out, data);
    } else {
        render_listing(out, data, args && args_has(args, "all"));
    }
}
