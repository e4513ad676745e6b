/* test_run_file.c - files of a stopped run: found by build id; nobody waits for those that hang. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ingest/file_reader.h"
#include "ingest/run_file.h"

static const int64_t SECOND = 1000000000;

struct hanging {
    struct aside_job job;
    int fd;
};

static void hang(struct aside_job *job)
{
    char byte;
    (void)!read(((struct hanging *)job)->fd, &byte, 1);
}

static void free_hanging(struct aside_job *job)
{
    close(((struct hanging *)job)->fd);
    free(job);
}

static void open_own(struct aside *aside, int *fd, char **note)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = '\0';
    int exe = open(path, O_RDONLY | O_CLOEXEC);
    struct names *names = NULL;
    assert_int_equal(names_open_elf(&names, exe, NULL), 0);
    close(exe);
    char *build_id = strdup(names_build_id(names));
    names_close(names);
    names = NULL;
    enum names_source source = NAMES_NONE;
    const struct run_file file = {.path = path, .build_id = build_id, .aside = aside};
    *fd = run_file_open(&file, &names, &source, note);
    assert_int_equal(*fd >= 0, names != NULL);
    assert_int_equal(*fd >= 0, source > NAMES_NONE);
    names_close(names);
    free(build_id);
}

static void files_that_hang_count_as_missing(void **state)
{
    (void)state;
    int pipes[2], fd;
    char *note;
    struct aside *aside = aside_new("test");
    assert_int_equal(pipe(pipes), 0);
    open_own(aside, &fd, &note);
    assert_true(fd >= 0);
    assert_null(note);
    fd_close(&fd);
    for (unsigned i = 0; i < ASIDE_THREADS_MAX; i++) { /* all that would read it */
        struct hanging *h = calloc(1, sizeof(*h));
        *h = (struct hanging){{.run = hang, .free = free_hanging, .key = i}, dup(pipes[0])};
        assert_int_equal(aside_do(aside, &h->job, 1, false), ASIDE_REFUSED);
    }
    int64_t began = clock_monotonic_ns();
    open_own(aside, &fd, &note);
    assert_int_equal(fd, -1);
    assert_string_equal(note, file_reader_hangs);
    free(note);
    aside_free(aside);
    assert_true(clock_monotonic_ns() - began < 5 * SECOND);
    close(pipes[0]);
    close(pipes[1]); /* they come back, and end */
    usleep(100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_that_hang_count_as_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
