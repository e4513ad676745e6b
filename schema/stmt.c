/* stmt.c - statements of a connection; see db.h. */
#include "schema/db_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct stmt *db_stmt(struct db *db, const struct sql_block *block)
{
    if (db->error.code) {
        return &db->dead;
    }
    uint64_t key = (uint64_t)(uintptr_t)block;
    uint32_t id = map_get(&db->by_block, key);
    if (id) {
        struct stmt *known = db->stmts[id - 1];
        stmt_reset(known);
        sqlite3_clear_bindings(known->handle);
        return known;
    }
    sqlite3_stmt *handle = NULL;
    int rc =
        sqlite3_prepare_v3(db->handle, block->sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
    if (rc != SQLITE_OK) {
        db_fail(db, rc, block->name);
        return &db->dead;
    }
    struct stmt *s = mem_new(1, sizeof(*s));
    *s = (struct stmt){.db = db, .handle = handle};
    mem_reserve(&db->stmts, &db->cap_stmts, db->n_stmts + 1, sizeof(*db->stmts));
    db->stmts[db->n_stmts++] = s;
    *map_put(&db->by_block, key) = (uint32_t)db->n_stmts;
    return s;
}

/* Whether s may be bound: also ends a row loop that was left early. */
static bool is_bindable(struct stmt *s)
{
    if (!s->handle || s->db->error.code) {
        return false;
    }
    if (s->has_row) {
        stmt_reset(s);
    }
    return true;
}

static void bound(struct stmt *s, int rc)
{
    if (rc != SQLITE_OK) {
        db_fail(s->db, rc, "binding a parameter");
    }
}

void stmt_bind_int(struct stmt *s, int parameter, int64_t value)
{
    if (is_bindable(s)) {
        bound(s, sqlite3_bind_int64(s->handle, parameter, value));
    }
}

void stmt_bind_double(struct stmt *s, int parameter, double value)
{
    if (is_bindable(s)) {
        bound(s, sqlite3_bind_double(s->handle, parameter, value));
    }
}

void stmt_bind_text(struct stmt *s, int parameter, const char *text)
{
    if (is_bindable(s)) {
        bound(s, sqlite3_bind_text(s->handle, parameter, text, -1, SQLITE_TRANSIENT));
    }
}

void stmt_bind_textn(struct stmt *s, int parameter, const char *text, size_t n)
{
    if (is_bindable(s)) {
        bound(s, sqlite3_bind_text64(s->handle, parameter, text, n, SQLITE_TRANSIENT, SQLITE_UTF8));
    }
}

void stmt_bind_blob(struct stmt *s, int parameter, const void *bytes, size_t n)
{
    if (is_bindable(s)) {
        /* A NULL pointer would bind NULL: an empty blob needs an address. */
        bound(s,
              sqlite3_bind_blob64(s->handle, parameter, bytes ? bytes : "", n, SQLITE_TRANSIENT));
    }
}

void stmt_bind_null(struct stmt *s, int parameter)
{
    if (is_bindable(s)) {
        bound(s, sqlite3_bind_null(s->handle, parameter));
    }
}

bool stmt_next(struct stmt *s)
{
    if (!s->handle || s->db->error.code) {
        return false;
    }
    int rc = sqlite3_step(s->handle);
    s->has_row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        return true;
    }
    if (rc != SQLITE_DONE) {
        db_fail(s->db, rc, sqlite3_sql(s->handle));
    }
    sqlite3_reset(s->handle);
    return false;
}

static bool has_column(const struct stmt *s, int column)
{
    return s->has_row && !s->db->error.code && column >= 0 &&
           column < sqlite3_data_count(s->handle);
}

int64_t stmt_int(struct stmt *s, int column)
{
    return has_column(s, column) ? sqlite3_column_int64(s->handle, column) : 0;
}

double stmt_double(struct stmt *s, int column)
{
    return has_column(s, column) ? sqlite3_column_double(s->handle, column) : 0;
}

const char *stmt_text(struct stmt *s, int column)
{
    const unsigned char *text =
        has_column(s, column) ? sqlite3_column_text(s->handle, column) : NULL;
    return text ? (const char *)text : "";
}

const void *stmt_blob(struct stmt *s, int column, size_t *n)
{
    *n = 0;
    if (!has_column(s, column)) {
        return "";
    }
    const void *bytes = sqlite3_column_blob(s->handle, column);
    *n = bytes ? (size_t)sqlite3_column_bytes(s->handle, column) : 0;
    return bytes ? bytes : "";
}

bool stmt_is_null(struct stmt *s, int column)
{
    return !has_column(s, column) || sqlite3_column_type(s->handle, column) == SQLITE_NULL;
}

void stmt_reset(struct stmt *s)
{
    s->has_row = false;
    sqlite3_reset(s->handle); /* harmless on NULL; its result repeats the last step's error */
}

void stmt_run(struct stmt *s)
{
    while (stmt_next(s)) {
    }
}
