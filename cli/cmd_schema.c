/* cmd_schema.c - stax schema: what the documents of --json look like. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/schemas/annotate.json.h"
#include "cli/schemas/cfg.json.h"
#include "cli/schemas/callers.json.h"
#include "cli/schemas/compare.json.h"
#include "cli/schemas/diagnose.json.h"
#include "cli/schemas/diagnose_host.json.h"
#include "cli/schemas/document.json.h"
#include "cli/schemas/error.json.h"
#include "cli/schemas/flame.json.h"
#include "cli/schemas/help.json.h"
#include "cli/schemas/list.json.h"
#include "cli/schemas/open.json.h"
#include "cli/schemas/record.json.h"
#include "cli/schemas/save.json.h"
#include "cli/schemas/schema.json.h"
#include "cli/schemas/select_run.json.h"
#include "cli/schemas/setup.json.h"
#include "cli/schemas/sql.json.h"
#include "cli/schemas/sql_path.json.h"
#include "cli/schemas/sql_tables.json.h"
#include "cli/schemas/sql_results.json.h"
#include "cli/schemas/sql_schema.json.h"
#include "cli/schemas/status.json.h"
#include "cli/schemas/stop.json.h"
#include "cli/schemas/symbolize.json.h"
#include "cli/schemas/symbols.json.h"
#include "cli/schemas/threads.json.h"
#include "cli/schemas/top.json.h"
#include "cli/schemas/version.json.h"
#include "cli/schemas/wait.json.h"
#include "cli/schemas/waits.json.h"
#include "cli/schemas/wakers.json.h"

/* The data member of each document; all else is the same in all of them. */
static const struct {
    const char *name;
    const char *id; /* the schema member of the document, NULL: not a document of that form */
    const char *text;
} schemas[] = {
    {"record", "stax.record/1", record_schema},
    {"top", "stax.top/1", top_schema},
    {"flame", "stax.flame/1", flame_schema},
    {"callers", "stax.callers/1", callers_schema},
    {"callees", "stax.callees/1", callers_schema},
    {"compare", "stax.compare/1", compare_schema},
    {"threads", "stax.threads/1", threads_schema},
    {"waits", "stax.waits/1", waits_schema},
    {"wakers", "stax.wakers/1", wakers_schema},
    {"annotate", "stax.annotate/1", annotate_schema},
    {"cfg", "stax.cfg/1", cfg_schema},
    {"sql", "stax.sql/1", sql_schema},
    {"sql-path", "stax.sql-path/1", sql_path_schema},
    {"sql-results", "stax.sql-results/1", sql_results_schema},
    {"sql-tables", "stax.sql-tables/1", sql_tables_schema},
    {"sql-schema", "stax.sql-schema/1", sql_schema_schema},
    {"status", "stax.status/1", status_schema},
    {"list", "stax.list/1", list_schema},
    {"wait", "stax.wait/1", wait_schema},
    {"stop", "stax.stop/1", stop_schema},
    {"save", "stax.save/1", save_schema},
    {"symbolize", "stax.symbolize/1", symbolize_schema},
    {"symbols", "stax.symbols/1", symbols_schema},
    {"open", "stax.open/1", open_schema},
    {"select-run", "stax.select-run/1", select_run_schema},
    {"diagnose", "stax.diagnose/1", diagnose_schema},
    {"diagnose-host", "stax.diagnose-host/1", diagnose_host_schema},
    {"setup", "stax.setup/1", setup_schema},
    {"schema", "stax.schema/1", schema_schema},
    {"help", "stax.help/1", help_schema},
    {"version", "stax.version/1", version_schema},
    {"error", NULL, error_schema},
};

enum { N_SCHEMAS = sizeof schemas / sizeof *schemas };

static json_t *whole_schema(size_t i)
{
    json_t *data = json_loads(schemas[i].text, 0, NULL);
    if (!schemas[i].id) {
        return data;
    }
    json_t *document = json_loads(document_schema, 0, NULL);
    json_t *properties = json_object_get(document, "properties");
    json_t *title = json_sprintf("stax %s --json", schemas[i].name);
    json_object_set_new(document, "title", title);
    json_object_set_new(json_object_get(properties, "schema"), "const", json_string(schemas[i].id));
    json_object_set_new(properties, "data", data);
    return document;
}

static int show_schema(struct cli *cli, size_t i)
{
    struct err e = {0};
    json_t *schema = whole_schema(i);
    char *text = json_dumps(schema, JSON_INDENT(2));
    buf_addf(&cli->out.text, "%s\n", text ? text : "null");
    free(text);
    json_decref(schema);
    return out_flush(&cli->out, &e) ? cli_fail(cli, &e) : EXIT_DONE;
}

static void render_names(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(json_object_get(document, "data"), "names"), i, name)
    {
        buf_addf(&out->text, "%s\n", json_string_value(name));
    }
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    const char *names[N_SCHEMAS + 1] = {0};
    json_t *list = json_array();
    for (size_t i = 0; i < N_SCHEMAS; i++) {
        names[i] = schemas[i].name;
        json_array_append_new(list, json_string(names[i]));
        if (args->n_operands && strcmp(names[i], args->operands[0]) == 0) {
            json_decref(list);
            return show_schema(cli, i);
        }
    }
    if (!args->n_operands) {
        json_t *data = json_object();
        json_object_set_new(data, "names", list);
        return cli_show(cli, args, cli_document("stax.schema/1", data), render_names);
    }
    json_decref(list);
    err_set(&e, STAX_EUSAGE, "there is no schema '%s'", args->operands[0]);
    err_hint(&e, "'stax schema' lists them");
    args_suggest(&e, args->operands[0], names, "stax schema ");
    return cli_fail(cli, &e);
}

const struct command command_schema = {
    .name = "schema",
    .summary = "the JSON Schema of a command's --json output",
    .operands = "[COMMAND]",
    .description = "Prints the JSON Schema (draft 2020-12) of the document that a command prints "
                   "with --json, or the list of what there is. 'error' is what failing commands "
                   "print on stderr.",
    .examples = "stax schema top\nstax schema error",
    .max_operands = 1,
    .run = run,
};
