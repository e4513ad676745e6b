/* db_internal.h - the inside of a connection, shared by the files of schema/ only. */
#ifndef STAX_SCHEMA_DB_INTERNAL_H
#define STAX_SCHEMA_DB_INTERNAL_H

#include <stdatomic.h>

#include <sqlite3.h>

#include "base/map.h"
#include "schema/db.h"

struct stmt {
    struct db *db;
    sqlite3_stmt *handle; /* NULL: could not be prepared */
    bool has_row;
};

struct db {
    sqlite3 *handle;
    char *path;
    enum db_mode mode;
    struct err error; /* sticks until db_clear_error() */
    int64_t deadline_ns;
    atomic_bool is_cancelled;
    bool (*patience)(void *ctx); /* NULL: waits for locks as long as it does by default */
    void *patience_ctx;
    struct map by_block; /* address of a sql_block -> index in stmts + 1 */
    struct stmt **stmts;
    size_t n_stmts;
    size_t cap_stmts;
    struct stmt dead; /* what db_stmt() returns after a failure */
};

/* Makes the last SQLite result stick; what says what was being done. The first error stays. */
void db_fail(struct db *db, int sqlite_rc, const char *what);

/* The enum stax_err of an SQLite result code. os_errno is the errno behind it. */
enum stax_err db_code(int sqlite_rc, int os_errno);

/* Runs one block without keeping it prepared; its rows are dropped. */
void db_exec(struct db *db, const struct sql_block *block);

/* Runs a text of several statements, such as the schema. */
void db_exec_text(struct db *db, const char *sql, const char *what);

/* Opens without any check of what the file holds; flags as for sqlite3_open_v2(). The path is taken
 * as it is, also when it starts with "file:". */
int db_open_handle(sqlite3 **handle, const char *path, int flags, bool is_immutable, struct err *e);

/* An empty database of our schema in memory, to compare others with. */
int db_open_memory(struct db **out, struct err *e);

/* A reader of nothing yet: files are added with db_attach(), then db_harden() is called. */
int db_open_empty(struct db **out, struct err *e);

/* Makes the tables of a file readable as NAME.table; the file is not checked. is_immutable: nobody
 * writes it. Errors stick in db. */
void db_attach(struct db *db, const char *name, const char *path, bool is_immutable);

/* A writer on a private copy of a foreign file of any version: hardened, no WAL, nothing checked.
 */
int db_open_migration(struct db **out, const char *path, struct err *e);

/* A writer on the empty file that a backup goes to: nothing is synced, the caller does that. */
int db_open_copy(struct db **out, const char *path, struct err *e);

/* Shuts what a hostile file or hostile SQL could use (FACTS): no trusted schema, no double-quoted
 * strings, no extensions, no pointers through fts3_tokenizer, no schema writes. */
void db_harden(sqlite3 *handle);

#endif
