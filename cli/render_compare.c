/* render_compare.c - the comparison of two runs as tables (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/table.h"

#define N_COLUMNS(columns) (sizeof(columns) / sizeof *(columns))

/* How the numbers of one basis are called and printed. */
struct basis_form {
    const char *word, *unit;
    const char *a, *b, *delta, *interval;
    double scale; /* of the members to the unit */
    int decimals;
};

static const struct basis_form forms[] = {
    {"time", "ms", "a_ns", "b_ns", "delta_ns", "interval_ns", 1e-6, 1},
    {"rate", "ms/s", "a_ns_per_s", "b_ns_per_s", "delta_ns_per_s", "interval_ns_per_s", 1e-6, 2},
    {"share", "%", "a_pct", "b_pct", "delta_pct", "interval_pct", 1, 2},
};

static const struct basis_form *form_of(const json_t *data)
{
    const char *by = json_text_at(data, "by", "time");

    for (size_t i = 0; i < N_COLUMNS(forms); i++) {
        if (strcmp(forms[i].word, by) == 0) {
            return &forms[i];
        }
    }
    return &forms[0];
}

static double member(const struct basis_form *form, const json_t *change, const char *key)
{
    return json_number_value(json_object_get(change, key)) * form->scale;
}

/* "*": beyond the interval; "?": too few samples; "": neither, or exact. */
static const char *mark_of(const json_t *change)
{
    const json_t *is_significant = json_object_get(change, "is_significant");
    bool is_exact = json_is_null(json_object_get(change, "n_a_samples")) &&
                    json_is_null(json_object_get(change, "n_b_samples"));

    if (json_is_true(is_significant)) {
        return "*";
    }
    return json_is_null(is_significant) && !is_exact ? "?" : "";
}

static void add_value(struct table *t, const struct basis_form *form, const json_t *change,
                      const char *key)
{
    if (json_is_number(json_object_get(change, key))) {
        table_textf(t, "%.*f", form->decimals, member(form, change, key));
    } else {
        table_none(t);
    }
}

static void add_delta(struct table *t, const struct basis_form *form, const json_t *change)
{
    if (!json_is_number(json_object_get(change, form->delta))) {
        table_none(t);
        return;
    }
    table_textf(t, "%+.*f%s", form->decimals, member(form, change, form->delta), mark_of(change));
}

static void add_interval(struct table *t, const struct basis_form *form, const json_t *change)
{
    if (json_is_number(json_object_get(change, form->interval))) {
        table_textf(t, "%.*f", form->decimals, member(form, change, form->interval));
    } else {
        table_text(t, json_is_object(change) ? "exact" : "-");
    }
}

static void add_percent(struct table *t, const json_t *change)
{
    const json_t *pct = json_object_get(change, "change_pct");

    if (json_is_number(pct)) {
        table_textf(t, "%+.1f", json_number_value(pct));
    } else {
        table_none(t);
    }
}

static void print_more(struct out *out, const json_t *rows, int64_t n, const char *what)
{
    int64_t n_more = n - (int64_t)json_array_size(rows);

    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more %s (--limit)%s\n", out_style(out, STYLE_DIM),
                 n_more, what, out_style(out, STYLE_PLAIN));
    }
}

static void print_run(struct out *out, const char *name, const json_t *side)
{
    const json_t *run = json_object_get(side, "run");
    struct buf line = {0};

    buf_addf(&line, "run %" PRId64 ", ", json_int_at(run, "id", 0));
    render_seconds(&line, json_int_at(side, "elapsed_ns", 0));
    buf_addstr(&line, ", ");
    render_count(&line, json_int_at(side, "n_samples", 0), "sample");
    buf_addf(&line, ", %.1f ms on CPU", (double)json_int_at(side, "on_cpu_ns", 0) / 1e6);
    buf_addf(&out->text, "%s%s%s  %s  ", out_style(out, STYLE_BOLD), name,
             out_style(out, STYLE_PLAIN), buf_str(&line));
    size_t used = line.len + strlen(name) + 4;
    size_t left = out->width == 0 ? 0 : out->width > used + 8 ? out->width - used : 8;
    out_foreign_cut(out, json_text_at(run, "command", ""), left);
    buf_addch(&out->text, '\n');
    buf_free(&line);
}

/* Titles with the unit, made for the life of one table. */
struct titles {
    char a[16], b[16], delta[24], interval[24];
};

static struct titles titles_of(const struct basis_form *form)
{
    struct titles t;

    snprintf(t.a, sizeof(t.a), "A %s", form->unit);
    snprintf(t.b, sizeof(t.b), "B %s", form->unit);
    snprintf(t.delta, sizeof(t.delta), "change %s", form->unit);
    snprintf(t.interval, sizeof(t.interval), "+- %s", form->unit);
    return t;
}

static void add_change(struct table *t, const struct basis_form *form, const json_t *change)
{
    add_value(t, form, change, form->a);
    add_value(t, form, change, form->b);
    add_delta(t, form, change);
    add_interval(t, form, change);
    add_percent(t, change);
}

static void print_totals(struct out *out, const struct basis_form *form, const json_t *totals)
{
    static const char *const rows[][2] = {{"elapsed", "elapsed"},
                                          {"on_cpu", "on CPU"},
                                          {"runnable", "runnable"},
                                          {"off_cpu", "off CPU"}};
    struct titles titles = titles_of(form);
    const struct column columns[] = {
        {"whole run", COLUMN_TEXT, STYLE_PLAIN, 0},
        {titles.a, COLUMN_NUMBER, STYLE_PLAIN, 1},
        {titles.b, COLUMN_NUMBER, STYLE_PLAIN, 0},
        {titles.delta, COLUMN_NUMBER, STYLE_BOLD, 0},
        {titles.interval, COLUMN_NUMBER, STYLE_PLAIN, 2},
        {"% of A", COLUMN_NUMBER, STYLE_PLAIN, 3},
    };
    struct table *t = table_new(columns, N_COLUMNS(columns));

    for (size_t i = 0; i < N_COLUMNS(rows); i++) {
        const json_t *change = json_object_get(totals, rows[i][0]);
        if (json_is_object(change)) {
            table_text(t, rows[i][1]);
            add_change(t, form, change);
        }
    }
    table_print(t, out);
}

static void print_functions(struct out *out, const struct basis_form *form, const json_t *data,
                            const char *list, const char *title)
{
    const json_t *rows = json_object_get(data, list);
    bool is_total = strcmp(json_text_at(data, "sort", "self"), "total") == 0;
    struct titles titles = titles_of(form);
    char other[32];
    size_t i;
    const json_t *row;

    snprintf(other, sizeof(other), "%s %s", is_total ? "self" : "total", titles.delta);
    const struct column columns[] = {
        {titles.a, COLUMN_NUMBER, STYLE_PLAIN, 3},
        {titles.b, COLUMN_NUMBER, STYLE_PLAIN, 2},
        {titles.delta, COLUMN_NUMBER, STYLE_BOLD, 0},
        {titles.interval, COLUMN_NUMBER, STYLE_PLAIN, 1},
        {"% of A", COLUMN_NUMBER, STYLE_PLAIN, 4},
        {other, COLUMN_NUMBER, STYLE_PLAIN, 5},
        {"", COLUMN_TEXT, STYLE_YELLOW, 4},
        {title, COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 6},
    };
    struct table *t = table_new(columns, N_COLUMNS(columns));
    json_array_foreach(rows, i, row)
    {
        const char *status = json_text_at(row, "status", "both");
        add_change(t, form, json_object_get(row, is_total ? "total" : "self"));
        add_delta(t, form, json_object_get(row, is_total ? "self" : "total"));
        table_text(t, strcmp(status, "both") == 0 ? "" : status);
        table_text(t, json_text_at(row, "name", "?"));
        table_text(t, json_text_at(row, "binary", ""));
    }
    table_print(t, out);
}

/* The main thread of another build may be called otherwise. */
static void add_thread_name(struct table *t, const json_t *row)
{
    const char *name = json_text_at(row, "name", ""), *a_name = json_text_at(row, "a_name", name);

    if (strcmp(a_name, name) == 0) {
        table_text(t, name);
    } else {
        table_textf(t, "%s (A: %s)", name, a_name);
    }
}

static void print_threads(struct out *out, const struct basis_form *form, const json_t *rows)
{
    char on_cpu[40], runnable[40], off_cpu[40];
    struct titles titles = titles_of(form);
    size_t i;
    const json_t *row;

    snprintf(on_cpu, sizeof(on_cpu), "on-CPU %s", titles.delta);
    snprintf(runnable, sizeof(runnable), "runnable %s", titles.delta);
    snprintf(off_cpu, sizeof(off_cpu), "off-CPU %s", titles.delta);
    const struct column columns[] = {
        {on_cpu, COLUMN_NUMBER, STYLE_BOLD, 0},
        {titles.interval, COLUMN_NUMBER, STYLE_PLAIN, 2},
        {runnable, COLUMN_NUMBER, STYLE_PLAIN, 3},
        {off_cpu, COLUMN_NUMBER, STYLE_PLAIN, 1},
        {"A", COLUMN_NUMBER, STYLE_PLAIN, 4},
        {"B", COLUMN_NUMBER, STYLE_PLAIN, 4},
        {"thread", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
    };
    struct table *t = table_new(columns, N_COLUMNS(columns));
    json_array_foreach(rows, i, row)
    {
        add_delta(t, form, json_object_get(row, "on_cpu"));
        add_interval(t, form, json_object_get(row, "on_cpu"));
        add_delta(t, form, json_object_get(row, "runnable"));
        add_delta(t, form, json_object_get(row, "off_cpu"));
        table_int(t, json_int_at(row, "n_a_threads", 0));
        table_int(t, json_int_at(row, "n_b_threads", 0));
        add_thread_name(t, row);
    }
    table_print(t, out);
}

static void print_reasons(struct out *out, const struct basis_form *form, const json_t *rows)
{
    struct titles titles = titles_of(form);
    size_t i;
    const json_t *row;
    const struct column columns[] = {
        {"blocked", COLUMN_TEXT, STYLE_CYAN, 0},
        {titles.a, COLUMN_NUMBER, STYLE_PLAIN, 1},
        {titles.b, COLUMN_NUMBER, STYLE_PLAIN, 0},
        {titles.delta, COLUMN_NUMBER, STYLE_BOLD, 0},
        {titles.interval, COLUMN_NUMBER, STYLE_PLAIN, 2},
        {"% of A", COLUMN_NUMBER, STYLE_PLAIN, 3},
    };
    struct table *t = table_new(columns, N_COLUMNS(columns));
    json_array_foreach(rows, i, row)
    {
        const json_t *change = json_object_get(row, "off_cpu");
        if (json_int_at(change, "a_ns", 0) || json_int_at(change, "b_ns", 0)) {
            table_text(t, json_text_at(row, "reason", ""));
            add_change(t, form, change);
        }
    }
    table_print(t, out);
}

void render_compare(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const struct basis_form *form = form_of(data);

    print_run(out, "A", json_object_get(data, "a"));
    print_run(out, "B", json_object_get(data, "b"));
    buf_addch(&out->text, '\n');
    print_totals(out, form, json_object_get(data, "totals"));
    buf_addf(&out->text,
             "\n%" PRId64 " of %" PRId64
             " functions changed beyond their interval (*), all %" PRId64 " differences at %g %%\n",
             json_int_at(data, "n_significant", 0), json_int_at(data, "n_functions", 0),
             json_int_at(data, "n_tested", 0), json_real_at(data, "confidence_pct", 0));
    print_functions(out, form, data, "functions", "function");
    print_more(out, json_object_get(data, "functions"), json_int_at(data, "n_functions", 0),
               "functions");
    buf_addch(&out->text, '\n');
    print_threads(out, form, json_object_get(data, "threads"));
    print_more(out, json_object_get(data, "threads"), json_int_at(data, "n_threads", 0),
               "thread names");
    if (json_is_array(json_object_get(data, "reasons"))) {
        buf_addch(&out->text, '\n');
        print_reasons(out, form, json_object_get(data, "reasons"));
    }
    if (json_array_size(json_object_get(data, "waits"))) {
        buf_addch(&out->text, '\n');
        print_functions(out, form, data, "waits", "waiting function");
        print_more(out, json_object_get(data, "waits"), json_int_at(data, "n_waits", 0),
                   "functions");
    }
}
