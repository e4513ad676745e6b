/* test_both.c - SQL over two files at once: both are read, each is checked, none is changed. */
#include "schema/fixture.h"

#include "schema/archive.h"
#include "schema/sandbox.h"

/* A run that is being written, and an archive of it. */
static void make_both(struct fixture *f, char *archive, size_t n)
{
    make_run(f->run);
    snprintf(archive, n, "%s/a.stax", f->folder);
    assert_int_equal(archive_save(f->run, archive, NULL, NULL, NULL, NULL), 0);
}

static struct sandbox *open_both(const char *a, bool is_archive_a, const char *b, bool is_archive_b)
{
    struct sandbox *s = NULL;
    struct err e = {0};
    if (sandbox_open_both(&s, a, is_archive_a, b, is_archive_b, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    return s;
}

static void assert_result(struct sandbox *s, const char *sql, const char *expected_rows)
{
    json_t *result = NULL;
    struct err e = {0};
    sandbox_begin(s);
    int rc = sandbox_query(s, sql, NULL, &result, &e);
    sandbox_end(s);
    if (rc < 0) {
        fail_msg("%s: %s", sql, e.msg);
    }
    char *rows = json_dumps(json_object_get(result, "rows"), JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(rows, expected_rows);
    free(rows);
    json_decref(result);
}

static void assert_fails(struct sandbox *s, const char *sql, const char *part)
{
    json_t *result = NULL;
    struct err e = {0};
    int rc = sandbox_query(s, sql, NULL, &result, &e);
    if (rc != STAX_ESQL || result || !strstr(e.msg, part)) {
        fail_msg("%s: %d '%s' instead of '%s'", sql, rc, e.msg, part);
    }
}

static void test_both_are_read(void **state)
{
    struct fixture *f = *state;
    char archive[128];
    make_both(f, archive, sizeof(archive));
    struct sandbox *s = open_both(archive, true, f->run, false);
    assert_result(s, "SELECT a.run.id = b.run.id, a.run.stop_reason, b.run.state FROM a.run, b.run",
                  "[[1,\"saved_live\",\"recording\"]]");
    assert_result(s, "SELECT count(*) FROM a.v_top JOIN b.v_top AS other USING (name)", "[[4]]");
    assert_result(s, "SELECT (SELECT count(*) FROM a.loss), (SELECT count(*) FROM b.loss)",
                  "[[1,1]]");
    run_sql(f->run, "INSERT INTO loss VALUES (2, 1, 1, 'late', 1)"); /* goes on to be written */
    assert_result(s, "SELECT (SELECT count(*) FROM a.loss), (SELECT count(*) FROM b.loss)",
                  "[[1,2]]");
    assert_result(s, "SELECT count(*) FROM loss", "[[1]]"); /* without a prefix: a */
    sandbox_close(s);
}

static void test_one_file_may_be_both(void **state)
{
    struct fixture *f = *state;
    char archive[128];
    make_both(f, archive, sizeof(archive));
    struct sandbox *s = open_both(archive, true, archive, true);
    assert_result(s, "SELECT count(*) FROM a.sample JOIN b.sample USING (ts)", "[[10]]");
    sandbox_close(s);
}

static void test_nothing_else_is_reached_or_changed(void **state)
{
    static const char *const statements[] = {
        "ATTACH 'other.stax' AS c",   "ATTACH ':memory:' AS c",         "DETACH a",
        "DELETE FROM b.sample",       "UPDATE a.run SET id = 3",        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",    "PRAGMA a.journal_mode = DELETE", "PRAGMA b.user_version = 7",
        "SELECT load_extension('x')", "VACUUM a INTO 'copy'",
    };
    struct fixture *f = *state;
    char archive[128];
    make_both(f, archive, sizeof(archive));
    struct sandbox *s = open_both(f->run, false, archive, true);
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        assert_fails(s, statements[i], "not allowed here");
    }
    assert_fails(s, "SELECT * FROM c.run", "no such table: c.run");
    assert_fails(s, "SELECT * FROM b.smaple", "no such table: b.smaple");
    sandbox_close(s);
}

static void assert_refused(const char *a, const char *b, int code, const char *part)
{
    struct sandbox *s = NULL;
    struct err e = {0};
    int rc = sandbox_open_both(&s, a, true, b, true, &e);
    if (rc != code || s || !strstr(e.msg, part)) {
        fail_msg("%d '%s' instead of %d '%s'", rc, e.msg, code, part);
    }
}

static void test_hostile_files_are_refused_on_either_side(void **state)
{
    static const struct {
        const char *sql;
        int code;
        const char *part;
    } cases[] = {
        {"CREATE VIEW evil AS SELECT 1", STAX_ECORRUPT, "evil"},
        {"CREATE TRIGGER evil AFTER INSERT ON sample BEGIN DELETE FROM run; END", STAX_ECORRUPT,
         "trigger"},
        {"PRAGMA application_id = 7", STAX_ECORRUPT, "not a stax run"},
        {"PRAGMA user_version = 99", STAX_EVERSION, "newer stax"},
        {"DELETE FROM run", STAX_ECORRUPT, "holds no run"},
    };
    struct fixture *f = *state;
    char archive[128], evil[128];
    make_both(f, archive, sizeof(archive));
    snprintf(evil, sizeof(evil), "%s/evil.stax", f->folder);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unlink(evil);
        assert_int_equal(archive_save(f->run, evil, NULL, NULL, NULL, NULL), 0);
        run_sql(evil, cases[i].sql);
        assert_refused(archive, evil, cases[i].code, cases[i].part);
        assert_refused(evil, archive, cases[i].code, cases[i].part);
    }
    assert_refused(archive, f->folder, STAX_ECORRUPT, "not a regular file");
    assert_refused(archive, "/nowhere.stax", STAX_ENOTFOUND, "/nowhere.stax");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_both_are_read),
        T(test_one_file_may_be_both),
        T(test_nothing_else_is_reached_or_changed),
        T(test_hostile_files_are_refused_on_either_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
