/* render_host.c - what this host lets runs record, and what is in the way (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <string.h>

enum { NAME_WIDTH = 34, ABILITY_WIDTH = 16 };

static void add_padded(struct out *out, const char *text, size_t width)
{
    size_t n = out->text.len;
    out_foreign(out, text);
    n = out->text.len - n;
    buf_addf(&out->text, "%*s", n < width ? (int)(width - n) : 1, "");
}

/* The way out below what it belongs to. */
static void add_unlock(struct out *out, const char *unlock)
{
    if (*unlock) {
        buf_addstr(&out->text, "      unlock with: ");
        out_foreign(out, unlock);
        buf_addch(&out->text, '\n');
    }
}

static void add_ability(struct out *out, const json_t *a)
{
    bool is_available = json_is_true(json_object_get(a, "is_available"));
    enum style style = is_available ? STYLE_PLAIN : STYLE_RED;
    buf_addstr(&out->text, "  ");
    add_padded(out, json_text_at(a, "name", "?"), ABILITY_WIDTH);
    buf_addf(&out->text, "%s%s%s", out_style(out, style), is_available ? "yes" : "no",
             out_style(out, STYLE_PLAIN));
    if (!is_available) {
        buf_addstr(&out->text, "   ");
        out_foreign(out, json_text_at(a, "reason", ""));
    }
    buf_addch(&out->text, '\n');
    add_unlock(out, is_available ? "" : json_text_at(a, "unlock", ""));
}

static void add_check(struct out *out, const json_t *c)
{
    bool is_ok = json_is_true(json_object_get(c, "is_ok"));
    const char *note = json_text_at(c, "note", "");
    buf_addf(&out->text, "%s%s%s ", out_style(out, STYLE_RED), is_ok ? " " : "!",
             out_style(out, STYLE_PLAIN));
    add_padded(out, json_text_at(c, "name", "?"), NAME_WIDTH);
    out_foreign(out, json_text_at(c, "value", ""));
    if (*note) {
        buf_addstr(&out->text, ": ");
        out_foreign(out, note);
    }
    buf_addch(&out->text, '\n');
    add_unlock(out, is_ok ? "" : json_text_at(c, "unlock", ""));
}

void render_host(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    size_t i;
    const json_t *row;
    (void)args;
    buf_addstr(&out->text, "Linux ");
    out_foreign(out, json_text_at(data, "kernel", "?"));
    buf_addstr(&out->text, ", ");
    render_count(&out->text, json_int_at(data, "n_cpus", 0), "CPU");
    buf_addf(&out->text, ", stax-server runs as uid %" PRId64 "\n\n", json_int_at(data, "uid", 0));
    buf_addf(&out->text, "%swhat a run can record here%s\n", out_style(out, STYLE_BOLD),
             out_style(out, STYLE_PLAIN));
    json_array_foreach(json_object_get(data, "abilities"), i, row)
    {
        add_ability(out, row);
    }
    buf_addf(&out->text, "\n%sthe host%s (! is in the way)\n", out_style(out, STYLE_BOLD),
             out_style(out, STYLE_PLAIN));
    json_array_foreach(json_object_get(data, "checks"), i, row)
    {
        add_check(out, row);
    }
}
