/*
 * test_ledger.c - hand-made sequences of switches: each nanosecond counts once, whatever is
 * missing.
 *
 * A sequence is text: "o50" switch-out at 50, "p50" the same preempted, "i70" switch-in, "w60" a
 * wakeup, "s60" a
 * sample (period 5), "x80" an exec, "l80" its records end, "L40:55" records lost after 40, noticed
 * at 55, "e90" the end. The answer reads "on runnable blocked unknown | intervals", an interval
 * being b50-70 or r50-70, and w50-70 when a wakeup ended it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "capture/ledger.h"

struct play {
    struct ledger ledger;
    struct ledger_losses losses;
    struct buf intervals;
    int64_t weights, end_ts;
};

static void note(struct play *p, bool has_ended, const struct ledger_interval *i)
{
    if (has_ended) {
        assert_true(i->end_ts >= i->start_ts);
        buf_addf(&p->intervals, " %c%lld-%lld",
                 i->is_woken                       ? 'w'
                 : i->state == EVENT_STATE_BLOCKED ? 'b'
                                                   : 'r',
                 (long long)i->start_ts, (long long)i->end_ts);
    }
}

static void step(struct play *p, char what, int64_t ts)
{
    struct ledger *l = &p->ledger;
    struct ledger_interval ended = {0};
    int64_t weight;
    switch (what) {
    case 'o':
    case 'p':
        note(p, ledger_switch_out(l, &p->losses, ts, what == 'p', &ended), &ended);
        break;
    case 'i':
        note(p, ledger_switch_in(l, &p->losses, ts, &ended), &ended);
        break;
    case 's':
        note(p, ledger_sample(l, &p->losses, ts, 5, &weight, &ended), &ended);
        assert_true(weight >= 0);
        p->weights += weight;
        break;
    case 'w':
        note(p, ledger_wake(l, &p->losses, ts, &ended), &ended);
        assert_true(!ended.is_woken || ended.state == EVENT_STATE_BLOCKED);
        break;
    case 'x':
        note(p, ledger_exec(l, &p->losses, ts, &ended), &ended);
        break;
    case 'l':
        note(p, ledger_lose(l, &p->losses, ts, &ended), &ended);
        break;
    case 't':
        ledger_settle(l, &p->losses, ts);
        break;
    case 'L':
        ledger_lost(&p->losses, ts);
        break;
    default:
        assert_int_equal(what, 'e');
        note(p, ledger_end(l, &p->losses, ts, &ended), &ended);
        p->end_ts = ts;
        break;
    }
}

/* start: R running, F forked (runnable), B found blocked, Q found in the queue or running; at 10.
 */
static void check(const char *start, const char *records, const char *expected)
{
    struct play p = {0};
    struct ledger *l = &p.ledger;
    switch (start[0]) {
    case 'R':
        ledger_start(l, &p.losses, 10, EVENT_STATE_RUNNING);
        break;
    case 'F':
        ledger_start(l, &p.losses, 10, EVENT_STATE_RUNNABLE);
        break;
    case 'B':
        ledger_start_unseen(l, &p.losses, 10, EVENT_STATE_BLOCKED);
        break;
    default:
        ledger_start_unseen(l, &p.losses, 10, EVENT_STATE_RUNNABLE);
        break;
    }
    for (const char *at = records; *at;) {
        char *next;
        char what = *at;
        step(&p, what, strtoll(at + 1, &next, 10));
        at = next + strspn(next, " ");
    }
    struct buf got = {0};
    buf_addf(&got, "%lld %lld %lld %lld |%s", (long long)l->on_cpu_ns, (long long)l->runnable_ns,
             (long long)l->blocked_ns, (long long)l->unknown_ns, buf_str(&p.intervals));
    assert_string_equal(buf_str(&got), expected);
    assert_int_equal(l->on_cpu_ns + l->runnable_ns + l->blocked_ns + l->unknown_ns,
                     l->since_ts - l->start_ts);
    assert_true(p.weights <= l->on_cpu_ns);
    buf_free(&got);
    buf_free(&p.intervals);
    ledger_losses_free(&p.losses);
}

static void test_plain(void **state)
{
    (void)state;
    check("R", "o50 i70 e90", "60 0 20 0 | b50-70");
    check("R", "p50 i70 o75 i80 e90", "55 20 5 0 | r50-70 b75-80");
    check("F", "i15 o20 e90", "5 5 70 0 | r10-15 b20-90");
    check("R", "e90", "80 0 0 0 |");
    check("R", "s30 s45 o50 i70 s80 e90", "60 0 20 0 | b50-70");
    check("R", "t40 o50 i70 t80 e90", "60 0 20 0 | b50-70");
}

/* The kernel ended its events, and it runs on. */
static void test_hidden(void **state)
{
    (void)state;
    check("R", "o50 i60 x61 l62 e90", "42 0 10 28 | b50-60");
    check("R", "x20 l30 t60 t80 e90", "20 0 0 60 |");
}

static void test_found_alive(void **state)
{
    (void)state;
    check("B", "i30 e90", "60 0 20 0 | b10-30");
    check("B", "o30 i40 e90", "70 0 10 0 | b30-40"); /* it ran after all */
    check("B", "s30 e90", "80 0 0 0 |");
    check("B", "e90", "0 0 80 0 | b10-90");
    check("Q", "i30 e90", "60 20 0 0 | r10-30");
    check("Q", "p30 e90", "20 60 0 0 | r30-90");
    check("Q", "i5 e90", "80 0 0 0 | r10-10"); /* recorded before it was looked at */
}

static void test_records_that_contradict(void **state)
{
    (void)state;
    check("R", "i50 e90", "40 0 0 40 |");             /* a switch-out is missing */
    check("R", "s30 i50 e90", "60 0 0 20 |");         /* ... some time after the sample */
    check("R", "o20 o50 e90", "10 0 40 30 | b50-90"); /* a switch-in is missing */
    check("R", "o20 s50 e90", "55 0 0 25 |");         /* the same, and the period is the weight */
    check("R", "o50 i40 e90", "80 0 0 0 | b50-50");   /* time goes backwards between CPUs */
    check("R", "o50 i70 o60 i65 e90", "60 0 20 0 | b50-70 b70-70");
}

static void test_losses(void **state)
{
    (void)state;
    check("R", "o20 L40 i70 e90", "30 0 20 30 | b20-40"); /* blocked for sure until 40 */
    check("R", "L40 o70 i80 e90", "40 0 10 30 | b70-80"); /* on-CPU for sure until 40 */
    check("R", "L40 s70 e90", "55 0 0 25 |");
    check("R", "L40 L60 o70 e90", "30 0 20 30 | b70-90");
    check("R", "o20 i30 L25 o70 e90", "10 0 30 40 | b20-30 b70-90");
    check("R", "o20 L80 e90", "10 0 60 10 | b20-80");
    check("B", "L40 i70 e90", "20 0 30 30 | b10-40");
    check("R", "L40 t60 t80 o85 e90", "30 0 5 45 | b85-90");
}

static void test_exec(void **state)
{
    (void)state;
    check("R", "x50 o60 e90", "50 0 30 0 | b60-90");
    check("R", "o20 x50 e90", "50 0 30 0 | b20-50"); /* another thread execs under this id */
    check("F", "x50 e90", "40 40 0 0 | r10-50");
}

static void test_wakeups(void **state)
{
    (void)state;
    check("R", "o50 w60 i70 e90", "60 10 10 0 | w50-60 r60-70");
    check("F", "i15 o20 w25 e90", "5 70 5 0 | r10-15 w20-25 r25-90");
    check("R", "o50 w50 i70 e90", "60 20 0 0 | w50-50 r50-70");
    check("B", "w30 i40 e90", "50 10 20 0 | w10-30 r30-40"); /* found blocked */
    check("Q", "w30 i40 e90", "50 30 0 0 | r10-40");         /* found in the queue: nothing new */
    check("R", "o50 w60 o80 e90", "40 0 20 20 | w50-60 b80-90"); /* its switch-in is missing */
}

static void test_wakeups_that_end_nothing(void **state)
{
    (void)state;
    check("R", "w30 e90", "80 0 0 0 |");
    check("R", "o50 w60 w65 i70 e90", "60 10 10 0 | w50-60 r60-70"); /* several */
    check("R", "p50 w60 i70 e90", "60 20 0 0 | r50-70");             /* preempted, not blocked */
    check("R", "o50 i70 w75 e90", "60 0 20 0 | b50-70");             /* lost its turn */
    check("R", "i50 w60 e90", "40 0 0 40 |");                        /* a switch-out is missing */
}

/* Woken on its way off the CPU, so that the wakeup is recorded before the switch-out. */
static void test_early_wakeups(void **state)
{
    (void)state;
    check("R", "w48 o50 i70 e90", "60 20 0 0 | r50-70");
    check("R", "w48 o50 w60 i70 e90", "60 10 10 0 | w50-60 r60-70"); /* it was of an earlier wait */
    check("R", "w48 o50 i70 o80 i85 e90", "55 20 5 0 | r50-70 b80-85");
    check("R", "w48 p50 i70 o80 i85 e90", "55 20 5 0 | r50-70 b80-85");
    check("R", "w48 o50 i70 w71 o80 i85 e90", "55 25 0 0 | r50-70 r80-85");
    /* Too long before, and too long a wait to believe that nobody else woke it. */
    check("R", "w48 o30048 i30070 e30090", "30058 0 22 0 | b30048-30070");
    check("R", "w48 o50 i2000050 e2000060", "50 0 2000000 0 | b50-2000050");
}

static void test_wakeups_and_losses(void **state)
{
    (void)state;
    check("R", "o20 L40 w60 i70 e90",
          "30 0 20 30 | b20-40"); /* what it was after 40 is not known */
    check("R", "o20 w30 L40 i70 e90", "30 10 10 30 | w20-30 r30-40");
    check("R", "w48 L49 o50 i70 e90", "59 0 20 1 | b50-70");
}

/* Any sequence closes, and intervals neither overlap nor run backwards. */
static void test_any_order(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int run = 0; run < 2000; run++) {
        struct play p = {0};
        int64_t ts = 1000;
        ledger_start_unseen(&p.ledger, &p.losses, ts, EVENT_STATE_BLOCKED);
        for (int i = 0; i < 50; i++) {
            ts += (int64_t)rand_r(&seed) % 100 - 20;
            char what = "ooopiiisxLtww"[rand_r(&seed) % 13];
            step(&p, what, what == 'L' ? ts - 30 : ts);
        }
        step(&p, 'e', ts + 200);
        const struct ledger *l = &p.ledger;
        assert_int_equal(l->on_cpu_ns + l->runnable_ns + l->blocked_ns + l->unknown_ns,
                         l->since_ts - l->start_ts);
        assert_true(l->on_cpu_ns >= p.weights && l->runnable_ns >= 0 && l->blocked_ns >= 0 &&
                    l->unknown_ns >= 0);
        int64_t sum = 0, last = 0;
        for (const char *at = buf_str(&p.intervals); *at;) {
            char *next;
            int64_t from = strtoll(at + 2, &next, 10), to = strtoll(next + 1, &next, 10);
            assert_true(from >= last && to >= from);
            sum += to - from;
            last = to;
            at = next;
        }
        assert_int_equal(sum, l->runnable_ns + l->blocked_ns);
        buf_free(&p.intervals);
        ledger_losses_free(&p.losses);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_found_alive),   cmocka_unit_test(test_records_that_contradict),
        cmocka_unit_test(test_losses),        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_wakeups),       cmocka_unit_test(test_wakeups_that_end_nothing),
        cmocka_unit_test(test_early_wakeups), cmocka_unit_test(test_wakeups_and_losses),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
