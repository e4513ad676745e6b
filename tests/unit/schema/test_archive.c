/* test_archive.c - saving runs and opening files from elsewhere: whole, damaged, hostile, older. */
#include "schema/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "schema/archive.h"
#include "schema/archive_internal.h"
#include "schema/sandbox.h"

static const struct sql_block count_samples = {"count_samples", "SELECT count(*) FROM sample"};
static const struct sql_block add_samples = {
    "add_samples",
    "WITH RECURSIVE n (i) AS (SELECT :from UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :to)"
    " INSERT INTO sample (ts, utid, cpu, callsite, frame, on_cpu_ns)"
    " SELECT 2000000000 + i, 1, 0, 3, 4, 1000 FROM n"};

static char *in(struct fixture *f, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", f->folder, name) > 0);
    return path;
}

/* Names in the folder that begin with prefix. */
static int n_files(const char *folder, const char *prefix)
{
    DIR *d = opendir(folder);
    struct dirent *entry;
    int n = 0;
    while ((entry = readdir(d))) {
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    closedir(d);
    return n;
}

static void save(const char *from, const char *to)
{
    struct err e = {0};
    int64_t bytes = 0;
    if (archive_save(from, to, NULL, NULL, &bytes, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_int_equal(bytes, db_file_bytes(to));
}

static int64_t open_and_count(const char *path)
{
    struct db *db = NULL;
    struct err e = {0};
    bool is_migrated = true;
    if (archive_open(&db, path, &is_migrated, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_false(is_migrated);
    struct stmt *s = db_stmt(db, &count_samples);
    int64_t n = stmt_next(s) ? stmt_int(s, 0) : -1;
    db_close(db);
    return n;
}

static void assert_refused(const char *path, int code, const char *part)
{
    struct db *db = NULL;
    struct err e = {0};
    int rc = archive_open(&db, path, NULL, &e);
    if (rc != code || db || !strstr(e.msg, part)) {
        fail_msg("%d '%s' instead of %d '%s'", rc, e.msg, code, part);
    }
}

static void fill(const char *run, int64_t from, int64_t to)
{
    struct db *db = NULL;
    assert_int_equal(db_open(&db, run, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &add_samples);
    stmt_bind_int(s, 1, from);
    stmt_bind_int(s, 2, to);
    stmt_run(s);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

static void test_live_run(void **state)
{
    struct fixture *f = *state;
    char *to = in(f, "saved.stax");
    make_run(f->run);
    struct db *writer = NULL;
    assert_int_equal(db_open(&writer, f->run, DB_WRITE, NULL), 0);
    save(f->run, to);
    assert_int_equal(open_and_count(to), 10);
    assert_rows(to, "SELECT state, stop_reason, end_ts, id FROM run",
                "stopped|saved_live|1011000000|7\n");
    assert_rows(to, "PRAGMA journal_mode", "delete\n");
    assert_rows(to, "PRAGMA integrity_check", "ok\n");
    assert_rows(to, "SELECT name, self_ms FROM v_top LIMIT 1", "memcpy|4.0\n");
    assert_rows(f->run, "SELECT state FROM run", "recording\n");
    assert_int_equal(n_files(f->folder, "saved.stax"), 1); /* no -wal, no -shm, nothing temporary */
    db_close(writer);
    free(to);
}

/* The last commit of a run that did not end in order is no full one. */
static void test_rows_that_are_not_written_yet(void **state)
{
    struct fixture *f = *state;
    char *to = in(f, "saved.stax");
    make_run(f->run);
    run_sql(f->run, "UPDATE run SET n_pending = 0; DELETE FROM symbol_sum WHERE symbol = (SELECT "
                    "max(symbol) FROM symbol_sum); DELETE FROM thread_sum WHERE utid = 1");
    save(f->run, to);
    assert_int_equal(open_and_count(to), 10);
    run_sql(to, "UPDATE run SET stop_reason = 'server_died'");
    assert_int_equal(open_and_count(to), 10);
    run_sql(to, "UPDATE run SET stop_reason = 'time_limit'");
    struct err e = {0};
    struct db *db = NULL;
    assert_int_equal(archive_open(&db, to, NULL, &e), STAX_ECORRUPT);
    assert_non_null(strstr(e.msg, "the sums in its table"));
    free(to);
}

static void test_stopped_run_keeps_its_reason(void **state)
{
    struct fixture *f = *state;
    char *to = in(f, "saved.stax");
    make_run(f->run);
    run_sql(f->run,
            "UPDATE run SET state = 'stopped', stop_reason = 'time_limit', end_ts = 7000000000");
    run_command("echo old > '%s'", to);
    save(f->run, to); /* over an existing file */
    assert_rows(to, "SELECT state, stop_reason, end_ts FROM run",
                "stopped|time_limit|7000000000\n");
    char *again = in(f, "again.stax");
    save(to, again); /* and from an archive */
    assert_int_equal(open_and_count(again), 10);
    free(again);
    free(to);
}

static void test_read_only_folder(void **state)
{
    struct fixture *f = *state;
    char *sub = in(f, "sub");
    char *to = in(f, "sub/saved.stax");
    make_run(f->run);
    assert_int_equal(mkdir(sub, 0700), 0);
    save(f->run, to);
    assert_int_equal(chmod(to, 0444), 0);
    assert_int_equal(chmod(sub, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        /* As nobody: for root no folder is read-only. */
        bool is_root = getuid() == 0;
        bool is_done = !is_root || (chmod(f->folder, 0755) == 0 && setuid(65534) == 0);
        struct db *db = NULL;
        _exit(is_done && archive_open(&db, to, NULL, NULL) == 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(n_files(sub, "saved"), 1);
    free(to);
    free(sub);
}

struct writing {
    const char *run;
    atomic_bool is_over;
    int64_t n_commits;
};

static void *write_on(void *arg)
{
    struct writing *w = arg;
    struct db *db = NULL;
    if (db_open(&db, w->run, DB_WRITE, NULL) < 0) {
        return NULL;
    }
    for (int64_t at = 5000000; !atomic_load(&w->is_over); at += 100, w->n_commits++) {
        struct stmt *s = db_stmt(db, &add_samples);
        stmt_bind_int(s, 1, at);
        stmt_bind_int(s, 2, at + 100);
        stmt_run(s);
        db_checkpoint(db, false);
        usleep(500);
    }
    db_close(db);
    return NULL;
}

/* FACTS: a stepwise backup of a live run restarts at every commit unless it holds a snapshot. */
static void test_save_ends_while_the_run_is_written(void **state)
{
    struct fixture *f = *state;
    char *to = in(f, "saved.stax");
    make_run(f->run);
    fill(f->run, 0, 1000000);
    struct writing w = {.run = f->run};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    usleep(50000);
    save(f->run, to);
    atomic_store(&w.is_over, true);
    pthread_join(thread, NULL);
    assert_true(w.n_commits > 10);
    assert_int_equal((open_and_count(to) - 10) % 100, 0); /* whole commits only */
    assert_rows(to, "PRAGMA integrity_check", "ok\n");
    free(to);
}

static bool count_then_cancel(void *ctx, int64_t n_done, int64_t n_total)
{
    int *n = ctx;
    assert_true(n_done <= n_total && n_total > 1000);
    return ++*n < 3;
}

static void test_cancel_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    char *to = in(f, "saved.stax");
    struct err e = {0};
    int n = 0;
    make_run(f->run);
    fill(f->run, 0, 1000000);
    assert_int_equal(archive_save(f->run, to, count_then_cancel, &n, NULL, &e), STAX_ECANCELLED);
    assert_int_equal(n, 3);
    assert_int_equal(n_files(f->folder, "saved"), 0);
    free(to);
}

static void assert_not_saved(const char *run, const char *to, int code, const char *part)
{
    struct err e = {0};
    int rc = archive_save(run, to, NULL, NULL, NULL, &e);
    if (rc != code || !strstr(e.msg, part)) {
        fail_msg("%d '%s' instead of %d '%s'", rc, e.msg, code, part);
    }
}

static void test_targets_that_cannot_be(void **state)
{
    struct fixture *f = *state;
    char *missing = in(f, "missing/x.stax");
    char *link = in(f, "link");
    make_run(f->run);
    assert_not_saved(f->run, missing, STAX_ENOTFOUND, "No such file");
    assert_not_saved(f->run, f->folder, STAX_EUSAGE, "not a regular file");
    assert_not_saved(f->run, f->run, STAX_EUSAGE, "the run itself");
    assert_int_equal(symlink(f->run, link), 0);
    assert_not_saved(f->run, link, STAX_EUSAGE, "the run itself");
    assert_not_saved(missing, link, STAX_ENOTFOUND, "No such file");
    assert_int_equal(n_files(f->folder, "link"), 1);
    free(link);
    free(missing);
}

static bool fill_disk(void *ctx, int64_t n_done, int64_t n_total)
{
    (void)n_done;
    (void)n_total;
    char command[200];
    snprintf(command, sizeof(command), "dd if=/dev/zero of='%s/filler' bs=64k 2>/dev/null || true",
             (const char *)ctx);
    assert_int_equal(system(command), 0);
    return true;
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    char command[200];
    char *disk = in(f, "disk");
    char *to = in(f, "disk/saved.stax");
    struct err e = {0};
    make_run(f->run);
    fill(f->run, 0, 300000); /* about 7 MB */
    assert_int_equal(mkdir(disk, 0700), 0);
    snprintf(command, sizeof(command), "mount -t tmpfs -o size=1m none '%s' 2>/dev/null", disk);
    if (system(command) != 0) {
        print_message("skipped: full disk needs the right to mount\n");
        free(disk);
        free(to);
        skip();
    }
    assert_not_saved(f->run, to, STAX_EFULL, "MB free"); /* known before */
    assert_int_equal(n_files(disk, "saved"), 0);
    run_command("mount -o remount,size=9m '%s'", disk);
    assert_int_equal(archive_save(f->run, to, fill_disk, disk, NULL, &e),
                     STAX_EFULL); /* on the way */
    assert_true(e.hint[0] != '\0');
    assert_int_equal(n_files(disk, "saved"), 0);
    run_command("umount '%s'", disk);
    free(disk);
    free(to);
}

static char *saved(struct fixture *f)
{
    char *to = in(f, "saved.stax");
    make_run(f->run);
    save(f->run, to);
    return to;
}

static void test_foreign_things(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        int code;
        const char *part;
    } cases[] = {
        {"CREATE TRIGGER t AFTER INSERT ON run BEGIN SELECT 1; END", STAX_ECORRUPT, "trigger t"},
        {"CREATE VIEW v_evil AS SELECT load_extension('x')", STAX_ECORRUPT, "unknown view v_evil"},
        {"DROP VIEW v_top; CREATE VIEW v_top AS SELECT 1 AS name", STAX_ECORRUPT,
         "unknown view v_top"},
        {"CREATE VIRTUAL TABLE t USING fts5 (a)", STAX_ECORRUPT, "virtual table t"},
        {"CREATE VIRTUAL TABLE t USING rtree (a, b, c)", STAX_ECORRUPT, "virtual table t"},
        {"CREATE TABLE t (a)", STAX_ECORRUPT, "differ at t.a"},
        {"CREATE INDEX i ON sample (utid)", STAX_ECORRUPT, "index i"},
        {"CREATE INDEX i ON sample (abs(utid))", STAX_ECORRUPT, "index i"},
        {"ALTER TABLE run ADD COLUMN x INTEGER", STAX_ECORRUPT, "differ at run.x"},
        {"ALTER TABLE thread ADD COLUMN x INTEGER AS (tid + 1)", STAX_ECORRUPT,
         "differ at thread.x"},
        {"DROP TABLE folded_wakeup", STAX_ECORRUPT, "differ at folded_wakeup"},
        {"CREATE TABLE \"x\x1b[31m\" (a)", STAX_ECORRUPT, "x\\x1b"},
        {"PRAGMA user_version = 7", STAX_EVERSION, "newer stax"},
        {"PRAGMA user_version = 0", STAX_EVERSION, "bad.stax has format version 0, which"},
        {"PRAGMA user_version = -3", STAX_ECORRUPT, "not a stax run"},
        {"PRAGMA application_id = 1", STAX_ECORRUPT, "not a stax run"},
        {"DELETE FROM run", STAX_ECORRUPT, "no run"},
        {"UPDATE run SET id = 8; INSERT INTO run SELECT 9, state, stop_reason, pid, is_launched, "
         "command, start_ts,"
         " end_ts, start_wall_ns, data_ts, frequency_hz, period_ns, has_children, hostname, "
         "os_release, arch, n_cpus,"
         " stax_version, n_samples, on_cpu_ns, n_lost, n_truncated, n_unnamed, n_moved, "
         "max_moved_ns, n_pending,"
         " raw_from_ts, n_renames, has_off_cpu FROM run",
         STAX_ECORRUPT, "no run"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE sample (' "
         "WHERE name = 'sample'",
         STAX_ECORRUPT, "malformed"},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 100000 WHERE name = "
         "'sample'",
         STAX_ECORRUPT, ""},
        {"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'sample'",
         STAX_ECORRUPT, ""},
    };
    char *good = saved(f);
    char *bad = in(f, "bad.stax");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char command[300];
        snprintf(command, sizeof(command), "cp '%s' '%s'", good, bad);
        assert_int_equal(system(command), 0);
        run_sql(bad, cases[i].sql);
        assert_refused(bad, cases[i].code, cases[i].part);
        struct sandbox *s = NULL;
        assert_int_equal(sandbox_open(&s, bad, true, NULL), cases[i].code);
    }
    assert_int_equal(open_and_count(good), 10);
    free(good);
    free(bad);
}

static void test_comments_do_not_matter(void **state)
{
    struct fixture *f = *state;
    char *path = saved(f);
    run_sql(path, "PRAGMA writable_schema = ON;"
                  "UPDATE sqlite_schema SET sql = replace(sql, '-- function', '-- routine')"
                  " WHERE name = 'v_top'");
    assert_int_equal(open_and_count(path), 10);
    free(path);
}

static void test_a_run_in_use_is_no_archive(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    struct db *writer = NULL;
    assert_int_equal(db_open(&writer, f->run, DB_WRITE, NULL), 0);
    fill(f->run, 0, 10);
    assert_refused(f->run, STAX_EBUSY, "in use");
    char link[120];
    snprintf(link, sizeof(link), "%s/link.stax", f->folder);
    assert_int_equal(symlink(f->run, link), 0);
    assert_refused(link, STAX_EBUSY, "in use");
    db_close(writer);
    assert_int_equal(open_and_count(f->run), 20);
}

/* Cut at any place, a file is refused or, at worst, a query on it fails. */
static void test_truncated(void **state)
{
    struct fixture *f = *state;
    char *path = saved(f);
    for (int64_t size = db_file_bytes(path) - 1; size >= 0; size -= size > 4096 ? 4096 : 512) {
        assert_int_equal(truncate(path, size), 0);
        struct db *db = NULL;
        struct err e = {0};
        assert_int_equal(archive_open(&db, path, NULL, &e), STAX_ECORRUPT);
    }
    free(path);
}

/* Bits flipped anywhere: never a crash, and what opens can be read or says that it is damaged. */
static void test_flipped_bits(void **state)
{
    struct fixture *f = *state;
    char *good = saved(f);
    char *bad = in(f, "bad.stax");
    struct buf bytes = {0};
    assert_int_equal(fd_read_file(good, 1 << 24, &bytes), 0);
    uint64_t seed = 88172645463325252ULL;
    int n_refused = 0;
    for (int round = 0; round < 300; round++) {
        size_t n_flips = 1 + (size_t)round % 4;
        for (size_t i = 0; i < n_flips; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            size_t at = seed % (round % 3 == 0 ? 4096 : bytes.len);
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << (seed >> 60) % 8);
        }
        int fd = open(bad, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(fd_write_all(fd, bytes.data, bytes.len), 0);
        close(fd);
        struct sandbox *s = NULL;
        json_t *result = NULL;
        struct err e = {0};
        int rc = sandbox_open(&s, bad, true, &e);
        n_refused += rc < 0;
        if (rc == 0) {
            sandbox_query(s, "SELECT * FROM v_samples", NULL, &result, &e);
            json_decref(result);
            result = NULL;
            sandbox_query(s, "SELECT * FROM v_flame", NULL, &result, &e);
            json_decref(result);
            sandbox_close(s);
        }
        if (round % 10 == 9) { /* damage adds up for ten rounds */
            buf_clear(&bytes);
            assert_int_equal(fd_read_file(good, 1 << 24, &bytes), 0);
        }
    }
    assert_true(n_refused > 30);
    buf_free(&bytes);
    free(good);
    free(bad);
}

/* What version 6 added goes. */
#define THREAD_SUM_COLUMNS                                                                         \
    "utid, n_samples, on_cpu_ns, runnable_ns, idle_ns, lock_ns, sem_ns, ipc_ns, io_r_ns, io_w_ns," \
    " ready_ns, sleep_ns, conn_ns, other_ns, unknown_ns, n_switches, open_state, open_reason,"     \
    " open_ts, guessed_ns"
#define OLDER_THREAD_SUM                                                                           \
    "DROP VIEW v_open_waits; PRAGMA legacy_alter_table = ON;"                                      \
    "CREATE TABLE old_sum (utid INTEGER PRIMARY KEY, n_samples INTEGER NOT NULL, on_cpu_ns "       \
    "INTEGER NOT NULL, runnable_ns INTEGER, idle_ns INTEGER, lock_ns INTEGER, sem_ns INTEGER, "    \
    "ipc_ns INTEGER, io_r_ns INTEGER, io_w_ns INTEGER, ready_ns INTEGER, sleep_ns INTEGER, "       \
    "conn_ns INTEGER, other_ns INTEGER, unknown_ns INTEGER, n_switches INTEGER, open_state TEXT, " \
    "open_reason TEXT, open_ts INTEGER, guessed_ns INTEGER) STRICT;"                               \
    "INSERT INTO old_sum SELECT " THREAD_SUM_COLUMNS " FROM thread_sum;"                           \
    "DROP TABLE thread_sum; ALTER TABLE old_sum RENAME TO thread_sum;"                             \
    "PRAGMA legacy_alter_table = OFF;"

/* A file of version 1: without off-CPU time, and with a view that is gone today. */
static void make_older(struct fixture *f, const char *path)
{
    make_run(f->run);
    save(f->run, path);
    run_sql(path,
            "DROP VIEW v_top; CREATE VIEW v_old AS SELECT id FROM run;"
            "DROP VIEW v_waits; DROP VIEW v_ledger; DROP VIEW v_call_tree; DROP TABLE folded_state;"
            "DROP VIEW v_counters; DROP TABLE call_tree_counter; DROP TABLE symbol_counter;"
            "DROP TABLE frame_counter; DROP TABLE thread_counter; DROP TABLE stack_counter;"
            "DROP TABLE counter; CREATE TABLE counter (slot INTEGER PRIMARY KEY, name TEXT NOT "
            "NULL, unit TEXT NOT NULL) STRICT;"
            "DROP VIEW v_wakers; DROP VIEW v_wakeups; DROP TABLE folded_wakeup;"
            "DROP TABLE stack_end;"
            /* DROP COLUMN stumbles over commas in comments */
            "PRAGMA legacy_alter_table = ON;"
            "CREATE TABLE old_symbol (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT "
            "NULL, linkage_name TEXT, binary INTEGER, rel_address INTEGER, size INTEGER, source "
            "TEXT NOT NULL) STRICT;"
            "INSERT INTO old_symbol SELECT id, kind, name, linkage_name, binary, rel_address, "
            "size, source FROM symbol;"
            "DROP TABLE symbol; ALTER TABLE old_symbol RENAME TO symbol;"
            "CREATE TABLE old_binary (id INTEGER PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT "
            "NULL, kind TEXT NOT NULL, build_id TEXT, has_addresses INTEGER NOT NULL, names_from "
            "TEXT NOT NULL, note TEXT) STRICT;"
            "INSERT INTO old_binary SELECT id, path, name, kind, build_id, has_addresses, "
            "names_from, note FROM binary;"
            "DROP TABLE binary; ALTER TABLE old_binary RENAME TO binary;"
            "PRAGMA legacy_alter_table = OFF;"
            "DROP TABLE wait_sum;" OLDER_THREAD_SUM "ALTER TABLE thread_sum DROP COLUMN guessed_ns;"
            "DROP TABLE code_line; DROP TABLE inlined_call; DROP TABLE source_file;"
            "ALTER TABLE run DROP COLUMN has_off_cpu;"
            "ALTER TABLE thread_state DROP COLUMN reason_from;"
            "ALTER TABLE call_tree DROP COLUMN n_self_waits;"
            "ALTER TABLE call_tree DROP COLUMN self_off_cpu_ns;"
            "ALTER TABLE call_tree DROP COLUMN n_total_waits;"
            "ALTER TABLE call_tree DROP COLUMN total_off_cpu_ns;"
            "ALTER TABLE symbol_sum DROP COLUMN n_self_waits;"
            "ALTER TABLE symbol_sum DROP COLUMN self_off_cpu_ns;"
            "ALTER TABLE symbol_sum DROP COLUMN n_total_waits;"
            "ALTER TABLE symbol_sum DROP COLUMN total_off_cpu_ns;"
            "ALTER TABLE thread_sum DROP COLUMN n_switches;"
            "ALTER TABLE thread_sum DROP COLUMN open_state;"
            "ALTER TABLE thread_sum DROP COLUMN open_reason;"
            "ALTER TABLE thread_sum DROP COLUMN open_ts;"
            "PRAGMA user_version = 1");
}

static void test_older_file_is_migrated(void **state)
{
    struct fixture *f = *state;
    char *path = in(f, "older.stax");
    static const struct sql_block sums = {"sums", "SELECT sum(total_off_cpu_ns) FROM call_tree"};
    static const struct sql_block top = {"top", "SELECT name FROM v_top LIMIT 1"};
    static const struct sql_block names = {
        "names", "SELECT count(*) FROM symbol WHERE language = '' AND whole IS NULL"};
    struct db *db = NULL;
    struct err e = {0};
    bool is_migrated = false;
    make_older(f, path);
    int64_t size = db_file_bytes(path);
    if (archive_open(&db, path, &is_migrated, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_true(is_migrated);
    assert_string_equal(db_path(db), path);
    struct stmt *s = db_stmt(db, &sums);
    assert_true(stmt_next(s));
    assert_int_equal(stmt_int(s, 0), 0);
    s = db_stmt(db, &top);
    assert_true(stmt_next(s));
    assert_string_equal(stmt_text(s, 0), "memcpy");
    stmt_reset(s);
    s = db_stmt(db, &names);
    assert_true(stmt_next(s));
    assert_int_equal(stmt_int(s, 0), 5);
    db_close(db);
    assert_int_equal(db_file_bytes(path), size); /* the original is as it was */
    assert_rows(path, "PRAGMA user_version", "1\n");
    assert_rows(path, "SELECT id FROM v_old", "7\n");
    free(path);
}

/* A file of version 5: what open waits are is not known. */
static void test_open_waits_of_version_5(void **state)
{
    struct fixture *f = *state;
    char *path = in(f, "five.stax");
    static const struct sql_block open = {
        "open", "SELECT count(*) > 0 AND count(open_callsite) = 0 AND count(open_reason_from) = 0"
                " AND count(open_stack_from) = 0 AND (SELECT count(*) FROM v_open_waits WHERE"
                " function IS NOT NULL) = 0 FROM thread_sum"};
    struct db *db = NULL;
    struct err e = {0};
    bool is_migrated = false;
    make_run(f->run);
    save(f->run, path);
    run_sql(path, OLDER_THREAD_SUM "PRAGMA user_version = 5");
    if (archive_open(&db, path, &is_migrated, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_true(is_migrated);
    struct stmt *s = db_stmt(db, &open);
    assert_true(stmt_next(s));
    assert_int_equal(stmt_int(s, 0), 1);
    stmt_reset(s);
    db_close(db);
    free(path);
}

/* A file of version 4 with waits: thread 1 has single ones only, of thread 2 some were added up. */
static void test_waits_of_version_4(void **state)
{
    struct fixture *f = *state;
    char *path = in(f, "four.stax");
    static const struct sql_block sums = {
        "sums", "SELECT group_concat(reason || ' ' || n_intervals || ' ' || dur || ' ' ||"
                " n_folded_intervals || ' ' || folded_dur, ', ') FROM wait_sum"};
    static const struct sql_block guessed = {
        "guessed", "SELECT group_concat(ifnull(guessed_ns, 'NULL')) FROM thread_sum"};
    static const struct sql_block longest = {
        "longest", "SELECT group_concat(id) FROM (SELECT id FROM thread_state WHERE reason ="
                   " 'lock' ORDER BY dur DESC)"};
    static const struct {
        const struct sql_block *sql;
        const char *answer;
    } expected[] = {
        {&sums, " 1 2 1 50, lock 2 30 0 0, sem 0 0 2 9"}, {&guessed, "20,NULL"}, {&longest, "2,1"}};
    struct db *db = NULL;
    struct err e = {0};
    bool is_migrated = false;
    make_run(f->run);
    save(f->run, path);
    run_sql(path, OLDER_THREAD_SUM
            "ALTER TABLE thread_sum DROP COLUMN guessed_ns;"
            "CREATE TABLE old_symbol (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT "
            "NULL, linkage_name TEXT, binary INTEGER, rel_address INTEGER, size INTEGER, source "
            "TEXT NOT NULL, language TEXT NOT NULL, whole INTEGER) STRICT;"
            "INSERT INTO old_symbol SELECT id, kind, name, linkage_name, binary, rel_address, "
            "size, source, language, whole FROM symbol;"
            "PRAGMA legacy_alter_table = ON;"
            "DROP TABLE symbol; ALTER TABLE old_symbol RENAME TO symbol;"
            "PRAGMA legacy_alter_table = OFF;"
            "DROP TABLE thread_state; DROP TABLE folded_state; DROP TABLE wait_sum;"
            "CREATE TABLE thread_state (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, dur INTEGER "
            "NOT NULL, utid INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, reason_from TEXT, "
            "callsite INTEGER, stack_from TEXT, waker_utid INTEGER, waker_callsite INTEGER, waker "
            "TEXT) STRICT;"
            "CREATE TABLE folded_state (bucket INTEGER NOT NULL, utid INTEGER NOT NULL, state TEXT "
            "NOT NULL, reason TEXT NOT NULL, callsite INTEGER NOT NULL, n_intervals INTEGER NOT "
            "NULL, dur INTEGER NOT NULL, n_buckets INTEGER NOT NULL, PRIMARY KEY (bucket, utid, "
            "state, reason, callsite)) STRICT, WITHOUT ROWID;"
            "INSERT INTO thread_state (ts, dur, utid, state, reason, reason_from) VALUES (1, 10, 1,"
            " 'blocked', 'lock', 'syscall'), (2, 20, 1, 'blocked', 'lock', 'earlier'), (3, 2, 2,"
            " 'runnable', NULL, NULL);"
            "INSERT INTO folded_state VALUES (0, 1, 'runnable', '', 0, 1, 50, 1), (0, 2, 'blocked',"
            " 'sem', 1, 2, 9, 1);"
            "UPDATE thread_sum SET idle_ns = 0; PRAGMA user_version = 4");
    if (archive_open(&db, path, &is_migrated, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_true(is_migrated);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct stmt *s = db_stmt(db, expected[i].sql);
        assert_true(stmt_next(s));
        assert_string_equal(stmt_text(s, 0), expected[i].answer);
        stmt_reset(s);
    }
    db_close(db);
    free(path);
}

/* A sandbox on two files attaches the migrated copy, of which nothing stays behind. */
static void test_older_file_beside_another(void **state)
{
    struct fixture *f = *state;
    char *path = in(f, "older.stax"), *other = in(f, "other.stax");
    struct sandbox *s = NULL;
    struct err e = {0};
    json_t *result = NULL;
    make_older(f, path);
    save(f->run, other);
    setenv("TMPDIR", f->folder, 1);
    if (sandbox_open_both(&s, path, true, other, true, &e) < 0 ||
        sandbox_query(s, "SELECT count(*) FROM a.v_top JOIN b.v_top AS other USING (name)", NULL,
                      &result, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    unsetenv("TMPDIR");
    assert_int_equal(n_files(f->folder, "stax-migrate"), 0);
    const json_t *row = json_array_get(json_object_get(result, "rows"), 0);
    assert_true(json_integer_value(json_array_get(row, 0)) > 0);
    json_decref(result);
    sandbox_close(s);
    assert_rows(path, "PRAGMA user_version", "1\n");
    free(other);
    free(path);
}

static void test_migrations_that_fail(void **state)
{
    struct fixture *f = *state;
    static const struct migration_step none[] = {{0, NULL}};
    static const struct migration_step wrong_sql[] = {
        {2, "CREATE TABLE run (a); PRAGMA user_version = 2"}, {0, NULL}};
    static const struct migration_step no_version[] = {{2, "SELECT 1"}, {0, NULL}};
    static const struct migration_step unfinished[] = {
        {2, "PRAGMA user_version = 2"}, {3, "PRAGMA user_version = 3"},
        {4, "PRAGMA user_version = 4"}, {5, "PRAGMA user_version = 5"},
        {6, "PRAGMA user_version = 6"}, {0, NULL}};
    static const struct migration_step gap[] = {{3, "PRAGMA user_version = 3"}, {0, NULL}};
    static const struct {
        const struct migration_step *steps;
        int code;
    } cases[] = {{none, STAX_EVERSION},
                 {wrong_sql, STAX_ECORRUPT},
                 {no_version, STAX_ECORRUPT},
                 {unfinished, STAX_ESQL},
                 {gap, STAX_EVERSION}};
    char *path = in(f, "older.stax");
    make_older(f, path);
    assert_int_equal(setenv("TMPDIR", f->folder, 1), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct db *db = NULL;
        struct err e = {0};
        int rc = archive_open_with(&db, path, cases[i].steps, NULL, &e);
        if (rc != cases[i].code || strstr(e.msg, "stax-migrate")) {
            fail_msg("case %zu: %d %s", i, rc, e.msg);
        }
    }
    assert_int_equal(n_files(f->folder, "stax-migrate"), 0);
    assert_int_equal(unsetenv("TMPDIR"), 0);
    free(path);
}

/* Several steps in a row, and none for a file that is current. */
static void test_steps_run_in_order(void **state)
{
    struct fixture *f = *state;
    static const struct migration_step steps[] = {
        {4, "SELECT raise_an_error"},
        {7, "CREATE TABLE note (text TEXT) STRICT; PRAGMA user_version = 7"},
        {8, "INSERT INTO note VALUES ('eight'); PRAGMA user_version = 8"},
        {0, NULL}};
    char *path = saved(f);
    struct err e = {0};
    if (migrate(path, path, steps, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_int_equal(migrate(path, path, steps, &e), 0);
    assert_rows(path, "SELECT text FROM note", "eight\n");
    assert_rows(path, "PRAGMA user_version", "8\n");
    assert_rows(path, "SELECT count(*) FROM v_top", "4\n");
    free(path);
}

/* The steps of this build lead to its version, one by one. */
static void test_steps_of_this_build(void **state)
{
    (void)state;
    int version = 1;
    for (const struct migration_step *step = migrate_steps(); step->sql; step++) {
        assert_int_equal(step->version, ++version);
    }
    assert_int_equal(version, SCHEMA_VERSION);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_live_run),
        T(test_rows_that_are_not_written_yet),
        T(test_stopped_run_keeps_its_reason),
        T(test_read_only_folder),
        T(test_save_ends_while_the_run_is_written),
        T(test_cancel_leaves_nothing),
        T(test_targets_that_cannot_be),
        T(test_full_disk),
        T(test_foreign_things),
        T(test_comments_do_not_matter),
        T(test_a_run_in_use_is_no_archive),
        T(test_truncated),
        T(test_flipped_bits),
        T(test_older_file_is_migrated),
        T(test_waits_of_version_4),
        T(test_open_waits_of_version_5),
        T(test_older_file_beside_another),
        T(test_migrations_that_fail),
        T(test_steps_run_in_order),
        cmocka_unit_test(test_steps_of_this_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
