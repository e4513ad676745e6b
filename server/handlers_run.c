/* handlers_run.c - RunControl: status, start, wait, stop, save, open, select. See method_table.c.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/line_tables.h"
#include "ingest/symbolize.h"
#include "schema/archive.h"
#include "server/handlers.h"
#include "server/readers.h"
#include "server/server.h"
#include "server/watch.h"

/* The run member with the number this server gives the run: archives carry another machine's. */
static json_t *run_member(struct query *q, const struct run_info *info)
{
    json_t *run = query_run(q);
    json_object_set_new(run, "id", json_integer(info->id));
    return run;
}

static void add_live_figures(struct server *s, json_t *run)
{
    struct recording_stats stats = {0};
    int64_t start_ts;
    bool is_live = registry_stats(s->registry, &stats, &start_ts);
    json_object_set_new(run, "n_threads", json_integer((json_int_t)stats.capture.n_threads));
    json_object_set_new(run, "n_processes", json_integer((json_int_t)stats.capture.n_processes));
    if (is_live) {
        json_object_set_new(run, "elapsed_ns", json_integer(clock_monotonic_ns() - start_ts));
    }
}

/* The active run as status and list_runs show it, or NULL. New reference. */
static json_t *active_member(struct server *s, struct readers *readers)
{
    int64_t active = registry_active(s->registry);
    struct query *q;
    struct run_info info;
    if (!active || readers_get(readers, active, &q, &info, NULL) != 0) {
        return NULL;
    }
    json_t *run = run_member(q, &info);
    json_object_set_new(run, "n_lost", json_integer(query_n_lost(q)));
    json_object_set_new(run, "names", json_string("pending"));
    add_live_figures(s, run);
    return run;
}

static json_t *server_member(struct server *s)
{
    int64_t used_bytes, max_bytes, n_removed;
    registry_space(s->registry, &used_bytes, &max_bytes, &n_removed);
    return json_pack("{s:s,s:i,s:I,s:s,s:o,s:s,s:s,s:b,s:I,s:I,s:I}", "version", STAX_VERSION,
                     "pid", (int)getpid(), "uptime_ns",
                     (json_int_t)(clock_monotonic_ns() - s->start_ns), "socket",
                     s->addresses.socket, "http",
                     s->addresses.http[0] ? json_string(s->addresses.http) : json_null(),
                     "http_note", s->addresses.note, "data_dir", s->datadir.path, "is_tmpfs",
                     s->datadir.is_tmpfs, "used_bytes", (json_int_t)used_bytes, "max_bytes",
                     (json_int_t)max_bytes, "n_removed", (json_int_t)n_removed);
}

static json_t *server_warnings(struct server *s)
{
    json_t *warnings = json_array();
    if (s->datadir.warning[0]) {
        json_array_append_new(warnings, json_string(s->datadir.warning));
    }
    return warnings;
}

int method_status(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)e;
    struct server *s = c->server;
    int64_t selected = registry_selected(s->registry);
    json_t *active = active_member(s, readers);
    json_t *data = json_pack("{s:o,s:o,s:o}", "server", server_member(s), "active",
                             active ? active : json_null(), "selected",
                             selected ? json_integer(selected) : json_null());
    *document = document_new(c->method->schema, NULL, data, NULL, server_warnings(s));
    return 0;
}

int method_list_runs(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)e;
    struct server *s = c->server;
    json_t *list = registry_list(s->registry);
    json_t *active = active_member(s, readers);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (active && json_int_at(item, "id", 0) == json_int_at(active, "id", -1)) {
            json_object_update(item, active);
        }
    }
    json_decref(active);
    *document = document_new(c->method->schema, NULL, json_pack("{s:o}", "runs", list), NULL,
                             server_warnings(s));
    return 0;
}

static bool bool_at(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);
    return value ? json_is_true(value) : fallback;
}

int method_start_attach(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    struct server *s = c->server;
    const json_t *p = c->parameters;
    double limit_s = json_real_at(p, "time_limit_s", 0);
    int64_t frequency_hz = json_int_at(p, "frequency_hz", 900);
    const char *daemon_socket = "";
    if (!(limit_s >= 0 && limit_s <= 1e9)) {
        return err_set(e, STAX_EUSAGE, "parameter 'time_limit_s' must be between 0 and 1000000000");
    }
    if (capture_check_frequency(frequency_hz, e) != 0 ||
        handlers_daemon_socket(p, &daemon_socket, e) != 0) {
        return e->code;
    }
    struct capture_options options = {
        .pid = (pid_t)json_int_at(p, "pid", 0),
        .is_launched = bool_at(p, "is_launched", false),
        .with_children = bool_at(p, "with_children", true),
        .unwinds = bool_at(p, "dwarf_unwind", true),
        .without_kernel = !bool_at(p, "kernel", true),
        .daemon_socket = daemon_socket,
        .frequency_hz = (uint32_t)frequency_hz,
        .time_limit_ns = (int64_t)(limit_s * 1e9),
        .counters = json_text_at(p, "counters", NULL),
    };
    int64_t id;
    json_t *notes = NULL;
    int rc = registry_start(s->registry, &options, json_text_at(p, "command", ""), &id, &notes, e);
    if (rc) {
        return rc;
    }
    struct run_info info = {0};
    struct recording_stats stats = {0};
    int64_t start_ts;
    registry_find(s->registry, id, &info, NULL);
    json_t *abilities = registry_abilities(s->registry);
    registry_stats(s->registry, &stats, &start_ts);
    json_t *data = json_pack("{s:I,s:s,s:o,s:I,s:o}", "run", (json_int_t)id, "path", info.path,
                             "abilities", abilities ? abilities : json_array(), "ring_bytes",
                             (json_int_t)stats.capture.ring_bytes, "notes", notes);
    *document = document_new(c->method->schema, NULL, data, NULL, NULL);
    return 0;
}

int method_stop_active(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    (void)document;
    struct wait wait = {.kind = WAIT_STOP};
    int rc = registry_stop(c->server->registry, json_int_at(c->parameters, "run", 0), &wait.run, e);
    if (rc) {
        return rc;
    }
    watch_wait(c->server->watch, c, &wait);
    return METHOD_TAKEN;
}

/* Reads the one condition of a wait. */
static int read_condition(const json_t *p, struct wait *wait, struct err *e)
{
    static const struct {
        const char *key;
        enum wait_kind kind;
    } conditions[] = {
        {"for_samples", WAIT_SAMPLES},
        {"for_ns", WAIT_ELAPSED},
        {"until_symbol", WAIT_SYMBOL},
        {"sql", WAIT_SQL},
    };
    wait->kind = WAIT_STOPPED;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        const char *key = conditions[i].key;
        if (!json_object_get(p, key)) {
            continue;
        }
        if (wait->kind != WAIT_STOPPED) {
            return err_set(e, STAX_EUSAGE, "a wait has at most one condition");
        }
        wait->kind = conditions[i].kind;
        wait->number = json_int_at(p, key, 0);
        wait->text = json_text_at(p, key, NULL);
        if (wait->text && !wait->text[0]) {
            return err_set(e, STAX_EUSAGE, "parameter '%s' must not be empty", key);
        }
    }
    int64_t timeout_ms = json_int_at(p, "timeout_ms", -1);
    wait->deadline_ns = timeout_ms >= 0 ? clock_monotonic_ns() + timeout_ms * 1000000 : 0;
    return 0;
}

int method_wait_active(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    (void)document;
    struct wait wait = {0};
    int rc = read_condition(c->parameters, &wait, e);
    if (rc) {
        return rc;
    }
    wait.run = registry_active(c->server->registry);
    if (!wait.run) {
        err_set(e, STAX_ENORUN, "no run is active");
        err_hint(e, "stax record -- COMMAND starts one");
        return STAX_ENORUN;
    }
    watch_wait(c->server->watch, c, &wait);
    return METHOD_TAKEN;
}

static bool save_goes_on(void *ctx, int64_t n_done, int64_t n_total)
{
    struct call *c = ctx;
    return server_save_progress(c->server, c, n_done, n_total);
}

static int check_save_path(struct call *c, const char *path, struct err *e)
{
    if (path[0] != '/') {
        return err_set(e, STAX_EUSAGE, "the path of an archive must be absolute, not '%s'", path);
    }
    if (registry_is_inside(c->server->registry, path)) {
        err_set(e, STAX_EUSAGE, "%s is in the server's own data directory", path);
        err_hint(e, "save to another folder");
        return STAX_EUSAGE;
    }
    if (!bool_at(c->parameters, "is_overwrite", false) && faccessat(AT_FDCWD, path, F_OK, 0) == 0) {
        err_set(e, STAX_EUSAGE, "%s is already there", path);
        err_hint(e, "choose another name, or say that it may be overwritten");
        return STAX_EUSAGE;
    }
    return 0;
}

enum {
    NAMES_MS = 30000,  /* that saving spends on names of the run */
    SERVERS_MS = 2000, /* ... that only servers have */
    LINES_MS = 120000, /* ... and on line tables of the archive */
};

static bool fill_goes_on(void *ctx)
{
    return !call_is_over(ctx);
}

static int fill_lines(struct db *db, void *ctx, struct err *e)
{
    const struct line_tables_bound bound = {
        .until_ns = clock_monotonic_ns() + (int64_t)LINES_MS * 1000000,
        .goes_on = fill_goes_on,
        .ctx = ctx,
    };
    bool is_complete;
    int rc = line_tables_fill(db, &bound, &is_complete, e);
    return rc == 0 && call_is_over(ctx) ? err_set(e, STAX_ECANCELLED, "saving was given up") : rc;
}

/* A run that has ended gets the names and line tables that its end had no time for, so that it says
 * what the archive says. They may be being looked for just now, which gives way; what is missing
 * when its time is over (a server does not answer) is told by a warning in both. */
static void complete_run(struct call *c, const struct run_info *info)
{
    struct server *s = c->server;
    const struct symbolize_options options = {
        .timeout_ms = NAMES_MS,
        .servers_ms = SERVERS_MS,
        .servers = s->servers,
        .goes_on = fill_goes_on,
        .ctx = c,
    };
    bool is_complete;

    if (info->is_archive || info->is_active || !registry_take_names(s->registry)) {
        return;
    }
    ingest_complete(info->path, &options, &is_complete, NULL);
    registry_give_names(s->registry);
}

int method_save_current(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct server *s = c->server;
    const char *path = json_text_at(c->parameters, "path", "");
    int rc = check_save_path(c, path, e);
    if (rc) {
        return rc;
    }
    struct query *q;
    struct run_info info;
    rc = readers_get(readers, json_int_at(c->parameters, "run", 0), &q, &info, e);
    if (rc) {
        return rc;
    }
    int64_t start_ns = clock_monotonic_ns();
    int64_t size_bytes = 0;
    registry_hold(s->registry, info.id, 1);
    struct archive_contents contents = {
        .with_files = !info.is_archive,
        .with_source = bool_at(c->parameters, "with_source", true),
        .fill_lines = fill_lines,
    };
    complete_run(c, &info);
    rc = archive_save_with(info.path, path, &contents, save_goes_on, c, &size_bytes, e);
    registry_hold(s->registry, info.id, -1);
    server_save_progress(s, c, 0, 0);
    if (rc) {
        return rc;
    }
    /* What the archive has: a live run goes on meanwhile. */
    struct query *saved;
    rc = query_open(&saved, path, true, e);
    if (rc) {
        return rc;
    }
    json_t *run = run_member(saved, &info);
    json_t *quality = query_quality(saved);
    query_close(saved);
    json_t *data =
        json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "run", (json_int_t)info.id, "path", path,
                  "size_bytes", (json_int_t)size_bytes, "n_samples",
                  (json_int_t)json_int_at(run, "n_samples", 0), "n_functions",
                  (json_int_t)contents.n_functions, "code_bytes", (json_int_t)contents.code_bytes,
                  "n_source_lines", (json_int_t)contents.n_source_lines, "source_bytes",
                  (json_int_t)contents.source_bytes, "elapsed_ms",
                  (double)(clock_monotonic_ns() - start_ns) / 1e6);
    *document = document_new(c->method->schema, run, data, quality, NULL);
    return 0;
}

int method_open_saved(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct server *s = c->server;
    const char *path = json_text_at(c->parameters, "path", "");
    if (path[0] != '/') {
        return err_set(e, STAX_EUSAGE, "the path of an archive must be absolute, not '%s'", path);
    }
    if (registry_is_inside(s->registry, path)) {
        err_set(e, STAX_EUSAGE, "%s is one of the server's own runs", path);
        err_hint(e, "stax list shows them; stax select-run selects one");
        return STAX_EUSAGE;
    }
    struct query *checked;
    int rc = query_open(&checked, path, true, e);
    if (rc) {
        return rc;
    }
    json_t *run = query_run(checked);
    query_close(checked);
    int64_t id = registry_add_archive(s->registry, path, run);
    json_decref(run);
    struct query *q;
    struct run_info info;
    rc = readers_get(readers, id, &q, &info, e);
    if (rc) {
        return rc;
    }
    json_t *data = json_pack("{s:I,s:s}", "run", (json_int_t)id, "path", path);
    *document = document_new(c->method->schema, run_member(q, &info), data, query_quality(q), NULL);
    return 0;
}

int method_select_run(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    int64_t run = json_int_at(c->parameters, "run", 0);
    int rc = registry_select(c->server->registry, run, e);
    if (rc == 0) {
        *document = document_new(c->method->schema, NULL,
                                 json_pack("{s:I}", "run", (json_int_t)run), NULL, NULL);
    }
    return rc;
}

int method_remove_run(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    int64_t run = json_int_at(c->parameters, "run", 0);
    int rc = registry_remove(c->server->registry, run, e);
    if (rc == 0) {
        readers_refresh(readers);
        *document = document_new(c->method->schema, NULL,
                                 json_pack("{s:I}", "run", (json_int_t)run), NULL, NULL);
    }
    return rc;
}

static json_t *paused_document(struct call *c, bool is_paused)
{
    return document_new(c->method->schema, NULL, json_pack("{s:b}", "is_paused", is_paused), NULL,
                        NULL);
}

int method_set_paused(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    bool is_paused = bool_at(c->parameters, "is_paused", true);
    int rc = registry_set_paused(c->server->registry, json_int_at(c->parameters, "run", 0),
                                 is_paused, e);
    if (rc == 0) {
        *document = paused_document(c, is_paused);
    }
    return rc;
}

int method_is_paused(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    bool is_paused;
    int rc = registry_is_paused(c->server->registry, json_int_at(c->parameters, "run", 0),
                                &is_paused, e);
    if (rc == 0) {
        *document = paused_document(c, is_paused);
    }
    return rc;
}
