/* ask.c - see ask.h. */
#include "cli/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/client.h"
#include "query/query.h"
#include "schema/db.h"

const struct flag ask_run_flags[] = {
    {.name = "run",
     .type = FLAG_TEXT,
     .value = "ID",
     .help = "The run to ask; default: the active one, else the selected or most recent."},
    {0},
};

const struct flag ask_view_flags[] = {
    {.name = "run",
     .type = FLAG_TEXT,
     .value = "ID|FILE",
     .help = "The run to ask, by id or as an archive file (needs no server); default: the active "
             "one, else the selected or most recent."},
    {.name = "tid",
     .type = FLAG_INT,
     .value = "TID",
     .help = "Only this thread.",
     .min = 1,
     .max = INT32_MAX},
    {.name = "pid",
     .type = FLAG_INT,
     .value = "PID",
     .help = "Only this process.",
     .min = 1,
     .max = INT32_MAX},
    {.name = "from",
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Only what happened this many seconds after the start of the run, or later."},
    {.name = "to",
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Only what happened before this many seconds after the start of the run."},
    {.name = "exclude",
     .type = FLAG_TEXTS,
     .value = "SYMBOL",
     .help = "Leave out samples and waits with this function on the stack; may be repeated."},
    {0},
};

static bool is_number(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

/* Adds "run": ID. option: how the command line names it in errors. */
static int add_run_id(const char *run, const char *option, json_t *parameters, struct err *e)
{
    errno = 0;
    long long id = strtoll(run, NULL, 10);
    if (!is_number(run) || errno) {
        err_set(e, STAX_EUSAGE, "%s wants the id of a run here, not '%s'", option, run);
        err_hint(e, "'stax list' shows the ids; 'stax open FILE' gives an archive one");
        return STAX_EUSAGE;
    }
    json_object_set_new(parameters, "run", json_integer(id));
    return 0;
}

bool ask_is_file(const struct args *args, const char **file)
{
    const char *run = args_text(args, "run", NULL);
    if (!run || is_number(run)) {
        return false;
    }
    *file = run;
    return true;
}

int ask_add_run(const struct args *args, json_t *parameters, struct err *e)
{
    const char *run = args_text(args, "run", NULL);
    return run ? add_run_id(run, "--run", parameters, e) : 0;
}

int ask_server(const char *method, json_t *parameters, int64_t timeout_ms, json_t **document,
               struct err *e)
{
    struct client *client = NULL;
    int rc = client_open(&client, e);
    if (rc) {
        json_decref(parameters);
        return rc;
    }
    rc = client_call(client, method, parameters, timeout_ms, document, e);
    client_close(client);
    return rc;
}

static int add_filters(const struct args *args, json_t *parameters, struct err *e)
{
    static const char *const integers[][2] = {
        {"tid", "tid"}, {"pid", "pid"}, {"from", "from_ns"}, {"to", "to_ns"}};
    for (size_t i = 0; i < 4; i++) {
        const struct arg_value *v = args_get(args, integers[i][0]);
        if (v) {
            json_object_set_new(parameters, integers[i][1], json_integer(v->integer));
        }
    }
    if (args_has(args, "from") && args_has(args, "to") &&
        args_int(args, "from", 0) >= args_int(args, "to", 0)) {
        return err_set(e, STAX_EUSAGE, "--from must be smaller than --to");
    }
    json_t *excluded = json_array();
    for (size_t i = 0; i < args->n_values; i++) {
        if (strcmp(args->values[i].flag->name, "exclude") == 0) {
            json_t *symbol = json_string(args->values[i].text);
            if (!symbol) {
                json_decref(excluded);
                return err_set(e, STAX_EUSAGE, "--exclude is not valid UTF-8");
            }
            json_array_append_new(excluded, symbol);
        }
    }
    if (json_array_size(excluded)) {
        json_object_set_new(parameters, "exclude", excluded);
    } else {
        json_decref(excluded);
    }
    return 0;
}

void ask_add_waits(const struct args *args, json_t *parameters)
{
    const char *reason = args_text(args, "reason", NULL);

    if (args_has(args, "off-cpu")) {
        json_object_set_new(parameters, "off_cpu", json_true());
    }
    if (args_has(args, "no-inlines")) {
        json_object_set_new(parameters, "no_inlines", json_true());
    }
    if (reason) {
        json_object_set_new(parameters, "reason", json_clean_string(reason));
    }
}

void ask_add_daemon_socket(const struct args *args, json_t *parameters)
{
    const char *path = args_text(args, "daemon-socket", getenv("STAX_DAEMON_SOCKET"));
    if (path) {
        json_object_set_new(parameters, "daemon_socket", json_clean_string(path));
    }
}

bool ask_is_foreign(const char *path)
{
    struct buf name = {0};
    struct stat file, wal, folder;
    char *real = realpath(path, NULL); /* its log and its folder are where it is, not a link */
    path = real ? real : path;
    const char *slash = strrchr(path, '/');
    buf_addf(&name, "%s-wal", path);
    bool is_ours = stat(path, &file) == 0 && file.st_uid == geteuid() &&
                   stat(buf_str(&name), &wal) == 0 && wal.st_uid == geteuid();
    buf_clear(&name);
    buf_add(&name, path, slash ? (size_t)(slash - path) : 0);
    if (!name.len) {
        buf_addstr(&name, slash ? "/" : ".");
    }
    is_ours = is_ours && stat(buf_str(&name), &folder) == 0 && folder.st_uid == geteuid() &&
              (folder.st_mode & 077) == 0;
    buf_free(&name);
    free(real);
    return !is_ours;
}

/* What the server adds to a diagnosis, as far as a file has it. */
static void add_file_figures(const char *path, json_t *data)
{
    static const char *const live[] = {"capture", "ingest", "queue", "process"};
    for (size_t i = 0; i < sizeof live / sizeof *live; i++) {
        json_object_set_new(data, live[i], json_null());
    }
    json_object_set_new(data, "database",
                        json_pack("{s:I,s:I}", "size_bytes", (json_int_t)db_file_bytes(path),
                                  "wal_bytes", (json_int_t)db_wal_bytes(path)));
    json_object_set_new(data, "saves", json_array());
}

static int ask_file(const char *path, const char *view, const json_t *parameters, json_t **document,
                    struct err *e)
{
    struct query *q = NULL;
    int rc = query_open(&q, path, ask_is_foreign(path), e);
    if (rc == STAX_ENOTFOUND && !strpbrk(path, "/.") && e) {
        err_set(e, STAX_ENORUN, "'%s' is neither the id of a run nor a file", path);
        err_hint(e, "'stax list' shows the ids");
        rc = STAX_ENORUN;
    }
    if (rc) {
        return rc;
    }
    if (strcmp(view, "diagnostics") == 0) {
        rc = query_diagnose(q, document, e);
        if (rc == 0) {
            add_file_figures(path, json_object_get(*document, "data"));
        }
    } else if (strcmp(view, "sql") == 0) {
        json_t *limits = json_deep_copy(parameters);
        const char *sql = json_text_at(parameters, "query", "");
        json_object_del(limits, "query");
        rc = query_sql(q, sql, limits, document, e);
        json_decref(limits);
    } else {
        rc = query_view(q, view, parameters, document, e);
    }
    query_close(q);
    return rc;
}

/* run: an id or a file; NULL: the one that the server would ask. Takes parameters. */
static int ask_one(const char *run, const char *view, json_t *parameters, json_t **document,
                   struct err *e)
{
    if (run && !is_number(run)) {
        int rc = ask_file(run, view, parameters, document, e);
        json_decref(parameters);
        return rc;
    }
    int rc = run ? add_run_id(run, "--run", parameters, e) : 0;
    if (rc) {
        json_decref(parameters);
        return rc;
    }
    return ask_server(view, parameters, CLIENT_PATIENT, document, e);
}

int ask_run(const struct args *args, const char *view, json_t *parameters, json_t **document,
            struct err *e)
{
    *document = NULL;
    parameters = parameters ? parameters : json_object();
    return ask_one(args_text(args, "run", NULL), view, parameters, document, e);
}

int ask_view_of(const struct args *args, const char *run, const char *view, json_t *parameters,
                json_t **document, struct err *e)
{
    *document = NULL;
    parameters = parameters ? parameters : json_object();
    int rc = add_filters(args, parameters, e);
    if (rc) {
        json_decref(parameters);
        return rc;
    }
    return ask_one(run, view, parameters, document, e);
}

int ask_view(const struct args *args, const char *view, json_t *parameters, json_t **document,
             struct err *e)
{
    return ask_view_of(args, args_text(args, "run", NULL), view, parameters, document, e);
}

int ask_path(const char *run, struct buf *path, struct err *e)
{
    json_t *document = NULL;
    int rc = ask_one(run, "total_on_cpu_ns", json_object(), &document, e); /* also: it is one */
    buf_addstr(path,
               is_number(run) ? json_text_at(json_object_get(document, "run"), "path", "") : run);
    json_decref(document);
    return rc;
}
