/*
 * fixture.h - a folder of its own for each test, a small run in it (run.sql), and rows as text.
 * Tests run in the root of the source tree.
 */
#ifndef TESTS_UNIT_SCHEMA_FIXTURE_H
#define TESTS_UNIT_SCHEMA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "base/fd.h"
#include "schema/db.h"

struct fixture {
    char folder[64];
    char run[96]; /* path of a run file in it */
};

static inline void run_command(const char *fmt, const char *argument)
{
    char command[512];
    /* The formats are literals of the tests. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof(command), fmt, argument);
#pragma GCC diagnostic pop
    assert_int_equal(system(command), 0);
}

static inline int fixture_make(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/stax-test-schema-XXXXXX");
    assert_non_null(f);
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->run, sizeof(f->run), "%s/run-7.stax", f->folder);
    *state = f;
    return 0;
}

static inline int fixture_remove(void **state)
{
    struct fixture *f = *state;
    run_command("chmod -R u+rwX '%s'", f->folder);
    run_command("rm -rf '%s'", f->folder);
    free(f);
    return 0;
}

/* Runs SQL on a file with an ordinary connection. */
static inline void run_sql(const char *path, const char *sql)
{
    sqlite3 *handle = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    sqlite3_exec(handle, sql, NULL, NULL, &message);
    if (message) {
        fail_msg("%s: %s", sql, message);
    }
    sqlite3_close(handle);
}

/* The run of run.sql, as an ingesting server would have it: still recording. */
static inline void make_run(const char *path)
{
    struct db *db = NULL;
    struct err e = {0};
    struct buf sql = {0};
    if (db_open(&db, path, DB_CREATE, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_int_equal(fd_read_file("tests/unit/schema/run.sql", 1 << 20, &sql), 0);
    db_close(db);
    run_sql(path, buf_str(&sql));
    buf_free(&sql);
}

/* All rows of a query, values separated by |, rows ended by a line break. The caller frees. */
static inline char *rows_of(const char *path, const char *sql)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *stmt = NULL;
    struct buf out = {0};
    assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    int rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++) {
            const unsigned char *text = sqlite3_column_text(stmt, i);
            buf_addf(&out, "%s%s", i ? "|" : "", text ? (const char *)text : "NULL");
        }
        buf_addch(&out, '\n');
    }
    if (rc != SQLITE_OK) {
        buf_addf(&out, "error: %s\n", sqlite3_errmsg(handle));
    }
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
    return buf_take(&out);
}

static inline void assert_rows(const char *path, const char *sql, const char *expected)
{
    char *rows = rows_of(path, sql);
    assert_string_equal(rows, expected);
    free(rows);
}

#endif
