/* test_code.c - code of functions from jitdumps, and from what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "fixture.h"
#include "schema/code.h"

enum { CODE_AT = 48 };

/* A file whose name of a function ends before CODE_AT. */
static void write_dump(const char *path, const char *magic, const char *name)
{
    char bytes[64] = {0};
    size_t n = strlen(name);

    memcpy(bytes, magic, 4);
    memcpy(bytes + CODE_AT - 1 - n, name, n);
    memcpy(bytes + CODE_AT, "0123456789abcdef", 16);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, sizeof(bytes), file), sizeof(bytes));
    assert_int_equal(fclose(file), 0);
}

static void make_dumped_run(const struct fixture *f, const char *name)
{
    char sql[512];

    unlink(f->run);
    make_run(f->run);
    snprintf(sql, sizeof(sql),
             "INSERT INTO binary VALUES (8, '%s/jit-1.dump', 'jit-1.dump', 'jit', NULL, 0, "
             "'jitdump', NULL, NULL);"
             "INSERT INTO symbol VALUES (80, 'function', '%s', NULL, 8, %d, 16, 'jitdump', '', "
             "NULL, 4096);"
             "INSERT INTO symbol_sum VALUES (80, 1, 1, 1, 1, 0, 0, 0, 0);",
             f->folder, name, CODE_AT);
    run_sql(f->run, sql);
}

static bool is_read(const struct fixture *f, bool without_dumps)
{
    struct db *db = NULL;
    struct code code;

    assert_int_equal(db_open(&db, f->run, DB_WRITE, NULL), 0);
    struct code_reader *r = code_reader_new(db, NULL, NULL);
    if (without_dumps) {
        code_reader_refuse_dumps(r);
    }
    int rc = code_read(r, 80, true, &code, NULL);
    assert_true(rc == 0 || rc == STAX_ENOTFOUND);
    assert_int_equal(code.bytes.len, rc == 0 ? 16 : 0);
    buf_free(&code.bytes);
    code_reader_free(r);
    db_close(db);
    return rc == 0;
}

static void only_jitdumps_are_read_as_such(void **state)
{
    const struct fixture *f = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/jit-1.dump", f->folder);
    make_dumped_run(f, "one");
    write_dump(path, "JiTD", "one");
    assert_true(is_read(f, false));
    assert_false(is_read(f, true)); /* an archive's */
    write_dump(path, "DTiJ", "one");
    assert_true(is_read(f, false));
    write_dump(path, "JiTX", "one"); /* any file */
    assert_false(is_read(f, false));
    write_dump(path, "JiTD", "two");
    assert_false(is_read(f, false));
    write_dump(path, "JiTD", "");
    make_dumped_run(f, ""); /* an empty name is wherever a NUL is */
    assert_false(is_read(f, false));
}

static void filling_of_archives_reads_no_dumps(void **state)
{
    const struct fixture *f = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/jit-1.dump", f->folder);
    make_dumped_run(f, "one");
    write_dump(path, "JiTD", "one");
    for (int is_local = 0; is_local < 2; is_local++) {
        struct db *db = NULL;
        struct code_fill fill = {.without_dumps = !is_local};
        assert_int_equal(db_open(&db, f->run, DB_WRITE, NULL), 0);
        assert_int_equal(code_fill(db, NULL, NULL, CODE_RUN_MAX, &fill, NULL), 0);
        assert_int_equal(fill.n_functions, is_local);
        db_close(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_jitdumps_are_read_as_such, fixture_make,
                                        fixture_remove),
        cmocka_unit_test_setup_teardown(filling_of_archives_reads_no_dumps, fixture_make,
                                        fixture_remove),
    };
    return cmocka_run_group_tests_name("code", tests, NULL, NULL);
}
