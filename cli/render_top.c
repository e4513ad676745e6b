/* render_top.c - functions and threads as tables (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/table.h"

#define N_COLUMNS(columns) (sizeof(columns) / sizeof *(columns))

static void add_function(struct table *t, const json_t *f, bool is_off_cpu, bool by_total)
{
    table_ms(t, json_int_at(f, is_off_cpu ? "self_off_cpu_ns" : "self_on_cpu_ns", 0));
    table_pct(t, json_real_at(f, "self_pct", 0));
    table_ms(t, json_int_at(f, is_off_cpu ? "total_off_cpu_ns" : "total_on_cpu_ns", 0));
    table_pct(t, json_real_at(f, "total_pct", 0));
    if (is_off_cpu) {
        table_int(t, json_int_at(f, by_total ? "n_total_waits" : "n_self_waits", 0));
        table_text(t, json_text_at(f, "blocked", "-"));
    } else {
        table_int(t, json_int_at(f, by_total ? "n_total_samples" : "n_self_samples", 0));
    }
    table_text(t, json_text_at(f, "name", "?"));
    table_text(t, json_text_at(f, "binary", ""));
}

void render_top(struct out *out, const json_t *document, const struct args *args)
{
    static const struct column on_cpu[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0},  {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"total ms", COLUMN_NUMBER, STYLE_PLAIN, 1}, {"total %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 2},  {"function", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 3},
    };
    static const struct column off_cpu[] = {
        {"self ms", COLUMN_NUMBER, STYLE_PLAIN, 0},   {"self %", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"total ms", COLUMN_NUMBER, STYLE_PLAIN, 1},  {"total %", COLUMN_NUMBER, STYLE_BOLD, 2},
        {"waits", COLUMN_NUMBER, STYLE_PLAIN, 2},     {"blocked", COLUMN_TEXT, STYLE_PLAIN, 0},
        {"function", COLUMN_FLEXIBLE, STYLE_CYAN, 0}, {"binary", COLUMN_FLEXIBLE, STYLE_DIM, 3},
    };
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const json_t *functions = json_object_get(data, "functions");
    render_run_line(out, document);
    bool is_off_cpu = json_object_get(data, "off_cpu_ns") != NULL;
    bool by_total = strcmp(json_text_at(data, "sort", "self"), "total") == 0;
    struct table *t =
        is_off_cpu ? table_new(off_cpu, N_COLUMNS(off_cpu)) : table_new(on_cpu, N_COLUMNS(on_cpu));
    size_t i;
    const json_t *f;
    json_array_foreach(functions, i, f)
    {
        add_function(t, f, is_off_cpu, by_total);
    }
    table_print(t, out);
    int64_t n_more = json_int_at(data, "n_functions", 0) - (int64_t)json_array_size(functions);
    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more functions (--limit)%s\n",
                 out_style(out, STYLE_DIM), n_more, out_style(out, STYLE_PLAIN));
    }
}

/* The ten reasons of thread_sum, in the order of DESIGN §3.2. */
static const char *const reasons[][2] = {
    {"idle_ns", "idle ms"},   {"lock_ns", "lock ms"},   {"sem_ns", "sem ms"},
    {"ipc_ns", "ipc ms"},     {"io_r_ns", "ioR ms"},    {"io_w_ns", "ioW ms"},
    {"ready_ns", "ready ms"}, {"sleep_ns", "sleep ms"}, {"conn_ns", "conn ms"},
    {"other_ns", "other ms"},
};

enum { N_REASONS = 10, MAX_THREAD_COLUMNS = 12 + N_REASONS };

static void add_ms_or_none(struct table *t, const json_t *object, const char *key)
{
    if (json_is_integer(json_object_get(object, key))) {
        table_ms(t, json_int_at(object, key, 0));
    } else {
        table_none(t);
    }
}

static void add_thread(struct table *t, const json_t *thread, bool is_wide, bool has_processes)
{
    const json_t *by_reason = json_object_get(thread, "reasons");
    table_ms(t, json_int_at(thread, "on_cpu_ns", 0));
    table_pct(t, json_real_at(thread, "on_cpu_pct", 0));
    add_ms_or_none(t, thread, "runnable_ns");
    add_ms_or_none(t, thread, "off_cpu_ns");
    table_int(t, json_int_at(thread, "n_samples", 0));
    table_text(t, json_text_at(thread, "blocked", "-"));
    for (size_t i = 0; is_wide && i < N_REASONS; i++) {
        add_ms_or_none(t, by_reason, reasons[i][0]);
    }
    if (is_wide) {
        add_ms_or_none(t, thread, "unknown_ns");
        add_ms_or_none(t, thread, "wall_ns");
    }
    table_int(t, json_int_at(thread, "tid", 0));
    if (has_processes) {
        table_int(t, json_int_at(thread, "pid", 0));
        table_text(t, json_text_at(thread, "process", ""));
    }
    table_text(t, json_text_at(thread, "name", ""));
}

static size_t thread_columns(struct column *columns, bool is_wide, bool has_processes)
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
        columns[n++] = (struct column){"unknown ms", COLUMN_NUMBER, STYLE_PLAIN, 5};
        columns[n++] = (struct column){"wall ms", COLUMN_NUMBER, STYLE_PLAIN, 5};
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
    struct table *t = table_new(columns, thread_columns(columns, is_wide, has_processes));
    render_run_line(out, document);
    json_array_foreach(threads, i, thread)
    {
        add_thread(t, thread, is_wide, has_processes);
    }
    table_print(t, out);
    int64_t n_more = json_int_at(data, "n_threads", 0) - (int64_t)json_array_size(threads);
    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more threads (--limit 0 for all)%s\n",
                 out_style(out, STYLE_DIM), n_more, out_style(out, STYLE_PLAIN));
    }
}
