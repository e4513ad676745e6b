/* test_db.c - connections and statements: rows, errors that stick, snapshots, deadlines. */
#include "schema/fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const struct sql_block insert_loss = {
    "insert_loss", "INSERT INTO loss (id, ts, cpu, kind, n) VALUES (:id, :ts, :cpu, :kind, :n)"};
static const struct sql_block select_loss = {"select_loss",
                                             "SELECT id, ts, cpu, kind, n FROM loss ORDER BY id"};
static const struct sql_block count_loss = {"count_loss", "SELECT count(*) FROM loss"};
static const struct sql_block bad = {"bad", "SELECT a FROM nowhere"};
static const struct sql_block echo = {"echo", "SELECT :a, :b, :c, :d"};
static const struct sql_block forever = {
    "forever",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"};

static struct db *open_or_fail(const char *path, enum db_mode mode)
{
    struct db *db = NULL;
    struct err e = {0};
    if (db_open(&db, path, mode, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    return db;
}

static void add_loss(struct db *db, int64_t id)
{
    struct stmt *s = db_stmt(db, &insert_loss);
    stmt_bind_int(s, 1, id);
    stmt_bind_int(s, 2, 1000 * id);
    stmt_bind_null(s, 3);
    stmt_bind_text(s, 4, "late");
    stmt_bind_int(s, 5, 3);
    stmt_run(s);
}

static int64_t count(struct db *db)
{
    struct stmt *s = db_stmt(db, &count_loss);
    int64_t n = stmt_next(s) ? stmt_int(s, 0) : -1;
    stmt_reset(s);
    return n;
}

static void test_rows_come_back(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_or_fail(f->run, DB_CREATE);
    db_begin(db);
    add_loss(db, 1);
    add_loss(db, 2);
    db_commit(db);
    struct stmt *s = db_stmt(db, &select_loss);
    assert_true(stmt_next(s));
    assert_int_equal(stmt_int(s, 1), 1000);
    assert_true(stmt_is_null(s, 2));
    assert_int_equal(stmt_int(s, 2), 0);
    assert_string_equal(stmt_text(s, 2), "");
    assert_string_equal(stmt_text(s, 3), "late");
    assert_true(stmt_next(s));
    assert_false(stmt_next(s));
    assert_int_equal(stmt_int(s, 1), 0);
    assert_true(stmt_next(s)); /* it was reset by the end */
    assert_int_equal(stmt_int(s, 0), 1);
    assert_int_equal(db_status(db, NULL), 0);
    assert_string_equal(db_path(db), f->run);
    db_close(db);
}

static void test_values_keep_their_bytes(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_or_fail(f->run, DB_CREATE);
    struct stmt *s = db_stmt(db, &echo);
    stmt_bind_double(s, 1, 0.25);
    stmt_bind_textn(s, 2, "ab\0cd", 5);
    stmt_bind_blob(s, 3, NULL, 0);
    stmt_bind_blob(s, 4, "\0\1\2", 3);
    assert_true(stmt_next(s));
    assert_true(stmt_double(s, 0) == 0.25);
    size_t n;
    assert_memory_equal(stmt_blob(s, 1, &n), "ab\0cd", 5);
    assert_int_equal(n, 5);
    assert_false(stmt_is_null(s, 2));
    assert_non_null(stmt_blob(s, 2, &n));
    assert_int_equal(n, 0);
    assert_memory_equal(stmt_blob(s, 3, &n), "\0\1\2", 3);
    assert_int_equal(n, 3);
    stmt_bind_int(s, 1, 5); /* in the middle of a row loop: ends it */
    assert_true(stmt_next(s));
    assert_int_equal(stmt_int(s, 0), 5);
    assert_int_equal(stmt_int(s, 99), 0);
    s = db_stmt(db, &echo);
    assert_true(stmt_next(s));
    assert_true(stmt_is_null(s, 0)); /* db_stmt() hands it out unbound */
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

static void test_errors_stick(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_or_fail(f->run, DB_CREATE);
    struct err e = {0};
    db_begin(db);
    add_loss(db, 1);
    struct stmt *s = db_stmt(db, &bad);
    stmt_bind_int(s, 1, 1);
    assert_false(stmt_next(s));
    stmt_run(s);
    assert_string_equal(stmt_text(s, 0), "");
    assert_int_equal(db_status(db, &e), STAX_ESQL);
    if (!strstr(e.msg, "no such table: nowhere")) {
        fail_msg("%s", e.msg);
    }
    add_loss(db, 2); /* harmless now */
    db_commit(db);   /* and this must not keep half of the work */
    db_rollback(db);
    db_clear_error(db);
    assert_int_equal(count(db), 0);
    add_loss(db, 3);
    add_loss(db, 3);
    assert_int_equal(db_status(db, &e), STAX_EFAIL);
    assert_non_null(strstr(e.msg, "UNIQUE"));
    db_close(db);
}

static void test_readers_keep_their_snapshot(void **state)
{
    struct fixture *f = *state;
    struct db *writer = open_or_fail(f->run, DB_CREATE);
    struct db *reader = open_or_fail(f->run, DB_READ);
    db_begin(reader);
    assert_int_equal(count(reader), 0);
    add_loss(writer, 1);
    assert_int_equal(count(reader), 0);
    assert_true(db_checkpoint(writer, true) > 0); /* what the reader holds stays in the WAL */
    assert_true(db_wal_bytes(f->run) > 0);
    db_rollback(reader);
    assert_int_equal(count(reader), 1);
    assert_int_equal(db_checkpoint(writer, true), 0);
    assert_int_equal(db_wal_bytes(f->run), 0);
    assert_true(db_file_bytes(f->run) > 4096);
    assert_int_equal(db_checkpoint(reader, false), -1); /* FACTS: never from a reader */
    db_close(writer);
    assert_int_equal(count(reader), 1);
    db_close(reader);
}

static void test_readers_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct db *writer = open_or_fail(f->run, DB_CREATE);
    struct db *reader = open_or_fail(f->run, DB_READ);
    add_loss(reader, 1);
    assert_int_equal(db_status(reader, NULL), STAX_EPERMISSION);
    db_close(reader);
    db_close(writer);
    assert_rows(f->run, "SELECT count(*) FROM loss", "0\n");
}

static void test_reader_leaves_the_wal_alone(void **state)
{
    struct fixture *f = *state;
    struct db *writer = open_or_fail(f->run, DB_CREATE);
    add_loss(writer, 1);
    int64_t before = db_file_bytes(f->run);
    struct db *reader = open_or_fail(f->run, DB_READ);
    assert_int_equal(count(reader), 1);
    db_close(reader);
    assert_int_equal(db_file_bytes(f->run), before);
    assert_true(db_wal_bytes(f->run) > 0);
    db_close(writer);
    assert_int_equal(db_wal_bytes(f->run), 0);
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    make_run(f->run);
    struct db *db = open_or_fail(f->run, DB_READ);
    db_set_deadline(db, clock_monotonic_ns() + 20 * 1000 * 1000);
    assert_false(stmt_next(db_stmt(db, &forever)));
    assert_int_equal(db_status(db, &e), STAX_ETIMEOUT);
    db_clear_error(db);
    db_set_deadline(db, 0);
    assert_int_equal(count(db), 1);
    db_close(db);
}

static void *cancel_soon(void *db)
{
    usleep(20000);
    db_cancel(db);
    return NULL;
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    struct db *db = open_or_fail(f->run, DB_READ);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, db), 0);
    assert_false(stmt_next(db_stmt(db, &forever)));
    pthread_join(thread, NULL);
    assert_int_equal(db_status(db, NULL), STAX_ECANCELLED);
    db_close(db);
}

static void assert_refused(const char *path, enum db_mode mode, int code, const char *part)
{
    struct db *db = NULL;
    struct err e = {0};
    assert_int_equal(db_open(&db, path, mode, &e), code);
    assert_null(db);
    if (!strstr(e.msg, part)) {
        fail_msg("'%s' does not say '%s'", e.msg, part);
    }
}

static void test_what_is_not_a_run(void **state)
{
    struct fixture *f = *state;
    char path[200];
    assert_refused(f->run, DB_READ, STAX_ENOTFOUND, "No such file");
    assert_refused(f->folder, DB_READ, STAX_ECORRUPT, "not a regular file");
    snprintf(path, sizeof(path), "%s/missing/x.stax", f->folder);
    assert_refused(path, DB_CREATE, STAX_ENOTFOUND, "cannot create");
    snprintf(path, sizeof(path), "%s/fifo", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, DB_READ, STAX_ECORRUPT, "not a regular file");
    snprintf(path, sizeof(path), "%s/text", f->folder);
    run_command("seq 10000 > '%s'", path);
    assert_refused(path, DB_READ, STAX_ECORRUPT, "not a database");
    snprintf(path, sizeof(path), "%s/empty", f->folder);
    run_command("true > '%s'", path);
    assert_refused(path, DB_READ, STAX_ECORRUPT, "not a stax run");
    snprintf(path, sizeof(path), "%s/other", f->folder);
    run_sql(path, "CREATE TABLE t (a)");
    assert_refused(path, DB_WRITE, STAX_ECORRUPT, "not a stax run");
    make_run(f->run);
    assert_refused(f->run, DB_CREATE, STAX_ESYSTEM, "File exists");
    run_sql(f->run, "PRAGMA user_version = 7");
    assert_refused(f->run, DB_READ, STAX_EVERSION, "newer stax");
    run_sql(f->run, "PRAGMA user_version = 0");
    assert_refused(f->run, DB_READ, STAX_EVERSION, "older format");
}

static void test_odd_paths(void **state)
{
    struct fixture *f = *state;
    char path[200];
    snprintf(path, sizeof(path), "%s/a b%%41?immutable=1#x&mode=ro.stax", f->folder);
    struct db *db = open_or_fail(path, DB_CREATE);
    db_close(db);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(chdir(f->folder), 0);
    db = open_or_fail("file:x.stax", DB_CREATE);
    db_close(db);
    assert_int_equal(access("file:x.stax", R_OK), 0);
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    char path[200];
    char command[200];
    snprintf(command, sizeof(command), "mount -t tmpfs -o size=1m none '%s' 2>/dev/null",
             f->folder);
    if (system(command) != 0) {
        print_message("skipped: full disk needs the right to mount\n");
        skip();
    }
    snprintf(path, sizeof(path), "%s/run.stax", f->folder);
    struct db *db = open_or_fail(path, DB_CREATE);
    struct err e = {0};
    int64_t n_kept = 0;
    for (int64_t id = 1; db_status(db, &e) == 0; id += 1000) {
        db_begin(db);
        for (int64_t i = id; i < id + 1000; i++) {
            add_loss(db, i);
        }
        db_commit(db);
        n_kept += db_status(db, NULL) == 0 ? 1000 : 0;
    }
    assert_int_equal(e.code, STAX_EFULL);
    assert_true(e.hint[0] != '\0');
    db_rollback(db);
    db_clear_error(db);
    assert_int_equal(count(db), n_kept);
    assert_true(n_kept >= 1000);
    db_close(db);
    assert_rows(path, "PRAGMA integrity_check", "ok\n");
    run_command("umount '%s'", f->folder);
}

/* A writer that is killed between or within commits leaves everything up to the last one. */
static void test_killed_writer(void **state)
{
    struct fixture *f = *state;
    int pipes[2];
    db_close(open_or_fail(f->run, DB_CREATE));
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct db *db = open_or_fail(f->run, DB_WRITE);
        for (int64_t id = 1;; id += 10) {
            db_begin(db);
            for (int64_t i = id; i < id + 10; i++) {
                add_loss(db, i);
            }
            db_commit(db);
            db_checkpoint(db, id % 50 == 1);
            if (write(pipes[1], &id, sizeof(id)) != sizeof(id)) {
                _exit(1);
            }
        }
    }
    int64_t committed = 0;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(read(pipes[0], &committed, sizeof(committed)), sizeof(committed));
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    struct db *reader = open_or_fail(f->run, DB_READ);
    int64_t n = count(reader);
    assert_true(n >= committed + 9);
    assert_int_equal(n % 10, 0);
    struct db *writer = open_or_fail(f->run, DB_WRITE);
    add_loss(writer, -1);
    assert_int_equal(count(reader), n + 1);
    db_close(reader);
    db_close(writer);
    assert_rows(f->run, "PRAGMA integrity_check", "ok\n");
    close(pipes[0]);
    close(pipes[1]);
}

static void test_pragmas(void **state)
{
    struct fixture *f = *state;
    db_close(open_or_fail(f->run, DB_CREATE));
    char expected[64];
    snprintf(expected, sizeof(expected), "%d\n", SCHEMA_APPLICATION_ID);
    assert_rows(f->run, "PRAGMA application_id", expected);
    snprintf(expected, sizeof(expected), "%d\n", SCHEMA_VERSION);
    assert_rows(f->run, "PRAGMA user_version", expected);
    assert_rows(f->run, "PRAGMA journal_mode", "wal\n");
    assert_rows(f->run, "PRAGMA page_size", "4096\n");
    struct stat st;
    assert_int_equal(stat(f->run, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_rows_come_back),
        T(test_values_keep_their_bytes),
        T(test_errors_stick),
        T(test_readers_keep_their_snapshot),
        T(test_readers_cannot_write),
        T(test_reader_leaves_the_wal_alone),
        T(test_deadline),
        T(test_cancel),
        T(test_what_is_not_a_run),
        T(test_full_disk),
        T(test_killed_writer),
        T(test_pragmas),
        T(test_odd_paths), /* last: it changes the working directory */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
