/* migrate.c - see migrate.h. */
#include "schema/migrate.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "migrations/steps.h"
#include "schema/archive.sql.h"
#include "schema/connection.sql.h"
#include "schema/db_internal.h"
#include "schema/views.sql.h"

const struct migration_step *migrate_steps(void)
{
    return migration_steps;
}

static int64_t version_of(struct db *db)
{
    struct stmt *s = db_stmt(db, &sql_pragma_user_version);
    int64_t version = stmt_next(s) ? stmt_int(s, pragma_user_version_c_user_version) : -1;
    stmt_reset(s);
    return version;
}

/* Views are made anew afterwards; until then they would only stand in the way of a step. */
static void drop_views(struct db *db)
{
    struct buf sql = {0};
    struct stmt *s = db_stmt(db, &sql_archive_views);
    while (stmt_next(s)) {
        /* A name cannot be a bound value. */
        char *drop = sqlite3_mprintf("DROP VIEW \"%w\";\n", stmt_text(s, archive_views_c_name));
        buf_addstr(&sql, drop ? drop : "");
        sqlite3_free(drop);
    }
    db_exec_text(db, buf_str(&sql), "dropping views");
    buf_free(&sql);
}

static void apply(struct db *db, const struct migration_step *step)
{
    db_begin(db);
    db_exec_text(db, step->sql, "a migration step");
    db_commit(db);
    if (!db->error.code && version_of(db) != step->version) {
        err_set(&db->error, STAX_ECORRUPT, "the migration step to version %d did not set it",
                step->version);
    }
}

int migrate(const char *path, const char *name, const struct migration_step *steps, struct err *e)
{
    struct db *db = NULL;
    int rc = db_open_migration(&db, path, e);
    if (rc < 0) {
        return rc;
    }
    free(db->path);
    db->path = mem_strdup(name);
    int64_t version = version_of(db);
    int64_t wanted = version;
    drop_views(db);
    for (const struct migration_step *step = steps; step->sql; step++) {
        if (step->version == version_of(db) + 1) {
            apply(db, step);
        }
        wanted = step->version;
    }
    if (!db->error.code && version_of(db) != wanted) {
        err_set(&db->error, STAX_EVERSION,
                "%s has format version %lld, which this stax cannot read", name,
                (long long)version);
    }
    db_exec_text(db, views_sql, "making the views");
    rc = db_status(db, e);
    db_rollback(db);
    db_close(db);
    return rc == STAX_ESQL && e ? (e->code = STAX_ECORRUPT) : rc;
}
