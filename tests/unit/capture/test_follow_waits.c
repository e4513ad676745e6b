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

static void add_switch(struct fixture *f, bool is_out)
{
    uint64_t words[4] = {pair(PID, PID), (uint64_t)f->ts, pair(0, 0), OWN_ID};
    add_raw(&f->records, PERF_RECORD_SWITCH, is_out ? PERF_RECORD_MISC_SWITCH_OUT : 0, words, 4);
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

int main(void)
{
    if (!unwind_arch_of_host()) {
        return 77; /* no registers are known on this processor */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),     cmocka_unit_test(test_guess),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_unlisted), cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
