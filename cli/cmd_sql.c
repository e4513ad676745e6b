/* cmd_sql.c - stax sql. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/render.h"
#include "cli/sqltext.h"
#include "schema/db.h"
#include "schema/sandbox.h"

enum { MAX_INPUT_BYTES = 1 << 20 };

static const struct flag flags[] = {
    {.name = "csv", .type = FLAG_BOOL, .help = "Print CSV with a header line."},
    {.name = "path",
     .type = FLAG_BOOL,
     .help = "Print the path of the run's database file, for any other SQLite client."},
    {.name = "schema",
     .type = FLAG_BOOL,
     .help = "Print the tables and views with a comment on every column."},
    {.name = "max-rows",
     .type = FLAG_INT,
     .value = "N",
     .help = "Rows to print at most; default 10000.",
     .min = 1,
     .max = 1000000},
    {.name = "timeout-ms",
     .type = FLAG_INT,
     .value = "MS",
     .help = "Give up on a query after this long, with exit status 4; default 10000.",
     .min = 1,
     .max = 60000},
    {.name = "run",
     .type = FLAG_TEXT,
     .value = "ID|FILE",
     .help = "The run to ask, by id or as an archive file (needs no server); default: the active "
             "one, else the selected or most recent."},
    {0},
};

static int ask(const struct args *args, const char *sql, json_t **document, struct err *e)
{
    json_t *text = json_string(sql);
    if (strlen(sql) > SANDBOX_MAX_SQL_BYTES) {
        json_decref(text);
        sandbox_refuse_long(strlen(sql), e);
        return e->code;
    }
    if (!text) {
        return err_set(e, STAX_EUSAGE, "the query is not valid UTF-8");
    }
    json_t *parameters = json_object();
    json_object_set_new(parameters, "query", text);
    if (args_has(args, "max-rows")) {
        json_object_set_new(parameters, "max_rows", json_integer(args_int(args, "max-rows", 0)));
    }
    if (args_has(args, "timeout-ms")) {
        json_object_set_new(parameters, "timeout_ms",
                            json_integer(args_int(args, "timeout-ms", 0)));
    }
    return ask_view(args, "sql", parameters, document, e);
}

static void note_cut(struct cli *cli, const struct args *args, const json_t *document)
{
    const json_t *data = json_object_get(document, "data");
    if (json_is_true(json_object_get(data, "is_truncated")) && !args_has(args, "json") &&
        json_array_size(json_object_get(document, "warnings")) == 0) {
        cli_note(cli, "cut after %zu rows at the limit of %s",
                 json_array_size(json_object_get(data, "rows")),
                 json_text_at(data, "limit", "rows"));
    }
}

static int query(struct cli *cli, const struct args *args, const char *sql)
{
    struct err e = {0};
    json_t *document = NULL;
    if (ask(args, sql, &document, &e)) {
        return cli_fail(cli, &e);
    }
    note_cut(cli, args, document);
    return cli_show(cli, args, document, render_sql);
}

/* The file behind --run, or of the run that would be asked. */
static int find_path(const struct args *args, struct buf *path, struct err *e)
{
    const char *file = NULL;
    json_t *document = NULL;
    int rc = ask_view(args, "total_on_cpu_ns", NULL, &document, e); /* also: it can be read */
    bool is_file = ask_is_file(args, &file);
    buf_addstr(path, is_file ? file : json_text_at(json_object_get(document, "run"), "path", ""));
    json_decref(document);
    return rc;
}

static void render_path(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const char *path = json_text_at(json_object_get(document, "data"), "path", "");
    if (out->is_terminal) {
        out_foreign(out, path);
    } else {
        buf_addstr(&out->text, path);
    }
    buf_addch(&out->text, '\n');
}

static void render_schema(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    buf_addstr(&out->text, json_text_at(json_object_get(document, "data"), "text", ""));
}

static json_t *text_document(const char *schema, const char *key, const char *text)
{
    json_t *data = json_object();
    json_object_set_new(data, key, json_string(text));
    return cli_document(schema, data);
}

static void render_tables(struct out *out, const json_t *document, const struct args *args)
{
    size_t i;
    const json_t *name;
    (void)args;
    json_array_foreach(json_object_get(json_object_get(document, "data"), "names"), i, name)
    {
        buf_addf(&out->text, "%s\n", json_string_value(name));
    }
}

/* .schema [NAME] and .tables as at the prompt. They tell of the program's tables, not of a run's.
 */
static int ask_dot(const char *text, json_t **document, render_fn **render, struct err *e)
{
    size_t n = strcspn(text, " \t"), n_definition = 0;
    const char *name = text + n + strspn(text + n, " \t");
    *render = render_schema;
    if (strcmp(text, ".tables") == 0) {
        json_t *data = json_object();
        json_object_set_new(data, "names", sqltext_names(schema_text()));
        *document = cli_document("stax.sql-tables/1", data);
        *render = render_tables;
        return 0;
    }
    if (n != strlen(".schema") || strncmp(text, ".schema", n) != 0) {
        err_set(e, STAX_EUSAGE, "stax sql does not know '%s'", text);
        err_hint(e, "there are .schema [NAME] and .tables, and SQL");
        return STAX_EUSAGE;
    }
    if (!*name) {
        *document = text_document("stax.sql-schema/1", "text", schema_text());
        return 0;
    }
    const char *definition = sqltext_definition(schema_text(), name, &n_definition);
    if (!definition) {
        err_set(e, STAX_EUSAGE, "there is no table or view '%s'", name);
        err_hint(e, "stax sql .tables lists them");
        return STAX_EUSAGE;
    }
    struct buf shown = {0};
    buf_add(&shown, definition, n_definition);
    buf_addch(&shown, '\n');
    *document = text_document("stax.sql-schema/1", "text", buf_str(&shown));
    buf_free(&shown);
    return 0;
}

static int dot_command(struct cli *cli, const struct args *args, const char *text)
{
    struct err e = {0};
    json_t *document = NULL;
    render_fn *render = NULL;
    if (ask_dot(text, &document, &render, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render);
}

/* ---- standard input ---- */

static int read_input(struct buf *input, struct err *e)
{
    int rc = fd_read_all(STDIN_FILENO, MAX_INPUT_BYTES, input);
    if (rc == -EFBIG) {
        err_set(e, STAX_EUSAGE, "standard input holds more than %d KiB of SQL",
                MAX_INPUT_BYTES >> 10);
        err_hint(e, "one query may have %d KiB: send them in parts", SANDBOX_MAX_SQL_BYTES >> 10);
        return STAX_EUSAGE;
    }
    if (rc) {
        return err_set_errno(e, -rc, "cannot read the queries from standard input");
    }
    if (strlen(buf_str(input)) != input->len) {
        return err_set(e, STAX_EUSAGE, "standard input holds NUL bytes, not SQL");
    }
    return 0;
}

/* Past blanks and comments of whole lines. */
static const char *skip_blanks(const char *s)
{
    s += strspn(s, " \t\r\n;");
    while (s[0] == '-' && s[1] == '-') {
        s += strcspn(s, "\n");
        s += strspn(s, " \t\r\n;");
    }
    return s;
}

/* Takes the next statement, or the line of a command that begins with a dot, and asks it. */
static int ask_next(const struct args *args, const char **s, json_t **document, render_fn **render,
                    struct err *e)
{
    struct buf part = {0};
    int rc;
    *s = skip_blanks(*s);
    if (**s == '.') {
        size_t n = strcspn(*s, "\r\n");
        buf_add(&part, *s, n);
        *s += n;
        while (part.len && strchr(" \t;", part.data[part.len - 1])) {
            part.data[--part.len] = '\0';
        }
        rc = ask_dot(buf_str(&part), document, render, e);
    } else {
        size_t n = sqltext_statement(*s);
        buf_add(&part, *s, n ? n : strlen(*s));
        *s += part.len;
        *render = render_sql;
        rc = ask(args, buf_str(&part), document, e);
    }
    buf_free(&part);
    return rc;
}

/* One document: that of a single statement, or one that holds those of all. Takes results. */
static int show_results(struct cli *cli, const struct args *args, json_t *results)
{
    json_t *document = NULL;
    if (json_array_size(results) == 1) {
        document = json_incref(json_array_get(results, 0));
    } else {
        json_t *data = json_object();
        json_object_set(data, "results", results);
        document = cli_document("stax.sql-results/1", data);
    }
    json_decref(results);
    return cli_show(cli, args, document, render_sql); /* JSON: nothing is rendered */
}

/* The statements of standard input one after the other; the first that fails ends it. */
static int query_statements(struct cli *cli, const struct args *args, const char *s)
{
    struct err e = {0};
    json_t *results = json_array();
    bool is_json = args_has(args, "json");
    int rc = 0, code = EXIT_DONE;
    for (int n = 0; rc == 0 && code == EXIT_DONE && !sqltext_is_empty(s); n++) {
        json_t *document = NULL;
        render_fn *render = NULL;
        rc = ask_next(args, &s, &document, &render, &e);
        if (rc == 0 && is_json) {
            json_array_append_new(results, document);
        } else if (rc == 0) {
            buf_addstr(&cli->out.text, n ? "\n" : "");
            note_cut(cli, args, document);
            code = cli_show(cli, args, document, render);
        }
    }
    if (rc) {
        code = cli_fail(cli, &e);
    } else if (is_json) {
        return show_results(cli, args, results);
    }
    json_decref(results);
    return code;
}

static int query_input(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    struct buf input = {0}, path = {0};
    int rc = read_input(&input, &e);
    if (rc == 0 && sqltext_is_empty(buf_str(&input))) {
        rc = find_path(args, &path, &e); /* nothing is asked, but there must be somebody to ask */
    }
    int code = rc ? cli_fail(cli, &e) : query_statements(cli, args, buf_str(&input));
    buf_free(&path);
    buf_free(&input);
    return code;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    struct buf path = {0};
    int n_forms = args->n_operands + args_has(args, "path") + args_has(args, "schema");
    if (n_forms > 1 || (args_has(args, "csv") && args_has(args, "json"))) {
        err_set(&e, STAX_EUSAGE,
                n_forms > 1 ? "stax sql takes one of a query, --path and --schema"
                            : "stax sql prints --json or --csv, not both");
        return cli_fail(cli, &e);
    }
    if (args_has(args, "schema")) {
        return cli_show(cli, args, text_document("stax.sql-schema/1", "text", schema_text()),
                        render_schema);
    }
    if (args->n_operands && args->operands[0][0] == '.') {
        return dot_command(cli, args, args->operands[0]);
    }
    if (args->n_operands && strcmp(args->operands[0], "-") != 0) {
        return query(cli, args, args->operands[0]);
    }
    bool has_input = args->n_operands || !isatty(STDIN_FILENO);
    if (!args_has(args, "path") && (has_input || args_has(args, "json"))) {
        return query_input(cli, args);
    }
    int code;
    if (find_path(args, &path, &e)) {
        code = cli_fail(cli, &e);
    } else if (args_has(args, "path")) {
        code = cli_show(cli, args, text_document("stax.sql-path/1", "path", buf_str(&path)),
                        render_path);
    } else {
        struct sandbox_limits limits = sandbox_default_limits;
        limits.max_rows = args_int(args, "max-rows", limits.max_rows);
        limits.timeout_ms = args_int(args, "timeout-ms", limits.timeout_ms);
        code = prompt_run(cli, buf_str(&path), ask_is_foreign(buf_str(&path)), &limits);
    }
    buf_free(&path);
    return code;
}

const struct command command_sql = {
    .name = "sql",
    .summary = "ask a run in SQL",
    .operands = "[QUERY]",
    .description =
        "Answers one SELECT on the run's database, read-only and bounded in time and rows. Without "
        "a query it is a prompt with history and completion on a terminal, else it reads "
        "statements from standard input, and .schema and .tables among them; with --json several "
        "of "
        "them make one document.\n\n"
        "The tables are explained by --schema; .schema NAME explains one, .tables lists them. The "
        "run is one SQLite file: --path names it for "
        "sqlite3 or any other client, also while it records.",
    .examples = "stax sql '.schema v_top'\nstax sql 'SELECT name, self_ms FROM v_top LIMIT 10'\n"
                "stax sql --csv 'SELECT * FROM v_threads' > threads.csv\n"
                "stax sql\nsqlite3 -readonly \"$(stax sql --path)\" '.schema'",
    .flags = flags,
    .max_operands = 1,
    .run = run,
};
