/* cli.c - see cli.h. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum exit_code exit_code_of(int code)
{
    switch (code) {
    case STAX_OK:
        return EXIT_DONE;
    case STAX_EUSAGE:
        return EXIT_USAGE;
    case STAX_ENORUN:
    case STAX_EUNREACHABLE:
        return EXIT_NO_SERVER_OR_RUN;
    case STAX_ETIMEOUT:
        return EXIT_TIMED_OUT;
    case STAX_EPERMISSION:
        return EXIT_NOT_PERMITTED;
    default:
        return EXIT_FAILED;
    }
}

void cli_note(struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *s = NULL;
    if (vasprintf(&s, fmt, args) < 0) {
        abort();
    }
    va_end(args);
    buf_addstr(&cli->err.text, "stax: ");
    out_foreign(&cli->err, s);
    buf_addch(&cli->err.text, '\n');
    out_flush(&cli->err, NULL);
    free(s);
}

/* jansson escapes C0 only; what goes to a terminal is kept in ASCII. */
static void add_json(struct out *o, const json_t *document)
{
    size_t flags = o->is_terminal ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT;
    char *text = json_dumps(document, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    buf_addstr(&o->text, text ? text : "null");
    buf_addch(&o->text, '\n');
    free(text);
}

int cli_fail(struct cli *cli, const struct err *e)
{
    struct out *o = &cli->err;
    if (cli->is_json) {
        json_t *document = json_of_err(e);
        add_json(o, document);
        json_decref(document);
    } else {
        buf_addf(&o->text, "%sstax:%s ", out_style(o, STYLE_RED), out_style(o, STYLE_PLAIN));
        out_foreign(o, e->msg);
        buf_addch(&o->text, '\n');
        if (e->hint[0]) {
            buf_addstr(&o->text, "  ");
            out_foreign(o, e->hint);
            buf_addch(&o->text, '\n');
        }
    }
    out_flush(o, NULL);
    return exit_code_of(e->code ? e->code : STAX_EFAIL);
}

static void add_warnings(struct out *o, const json_t *document)
{
    size_t i;
    const json_t *warning;
    json_array_foreach(json_object_get(document, "warnings"), i, warning)
    {
        if (json_is_string(warning)) {
            buf_addf(&o->text, "%swarning: %s", out_style(o, STYLE_YELLOW),
                     out_style(o, STYLE_PLAIN));
            out_foreign_wrapped(o, json_string_value(warning), strlen("warning: "));
            buf_addch(&o->text, '\n');
        }
    }
}

int cli_show(struct cli *cli, const struct args *args, json_t *document, render_fn *render)
{
    struct err e = {0};
    bool is_json = args && args_has(args, "json");
    if (is_json) {
        add_json(&cli->out, document);
    } else {
        render(&cli->out, document, args);
        add_warnings(&cli->err, document);
    }
    json_decref(document);
    int rc = out_flush(&cli->out, &e);
    out_flush(&cli->err, NULL);
    return rc ? cli_fail(cli, &e) : EXIT_DONE;
}

json_t *cli_document(const char *schema, json_t *data)
{
    json_t *document = json_object();
    json_object_set_new(document, "schema", json_string(schema));
    json_object_set_new(document, "run", json_null());
    json_object_set_new(document, "data", data);
    json_object_set_new(document, "quality", json_null());
    json_object_set_new(document, "warnings", json_array());
    return document;
}
