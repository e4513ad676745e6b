/* Work that hangs is waited for a moment, and nothing else waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "base/aside.h"
#include "base/fd.h"
#include "base/mem.h"

static const int64_t MS = 1000000, PATIENCE_NS = 20000000;

static atomic_int n_jobs; /* that are not freed */

/* Reads a byte: hangs as long as there is none. */
struct reading {
    struct aside_job job;
    int fd, n_read;
};

static void run(struct aside_job *job)
{
    struct reading *r = (struct reading *)job;
    char byte;
    r->n_read = r->fd < 0 ? -1 : (int)read(r->fd, &byte, 1);
}

static void free_reading(struct aside_job *job)
{
    n_jobs--;
    free(job);
}

static struct aside_job *reading_new(int fd, uint64_t key)
{
    struct reading *r = mem_new(1, sizeof(*r));
    *r = (struct reading){{.run = run, .free = free_reading, .key = key}, fd, 0};
    n_jobs++;
    return &r->job;
}

static enum aside_answer ask(struct aside *a, int fd, uint64_t key)
{
    struct aside_job *job = reading_new(fd, key);
    enum aside_answer answer = aside_do(a, job, PATIENCE_NS, true);
    if (answer == ASIDE_ANSWERED) {
        assert_int_equal(((struct reading *)job)->n_read, -1);
        free_reading(job);
    }
    return answer;
}

static struct aside_job *take(struct aside *a)
{
    struct aside_job *job = NULL;
    for (int i = 0; i < 500 && !job; i++) {
        job = aside_take(a);
        usleep(job ? 0 : 2000);
    }
    return job;
}

static void wait_for_frees(void)
{
    for (int i = 0; i < 500 && n_jobs; i++) {
        usleep(2000);
    }
    assert_int_equal(n_jobs, 0);
}

/* One that hangs comes back when it answers; its like waits for it without being waited for, and
 * others are done meanwhile. */
static void late_jobs_come_back(void **state)
{
    (void)state;
    struct aside *a = aside_new("test");
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(ask(a, -1, 1), ASIDE_ANSWERED);
    int64_t began = clock_monotonic_ns();
    assert_int_equal(ask(a, pipes[0], 1), ASIDE_LATE);
    assert_true(clock_monotonic_ns() - began < 2000 * MS);
    assert_int_equal(ask(a, -1, 2), ASIDE_ANSWERED);
    began = clock_monotonic_ns();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(a, -1, 1), ASIDE_LATE);
    }
    assert_true(clock_monotonic_ns() - began < 100 * PATIENCE_NS / 4);
    assert_null(aside_take(a));
    assert_int_equal(aside_n_late(a), 101);
    assert_int_equal(aside_n_left(a), 101);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    for (int i = 0; i < 101; i++) { /* in the order in which they were asked */
        struct aside_job *job = take(a);
        assert_non_null(job);
        assert_int_equal(((struct reading *)job)->n_read, i == 0 ? 1 : -1);
        job->free(job);
    }
    assert_int_equal(aside_n_late(a), 0);
    assert_int_equal(ask(a, -1, 1), ASIDE_ANSWERED);
    aside_free(a);
    assert_int_equal(n_jobs, 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* However many hang, threads are few, and the end waits for none of them. */
static void threads_are_few(void **state)
{
    (void)state;
    struct aside *a = aside_new("test");
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    for (uint64_t i = 0; i < ASIDE_THREADS_MAX; i++) {
        assert_int_equal(ask(a, pipes[0], i), ASIDE_LATE);
    }
    int64_t began = clock_monotonic_ns();
    assert_int_equal(ask(a, -1, 100), ASIDE_LATE); /* nobody is left to do it */
    aside_free(a);
    assert_true(clock_monotonic_ns() - began < 100 * MS);
    assert_true(n_jobs >= ASIDE_THREADS_MAX);
    close(pipes[1]); /* those left behind come back, and free what they hold */
    wait_for_frees();
    close(pipes[0]);
}

/* What nobody wants late is gone, begun or not. */
static void unwanted_jobs_are_dropped(void **state)
{
    (void)state;
    struct aside *a = aside_new("test");
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(aside_do(a, reading_new(pipes[0], 1), PATIENCE_NS, false), ASIDE_REFUSED);
    assert_int_equal(aside_do(a, reading_new(-1, 1), PATIENCE_NS, false), ASIDE_REFUSED);
    assert_int_equal(n_jobs, 1);
    assert_int_equal(aside_n_late(a), 0);
    close(pipes[1]);
    wait_for_frees();
    assert_null(aside_take(a));
    assert_int_equal(ask(a, -1, 1), ASIDE_ANSWERED);
    aside_free(a);
    close(pipes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_jobs_come_back),
        cmocka_unit_test(threads_are_few),
        cmocka_unit_test(unwanted_jobs_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
