/* handlers_names.c - symbolize: looks for better names of a run. See method_table.c. */
#include <limits.h>
#include <stdio.h>

#include "base/fd.h"
#include "ingest/symbolize.h"
#include "schema/archive.h"
#include "server/handlers.h"
#include "server/readers.h"
#include "server/runs.h"
#include "server/server.h"

/* An archive is named in a copy, which then replaces it: whoever reads it meanwhile sees one of the
 * two. */
static int symbolize_archive(struct server *s, const struct run_info *info,
                             const struct symbolize_options *options, struct symbolize_stats *stats,
                             struct err *e)
{
    char copy[PATH_MAX + 64];
    struct db *checked;
    bool is_migrated;
    int rc = archive_open(&checked, info->path, &is_migrated, e);
    if (rc) {
        return rc;
    }
    db_close(checked);
    if (is_migrated) {
        err_set(e, STAX_EVERSION, "%s is of an older version", info->path);
        err_hint(e, "stax open it, and stax save it under another name; then name that one");
        return STAX_EVERSION;
    }
    snprintf(copy, sizeof(copy), "%s/" RUNS_COPY_PREFIX "%lld.tmp", s->datadir.path,
             (long long)info->id);
    rc = archive_save(info->path, copy, NULL, NULL, NULL, e);
    if (rc == 0) { /* the file may have changed since the first look */
        rc = archive_open(&checked, copy, &is_migrated, e);
    }
    if (rc == 0) {
        db_close(checked);
        rc = ingest_symbolize(copy, options, stats, e);
    }
    if (rc == 0) {
        rc = archive_save(copy, info->path, NULL, NULL, NULL, e);
    }
    archive_unlink(copy);
    return rc;
}

static bool goes_on(void *ctx)
{
    return !call_is_over(ctx);
}

static int symbolize(struct call *c, const struct run_info *info, struct symbolize_stats *stats,
                     struct err *e)
{
    struct server *s = c->server;
    const struct symbolize_options options = {
        .timeout_ms = (int)json_int_at(c->parameters, "timeout_ms", 60000),
        .servers = s->servers,
        .goes_on = goes_on,
        .ctx = c,
        .with_code = info->is_archive,
    };
    if (!registry_take_names(s->registry)) {
        return err_set(e, STAX_EBUSY, "names of a run are being looked for already");
    }
    registry_hold(s->registry, info->id, 1);
    int rc = info->is_archive ? symbolize_archive(s, info, &options, stats, e)
                              : ingest_symbolize(info->path, &options, stats, e);
    registry_hold(s->registry, info->id, -1);
    registry_give_names(s->registry);
    return rc;
}

int method_symbolize(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct server *s = c->server;
    struct symbolize_stats stats = {0};
    struct run_info info;
    struct query *q;
    int64_t start_ns = clock_monotonic_ns();
    int rc = registry_find(s->registry, json_int_at(c->parameters, "run", 0), &info, e);
    if (rc) {
        return rc;
    }
    /* The recording itself does it, and says so by run.n_renames. */
    bool is_live = info.is_active && registry_rename(s->registry, info.id, NULL) == 0;
    if (!is_live) {
        rc = symbolize(c, &info, &stats, e);
    }
    if (rc == 0) {
        rc = readers_get(readers, info.id, &q, &info, e);
    }
    if (rc) {
        return rc;
    }
    json_t *run = query_run(q);
    json_object_set_new(run, "id", json_integer(info.id));
    json_t *data = json_pack(
        "{s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "is_live", is_live, "is_complete",
        is_live ? 0 : stats.is_complete, "n_binaries", (json_int_t)stats.n_binaries, "n_missing",
        (json_int_t)stats.n_missing, "n_symbols_named", (json_int_t)stats.n_symbols_named,
        "n_frames", (json_int_t)stats.n_frames, "n_lines", (json_int_t)stats.n_lines, "n_code",
        (json_int_t)stats.n_code, "elapsed_ms", (double)(clock_monotonic_ns() - start_ns) / 1e6);
    *document = document_new(c->method->schema, run, data, query_quality(q), NULL);
    return 0;
}
