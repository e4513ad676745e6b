/* Whose wakeups are watched: how often the list changes, and what a burst of records does to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "capture/watch.h"

static const int64_t MS = 1000000;
static const int64_t START = INT64_C(1000000000);

/* What stands in for the kernel and for the target. */
static struct {
    size_t n_opened, n_closed; /* calls that watched somebody, nobody */
    int32_t tids[FOLLOW_WATCH_MAX];
    size_t n_tids, n_waiting; /* of the target: all, and those blocked for long */
} world;

int __wrap_events_watch(struct events *ev, const int32_t *tids, size_t n);
size_t __wrap_follow_watch_list(const struct follow *f, int64_t longer_ns, int64_t now,
                                int32_t *tids, size_t max);
void __wrap_follow_stats(const struct follow *f, struct follow_stats *stats);

int __wrap_events_watch(struct events *ev, const int32_t *tids, size_t n)
{
    (void)ev, (void)tids;
    world.n_opened += n > 0;
    world.n_closed += n == 0;
    return 0;
}

size_t __wrap_follow_watch_list(const struct follow *f, int64_t longer_ns, int64_t now,
                                int32_t *tids, size_t max)
{
    (void)f, (void)now;
    size_t n = longer_ns ? world.n_waiting : world.n_tids;
    assert_true(n <= max);
    memcpy(tids, world.tids, n * sizeof(*tids));
    return n;
}

void __wrap_follow_stats(const struct follow *f, struct follow_stats *stats)
{
    (void)f;
    *stats = (struct follow_stats){.n_threads = world.n_tids};
}

static struct events events = {.has_wakings = true, .waking_pid_offset = 8};

static int set_up(void **state)
{
    (void)state;
    struct stat of;
    memset(&world, 0, sizeof(world));
    world.n_tids = 4;
    world.n_waiting = 1;
    for (int32_t i = 0; i < FOLLOW_WATCH_MAX; i++) {
        world.tids[i] = 100 + i;
    }
    /* Where pids are not the host's nobody is ever watched. */
    return stat("/proc/self/ns/pid", &of) != 0 || of.st_ino != 0xeffffffc;
}

/* A list that stays the same is opened once, however long it goes on. */
static void test_settles(void **state)
{
    (void)state;
    struct watch w = {0};
    for (int64_t t = 0; t < 5000; t += 40) {
        watch_tick(&w, &events, NULL, START + t * MS, false, 4);
    }
    assert_int_equal(world.n_opened, 1);
    assert_int_equal(world.n_closed, 0);
    assert_int_equal(w.n_tids, 4);
}

/* One burst, of any size, closes the list once; it is back within the time that a whole budget
 * takes, for those that wait for long. */
static void test_burst(void **state)
{
    (void)state;
    static const uint64_t bursts[] = {5000, 100000, UINT64_MAX};
    for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
        struct watch w = {0};
        int64_t ts = START, back_ts = 0;
        set_up(NULL);
        watch_tick(&w, &events, NULL, ts, false, 0);
        watch_tick(&w, &events, NULL, ts += 10 * MS, false, bursts[i]);
        assert_int_equal(w.n_tids, 0);
        assert_int_equal(world.n_closed, 1);
        for (int k = 0; k < 250; k++) {
            watch_tick(&w, &events, NULL, ts += 10 * MS, false, 0);
            back_ts = !back_ts && w.n_tids ? ts : back_ts;
        }
        assert_int_equal(world.n_closed, 1);
        assert_int_equal(world.n_opened, 2);
        assert_true(back_ts > START + 100 * MS);
        assert_true(back_ts < START + 1700 * MS);
    }
}

/* A target that wakes without end: the list is changed a few times a second, not in each drain. */
static void test_lasting(void **state)
{
    (void)state;
    struct watch w = {0};
    for (int64_t t = 0; t < 10000; t += 5) {
        uint64_t n = w.n_tids ? 2000 : 0;
        watch_tick(&w, &events, NULL, START + t * MS, false, n);
    }
    assert_true(world.n_opened >= 2);
    assert_true(world.n_opened + world.n_closed <= 40);
}

/* Drains that follow each other closer than a record of the budget still earn it. */
static void test_close_drains(void **state)
{
    (void)state;
    struct watch w = {0};
    watch_tick(&w, &events, NULL, START, false, 0);
    watch_tick(&w, &events, NULL, START + MS, false, 5000);
    assert_int_equal(w.n_tids, 0);
    for (int64_t us = 0; us < 2000000; us += 100) {
        watch_tick(&w, &events, NULL, START + MS + us * 1000, false, 0);
    }
    assert_true(w.n_tids > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_settles, set_up),
        cmocka_unit_test_setup(test_burst, set_up),
        cmocka_unit_test_setup(test_lasting, set_up),
        cmocka_unit_test_setup(test_close_drains, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
