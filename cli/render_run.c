/* render_run.c - the run above a view, the state of a server, lists of runs (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "cli/table.h"

void render_seconds(struct buf *b, int64_t ns)
{
    int64_t s = ns / 1000000000;
    if (s < 60) {
        /* Tenths are cut, not rounded: 59.96 s must not read as 60.0 s. */
        buf_addf(b, "%.1f s", floor((double)ns / 1e8) / 10);
    } else if (s < 3600) {
        buf_addf(b, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    } else {
        buf_addf(b, "%" PRId64 " h %02" PRId64 " min", s / 3600, s / 60 % 60);
    }
}

void render_count(struct buf *b, int64_t n, const char *what)
{
    size_t length = strlen(what);
    bool is_hissing = length && what[length - 1] == 's';
    buf_addf(b, "%" PRId64 " %s%s", n, what, n == 1 ? "" : is_hissing ? "es" : "s");
}

void render_bytes(struct buf *b, int64_t n_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)n_bytes;
    size_t unit = 0;
    for (; n >= 1023.95 && unit < 4; unit++) {
        n /= 1024;
    }
    buf_addf(b, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

/* Words for the values of run.stop_reason. */
static const char *reason_text(const char *reason)
{
    static const char *const texts[][2] = {
        {"target_exited", "target exited"},        {"stopped", "stopped by request"},
        {"time_limit", "time limit reached"},      {"storage_full", "storage full"},
        {"capture_failed", "recording failed"},    {"server_died", "the server died"},
        {"saved_live", "saved while it recorded"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i][0], reason) == 0) {
            return texts[i][1];
        }
    }
    return reason;
}

/* Appends one part of a sentence after a joint ("," or ""), on a new line when it does not fit;
 * *column is where the line is. */
static void add_part(struct out *out, size_t *column, const char *joint, enum style style,
                     const char *part)
{
    struct buf clean = {0};
    text_clean(&clean, part, strlen(part));
    size_t width = text_width(buf_str(&clean));
    size_t n_joint = strlen(joint);
    if (*column) {
        /* One more for the joint that may follow. */
        bool fits = !out->width || *column + n_joint + 1 + width + 1 <= out->width;
        buf_addf(&out->text, "%s%s", joint, fits ? " " : "\n");
        *column = fits ? *column + n_joint + 1 : 0;
    }
    bool is_styled = style != STYLE_PLAIN;
    buf_addf(&out->text, "%s%s%s", is_styled ? out_style(out, style) : "", buf_str(&clean),
             is_styled ? out_style(out, STYLE_PLAIN) : "");
    *column += width;
    buf_free(&clean);
}

static void add_amounts(struct out *out, size_t *column, const json_t *run, const json_t *quality)
{
    struct buf part = {0};
    int64_t n_lost = json_int_at(quality, "n_lost", json_int_at(run, "n_lost", 0));
    render_count(&part, json_int_at(run, "n_samples", 0), "sample");
    add_part(out, column, ",", STYLE_PLAIN, buf_str(&part));
    buf_clear(&part);
    int64_t sampled_ns = json_int_at(run, "on_cpu_ns", 0);
    int64_t unsampled_ns = json_int_at(quality, "unsampled_ns", 0);
    if (unsampled_ns > 0) {
        buf_addf(&part, "%.1f of ", (double)sampled_ns / 1e6);
    }
    buf_addf(&part, "%.1f ms on CPU", ((double)sampled_ns + (double)unsampled_ns) / 1e6);
    add_part(out, column, ",", STYLE_PLAIN, buf_str(&part));
    if (n_lost) {
        buf_clear(&part);
        buf_addf(&part, "%" PRId64 " lost", n_lost);
        add_part(out, column, ",", STYLE_RED, buf_str(&part));
    }
    buf_free(&part);
}

/* "recording for 2.0 s, 1800 samples, ...", beginning at a column. */
static void add_state(struct out *out, size_t column, const json_t *run, const json_t *quality)
{
    struct buf part = {0};
    const char *reason = json_text_at(run, "stop_reason", "");
    bool is_recording = strcmp(json_text_at(run, "state", ""), "recording") == 0;
    buf_addstr(&part, json_text_at(run, "state", "?"));
    if (*reason) {
        buf_addf(&part, " (%s)", reason_text(reason));
    }
    if (column) {
        buf_addch(&out->text, ' ');
    }
    size_t start = 0;
    add_part(out, &start, "", STYLE_PLAIN, buf_str(&part));
    column += start;
    buf_clear(&part);
    buf_addstr(&part, is_recording ? "for " : "after ");
    render_seconds(&part, json_int_at(run, "elapsed_ns", 0));
    add_part(out, &column, "", STYLE_PLAIN, buf_str(&part));
    buf_free(&part);
    add_amounts(out, &column, run, quality);
}

/* Why storage ended the run early, on a line of its own. */
static void add_stop_detail(struct out *out, const json_t *run)
{
    const char *detail = json_text_at(run, "stop_detail", "");
    if (*detail) {
        buf_addf(&out->text, "\n%sit ended early:%s ", out_style(out, STYLE_RED),
                 out_style(out, STYLE_PLAIN));
        out_foreign(out, detail);
    }
}

static void add_run_name(struct out *out, const json_t *run)
{
    const char *command = json_text_at(run, "command", "");
    buf_addf(&out->text, "%srun %" PRId64 "%s", out_style(out, STYLE_BOLD),
             json_int_at(run, "id", 0), out_style(out, STYLE_PLAIN));
    if (*command) {
        buf_addstr(&out->text, "  ");
        out_foreign_cut(out, command, out->width > 24 ? out->width - 12 : 0);
    }
    buf_addf(&out->text, "%s", "\n");
}

void render_run_line(struct out *out, const json_t *document)
{
    const json_t *run = json_object_get(document, "run");
    if (!json_is_object(run)) {
        return;
    }
    add_run_name(out, run);
    add_state(out, 0, run, json_object_get(document, "quality"));
    add_stop_detail(out, run);
    buf_addstr(&out->text, "\n\n");
}

static void add_pair(struct out *out, const char *key, const char *value)
{
    if (*value) {
        buf_addf(&out->text, "%-9s ", key);
        out_foreign(out, value);
        buf_addch(&out->text, '\n');
    }
}

void render_status(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const json_t *server = json_object_get(data, "server");
    const json_t *active = json_object_get(data, "active");
    buf_addf(&out->text, "stax-server ");
    out_foreign(out, json_text_at(server, "version", "?"));
    buf_addf(&out->text, ", pid %" PRId64 ", up ", json_int_at(server, "pid", 0));
    render_seconds(&out->text, json_int_at(server, "uptime_ns", 0));
    buf_addch(&out->text, '\n');
    add_pair(out, "socket", json_text_at(server, "socket", ""));
    add_pair(out, "http", json_text_at(server, "http", ""));
    if (*json_text_at(server, "http_note", "")) {
        buf_addstr(&out->text, "          (");
        out_foreign(out, json_text_at(server, "http_note", ""));
        buf_addstr(&out->text, ")\n");
    }
    add_pair(out, "data", json_text_at(server, "data_dir", ""));
    if (json_is_false(json_object_get(server, "is_tmpfs"))) {
        buf_addf(&out->text, "          (on a disk, not in memory)\n");
    }
    buf_addch(&out->text, '\n');
    if (!json_is_object(active)) {
        buf_addstr(&out->text, "no run is active; start one with: stax record -- COMMAND\n");
    } else {
        add_run_name(out, active);
        add_state(out, 0, active, NULL);
        buf_addch(&out->text, '\n');
        render_count(&out->text, json_int_at(active, "n_threads", 0), "thread");
        buf_addstr(&out->text, " in ");
        render_count(&out->text, json_int_at(active, "n_processes", 0), "process");
        buf_addf(&out->text, ", pid %" PRId64 "\n", json_int_at(active, "pid", 0));
        add_pair(out, "file", json_text_at(active, "path", ""));
    }
    if (json_is_integer(json_object_get(data, "selected"))) {
        buf_addf(&out->text, "selected: run %" PRId64 "\n", json_int_at(data, "selected", 0));
    }
}

/* An integer of a run, in a form of the table's; none where a run cannot be read. */
static void add_figure(struct table *t, const json_t *run, const char *key,
                       void (*add)(struct table *, int64_t))
{
    if (json_is_integer(json_object_get(run, key))) {
        add(t, json_int_at(run, key, 0));
    } else {
        table_none(t);
    }
}

static void add_start(struct table *t, int64_t start_wall_ns)
{
    time_t start = (time_t)(start_wall_ns / 1000000000);
    struct tm when;
    char date[32] = "";
    if (localtime_r(&start, &when)) {
        strftime(date, sizeof date, "%F %T", &when);
    }
    table_text(t, date);
}

static void add_tenths(struct table *t, int64_t ns)
{
    table_textf(t, "%.1f", floor((double)ns / 1e8) / 10);
}

static void add_size(struct table *t, int64_t n_bytes)
{
    struct buf size = {0};
    render_bytes(&size, n_bytes);
    table_text(t, buf_str(&size));
    buf_free(&size);
}

static void add_list_row(struct table *t, const json_t *run)
{
    bool is_active = json_is_true(json_object_get(run, "is_active"));
    bool is_selected = json_is_true(json_object_get(run, "is_selected"));
    const char *reason = json_text_at(run, "stop_reason", "");
    const char *state = json_text_at(run, "state", "?");
    const char *command = json_text_at(run, "command", ""), *note = json_text_at(run, "note", "");
    table_textf(t, "%" PRId64 "%s", json_int_at(run, "id", 0),
                is_active     ? " *"
                : is_selected ? " >"
                              : "  ");
    table_textf(t, "%s%s", json_is_true(json_object_get(run, "is_archive")) ? "archive, " : "",
                *reason ? reason_text(reason) : state);
    add_figure(t, run, "start_wall_ns", add_start);
    add_figure(t, run, "elapsed_ns", add_tenths);
    add_figure(t, run, "n_samples", table_int);
    add_figure(t, run, "on_cpu_ns", table_ms);
    add_figure(t, run, "n_lost", table_int);
    add_figure(t, run, "size_bytes", add_size);
    add_figure(t, run, "pid", table_int);
    if (*note) {
        table_textf(t, "%s%s(%s)", command, *command ? " " : "", note);
    } else {
        table_text(t, command);
    }
}

void render_list(struct out *out, const json_t *document, const struct args *args)
{
    static const struct column columns[] = {
        {"run  ", COLUMN_NUMBER, STYLE_BOLD, 0},    {"state", COLUMN_TEXT, STYLE_PLAIN, 0},
        {"started", COLUMN_TEXT, STYLE_DIM, 2},     {"seconds", COLUMN_NUMBER, STYLE_PLAIN, 3},
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 1}, {"CPU ms", COLUMN_NUMBER, STYLE_PLAIN, 4},
        {"lost", COLUMN_NUMBER, STYLE_PLAIN, 6},    {"size", COLUMN_NUMBER, STYLE_PLAIN, 5},
        {"pid", COLUMN_NUMBER, STYLE_PLAIN, 7},     {"command", COLUMN_FLEXIBLE, STYLE_PLAIN, 0},
    };
    (void)args;
    const json_t *runs = json_object_get(json_object_get(document, "data"), "runs");
    if (!json_array_size(runs)) {
        buf_addstr(&out->text, "no runs yet; make one with: stax record -- COMMAND\n");
        return;
    }
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    size_t i;
    const json_t *run;
    json_array_foreach(runs, i, run)
    {
        add_list_row(t, run);
    }
    table_print(t, out);
    buf_addf(&out->text, "%s* active  > selected%s\n", out_style(out, STYLE_DIM),
             out_style(out, STYLE_PLAIN));
}

/* The run a document is about: its run member, else data itself (summaries). */
static const json_t *run_of(const json_t *document)
{
    const json_t *run = json_object_get(document, "run");
    return json_is_object(run) ? run : json_object_get(document, "data");
}

void render_stop(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *run = run_of(document);
    add_run_name(out, run);
    add_state(out, 0, run, json_object_get(document, "quality"));
    add_stop_detail(out, run);
    buf_addstr(&out->text, "\n");
}

void render_wait(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const char *reason = json_text_at(data, "reason", "?");
    out_foreign(out, strcmp(reason, "stopped") == 0 ? "the run stopped" : reason);
    buf_addstr(&out->text, strcmp(reason, "stopped") == 0 ? " after " : " reached after ");
    render_seconds(&out->text, json_int_at(data, "elapsed_ns", 0));
    buf_addstr(&out->text, ", ");
    render_count(&out->text, json_int_at(data, "n_samples", 0), "sample");
    if (json_is_false(json_object_get(data, "is_met"))) {
        buf_addstr(&out->text, "; the condition did not hold");
    }
    buf_addch(&out->text, '\n');
}

void render_save(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    buf_addstr(&out->text, "saved ");
    out_foreign(out, json_text_at(data, "path", "?"));
    buf_addf(&out->text, ": ");
    render_bytes(&out->text, json_int_at(data, "size_bytes", 0));
    buf_addstr(&out->text, ", ");
    render_count(&out->text, json_int_at(data, "n_samples", 0), "sample");
    buf_addstr(&out->text, ", code of ");
    render_count(&out->text, json_int_at(data, "n_functions", 0), "function");
    buf_addstr(&out->text, " (");
    render_bytes(&out->text, json_int_at(data, "code_bytes", 0));
    buf_addf(&out->text, ")");
    if (json_int_at(data, "n_source_lines", 0) > 0) {
        buf_addstr(&out->text, ", ");
        render_count(&out->text, json_int_at(data, "n_source_lines", 0), "source line");
        buf_addstr(&out->text, " (");
        render_bytes(&out->text, json_int_at(data, "source_bytes", 0));
        buf_addf(&out->text, ")");
    }
    buf_addf(&out->text, ", in %.0f ms\n", json_real_at(data, "elapsed_ms", 0));
}

static void add_selected(struct out *out, const json_t *document, const char *verb)
{
    const json_t *run = json_object_get(document, "run");
    int64_t id = json_int_at(json_object_get(document, "data"), "run", json_int_at(run, "id", 0));
    buf_addf(&out->text, "%s run %" PRId64, verb, id);
    if (json_is_object(run)) {
        size_t column = 20;
        buf_addstr(&out->text, ": ");
        add_part(out, &(size_t){0}, "", STYLE_PLAIN, json_text_at(run, "command", ""));
        add_amounts(out, &column, run, NULL);
    }
    buf_addstr(&out->text, "\n");
}

void render_open(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    add_selected(out, document, "opened and selected");
}

void render_select(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    add_selected(out, document, "selected");
}

void render_summary(struct out *out, const json_t *top_document)
{
    const json_t *run = json_object_get(top_document, "run");
    const json_t *quality = json_object_get(top_document, "quality");
    const json_t *functions = json_object_get(json_object_get(top_document, "data"), "functions");
    int64_t id = json_int_at(run, "id", 0);
    buf_addf(&out->text, "\n%srun %" PRId64 "%s", out_style(out, STYLE_BOLD), id,
             out_style(out, STYLE_PLAIN));
    add_state(out, 8, run, quality);
    if (json_int_at(quality, "n_lost", 0) + json_int_at(quality, "n_unrecorded", 0) == 0) {
        buf_addstr(&out->text, ", none lost");
    }
    add_stop_detail(out, run);
    buf_addch(&out->text, '\n');
    size_t i;
    const json_t *f;
    json_array_foreach(functions, i, f)
    {
        if (json_int_at(f, "self_on_cpu_ns", 0) == 0) {
            break; /* on the stack only; they are sorted */
        }
        buf_addf(&out->text, "  %5.1f %%  ", json_real_at(f, "self_pct", 0));
        out_foreign_cut(out, json_text_at(f, "name", "?"), out->width > 30 ? out->width - 12 : 0);
        buf_addch(&out->text, '\n');
    }
    buf_addf(&out->text,
             "try: stax top · stax flame · stax threads · stax sql · stax save run-%" PRId64
             ".stax\n",
             id);
}
