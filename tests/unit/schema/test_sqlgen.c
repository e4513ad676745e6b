/* test_sqlgen.c - the build-time program, run as the build runs it: what it makes and what it
 * refuses. */
#include "schema/fixture.h"

#include <sys/wait.h>

/* sqlgen lies beside the tests. */
static void sqlgen_path(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 16);
    assert_true(n > 0);
    path[n] = '\0';
    memcpy(strrchr(path, '/') + 1, "sqlgen", sizeof("sqlgen"));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Runs sqlgen on in.sql; *said is its stderr, *made the header ("" if none). Returns its status. */
static int generate(struct fixture *f, const char *arguments, const char *sql, struct buf *made,
                    struct buf *said)
{
    char program[500];
    char path[200];
    char command[1500];
    sqlgen_path(program, sizeof(program));
    snprintf(path, sizeof(path), "%s/in.sql", f->folder);
    write_file(path, sql);
    snprintf(command, sizeof(command), "cd '%s' && rm -f out.h && '%s' %s 2> said", f->folder,
             program, arguments);
    int status = system(command);
    snprintf(path, sizeof(path), "%s/out.h", f->folder);
    fd_read_file(path, 1 << 20, made);
    snprintf(path, sizeof(path), "%s/said", f->folder);
    fd_read_file(path, 1 << 20, said);
    return WEXITSTATUS(status);
}

static void make_schema(struct fixture *f, const char *sql)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/schema.sql", f->folder);
    write_file(path, sql);
}

static void test_blocks(void **state)
{
    struct fixture *f = *state;
    struct buf made = {0};
    struct buf said = {0};
    make_schema(f, "CREATE TABLE t (a INTEGER, b TEXT);");
    int rc =
        generate(f, "--blocks in.sql out.h schema.sql",
                 "-- what this file is\n"
                 "--@ pick\n"
                 "-- Rows of t.\n"
                 "SELECT a, count(*) AS n, b AS \"odd name\"\nFROM t\nWHERE a = :a AND b = :b;\n"
                 "\n"
                 "--@ add\n"
                 "INSERT INTO t VALUES (:a, 'it''s\t\"x\" \\ ?')\n",
                 &made, &said);
    assert_string_equal(buf_str(&said), "");
    assert_int_equal(rc, 0);
    static const char *const parts[] = {
        "sql_pick __attribute__((unused)) = {\n    \"pick\",\n    \"SELECT a, count(*) AS n,",
        "enum { pick_p_a = 1, pick_p_b = 2 };",
        "enum { pick_c_a = 0, pick_c_n = 1, pick_c_odd_name = 2 };",
        "VALUES (:a, 'it''s\\011\\\"x\\\" \\\\ \\?')\"};", "enum { add_p_a = 1 };"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!strstr(buf_str(&made), parts[i])) {
            fail_msg("no '%s' in:\n%s", parts[i], buf_str(&made));
        }
    }
    assert_null(strstr(buf_str(&made), "add_c_"));
    buf_free(&made);
    buf_free(&said);
}

static void test_what_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        const char *said;
    } cases[] = {
        {"--@ a\nSELECT a\nFROM t\nWHERE nope = 1\n", "in.sql:4: error: a: no such column: nope"},
        {"--@ a\nSELECT \"typo\" FROM t\n", "no such column: typo"},
        {"--@ a\nSELECT 1 AS x;\nSELECT 2 AS x;\n", "in.sql:3: error: a: a block is exactly one"},
        {"--@ a\n-- only words\n", "error: a: the block has no statement"},
        {"--@ a\nSELECT a FROM t WHERE a = ?\n", "parameters are written :name"},
        {"--@ a\nSELECT a FROM t WHERE a = ?1\n", "parameters are written :name"},
        {"--@ a\nSELECT a, b AS a FROM t\n", "two result columns are called a"},
        {"--@ a\nSELECT a FROM t\n--@ a\nSELECT b FROM t\n", "in.sql:4: error: a: a second block"},
        {"SELECT a FROM t\n", "in.sql:1: error: text before the first block"},
        {"--@ Not a name\nSELECT 1\n", "in.sql:1: error: a block starts with"},
        {"--@ 9a\nSELECT 1\n", "in.sql:1: error: a block starts with"},
        {"--@ a\nSELEC a FROM t\n", "in.sql:2: error: a: near \"SELEC\""},
    };
    make_schema(f, "CREATE TABLE t (a INTEGER, b TEXT);");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf made = {0};
        struct buf said = {0};
        assert_int_equal(
            generate(f, "--blocks in.sql out.h schema.sql", cases[i].sql, &made, &said), 1);
        if (!strstr(buf_str(&said), cases[i].said)) {
            fail_msg("'%s' does not say '%s'", buf_str(&said), cases[i].said);
        }
        assert_int_equal(made.len, 0);
        buf_free(&made);
        buf_free(&said);
    }
}

static void test_broken_schema(void **state)
{
    struct fixture *f = *state;
    struct buf made = {0};
    struct buf said = {0};
    make_schema(f, "CREATE TABLE t (a INTEGER);\nCREATE VIEW v AS SELECT zzz FROM t;");
    assert_int_equal(
        generate(f, "--blocks in.sql out.h schema.sql", "--@ a\nSELECT 1 AS x\n", &made, &said), 1);
    assert_non_null(strstr(buf_str(&said), "v: no such column: zzz"));
    buf_free(&said);
    make_schema(f, "CREATE TABLE t (a INTEGER);\n\nCREATE TABEL u (a);");
    assert_int_equal(
        generate(f, "--blocks in.sql out.h schema.sql", "--@ a\nSELECT 1 AS x\n", &made, &said), 1);
    assert_non_null(strstr(buf_str(&said), "schema.sql:3: error: near \"TABEL\""));
    buf_free(&said);
    buf_free(&made);
}

static void test_temporary_tables(void **state)
{
    struct fixture *f = *state;
    struct buf made = {0};
    struct buf said = {0};
    make_schema(f, "CREATE TABLE t (a INTEGER);");
    assert_int_equal(generate(f, "--blocks in.sql out.h schema.sql",
                              "--@ make\nCREATE TEMP TABLE x (a INTEGER);\n"
                              "--@ use\nINSERT INTO x VALUES (:a);\n",
                              &made, &said),
                     0);
    assert_non_null(strstr(buf_str(&made), "use_p_a = 1"));
    buf_free(&made);
    buf_free(&said);
}

static void test_text(void **state)
{
    struct fixture *f = *state;
    struct buf made = {0};
    struct buf said = {0};
    char command[400];
    assert_int_equal(
        generate(f, "--text words in.sql out.h", "a \"b\" \\\n?? \xc3\xa9\n", &made, &said), 0);
    snprintf(command, sizeof(command), "%s/use.c", f->folder);
    write_file(command,
               "#include <stdio.h>\n#include \"out.h\"\n"
               "int main(void) { fputs(words, stdout); fputs(words_literal \"!\", stdout); }\n");
    snprintf(
        command, sizeof(command),
        "cd '%s' && cc -Wall -Werror use.c -o use && ./use > shown && cat in.sql in.sql > twice &&"
        " printf ! >> twice && cmp shown twice",
        f->folder);
    assert_int_equal(system(command), 0);
    buf_free(&made);
    buf_free(&said);
}

static void test_steps(void **state)
{
    struct fixture *f = *state;
    struct buf made = {0};
    struct buf said = {0};
    char path[200];
    snprintf(path, sizeof(path), "%s/0002_first.sql", f->folder);
    write_file(path, "PRAGMA user_version = 2;\n");
    assert_int_equal(generate(f, "--steps steps out.h 0002_first.sql", "", &made, &said), 0);
    assert_non_null(strstr(buf_str(&made), "{2,\n    \"PRAGMA user_version = 2;\\n\"},"));
    assert_int_equal(
        generate(f, "--steps steps out.h 0002_first.sql 0002_first.sql", "", &made, &said), 1);
    assert_non_null(strstr(buf_str(&said), "should be number 0003"));
    buf_free(&made);
    buf_free(&said);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_blocks), T(test_what_is_refused), T(test_broken_schema), T(test_temporary_tables),
        T(test_text),   T(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
