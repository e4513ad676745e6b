/* render_names.c - what names there are, and what became of looking for more (render.h). */
#include "cli/render.h"

#include <inttypes.h>

#include "cli/table.h"

void render_symbolize(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *data = json_object_get(document, "data");
    if (json_is_true(json_object_get(data, "is_live"))) {
        buf_addstr(&out->text, "the recording looks for names once more; what it finds shows by "
                               "itself\n");
        return;
    }
    buf_addf(&out->text,
             "%" PRId64 " symbols named, %" PRId64 " lines and inlined functions, %" PRId64
             " of %" PRId64 " binaries not here, in %.0f ms\n",
             json_int_at(data, "n_symbols_named", 0), json_int_at(data, "n_lines", 0),
             json_int_at(data, "n_missing", 0), json_int_at(data, "n_binaries", 0),
             json_real_at(data, "elapsed_ms", 0));
    if (!json_is_true(json_object_get(data, "is_complete"))) {
        buf_addstr(&out->text, "not everything was looked at in time: again with a larger "
                               "--timeout-ms\n");
    }
}

void render_symbols(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    static const struct column columns[] = {
        {"unnamed ms", COLUMN_NUMBER, STYLE_PLAIN, 0}, {"%", COLUMN_NUMBER, STYLE_BOLD, 0},
        {"poor ms", COLUMN_NUMBER, STYLE_PLAIN, 0},    {"names", COLUMN_TEXT, STYLE_PLAIN, 0},
        {"binary", COLUMN_FLEXIBLE, STYLE_CYAN, 0},    {"why", COLUMN_FLEXIBLE, STYLE_PLAIN, 0},
    };
    const json_t *data = json_object_get(document, "data");
    const json_t *binaries = json_object_get(data, "binaries");
    if (!json_array_size(binaries)) {
        buf_addstr(&out->text, "all code with samples has names\n");
        return;
    }
    struct table *t = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *row;
    json_array_foreach(binaries, i, row)
    {
        table_ms(t, json_int_at(row, "unnamed_ns", 0));
        table_pct(t, json_real_at(row, "unnamed_pct", 0));
        table_ms(t, json_int_at(row, "poor_ns", 0));
        table_text(t, json_text_at(row, "names_from", "?"));
        table_text(t, json_text_at(row, "binary", "?"));
        table_text(t, json_text_at(row, "why", ""));
    }
    table_print(t, out);
    json_array_foreach(binaries, i, row)
    {
        const char *help = json_text_at(row, "help", "");
        if (help[0]) {
            buf_addch(&out->text, '\n');
            out_foreign(out, json_text_at(row, "binary", "?"));
            buf_addstr(&out->text, ":\n  ");
            out_foreign(out, help);
            buf_addch(&out->text, '\n');
        }
    }
}
