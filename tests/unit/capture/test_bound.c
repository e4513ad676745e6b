/* How many events may be taken: a burst, the long run, and all of them when they are few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/bound.h"

static const int64_t MS = 1000000, START = INT64_C(5000000000);
enum { STEP_MS = 40, MANY_HZ = 2000, AT_ONCE = 800, FEW_HZ = 8000 };

/* Events come at a rate for so long; those that come while they are on are taken. */
static uint64_t taken(struct bound *b, int64_t *now, uint64_t hz, int ms)
{
    uint64_t n_taken = 0, n = hz * STEP_MS / 1000;
    for (int at = 0; at < ms; at += STEP_MS) {
        *now += STEP_MS * MS;
        b->n_offered += n;
        if (!b->is_off) {
            bound_take(b, n);
            n_taken += n;
        }
        bound_adapt(b, *now);
        bound_keep(b, *now);
    }
    return n_taken;
}

static void test_few_are_all_taken(void **state)
{
    (void)state;
    int64_t now = START;
    struct bound b = bound_of(MANY_HZ, AT_ONCE, FEW_HZ, now);
    assert_int_equal(taken(&b, &now, 5000, 4000), 5000 * 4);
    assert_false(b.is_off);
}

static void test_many_are_sampled(void **state)
{
    (void)state;
    int64_t now = START;
    struct bound b = bound_of(MANY_HZ, AT_ONCE, FEW_HZ, now);
    uint64_t n = taken(&b, &now, 20000, 4000);
    assert_in_range(n, MANY_HZ * 3, MANY_HZ * 4 + 2 * AT_ONCE);
}

/* The larger rate holds only while that is all of them. */
static void test_more_and_fewer(void **state)
{
    (void)state;
    int64_t now = START;
    struct bound b = bound_of(MANY_HZ, AT_ONCE, FEW_HZ, now);
    (void)taken(&b, &now, 5000, 1000);
    assert_int_equal(b.hz, FEW_HZ);
    (void)taken(&b, &now, 1000000, 400);
    assert_int_equal(b.hz, MANY_HZ);
    assert_true(b.is_off);
    (void)taken(&b, &now, 5000, 30000); /* what the storm took is paid back */
    assert_int_equal(taken(&b, &now, 5000, 1000), 5000);
}

static void test_one_rate(void **state)
{
    (void)state;
    int64_t now = START;
    struct bound b = bound_of(MANY_HZ, AT_ONCE, 0, now);
    uint64_t n = taken(&b, &now, 5000, 4000);
    assert_in_range(n, MANY_HZ * 3, MANY_HZ * 4 + 2 * AT_ONCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_are_all_taken),
        cmocka_unit_test(test_many_are_sampled),
        cmocka_unit_test(test_more_and_fewer),
        cmocka_unit_test(test_one_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
