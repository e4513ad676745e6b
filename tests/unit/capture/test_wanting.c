/* Whom /proc is asked about: the longest wait first, within the time there is, nobody for ever left
 * out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "capture/target.h"
#include "capture/wanting.h"

static const int64_t MS = 1000000, NOW = INT64_C(9000000000);

/* A thread that has waited for so long. */
static struct target_thread *waits_for(struct target_thread *t, int64_t ns)
{
    t->waits.ledger.state = EVENT_STATE_BLOCKED;
    t->waits.ledger.since_ts = NOW - ns;
    return t;
}

/* ... and of which something is known, so that it is let be while its wait is short. */
static struct target_thread *known(struct target_thread *t)
{
    t->waits.last.is_known = true;
    t->waits.seen_ts = NOW - 100 * MS;
    return t;
}

static void test_longest_first(void **state)
{
    (void)state;
    static struct target_thread t[5];
    struct wanting w = {0};
    wanting_add(&w, waits_for(&t[0], 20 * MS));
    wanting_add(&w, waits_for(&t[1], 500 * MS));
    wanting_add(&w, known(waits_for(&t[2], 3 * MS)));
    wanting_add(&w, waits_for(&t[3], 60 * MS));
    wanting_add(&w, &t[4]); /* runs: its wait is over */
    t[4].waits.ledger.state = EVENT_STATE_RUNNING;
    wanting_add(&w, &t[1]); /* is there */
    assert_int_equal(wanting_gather(&w, NOW), 3);
    assert_ptr_equal(w.due.items[0], &t[1]);
    assert_ptr_equal(w.due.items[1], &t[3]);
    assert_ptr_equal(w.due.items[2], &t[0]);
    assert_int_equal(t[4].waits.wanting_at, 0);
    wanting_remove(&w, &t[1]);
    wanting_remove(&w, &t[1]);
    t[2].waits.ledger.since_ts = NOW - 40 * MS; /* now it is old enough */
    assert_int_equal(wanting_gather(&w, NOW), 3);
    assert_ptr_equal(w.due.items[0], &t[3]);
    assert_ptr_equal(w.due.items[1], &t[2]);
    wanting_free(&w);
}

/* A quarter of the time in the long run, however long single answers take. */
static void test_time(void **state)
{
    (void)state;
    struct wanting w = {0};
    int64_t now = NOW, spent_ns = 0;
    for (int i = 0; i < 1000; i++) {
        now += 12 * MS;
        wanting_gather(&w, now);
        while (wanting_has_time(&w)) {
            int64_t ns = i % 50 ? MS / 20 : 35 * MS; /* one that hangs */
            now += ns;
            spent_ns += ns;
            wanting_spend(&w, ns);
        }
    }
    assert_in_range(spent_ns, (now - NOW) / 6, (now - NOW) / 4);
    wanting_free(&w);
}

/* More threads than are considered at once, the first ones of which always wait for a short time:
 * the last one's turn comes. */
static void test_crowd(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct target_thread *t = mem_new(N, sizeof(*t));
    struct wanting w = {0};
    for (int i = 0; i < N - 1; i++) {
        wanting_add(&w, known(waits_for(&t[i], MS)));
    }
    wanting_add(&w, waits_for(&t[N - 1], 5000 * MS));
    bool is_found = false;
    for (int i = 0; i < 10 && !is_found; i++) {
        is_found = wanting_gather(&w, NOW) == 1 && w.due.items[0] == &t[N - 1];
    }
    assert_true(is_found);
    wanting_free(&w);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_first),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
