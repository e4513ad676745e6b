/* test_estimate.c - intervals against numbers worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "query/estimate.h"

#define MS 1e6

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.12g is not %.12g", value, expected);
    }
}

static const struct sampling one_second = {.elapsed_ns = 1e9, .mean_ns = MS};
static const struct sampling two_seconds = {.elapsed_ns = 2e9, .mean_ns = MS};

/* 100 samples of 1 ms in A, 144 in B: deviations of 10 and 12 ms, sqrt(244) of the difference. */
static void a_difference_has_the_deviations_of_both(void **state)
{
    struct change c = change_of(&one_second, (struct amount){100 * MS, 100}, 400 * MS, &one_second,
                                (struct amount){144 * MS, 144}, 400 * MS);

    (void)state;
    assert_near(c.by[BY_TIME].delta, 44 * MS, 1);
    assert_near(c.by[BY_TIME].deviation, sqrt(244) * MS, 1);
    assert_near(value_change_pct(&c.by[BY_TIME]), 44, 1e-9);
    assert_true(change_is_significant(&c, BY_TIME, 2.8));
    assert_false(change_is_significant(&c, BY_TIME, 2.9)); /* 2.9 * 15.62 = 45.3 */
    assert_near(change_beyond(&c, BY_TIME, 2), (44 - 2 * sqrt(244)) * MS, 1);
}

static void a_rate_is_per_second_of_each_run(void **state)
{
    struct change c = change_of(&one_second, (struct amount){100 * MS, 100}, 100 * MS, &two_seconds,
                                (struct amount){144 * MS, 144}, 144 * MS);

    (void)state;
    assert_near(c.by[BY_RATE].a, 100 * MS, 1);
    assert_near(c.by[BY_RATE].b, 72 * MS, 1);
    assert_near(c.by[BY_RATE].delta, -28 * MS, 1);
    assert_near(c.by[BY_RATE].deviation, sqrt(100 + 36) * MS, 1);
}

/* 25 of 100 and 50 of 100 samples: 100 sqrt(p (1 - p) / n) = 4.33 and 5 points. */
static void a_share_is_binomial(void **state)
{
    struct change c = change_of(&one_second, (struct amount){25 * MS, 25}, 100 * MS, &one_second,
                                (struct amount){50 * MS, 50}, 100 * MS);

    (void)state;
    assert_near(c.by[BY_SHARE].a, 25, 1e-9);
    assert_near(c.by[BY_SHARE].delta, 25, 1e-9);
    assert_near(c.by[BY_SHARE].deviation, sqrt(18.75 + 25), 1e-9);
}

/* All of a run: its share cannot be anything else. */
static void a_share_of_everything_is_certain(void **state)
{
    struct change c = change_of(&one_second, (struct amount){100 * MS, 100}, 100 * MS, &one_second,
                                (struct amount){90 * MS, 90}, 90 * MS);

    (void)state;
    assert_near(c.by[BY_SHARE].deviation, 0, 1e-9);
    assert_false(change_is_significant(&c, BY_SHARE, 2));
}

/* Weights of which half are 0 and half are 2 have the variation 1, and twice the variance. */
static void weights_that_vary_widen_the_interval(void **state)
{
    struct sampling varied = one_second;
    varied.variation = 1;
    struct change c = change_of(&varied, (struct amount){100 * MS, 100}, 400 * MS, &varied,
                                (struct amount){144 * MS, 144}, 400 * MS);

    (void)state;
    assert_near(c.by[BY_TIME].deviation, sqrt(488) * MS, 1);
}

/* No sample counts as one of the run's mean weight. */
static void a_new_function_is_compared_with_next_to_nothing(void **state)
{
    struct change c = change_of(&one_second, (struct amount){0, 0}, 400 * MS, &one_second,
                                (struct amount){30 * MS, 30}, 400 * MS);

    (void)state;
    assert_near(c.by[BY_TIME].deviation, sqrt(31) * MS, 1);
    assert_true(change_is_significant(&c, BY_TIME, 4));
    assert_true(isinf(value_change_pct(&c.by[BY_TIME])));
}

static void few_samples_say_nothing(void **state)
{
    struct change few = change_of(&one_second, (struct amount){0, 0}, 400 * MS, &one_second,
                                  (struct amount){9 * MS, 9}, 400 * MS);
    struct change enough = change_of(&one_second, (struct amount){0, 0}, 400 * MS, &one_second,
                                     (struct amount){10 * MS, 10}, 400 * MS);

    (void)state;
    assert_false(change_is_enough(&few));
    assert_false(change_is_significant(&few, BY_TIME, 1));
    assert_true(change_is_enough(&enough));
    assert_true(change_is_significant(&enough, BY_TIME, 3));
    assert_false(change_is_significant(&enough, BY_TIME, 3.1)); /* 10 / sqrt(11) = 3.015 */
}

static void what_is_exact_has_no_interval(void **state)
{
    struct change c = change_of(&one_second, (struct amount){100 * MS, -1}, 400 * MS, &one_second,
                                (struct amount){101 * MS, -1}, 400 * MS);

    (void)state;
    assert_true(change_is_exact(&c));
    assert_true(change_is_enough(&c));
    assert_near(c.by[BY_TIME].deviation, 0, 1e-9);
    assert_false(change_is_significant(&c, BY_TIME, 3)); /* one run each says nothing of others */
}

static void nothing_of_nothing_is_no_change(void **state)
{
    const struct sampling none = {0};
    struct change c = change_of(&none, (struct amount){0, 0}, 0, &none, (struct amount){0, 0}, 0);

    (void)state;
    for (int by = 0; by < N_BASES; by++) {
        assert_near(c.by[by].delta, 0, 1e-9);
        assert_near(c.by[by].deviation, 0, 1e-9);
        assert_near(value_change_pct(&c.by[by]), 0, 1e-9);
    }
}

/* Quantiles of the normal distribution from tables. */
static void z_is_that_of_the_tables(void **state)
{
    (void)state;
    assert_near(estimate_z(95, 1), 1.959964, 1e-6);
    assert_near(estimate_z(99, 1), 2.575829, 1e-6);
    assert_near(estimate_z(99, 10), 3.290527, 1e-6); /* 99.9 % each */
    assert_near(estimate_z(99, 0), estimate_z(99, 1), 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_has_the_deviations_of_both),
        cmocka_unit_test(a_rate_is_per_second_of_each_run),
        cmocka_unit_test(a_share_is_binomial),
        cmocka_unit_test(a_share_of_everything_is_certain),
        cmocka_unit_test(weights_that_vary_widen_the_interval),
        cmocka_unit_test(a_new_function_is_compared_with_next_to_nothing),
        cmocka_unit_test(few_samples_say_nothing),
        cmocka_unit_test(what_is_exact_has_no_interval),
        cmocka_unit_test(nothing_of_nothing_is_no_change),
        cmocka_unit_test(z_is_that_of_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
