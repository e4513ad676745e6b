/* Records of several CPUs come out by time, once nothing older can come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "capture/order.h"

static void add(struct order *o, int64_t ts, uint64_t tag)
{
    order_add(o, ts, &tag, sizeof(tag));
}

/* Checks that exactly the tags up to a 0 come out. */
static void check_due(struct order *o, const uint64_t *tags)
{
    int64_t ts, last = 0;
    size_t size;
    for (const void *record; (record = order_next(o, &ts, &size)); tags++) {
        assert_int_equal(size, sizeof(uint64_t));
        assert_int_equal(*(const uint64_t *)record, *tags);
        assert_true(ts >= last);
        last = ts;
    }
    assert_int_equal(*tags, 0);
}

static void test_two_cpus(void **state)
{
    (void)state;
    struct order o = {0};
    add(&o, 10, 1);
    add(&o, 30, 3);
    add(&o, 50, 5);
    add(&o, 20, 2);
    add(&o, 40, 4);
    order_release(&o, 40);
    check_due(&o, (const uint64_t[]){1, 2, 3, 0});
    add(&o, 45, 45);
    order_release(&o, INT64_MAX);
    check_due(&o, (const uint64_t[]){4, 45, 5, 0});
    assert_int_equal(o.n_late, 0);
    order_free(&o);
}

static void test_equal_times_keep_arrival(void **state)
{
    (void)state;
    struct order o = {0};
    for (uint64_t i = 1; i <= 5; i++) {
        add(&o, 7, i);
    }
    order_release(&o, 8);
    check_due(&o, (const uint64_t[]){1, 2, 3, 4, 5, 0});
    order_free(&o);
}

static void test_equal_times_of_two_cpus(void **state)
{
    (void)state;
    struct order o = {0};
    add(&o, 10, 1);
    add(&o, 20, 2);
    add(&o, 10, 3);
    add(&o, 20, 4);
    order_release(&o, 15);
    check_due(&o, (const uint64_t[]){1, 3, 0});
    add(&o, 20, 5); /* beside what was kept, and what comes before that */
    add(&o, 16, 6);
    add(&o, 20, 7);
    order_release(&o, INT64_MAX);
    check_due(&o, (const uint64_t[]){6, 2, 4, 5, 7, 0});
    order_free(&o);
}

/* A clock that goes backwards, or a record written late: released at the time reached, counted. */
static void test_late(void **state)
{
    (void)state;
    struct order o = {0};
    int64_t ts;
    size_t size;
    add(&o, 100, 1);
    order_release(&o, 101);
    check_due(&o, (const uint64_t[]){1, 0});
    add(&o, 50, 2);
    add(&o, 102, 3);
    order_release(&o, 200);
    assert_int_equal(*(const uint64_t *)order_next(&o, &ts, &size), 2);
    assert_int_equal(ts, 101);
    check_due(&o, (const uint64_t[]){3, 0});
    assert_int_equal(o.n_late, 1);
    order_free(&o);
}

static void test_empty(void **state)
{
    (void)state;
    struct order o = {0};
    order_release(&o, 5);
    check_due(&o, (const uint64_t[]){0});
    order_release(&o, 3); /* a limit that goes backwards frees nothing that was closed */
    add(&o, 4, 1);
    assert_int_equal(o.n_late, 1);
    order_free(&o);
}

/* Random arrival within a bounded delay: all come out, in order, none late. */
static void test_random(void **state)
{
    (void)state;
    enum { N = 20000, SLACK = 50 };
    struct order o = {0};
    unsigned seed = 1;
    int64_t ts, last = 0;
    size_t size, n_out = 0;
    for (int64_t now = SLACK; now < N + SLACK; now++) {
        add(&o, now - rand_r(&seed) % SLACK, (uint64_t)now);
        if (now % 97 == 0) {
            order_release(&o, now - SLACK);
            for (; order_next(&o, &ts, &size); n_out++) {
                assert_true(ts >= last && ts < now - SLACK);
                last = ts;
            }
            /* Half of the arena may be what was released. */
            assert_true(o.arena.len <= 2 * (97 + 2 * SLACK) * sizeof(uint64_t));
        }
    }
    order_release(&o, INT64_MAX);
    for (; order_next(&o, &ts, &size); n_out++) {
        assert_true(ts >= last);
        last = ts;
    }
    assert_int_equal(n_out, N);
    assert_int_equal(o.n_late, 0);
    order_free(&o);
}

/* What is handed back comes first again, before what came meanwhile, and is counted as kept. */
static void test_hand_back(void **state)
{
    (void)state;
    struct order o = {0};
    int64_t ts;
    size_t size;
    add(&o, 10, 1);
    add(&o, 11, 2);
    add(&o, 12, 3);
    order_release(&o, 100);
    assert_int_equal(*(const uint64_t *)order_next(&o, &ts, &size), 1);
    assert_int_equal(*(const uint64_t *)order_next(&o, &ts, &size), 2);
    order_hand_back(&o);
    assert_null(order_next(&o, &ts, &size));
    add(&o, 105, 5);
    add(&o, 104, 4);
    order_release(&o, 200);
    assert_int_equal(order_bytes(&o), 4 * sizeof(uint64_t));
    assert_int_equal(*(const uint64_t *)order_next(&o, &ts, &size), 2);
    assert_int_equal(ts, 11);
    check_due(&o, (const uint64_t[]){3, 4, 5, 0});
    order_release(&o, 300);
    assert_int_equal(order_bytes(&o), 0);
    assert_int_equal(o.n_late, 0);
    order_free(&o);
}

/* Records of any size, handed back at random: all come out once, in order. */
static void test_random_hand_back(void **state)
{
    (void)state;
    enum { N = 20000, WORDS = 40 };
    struct order o = {0};
    unsigned seed = 2;
    int64_t ts;
    size_t size, n_out = 0;
    for (uint64_t now = 1; now <= N; now++) {
        uint64_t record[WORDS] = {now};
        size_t n = 1 + (unsigned)rand_r(&seed) % WORDS;
        record[n - 1] = now;
        memcpy(order_room(&o, (int64_t)now, n * sizeof(*record)), record, n * sizeof(*record));
        if (now % 89 && now != N) {
            continue;
        }
        bool is_last = now == N;
        order_release(&o, is_last ? INT64_MAX : (int64_t)now - 3);
        for (const uint64_t *r; (r = order_next(&o, &ts, &size));) {
            if (!is_last && rand_r(&seed) % 50 == 0) {
                order_hand_back(&o);
                break;
            }
            n_out++;
            assert_int_equal(r[0], n_out);
            assert_int_equal(r[size / sizeof(*r) - 1], n_out);
            assert_int_equal(ts, n_out);
        }
    }
    assert_int_equal(n_out, N);
    order_free(&o);
}

/* Records that come while others are handed out: the next release puts them in their place. */
static void test_added_meanwhile(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct order o = {0};
    unsigned seed = 3;
    int64_t ts, last = 0, clock = 100;
    size_t size, n_in = 0, n_out = 0;
    while (n_out < N) {
        for (; n_in < N && rand_r(&seed) % 20; n_in++) {
            add(&o, ++clock - rand_r(&seed) % 50, n_in);
        }
        order_release(&o, n_in < N ? clock - 50 : INT64_MAX);
        while (order_next(&o, &ts, &size)) {
            n_out++;
            assert_true(ts >= last);
            last = ts;
            if (n_in < N && rand_r(&seed) % 3 == 0) {
                add(&o, ++clock - rand_r(&seed) % 50, n_in++);
            }
        }
    }
    assert_int_equal(n_in, N);
    assert_int_equal(o.n_late, 0);
    order_free(&o);
}

/* A backlog that cannot be released yet costs nothing each time that a little is added. */
static void test_long_backlog(void **state)
{
    (void)state;
    enum { N = 300000, N_RELEASES = 500 };
    struct order o = {0};
    int64_t ts;
    size_t size;
    for (int64_t i = 1; i <= N; i++) {
        add(&o, 1000 + i, (uint64_t)i);
    }
    clock_t start = clock();
    for (int64_t i = 1; i <= N_RELEASES; i++) {
        order_release(&o, 1002);
        assert_non_null(order_next(&o, &ts, &size));
        order_hand_back(&o);
        add(&o, 1000 + N + i, (uint64_t)(N + i));
    }
    assert_true(clock() - start <
                CLOCKS_PER_SEC); /* sorting it all each time takes ten times that */
    order_release(&o, INT64_MAX);
    for (uint64_t i = 1; i <= N + N_RELEASES; i++) {
        assert_int_equal(*(const uint64_t *)order_next(&o, &ts, &size), i);
    }
    assert_null(order_next(&o, &ts, &size));
    order_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_cpus),
        cmocka_unit_test(test_equal_times_keep_arrival),
        cmocka_unit_test(test_equal_times_of_two_cpus),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_hand_back),
        cmocka_unit_test(test_random_hand_back),
        cmocka_unit_test(test_added_meanwhile),
        cmocka_unit_test(test_long_backlog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
