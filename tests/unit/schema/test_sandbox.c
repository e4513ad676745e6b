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
    assert_result(s, "PRAGMA user_version", "[[6]]");
    assert_result(s, "SELECT name FROM pragma_table_info('counter')",
                  "[[\"slot\"],[\"name\"],[\"unit\"],[\"n_attributed\"],[\"n_counted\"],"
                  "[\"enabled_ns\"],[\"running_ns\"]]");
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
    assert_result(s, "SELECT coalesce(length(printf('%.*c', 99000000, 'x')), 0) < 1100000",
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

/* SQLite's own functions keep to no deadline: some of these took hours. */
static void test_slow_functions_are_bounded(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    assert_fails(s, "SELECT instr(hex(zeroblob(6000000)), hex(zeroblob(3000000)) || '1')",
                 STAX_ESQL, "too big");
    assert_result(s, "SELECT instr(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1')", "[[0]]");
    assert_result(
        s, "SELECT length(replace(hex(zeroblob(500000)), hex(zeroblob(250000)) || '1', 'x'))",
        "[[1000000]]");
    assert_fails(s, "SELECT replace(hex(zeroblob(500000)), '0', '12')", STAX_ESQL, "too big");
    assert_fails(s, "SELECT trim(hex(zeroblob(500000)), hex(randomblob(500000)))", STAX_ESQL,
                 "at most 100");
    assert_fails(s, "SELECT hex(zeroblob(500000)) LIKE '%' || hex(zeroblob(400)) || '1'", STAX_ESQL,
                 "too long");
    assert_fails(s, "SELECT hex(zeroblob(500000)) GLOB '*' || hex(zeroblob(400)) || '1'", STAX_ESQL,
                 "too long");
    assert_fails(s, "SELECT 'a' LIKE hex(zeroblob(1000))", STAX_ESQL, "too complex");
    assert_fails(s, "SELECT json_patch('{}', '{}')", STAX_ESQL, "not allowed");
    char *many =
        repeat("SELECT 1", ", instr(hex(randomblob(500000)), hex(randomblob(250000)))", 900, "");
    assert_fails(s, many, STAX_ETIMEOUT, "longer");
    free(many);
    sandbox_close(s);
}

static void test_replaced_functions_are_the_same(void **state)
{
    static const char *const expressions[] = {"instr('h\u00e4user', 'user')",
                                              "instr('abc', '')",
                                              "instr('abc', 'd')",
                                              "instr('', 'd')",
                                              "instr(x'010203', x'03')",
                                              "instr(12345, 34)",
                                              "instr('\u00e4b', x'62')",
                                              "instr(NULL, 'a')",
                                              "instr('a', NULL)",
                                              "replace('a;b;c', ';', '::')",
                                              "replace('abc', '', 'x')",
                                              "replace('aaa', 'aa', 'b')",
                                              "replace(121, 1, NULL)",
                                              "replace(121, 1, 3)",
                                              "trim('  a  ', ' ')",
                                              "trim('xyaxy', 'yx')",
                                              "ltrim('xxaxx', 'x')",
                                              "rtrim('xxaxx', 'x')",
                                              "trim('\u00e4\u00f6a\u00f6', '\u00f6\u00e4')",
                                              "trim('aaa', 'a')",
                                              "trim('abc', '')",
                                              "trim(NULL, 'a')",
                                              "'Memcpy' LIKE 'mem%'",
                                              "'memcpy' LIKE 'm_m'",
                                              "'a%b' LIKE 'a\\%b' ESCAPE '\\'",
                                              "'axb' LIKE 'a\\%b' ESCAPE '\\'",
                                              "'a%b' LIKE 'a\u00f6%b' ESCAPE '\u00f6'",
                                              "NULL LIKE 'a'",
                                              "'a' LIKE NULL",
                                              "12 LIKE '1%'",
                                              "'memcpy' GLOB 'mem*'",
                                              "'Memcpy' GLOB 'mem*'",
                                              "'a1' GLOB 'a[0-9]'",
                                              "'' GLOB ''",
                                              "'a' NOT LIKE 'b'",
                                              "glob('*b', 'ab')",
                                              "like('a%', 'ab')"};
    struct sandbox *s = open_sandbox(*state);
    sqlite3 *plain = NULL;
    assert_int_equal(sqlite3_open(":memory:", &plain), SQLITE_OK);
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
        char sql[300];
        sqlite3_stmt *stmt = NULL;
        snprintf(sql, sizeof(sql), "SELECT quote(%s)", expressions[i]);
        assert_int_equal(sqlite3_prepare_v2(plain, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        json_t *rows = json_pack("[[s]]", (const char *)sqlite3_column_text(stmt, 0));
        char *expected = json_dumps(rows, JSON_COMPACT);
        assert_result(s, sql, expected);
        free(expected);
        json_decref(rows);
        sqlite3_finalize(stmt);
    }
    sqlite3_close(plain);
    assert_result(s, "SELECT count(*) > 0 FROM v_folded", "[[1]]"); /* our views may use them */
    sandbox_close(s);
}

/* Doubles the work n times: tables of WITH are copied for each use while a statement is prepared,
 * and so are the columns of subqueries. */
static char *bomb(const char *piece, int n)
{
    struct buf sql = {0};
    buf_addstr(&sql, "WITH a0 AS (SELECT n_samples AS x FROM run)");
    for (int i = 1; i <= n; i++) {
        for (const char *c = piece; *c; c++) {
            if (*c == '@' || *c == '^') {
                buf_addf(&sql, "a%d", *c == '^' ? i : i - 1);
            } else {
                buf_addch(&sql, *c);
            }
        }
    }
    buf_addf(&sql, " SELECT x FROM a%d LIMIT 1", n);
    return buf_take(&sql);
}

static void test_preparing_is_bounded(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    static const char *const pieces[] = {
        ", ^ AS (SELECT * FROM @ UNION ALL SELECT * FROM @)",
        ", ^ AS (SELECT (SELECT x FROM @) + (SELECT x FROM @) AS x)",
        ", ^ AS (SELECT x + x AS x FROM @)",
    };
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct err e = {0};
        json_t *result = NULL;
        struct sandbox_limits limits = sandbox_default_limits;
        limits.timeout_ms = 300;
        char *sql = bomb(pieces[i], 40);
        int rc = sandbox_query(s, sql, &limits, &result, &e);
        if (rc != STAX_ETIMEOUT && rc != STAX_ELIMIT && rc != STAX_ESQL) {
            fail_msg("%s: %d %s", sql, rc, e.msg);
        }
        free(sql);
        assert_result(s, "SELECT 1", "[[1]]");
    }
    sandbox_close(s);
}

/* Many large values at once, without a step at which SQLite would look at its limits. */
static void test_values_of_one_step_are_bounded(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    struct err e = {0};
    struct sandbox_limits limits = sandbox_default_limits;
    limits.timeout_ms = 60000;
    struct buf sql = {0};
    for (int i = 0; i < 900; i++) {
        buf_addf(&sql, "%s length(hex(zeroblob(%d)))", i ? "," : "SELECT", 500000 + i);
    }
    assert_int_equal(sandbox_query(s, buf_str(&sql), &limits, &result, &e), STAX_ELIMIT);
    assert_non_null(strstr(e.msg, "memory"));
    buf_free(&sql);
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

static void test_small_values_are_charged_what_they_take(void **state)
{
    struct sandbox *s = open_sandbox(*state);
    json_t *result = NULL;
    const struct sandbox_limits limits = {100000000, 1LL << 40, 60000};
    assert_int_equal(
        sandbox_query(
            s,
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', i FROM n",
            &limits, &result, NULL),
        0);
    assert_string_equal(json_text_at(result, "limit", ""), "bytes");
    assert_true(json_array_size(json_object_get(result, "rows")) <
                SANDBOX_MAX_BYTES / (16 * 64)); /* jansson takes more than that for a row */
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
        T(test_slow_functions_are_bounded),
        T(test_replaced_functions_are_the_same),
        T(test_preparing_is_bounded),
        T(test_values_of_one_step_are_bounded),
        T(test_memory_is_bounded),
        T(test_limits_report_themselves),
        T(test_small_values_are_charged_what_they_take),
        T(test_cancel),
        T(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
