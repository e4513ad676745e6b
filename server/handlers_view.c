/* handlers_view.c - Profiler: views, SQL, diagnostics, subscriptions. See method_table.c. */
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "schema/db.h"
#include "ingest/debuginfod.h"
#include "server/handlers.h"
#include "server/readers.h"
#include "server/server.h"
#include "server/watch.h"

/* Parameters without those that are not the view's. New reference. */
static json_t *without_run(const json_t *parameters)
{
    json_t *copy = json_copy((json_t *)parameters);
    json_object_del(copy, "run");
    return copy;
}

static void set_run_id(json_t *document, const struct run_info *info)
{
    json_t *run = json_object_get(document, "run");
    if (json_is_object(run)) {
        json_object_set_new(run, "id", json_integer(info->id));
    }
}

int method_view(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct query *q;
    struct run_info info;
    int rc = readers_get(readers, json_int_at(c->parameters, "run", 0), &q, &info, e);
    if (rc) {
        return rc;
    }
    rc = call_reads(c, q, e);
    if (rc) {
        return rc;
    }
    json_t *parameters = without_run(c->parameters);
    rc = query_view(q, c->method->name, parameters, document, e);
    json_decref(parameters);
    if (rc == 0) {
        set_run_id(*document, &info);
    }
    return rc;
}

int method_sql(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct query *q;
    struct run_info info;
    int rc = readers_get(readers, json_int_at(c->parameters, "run", 0), &q, &info, e);
    if (rc) {
        return rc;
    }
    rc = call_reads(c, q, e);
    if (rc) {
        return rc;
    }
    json_t *limits = without_run(c->parameters);
    json_object_del(limits, "query");
    rc = query_sql(q, json_text_at(c->parameters, "query", ""), limits, document, e);
    json_decref(limits);
    if (rc == 0) {
        set_run_id(*document, &info);
    }
    return rc;
}

static json_t *capture_member(const struct capture_stats *s)
{
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "n_samples",
        (json_int_t)s->n_samples, "n_lost", (json_int_t)s->n_lost, "n_throttled",
        (json_int_t)s->n_throttled, "n_threads", (json_int_t)s->n_threads, "n_processes",
        (json_int_t)s->n_processes, "n_events_open", (json_int_t)s->n_events_open, "ring_bytes",
        (json_int_t)s->ring_bytes, "peak_ring_bytes", (json_int_t)s->peak_ring_bytes, "n_drains",
        (json_int_t)s->n_drains, "cpu_time_ns", (json_int_t)s->cpu_time_ns, "stack_bytes",
        (json_int_t)s->stack_bytes, "n_unwind_tables", (json_int_t)s->n_tables,
        "unwind_table_bytes", (json_int_t)s->table_bytes, "n_unread_binaries",
        (json_int_t)s->n_unread, "n_dropped_tables", (json_int_t)s->n_dropped);
}

static json_t *ingest_member(const struct ingest_stats *s)
{
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "n_samples",
        (json_int_t)s->n_samples, "n_commits", (json_int_t)s->n_commits, "n_rows_written",
        (json_int_t)s->n_rows_written, "n_pending", (json_int_t)s->n_pending, "last_commit_ns",
        (json_int_t)s->last_commit_ns, "max_commit_ns", (json_int_t)s->max_commit_ns,
        "total_commit_ns", (json_int_t)s->total_commit_ns, "data_ts", (json_int_t)s->data_ts,
        "memory_bytes", (json_int_t)s->memory_bytes, "names_bytes", (json_int_t)s->names_bytes,
        "debug_info_bytes", (json_int_t)s->debug_info_bytes, "n_dropped_names",
        (json_int_t)s->n_dropped_names, "cpu_time_ns", (json_int_t)s->cpu_time_ns);
}

static json_t *process_member(struct server *s)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    int64_t cpu_ns = (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                     (int64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    int64_t uptime_ns = clock_monotonic_ns() - s->start_ns;
    return json_pack("{s:I,s:f,s:I,s:I}", "cpu_time_ns", (json_int_t)cpu_ns, "cpu_pct",
                     uptime_ns > 0 ? 100.0 * (double)cpu_ns / (double)uptime_ns : 0.0,
                     "peak_memory_bytes", (json_int_t)usage.ru_maxrss * 1024, "n_requests_waiting",
                     (json_int_t)server_n_waiting(s));
}

/* What the debuginfod servers are asked for, and how that went; null: none is named. */
static json_t *debuginfod_member(struct server *s)
{
    struct debuginfod_status d;
    if (!debuginfod_has_urls()) {
        return json_null();
    }
    debuginfod_servers_status(s->servers, &d);
    json_t *download = json_null();
    if (d.build_id[0]) {
        download = json_pack("{s:o,s:o,s:I,s:I,s:I}", "build_id", json_clean_string(d.build_id),
                             "path", json_clean_string(d.path), "elapsed_ns",
                             (json_int_t)d.elapsed_ns, "n_done_bytes", (json_int_t)d.n_done_bytes,
                             "n_all_bytes", (json_int_t)d.n_all_bytes);
    }
    return json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:o}", "download", download, "n_found",
                     (json_int_t)d.n_found, "n_not_found", (json_int_t)d.n_not_found, "n_failed",
                     (json_int_t)d.n_failed, "n_skipped", (json_int_t)d.n_skipped, "resting_ns",
                     (json_int_t)d.resting_ns, "last_failure",
                     d.last_failure[0] ? json_clean_string(d.last_failure) : json_null());
}

/* Members that only the active run has. */
static void add_live_members(struct server *s, const struct run_info *info, json_t *data)
{
    struct recording_stats stats;
    int64_t start_ts;
    bool is_live = info->is_active && registry_stats(s->registry, &stats, &start_ts);
    json_object_set_new(data, "capture", is_live ? capture_member(&stats.capture) : json_null());
    json_object_set_new(data, "ingest", is_live ? ingest_member(&stats.ingest) : json_null());
    json_object_set_new(data, "queue",
                        is_live ? json_pack("{s:I,s:I,s:I}", "bytes", (json_int_t)stats.queue_bytes,
                                            "peak_bytes", (json_int_t)stats.queue_peak_bytes,
                                            "max_bytes", (json_int_t)stats.queue_max_bytes)
                                : json_null());
}

int method_diagnostics(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct server *s = c->server;
    struct query *q;
    struct run_info info;
    int rc = readers_get(readers, json_int_at(c->parameters, "run", 0), &q, &info, e);
    if (rc) {
        return rc;
    }
    rc = call_reads(c, q, e);
    rc = rc ? rc : query_diagnose(q, document, e);
    if (rc) {
        return rc;
    }
    set_run_id(*document, &info);
    json_t *data = json_object_get(*document, "data");
    add_live_members(s, &info, data);
    json_object_set_new(data, "database",
                        json_pack("{s:I,s:I}", "size_bytes", (json_int_t)db_file_bytes(info.path),
                                  "wal_bytes", (json_int_t)db_wal_bytes(info.path)));
    json_object_set_new(data, "process", process_member(s));
    json_object_set_new(data, "saves", server_saves(s));
    json_object_set_new(data, "debuginfod", debuginfod_member(s));
    return 0;
}

int method_subscribe(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    (void)document;
    struct server *s = c->server;
    const char *name = json_text_at(c->parameters, "view", "");
    const struct method *view = methods_find(s->methods, name);
    if (!view || !view->is_view) {
        err_set(e, STAX_EUSAGE, "there is no view of that name");
        err_hint(e, "did you mean '%s'?", methods_nearest(s->methods, name));
        return STAX_EUSAGE;
    }
    const json_t *parameters = json_object_get(c->parameters, "parameters");
    int rc = check_view_parameters(view, parameters, e);
    if (rc) {
        return rc;
    }
    int64_t id = watch_subscribe(s->watch, c, view, parameters);
    if (!id) {
        return err_set(e, STAX_ELIMIT, "this connection has too many subscriptions");
    }
    /* The number goes out before the first update does. */
    call_answer(c, document_new(c->method->schema, NULL,
                                json_pack("{s:I}", "subscription", (json_int_t)id), NULL, NULL));
    watch_sent(s->watch, id);
    return METHOD_TAKEN;
}

int method_unsubscribe(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    (void)readers;
    int64_t id = json_int_at(c->parameters, "subscription", 0);
    if (!watch_unsubscribe(c->server->watch, c->conn, id)) {
        return err_set(e, STAX_ENOTFOUND, "this connection has no subscription %lld",
                       (long long)id);
    }
    *document = document_new(c->method->schema, NULL,
                             json_pack("{s:I}", "subscription", (json_int_t)id), NULL, NULL);
    return 0;
}
