/* test_runs.c - the table of runs: numbers that stay unique, and what a folder holds beside runs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/runs.h"

/* An archive may be opened while a recording, whose number was taken before, is still being armed.
 */
static void test_numbers_are_unique(void **state)
{
    (void)state;
    struct runs runs = {.next_id = 1};
    int64_t armed = runs_take_id(&runs);
    int64_t archive = runs_take_id(&runs);
    assert_int_equal(runs_add(&runs, archive, "/tmp/a.stax", RUN_STOPPED)->id, 2);
    assert_int_equal(runs_add(&runs, armed, "/tmp/r.stax", RUN_ACTIVE)->id, 1);
    assert_string_equal(runs_find(&runs, archive)->path, "/tmp/a.stax");
    assert_string_equal(runs_find(&runs, armed)->path, "/tmp/r.stax");
    assert_int_equal(runs_newest(&runs)->id, archive);
    runs_remove(&runs, armed);
    assert_int_equal(runs_take_id(&runs), 3);
    runs_fini(&runs);
}

static void put(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void test_scan_removes_orphans(void **state)
{
    (void)state;
    char folder[] = "/tmp/stax-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    static const struct {
        const char *name;
        bool stays;
    } files[] = {
        {"run-7.stax", true},          {"run-7.stax-wal", true},
        {"run-7.stax-reserve", false}, {"run-8.stax-reserve", false},
        {"run-9.stax-wal", false},     {"run-9.stax-shm", false},
        {"run-07.stax-reserve", true}, {"token", true},
        {"run-7.stax-other", true},    {"run-7.stax-reserve2", true},
        {"symbolize-7.tmp", false},    {"symbolize-7.tmp-wal", false},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        put(fd, files[i].name);
    }
    struct runs runs = {0};
    runs_scan(&runs, folder, fd);
    assert_int_equal(runs.n, 1);
    assert_int_equal(runs.items[0].id, 7);
    assert_int_equal(runs_take_id(&runs), 8);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if ((faccessat(fd, files[i].name, F_OK, 0) == 0) != files[i].stays) {
            fail_msg("%s", files[i].name);
        }
        unlinkat(fd, files[i].name, 0);
    }
    runs_fini(&runs);
    close(fd);
    assert_int_equal(rmdir(folder), 0);
}

static void test_a_removed_run_leaves_nothing(void **state)
{
    (void)state;
    char folder[] = "/tmp/stax-test-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    put(fd, "run-1.stax");
    put(fd, "run-1.stax-wal");
    put(fd, "run-1.stax-reserve");
    snprintf(path, sizeof(path), "%s/run-1.stax", folder);
    char big[100] = "space";
    int reserve = openat(fd, "run-1.stax-reserve", O_WRONLY);
    assert_int_equal(write(reserve, big, sizeof(big)), sizeof(big));
    close(reserve);
    assert_int_equal(run_file_bytes(path), sizeof(big));
    run_unlink(path);
    close(fd);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_unique),
        cmocka_unit_test(test_scan_removes_orphans),
        cmocka_unit_test(test_a_removed_run_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
