/* render_wakers.c - who ended whose waits, as a table, with stacks, or as a chain (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

#include "cli/render_stack.h"
#include "cli/table.h"

static void add_waker(struct buf *text, const json_t *o)
{
    const char *thread = json_text_at(o, "waker_thread", NULL);
    const char *kind = json_text_at(o, "waker", NULL);

    if (thread) {
        buf_addstr(text, thread);
    } else {
        buf_addf(text, "[%s]", kind ? kind : "not known");
    }
}

static void add_tid(struct table *t, const json_t *o, const char *key)
{
    if (json_is_integer(json_object_get(o, key))) {
        table_int(t, json_int_at(o, key, 0));
    } else {
        table_none(t);
    }
}

static void add_pair(struct table *t, const json_t *pair)
{
    const json_t *hottest = json_array_get(json_object_get(pair, "stacks"), 0);
    struct buf text = {0};

    add_waker(&text, pair);
    table_text(t, buf_str(&text));
    add_tid(t, pair, "waker_tid");
    table_text(t, json_text_at(pair, "thread", ""));
    add_tid(t, pair, "tid");
    table_int(t, json_int_at(pair, "n_wakeups", 0));
    table_ms(t, json_int_at(pair, "blocked_ns", 0));
    buf_clear(&text);
    render_callers(&text, json_object_get(hottest, "stack"), json_int_at(hottest, "n_inner", 0));
    table_text(t, text.len ? buf_str(&text) : "-");
    buf_free(&text);
}

static void show_pairs(struct out *out, const json_t *pairs)
{
    static const struct column columns[] = {
        {"woken by", COLUMN_FLEXIBLE, STYLE_PLAIN, 0}, {"tid", COLUMN_NUMBER, STYLE_PLAIN, 3},
        {"thread", COLUMN_FLEXIBLE, STYLE_PLAIN, 0},   {"tid", COLUMN_NUMBER, STYLE_PLAIN, 2},
        {"wakeups", COLUMN_NUMBER, STYLE_PLAIN, 0},    {"blocked ms", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"functions", COLUMN_FLEXIBLE, STYLE_CYAN, 1},
    };
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    const json_t *pair;
    size_t i;

    json_array_foreach(pairs, i, pair)
    {
        add_pair(t, pair);
    }
    table_print(t, out);
}

static void show_stacks(struct out *out, const json_t *pair)
{
    struct buf text = {0};
    const json_t *stack;
    size_t i;

    add_waker(&text, pair);
    buf_addstr(&out->text, out_style(out, STYLE_BOLD));
    out_foreign(out, buf_str(&text));
    buf_addf(&out->text, "%s woke ", out_style(out, STYLE_PLAIN));
    out_foreign(out, json_text_at(pair, "thread", "?"));
    buf_addf(&out->text, " (tid %" PRId64 ") %" PRId64 " time%s, %.1f ms blocked\n",
             json_int_at(pair, "tid", 0), json_int_at(pair, "n_wakeups", 0),
             json_int_at(pair, "n_wakeups", 0) == 1 ? "" : "s",
             (double)json_int_at(pair, "blocked_ns", 0) / 1e6);
    json_array_foreach(json_object_get(pair, "stacks"), i, stack)
    {
        buf_addstr(&out->text, "  ");
        render_count(&out->text, json_int_at(stack, "n_wakeups", 0), "time");
        buf_addf(&out->text, ", %.1f ms:\n", (double)json_int_at(stack, "blocked_ns", 0) / 1e6);
        render_stack(out, json_object_get(stack, "stack"));
    }
    buf_free(&text);
}

/* "    in lock_wait < work", if there is a stack. */
static void show_place(struct out *out, const json_t *stack, int64_t n_inner)
{
    struct buf text = {0};

    render_callers(&text, stack, n_inner);
    if (text.len) {
        buf_addstr(&out->text, "    in ");
        out_foreign_cut(out, buf_str(&text), out->width > 12 ? out->width - 7 : out->width);
        buf_addch(&out->text, '\n');
    }
    buf_free(&text);
}

static void show_step(struct out *out, const json_t *step, size_t i, bool is_last)
{
    struct buf waker = {0};

    buf_addf(&out->text, "%s%s%.1f ms%s", i ? "which had waited " : "", out_style(out, STYLE_BOLD),
             (double)json_int_at(step, "dur_ns", 0) / 1e6, out_style(out, STYLE_PLAIN));
    if (!i) {
        buf_addch(&out->text, ' ');
        out_foreign(out, json_text_at(step, "thread", "?"));
        buf_addf(&out->text, " (tid %" PRId64 ")", json_int_at(step, "tid", 0));
    }
    buf_addf(&out->text, "\n    %sfor %s at %.3f s\n", i ? "" : "waited ",
             json_text_at(step, "reason", "?"),
             (double)json_int_at(step, "since_start_ns", 0) / 1e9);
    show_place(out, json_object_get(step, "stack"), json_int_at(step, "n_inner", 0));
    add_waker(&waker, step);
    buf_addstr(&out->text, "  woken by ");
    out_foreign(out, buf_str(&waker));
    if (json_is_integer(json_object_get(step, "waker_tid"))) {
        buf_addf(&out->text, " (tid %" PRId64 ")", json_int_at(step, "waker_tid", 0));
        if (is_last) {
            buf_addstr(&out->text, "\n    no wait of which is known meanwhile");
        } else {
            buf_addf(&out->text, "\n    %.1f ms after its longest wait meanwhile",
                     (double)json_int_at(step, "waker_awake_ns", 0) / 1e6);
        }
    }
    buf_addch(&out->text, '\n');
    show_place(out, json_object_get(step, "waker_stack"), json_int_at(step, "n_waker_inner", 0));
    buf_free(&waker);
}

void render_wakers(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    const json_t *pairs = json_object_get(data, "wakers"), *item;
    double off_cpu_ns = (double)json_int_at(data, "off_cpu_ns", 0);
    double blocked_ns = (double)json_int_at(data, "blocked_ns", 0);
    size_t i;

    render_run_line(out, document);
    if (args && args_has(args, "chain")) {
        json_array_foreach(json_object_get(data, "chain"), i, item)
        {
            show_step(out, item, i, i + 1 == json_array_size(json_object_get(data, "chain")));
        }
        return;
    }
    /* Narrow terminals do without the sums. */
    buf_addf(&out->text, "%" PRId64 " wakeups ended %.1f %% of the waiting",
             json_int_at(data, "n_wakeups", 0),
             off_cpu_ns > 0 ? 100 * blocked_ns / off_cpu_ns : 0.0);
    if (!out->width || out->width >= 80) {
        buf_addf(&out->text, ": %.1f of %.1f ms", blocked_ns / 1e6, off_cpu_ns / 1e6);
    }
    buf_addch(&out->text, '\n');
    if (args && args_has(args, "stacks")) {
        json_array_foreach(pairs, i, item)
        {
            show_stacks(out, item);
        }
    } else {
        show_pairs(out, pairs);
    }
    int64_t n_more = json_int_at(data, "n_pairs", 0) - (int64_t)json_array_size(pairs);
    if (n_more > 0) {
        buf_addf(&out->text, "%s... %" PRId64 " more pair%s (--limit)\n%s",
                 out_style(out, STYLE_DIM), n_more, n_more == 1 ? "" : "s",
                 out_style(out, STYLE_PLAIN));
    }
}
