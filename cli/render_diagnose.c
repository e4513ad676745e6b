/* render_diagnose.c - how the recording itself is doing (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/table.h"

static void add_title(struct out *out, const char *title)
{
    buf_addf(&out->text, "\n%s%s%s\n", out_style(out, STYLE_BOLD), title,
             out_style(out, STYLE_PLAIN));
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* A figure by what its name says it is: *_ns, *_bytes, *_pct, else a plain number. */
static void add_figure(struct out *out, const char *name, const json_t *value)
{
    buf_addstr(&out->text, "  ");
    struct buf shown = {0};
    size_t n = strlen(name);
    double number = json_number_value(value);
    if (ends_with(name, "_ns")) {
        buf_add(&shown, name, n - 3);
    } else if (ends_with(name, "_bytes") || ends_with(name, "_pct")) {
        buf_add(&shown, name, n - (ends_with(name, "_pct") ? 4 : 6));
    } else if (strcmp(name, "bytes") == 0) {
        buf_addstr(&shown, "waiting");
    } else {
        buf_addstr(&shown, name + (strncmp(name, "n_", 2) == 0 ? 2 : 0));
    }
    for (char *c = shown.data; c && *c; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
    struct out plain = {0};
    out_foreign(&plain, buf_str(&shown));
    buf_addf(&out->text, "%-18s ", buf_str(&plain.text));
    buf_free(&plain.text);
    buf_free(&shown);
    if (ends_with(name, "_ns")) {
        buf_addf(&out->text, "%.1f ms", number / 1e6);
    } else if (ends_with(name, "bytes")) {
        render_bytes(&out->text, (int64_t)number);
    } else if (ends_with(name, "_pct")) {
        buf_addf(&out->text, "%.2f %%", number);
    } else if (json_is_integer(value)) {
        buf_addf(&out->text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        buf_addf(&out->text, "%.3f", number);
    }
    buf_addch(&out->text, '\n');
}

static void add_figures(struct out *out, const char *title, const json_t *figures)
{
    const char *name;
    json_t *value;
    if (!json_object_size(figures)) {
        return;
    }
    add_title(out, title);
    json_object_foreach((json_t *)figures, name, value)
    {
        /* A moment on the monotonic clock says nothing to people. */
        if (json_is_number(value) && !ends_with(name, "_ts")) {
            add_figure(out, name, value);
        }
    }
}

static void add_debuginfod(struct out *out, const json_t *debuginfod)
{
    const json_t *download = json_object_get(debuginfod, "download");
    const char *failure = json_text_at(debuginfod, "last_failure", "");
    add_figures(out, "debuginfod servers", debuginfod);
    if (*failure) {
        buf_addstr(&out->text, "  last failure       ");
        out_foreign(out, failure);
        buf_addch(&out->text, '\n');
    }
    if (json_is_object(download)) {
        int64_t n_all = json_int_at(download, "n_all_bytes", 0);
        buf_addstr(&out->text, "  asked for          ");
        out_foreign(out, json_text_at(download, "path", "?"));
        buf_addf(&out->text, " (%.1f s, ", (double)json_int_at(download, "elapsed_ns", 0) / 1e9);
        render_bytes(&out->text, json_int_at(download, "n_done_bytes", 0));
        if (n_all) {
            buf_addstr(&out->text, " of ");
            render_bytes(&out->text, n_all);
        }
        buf_addstr(&out->text, ")\n");
    }
}

/* What a kind of loss counts. */
static const char *loss_unit(const char *kind)
{
    static const char *const units[][2] = {
        {"unsampled", "ms of CPU time"}, {"stacks", "stacks of waits and wakers"},
        {"no_events", "threads"},        {"throttled", "times"},
        {"ring_full", "records"},        {"malformed", "records"},
        {"late", "records, kept"},       {"not_dumpable", "processes"},
        {"queue_full", "records"},       {"wakeups", "wakeups"},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(units[i][0], kind) == 0) {
            return units[i][1];
        }
    }
    return "";
}

static void add_loss(struct out *out, const json_t *loss)
{
    add_title(out, "loss");
    if (!json_array_size(loss)) {
        buf_addstr(&out->text, "  none\n");
        return;
    }
    size_t i;
    const json_t *row;
    json_array_foreach(loss, i, row)
    {
        buf_addstr(&out->text, "  ");
        out_foreign(out, json_text_at(row, "kind", "?"));
        buf_addf(&out->text, ": %s%" PRId64 "%s", out_style(out, STYLE_RED),
                 json_int_at(row, "n", 0), out_style(out, STYLE_PLAIN));
        buf_addf(&out->text, " %s\n", loss_unit(json_text_at(row, "kind", "")));
    }
}

/* What stands in stack_end.cause, in words. */
static const char *cause_text(const char *cause)
{
    static const char *const texts[][2] = {
        {"root", "complete"},
        {"stack_copy_exhausted", "longer than what was copied of it"},
        {"no_cfi", "code without unwind information (.eh_frame)"},
        {"bad_cfa", "unwind information that leads nowhere"},
        {"too_deep", "deeper than 1,024 frames"},
        {"bad_memory", "memory that could not be read"},
        {"bad_return_address", "a return address that is no code"},
        {"unknown_register", "a register that is not known"},
        {"pending", "unwind tables were not ready in time"},
        {"kernel_limit", "as long as the kernel gives them (kernel.perf_event_max_stack)"},
        {"no_mapping", "a caller that is no code (no frame pointers?)"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(cause, texts[i][0]) == 0) {
            return texts[i][1];
        }
    }
    return cause;
}

static void add_stacks(struct out *out, const json_t *stacks)
{
    static const struct column columns[] = {
        {"samples", COLUMN_NUMBER, STYLE_PLAIN, 0}, {"guessed", COLUMN_NUMBER, STYLE_PLAIN, 0},
        {"waits", COLUMN_NUMBER, STYLE_PLAIN, 0},   {"guessed", COLUMN_NUMBER, STYLE_PLAIN, 0},
        {"stack", COLUMN_FLEXIBLE, STYLE_PLAIN, 0},
    };
    if (!json_array_size(stacks)) {
        return;
    }
    add_title(out, "how stacks end");
    struct table *t = table_new(columns, 5);
    size_t i;
    const json_t *row;
    json_array_foreach(stacks, i, row)
    {
        table_int(t, json_int_at(row, "n_samples", 0));
        table_int(t, json_int_at(row, "n_guessed_samples", 0));
        table_int(t, json_int_at(row, "n_waits", 0));
        table_int(t, json_int_at(row, "n_guessed_waits", 0));
        table_text(t, cause_text(json_text_at(row, "cause", "?")));
    }
    table_print(t, out);
}

static void add_unresolved(struct out *out, const json_t *unresolved)
{
    static const struct column columns[] = {
        {"CPU ms", COLUMN_NUMBER, STYLE_PLAIN, 0},
        {"%", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"binary", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"why", COLUMN_FLEXIBLE, STYLE_PLAIN, 0},
    };
    add_title(out, "code without names");
    if (!json_array_size(unresolved)) {
        buf_addstr(&out->text, "  none\n");
        return;
    }
    struct table *t = table_new(columns, 4);
    size_t i;
    const json_t *row;
    json_array_foreach(unresolved, i, row)
    {
        table_ms(t, json_int_at(row, "on_cpu_ns", 0));
        table_pct(t, json_real_at(row, "pct", 0));
        table_text(t, json_text_at(row, "binary", "?"));
        table_text(t, json_text_at(row, "note", ""));
    }
    table_print(t, out);
}

static void add_abilities(struct out *out, const json_t *abilities)
{
    size_t i;
    const json_t *a;
    if (!json_array_size(abilities)) {
        return;
    }
    add_title(out, "what this host lets a run record");
    json_array_foreach(abilities, i, a)
    {
        bool is_available = json_is_true(json_object_get(a, "is_available"));
        const char *unlock = json_text_at(a, "unlock", "");
        if (strcmp(json_text_at(a, "name", ""), "whole_run") == 0) {
            continue; /* no ability of the host: the run's line says it */
        }
        buf_addstr(&out->text, "  ");
        out_foreign(out, json_text_at(a, "name", "?"));
        buf_addstr(&out->text, is_available ? ": yes" : ": no, ");
        if (!is_available) {
            out_foreign(out, json_text_at(a, "reason", ""));
        }
        if (!is_available && *unlock) {
            buf_addstr(&out->text, "\n    unlock with: ");
            out_foreign(out, unlock);
        }
        buf_addch(&out->text, '\n');
    }
}

void render_diagnose(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    render_run_line(out, document);
    while (out->text.len && out->text.data[out->text.len - 1] == '\n') {
        out->text.data[--out->text.len] = '\0';
    }
    buf_addch(&out->text, '\n');
    add_figures(out, "capture", json_object_get(data, "capture"));
    add_figures(out, "queue", json_object_get(data, "queue"));
    add_figures(out, "ingest", json_object_get(data, "ingest"));
    add_figures(out, "database", json_object_get(data, "database"));
    add_figures(out, "server process", json_object_get(data, "process"));
    add_debuginfod(out, json_object_get(data, "debuginfod"));
    add_figures(out, "quality", json_object_get(document, "quality"));
    add_loss(out, json_object_get(data, "loss"));
    add_stacks(out, json_object_get(data, "stacks"));
    add_unresolved(out, json_object_get(data, "unresolved"));
    add_abilities(out, json_object_get(data, "abilities"));
}
