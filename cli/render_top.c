/* render_top.c - functions and threads as tables (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/table.h"

#define N_COLUMNS(columns) (sizeof(columns) / sizeof *(columns))

enum { MAX_COUNTERS = 4, MAX_TOP_COLUMNS = 9 + MAX_COUNTERS };

/* What a table of functions or threads shows of counters. */
struct counted {
    const char *names[MAX_COUNTERS]; /* borrowed from the document */
    size_t n;
    const char *by; /* a counter that functions are measured by, NULL: time */
    bool has_ipc;
};

static struct counted counted_of(const json_t *data, const json_t *rows, const char *ipc)
{
    struct counted c = {0};
    const char *name, *by = json_text_at(data, "by", "on_cpu");
    json_t *counters = json_object_get(data, "counters"), *value;
    json_object_foreach(counters, name, value)
    {
        if (c.n < MAX_COUNTERS) {
            c.names[c.n++] = name;
        }
    }
    c.by = strcmp(by, "on_cpu") == 0 ? NULL : by;
    c.has_ipc = json_object_get(json_array_get(rows, 0), ipc) != NULL;
    return c;
}

static size_t add_counter_columns(struct column *columns, const struct counted *c, int drop)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        columns[n++] = (struct column){c->names[i], COLUMN_NUMBER, STYLE_PLAIN, drop};
    }
    if (c->has_ipc) {
        columns[n++] = (struct column){"IPC", COLUMN_NUMBER, STYLE_PLAIN, drop - 1};
    }
    return n;
}

static void add_ipc(struct table *t, const struct counted *c, const json_t *row, const char *key)
{
    if (c->has_ipc && json_is_number(json_object_get(row, key))) {
        table_textf(t, "%.2f", json_real_at(row, key, 0));
    } else if (c->has_ipc) {
        table_none(t);
    }
}

static void add_counters(struct table *t, const struct counted *c, const json_t *row,
                         const char *counters, const char *ipc)
{
    for (size_t i = 0; i < c->n; i++) {
        table_count(t, json_int_at(json_object_get(row, counters), c->names[i], 0));
    }
    add_ipc(t, c, row, ipc);
}

static void add_name(struct table *t, const json_t *f)
{
    const char *name = json_text_at(f, "name", "?");
    if (json_is_true(json_object_get(f, "is_inlined"))) {
        table_textf(t, "%s (inlined)", name);
    } else {
        table_text(t, name);
    }
    table_text(t, json_text_at(f, "binary", ""));
}

static void add_waiting(struct table *t, const json_t *f, bool by_total)
{
    table_ms(t, json_int_at(f, "self_off_cpu_ns", 0));
    table_pct(t, json_real_at(f, "self_pct", 0));
    table_ms(t, json_int_at(f, "total_off_cpu_ns", 0));
    table_pct(t, json_real_at(f, "total_pct", 0));
    table_int(t, json_int_at(f, by_total ? "n_total_waits" : "n_self_waits", 0));
    table_text(t, json_text_at(f, "blocked", "-"));
    add_name(t, f);
}

static void add_running(struct table *t, const json_t *f, const struct counted *c, bool by_total)
{
    table_ms(t, json_int_at(f, "self_on_cpu_ns", 0));
    table_pct(t, json_real_at(f, "self_pct", 0));
    table_ms(t, json_int_at(f, "total_on_cpu_ns", 0));
    table_pct(t, json_real_at(f, "total_pct", 0));
    table_int(t, json_int_at(f, by_total ? "n_total_samples" : "n_self_samples", 0));
    add_counters(t, c, f, by_total ? "total_counters" : "self_counters",
                 by_total ? "total_ipc" : "self_ipc");
    add_name(t, f);
}

/* A row of a table by a counter: what it counted, and how much of it in a sample and in a ms. */
static void add_counting(struct table *t, const json_t *f, const struct counted *c, bool by_total)
{
    int64_t self = json_int_at(json_object_get(f, "self_counters"), c->by, 0);
    int64_t total = json_int_at(json_object_get(f, "total_counters"), c->by, 0);
    int64_t shown = by_total ? total : self;
    int64_t n = json_int_at(f, by_total ? "n_total_samples" : "n_self_samples", 0);
    int64_t ns = json_int_at(f, by_total ? "total_on_cpu_ns" : "self_on_cpu_ns", 0);
    table_count(t, self);
    table_pct(t, json_real_at(f, "self_pct", 0));
    table_count(t, total);
    table_pct(t, json_real_at(f, "total_pct", 0));
    if (n > 0) {
        table_count(t, shown / n);
    } else {
        table_none(t);
    }
    if (ns > 0) {
        table_count(t, (int64_t)((double)shown * 1e6 / (double)ns));
    } else {
        table_none(t);
    }
    table_int(t, n);
    table_ms(t, ns);
    add_ipc(t, c, f, by_total ? "total_ipc" : "self_ipc");
    add_name(t, f);
}

/* Columns of functions that ran. */
static size_t running_columns(struct column *columns, const struct counted *c)
{
    static const struct column by_time[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0},  {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"total ms", COLUMN_NUMBER, STYLE_PLAIN, 1}, {"total %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 2},
    };
    static const struct column by_counter[] = {
        {"self", COLUMN_NUMBER, STYLE_PLAIN, 0},    {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"total", COLUMN_NUMBER, STYLE_PLAIN, 1},   {"total %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"/sample", COLUMN_NUMBER, STYLE_PLAIN, 4}, {"/ms", COLUMN_NUMBER, STYLE_PLAIN, 5},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 2}, {"CPU ms", COLUMN_NUMBER, STYLE_PLAIN, 4},
    };
    static const struct column names[] = {{"function", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
                                          {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 3}};
    size_t n = c->by ? N_COLUMNS(by_counter) : N_COLUMNS(by_time);
    memcpy(columns, c->by ? by_counter : by_time, n * sizeof(*columns));
    if (c->by && c->has_ipc) {
        columns[n++] = (struct column){"IPC", COLUMN_NUMBER, STYLE_PLAIN, 4};
    } else if (!c->by) {
        n += add_counter_columns(columns + n, c, 5);
    }
    memcpy(columns + n, names, sizeof(names));
    return n + N_COLUMNS(names);
}

/* How many functions have something of their own, or all when they are sorted by total: the rest
 * was on the stack only, and a list by self has nothing to say of it. */
static size_t n_shown(const json_t *functions, const char *by, bool is_off_cpu, bool by_total)
{
    size_t n = json_array_size(functions);
    while (n > 0 && !by_total) {
        const json_t *f = json_array_get(functions, n - 1);
        int64_t self = by ? json_int_at(json_object_get(f, "self_counters"), by, 0)
                          : json_int_at(f, is_off_cpu ? "self_off_cpu_ns" : "self_on_cpu_ns", 0);
        if (self > 0) {
            break;
        }
        n--;
    }
    return n;
}

static struct table *running_table(struct column *columns, const json_t *data,
                                   const json_t *functions, bool by_total, size_t *n)
{
    struct counted c = counted_of(data, functions, "self_ipc");
    *n = n_shown(functions, c.by, false, by_total);
    struct table *t = table_new(columns, running_columns(columns, &c));
    for (size_t i = 0; i < *n; i++) {
        const json_t *f = json_array_get(functions, i);
        if (c.by) {
            add_counting(t, f, &c, by_total);
        } else {
            add_running(t, f, &c, by_total);
        }
    }
    return t;
}

static struct table *waiting_table(const json_t *functions, bool by_total, size_t *n)
{
    static const struct column off_cpu[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0},   {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"total ms", COLUMN_NUMBER, STYLE_PLAIN, 1},  {"total %", COLUMN_NUMBER, STYLE_BOLD, 2},
        {"waits", COLUMN_NUMBER, STYLE_PLAIN, 2},     {"blocked", COLUMN_TEXT, STYLE_PLAIN, 0},
        {"function", COLUMN_FLEXIBLE, STYLE_CYAN, 0}, {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 3},
    };
    struct table *t = table_new(off_cpu, N_COLUMNS(off_cpu));
    *n = n_shown(functions, NULL, true, by_total);
    for (size_t i = 0; i < *n; i++) {
        add_waiting(t, json_array_get(functions, i), by_total);
    }
    return t;
}

void render_by_line(struct out *out, const json_t *data)
{
    const char *by = json_text_at(data, "by", "on_cpu");
    if (strcmp(by, "on_cpu") != 0) {
        char all[16];
        table_format_count(all, sizeof(all), json_int_at(json_object_get(data, "counters"), by, 0));
        buf_addf(&out->text, "%sby %s, %s in all%s\n", out_style(out, STYLE_DIM), by, all,
                 out_style(out, STYLE_PLAIN));
    }
}

void render_top(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const json_t *functions = json_object_get(data, "functions");
    struct column columns[MAX_TOP_COLUMNS + 2];
    render_run_line(out, document);
    render_by_line(out, data);
    bool is_off_cpu = json_object_get(data, "off_cpu_ns") != NULL;
    bool by_total = strcmp(json_text_at(data, "sort", "self"), "total") == 0;
    size_t n = 0;
    table_print(is_off_cpu ? waiting_table(functions, by_total, &n)
                           : running_table(columns, data, functions, by_total, &n),
                out);
    int64_t n_more = json_int_at(data, "n_functions", 0) - (int64_t)n;
    if (n_more > 0) {
        bool is_cut = n == json_array_size(functions);
        buf_addf(&out->text, "%s... %" PRId64 " more function%s (%s)%s\n",
                 out_style(out, STYLE_DIM), n_more, n_more == 1 ? "" : "s",
                 is_cut ? "--limit" : "--sort total", out_style(out, STYLE_PLAIN));
    }
}

/* The ten reasons of thread_sum, in the order of DESIGN §3.2. */
static const char *const reasons[][2] = {
    {"idle_ns", "idle ms"},   {"lock_ns", "lock ms"},   {"sem_ns", "sem ms"},
    {"ipc_ns", "ipc ms"},     {"io_r_ns", "ioR ms"},    {"io_w_ns", "ioW ms"},
    {"ready_ns", "ready ms"}, {"sleep_ns", "sleep ms"}, {"conn_ns", "conn ms"},
    {"other_ns", "other ms"},
};

enum { N_REASONS = 10, MAX_THREAD_COLUMNS = 14 + N_REASONS + MAX_COUNTERS };

static void add_ms_or_none(struct table *t, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key))) {
        table_ms(t, json_int_at(object, key, 0));
    } else {
        table_none(t);
    }
}

/* The largest reason, with a question mark where more than a twentieth of all is guessed. */
static void add_blocked(struct table *t, const json_t *thread)
{
    const char *reason = json_text_at(thread, "blocked", "-");
    int64_t guessed_ns = json_int_at(thread, "guessed_ns", 0);
    char marked[64];

    snprintf(marked, sizeof(marked), "%s%s", reason,
             guessed_ns > json_int_at(thread, "off_cpu_ns", 0) / 20 ? " ?" : "");
    table_text(t, marked);
}

/* What the question marks are about. */
static void print_guessed(struct out *out, const json_t *threads, bool is_wide)
{
    int64_t guessed_ns = 0;
    size_t i;
    const json_t *thread;

    json_array_foreach(threads, i, thread)
    {
        guessed_ns += json_int_at(thread, "guessed_ns", 0);
    }
    if (guessed_ns > 0) {
        buf_addf(&out->text, "%s? guessed: %.1f ms%s%s\n", out_style(out, STYLE_DIM),
                 (double)guessed_ns / 1e6, is_wide ? "" : " (--wide: whose)",
                 out_style(out, STYLE_PLAIN));
    }
}

static void add_thread(struct table *t, const json_t *thread, const struct counted *c, bool is_wide,
                       bool has_processes)
{
    const json_t *by_reason = json_object_get(thread, "reasons");
    table_ms(t, json_int_at(thread, "on_cpu_ns", 0));
    table_pct(t, json_real_at(thread, "on_cpu_pct", 0));
    add_ms_or_none(t, thread, "runnable_ns");
    add_ms_or_none(t, thread, "off_cpu_ns");
    table_int(t, json_int_at(thread, "n_samples", 0));
    add_blocked(t, thread);
    for (size_t i = 0; is_wide && i < N_REASONS; i++) {
        add_ms_or_none(t, by_reason, reasons[i][0]);
    }
    if (is_wide) {
        add_ms_or_none(t, thread, "guessed_ns");
        add_ms_or_none(t, thread, "unknown_ns");
        add_ms_or_none(t, thread, "wall_ns");
        add_counters(t, c, thread, "counters", "ipc");
    }
    table_int(t, json_int_at(thread, "tid", 0));
    if (has_processes) {
        table_int(t, json_int_at(thread, "pid", 0));
        table_text(t, json_text_at(thread, "process", ""));
    }
    table_text(t, json_text_at(thread, "name", ""));
}

static size_t thread_columns(struct column *columns, const struct counted *c, bool is_wide,
                             bool has_processes)
{
    size_t n = 0;
    columns[n++] = (struct column){"CPU ms", COLUMN_NUMBER, STYLE_PLAIN, 0};
    columns[n++] = (struct column){"CPU %", COLUMN_NUMBER, STYLE_BOLD, 1};
    columns[n++] = (struct column){"runnable ms", COLUMN_NUMBER, STYLE_PLAIN, 4};
    columns[n++] = (struct column){"off-CPU ms", COLUMN_NUMBER, STYLE_PLAIN, 4};
    columns[n++] = (struct column){"samples", COLUMN_NUMBER, STYLE_PLAIN, 2};
    columns[n++] = (struct column){"blocked", COLUMN_TEXT, STYLE_PLAIN, 4};
    for (size_t i = 0; is_wide && i < N_REASONS; i++) {
        columns[n++] = (struct column){reasons[i][1], COLUMN_NUMBER, STYLE_PLAIN, 5};
    }
    if (is_wide) {
        columns[n++] = (struct column){"guessed ms", COLUMN_NUMBER, STYLE_PLAIN, 5};
        columns[n++] = (struct column){"unknown ms", COLUMN_NUMBER, STYLE_PLAIN, 5};
        columns[n++] = (struct column){"wall ms", COLUMN_NUMBER, STYLE_PLAIN, 5};
        n += add_counter_columns(columns + n, c, 5);
    }
    columns[n++] = (struct column){"tid", COLUMN_NUMBER, STYLE_PLAIN, 0};
    if (has_processes) {
        columns[n++] = (struct column){"pid", COLUMN_NUMBER, STYLE_PLAIN, 3};
        columns[n++] = (struct column){"process", COLUMN_FLEXIBLE, STYLE_DIM, 3};
    }
    columns[n++] = (struct column){"name", COLUMN_FLEXIBLE, STYLE_CYAN, 0};
    return n;
}

void render_threads(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    const json_t *threads = json_object_get(data, "threads");
    bool is_wide = args && args_has(args, "wide");
    int64_t first = json_int_at(json_array_get(threads, 0), "upid", 0);
    bool has_processes = false;
    size_t i;
    const json_t *thread;
    json_array_foreach(threads, i, thread)
    {
        has_processes = has_processes || json_int_at(thread, "upid", 0) != first;
    }
    struct column columns[MAX_THREAD_COLUMNS];
    struct counted c = counted_of(data, threads, "ipc");
    struct table *t = table_new(columns, thread_columns(columns, &c, is_wide, has_processes));
    if (is_wide) {
        table_keep_all(t);
    }
    render_run_line(out, document);
    json_array_foreach(threads, i, thread)
    {
        add_thread(t, thread, &c, is_wide, has_processes);
    }
    table_print(t, out);
    print_guessed(out, threads, is_wide);
    int64_t n_more = json_int_at(data, "n_threads", 0) - (int64_t)json_array_size(threads);
    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more thread%s (--limit 0 for all)%s\n",
                 out_style(out, STYLE_DIM), n_more, n_more == 1 ? "" : "s",
                 out_style(out, STYLE_PLAIN));
    }
}
