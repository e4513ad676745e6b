/*
 * test_thread_counters.c - from running totals per CPU to what a sample counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/thread_counters.h"

enum { N = 2, MS = 1000000 };

/* A sample's group on a CPU: times in ms, the clock, then two counters; n_words 2: with losses. */
static bool take(struct thread_counters *t, uint32_t cpu, uint64_t enabled_ms, uint64_t running_ms,
                 uint64_t a, uint64_t b, uint64_t deltas[EVENT_COUNTERS_MAX])
{
    const uint64_t values[] = {running_ms * MS, 7, a, 8, b, 9};
    const struct record_counters r = {.enabled_ns = enabled_ms * MS,
                                      .running_ns = running_ms * MS,
                                      .n = N + 1,
                                      .values = values,
                                      .n_words = 2};
    return thread_counters_take(t, cpu, &r, N, deltas);
}

#define assert_gain(t, cpu, enabled, running, a, b, gain_a, gain_b)                                \
    do {                                                                                           \
        uint64_t deltas_[EVENT_COUNTERS_MAX];                                                      \
        assert_true(take(t, cpu, enabled, running, a, b, deltas_));                                \
        assert_int_equal(deltas_[0], gain_a);                                                      \
        assert_int_equal(deltas_[1], gain_b);                                                      \
        assert_int_equal(deltas_[2], 0);                                                           \
    } while (0)

static void totals_become_deltas(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    assert_gain(&t, 0, 1, 1, 100, 5, 100, 5);
    assert_gain(&t, 0, 2, 2, 150, 5, 50, 0);
    assert_gain(&t, 0, 3, 3, 150, 6, 0, 1);
    thread_counters_free(&t);
}

/* Each CPU has totals of its own; enabled time goes on everywhere and says nothing. */
static void a_thread_that_migrates(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    thread_counters_run(&t, 0);
    assert_gain(&t, 0, 1, 1, 100, 10, 100, 10);
    thread_counters_run(&t, 1);
    assert_gain(&t, 1, 2, 1, 40, 4, 40, 4);
    thread_counters_run(&t, 0);
    /* What it counted on CPU 0 before it left (20) comes now. */
    assert_gain(&t, 0, 4, 2, 150, 15, 50, 5);
    thread_counters_run(&t, 1);
    thread_counters_run(&t, 0);
    assert_gain(&t, 0, 9, 3, 160, 16, 10, 1);
    assert_int_equal(t.n_cpus, 2);
    thread_counters_free(&t);
}

/* The CPU counted a half, then a quarter of the time. */
static void counted_in_turns(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    thread_counters_run(&t, 3);
    assert_gain(&t, 3, 10, 10, 1000, 0, 1000, 0);
    assert_gain(&t, 3, 20, 15, 1500, 8, 1000, 16);
    assert_gain(&t, 3, 40, 20, 2000, 8, 2000, 0);
    /* Not at all: there is nothing to scale. */
    assert_gain(&t, 3, 50, 20, 2000, 8, 0, 0);
    /* Elsewhere in between: how much of the time it was here is not known. */
    thread_counters_run(&t, 1);
    thread_counters_run(&t, 3);
    assert_gain(&t, 3, 70, 30, 2600, 8, 600, 0);
    /* From there on it is known again. */
    assert_gain(&t, 3, 90, 40, 3600, 8, 2000, 0);
    thread_counters_free(&t);
}

static void a_tid_that_was_reused(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    assert_gain(&t, 0, 50, 50, 100000, 900, 100000, 900);
    assert_gain(&t, 0, 2, 2, 70, 901, 70, 1);
    thread_counters_free(&t);
}

static void samples_that_hold_something_else(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    uint64_t deltas[EVENT_COUNTERS_MAX] = {1, 2, 3, 4};
    const uint64_t values[] = {1, 2};
    struct record_counters r = {.n = 2, .values = values, .n_words = 1};
    assert_false(thread_counters_take(&t, 0, &r, 2, deltas)); /* one is missing */
    assert_int_equal(deltas[0] | deltas[1] | deltas[2] | deltas[3], 0);
    r.n = 0;
    assert_false(thread_counters_take(&t, 0, &r, 1, deltas));
    r.n = 2;
    assert_false(thread_counters_take(&t, UINT32_MAX, &r, 1, deltas));
    r.n = 8;
    assert_false(thread_counters_take(&t, 0, &r, 7, deltas));
    thread_counters_free(&t);
}

/* No total that the kernel could write becomes a sum that a signed column cannot hold. */
static void absurd_totals_are_bounded(void **state)
{
    (void)state;
    struct thread_counters t = {0};
    assert_gain(&t, 0, 1, 1, UINT64_MAX, 0, UINT64_C(1) << 53, 0);
    assert_int_equal(thread_counters_scale(UINT64_C(1) << 50, UINT64_MAX, 1), UINT64_C(1) << 53);
    assert_int_equal(thread_counters_scale(1000, 100, 0), 1000);
    assert_int_equal(thread_counters_scale(1000, 1009, 1000), 1000);
    assert_int_equal(thread_counters_scale(1000, 3000, 1000), 3000);
    thread_counters_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_become_deltas),
        cmocka_unit_test(a_thread_that_migrates),
        cmocka_unit_test(counted_in_turns),
        cmocka_unit_test(a_tid_that_was_reused),
        cmocka_unit_test(samples_that_hold_something_else),
        cmocka_unit_test(absurd_totals_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
