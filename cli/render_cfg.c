/* render_cfg.c - basic blocks of a function as text and as a DOT graph (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/render_code.h"

/* Edges come in the order of the blocks they leave: where those of the next block begin. */
static size_t add_edges(struct out *out, const json_t *edges, size_t next, int64_t block)
{
    const json_t *edge;
    const char *separator = "  -> ";

    while ((edge = json_array_get(edges, next)) != NULL && json_int_at(edge, "from", -1) == block) {
        buf_addstr(&out->text, separator);
        if (json_is_integer(json_object_get(edge, "to"))) {
            buf_addf(&out->text, "%" PRId64, json_int_at(edge, "to", 0));
        } else {
            buf_addf(&out->text, "outside %" PRIx64, (uint64_t)json_int_at(edge, "target", 0));
        }
        buf_addf(&out->text, " (%s)", json_text_at(edge, "kind", "?"));
        separator = ", ";
        next++;
    }
    return next;
}

static void add_block(struct out *out, const json_t *data, const json_t *block, size_t *next_edge,
                      const struct code_sums *sums, bool is_all)
{
    const json_t *instructions = json_object_get(data, "instructions");
    int64_t first = json_int_at(block, "first_instruction", 0);
    int64_t n = json_int_at(block, "n_instructions", 0), id = json_int_at(block, "id", 0);
    int64_t hottest = json_int_at(data, "hottest", -1);
    const char *ends_in = json_text_at(block, "ends_in", "");

    buf_addf(&out->text,
             "%sblock %" PRId64 "%s  %" PRIx64 "  %" PRId64 " instructions, %" PRId64
             " samples, %.1f %%",
             out_style(out, STYLE_BOLD), id, out_style(out, STYLE_PLAIN), code_address(block), n,
             json_int_at(block, "n_samples", 0), json_real_at(block, "pct", 0));
    *next_edge = add_edges(out, json_object_get(data, "edges"), *next_edge, id);
    if (json_is_true(json_object_get(block, "is_indirect"))) {
        buf_addstr(&out->text, "  -> anywhere (indirect)");
    } else if (strcmp(ends_in, "return") == 0 || strcmp(ends_in, "stop") == 0) {
        buf_addf(&out->text, "  %s", ends_in);
    }
    buf_addch(&out->text, '\n');
    for (int64_t i = first; i < first + n && (is_all || json_int_at(block, "n_samples", 0)); i++) {
        const json_t *in = json_array_get(instructions, (size_t)i);
        code_draw_sums(out, sums, in, i == hottest);
        buf_addf(&out->text, " %s%6" PRIx64 "%s  ", out_style(out, STYLE_DIM), code_address(in),
                 out_style(out, STYLE_PLAIN));
        size_t used = sums->width + 14;
        code_draw_text(out, in, out->width > used + 12 ? out->width - used : out->width ? 12 : 0);
        buf_addch(&out->text, '\n');
    }
}

static void add_outside(struct out *out, const json_t *data)
{
    int64_t n = json_int_at(data, "n_outside_samples", 0);

    if (n > 0) {
        buf_addf(&out->text, "%s%" PRId64 " samples, %.1f ms, are in no block%s\n",
                 out_style(out, STYLE_RED), n,
                 (double)json_int_at(data, "outside_on_cpu_ns", 0) / 1e6,
                 out_style(out, STYLE_PLAIN));
    }
}

/* Inside a quoted string of DOT. */
static void add_quoted(struct out *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            buf_addch(&out->text, '\\');
        }
        buf_addch(&out->text, *text);
    }
}

static void add_dot_block(struct out *out, const json_t *data, const json_t *block, double max_pct)
{
    const json_t *instructions = json_object_get(data, "instructions");
    int64_t first = json_int_at(block, "first_instruction", 0);
    int64_t n = json_int_at(block, "n_instructions", 0);
    double pct = json_real_at(block, "pct", 0);

    buf_addf(&out->text,
             "  b%" PRId64 " [fillcolor=\"0.0 %.3f 1.0\", label=\"block %" PRId64 "  %.1f %%\\l",
             json_int_at(block, "id", 0), max_pct > 0 ? pct / max_pct : 0.0,
             json_int_at(block, "id", 0), pct);
    for (int64_t i = first; i < first + n; i++) {
        const json_t *in = json_array_get(instructions, (size_t)i);
        const char *name = json_text_at(in, "target_name", NULL);
        buf_addf(&out->text, "%" PRIx64 "  ", code_address(in));
        add_quoted(out, json_text_at(in, "mnemonic", "?"));
        buf_addch(&out->text, ' ');
        add_quoted(out, name ? name : json_text_at(in, "operands", ""));
        buf_addstr(&out->text, "\\l");
    }
    buf_addstr(&out->text, "\"];\n");
}

static void render_dot(struct out *out, const json_t *data)
{
    const json_t *blocks = json_object_get(data, "blocks"), *edges = json_object_get(data, "edges");
    const json_t *item;
    double max_pct = code_max_pct(blocks);
    size_t i;

    buf_addstr(&out->text, "digraph \"");
    add_quoted(out, json_text_at(json_object_get(data, "function"), "name", "?"));
    buf_addstr(&out->text, "\" {\n  node [shape=box, style=filled, fontname=monospace];\n");
    json_array_foreach(blocks, i, item)
    {
        add_dot_block(out, data, item, max_pct);
    }
    json_array_foreach(edges, i, item)
    {
        int64_t from = json_int_at(item, "from", 0);
        const char *kind = json_text_at(item, "kind", "");
        if (json_is_integer(json_object_get(item, "to"))) {
            buf_addf(&out->text, "  b%" PRId64 " -> b%" PRId64 " [label=\"%s\"];\n", from,
                     json_int_at(item, "to", 0), kind);
        } else {
            buf_addf(&out->text, "  b%" PRId64 " -> \"outside %" PRIx64 "\" [label=\"%s\"];\n",
                     from, (uint64_t)json_int_at(item, "target", 0), kind);
        }
    }
    buf_addstr(&out->text, "}\n");
}

void render_cfg(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    const json_t *block;
    struct code_sums sums;
    size_t next_edge = 0, i;

    if (args && args_has(args, "dot")) {
        render_dot(out, data);
        return;
    }
    code_sums_init(&sums, out, data);
    render_run_line(out, document);
    code_draw_function(out, data);
    json_array_foreach(json_object_get(data, "blocks"), i, block)
    {
        add_block(out, data, block, &next_edge, &sums, args && args_has(args, "all"));
    }
    add_outside(out, data);
}
