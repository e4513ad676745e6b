/* query.c - opening a reader, and turning a view's name and parameters into its document. */
#include "query/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "query/symbols.sql.h"
#include "query/view.h"
#include "schema/archive.h"

/* Parameters that every view takes. */
#define FILTER_PARAMETERS                                                                          \
    {"tid", "integer", "", "only the thread with this id"},                                        \
        {"pid", "integer", "", "only the process with this id"},                                   \
        {"from_ns", "integer", "ns", "only from this time after the start of the run"},            \
        {"to_ns", "integer", "ns", "only before this time after the start of the run"},            \
        {"exclude", "string[]", "", "leave out samples with one of these functions on the stack"}, \
    {                                                                                              \
        NULL, NULL, NULL, NULL                                                                     \
    }

#define FUNCTION_NAME                                                                              \
    "the function's name, without its parameters if so wished, or a part of one: the hottest "     \
    "(required)"

#define INLINES_PARAMETER                                                                          \
    {                                                                                              \
        "no_inlines", "boolean", "",                                                               \
            "count inlined functions as the ones they are inlined into (default false)"            \
    }

/* Of views that add up stacks. */
#define OFF_CPU_PARAMETERS                                                                         \
    {"off_cpu", "boolean", "", "blocked time instead of CPU time (default false)"},                \
    {                                                                                              \
        "reason", "string", "",                                                                    \
            "blocked time of this reason: idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn or "  \
            "other"                                                                                \
    }

#define BY_PARAMETER                                                                               \
    {                                                                                              \
        "by", "string", "",                                                                        \
            "what to measure by: on_cpu (CPU time, the default), or the name of a counter of the " \
            "run"                                                                                  \
    }

static const struct view_parameter top_parameters[] = {
    {"limit", "integer", "", "functions listed, 0 for all (default 20)"},
    {"sort", "string", "", "\"self\" (default) or \"total\""},
    INLINES_PARAMETER,
    BY_PARAMETER,
    OFF_CPU_PARAMETERS,
    FILTER_PARAMETERS,
};

static const struct view_parameter flamegraph_parameters[] = {
    {"max_depth", "integer", "",
     "levels of branches below the process (default 12): the only child large enough counts "
     "as its parent's depth"},
    {"threshold_pct", "number", "%", "leave out what is smaller (default 1.0)"},
    {"max_nodes", "integer", "", "nodes listed, the largest first (default 20000)"},
    INLINES_PARAMETER,
    BY_PARAMETER,
    OFF_CPU_PARAMETERS,
    FILTER_PARAMETERS,
};

static const struct view_parameter threads_parameters[] = {
    {"limit", "integer", "", "threads listed, 0 for all (default 20)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter timeline_parameters[] = {
    {"max_buckets", "integer", "", "the most time buckets (default 240)"},
    {"limit", "integer", "", "threads listed, 0 for as many as possible (default 20)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter neighbors_parameters[] = {
    {"symbol", "string", "", FUNCTION_NAME},
    {"limit", "integer", "", "callers and callees listed, 0 for all (default 20)"},
    INLINES_PARAMETER,
    FILTER_PARAMETERS,
};

/* Of the trees rooted at one function. */
#define ROOTED_PARAMETERS                                                                          \
    {"symbol", "string", "", FUNCTION_NAME},                                                       \
        {"max_depth", "integer", "", "levels below the function (default 12)"},                    \
        {"threshold_pct", "number", "%",                                                           \
         "leave out what is a smaller share of the function's total (default 1.0)"},               \
    {                                                                                              \
        "max_nodes", "integer", "", "nodes listed, the largest first (default 20000)"              \
    }

static const struct view_parameter rooted_parameters[] = {
    ROOTED_PARAMETERS,
    OFF_CPU_PARAMETERS,
    FILTER_PARAMETERS,
};

static const struct view_parameter samples_parameters[] = {
    {"limit", "integer", "", "samples listed, at most 10000 (default 100)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter intervals_parameters[] = {
    {"limit", "integer", "", "intervals listed, at most 10000 (default 20)"},
    {"reason", "string", "",
     "only waits for this reason: idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn or other; or "
     "runnable: waits for a CPU (default: all but runnable)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter symbols_parameters[] = {
    {"limit", "integer", "", "binaries listed, 0 for all (default 20)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter wakers_parameters[] = {
    {"limit", "integer", "", "pairs of threads listed, 0 for all (default 20)"},
    {"chain", "boolean", "",
     "also the longest wait, who ended it, what that thread had waited for, and so on (default "
     "false)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter total_parameters[] = {FILTER_PARAMETERS};

#define TARGET_PARAMETERS                                                                          \
    {"target", "string", "",                                                                       \
     "the function: an address (0x..., BINARY+0x...) or a part of its name, upper or lower case; " \
     "the one called exactly that, else the hottest is taken"},                                    \
    {                                                                                              \
        "syntax", "string", "", "of x86-64 operands: \"intel\" (default) or \"att\""               \
    }

static const struct view_parameter annotated_parameters[] = {
    TARGET_PARAMETERS,
    {"list", "boolean", "",
     "only list the functions that target could mean, all without target (default false)"},
    {"limit", "integer", "", "functions listed, 0 for all (default 20)"},
    FILTER_PARAMETERS,
};

static const struct view_parameter cfg_parameters[] = {TARGET_PARAMETERS, FILTER_PARAMETERS};

const struct view query_views[] = {
    {"top", "stax.top/1",
     "Functions by the CPU time they use, self or total; or by the time they wait.",
     top_parameters},
    {"flamegraph", "stax.flame/1",
     "The call tree with self and total time, the heaviest first; or that of waits, each ending in "
     "its reason.",
     flamegraph_parameters},
    {"threads", "stax.threads/1",
     "Threads and where their wall time went: on the CPU, waiting for one, blocked by reason.",
     threads_parameters},
    {"timeline", "stax.timeline/1", "CPU time of the busiest threads over time.",
     timeline_parameters},
    {"neighbors", "stax.neighbors/1", "Callers and callees of a function.", neighbors_parameters},
    {"callers", "stax.callers/1",
     "Who calls a function, as a tree with the function at its root; a sample counts once, at the "
     "outermost call.",
     rooted_parameters},
    {"callees", "stax.callees/1",
     "What a function calls, as a tree with the function at its root; a sample counts once, at the "
     "innermost call.",
     rooted_parameters},
    {"samples", "stax.samples/1", "Raw samples with their stacks, newest first.",
     samples_parameters},
    {"intervals", "stax.waits/1", "The longest single waits, with their reason and stack.",
     intervals_parameters},
    {"symbols", "stax.symbols/1",
     "Binaries by the CPU time in code without a name or with a poor one, why, and what would "
     "help.",
     symbols_parameters},
    {"wakers", "stax.wakers/1",
     "Who ended the waits of whom, how often and where; the filters are about the thread that was "
     "woken, excluded functions about the waker's stack.",
     wakers_parameters},
    {"total_on_cpu_ns", "stax.total/1", "CPU time and samples in all.", total_parameters},
    {"profile", "stax.profile/1",
     "All functions, waits and threads in one snapshot: what a comparison of two runs is made of.",
     total_parameters},
    {"annotated", "stax.annotate/1",
     "The machine code of a function with its samples; or the functions that a text could mean.",
     annotated_parameters},
    {"cfg", "stax.cfg/1", "The basic blocks of a function, their samples, and the edges between.",
     cfg_parameters},
    {NULL, NULL, NULL, NULL},
};

/* In the order of query_views. */
static view_fn *const functions[] = {
    view_top,     view_flamegraph, view_threads, view_timeline,  view_neighbors,
    view_callers, view_callees,    view_samples, view_intervals, view_symbols,
    view_wakers,  view_total,      view_profile, view_annotated, view_cfg,
};

_Static_assert(sizeof(functions) / sizeof(functions[0]) + 1 ==
                   sizeof(query_views) / sizeof(query_views[0]),
               "every view has its function");

int query_open(struct query **out, const char *path, bool is_archive, struct err *e)
{
    struct query *q = mem_new(1, sizeof(*q));
    int rc = is_archive ? archive_open(&q->db, path, &q->is_migrated, e)
                        : db_open(&q->db, path, DB_READ, e);
    if (rc < 0) {
        free(q);
        return rc;
    }
    q->path = mem_strdup(path);
    q->is_archive = is_archive;
    *out = q;
    return 0;
}

void query_close(struct query *q)
{
    if (!q) {
        return;
    }
    fold_free(&q->fold);
    sandbox_close(q->sandbox);
    db_close(q->db);
    free(q->path);
    free(q);
}

void query_set_timeout_ms(struct query *q, int64_t timeout_ms)
{
    q->timeout_ms = timeout_ms;
}

void query_cancel(struct query *q)
{
    struct sandbox *sandbox = q->sandbox;

    db_cancel(q->db);
    if (sandbox) {
        sandbox_cancel(sandbox);
    }
}

static void set_deadline(struct query *q)
{
    db_set_deadline(q->db, q->timeout_ms > 0 ? clock_monotonic_ns() + q->timeout_ms * 1000000 : 0);
}

/* One snapshot: everything a document says is from one commit. */
static int begin(struct query *q, struct err *e)
{
    db_clear_error(q->db);
    set_deadline(q);
    db_begin(q->db);
    return run_read(q, e);
}

static void end(struct query *q)
{
    db_clear_error(q->db); /* else the rollback would be skipped after a failure */
    db_set_deadline(q->db, 0);
    db_rollback(q->db);
}

static json_t *new_document(struct query *q, const char *schema, json_t *data)
{
    json_t *document = json_object();

    q->warnings = json_array();
    json_object_set_new(document, "schema", json_string(schema));
    json_object_set_new(document, "run", run_document(q));
    json_object_set(document, "data", data);
    json_object_set_new(document, "quality", run_quality(q));
    json_object_set_new(document, "warnings", q->warnings);
    return document;
}

static int find_view(const char *name, size_t *index, struct err *e)
{
    for (size_t i = 0; query_views[i].name; i++) {
        if (strcmp(query_views[i].name, name) == 0) {
            *index = i;
            return 0;
        }
    }
    return err_set(e, STAX_EUSAGE, "there is no view of that name");
}

int query_check(const char *view, const json_t *parameters, struct err *e)
{
    struct params params;
    size_t index = 0;
    int rc = find_view(view, &index, e);

    return rc < 0 ? rc : params_check(&params, &query_views[index], parameters, e);
}

int query_view(struct query *q, const char *view, const json_t *parameters, json_t **document,
               struct err *e)
{
    struct params params;
    size_t index = 0;
    int rc = find_view(view, &index, e);

    *document = NULL;
    if (rc == 0) {
        rc = params_check(&params, &query_views[index], parameters, e);
    }
    if (rc < 0) {
        return rc;
    }
    rc = begin(q, e);
    if (rc == 0) {
        json_t *data = json_object();
        json_t *made = new_document(q, query_views[index].schema, data);
        rc = functions[index](q, &params, data, e);
        if (rc == 0) {
            rc = db_status(q->db, e);
        }
        json_decref(data);
        q->warnings = NULL;
        if (rc == 0) {
            *document = made;
        } else {
            json_decref(made);
        }
    }
    end(q);
    return rc;
}

/* A member alone, in a snapshot of its own; null if the file cannot be read. */
static json_t *read_member(struct query *q, json_t *(*member)(struct query *q))
{
    json_t *value = begin(q, NULL) == 0 ? member(q) : json_null();

    end(q);
    return value;
}

json_t *query_run(struct query *q)
{
    return read_member(q, run_document);
}

int64_t query_n_lost(struct query *q)
{
    int64_t n = begin(q, NULL) == 0 ? q->run.n_lost : 0;

    end(q);
    return n;
}

json_t *query_quality(struct query *q)
{
    return read_member(q, run_quality);
}

int query_has_symbol(struct query *q, const char *text, bool *found, struct err *e)
{
    int rc = begin(q, e);

    *found = false;
    if (rc == 0) {
        struct stmt *s = db_stmt(q->db, &sql_symbol_has_samples);
        stmt_bind_text(s, symbol_has_samples_p_text, text);
        *found = stmt_next(s);
        stmt_reset(s);
        rc = db_status(q->db, e);
    }
    end(q);
    return rc;
}

static int read_limits(const json_t *limits, struct sandbox_limits *out, struct err *e)
{
    const struct {
        const char *key;
        int64_t *value;
    } known[] = {{"max_rows", &out->max_rows},
                 {"max_bytes", &out->max_bytes},
                 {"timeout_ms", &out->timeout_ms}};

    *out = sandbox_default_limits;
    if (limits && !json_is_object(limits)) {
        return err_set(e, STAX_EUSAGE, "limits must be a JSON object");
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const json_t *value = json_object_get(limits, known[i].key);
        if (!value || json_is_null(value)) {
            continue;
        }
        if (!json_is_integer(value) || json_integer_value(value) <= 0) {
            return err_set(e, STAX_EUSAGE, "%s must be a whole number above 0", known[i].key);
        }
        *known[i].value = json_integer_value(value);
    }
    if (out->max_bytes > SANDBOX_MAX_BYTES) {
        out->max_bytes = SANDBOX_MAX_BYTES;
    }
    return 0;
}

static void warn_of_limit(struct query *q, const json_t *result,
                          const struct sandbox_limits *limits)
{
    const char *limit = json_text_at(result, "limit", "");

    if (strcmp(limit, "rows") == 0) {
        view_warn(q, "cut after %lld rows, more match: --max-rows raises that",
                  (long long)limits->max_rows);
    } else if (strcmp(limit, "bytes") == 0) {
        view_warn(q,
                  "cut after %lld bytes, more match: name fewer columns, or ask the file itself, "
                  "sqlite3 -readonly \"$(stax sql --path)\"",
                  (long long)limits->max_bytes);
    }
}

/* in reads through the connection of the sandbox. */
static int answer_sql(struct query *in, struct sandbox *sandbox, const char *sql,
                      const struct sandbox_limits *limits, json_t **document, struct err *e)
{
    json_t *result = NULL;
    int rc = run_read(in, e); /* first: this begins the snapshot that the query sees */

    if (rc == 0) {
        rc = sandbox_query(sandbox, sql, limits, &result, e);
    }
    if (rc < 0) {
        return rc;
    }
    set_deadline(in);
    json_t *made = new_document(in, "stax.sql/1", result);
    warn_of_limit(in, result, limits);
    run_warnings(in, false, false, NULL);
    json_decref(result);
    rc = db_status(in->db, e);
    if (rc == 0) {
        *document = made;
    } else {
        json_decref(made);
    }
    return rc;
}

int query_sql_both(const struct query_file files[2], const char *sql, const json_t *limits,
                   json_t **document, struct err *e)
{
    struct sandbox_limits bounds;
    struct sandbox *sandbox = NULL;
    json_t *result = NULL;
    int rc = read_limits(limits, &bounds, e);

    *document = NULL;
    if (rc == 0) {
        rc = sandbox_open_both(&sandbox, files[0].path, files[0].is_archive, files[1].path,
                               files[1].is_archive, e);
    }
    if (rc < 0) {
        return rc;
    }
    sandbox_begin(sandbox);
    rc = sandbox_query(sandbox, sql, &bounds, &result, e);
    sandbox_end(sandbox);
    sandbox_close(sandbox);
    if (rc == 0) {
        struct query in = {.warnings = json_array()};
        warn_of_limit(&in, result, &bounds);
        *document = json_pack("{s:s,s:n,s:o,s:n,s:o}", "schema", "stax.sql/1", "run", "data",
                              result, "quality", "warnings", in.warnings);
    }
    return rc;
}

int query_sql(struct query *q, const char *sql, const json_t *limits, json_t **document,
              struct err *e)
{
    struct sandbox_limits bounds;
    struct sandbox *sandbox = q->sandbox;
    int rc = read_limits(limits, &bounds, e);

    *document = NULL;
    if (rc == 0 && !sandbox) {
        rc = sandbox_open(&sandbox, q->path, q->is_archive, e);
        q->sandbox = sandbox; /* at once, for query_cancel() */
    }
    if (rc < 0) {
        return rc;
    }
    /* q's own connection may be at another commit than the sandbox. */
    struct query in = {
        .db = sandbox_begin(sandbox),
        .path = q->path,
        .is_archive = q->is_archive,
        .is_migrated = q->is_migrated,
        .timeout_ms = q->timeout_ms,
    };
    rc = answer_sql(&in, sandbox, sql, &bounds, document, e);
    db_set_deadline(in.db, 0);
    sandbox_end(sandbox);
    return rc;
}
