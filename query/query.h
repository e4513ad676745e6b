/*
 * query.h - the views: each answers from prepared SQL on a read-only connection and becomes a
 * document {"schema":"stax.NAME/1","run":{…},"data":…,"quality":{…},"warnings":[…]}.
 *
 * A struct query is a reader on one run file with its prepared statements and a cache of the call
 * tree's shape for filtered views. One thread at a time; each call reads one snapshot.
 */
#ifndef STAX_QUERY_QUERY_H
#define STAX_QUERY_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct query;

/* is_archive: a foreign file, opened by archive_open(). */
int query_open(struct query **out, const char *path, bool is_archive, struct err *e);
void query_close(struct query *q);
/* Statements of later calls give up (STAX_ETIMEOUT) after this long; 0: never. */
void query_set_timeout_ms(struct query *q, int64_t timeout_ms);

/* Makes what another thread asks q right now give up with STAX_ECANCELLED. A call that is only
 * about to read may miss it: say it again until the call is back. Any thread, while q is open. */
void query_cancel(struct query *q);

/* One parameter of a view, as the method table, --help and docs print it. */
struct view_parameter {
    const char *name; /* JSON key */
    const char *type; /* "integer" "number" "string" "boolean" "string[]" */
    const char *unit; /* "" if none */
    const char *help;
};

struct view {
    const char *name;                        /* top flamegraph threads ... */
    const char *schema;                      /* "stax.top/1" */
    const char *help;                        /* one sentence */
    const struct view_parameter *parameters; /* ends with a NULL name */
};

/* The views, ended by a NULL name. Those that only issue-later data feeds are absent. */
extern const struct view query_views[];

/* Answers one view. parameters: a JSON object or NULL; unknown keys, wrong types and out-of-range
 * values are STAX_EUSAGE with the key named. *document is the caller's.
 * Errors also: STAX_ENOTFOUND (tid, pid or symbol the run does not have), STAX_ETIMEOUT,
 * STAX_ECORRUPT. */
int query_view(struct query *q, const char *view, const json_t *parameters, json_t **document,
               struct err *e);

/* Checks parameters as query_view() does, without a run. 0 or STAX_EUSAGE. */
int query_check(const char *view, const json_t *parameters, struct err *e);

/* The "run" and "quality" members alone, as every document carries them. New references. */
json_t *query_run(struct query *q);
json_t *query_quality(struct query *q);
/* Samples and records that were lost, without what else the quality costs; 0: cannot be read. */
int64_t query_n_lost(struct query *q);

/* Whether a function whose demangled name contains text (case-insensitive) has samples. */
int query_has_symbol(struct query *q, const char *text, bool *found, struct err *e);

/* {"schema":"stax.diagnose/1",...} with what the file knows of its own quality: data is
 * {"loss":[{kind,n,first_ts,last_ts}],"unresolved":[{binary,note,on_cpu_ns,pct}],"abilities":[{name,
 * is_available,reason,unlock}]}; times of losses are ns since the start of the run. */
int query_diagnose(struct query *q, json_t **document, struct err *e);

/* SQL on the same file through the sandbox: the data member is sandbox_query()'s result. */
int query_sql(struct query *q, const char *sql, const json_t *limits, json_t **document,
              struct err *e);

struct query_file {
    const char *path;
    bool is_archive; /* as for query_open() */
};

/* SQL over two files at once, whose tables are a.NAME and b.NAME; "run" and "quality" are null. */
int query_sql_both(const struct query_file files[2], const char *sql, const json_t *limits,
                   json_t **document, struct err *e);

#endif
