/* sandbox.c - see sandbox.h. */
#include "schema/sandbox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "schema/archive.h"
#include "schema/db_internal.h"
#include "schema/sandbox.sql.h"
#include "schema/sandbox_internal.h"

enum {
    PROGRESS_STEPS = 1000,
    MAX_TIMEOUT_MS = 3600 * 1000,
    /* Sorts and materialised views live in memory: how much more than before a query may hold. */
    MAX_MEMORY_BYTES = 256 << 20,
    /* What an answer costs beside the bytes of its texts. */
    ROW_BYTES = 100,
    VALUE_BYTES = 64
};

const struct sandbox_limits sandbox_default_limits = {
    .max_rows = 10000, .max_bytes = 16 << 20, .timeout_ms = 10000};

struct sandbox {
    struct db *db;
    json_t *names;     /* as sandbox_names() gives them */
    char refused[160]; /* what the authorizer refused last, "" if nothing */
    struct sandbox_watch watch;
    bool is_ours; /* the statement being prepared is not the user's */
};

/* Functions that reach outside a query or take addresses; the rest of SQLite's computes only. */
static const char *const refused_functions[] = {"load_extension", "fts3_tokenizer",    "fts5",
                                                "rtreecheck",     "rtreenode",         "rtreedepth",
                                                "sqlite_log",     "icu_load_collation"};

/* One call compares every key of one value with every key of the other. */
static const char *const slow_functions[] = {"json_patch"};

/* Pragmas that only tell; those with an argument take the name of a table. */
static const char *const table_pragmas[] = {"table_info",      "table_xinfo", "table_list",
                                            "index_list",      "index_info",  "index_xinfo",
                                            "foreign_key_list"};
static const char *const plain_pragmas[] = {
    "user_version", "application_id", "page_count",    "page_size",       "freelist_count",
    "encoding",     "schema_version", "table_list",    "compile_options", "function_list",
    "pragma_list",  "module_list",    "collation_list"};

#define N_ITEMS(a) (sizeof(a) / sizeof((a)[0]))

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sqlite3_stricmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_allowed_pragma(const char *name, const char *argument)
{
    return argument ? is_one_of(name, table_pragmas, N_ITEMS(table_pragmas))
                    : is_one_of(name, plain_pragmas, N_ITEMS(plain_pragmas));
}

static const char *action_name(int action)
{
    switch (action) {
    case SQLITE_ATTACH:
        return "ATTACH and VACUUM";
    case SQLITE_DETACH:
        return "DETACH";
    case SQLITE_INSERT:
        return "INSERT";
    case SQLITE_UPDATE:
        return "UPDATE";
    case SQLITE_DELETE:
        return "DELETE";
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return "a transaction";
    case SQLITE_PRAGMA:
        return "PRAGMA";
    case SQLITE_FUNCTION:
        return "function";
    default:
        return "a statement that changes something";
    }
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *database,
                     const char *view)
{
    struct sandbox *s = ctx;
    (void)database;
    (void)view;
    bool is_allowed = s->is_ours || action == SQLITE_SELECT || action == SQLITE_READ ||
                      action == SQLITE_RECURSIVE ||
                      (action == SQLITE_FUNCTION &&
                       !is_one_of(b, refused_functions, N_ITEMS(refused_functions)) &&
                       !is_one_of(b, slow_functions, N_ITEMS(slow_functions))) ||
                      (action == SQLITE_PRAGMA && is_allowed_pragma(a, b));
    if (is_allowed) {
        return SQLITE_OK;
    }
    const char *what = action == SQLITE_PRAGMA ? a : action == SQLITE_FUNCTION ? b : "";
    struct buf clean = {0};
    text_clean(&clean, what, strlen(what));
    snprintf(s->refused, sizeof(s->refused), "%s%s%.60s", action_name(action), *what ? " " : "",
             buf_str(&clean));
    buf_free(&clean);
    return SQLITE_DENY;
}

static bool must_stop(void *ctx)
{
    const struct sandbox *s = ctx;
    return atomic_load(&s->db->is_cancelled) ||
           (s->db->deadline_ns && clock_monotonic_ns() >= s->db->deadline_ns);
}

static int on_progress(void *ctx)
{
    return must_stop(ctx);
}

static void limit(sqlite3 *handle)
{
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, SANDBOX_VALUE_BYTES);
    sqlite3_limit(handle, SQLITE_LIMIT_SQL_LENGTH, SANDBOX_MAX_SQL_BYTES);
    sqlite3_limit(handle, SQLITE_LIMIT_COLUMN, 1000);
    sqlite3_limit(handle, SQLITE_LIMIT_EXPR_DEPTH, 200);
    sqlite3_limit(handle, SQLITE_LIMIT_COMPOUND_SELECT, 100);
    sqlite3_limit(handle, SQLITE_LIMIT_VDBE_OP, 100000);
    sqlite3_limit(handle, SQLITE_LIMIT_FUNCTION_ARG, 32);
    sqlite3_limit(handle, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000);
    sqlite3_limit(handle, SQLITE_LIMIT_VARIABLE_NUMBER, 100);
    sqlite3_limit(handle, SQLITE_LIMIT_WORKER_THREADS, 0);
}

static json_t *read_names(struct db *db, const char *schema)
{
    json_t *names = json_array();
    char *last = mem_strdup("");
    struct stmt *s = db_stmt(db, &sql_sandbox_names);
    stmt_bind_text(s, sandbox_names_p_schema, schema);
    while (stmt_next(s)) {
        const char *table = stmt_text(s, sandbox_names_c_table_name);
        if (strcmp(table, last) != 0) {
            json_array_append_new(names, json_clean_string(table));
            free(last);
            last = mem_strdup(table);
        }
        struct buf column = {0};
        buf_addf(&column, "%s.%s", table, stmt_text(s, sandbox_names_c_column_name));
        json_array_append_new(names, json_clean_string(buf_str(&column)));
        buf_free(&column);
    }
    free(last);
    return names;
}

/* Takes db, also when it fails. schema: the one whose names are suggested. */
static int make(struct sandbox **out, struct db *db, const char *schema, struct err *e)
{
    struct sandbox *s = mem_new(1, sizeof(*s));
    s->db = db;
    s->names = read_names(db, schema);
    stmt_run(db_stmt(db, &sql_sandbox_connect));
    db_harden(db->handle);
    limit(db->handle);
    s->watch =
        (struct sandbox_watch){.must_stop = must_stop, .ctx = s, .max_bytes = MAX_MEMORY_BYTES};
    int sqlite_rc = sandbox_functions_add(db->handle, &s->watch);
    if (sqlite_rc != SQLITE_OK) {
        db_fail(db, sqlite_rc, "adding functions");
    }
    sqlite3_set_authorizer(db->handle, authorize, s);
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, on_progress, s);
    int rc = db_status(db, e);
    if (rc < 0) {
        sandbox_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int sandbox_open(struct sandbox **out, const char *path, bool is_archive, struct err *e)
{
    struct db *db = NULL;
    *out = NULL;
    int rc = is_archive ? archive_open(&db, path, NULL, e) : db_open(&db, path, DB_READ, e);
    return rc < 0 ? rc : make(out, db, "main", e);
}

int sandbox_open_both(struct sandbox **out, const char *path_a, bool is_archive_a,
                      const char *path_b, bool is_archive_b, struct err *e)
{
    struct db *db = NULL;
    *out = NULL;
    int rc = db_open_empty(&db, e);
    rc = rc ? rc : archive_attach(db, "a", path_a, is_archive_a, e);
    rc = rc ? rc : archive_attach(db, "b", path_b, is_archive_b, e);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    return make(out, db, "a", e);
}

void sandbox_close(struct sandbox *s)
{
    if (s) {
        db_close(s->db);
        json_decref(s->names);
        free(s);
    }
}

void sandbox_cancel(struct sandbox *s)
{
    db_cancel(s->db);
}

struct db *sandbox_begin(struct sandbox *s)
{
    db_clear_error(s->db);
    s->is_ours = true;
    db_begin(s->db);
    s->is_ours = false;
    return s->db;
}

void sandbox_end(struct sandbox *s)
{
    s->is_ours = true;
    db_rollback(s->db);
    s->is_ours = false;
}

json_t *sandbox_names(struct sandbox *s)
{
    return json_deep_copy(s->names);
}

/* The table, view or column nearest to a name that does not exist; "" if none is near. */
static const char *nearest(const struct sandbox *s, const char *wrong)
{
    const char *dot = strrchr(wrong, '.');
    const char *word = dot ? dot + 1 : wrong;
    const char *best = "";
    size_t best_distance = 1 + strlen(word) / 3;
    size_t i;
    json_t *item;
    json_array_foreach(s->names, i, item)
    {
        const char *name = json_string_value(item);
        const char *column = strchr(name, '.');
        const char *candidate = column ? column + 1 : name;
        size_t distance = strlen(word) < 64 ? text_distance(word, candidate) : SIZE_MAX;
        if (distance <= best_distance && (distance < best_distance || !*best)) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

static void add_hint(const struct sandbox *s, const char *message, struct err *e)
{
    static const char *const prefixes[] = {"no such table: ", "no such column: "};
    for (size_t i = 0; i < N_ITEMS(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(message, prefixes[i], n) == 0) {
            const char *near = nearest(s, message + n);
            if (*near) {
                err_hint(e, "did you mean %s? stax sql --schema lists all tables and columns",
                         near);
            } else {
                err_hint(e, "stax sql --schema lists all tables and columns");
            }
            return;
        }
    }
    err_hint(e, "one SELECT on the tables and views that stax sql --schema lists");
}

/* What SQLite says, made fit for one line: it may quote the query. */
static int fail(struct sandbox *s, int sqlite_rc, struct err *e)
{
    int kind = sqlite_rc & 0xff;
    bool is_stopped = kind == SQLITE_INTERRUPT || s->watch.is_stopped;
    if (s->watch.is_over_memory) {
        err_set(e, STAX_ELIMIT, "the query needs more than %d MB of memory",
                MAX_MEMORY_BYTES >> 20);
        err_hint(e, "sort or group fewer rows: filter them first");
        return STAX_ELIMIT;
    }
    if (is_stopped && atomic_load(&s->db->is_cancelled)) {
        return err_set(e, STAX_ECANCELLED, "the query was cancelled");
    }
    if (is_stopped) {
        err_set(e, STAX_ETIMEOUT, "the query took longer than it may and was stopped");
        err_hint(e, "read fewer rows, or use the summary tables, or ask for a longer timeout");
        return STAX_ETIMEOUT;
    }
    if (*s->refused) {
        err_set(e, STAX_ESQL, "not allowed here: %s", s->refused);
        err_hint(e, "queries are read-only: one SELECT on the tables that stax sql --schema lists");
        return STAX_ESQL;
    }
    struct buf message = {0};
    const char *text = sqlite3_errmsg(s->db->handle);
    text_clean(&message, text, strnlen(text, 300));
    enum stax_err code = db_code(sqlite_rc, 0);
    bool is_of_query = code == STAX_ESQL || code == STAX_ELIMIT || code == STAX_EPERMISSION;
    err_set(e, is_of_query ? STAX_ESQL : code, "%s", buf_str(&message));
    add_hint(s, buf_str(&message), e);
    buf_free(&message);
    return is_of_query ? STAX_ESQL : (int)code;
}

static int prepare_watched(struct sandbox *s, const char *sql, sqlite3_stmt **stmt,
                           const char **tail)
{
    sandbox_watch_begin(&s->watch);
    int rc = sqlite3_prepare_v2(s->db->handle, sql, -1, stmt, tail);
    sandbox_watch_end();
    return rc;
}

static int step_watched(struct sandbox *s, sqlite3_stmt *stmt)
{
    sandbox_watch_begin(&s->watch);
    int rc = sqlite3_step(stmt);
    sandbox_watch_end();
    return rc;
}

static bool is_blank(struct sandbox *s, const char *sql)
{
    sqlite3_stmt *more = NULL;
    int rc = prepare_watched(s, sql, &more, NULL);
    bool is_nothing = rc == SQLITE_OK && !more;
    sqlite3_finalize(more);
    return is_nothing;
}

int sandbox_refuse_long(size_t n_bytes, struct err *e)
{
    err_set(e, STAX_ESQL, "the query is too big: it has %zu KiB, %d are allowed", n_bytes >> 10,
            SANDBOX_MAX_SQL_BYTES >> 10);
    err_hint(e, "split it, or put long lists of values into a file for another SQLite client");
    return STAX_ESQL;
}

static int prepare(struct sandbox *s, const char *sql, sqlite3_stmt **stmt, struct err *e)
{
    const char *tail = NULL;
    size_t n_bytes = strlen(sql);
    if (n_bytes > SANDBOX_MAX_SQL_BYTES) {
        return sandbox_refuse_long(n_bytes, e);
    }
    int rc = prepare_watched(s, sql, stmt, &tail);
    if (rc != SQLITE_OK) {
        return fail(s, rc, e);
    }
    int code = 0;
    if (!*stmt) {
        code = err_set(e, STAX_ESQL, "there is no statement");
        add_hint(s, "", e);
    } else if (!is_blank(s, tail)) {
        code = err_set(e, STAX_ESQL, "only one statement at a time");
        err_hint(e, "send the statements one after the other");
    } else if (!sqlite3_stmt_readonly(*stmt)) {
        code = err_set(e, STAX_ESQL, "not allowed here: a statement that changes something");
        err_hint(e, "queries are read-only: one SELECT on the tables that stax sql --schema lists");
    }
    if (code < 0) {
        sqlite3_finalize(*stmt);
        *stmt = NULL;
    }
    return code;
}

static json_t *blob_value(const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    struct buf hex = {0};
    buf_addstr(&hex, "x'");
    char *at = buf_room(&hex, 2 * n);
    for (size_t i = 0; i < n; i++) {
        at[2 * i] = digits[bytes[i] >> 4];
        at[2 * i + 1] = digits[bytes[i] & 15];
    }
    buf_advance(&hex, 2 * n);
    buf_addch(&hex, '\'');
    json_t *value = json_stringn(buf_str(&hex), hex.len);
    buf_free(&hex);
    return value;
}

static json_t *text_value(const char *text, size_t n)
{
    json_t *value = json_stringn(text, n); /* NULL when it is not UTF-8 */
    if (!value) {
        struct buf clean = {0};
        text_clean(&clean, text, n);
        value = json_stringn(buf_str(&clean), clean.len);
        buf_free(&clean);
    }
    return value;
}

/* One value; adds what it takes to *bytes. */
static json_t *value_at(sqlite3_stmt *stmt, int column, int64_t *bytes)
{
    int type = sqlite3_column_type(stmt, column);
    *bytes += VALUE_BYTES;
    if (type == SQLITE_INTEGER) {
        return json_integer(sqlite3_column_int64(stmt, column));
    }
    if (type == SQLITE_FLOAT) {
        double v = sqlite3_column_double(stmt, column);
        return isfinite(v) ? json_real(v) : json_string(v > 0 ? "Infinity" : "-Infinity");
    }
    if (type == SQLITE_TEXT) {
        const char *text = (const char *)sqlite3_column_text(stmt, column);
        int n = sqlite3_column_bytes(stmt, column);
        *bytes += n;
        return text_value(text ? text : "", text ? (size_t)n : 0);
    }
    if (type == SQLITE_BLOB) {
        const void *blob = sqlite3_column_blob(stmt, column);
        int n = sqlite3_column_bytes(stmt, column);
        *bytes += 2 * (int64_t)n;
        return blob_value(blob ? blob : "", blob ? (size_t)n : 0);
    }
    return json_null();
}

static json_t *columns_of(sqlite3_stmt *stmt)
{
    json_t *columns = json_array();
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_name(stmt, i);
        json_array_append_new(columns, text_value(name ? name : "", name ? strlen(name) : 0));
    }
    return columns;
}

/* Fills rows up to the limits; *hit names the one that ended it. Returns the SQLite result. */
static int read_rows(struct sandbox *s, sqlite3_stmt *stmt, const struct sandbox_limits *limits,
                     json_t *rows, const char **hit)
{
    int64_t max_bytes =
        limits->max_bytes < SANDBOX_MAX_BYTES ? limits->max_bytes : SANDBOX_MAX_BYTES;
    int64_t bytes = 0;
    int rc;
    while ((rc = step_watched(s, stmt)) == SQLITE_ROW) {
        if ((int64_t)json_array_size(rows) >= limits->max_rows) {
            *hit = "rows";
            return SQLITE_DONE;
        }
        json_t *row = json_array();
        bytes += ROW_BYTES;
        for (int i = 0; i < sqlite3_column_count(stmt) && bytes <= max_bytes; i++) {
            json_array_append_new(row, value_at(stmt, i, &bytes));
        }
        if (bytes > max_bytes) {
            json_decref(row);
            *hit = "bytes";
            return SQLITE_DONE;
        }
        json_array_append_new(rows, row);
    }
    return rc;
}

int sandbox_query(struct sandbox *s, const char *sql, const struct sandbox_limits *limits,
                  json_t **result, struct err *e)
{
    const struct sandbox_limits *l = limits ? limits : &sandbox_default_limits;
    int64_t start = clock_monotonic_ns();
    sqlite3_stmt *stmt = NULL;
    struct err own = {0};
    e = e ? e : &own;
    *result = NULL;
    db_clear_error(s->db);
    s->refused[0] = '\0';
    s->watch.bytes = 0;
    s->watch.is_over_memory = false;
    s->watch.is_stopped = false;
    int64_t timeout_ms = l->timeout_ms < MAX_TIMEOUT_MS ? l->timeout_ms : MAX_TIMEOUT_MS;
    db_set_deadline(s->db, start + timeout_ms * 1000000);
    int rc = prepare(s, sql, &stmt, e);
    if (rc < 0) {
        db_set_deadline(s->db, 0);
        return rc;
    }
    json_t *columns = columns_of(stmt);
    json_t *rows = json_array();
    const char *hit = NULL;
    int sqlite_rc = read_rows(s, stmt, l, rows, &hit);
    if (sqlite_rc != SQLITE_DONE) {
        rc = fail(s, sqlite_rc, e);
        json_decref(columns);
        json_decref(rows);
    } else {
        *result =
            json_pack("{s:o, s:o, s:I, s:b, s:s?, s:f}", "columns", columns, "rows", rows, "n_rows",
                      (json_int_t)json_array_size(rows), "is_truncated", hit != NULL, "limit", hit,
                      "elapsed_ms", (double)(clock_monotonic_ns() - start) / 1e6);
    }
    sqlite3_finalize(stmt);
    db_set_deadline(s->db, 0);
    return rc;
}
