/*
 * test_follow_waits.c - why a thread waits, from what was recorded of its switch: kernel stack and
 * registers in, waits out, one line each.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>

#include "base/buf.h"
#include "capture/events.h"
#include "capture/follow_state.h"
#include "capture/records.h"
#include "capture/unwind_arch.h"

enum { PID = 100, JOINED = 107, OWN_ID = 1, STACK_ID = 2, QUEUE_BYTES = 1 << 20 };
enum { FUTEX = 0x601000 };
enum { SHARED_REALTIME = 0x109, PRIVATE_REALTIME = 0x189, PRIVATE = 0x80 };

static const char kallsyms[] = "ffffffff81001000 T futex_do_wait\n"
                               "ffffffff81002000 T __x64_sys_futex\n"
                               "ffffffff81003000 T __x64_sys_futex_wait\n"
                               "ffffffff81004000 T hrtimer_nanosleep\n"
                               "ffffffff81005000 t futex_wait_restart\n"
                               "ffffffff81006000 t do_signal_stop\n"
                               "ffffffff81007000 T arch_do_signal_or_restart\n"
                               "ffffffff81008000 T _etext\n";
static const uint64_t IN_FUTEX = 0xffffffff81001010, FUTEX_CALL = 0xffffffff81002010,
                      OTHER_CALL = 0xffffffff81003010, IN_SLEEP = 0xffffffff81004010,
                      RESTARTED = 0xffffffff81005010, IN_STOP = 0xffffffff81006010,
                      STRANGE = 0xffffffff81007010;

struct fixture {
    struct queue *queue;
    struct map sources;
    struct follow *follow;
    struct bytes records;
    int64_t ts;
    struct buf text;
};

static struct fixture *new_fixture_of(const char *kernel)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->queue = queue_new(QUEUE_BYTES);
    *map_put(&f->sources, OWN_ID) = PID;
    *map_put(&f->sources, STACK_ID) = PID | EVENTS_SWITCH_STACK;
    struct follow_options options = {.pid = PID,
                                     .with_children = true,
                                     .max_stack = 127,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources,
                                     .has_switches = true};
    f->follow = follow_new(&options);
    f->ts = 1000000;
    follow_read_kernel(f->follow, kernel, strlen(kernel));
    follow_adopt_process(f->follow, PID, 0, false, 1);
    follow_adopt_thread(f->follow, PID, PID, PID, 1, 1);
    add_task(&f->records, PERF_RECORD_FORK, OWN_ID, PID, JOINED, PID, PID, f->ts);
    return f;
}

static struct fixture *new_fixture(void)
{
    return new_fixture_of(kallsyms);
}

static void free_fixture(struct fixture *f)
{
    follow_free(f->follow);
    queue_free(f->queue);
    map_free(&f->sources);
    buf_free(&f->text);
    free(f);
}

static void add_switch_of(struct fixture *f, uint32_t tid, bool is_out)
{
    uint64_t words[4] = {pair(PID, tid), (uint64_t)f->ts, pair(0, 0), OWN_ID};
    add_raw(&f->records, PERF_RECORD_SWITCH, is_out ? PERF_RECORD_MISC_SWITCH_OUT : 0, words, 4);
}

static void add_switch(struct fixture *f, bool is_out)
{
    add_switch_of(f, PID, is_out);
}

/* The stack at a switch: inner kernel function and the call around it, one user address, and all
 * registers of x86-64, of which those hold the arguments; abi: of the registers. */
static void add_stack(struct fixture *f, uint64_t inner, uint64_t call, const uint64_t *arguments,
                      uint64_t abi)
{
    const struct unwind_arch *arch = &unwind_x86_64;
    size_t n_regs = (size_t)__builtin_popcountll(arch->perf_mask), n = 0;
    uint64_t words[64] = {STACK_ID,
                          inner,
                          pair(PID, PID),
                          (uint64_t)f->ts - 100,
                          pair(0, 0),
                          1,
                          5,
                          PERF_CONTEXT_KERNEL,
                          inner,
                          call,
                          PERF_CONTEXT_USER,
                          0x4000};
    n = 12;
    words[n++] = abi;
    for (size_t i = 0; i < n_regs; i++) {
        uint64_t value = arch->perf_order[i] == arch->sp ? 0x7fff0000 : 0x5555;
        for (size_t k = 0; k < 3; k++) {
            value = arch->perf_order[i] == arch->arguments[k] ? arguments[k] : value;
        }
        words[n++] = value;
    }
    words[n++] = 0; /* no stack was copied */
    add_raw(&f->records, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_KERNEL, words, n);
}

static void feed(struct fixture *f)
{
    static const struct record_format format = {.has_stack = true, .user_regs = 0xff01ff};
    for (size_t at = 0; at < f->records.n_bytes;) {
        struct perf_event_header head;
        struct record r;
        const char *bytes = (char *)f->records.words + at;
        memcpy(&head, bytes, sizeof(head));
        bool is_stack = record_id(bytes, head.size) == STACK_ID;
        assert_int_equal(record_parse(bytes, head.size, is_stack ? &format : NULL, &r), 0);
        assert_true(follow_record(f->follow, &r, r.ts, false));
        at += head.size;
    }
    f->records.n_bytes = 0;
}

static void print_wait(struct buf *out, const struct event_off_cpu *o)
{
    static const char *const reasons[] = {
#define X(name, text) [EVENT_REASON_##name] = text,
        EVENT_REASONS(X)
#undef X
    };
    static const char *const sources[] = {
#define X(name, text) [EVENT_FROM_##name] = text,
        EVENT_REASON_SOURCES(X)
#undef X
    };
    if (o->state == EVENT_STATE_BLOCKED) {
        buf_addf(out, "%s from %s%s", reasons[o->reason], sources[o->reason_from],
                 o->head.flags & EVENT_F_WAIT_IS_VAGUE ? ", vague" : "");
    }
}

/* One wait of 20 ms, with a stack at its begin if inner is not 0; what is told of it. */
static void check_wait(struct fixture *f, uint64_t inner, uint64_t call, const uint64_t *arguments,
                       uint64_t abi, const char *expected)
{
    f->ts += 1000000;
    if (inner) {
        add_stack(f, inner, call, arguments, abi);
    }
    add_switch(f, true);
    f->ts += 20000000;
    add_switch(f, false);
    feed(f);
    follow_tick(f->follow, f->ts);
    follow_flush(f->follow);
    buf_clear(&f->text);
    size_t n;
    for (void *batch; (batch = queue_pop(f->queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            if (head->type == EVENT_OFF_CPU) {
                print_wait(&f->text, (const void *)head);
            }
        }
        assert_false(bad);
    }
    assert_string_equal(buf_str(&f->text), expected);
}

static void check_futex(struct fixture *f, uint32_t operation, uint32_t value, const char *expected)
{
    const uint64_t arguments[] = {FUTEX, operation, value};
    check_wait(f, IN_FUTEX, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64, expected);
}

/* pthread_join goes on into a function that has no name in a stripped libc; the futex it waits for
 * holds the id of the thread. */
static void test_join(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    check_futex(f, SHARED_REALTIME, JOINED, "ipc from syscall");
    check_futex(f, 0, JOINED, "ipc from syscall, vague"); /* glibc before 2.34 */
    check_futex(f, SHARED_REALTIME, 4711, "ipc from syscall, vague");
    const uint64_t arguments[] = {FUTEX, SHARED_REALTIME, JOINED}; /* it was stopped, and goes on */
    check_wait(f, IN_FUTEX, RESTARTED, arguments, PERF_SAMPLE_REGS_ABI_64, "ipc from syscall");
    add_task(&f->records, PERF_RECORD_EXIT, OWN_ID, PID, JOINED, PID, PID, f->ts);
    check_futex(f, 0, JOINED, "lock from syscall, vague"); /* a thread no more */
    free_fixture(f);
}

/* Arguments are a guess, that a function on the stack may correct. */
static void test_guess(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    check_futex(f, PRIVATE, 2, "lock from syscall, vague");
    check_futex(f, PRIVATE_REALTIME, 0, "sem from syscall, vague");
    free_fixture(f);
}

/* What the memory around a futex said while one waited for it holds for the next. */
static void test_memory(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    const struct futex_wait condition = {FUTEX, PID, PRIVATE_REALTIME, 0};
    check_futex(f, PRIVATE_REALTIME, 0, "sem from syscall, vague");
    futexes_note(&f->follow->waits.futexes, &condition, EVENT_REASON_IDLE);
    check_futex(f, PRIVATE_REALTIME, 0, "idle from syscall, vague");
    check_futex(f, PRIVATE_REALTIME, 1, "idle from syscall, vague");
    check_futex(f, PRIVATE, 2, "lock from syscall, vague"); /* another use of that memory */
    /* ... and is the guess for one at another address. */
    uint64_t arguments[] = {FUTEX + 64, PRIVATE_REALTIME, 0};
    check_wait(f, IN_FUTEX, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "idle from earlier, vague");
    arguments[2] = 3;
    check_wait(f, IN_FUTEX, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "lock from syscall, vague");
    free_fixture(f);
}

/* One that is waited for with several values counts something. */
static void test_count(void **state)
{
    (void)state;
    struct futexes futexes = {0};
    struct futex_wait wait = {FUTEX, PID, 0x89, 2};
    assert_true(wait_futex_may_count(wait.operation, wait.value));
    assert_false(wait_futex_may_count(PRIVATE_REALTIME, 2));
    assert_false(futexes_is_count(&futexes, &wait));
    futexes_note(&futexes, &wait, EVENT_REASON_LOCK);
    futexes_note(&futexes, &wait, EVENT_REASON_LOCK);
    assert_false(futexes_is_count(&futexes, &wait));
    wait.value = 1;
    assert_true(futexes_is_count(&futexes, &wait));
    futexes_note(&futexes, &wait, EVENT_REASON_IDLE);
    wait.value = 2;
    futexes_note(&futexes, &wait, EVENT_REASON_IDLE);
    assert_true(futexes_is_count(&futexes, &wait));
    wait.address += 8;
    assert_false(futexes_is_count(&futexes, &wait));
}

/* A wait of which nothing is known but that it is for a futex counts as no kind of it. */
static void test_unknown(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    const uint64_t arguments[] = {0x601000, SHARED_REALTIME, JOINED};
    check_wait(f, IN_FUTEX, OTHER_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "other from none, vague");
    check_wait(f, IN_FUTEX, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_32,
               "other from none, vague");
    /* Without any stack: as the last wait of which something was known. */
    check_wait(f, 0, 0, NULL, 0, "other from none");
    check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "sleep from kernel_stack");
    check_wait(f, 0, 0, NULL, 0, "sleep from earlier");
    check_futex(f, PRIVATE, 2, "lock from syscall, vague");
    check_wait(f, IN_FUTEX, OTHER_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "lock from earlier, vague");
    free_fixture(f);
}

/* A kernel stack that was seen and is in no row is no wait like those before. */
static void test_unlisted(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    const uint64_t arguments[] = {0, 0, 0};
    check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "sleep from kernel_stack");
    check_wait(f, STRANGE, STRANGE, arguments, PERF_SAMPLE_REGS_ABI_64, "other from kernel_stack");
    check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "sleep from kernel_stack");
    check_wait(f, IN_STOP, STRANGE, arguments, PERF_SAMPLE_REGS_ABI_64, "other from kernel_stack");
    check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "sleep from kernel_stack");
    free_fixture(f);
    f = new_fixture_of(""); /* the kernel hides its functions */
    check_wait(f, STRANGE, STRANGE, arguments, PERF_SAMPLE_REGS_ABI_64, "other from none");
    free_fixture(f);
}

/* Of a thread that takes turns, the wait that was not seen is the one whose turn it is. */
static void test_turns(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    const uint64_t arguments[] = {0, 0, 0};
    for (int i = 0; i < 2; i++) {
        check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
                   "sleep from kernel_stack");
        check_futex(f, SHARED_REALTIME, JOINED, "ipc from syscall");
    }
    check_wait(f, IN_SLEEP, FUTEX_CALL, arguments, PERF_SAMPLE_REGS_ABI_64,
               "sleep from kernel_stack");
    check_wait(f, 0, 0, NULL, 0, "ipc from earlier");
    check_wait(f, 0, 0, NULL, 0, "sleep from earlier");
    free_fixture(f);
}

/* ---- whose time it is ---- */

/* Starts, ends and sums of threads, and intervals, as they are told. */
static void take_threads(struct fixture *f, struct buf *out)
{
    size_t n;
    follow_flush(f->follow);
    buf_clear(out);
    for (void *batch; (batch = queue_pop(f->queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            const struct event_thread *t = (const void *)head;
            const struct event_off_cpu *o = (const void *)head;
            const struct event_thread_time *sums = (const void *)head;
            const struct event_wakeups_folded *w = (const void *)head;
            if (head->type == EVENT_THREAD_START || head->type == EVENT_THREAD_END) {
                buf_addf(out, "%d %s at %" PRId64 "\n", t->tid,
                         head->type == EVENT_THREAD_START ? "starts" : "ends", head->ts);
            } else if (head->type == EVENT_OFF_CPU) {
                buf_addf(out, "%d off for %" PRId64 "\n", o->tid, o->dur_ns);
            } else if (head->type == EVENT_WAKEUPS_FOLDED) {
                buf_addf(out, "%d woken by %d\n", w->tid, w->waker_tid);
            } else if (head->type == EVENT_THREAD_TIME && sums->is_end) {
                buf_addf(out, "%d was off for %" PRId64 ", wall %" PRId64 "\n", sums->tid,
                         sums->blocked_ns, sums->open_ts - sums->start_ts);
            }
        }
        assert_false(bad);
    }
}

static void check_threads(struct fixture *f, const char *expected)
{
    feed(f);
    take_threads(f, &f->text);
    assert_string_equal(buf_str(&f->text), expected);
}

/* An exec gives the main thread's ids to the thread that calls it, in the middle of a drain: what
 * is still to be told of the old main thread is told before there is another. */
static void test_exec_by_thread(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    follow_tick(f->follow, f->ts);
    feed(f);
    follow_tick(f->follow, f->ts + 100000000);
    take_threads(f, &f->text);
    f->ts = 200000000;
    add_switch_of(f, JOINED, false);
    add_switch(f, true);
    f->ts += 50000;
    add_switch(f, false);
    feed(f);
    assert_int_equal(f->follow->waits.n_candidates, 1);
    struct target_thread *other = target_thread(&f->follow->target, JOINED);
    struct wait_candidate by_main = {.waker = {.kind = EVENT_WAKER_THREAD, .pid = PID, .tid = PID}};
    follow_wakers_fold(f->follow, other, &by_main);
    add_task(&f->records, PERF_RECORD_EXIT, OWN_ID, PID, PID, PID, PID, f->ts + 10);
    add_name(&f->records, OWN_ID, PID, PID, true, "new", f->ts + 20);
    check_threads(f, "107 off for 199000000\n"
                     "100 was off for 50000, wall 200050009\n"
                     "100 ends at 200050010\n"
                     "100 off for 50000\n"
                     "107 woken by 100\n"
                     "100 starts at 200050020\n"
                     "107 was off for 0, wall 199050020\n" /* but in the queue */
                     "107 ends at 200050020\n");
    follow_tick(f->follow, f->ts + 100000000);
    check_threads(f, "");
    free_fixture(f);
}

/* Events are opened one after the other: a thread may end when some of them are open, before it is
 * taken for one of the run's. */
static void test_end_before_start(void **state)
{
    (void)state;
    struct fixture *f = new_fixture();
    feed(f);
    take_threads(f, &f->text);
    follow_adopt_thread(f->follow, PID, 108, PID, 1, 3000000);
    add_task(&f->records, PERF_RECORD_EXIT, OWN_ID, PID, 108, PID, PID, 2000000);
    check_threads(f, "108 starts at 1\n"
                     "108 was off for 0, wall 0\n"
                     "108 ends at 3000000\n");
    /* With the last of its threads a process ends, and a run with the last of those: no sooner. */
    follow_adopt_thread(f->follow, PID, 109, PID, 1, 5000000);
    follow_end_process(f->follow, target_process(&f->follow->target, PID), 4000000);
    follow_end(f->follow, 4500000, EVENT_END_TARGET_EXITED);
    size_t n, at = 0;
    int64_t end_ts = 0, process_ts = 0;
    for (void *batch; (batch = queue_pop(f->queue, 0, &n)); free(batch), at = 0) {
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            process_ts = head->type == EVENT_PROCESS_END ? head->ts : process_ts;
            end_ts = head->type == EVENT_END ? head->ts : end_ts;
        }
    }
    assert_int_equal(process_ts, 5000000);
    assert_int_equal(end_ts, 5000000);
    free_fixture(f);
}

int main(void)
{
    if (!unwind_arch_of_host()) {
        return 77; /* no registers are known on this processor */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_guess),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_unlisted),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_exec_by_thread),
        cmocka_unit_test(test_end_before_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
