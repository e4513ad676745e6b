/*
 * db.h - one SQLite connection on a run database, with the statements prepared on it.
 *
 * Only schema/ knows sqlite3.h. SQL comes from .sql files: sqlgen turns each block into a
 * struct sql_block plus enums of its parameters (NAME_p_X) and result columns (NAME_c_X).
 *
 * Errors stick in the connection: after the first failure every call is harmless (stmt_next() is
 * false, columns read 0 or ""), so a run of calls reads straight down and db_status() is asked
 * once. A connection and its statements belong to one thread at a time. Exactly one connection per
 * file may be a writer, and only that one ever checkpoints (FACTS: WAL-reset bug).
 */
#ifndef STAX_SCHEMA_DB_H
#define STAX_SCHEMA_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SCHEMA_VERSION        6 /* PRAGMA user_version; when to raise it: migrations/README.md */
#define SCHEMA_APPLICATION_ID 0x53544158 /* "STAX", PRAGMA application_id */

struct sql_block {
    const char *name;
    const char *sql;
};

enum db_mode {
    DB_CREATE,  /* a new run file: must not exist; schema applied; writer */
    DB_WRITE,   /* an existing run file of ours; writer */
    DB_READ,    /* a run file of ours, live or stopped; read-only */
    DB_ARCHIVE, /* a foreign file: read-only, immutable, checked before any use (archive.h) */
};

struct db;
struct stmt;

/* DB_ARCHIVE only checks application id and version here; archive_open() does the rest.
 * Errors: STAX_ENOTFOUND, STAX_EPERMISSION, STAX_ECORRUPT (not a database, not ours),
 * STAX_EVERSION (newer than SCHEMA_VERSION; older too unless DB_ARCHIVE), STAX_EFULL. */
int db_open(struct db **out, const char *path, enum db_mode mode, struct err *e);
/* Finalises its statements. NULL is accepted. */
void db_close(struct db *db);
const char *db_path(const struct db *db);

/* The prepared statement of a block, reset and unbound; prepared once per connection, owned by db.
 * Never NULL: on failure the error sticks and the returned statement yields nothing. */
struct stmt *db_stmt(struct db *db, const struct sql_block *block);

void stmt_bind_int(struct stmt *s, int parameter, int64_t value);
void stmt_bind_double(struct stmt *s, int parameter, double value);
void stmt_bind_text(struct stmt *s, int parameter, const char *text); /* NULL binds NULL; copied */
void stmt_bind_textn(struct stmt *s, int parameter, const char *text, size_t n);
void stmt_bind_blob(struct stmt *s, int parameter, const void *bytes, size_t n);
void stmt_bind_null(struct stmt *s, int parameter);

/* True: a row is there. False: no more rows (the statement is reset) or an error stuck. */
bool stmt_next(struct stmt *s);
int64_t stmt_int(struct stmt *s, int column);
double stmt_double(struct stmt *s, int column);
/* "" for NULL; valid until the next call on the statement. */
const char *stmt_text(struct stmt *s, int column);
const void *stmt_blob(struct stmt *s, int column, size_t *n);
bool stmt_is_null(struct stmt *s, int column);
/* Ends a row loop early; bindings stay. Needed only when stmt_next() did not return false. */
void stmt_reset(struct stmt *s);
/* Steps to the end and resets: for INSERT, UPDATE, DELETE. Bindings stay. */
void stmt_run(struct stmt *s);

/* The stuck error, or 0. db_clear_error() makes the connection usable again and takes back a
 * db_cancel(). After an error in a transaction call db_rollback() first. */
int db_status(const struct db *db, struct err *e);
void db_clear_error(struct db *db);

/* Transactions; readers use db_begin() for one snapshot per request and db_rollback() to end it. */
void db_begin(struct db *db);
void db_commit(struct db *db);
void db_rollback(struct db *db);

/* Statements of a reader give up (STAX_ETIMEOUT) after this moment of CLOCK_MONOTONIC; 0: never. */
void db_set_deadline(struct db *db, int64_t deadline_ns);
/* Writer: asks goes_on, every few ms and on its thread, whether to go on waiting when somebody else
 * holds the lock; without it, or with NULL, a statement gives up (STAX_EBUSY) after 5 s. */
void db_set_patience(struct db *db, bool (*goes_on)(void *ctx), void *ctx);
/* Makes the statement running on another thread give up with STAX_ECANCELLED. Any thread. */
void db_cancel(struct db *db);

/* Writer: copies what it can of the WAL into the file without waiting; truncates it when possible
 * and truncate is set. Returns pages left in the WAL, or -1. */
int64_t db_checkpoint(struct db *db, bool truncate);

/* File sizes in bytes by stat(2), 0 if absent (the live file is never opened: FACTS, fcntl locks).
 */
int64_t db_file_bytes(const char *path);
int64_t db_wal_bytes(const char *path);

/* The commented schema, as `stax sql --schema` prints it: tables, then views. Static storage. */
const char *schema_text(void);

#endif
