/*
 * test_waking.c - wakeups: the raw data of the tracepoint, and what follow makes of the records of
 * a thread that waits, is woken and runs again.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>

#include "base/buf.h"
#include "capture/events.h"
#include "capture/follow.h"
#include "capture/records.h"
#include "capture/waking.h"

enum {
    MAIN = 10,
    WORKER = 11,
    CLOCK_ID = 1,
    WAKING_ID = 2,
    WATCH_ID = 3,
    HARD_IRQ = 0x08,
    SOFT_IRQ = 0x10
};
enum { RAW_BYTES = 36 };

static void test_format(void **state)
{
    (void)state;
    static const char head[] =
        "name: sched_waking\nID: 375\nformat:\n"
        "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
        "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
        "\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n";
    static const struct {
        const char *line;
        size_t offset;
    } cases[] = {
        {"\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n", 24},
        {"\tfield:pid_t pid;\toffset:32;\tsize:4;\tsigned:1;\n", 32},
        {"\tfield:pid_t pid;\toffset:24;\tsize:8;\tsigned:1;\n", WAKING_PID_UNKNOWN},
        {"\tfield:pid_t pid;\toffset:4;\tsize:4;\tsigned:1;\n", WAKING_PID_UNKNOWN},
        {"\tfield:pid_t pid;\toffset:99999;\tsize:4;\tsigned:1;\n", WAKING_PID_UNKNOWN},
        {"\tfield:pid_t pid;\toffset:", WAKING_PID_UNKNOWN},
        {"", WAKING_PID_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text = {0};
        buf_addf(&text, "%s%s", head, cases[i].line);
        assert_int_equal(waking_pid_offset(buf_str(&text)), cases[i].offset);
        buf_free(&text);
    }
    assert_int_equal(waking_pid_offset(""), WAKING_PID_UNKNOWN);
}

static void put_raw(unsigned char raw[RAW_BYTES], uint8_t flags, int32_t waker, int32_t woken)
{
    memset(raw, 0, RAW_BYTES);
    raw[2] = flags;
    memcpy(raw + 4, &waker, 4);
    memcpy(raw + WAKING_PID_USUAL, &woken, 4);
}

static void test_raw(void **state)
{
    (void)state;
    unsigned char raw[RAW_BYTES];
    struct waking w;
    put_raw(raw, 0x01, 42, 43);
    assert_true(waking_parse(raw, RAW_BYTES, WAKING_PID_USUAL, &w));
    assert_int_equal(w.waker_tid, 42);
    assert_int_equal(w.tid, 43);
    assert_false(w.is_hard_irq || w.is_soft_irq);
    put_raw(raw, 0x01 | HARD_IRQ, 42, 43);
    assert_true(waking_parse(raw, RAW_BYTES, WAKING_PID_USUAL, &w));
    assert_true(w.is_hard_irq && !w.is_soft_irq);
    put_raw(raw, SOFT_IRQ, 42, 43);
    assert_true(waking_parse(raw, RAW_BYTES, WAKING_PID_USUAL, &w));
    assert_true(w.is_soft_irq && !w.is_hard_irq);
    for (size_t n = 0; n < WAKING_PID_USUAL + 4; n++) {
        assert_false(waking_parse(raw, n, WAKING_PID_USUAL, &w));
    }
    assert_false(waking_parse(raw, RAW_BYTES, SIZE_MAX - 4, &w));
}

/* ---- follow ---- */

struct fixture {
    struct queue *queue;
    struct map sources;
    struct follow *follow;
    struct bytes records;
    size_t pid_offset;
};

static void start(struct fixture *f)
{
    *f = (struct fixture){.queue = queue_new(1 << 20), .pid_offset = WAKING_PID_USUAL};
    *map_put(&f->sources, CLOCK_ID) = MAIN;
    *map_put(&f->sources, WAKING_ID) = MAIN | EVENTS_WAKING;
    *map_put(&f->sources, WATCH_ID) = EVENTS_WATCH;
    struct follow_options options = {.pid = MAIN,
                                     .with_children = true,
                                     .max_stack = 127,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources,
                                     .has_switches = true,
                                     .waking_pid_offset = &f->pid_offset};
    f->follow = follow_new(&options);
    follow_adopt_process(f->follow, MAIN, 0, false, 1);
    follow_adopt_thread(f->follow, MAIN, MAIN, MAIN, 1, 1);
    add_task(&f->records, PERF_RECORD_FORK, CLOCK_ID, MAIN, WORKER, MAIN, MAIN, 1000);
}

static void finish(struct fixture *f)
{
    follow_free(f->follow);
    queue_free(f->queue);
    map_free(&f->sources);
}

static void add_switch(struct fixture *f, int32_t tid, bool is_out, int64_t ts)
{
    const uint64_t trailer[] = {pair(MAIN, (uint32_t)tid), (uint64_t)ts, pair(0, 0), CLOCK_ID};
    add_raw(&f->records, PERF_RECORD_SWITCH, is_out ? PERF_RECORD_MISC_SWITCH_OUT : 0, trailer, 4);
}

/* A sample of the tracepoint, taken on waker; host_tid: how the host calls that. */
static void add_wakeup_of(struct fixture *f, uint64_t id, uint64_t waker, int32_t host_tid,
                          uint8_t flags, int32_t woken, int64_t ts)
{
    uint64_t words[7 + 3 + 5] = {id,
                                 0xffffffff81000010,
                                 waker,
                                 (uint64_t)ts,
                                 0,
                                 1,
                                 3,
                                 (uint64_t)PERF_CONTEXT_KERNEL,
                                 0xffffffff81000010,
                                 0xffffffff81000020};
    unsigned char raw[4 + RAW_BYTES] = {RAW_BYTES};
    put_raw(raw + 4, flags, host_tid, woken);
    memcpy(words + 10, raw, sizeof(raw));
    add_raw(&f->records, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_KERNEL, words, 15);
}

static void add_waking(struct fixture *f, int32_t waker, int32_t host_tid, uint8_t flags,
                       int32_t woken, int64_t ts)
{
    add_wakeup_of(f, WAKING_ID, pair(MAIN, (uint32_t)waker), host_tid, flags, woken, ts);
}

static void print_event(struct buf *out, const struct event_head *head)
{
    static const char *const kinds[] = {"thread", "outside", "interrupt"};
    const struct event_wakeup *w = (const void *)head;
    const struct event_wakeups_folded *wf = (const void *)head;
    const struct event_off_cpu *o = (const void *)head;
    const struct event_off_cpu_folded *of = (const void *)head;
    switch (head->type) {
    case EVENT_WAKEUP:
        buf_addf(out, "%d woken at %" PRId64 " after %" PRId64 " by %s %d, %u+%u addresses\n",
                 w->tid, w->wake_ts, w->dur_ns, kinds[w->waker], w->waker_tid, w->n_kernel,
                 w->n_addresses - w->n_kernel);
        break;
    case EVENT_WAKEUPS_FOLDED:
        buf_addf(out, "%d woken %" PRIu64 " times after %" PRId64 " by %s %d\n", wf->tid,
                 wf->n_wakeups, wf->dur_ns, kinds[wf->waker], wf->waker_tid);
        break;
    case EVENT_OFF_CPU:
        buf_addf(out, "%d %s %" PRId64 "+%" PRId64 "\n", o->tid,
                 o->state == EVENT_STATE_BLOCKED ? "blocked" : "runnable", o->start_ts, o->dur_ns);
        break;
    case EVENT_OFF_CPU_FOLDED:
        buf_addf(out, "%d %s %" PRIu64 " times %" PRId64 "\n", of->tid,
                 of->state == EVENT_STATE_BLOCKED ? "blocked" : "runnable", of->n_intervals,
                 of->dur_ns);
        break;
    case EVENT_LOSS:
        buf_addf(out, "loss\n");
        break;
    default:
        break;
    }
}

/* What the records of the worker become; tick_ts ends the drain, 0: the run. */
static char *tell(struct fixture *f, int64_t tick_ts)
{
    const struct record_format raw = {.has_raw = true};
    struct buf out = {0};
    for (size_t at = 0; at < f->records.n_bytes;) {
        const char *bytes = (const char *)f->records.words + at;
        struct perf_event_header head;
        struct record r;
        memcpy(&head, bytes, sizeof(head));
        uint64_t id = record_id(bytes, head.size);
        assert_int_equal(
            record_parse(bytes, head.size, id == WAKING_ID || id == WATCH_ID ? &raw : NULL, &r), 0);
        follow_record(f->follow, &r, r.ts, false);
        at += head.size;
    }
    f->records.n_bytes = 0;
    if (tick_ts) {
        follow_tick(f->follow, tick_ts);
        follow_flush(f->follow);
    } else {
        follow_end(f->follow, 0, EVENT_END_STOPPED);
    }
    size_t n;
    for (void *batch; (batch = queue_pop(f->queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            print_event(&out, head);
        }
        assert_false(bad);
    }
    return buf_take(&out);
}

static void check(struct fixture *f, int64_t tick_ts, const char *expected)
{
    char *got = tell(f, tick_ts);
    assert_string_equal(got, expected);
    free(got);
}

static void test_long_wait(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    add_switch(&f, WORKER, false, 2000);
    add_switch(&f, WORKER, true, 10000000);
    add_waking(&f, MAIN, MAIN, 0x01, WORKER, 40000000);
    add_switch(&f, WORKER, false, 40300000);
    check(&f, 50000000,
          "11 woken at 40000000 after 30000000 by thread 10, 2+0 addresses\n"
          "11 blocked 10000000+30000000\n"
          "11 runnable 2 times 301000\n");
    finish(&f);
}

/* A hardware interrupt, and a soft one that came upon the thread, have no waker. */
static void test_interrupts(void **state)
{
    (void)state;
    static const char kallsyms[] = "ffffffff81000000 t handle_softirqs\n"
                                   "ffffffff81000020 T do_softirq\nffffffff81000100 T after\n";
    struct fixture f;
    start(&f);
    follow_read_kernel(f.follow, kallsyms, sizeof(kallsyms) - 1);
    add_switch(&f, WORKER, false, 2000);
    add_switch(&f, WORKER, true, 10000000);
    add_waking(&f, MAIN, MAIN, HARD_IRQ, WORKER, 40000000);
    add_switch(&f, WORKER, false, 40000010);
    add_switch(&f, WORKER, true, 50000000);
    add_waking(&f, MAIN, MAIN, SOFT_IRQ, WORKER, 70000000); /* by its own do_softirq() */
    add_switch(&f, WORKER, false, 70000010);
    char *got = tell(&f, 100000000);
    assert_non_null(strstr(got, "11 woken at 40000000 after 30000000 by interrupt 0, 0+0"));
    assert_non_null(strstr(got, "11 woken at 70000000 after 20000000 by thread 10, 2+0"));
    free(got);
    follow_read_kernel(f.follow, "", 0);
    finish(&f);
    start(&f); /* the same without names */
    add_switch(&f, WORKER, false, 2000);
    add_switch(&f, WORKER, true, 50000000);
    add_waking(&f, MAIN, MAIN, SOFT_IRQ, WORKER, 70000000);
    got = tell(&f, 100000000);
    assert_non_null(strstr(got, "11 woken at 70000000 after 20000000 by interrupt 0, 0+0"));
    free(got);
    finish(&f);
}

/* Others are none of ours, and where the host counts differently nobody can be named. */
static void test_not_ours(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    add_switch(&f, WORKER, false, 2000);
    add_switch(&f, WORKER, true, 10000000);
    add_waking(&f, MAIN, MAIN, 0, 4711, 20000000);
    add_waking(&f, MAIN, 90 + MAIN, 0, WORKER, 30000000);
    add_switch(&f, WORKER, false, 40000000);
    check(&f, 50000000, "11 blocked 10000000+30000000\n11 runnable 1 times 1000\n");
    f.pid_offset = RAW_BYTES;
    add_waking(&f, MAIN, MAIN, 0, WORKER, 60000000);
    check(&f, 70000000, "loss\n");
    finish(&f);
}

/* Wherever a watched thread is woken: on an idle CPU, in a thread that is as good as gone, in one
 * of another program. */
static void test_watched(void **state)
{
    (void)state;
    const struct {
        uint64_t waker;
        int32_t host_tid;
        uint8_t flags;
        const char *expected;
    } cases[] = {{pair(0, 0), 0, HARD_IRQ, "by interrupt 0, 0+0"},
                 {pair(UINT32_MAX, UINT32_MAX), 4711, HARD_IRQ, "by interrupt 0, 0+0"},
                 {pair(4700, UINT32_MAX), 4711, HARD_IRQ, "by interrupt 0, 0+0"},
                 {pair(4700, 4711), 4711, HARD_IRQ, "by interrupt 0, 0+0"},
                 {pair(4700, UINT32_MAX), 4711, 0, "by outside 4711, 0+0"},
                 {pair(4700, 4711), 4711, 0, "by outside 4711, 0+0"},
                 {pair(MAIN, MAIN), MAIN, 0, "by thread 10, 2+0"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        start(&f);
        add_switch(&f, WORKER, false, 2000);
        add_switch(&f, WORKER, true, 10000000);
        add_wakeup_of(&f, WATCH_ID, cases[i].waker, cases[i].host_tid, cases[i].flags, WORKER,
                      40000000);
        char *got = tell(&f, 50000000);
        if (!strstr(got, cases[i].expected) || strstr(got, "loss")) {
            fail_msg("case %zu: %s", i, got);
        }
        free(got);
        finish(&f);
    }
}

/* More waits in a drain than are told singly: sums, by waker. */
static void test_many(void **state)
{
    (void)state;
    struct fixture f;
    int64_t ts = 10000, n_woken = 0, n_blocked = 0, woken_ns = 0, blocked_ns = 0;
    start(&f);
    add_switch(&f, WORKER, false, 2000);
    free(tell(&f, 5000));
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 5; i++, ts += 1000) {
            add_switch(&f, WORKER, true, ts);
            add_waking(&f, MAIN, MAIN, i % 2 ? HARD_IRQ : 0, WORKER, ts + 400);
            add_switch(&f, WORKER, false, ts + 500);
        }
        char *got = tell(&f, round < 39 ? ts : 0), *save = NULL;
        for (char *line = strtok_r(got, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            long long n, ns;
            if (sscanf(line, "11 woken %lld times after %lld", &n, &ns) == 2) {
                n_woken += n;
                woken_ns += ns;
            } else if (sscanf(line, "11 woken at %*d after %lld", &ns) == 1) {
                n_woken++;
                woken_ns += ns;
            } else if (sscanf(line, "11 blocked %lld times %lld", &n, &ns) == 2) {
                n_blocked += n;
                blocked_ns += ns;
            } else if (sscanf(line, "11 blocked %*d+%lld", &ns) == 1) {
                n_blocked++;
                blocked_ns += ns;
            }
        }
        free(got);
    }
    assert_int_equal(n_woken, 200);
    assert_int_equal(n_blocked, 200);
    assert_int_equal(woken_ns, 200 * 400);
    assert_int_equal(blocked_ns, 200 * 400);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),    cmocka_unit_test(test_raw),
        cmocka_unit_test(test_long_wait), cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_not_ours),  cmocka_unit_test(test_watched),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
