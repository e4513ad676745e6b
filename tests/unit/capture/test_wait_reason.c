/* test_wait_reason.c - names, system calls, futexes and kernel addresses to reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/syscall.h>

#include "capture/wait_probe.h"
#include "capture/wait_reason.h"

static void assert_row(enum wait_evidence evidence, const char *name, int reason)
{
    const struct wait_row *row = wait_row_of(evidence, name);
    int got = row ? (int)row->reason : -1;
    if (got != reason) {
        fail_msg("%s: %d, expected %d", name, got, reason);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_row(WAIT_KERNEL_FUNCTION, "hrtimer_nanosleep", EVENT_REASON_SLEEP);
    assert_row(WAIT_KERNEL_FUNCTION, "poll_schedule_timeout.constprop.0", EVENT_REASON_READY);
    assert_row(WAIT_KERNEL_FUNCTION, "anon_pipe_read", EVENT_REASON_IPC);
    assert_row(WAIT_KERNEL_FUNCTION, "do_wait", EVENT_REASON_IPC);
    assert_row(WAIT_KERNEL_FUNCTION, "schedule", -1);
    assert_row(WAIT_KERNEL_FUNCTION, "", -1);
    assert_row(WAIT_KERNEL_FUNCTION, ".constprop.0", -1);
    assert_row(WAIT_SYSCALL, "accept4", EVENT_REASON_CONN);
    assert_row(WAIT_SYSCALL, "accept", EVENT_REASON_CONN);
    assert_row(WAIT_SYSCALL, "accept9", -1);
    assert_row(WAIT_USER_FUNCTION, "pthread_cond_wait@@GLIBC_2.3.2", EVENT_REASON_IDLE);
    assert_row(WAIT_USER_FUNCTION, "___pthread_mutex_lock", EVENT_REASON_LOCK);
    assert_row(WAIT_USER_FUNCTION, "sem_wait", EVENT_REASON_SEM);
    assert_row(WAIT_USER_FUNCTION, "pthread_join", EVENT_REASON_IPC);
    assert_row(WAIT_USER_FUNCTION, "std::condition_variable::wait(std::unique_lock<std::mutex>&)",
               EVENT_REASON_IDLE);
    assert_row(WAIT_USER_FUNCTION, "main", -1);
}

/* Every row can be reached, and a name means one thing only. */
static void test_table(void **state)
{
    (void)state;
    size_t n;
    const struct wait_row *rows = wait_rows(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        for (const char *at = rows[i].names; *at;) {
            char name[64];
            size_t len = strcspn(at, " ");
            assert_true(len > 1 && len < sizeof(name));
            memcpy(name, at, len);
            name[len - (at[len - 1] == '*')] = 0;
            if (wait_row_of(rows[i].evidence, name) != &rows[i]) {
                fail_msg("%s stands in another row too", name);
            }
            at += len;
            at += strspn(at, " ");
        }
    }
}

static void test_syscalls(void **state)
{
    (void)state;
    struct wait_place place;
    assert_string_equal(wait_syscall_name(SYS_futex), "futex");
    assert_null(wait_syscall_name(SYS_getpid));
    assert_null(wait_syscall_name(-5));
    assert_true(wait_parse_syscall("202 0x7f01 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7e\n", &place));
    assert_int_equal(place.call.number, 202);
    assert_int_equal(place.call.arguments[1], 0x189);
    assert_int_equal(place.call.arguments[5], 0xffffffff);
    assert_int_equal(place.sp, 0x7f);
    assert_int_equal(place.pc, 0x7e);
    assert_true(wait_parse_syscall("-1 0x7ffd 0x7f01\n", &place));
    assert_int_equal(place.call.number, -1);
    assert_int_equal(place.sp, 0x7ffd);
    assert_int_equal(place.pc, 0x7f01);
    assert_false(wait_parse_syscall("running\n", &place));
    assert_false(wait_parse_syscall("", &place));
    assert_false(wait_parse_syscall("202 0x1", &place));
    assert_false(wait_parse_syscall("202 0x7f01 0x189 0x0 0x0 0x0 0xffffffff 0x7f", &place));
}

enum { WAIT_PRIVATE = 0x80, BITSET_PRIVATE = 0x189, BITSET_SHARED = 0x109 };

static void put(uint8_t *words, int offset, uint32_t value)
{
    memcpy(words + WAIT_FUTEX_BEFORE + offset, &value, sizeof(value));
}

static int futex(uint32_t operation, uint32_t value, uint64_t address, const uint8_t *words,
                 bool is_tid)
{
    enum event_reason reason;
    return wait_futex_reason(operation, value, address, words, is_tid, &reason) ? (int)reason : -1;
}

static void test_futexes(void **state)
{
    (void)state;
    uint8_t nothing[WAIT_FUTEX_BYTES] = {0}, words[WAIT_FUTEX_BYTES] = {0};
    assert_int_equal(futex(WAIT_PRIVATE, 2, 0x1000, nothing, false), EVENT_REASON_LOCK);
    assert_int_equal(futex(BITSET_SHARED, 4711, 0x1000, nothing, true), EVENT_REASON_IPC);
    assert_int_equal(futex(BITSET_PRIVATE, UINT32_MAX, 0x1000, nothing, false), EVENT_REASON_IDLE);
    assert_int_equal(futex(WAIT_PRIVATE, 0, 0x1000, NULL, false), EVENT_REASON_IDLE);
    assert_int_equal(futex(6, 0, 0x1000, NULL, false), EVENT_REASON_LOCK);
    assert_int_equal(futex(BITSET_PRIVATE, 7, 0x1000, nothing, false), -1);
    assert_int_equal(futex(1, 7, 0x1000, nothing, false), -1);
    /* sem_t: value 0, one waiter. */
    put(words, 4, 1);
    put(words, 8, 0);
    assert_int_equal(futex(BITSET_PRIVATE, 0, 0x1000, words, false), EVENT_REASON_SEM);
    assert_int_equal(futex(BITSET_PRIVATE, 0, 0x1000, NULL, false), -1);
    /* pthread_cond_t, both groups: sequence, references of the group, waiters * 8. */
    for (int g = 0; g < 2; g++) {
        int base = -40 - 4 * g;
        memset(words, 0, sizeof(words));
        put(words, base, 6);
        put(words, base + 16 + 4 * g, 2);
        put(words, base + 36, 8);
        assert_int_equal(futex(BITSET_PRIVATE, 0, 0x1000 + 4 * (unsigned)g, words, false),
                         EVENT_REASON_IDLE);
    }
}

static void test_kernel(void **state)
{
    (void)state;
    static const char text[] = "ffffffff81000000 T _text\n"
                               "ffffffff81003000 t other\n"
                               "ffffffff81001000 T hrtimer_nanosleep\n"
                               "ffffffff81001000 T an_alias\n"
                               "ffffffff81002000 t pipe_read.part.0\t[pipes]\n"
                               "ffffffff81002800 D do_wait\n"
                               "garbage\n"
                               "ffffffff81004000 T do_wait";
    static const struct {
        uint64_t address;
        int reason;
    } cases[] = {{0xffffffff81000fff, -1},
                 {0xffffffff81001000, EVENT_REASON_SLEEP},
                 {0xffffffff81001fff, EVENT_REASON_SLEEP},
                 {0xffffffff81002010, EVENT_REASON_IPC},
                 {0xffffffff81003001, -1},
                 {0xffffffff81004001, EVENT_REASON_IPC},
                 {0xffffffff81009001, -1},
                 {0, -1}};
    struct wait_kernel kernel = {0};
    assert_null(wait_kernel_row(&kernel, &cases[1].address, 1));
    wait_kernel_read(&kernel, text, sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wait_row *row = wait_kernel_row(&kernel, &cases[i].address, 1);
        assert_int_equal(row ? (int)row->reason : -1, cases[i].reason);
    }
    /* The innermost one that is known decides. */
    const uint64_t stack[] = {0xffffffff81003001, 0xffffffff81002010, 0xffffffff81001000};
    assert_int_equal(wait_kernel_row(&kernel, stack, 3)->reason, EVENT_REASON_IPC);
    wait_kernel_free(&kernel);
    wait_kernel_read(&kernel, "0000000000000000 T do_wait\n", 27); /* kptr_restrict */
    assert_int_equal(kernel.n, 0);
    wait_kernel_free(&kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_table),
        cmocka_unit_test(test_syscalls), cmocka_unit_test(test_futexes),
        cmocka_unit_test(test_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
