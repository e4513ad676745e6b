/* db.c - connections; see db.h. Statements are in stmt.c. */
#include "schema/db_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "schema/connection.sql.h"

/* Virtual machine steps between two looks at the clock: about 10 us. */
enum { PROGRESS_STEPS = 1000 };
/* A reader waits for the writer only while the WAL is recovered or reset, a writer while another
 * program writes. */
enum { BUSY_MS = 5000, BUSY_STEP_MS = 20 };

enum stax_err db_code(int sqlite_rc, int os_errno)
{
    if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG) {
        return STAX_EFULL;
    }
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STAX_OK;
    case SQLITE_FULL:
        return STAX_EFULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return STAX_ECORRUPT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return STAX_EPERMISSION;
    case SQLITE_CANTOPEN:
        return os_errno == ENOENT                          ? STAX_ENOTFOUND
               : (os_errno == EACCES || os_errno == EPERM) ? STAX_EPERMISSION
                                                           : STAX_ESYSTEM;
    case SQLITE_IOERR:
        return STAX_ESYSTEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STAX_EBUSY;
    case SQLITE_INTERRUPT:
        return STAX_ECANCELLED;
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
        return STAX_ELIMIT;
    case SQLITE_ERROR:
    case SQLITE_AUTH:
        return STAX_ESQL;
    default:
        return STAX_EFAIL;
    }
}

static bool is_past_deadline(const struct db *db)
{
    return db->deadline_ns && clock_monotonic_ns() >= db->deadline_ns;
}

void db_fail(struct db *db, int sqlite_rc, const char *what)
{
    if (db->error.code) {
        return;
    }
    int os_errno = 0, last_errno = errno;
    int kind = sqlite_rc & 0xff;
    if (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN || kind == SQLITE_FULL) {
        os_errno = sqlite3_system_errno(db->handle);
    }
    if (kind == SQLITE_IOERR && !os_errno && last_errno == EFBIG) {
        os_errno = EFBIG; /* a commit that fails does not set the system errno (3.40.1) */
    }
    enum stax_err code = db_code(sqlite_rc, os_errno);
    if (kind == SQLITE_INTERRUPT && !atomic_load(&db->is_cancelled) && is_past_deadline(db)) {
        err_set(&db->error, STAX_ETIMEOUT, "%s: gave up after the time allowed", db->path);
        return;
    }
    const char *text = sqlite3_errmsg(db->handle);
    if (kind == SQLITE_NOTADB) {
        err_set(&db->error, code, "%s is not a stax run: %s", db->path, text);
    } else if (kind == SQLITE_CORRUPT) {
        err_set(&db->error, code, "%s is damaged or cut short: %s", db->path, text);
    } else {
        err_set(&db->error, code, "%s: %s (%.120s)", db->path, text, what);
    }
    db->error.os_errno = os_errno;
    if (kind == SQLITE_BUSY) {
        err_hint(&db->error, "another program holds the lock of %s: end its transaction", db->path);
    }
    if (os_errno == EFBIG) {
        err_set(&db->error, code, "%s: it may not grow beyond the limit on file sizes (ulimit -f)",
                db->path);
        db->error.os_errno = os_errno;
        err_hint(&db->error, "raise the limit of stax-server, and start it anew");
    } else if (code == STAX_EFULL) {
        err_hint(&db->error, "free space on the file system of %s", db->path);
    }
}

void db_exec(struct db *db, const struct sql_block *block)
{
    db_exec_text(db, block->sql, block->name);
}

void db_exec_text(struct db *db, const char *sql, const char *what)
{
    if (!db->error.code) {
        int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            db_fail(db, rc, what);
        }
    }
}

static int64_t exec_int(struct db *db, const struct sql_block *block)
{
    struct stmt *s = db_stmt(db, block);
    int64_t value = stmt_next(s) ? stmt_int(s, 0) : 0;
    stmt_reset(s);
    return value;
}

static int on_busy(void *ctx, int n_calls)
{
    struct db *db = ctx;
    (void)n_calls;
    sqlite3_sleep(BUSY_STEP_MS);
    return db->patience(db->patience_ctx);
}

static void set_busy(struct db *db)
{
    if (db->patience) {
        sqlite3_busy_handler(db->handle, on_busy, db);
    } else {
        sqlite3_busy_timeout(db->handle, BUSY_MS);
    }
}

void db_set_patience(struct db *db, bool (*goes_on)(void *ctx), void *ctx)
{
    db->patience = goes_on;
    db->patience_ctx = ctx;
    set_busy(db);
}

static int on_progress(void *ctx)
{
    const struct db *db = ctx;
    return atomic_load(&db->is_cancelled) || is_past_deadline(db);
}

/* An SQLite URI of any path: whatever is not plain is written %XX. */
static void add_uri(struct buf *out, const char *path, const char *options)
{
    buf_addstr(out, path[0] == '/' ? "file://" : "file:");
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                        (*p >= '0' && *p <= '9') || strchr("/._-", *p);
        buf_addf(out, is_plain ? "%c" : "%%%02X", *p);
    }
    buf_addstr(out, options);
}

int db_open_handle(sqlite3 **handle, const char *path, int flags, bool is_immutable, struct err *e)
{
    struct buf uri = {0};
    add_uri(&uri, path, is_immutable ? "?immutable=1" : "");
    int rc =
        sqlite3_open_v2(buf_str(&uri), handle, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    buf_free(&uri);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(*handle, 1);
        return 0;
    }
    int os_errno = *handle ? sqlite3_system_errno(*handle) : 0;
    rc = err_set(e, db_code(rc, os_errno), "cannot open %s: %s", path,
                 os_errno ? strerror(os_errno) : sqlite3_errstr(rc));
    sqlite3_close(*handle);
    *handle = NULL;
    return rc;
}

void db_harden(sqlite3 *handle)
{
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, 64 << 20);
    sqlite3_limit(handle, SQLITE_LIMIT_TRIGGER_DEPTH, 4);
}

/* Only a regular file: opening a FIFO would wait, a folder would say something obscure. */
static int check_file(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return err_set_errno(e, errno, "cannot open %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(e, STAX_ECORRUPT, "%s is not a stax run: it is not a regular file", path);
    }
    if (access(path, R_OK) != 0) {
        return err_set_errno(e, errno, "cannot open %s", path);
    }
    return 0;
}

static int make_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set_errno(e, errno, "cannot create %s", path);
    }
    close(fd); /* nobody has this file open yet: no locks to lose */
    return 0;
}

static bool is_in_memory(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void set_up_writer(struct db *db)
{
    db_exec(db, &sql_pragma_page_size);
    struct stmt *wal = db_stmt(db, &sql_pragma_wal);
    if (stmt_next(wal) && strcmp(stmt_text(wal, pragma_wal_c_journal_mode), "wal") != 0) {
        err_set(&db->error, STAX_ESYSTEM, "%s: this file system cannot hold a live run", db->path);
        err_hint(&db->error, "set STAX_DATA_DIR to a folder of a local file system");
    }
    stmt_reset(wal);
    db_exec(db, &sql_pragma_no_autocheckpoint);
    db_exec(db,
            is_in_memory(db->path) ? &sql_pragma_synchronous_off : &sql_pragma_synchronous_normal);
    db_exec(db, &sql_pragma_writer_cache);
    db_exec(db, &sql_pragma_no_secure_delete);
}

static void create_schema(struct db *db)
{
    db_exec(db, &sql_begin_write);
    db_exec(db, &sql_pragma_set_application_id);
    db_exec(db, &sql_pragma_set_user_version);
    db_exec_text(db, schema_text(), "making the tables");
    db_exec(db, &sql_commit_work);
}

/* Whether the file is a run database, and of a version this program reads. */
static void check_version(struct db *db)
{
    int64_t application_id = exec_int(db, &sql_pragma_application_id);
    int64_t version = exec_int(db, &sql_pragma_user_version);
    if (db->error.code) {
        return;
    }
    if (application_id != SCHEMA_APPLICATION_ID || version < 0) {
        err_set(&db->error, STAX_ECORRUPT, "%s is not a stax run: it is another kind of database",
                db->path);
    } else if (version > SCHEMA_VERSION) {
        err_set(&db->error, STAX_EVERSION,
                "%s was made by a newer stax: its format is version %lld, this stax reads up to %d",
                db->path, (long long)version, SCHEMA_VERSION);
        err_hint(&db->error, "update stax to read it");
    } else if (version < SCHEMA_VERSION && db->mode != DB_ARCHIVE) {
        err_set(&db->error, STAX_EVERSION, "%s has the older format version %lld", db->path,
                (long long)version);
        err_hint(&db->error, "stax open %s reads it", db->path);
    }
}

static void set_up_reader(struct db *db)
{
    db_exec(db, &sql_pragma_temp_memory);
    db_exec(db, &sql_pragma_no_mmap);
    /* FACTS: only the writing connection may ever checkpoint. */
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, on_progress, db);
    db_exec(db, &sql_pragma_no_autocheckpoint);
    db_exec(db, &sql_pragma_query_only);
    db_exec(db, &sql_pragma_reader_cache);
}

static void set_up(struct db *db)
{
    if (db->mode == DB_CREATE || db->mode == DB_WRITE) {
        db_exec(db, &sql_pragma_temp_memory);
        db_exec(db, &sql_pragma_no_mmap);
        if (db->mode == DB_WRITE) {
            check_version(db);
        }
        set_up_writer(db);
        if (db->mode == DB_CREATE) {
            create_schema(db);
        }
        return;
    }
    set_up_reader(db);
    if (db->mode == DB_ARCHIVE) {
        db_harden(db->handle);
        db_exec(db, &sql_pragma_cell_size_check);
    }
    check_version(db);
}

static struct db *new_db(const char *path, enum db_mode mode)
{
    struct db *db = mem_new(1, sizeof(*db));
    db->path = mem_strdup(path);
    db->mode = mode;
    db->dead.db = db;
    return db;
}

int db_open(struct db **out, const char *path, enum db_mode mode, struct err *e)
{
    *out = NULL;
    int rc = mode == DB_CREATE ? make_file(path, e) : check_file(path, e);
    if (rc < 0) {
        return rc;
    }
    bool is_writer = mode == DB_CREATE || mode == DB_WRITE;
    struct db *db = new_db(path, mode);
    rc = db_open_handle(&db->handle, path, is_writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
                        mode == DB_ARCHIVE, e);
    if (rc == 0) {
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        set_up(db);
        rc = db_status(db, e);
    }
    if (rc == 0) {
        *out = db;
        return 0;
    }
    if (rc == STAX_ECORRUPT && e && !e->hint[0]) {
        err_hint(e, "only files written by stax save, and run files of stax-server, can be read");
    }
    db_close(db);
    if (mode == DB_CREATE) {
        unlink(path);
    }
    return rc;
}

int db_open_memory(struct db **out, struct err *e)
{
    struct db *db = new_db(":memory:", DB_CREATE);
    int rc =
        sqlite3_open_v2(":memory:", &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        db_fail(db, rc, "opening");
    }
    create_schema(db);
    rc = db_status(db, e);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *out = db;
    return 0;
}

int db_open_empty(struct db **out, struct err *e)
{
    struct db *db = new_db(":memory:", DB_READ);
    int rc = sqlite3_open_v2(
        ":memory:", &db->handle,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
    if (rc != SQLITE_OK) {
        db_fail(db, rc, "opening");
    } else {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        set_up_reader(db);
        db_exec(db, &sql_pragma_cell_size_check);
    }
    rc = db_status(db, e);
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *out = db;
    return 0;
}

void db_attach(struct db *db, const char *name, const char *path, bool is_immutable)
{
    struct buf uri = {0};
    struct stmt *s = db_stmt(db, &sql_attach);

    add_uri(&uri, path, is_immutable ? "?mode=ro&immutable=1" : "?mode=ro");
    stmt_bind_text(s, attach_p_uri, buf_str(&uri));
    stmt_bind_text(s, attach_p_name, name);
    stmt_run(s);
    db_exec(db, &sql_pragma_no_mmap); /* of every file there is by now */
    buf_free(&uri);
}

static int open_raw(struct db **out, const char *path, bool is_foreign, struct err *e)
{
    struct db *db = new_db(path, DB_WRITE);
    int rc = db_open_handle(&db->handle, path, SQLITE_OPEN_READWRITE, false, e);
    if (rc == 0 && is_foreign) {
        db_harden(db->handle);
        db_exec(db, &sql_pragma_journal_delete); /* the copy has no -wal to go with it */
        db_exec(db, &sql_pragma_cell_size_check);
    }
    if (rc == 0) {
        db_exec(db, &sql_pragma_no_mmap);
        db_exec(db, &sql_pragma_temp_memory);
        db_exec(db, &sql_pragma_synchronous_off);
        rc = db_status(db, e);
    }
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *out = db;
    return 0;
}

int db_open_migration(struct db **out, const char *path, struct err *e)
{
    return open_raw(out, path, true, e);
}

int db_open_copy(struct db **out, const char *path, struct err *e)
{
    return open_raw(out, path, false, e);
}

void db_close(struct db *db)
{
    if (!db) {
        return;
    }
    for (size_t i = 0; i < db->n_stmts; i++) {
        sqlite3_finalize(db->stmts[i]->handle);
        free(db->stmts[i]);
    }
    sqlite3_close(db->handle);
    free(db->stmts);
    map_free(&db->by_block);
    free(db->path);
    free(db);
}

const char *db_path(const struct db *db)
{
    return db->path;
}

int db_status(const struct db *db, struct err *e)
{
    if (db->error.code && e) {
        *e = db->error;
    }
    return db->error.code;
}

void db_clear_error(struct db *db)
{
    db->error = (struct err){0};
    atomic_store(&db->is_cancelled, false);
}

void db_begin(struct db *db)
{
    bool is_writer = db->mode == DB_CREATE || db->mode == DB_WRITE;
    db_exec(db, is_writer ? &sql_begin_write : &sql_begin_read);
}

void db_commit(struct db *db)
{
    db_exec(db, &sql_commit_work);
}

void db_rollback(struct db *db)
{
    for (size_t i = 0; i < db->n_stmts; i++) {
        stmt_reset(db->stmts[i]); /* an open cursor would keep pinning the WAL */
    }
    /* Also after an error: SQLite may have rolled back by itself (disk full). A rollback cannot
     * fail in a way that leaves the transaction open, and must not run into the deadline. */
    if (!sqlite3_get_autocommit(db->handle)) {
        sqlite3_exec(db->handle, sql_rollback_work.sql, NULL, NULL, NULL);
    }
}

void db_set_deadline(struct db *db, int64_t deadline_ns)
{
    db->deadline_ns = deadline_ns;
}

void db_cancel(struct db *db)
{
    atomic_store(&db->is_cancelled, true);
    sqlite3_interrupt(db->handle);
}

int64_t db_checkpoint(struct db *db, bool truncate)
{
    int n_log = -1;
    int n_done = -1;
    if (db->error.code || (db->mode != DB_CREATE && db->mode != DB_WRITE)) {
        return -1;
    }
    sqlite3_busy_timeout(db->handle, 0); /* never wait for readers */
    int rc = sqlite3_wal_checkpoint_v2(
        db->handle, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &n_log,
        &n_done);
    set_busy(db);
    /* A reader in the way is no failure: what could be copied was, the rest comes next time. */
    if ((rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) || n_log < 0) {
        return -1;
    }
    return n_log - n_done;
}

static int64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

int64_t db_file_bytes(const char *path)
{
    return file_bytes(path);
}

int64_t db_wal_bytes(const char *path)
{
    struct buf wal = {0};
    buf_addf(&wal, "%s-wal", path);
    int64_t n = file_bytes(buf_str(&wal));
    buf_free(&wal);
    return n;
}
