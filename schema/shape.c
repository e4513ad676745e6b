/* shape.c - see shape.h. */
#include "schema/shape.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "schema/db_internal.h"
#include "schema/shape.sql.h"

/* A name from a foreign file, fit to be printed. */
static int reject(struct err *e, const struct db *db, const char *what, const char *foreign)
{
    struct buf name = {0};
    text_clean(&name, foreign, strnlen(foreign, 80));
    err_set(e, STAX_ECORRUPT, "%s is not a valid stax archive: %s %s", db_path(db), what,
            buf_str(&name));
    err_hint(e, "the file was changed after stax wrote it; ask for a new copy");
    buf_free(&name);
    return STAX_ECORRUPT;
}

int shape_check_harmless(struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, &sql_shape_objects);
    int rc = 0;
    while (rc == 0 && stmt_next(s)) {
        const char *type = stmt_text(s, shape_objects_c_type);
        const char *name = stmt_text(s, shape_objects_c_name);
        bool is_table = strcmp(type, "table") == 0;
        if (is_table && stmt_int(s, shape_objects_c_root_page) == 0) {
            rc = reject(e, db, "it holds the virtual table", name);
        } else if (strcmp(type, "index") == 0 && !stmt_is_null(s, shape_objects_c_sql)) {
            rc = reject(e, db, "it holds the index", name);
        } else if (!is_table && strcmp(type, "index") != 0 && strcmp(type, "view") != 0) {
            rc = reject(e, db, "it holds the trigger", name);
        }
    }
    stmt_reset(s);
    return rc ? rc : db_status(db, e);
}

/* SQL without comments and with single spaces, so that only what it does is compared. */
static void normalise(struct buf *out, const char *sql)
{
    char quote = 0;
    buf_clear(out);
    for (; *sql; sql++) {
        if (!quote && sql[0] == '-' && sql[1] == '-') {
            sql += strcspn(sql, "\n");
            if (!*sql) {
                break;
            }
        }
        if (quote) {
            quote = *sql == quote ? 0 : quote;
        } else if (*sql == '\'' || *sql == '"') {
            quote = *sql;
        } else if (isspace((unsigned char)*sql)) {
            if (out->len && out->data[out->len - 1] != ' ') {
                buf_addch(out, ' ');
            }
            continue;
        }
        buf_addch(out, *sql);
    }
}

static int check_views(struct db *db, struct db *ours, struct err *e)
{
    struct buf a = {0};
    struct buf b = {0};
    int rc = 0;
    struct stmt *s = db_stmt(db, &sql_shape_objects);
    while (rc == 0 && stmt_next(s)) {
        if (strcmp(stmt_text(s, shape_objects_c_type), "view") != 0) {
            continue;
        }
        struct stmt *own = db_stmt(ours, &sql_shape_view);
        stmt_bind_text(own, shape_view_p_name, stmt_text(s, shape_objects_c_name));
        bool is_known = stmt_next(own);
        normalise(&a, stmt_text(s, shape_objects_c_sql));
        normalise(&b, stmt_text(own, shape_view_c_sql));
        if (!is_known || strcmp(buf_str(&a), buf_str(&b)) != 0) {
            rc = reject(e, db, "it holds the unknown view", stmt_text(s, shape_objects_c_name));
        }
        stmt_reset(own);
    }
    stmt_reset(s);
    buf_free(&a);
    buf_free(&b);
    return rc;
}

static bool is_same_column(struct stmt *a, struct stmt *b)
{
    static const int columns[] = {
        shape_columns_c_table_name,  shape_columns_c_type,         shape_columns_c_is_without_rowid,
        shape_columns_c_is_strict,   shape_columns_c_name,         shape_columns_c_column_type,
        shape_columns_c_is_not_null, shape_columns_c_key_position, shape_columns_c_hidden};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (strcmp(stmt_text(a, columns[i]), stmt_text(b, columns[i])) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_before(struct stmt *a, struct stmt *b)
{
    return strcmp(stmt_text(a, shape_columns_c_table_name),
                  stmt_text(b, shape_columns_c_table_name)) <= 0;
}

static int check_columns(struct db *db, struct db *ours, struct err *e)
{
    struct stmt *theirs = db_stmt(db, &sql_shape_columns);
    struct stmt *own = db_stmt(ours, &sql_shape_columns);
    int rc = 0;
    for (;;) {
        bool has_own = stmt_next(own);
        bool has_theirs = stmt_next(theirs);
        if (!has_own && !has_theirs) {
            break;
        }
        if (!has_own || !has_theirs || !is_same_column(theirs, own)) {
            struct buf where = {0};
            bool is_extra = has_theirs && (!has_own || is_before(theirs, own));
            struct stmt *s = is_extra ? theirs : own;
            buf_addf(&where, "%s.%s", stmt_text(s, shape_columns_c_table_name),
                     stmt_text(s, shape_columns_c_name));
            rc = db_status(db, e);
            rc = rc ? rc : reject(e, db, "its tables differ at", buf_str(&where));
            buf_free(&where);
            break;
        }
    }
    stmt_reset(own);
    stmt_reset(theirs);
    return rc;
}

int shape_check(struct db *db, struct err *e)
{
    struct db *ours = NULL;
    int rc = shape_check_harmless(db, e);
    rc = rc ? rc : db_open_memory(&ours, e);
    rc = rc ? rc : check_views(db, ours, e);
    rc = rc ? rc : check_columns(db, ours, e);
    rc = rc ? rc : db_status(ours, e);
    rc = rc ? rc : db_status(db, e);
    db_close(ours);
    return rc;
}
