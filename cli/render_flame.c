/* render_flame.c - the call tree as indented text (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    MIN_NAME = 8,
    MIN_CUT = 12,
    MIN_SUFFIXED = 24,
    INDENT = 2,
    MAX_DEPTH = 4096,
    SHARE_WIDTH = 8
};

/* Which members of the nodes are shown: CPU time, or that of waits. */
struct keys {
    const char *all, *total, *self;
};

static const struct keys keys_on_cpu = {"on_cpu_ns", "total_on_cpu_ns", "self_on_cpu_ns"};
static const struct keys keys_off_cpu = {"off_cpu_ns", "total_off_cpu_ns", "self_off_cpu_ns"};

struct columns {
    const struct keys *keys;
    int total_width; /* of the widest "total ms" and "self ms" */
    int self_width;
    size_t name_width; /* what is left for indentation and name, 0: no limit */
    bool has_share;    /* of the function at the root: callers and callees */
    int64_t n_hidden;  /* children left out whose line was left out too */
    double hidden_ns;
};

#define CUT_SHOWN_PCT 0.5 /* children left out get a line from this share of the run on */

static int ms_width(int64_t ns, const char *title)
{
    int n = snprintf(NULL, 0, "%.1f", (double)ns / 1e6);
    int least = (int)strlen(title);
    return n > least ? n : least;
}

static void measure(const json_t *nodes, struct columns *c, int depth)
{
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node)
    {
        int total = ms_width(json_int_at(node, c->keys->total, 0), "total ms");
        int self = ms_width(json_int_at(node, c->keys->self, 0), "self ms");
        c->total_width = total > c->total_width ? total : c->total_width;
        c->self_width = self > c->self_width ? self : c->self_width;
        if (depth < MAX_DEPTH) {
            measure(json_object_get(node, "children"), c, depth + 1);
        }
    }
}

/* Deep trees indent no further than leaves half of the column, and least columns, for the text. */
static size_t add_indent(struct out *out, const struct columns *c, int depth, size_t least)
{
    size_t indent = (size_t)depth * INDENT;
    if (c->name_width) {
        size_t most = c->name_width > least ? c->name_width - least : 0;
        most = most > c->name_width / 2 ? c->name_width / 2 : most;
        indent = indent > most ? most : indent;
    }
    for (size_t i = 0; i < indent; i++) {
        buf_addch(&out->text, ' ');
    }
    return indent;
}

static void add_name(struct out *out, const struct columns *c, const json_t *node, int depth)
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

/* One line for the children left out; those that hardly matter are only counted, since a line of
 * 0.1 % under every function would drown the tree. */
static void add_cut(struct out *out, struct columns *c, const json_t *cut, double all_ns, int depth)
{
    int64_t n = json_int_at(cut, "n_nodes", 0);
    double cut_ns = (double)json_int_at(cut, c->keys->total, 0);
    double pct = all_ns > 0 ? 100 * cut_ns / all_ns : 0;
    if (n == 0) {
        return;
    }
    if (pct < CUT_SHOWN_PCT) {
        c->n_hidden += n;
        c->hidden_ns += cut_ns;
        return;
    }
    buf_addf(&out->text, "%s%*.1f  %7.1f  %*s%*s  ", out_style(out, STYLE_DIM), c->total_width,
             cut_ns / 1e6, pct, c->has_share ? SHARE_WIDTH : 0, "", c->self_width, "");
    add_indent(out, c, depth, MIN_CUT);
    buf_addf(&out->text, "... %" PRId64 " more%s\n", n, out_style(out, STYLE_PLAIN));
}

static void add_nodes(struct out *out, struct columns *c, const json_t *nodes, double all_ns,
                      int depth)
{
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node)
    {
        buf_addf(&out->text, "%*.1f  %s%7.1f%s  ", c->total_width,
                 (double)json_int_at(node, c->keys->total, 0) / 1e6, out_style(out, STYLE_BOLD),
                 json_real_at(node, "total_pct", 0), out_style(out, STYLE_PLAIN));
        if (c->has_share) {
            buf_addf(&out->text, "%s%*.1f%s  ", out_style(out, STYLE_BOLD), SHARE_WIDTH - 2,
                     json_real_at(node, "root_pct", 0), out_style(out, STYLE_PLAIN));
        }
        buf_addf(&out->text, "%*.1f  ", c->self_width,
                 (double)json_int_at(node, c->keys->self, 0) / 1e6);
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
    if (json_object_get(data, keys_off_cpu.all)) {
        c.keys = &keys_off_cpu;
    }
    render_run_line(out, document);
    measure(roots, &c, 0);
    c.has_share = json_object_get(json_array_get(roots, 0), "root_pct") != NULL;
    size_t used = (size_t)c.total_width + (size_t)c.self_width + 7 + 6;
    used += c.has_share ? SHARE_WIDTH : 0;
    if (out->width) {
        c.name_width = out->width > used + MIN_NAME ? out->width - used : MIN_NAME;
    }
    buf_addf(&out->text, "%s%*s  total %%  %s%*s  function%s\n", out_style(out, STYLE_BOLD),
             c.total_width, "total ms", c.has_share ? "root %  " : "", c.self_width, "self ms",
             out_style(out, STYLE_PLAIN));
    double all_ns = (double)json_int_at(data, c.keys->all, 0);
    add_nodes(out, &c, roots, all_ns, 0);
    add_cut(out, &c, json_object_get(data, "cut"), all_ns, 0);
    if (c.n_hidden) {
        bool is_narrow = c.name_width && c.name_width < MIN_SUFFIXED + 12;
        buf_addf(&out->text, "%s%*.1f  %7.1f  %*s  %s%" PRId64 "%s%s\n", out_style(out, STYLE_DIM),
                 c.total_width, c.hidden_ns / 1e6, all_ns > 0 ? 100 * c.hidden_ns / all_ns : 0,
                 c.self_width + (c.has_share ? SHARE_WIDTH : 0), "", is_narrow ? "... " : "in ",
                 c.n_hidden, is_narrow ? " small" : " small subtrees not listed",
                 out_style(out, STYLE_PLAIN));
    }
}
