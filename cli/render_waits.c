/* render_waits.c - single waits as a table, or each with its stack (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/render_stack.h"
#include "cli/table.h"

/* "read < fill_buffer < parse": the function that waits, and its callers. */
static void add_functions(struct table *t, const json_t *wait)
{
    struct buf text = {0};

    render_callers(&text, json_object_get(wait, "stack"), json_int_at(wait, "n_inner", 0));
    table_text(t, text.len ? buf_str(&text) : "-");
    buf_free(&text);
}

/* The thread that ended the wait, or what else did. */
static void add_waker(struct table *t, const json_t *wait)
{
    const char *thread = json_text_at(wait, "waker_thread", NULL);
    const char *kind = json_text_at(wait, "waker", NULL);

    if (thread) {
        table_textf(t, "%s %" PRId64, thread, json_int_at(wait, "waker_tid", 0));
    } else if (kind) {
        table_textf(t, "[%s]", kind);
    } else {
        table_none(t);
    }
}

static const char *reason_text(const json_t *wait)
{
    return json_text_at(wait, "reason", json_text_at(wait, "state", "?"));
}

static void add_wait(struct table *t, const json_t *wait)
{
    bool is_open = json_is_true(json_object_get(wait, "is_open"));

    table_textf(t, "%.3f", (double)json_int_at(wait, "since_start_ns", 0) / 1e9);
    table_textf(t, "%.1f%s", (double)json_int_at(wait, "dur_ns", 0) / 1e6, is_open ? "+" : " ");
    table_text(t, reason_text(wait));
    table_int(t, json_int_at(wait, "tid", 0));
    table_text(t, json_text_at(wait, "thread", ""));
    add_functions(t, wait);
    add_waker(t, wait);
    table_text(t, json_text_at(wait, "reason_from", "-"));
    table_text(t, json_text_at(wait, "stack_from", "-"));
}

static void show_stack(struct out *out, const json_t *wait)
{
    const char *waker = json_text_at(wait, "waker_thread", json_text_at(wait, "waker", NULL));
    bool is_open = json_is_true(json_object_get(wait, "is_open"));

    buf_addf(&out->text, "%s%.1f ms%s %s%s at %.3f s, tid %" PRId64 " ", out_style(out, STYLE_BOLD),
             (double)json_int_at(wait, "dur_ns", 0) / 1e6, is_open ? " so far" : "",
             reason_text(wait), out_style(out, STYLE_PLAIN),
             (double)json_int_at(wait, "since_start_ns", 0) / 1e9, json_int_at(wait, "tid", 0));
    out_foreign(out, json_text_at(wait, "thread", ""));
    buf_addf(&out->text, " (reason: %s, stack: %s)", json_text_at(wait, "reason_from", "-"),
             json_text_at(wait, "stack_from", "-"));
    if (waker) {
        buf_addstr(&out->text, ", woken by ");
        out_foreign(out, waker);
    }
    buf_addch(&out->text, '\n');
    render_stack(out, json_object_get(wait, "stack"));
}

void render_waits(struct out *out, const json_t *document, const struct args *args)
{
    static const struct column columns[] = {
        {"at s", COLUMN_NUMBER, STYLE_PLAIN, 3},
        {"ms ", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"reason", COLUMN_TEXT, STYLE_PLAIN, 0},
        {"tid", COLUMN_NUMBER, STYLE_PLAIN, 2},
        {"thread", COLUMN_FLEXIBLE, STYLE_PLAIN, 1},
        {"functions", COLUMN_FLEXIBLE, STYLE_CYAN, 0},
        {"woken by", COLUMN_FLEXIBLE, STYLE_PLAIN, 3},
        {"reason from", COLUMN_TEXT, STYLE_DIM, 5},
        {"stack from", COLUMN_TEXT, STYLE_DIM, 4},
    };
    const json_t *data = json_object_get(document, "data");
    const json_t *waits = json_object_get(data, "waits"), *wait;
    bool has_stacks = args && args_has(args, "stacks");
    struct table *t = has_stacks ? NULL : table_new(columns, sizeof columns / sizeof *columns);
    size_t i;

    render_run_line(out, document);
    json_array_foreach(waits, i, wait)
    {
        if (has_stacks) {
            show_stack(out, wait);
        } else {
            add_wait(t, wait);
        }
    }
    if (t) {
        table_print(t, out);
    }
    int64_t n_more = json_int_at(data, "n_waits", 0) - (int64_t)json_array_size(waits);
    int64_t n_folded = json_int_at(data, "n_folded", 0);
    buf_addstr(&out->text, out_style(out, STYLE_DIM));
    if (n_more > 0) {
        buf_addf(&out->text, "... %" PRId64 " more wait%s (--limit)\n", n_more,
                 n_more == 1 ? "" : "s");
    }
    if (n_folded > 0) {
        buf_addf(&out->text, "... %" PRId64 " short ones kept as sums only, %.1f ms in all\n",
                 n_folded, (double)json_int_at(data, "folded_off_cpu_ns", 0) / 1e6);
    }
    buf_addstr(&out->text, out_style(out, STYLE_PLAIN));
}
