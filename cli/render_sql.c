/* render_sql.c - results of SQL (render.h). */
#include "cli/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/table.h"

/* The text of a value as sqlite3's shell prints it; NULL is empty. */
static void add_value(struct buf *b, const json_t *value)
{
    if (json_is_string(value)) {
        buf_add(b, json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        buf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        buf_addstr(b, text ? text : "");
        free(text);
    }
}

/* A column is a number column when no value in it is text and one is a number. */
static enum column_kind kind_of(const json_t *rows, size_t column)
{
    bool has_number = false;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        const json_t *value = json_array_get(row, column);
        if (json_is_string(value)) {
            return COLUMN_FLEXIBLE;
        }
        has_number = has_number || json_is_number(value);
    }
    return has_number ? COLUMN_NUMBER : COLUMN_FLEXIBLE;
}

void render_sql_table(struct out *out, const json_t *data)
{
    const json_t *names = json_object_get(data, "columns");
    const json_t *rows = json_object_get(data, "rows");
    size_t n = json_array_size(names);
    if (n == 0) {
        return;
    }
    struct column *columns = mem_new(n, sizeof *columns);
    char **titles = mem_new(n, sizeof *titles);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct out clean = {0};
        out_foreign(&clean, name ? name : "");
        titles[i] = buf_take(&clean.text);
        columns[i] = (struct column){titles[i], kind_of(rows, i), STYLE_PLAIN, 0};
    }
    struct table *t = table_new(columns, n);
    size_t row_number;
    const json_t *row;
    struct buf cell = {0};
    json_array_foreach(rows, row_number, row)
    {
        for (size_t i = 0; i < n; i++) {
            buf_clear(&cell);
            add_value(&cell, json_array_get(row, i));
            table_textn(t, buf_str(&cell), cell.len);
        }
    }
    table_print(t, out);
    buf_free(&cell);
    for (size_t i = 0; i < n; i++) {
        free(titles[i]);
    }
    free(titles);
    free(columns);
}

static void add_csv_row(struct out *out, const json_t *values)
{
    struct buf cell = {0};
    size_t i;
    const json_t *value;
    json_array_foreach(values, i, value)
    {
        buf_addstr(&out->text, i ? "," : "");
        buf_clear(&cell);
        add_value(&cell, value);
        const char *s = buf_str(&cell);
        /* An empty string is quoted, NULL is not, so that the two stay apart. */
        const char *end = s + cell.len;
        bool is_quoted = json_is_string(value) && cell.len == 0;
        for (size_t n = 0; n < cell.len && !is_quoted; n++) {
            is_quoted = s[n] && strchr(",\"\r\n", s[n]);
        }
        buf_addstr(&out->text, is_quoted ? "\"" : "");
        for (; s < end; s++) {
            if (*s == '"') {
                buf_addch(&out->text, '"');
            }
            /* A terminal gets no control bytes; a file or pipe gets the values as they are. */
            if (out->is_terminal && ((unsigned char)*s < 0x20 || *s == 0x7f) && *s != '\n') {
                buf_addf(&out->text, "\\x%02x", *s);
            } else {
                buf_addch(&out->text, *s);
            }
        }
        buf_addstr(&out->text, is_quoted ? "\"" : "");
    }
    buf_addstr(&out->text, "\n");
    buf_free(&cell);
}

void render_sql_csv(struct out *out, const json_t *data)
{
    size_t i;
    const json_t *row;
    add_csv_row(out, json_object_get(data, "columns"));
    json_array_foreach(json_object_get(data, "rows"), i, row)
    {
        add_csv_row(out, row);
    }
}

void render_sql(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    if (args && args_has(args, "csv")) {
        render_sql_csv(out, data);
    } else {
        render_sql_table(out, data);
    }
}
