/* test_sandbox.c - other people's SQL: what it may, what it may not, and how it is stopped. */
#include "schema/fixture.h"

#include <dirent.h>
#include <pthread.h>

#include "schema/sandbox.h"

static struct sandbox *open_sandbox(struct fixture *f)
{
    struct sandbox *s = NULL;
    struct err e = {0};
    make_run(f->run);
    if (sandbox_open(&s, f->run, false, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    return s;
}

static void assert_result(struct sandbox *s, const char *sql, const char *expected_rows)
{
    json_t *result = NULL;
    struct err e = {0};
    if (sandbox_query(s, sql, NULL, &result, &e) < 0) {
        fail_msg("%s: %s", sql, e.msg);
    }
    char *rows = json_dumps(json_object_get(result, "rows"), JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(rows, expected_rows);
    free(rows);
    json_decref(result);
}

static void assert_fails(struct sandbox *s, const char *sql, int code, const char *part)
{
    json_t *result = NULL;
    struct err e = {0};
    struct sandbox_limits limits = sandbox_default_limits;
    limits.timeout_ms = 300;
    int rc = sandbox_query(s, sql, &limits, &result, &e);
    if (rc != code || result || !strstr(e.msg, part)) {
        fail_msg("%.200s: %d '%s' instead of %d '%s'", sql, rc, e.msg, code, part);
    }
    assert_true(e.hint[0] != '\0' || code == STAX_ECANCELLED);
}

static void test_answers(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    assert_result(s, "SELECT name FROM v_top LIMIT 2;", "[[\"memcpy\"],[\"work\"]]");
    assert_result(s, "SELECT 1, 0.5, 'x', NULL, x'00ff' -- done",
                  "[[1,0.5,\"x\",null,\"x'00ff'\"]]");
    assert_result(s, "SELECT 9e999, -9e999, CAST(x'41ff42' AS TEXT), 'a' || char(10)",
                  "[[\"Infinity\",\"-Infinity\",\"A\\\\xffB\",\"a\\n\"]]");
    assert_result(
        s,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT * FROM n",
        "[[1],[2],[3]]");
    assert_result(s, "SELECT count(*) FROM sample WHERE ts > 1005000000", "[[5]]");
    assert_result(s, "PRAGMA user_version", "[[2]]");
    assert_result(s, "SELECT name FROM pragma_table_info('counter')",
                  "[[\"slot\"],[\"name\"],[\"unit\"]]");
    assert_result(s, "SELECT value FROM json_each('[1,2]')", "[[1],[2]]");
    assert_result(s, "SELECT count(*) > 30 FROM sqlite_schema", "[[1]]");
    sandbox_close(s);
}

static void test_result_document(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    assert_int_equal(sandbox_query(s, "SELECT tid AS a, name FROM thread", NULL, &result, NULL), 0);
    json_t *names = json_pack("[s, s]", "a", "name");
    assert_true(json_equal(json_object_get(result, "columns"), names));
    json_decref(names);
    assert_int_equal(json_integer_value(json_object_get(result, "n_rows")), 2);
    assert_true(json_is_false(json_object_get(result, "is_truncated")));
    assert_true(json_is_null(json_object_get(result, "limit")));
    assert_true(json_is_real(json_object_get(result, "elapsed_ms")));
    json_decref(result);
    sandbox_close(s);
}

static void test_live_rows_are_seen(void **state)
{
    struct fixture *f = *state;
    struct sandbox *s = open_sandbox(f);
    assert_result(s, "SELECT count(*) FROM loss", "[[1]]");
    run_sql(f->run, "INSERT INTO loss VALUES (2, 1, 1, 'late', 1)");
    assert_result(s, "SELECT count(*) FROM loss", "[[2]]");
    sandbox_close(s);
}

static int n_files(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

static void test_escapes(void **state)
{
    struct fixture *f = *state;
    struct sandbox *s = open_sandbox(f);
    int before = n_files(f->folder);
    char sql[300];
    snprintf(sql, sizeof(sql), "VACUUM INTO '%s/stolen'", f->folder);
    assert_fails(s, sql, STAX_ESQL, "not allowed");
    snprintf(sql, sizeof(sql), "ATTACH '%s/other' AS other", f->folder);
    assert_fails(s, sql, STAX_ESQL, "not allowed");
    static const char *const refused[] = {
        "VACUUM",
        "DETACH main",
        "INSERT INTO loss VALUES (9, 1, 1, 'x', 1)",
        "UPDATE run SET pid = 1",
        "DELETE FROM sample",
        "DROP TABLE sample",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE t USING fts5 (a)",
        "CREATE TEMP TRIGGER t AFTER INSERT ON loss BEGIN SELECT 1; END",
        "ALTER TABLE run RENAME TO ran",
        "CREATE INDEX i ON sample (utid)",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "PRAGMA user_version = 5",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA journal_mode",
        "PRAGMA writable_schema = ON",
        "PRAGMA query_only = OFF",
        "PRAGMA trusted_schema = ON",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA temp_store_directory = '/etc'",
        "PRAGMA mmap_size = 1000000000",
        "PRAGMA database_list",
        "PRAGMA hard_heap_limit = 1",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM fts3tokenize('simple', 'a')",
        "SELECT load_extension('/lib/evil.so')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT fts3_tokenizer('simple', x'0000000000000000')",
        "SELECT name FROM thread WHERE load_extension('x') OR 1",
        "EXPLAIN DELETE FROM sample",
        "INSERT INTO loss VALUES (9, 1, 1, 'x', 1) RETURNING n",
        "WITH a AS (SELECT 1) DELETE FROM sample",
        "REPLACE INTO loss VALUES (1, 1, 1, 'x', 1)",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_fails(s, refused[i], STAX_ESQL, "not allowed");
    }
    assert_int_equal(n_files(f->folder), before);
    assert_result(s, "SELECT count(*), (SELECT count(*) FROM loss) FROM sample", "[[10,1]]");
    sandbox_close(s);
}

static void test_mistakes_are_explained(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    struct err e = {0};
    assert_int_equal(sandbox_query(s, "SELECT * FROM sampel", NULL, &result, &e), STAX_ESQL);
    assert_string_equal(e.msg, "no such table: sampel");
    assert_non_null(strstr(e.hint, "did you mean sample?"));
    assert_int_equal(sandbox_query(s, "SELECT self_mss FROM v_top", NULL, &result, &e), STAX_ESQL);
    assert_non_null(strstr(e.hint, "did you mean self_ms?"));
    assert_int_equal(sandbox_query(s, "SELECT t.zzzzz FROM thread t", NULL, &result, &e),
                     STAX_ESQL);
    assert_null(strstr(e.hint, "did you mean"));
    assert_fails(s, "SELEC 1", STAX_ESQL, "syntax error");
    assert_fails(s, "", STAX_ESQL, "no statement");
    assert_fails(s, " -- nothing", STAX_ESQL, "no statement");
    assert_fails(s, "SELECT 1; SELECT 2", STAX_ESQL, "one statement");
    assert_fails(s, "SELECT 1; DROP TABLE run", STAX_ESQL, "one statement");
    assert_fails(s, "SELECT 1; garbage", STAX_ESQL, "one statement");
    assert_fails(s, "SELECT \"typo\" FROM run", STAX_ESQL, "no such column");
    assert_fails(s, "SELECT 'a\x1b[31m' FROM nope\x1b[31m", STAX_ESQL, "\\x1b");
    sandbox_close(s);
}

static char *repeat(const char *start, const char *piece, int n, const char *end)
{
    struct buf b = {0};
    buf_addstr(&b, start);
    for (int i = 0; i < n; i++) {
        buf_addstr(&b, piece);
    }
    buf_addstr(&b, end);
    return buf_take(&b);
}

static void test_too_much(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    assert_fails(
        s, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        STAX_ETIMEOUT, "longer");
    assert_fails(s,
                 "SELECT count(*) FROM sample a, sample b, sample c, sample d, sample e, sample f, "
                 "sample g, sample h",
                 STAX_ETIMEOUT, "longer");
    assert_fails(s, "SELECT length(zeroblob(1000000000))", STAX_ESQL, "too big");
    assert_result(s, "SELECT coalesce(length(printf('%.*c', 99000000, 'x')), 0) < 17000000",
                  "[[1]]");
    assert_fails(s, "SELECT group_concat(hex(zeroblob(1000000))) FROM sample a, sample b",
                 STAX_ESQL, "too big");
    char *many = repeat("SELECT 1", ",1", 100000, "");
    assert_fails(s, many, STAX_ESQL, "too many columns");
    free(many);
    many = repeat("SELECT 1", ",1", 1000000, "");
    assert_fails(s, many, STAX_ESQL, "too big");
    free(many);
    many = repeat("SELECT ", "(", 5000, "1");
    assert_fails(s, many, STAX_ESQL, "");
    free(many);
    many = repeat("SELECT 1", " + 1", 5000, "");
    assert_fails(s, many, STAX_ESQL, "too large");
    free(many);
    many = repeat("SELECT 1", " UNION SELECT 1", 5000, "");
    assert_fails(s, many, STAX_ESQL, "too many terms");
    free(many);
    assert_result(s, "SELECT 1", "[[1]]");
    sandbox_close(s);
}

static void test_memory_is_bounded(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    struct err e = {0};
    const struct sandbox_limits limits = {10, 1000, 60000};
    int rc = sandbox_query(s,
                           "WITH RECURSIVE n (i, b) AS (SELECT 1, zeroblob(100000) UNION ALL"
                           " SELECT i + 1, randomblob(100000) FROM n)"
                           " SELECT i, b FROM n ORDER BY b",
                           &limits, &result, &e);
    assert_int_equal(rc, STAX_ELIMIT);
    assert_non_null(strstr(e.msg, "memory"));
    sandbox_close(s);
}

static void test_limits_report_themselves(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    struct sandbox_limits limits = {3, 1000000, 1000};
    assert_int_equal(sandbox_query(s, "SELECT ts FROM sample", &limits, &result, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(result, "rows")), 3);
    assert_true(json_is_true(json_object_get(result, "is_truncated")));
    assert_string_equal(json_string_value(json_object_get(result, "limit")), "rows");
    json_decref(result);
    limits = (struct sandbox_limits){10, 1000000, 1000};
    assert_int_equal(sandbox_query(s, "SELECT ts FROM sample", &limits, &result, NULL), 0);
    assert_true(json_is_false(json_object_get(result, "is_truncated"))); /* exactly as many */
    json_decref(result);
    limits = (struct sandbox_limits){1000, 2500, 1000};
    assert_int_equal(sandbox_query(s, "SELECT zeroblob(500) FROM sample", &limits, &result, NULL),
                     0);
    assert_int_equal(json_array_size(json_object_get(result, "rows")), 2);
    assert_string_equal(json_string_value(json_object_get(result, "limit")), "bytes");
    json_decref(result);
    sandbox_close(s);
}

static void *cancel_soon(void *s)
{
    usleep(30000);
    sandbox_cancel(s);
    return NULL;
}

static void test_cancel(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    pthread_t thread;
    json_t *result = NULL;
    struct err e = {0};
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
    assert_int_equal(
        sandbox_query(
            s,
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
            NULL, &result, &e),
        STAX_ECANCELLED);
    pthread_join(thread, NULL);
    assert_result(s, "SELECT 1", "[[1]]");
    sandbox_close(s);
}

static void test_names(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *names = sandbox_names(s);
    char *text = json_dumps(names, 0);
    assert_non_null(strstr(text, "\"sample\", \"sample.ts\", \"sample.utid\""));
    assert_non_null(strstr(text, "\"v_top.self_ms\""));
    free(text);
    json_decref(names);
    sandbox_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_answers),
        T(test_result_document),
        T(test_live_rows_are_seen),
        T(test_escapes),
        T(test_mistakes_are_explained),
        T(test_too_much),
        T(test_memory_is_bounded),
        T(test_limits_report_themselves),
        T(test_cancel),
        T(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
