/* render_flame.c - the call tree as indented text (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/table.h"

enum {
    MIN_NAME = 8,
    MIN_CUT = 12,
    MIN_SUFFIXED = 24,
    INDENT = 2,
    MAX_DEPTH = 4096,
    SHARE_WIDTH = 8
};

/* Which members of the nodes are shown: CPU time, that of waits, or a counter. */
struct keys {
    const char *all, *total, *self;
    const char *total_title, *self_title;
    bool is_counter; /* members of "counters", "total_counters" and "self_counters" */
};

static const struct keys keys_on_cpu = {"on_cpu_ns", "total_on_cpu_ns", "self_on_cpu_ns",
                                        "total ms",  "self ms",         false};
static const struct keys keys_off_cpu = {"off_cpu_ns", "total_off_cpu_ns", "self_off_cpu_ns",
                                         "total ms",   "self ms",          false};

struct columns {
    const struct keys *keys;
    int total_width; /* of the widest "total ms" and "self ms" */
    int self_width;
    size_t name_width; /* what is left for indentation and name, 0: no limit */
    bool has_share;    /* of the function at the root: callers and callees */
    int64_t n_hidden;  /* children left out whose line was left out too */
    double hidden_ns;
    bool is_hidden_deep, is_hidden_small; /* why */
    bool is_capped;                       /* some levels are too deep for their indentation */
};

#define CUT_SHOWN_PCT 0.5 /* children left out get a line from this share of the run on */

static int64_t value_at(const struct keys *keys, const json_t *node, bool is_total)
{
    const char *key = is_total ? keys->total : keys->self;
    if (keys->is_counter) {
        return json_int_at(json_object_get(node, is_total ? "total_counters" : "self_counters"),
                           key, 0);
    }
    return json_int_at(node, key, 0);
}

enum { VALUE_BYTES = 32 };

static const char *format_value(const struct keys *keys, double value, char text[VALUE_BYTES])
{
    if (keys->is_counter) {
        table_format_count(text, VALUE_BYTES, (int64_t)value);
    } else {
        snprintf(text, VALUE_BYTES, "%.1f", value / 1e6);
    }
    return text;
}

static void widen(int *width, const struct keys *keys, const json_t *node, bool is_total)
{
    char text[VALUE_BYTES];
    int n = (int)strlen(format_value(keys, (double)value_at(keys, node, is_total), text));
    *width = n > *width ? n : *width;
}

static void measure(const json_t *nodes, struct columns *c, int depth)
{
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node)
    {
        widen(&c->total_width, c->keys, node, true);
        widen(&c->self_width, c->keys, node, false);
        if (depth < MAX_DEPTH) {
            measure(json_object_get(node, "children"), c, depth + 1);
        }
    }
}

/* Deep trees indent no further than leaves half of the column, and least columns, for the text: the
 * number of the level stands there instead. */
static size_t add_indent(struct out *out, struct columns *c, int depth, size_t least)
{
    size_t indent = (size_t)depth * INDENT;
    char level[16];
    size_t n_level = (size_t)snprintf(level, sizeof(level), "%d ", depth);
    if (c->name_width) {
        size_t most = c->name_width > least ? c->name_width - least : 0;
        most = most > c->name_width / 2 ? c->name_width / 2 : most;
        if (indent > most) {
            c->is_capped = true;
            indent = most > n_level ? most : n_level;
            buf_addf(&out->text, "%*s", (int)indent, level);
            return indent;
        }
    }
    for (size_t i = 0; i < indent; i++) {
        buf_addch(&out->text, ' ');
    }
    return indent;
}

static void add_name(struct out *out, struct columns *c, const json_t *node, int depth)
{
    const char *kind = json_text_at(node, "kind", "function");
    bool is_process = strcmp(kind, "process") == 0;
    bool is_inlined = json_is_true(json_object_get(node, "is_inlined"));
    const char *suffix = is_process ? " (process)" : is_inlined ? " (inlined)" : "";
    if (c->name_width && c->name_width < MIN_SUFFIXED) {
        suffix = "";
    }
    size_t indent = add_indent(out, c, depth, MIN_NAME);
    size_t used = indent + strlen(suffix);
    size_t left = c->name_width == 0 ? 0 : c->name_width > used + 4 ? c->name_width - used : 4;
    buf_addstr(&out->text, out_style(out, is_process ? STYLE_BOLD : STYLE_CYAN));
    out_foreign_cut(out, json_text_at(node, "name", "?"), left);
    buf_addf(&out->text, "%s%s\n", out_style(out, STYLE_PLAIN), suffix);
}

/* The end of a line of what was left out: how much, and the option that shows it, if there is room.
 */
static void add_more(struct out *out, const struct columns *c, size_t indent, int64_t n,
                     const char *options)
{
    struct buf text = {0};
    size_t left = c->name_width > indent ? c->name_width - indent : 0;
    buf_addf(&text, "... %" PRId64 " more %s (%s)", n, n == 1 ? "subtree" : "subtrees", options);
    if (c->name_width && text.len > left) {
        buf_clear(&text);
        buf_addf(&text, "... %" PRId64 " more", n);
    }
    buf_addf(&out->text, "%s%s\n", buf_str(&text), out_style(out, STYLE_PLAIN));
    buf_free(&text);
}

/* One line for the children left out; those that hardly matter are only counted, since a line of
 * 0.1 % under every function would drown the tree. */
static void add_cut(struct out *out, struct columns *c, const json_t *cut, double all_ns, int depth)
{
    int64_t n = json_int_at(cut, "n_nodes", 0);
    double cut_ns = (double)value_at(c->keys, cut, true);
    char text[VALUE_BYTES];
    double pct = all_ns > 0 ? 100 * cut_ns / all_ns : 0;
    if (n == 0) {
        return;
    }
    bool is_deep = json_is_true(json_object_get(cut, "is_deep"));
    if (pct < CUT_SHOWN_PCT) {
        c->n_hidden += n;
        c->hidden_ns += cut_ns;
        c->is_hidden_deep |= is_deep;
        c->is_hidden_small |= !is_deep;
        return;
    }
    buf_addf(&out->text, "%s%*s  %7.1f  %*s%*s  ", out_style(out, STYLE_DIM), c->total_width,
             format_value(c->keys, cut_ns, text), pct, c->has_share ? SHARE_WIDTH : 0, "",
             c->self_width, "");
    size_t indent = add_indent(out, c, depth, MIN_CUT);
    add_more(out, c, indent, n, is_deep ? "--max-depth" : "--threshold-pct");
}

static void add_nodes(struct out *out, struct columns *c, const json_t *nodes, double all_ns,
                      int depth)
{
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node)
    {
        char total[VALUE_BYTES], self[VALUE_BYTES];
        buf_addf(&out->text, "%*s  %s%7.1f%s  ", c->total_width,
                 format_value(c->keys, (double)value_at(c->keys, node, true), total),
                 out_style(out, STYLE_BOLD), json_real_at(node, "total_pct", 0),
                 out_style(out, STYLE_PLAIN));
        if (c->has_share) {
            buf_addf(&out->text, "%s%*.1f%s  ", out_style(out, STYLE_BOLD), SHARE_WIDTH - 2,
                     json_real_at(node, "root_pct", 0), out_style(out, STYLE_PLAIN));
        }
        buf_addf(&out->text, "%*s  ", c->self_width,
                 format_value(c->keys, (double)value_at(c->keys, node, false), self));
        add_name(out, c, node, depth);
        if (depth < MAX_DEPTH) {
            add_nodes(out, c, json_object_get(node, "children"), all_ns, depth + 1);
        }
        add_cut(out, c, json_object_get(node, "cut"), all_ns, depth + 1);
    }
}

void render_flame(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    const json_t *roots = json_object_get(data, "roots");
    struct columns c = {.total_width = 8, .self_width = 7, .keys = &keys_on_cpu};
    const char *by = json_text_at(data, "by", "on_cpu");
    const struct keys keys_by = {by, by, by, "total", "self", true};
    if (json_object_get(data, keys_off_cpu.all)) {
        c.keys = &keys_off_cpu;
    } else if (strcmp(by, "on_cpu") != 0) {
        c.keys = &keys_by;
    }
    render_run_line(out, document);
    render_by_line(out, data);
    measure(roots, &c, 0);
    c.has_share = json_object_get(json_array_get(roots, 0), "root_pct") != NULL;
    size_t used = (size_t)c.total_width + (size_t)c.self_width + 7 + 6;
    used += c.has_share ? SHARE_WIDTH : 0;
    if (out->width) {
        c.name_width = out->width > used + MIN_NAME ? out->width - used : MIN_NAME;
    }
    buf_addf(&out->text, "%s%*s  total %%  %s%*s  function%s\n", out_style(out, STYLE_BOLD),
             c.total_width, c.keys->total_title, c.has_share ? "root %  " : "", c.self_width,
             c.keys->self_title, out_style(out, STYLE_PLAIN));
    const json_t *sums = c.keys->is_counter ? json_object_get(data, "counters") : data;
    double all_ns = (double)json_int_at(sums, c.keys->all, 0);
    add_nodes(out, &c, roots, all_ns, 0);
    add_cut(out, &c, json_object_get(data, "cut"), all_ns, 0);
    if (c.n_hidden) {
        char text[VALUE_BYTES];
        buf_addf(&out->text, "%s%*s  %7.1f  %*s  ", out_style(out, STYLE_DIM), c.total_width,
                 format_value(c.keys, c.hidden_ns, text),
                 all_ns > 0 ? 100 * c.hidden_ns / all_ns : 0,
                 c.self_width + (c.has_share ? SHARE_WIDTH : 0), "");
        add_more(out, &c, 0, c.n_hidden,
                 !c.is_hidden_deep   ? "--threshold-pct"
                 : c.is_hidden_small ? "--threshold-pct, --max-depth"
                                     : "--max-depth");
    }
    if (c.is_capped) {
        buf_addstr(&out->text, out_style(out, STYLE_DIM));
        out_foreign_wrapped(out, "numbers are levels too deep to indent", 0);
        buf_addf(&out->text, "%s\n", out_style(out, STYLE_PLAIN));
    }
}
