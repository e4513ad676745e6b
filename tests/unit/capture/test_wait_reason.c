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
    assert_row(WAIT_KERNEL_FUNCTION, "kernel_clone", EVENT_REASON_IPC); /* vfork, inlined */
    assert_row(WAIT_KERNEL_FUNCTION, "hrtimer_nanosleep_restart", EVENT_REASON_SLEEP);
    assert_row(WAIT_KERNEL_FUNCTION, "alarm_timer_nsleep_restart", EVENT_REASON_SLEEP);
    assert_row(WAIT_KERNEL_FUNCTION, "do_restart_poll", EVENT_REASON_READY);
    assert_row(WAIT_KERNEL_FUNCTION, "io_sq_thread", EVENT_REASON_IDLE);
    assert_row(WAIT_KERNEL_FUNCTION, "io_wq_submit_work", EVENT_REASON_OTHER);
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

/* C++20, as GCC 12 names what is left of it with and without inlining. */
static void test_cplusplus(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int reason;
    } cases[] = {
        {"std::counting_semaphore<8l>::acquire()", EVENT_REASON_SEM},
        {"bool std::counting_semaphore<1l>::try_acquire_for<long, std::ratio<1l, 1000l> "
         ">(std::chrono::duration<long, std::ratio<1l, 1000l> > const&)",
         EVENT_REASON_SEM},
        {"void std::__atomic_wait_address_bare<std::__atomic_semaphore::_M_acquire()::{lambda()#1}>"
         "(int const*, std::__atomic_semaphore::_M_acquire()::{lambda()#1})",
         EVENT_REASON_SEM},
        {"bool std::__atomic_wait_address_for_bare<std::__atomic_semaphore::_M_try_acquire_for<long"
         ", std::ratio<1l, 1000l> >(std::chrono::duration<long, std::ratio<1l, 1000l> > const&)::"
         "{lambda()#1}, long, std::ratio<1l, 1000l> >(int const*)",
         EVENT_REASON_SEM},
        {"std::__1::counting_semaphore<8l>::acquire[abi:v15000]()", EVENT_REASON_SEM},
        {"void std::__atomic_wait_address<int, std::latch::wait() const::{lambda()#1}>(int const*, "
         "std::latch::wait() const::{lambda()#1})",
         EVENT_REASON_LOCK},
        {"std::barrier<std::__empty_completion>::arrive_and_wait()", EVENT_REASON_LOCK},
        {"void std::__atomic_wait_address<std::__barrier_phase_t, std::__tree_barrier<std::"
         "__empty_completion>::wait(std::__barrier_phase_t&&) const::{lambda()#1}>(std::"
         "__barrier_phase_t const*)",
         EVENT_REASON_LOCK},
        {"std::__1::__barrier_base<std::__1::__empty_completion>::wait[abi:v15000](unsigned char&&)"
         " const",
         EVENT_REASON_LOCK},
        {"std::__atomic_base<int>::wait(int, std::memory_order) const", EVENT_REASON_IDLE},
        {"void std::__atomic_wait_address_v<int, std::__atomic_base<int>::wait(int, std::"
         "memory_order) const::{lambda()#1}>(int const*, int)",
         EVENT_REASON_IDLE},
        {"std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*, unsigned int, "
         "bool)",
         EVENT_REASON_IDLE},
        /* What all of them call, what does not wait, and what merely takes one. */
        {"void std::__detail::__platform_wait<int>(int const*, int)", -1},
        {"std::counting_semaphore<8l>::release(long)", -1},
        {"std::__tree_barrier<std::__empty_completion>::arrive(long)", -1},
        {"work(std::counting_semaphore<8l>&, std::latch&)", -1},
        {"work(std::barrier<std::__empty_completion>&)", -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_row(WAIT_USER_FUNCTION, cases[i].name, cases[i].reason);
    }
}

/* Rust's std: as its own mangling is read, as the one of C++ is, and where things were before. */
static void test_rust(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int reason;
    } cases[] = {
        {"<std::sys::sync::mutex::futex::Mutex>::lock_contended", EVENT_REASON_LOCK},
        {"std::sys::sync::mutex::futex::Mutex::lock_contended::h0123456789abcdef",
         EVENT_REASON_LOCK},
        {"std::sys::locks::mutex::futex::Mutex::lock_contended", EVENT_REASON_LOCK},
        {"std::sys::pal::unix::locks::futex_mutex::Mutex::lock_contended", EVENT_REASON_LOCK},
        {"std::sys::unix::locks::futex_mutex::Mutex::lock_contended::h0123456789abcdef",
         EVENT_REASON_LOCK},
        {"std::sys::unix::locks::futex::Mutex::lock_contended", EVENT_REASON_LOCK},
        {"std::sys_common::mutex::MovableMutex::raw_lock", EVENT_REASON_LOCK},
        {"<std::sys::sync::rwlock::futex::RwLock>::write_contended", EVENT_REASON_LOCK},
        {"<std::sys::sync::rwlock::futex::RwLock>::read_contended", EVENT_REASON_LOCK},
        {"std::sys::unix::locks::futex_rwlock::RwLock::write_contended", EVENT_REASON_LOCK},
        {"<std::sys::sync::once::futex::Once>::call", EVENT_REASON_LOCK},
        {"std::sys_common::once::futex::Once::call", EVENT_REASON_LOCK},
        {"std::sys::sync::once::futex::Once::call::h0123456789abcdef", EVENT_REASON_LOCK},
        {"<std::sys::sync::condvar::futex::Condvar>::wait_optional_timeout", EVENT_REASON_IDLE},
        {"std::sys::unix::locks::futex_condvar::Condvar::wait_optional_timeout", EVENT_REASON_IDLE},
        {"<std::sync::poison::condvar::Condvar>::wait_timeout", EVENT_REASON_IDLE},
        {"std::sync::condvar::Condvar::wait", EVENT_REASON_IDLE},
        {"<std::thread::thread::Thread>::park", EVENT_REASON_IDLE},
        {"std::thread::functions::park_timeout", EVENT_REASON_IDLE},
        {"std::thread::park::h0123456789abcdef", EVENT_REASON_IDLE},
        {"std::sys_common::thread_parking::futex::Parker::park", EVENT_REASON_IDLE},
        {"std::sync::mpmc::list::Channel<T>::recv::{{closure}}::h0123456789abcdef",
         EVENT_REASON_IDLE},
        {"<std::sync::mpsc::Receiver<i32>>::recv", EVENT_REASON_IDLE},
        {"<std::sync::barrier::Barrier>::wait", EVENT_REASON_LOCK},
        /* What runs what it was given, and what merely has one. */
        {"<std::sync::once::Once>::call_once::<rk::main::{closure#0}>::{closure#0}", -1},
        {"std::sync::once_lock::OnceLock<T>::get_or_init", -1},
        {"core::ops::function::FnOnce::call_once<std::sys::sync::mutex::futex::Mutex>", -1},
        {"<rk::Pool as core::ops::Drop>::drop::<std::sys::sync::condvar::futex::Condvar>", -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_row(WAIT_USER_FUNCTION, cases[i].name, cases[i].reason);
    }
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
            size_t len = strcspn(at, " "), n_plain = 0;
            assert_true(len > 1 && len < sizeof(name));
            for (size_t k = 0; k < len; k++) {
                name[n_plain] = at[k];
                n_plain += at[k] != '*';
            }
            name[n_plain] = 0;
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
    /* A worker of io_uring: the call of whoever made it. */
    assert_true(wait_parse_syscall("426 0x3 0x1 0x0 0x0 0x0 0x0 0x0 0x0\n", &place));
    assert_int_equal(place.call.number, -1);
    assert_false(wait_parse_syscall("running\n", &place));
    assert_false(wait_parse_syscall("", &place));
    assert_false(wait_parse_syscall("202 0x1", &place));
    assert_false(wait_parse_syscall("202 0x7f01 0x189 0x0 0x0 0x0 0xffffffff 0x7f", &place));
}

enum { WAIT_SHARED = 0, WAIT_PRIVATE = 0x80, BITSET_PRIVATE = 0x89 };
enum { BITSET_REALTIME = 0x189, BITSET_REALTIME_SHARED = 0x109 }; /* as glibc waits */

static void put(uint8_t *words, int offset, uint32_t value)
{
    memcpy(words + WAIT_FUTEX_BEFORE + offset, &value, sizeof(value));
}

static void assert_futex(const struct wait_futex *futex, enum wait_certainty certainty,
                         enum event_reason expected)
{
    enum event_reason reason;
    enum wait_certainty got = wait_futex_reason(futex, &reason);
    if (got != certainty || reason != expected) {
        fail_msg("operation %#x value %#x: reason %d certainty %d, expected %d %d",
                 futex->operation, futex->value, (int)reason, (int)got, (int)expected,
                 (int)certainty);
    }
}

static void assert_guess(uint32_t operation, uint32_t value, enum event_reason expected)
{
    assert_futex(&(struct wait_futex){operation, value, 0x1000, 0x9000, NULL, WAIT_NO_THREAD},
                 WAIT_GUESS, expected);
}

/* What the arguments alone say. A named function knows better, so none of it is certain. */
static void test_futex_guesses(void **state)
{
    (void)state;
    assert_guess(WAIT_PRIVATE, 2, EVENT_REASON_LOCK);          /* glibc, Go: a mutex */
    assert_guess(WAIT_PRIVATE, 0x80000010, EVENT_REASON_LOCK); /* musl: a mutex */
    assert_guess(WAIT_PRIVATE, 17, EVENT_REASON_LOCK);         /* glibc: a barrier's round */
    assert_guess(WAIT_PRIVATE, 0, EVENT_REASON_IDLE);          /* Go: notesleep */
    assert_guess(WAIT_SHARED, 0, EVENT_REASON_IDLE);           /* a flag of the program's own */
    assert_guess(WAIT_PRIVATE, UINT32_MAX, EVENT_REASON_SEM);  /* musl: sem_wait */
    assert_guess(WAIT_PRIVATE, 0x80000000, EVENT_REASON_SEM);  /* ... since 1.2.4 */
    assert_guess(BITSET_REALTIME, 0, EVENT_REASON_SEM);        /* glibc: sem_wait */
    assert_guess(BITSET_REALTIME, 3, EVENT_REASON_LOCK);       /* glibc: an rwlock */
    assert_guess(BITSET_REALTIME, 4, EVENT_REASON_IDLE);       /* ... a condition since 2.41 */
    assert_guess(BITSET_REALTIME_SHARED, 4711, EVENT_REASON_IPC);
    assert_guess(BITSET_REALTIME_SHARED, 2, EVENT_REASON_LOCK);
    assert_guess(BITSET_PRIVATE, 2, EVENT_REASON_LOCK);          /* Rust: a mutex */
    assert_guess(BITSET_PRIVATE, 0xffffffff, EVENT_REASON_IDLE); /* ... thread::park */
    assert_guess(BITSET_PRIVATE, 7, EVENT_REASON_IDLE);          /* ... Condvar */
    assert_guess(BITSET_PRIVATE, 0x7fffffff, EVENT_REASON_LOCK); /* ... RwLock */
    /* musl: pthread_cond_wait, at a node in its own frame. */
    assert_futex(&(struct wait_futex){WAIT_PRIVATE, 2, 0x9080, 0x9000, NULL, WAIT_NO_THREAD},
                 WAIT_GUESS, EVENT_REASON_IDLE);
}

static void test_futex_certain(void **state)
{
    (void)state;
    enum { LOCK_PI = 6, WAIT_REQUEUE_PI = 11, WAKE = 1 };
    assert_futex(&(struct wait_futex){.operation = LOCK_PI}, WAIT_CERTAIN, EVENT_REASON_LOCK);
    assert_futex(&(struct wait_futex){.operation = WAIT_REQUEUE_PI}, WAIT_CERTAIN,
                 EVENT_REASON_IDLE);
    assert_futex(&(struct wait_futex){.operation = WAKE}, WAIT_UNKNOWN, EVENT_REASON_OTHER);
    /* The end of a thread, that the kernel tells whoever waits at its id. */
    struct wait_futex join = {BITSET_REALTIME_SHARED, 4711, 0x1000, 0, NULL, WAIT_THREAD};
    assert_futex(&join, WAIT_CERTAIN, EVENT_REASON_IPC);
    /* An older glibc, or a lock of the program's own that holds the id of its owner. */
    join.operation = WAIT_SHARED;
    assert_futex(&join, WAIT_GUESS, EVENT_REASON_IPC);
    uint8_t words[WAIT_FUTEX_BYTES] = {0};
    join.words = words;
    assert_futex(&join, WAIT_GUESS, EVENT_REASON_LOCK);
    put(words, 8, 0x1010); /* robust_prev and robust_head of a struct pthread */
    assert_futex(&join, WAIT_GUESS, EVENT_REASON_LOCK);
    put(words, 16, 0x1010);
    assert_futex(&join, WAIT_CERTAIN, EVENT_REASON_IPC);
    join.thread = WAIT_INNER_THREAD;
    assert_futex(&join, WAIT_CERTAIN, EVENT_REASON_IPC);
    join.words = NULL;
    join.operation = BITSET_REALTIME_SHARED;
    /* The state of a lock that processes share may be such a number. */
    join.thread = WAIT_INNER_THREAD;
    assert_futex(&join, WAIT_GUESS, EVENT_REASON_IPC);
    for (join.value = 2; join.value < 4; join.value++) {
        join.thread = WAIT_THREAD;
        assert_futex(&join, WAIT_GUESS, EVENT_REASON_IPC);
        join.thread = WAIT_INNER_THREAD;
        assert_futex(&join, WAIT_GUESS, EVENT_REASON_IPC);
    }
    join.value = 4711;
    join.thread = WAIT_THREAD;
    join.operation = BITSET_REALTIME; /* the kernel's wakeup would not come there */
    assert_int_equal(wait_futex_tid(&join), 0);
    assert_futex(&join, WAIT_GUESS, EVENT_REASON_IDLE);
    join = (struct wait_futex){.operation = WAIT_SHARED, .value = 0, .thread = WAIT_THREAD};
    assert_int_equal(wait_futex_tid(&join), 0);
}

/* What the memory around a futex says. */
static void test_futex_words(void **state)
{
    (void)state;
    uint8_t nothing[WAIT_FUTEX_BYTES] = {0}, words[WAIT_FUTEX_BYTES] = {0};
    struct wait_futex futex = {BITSET_REALTIME, 0, 0x1000, 0, words, WAIT_NO_THREAD};
    enum event_reason reason;
    put(words, 4, 1); /* sem_t: value 0, one waiter */
    put(words, 8, 0);
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_SEM);
    futex.operation = BITSET_PRIVATE;
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_SEM);
    /* pthread_cond_t, both groups: sequence, references of the group, waiters * 8. */
    for (int g = 0; g < 2; g++) {
        int base = -40 - 4 * g;
        memset(words, 0, sizeof(words));
        put(words, base, 6);
        put(words, base + 16 + 4 * g, 2);
        put(words, base + 36, 8);
        futex = (struct wait_futex){BITSET_REALTIME, 0, 0x1000 + 4 * (unsigned)g, 0, words,
                                    WAIT_NO_THREAD};
        assert_futex(&futex, WAIT_GUESS, EVENT_REASON_IDLE);
    }
    /* The same since glibc 2.41: waits so far, those before the group, waiters * 8, and the signal
     * word itself at what it was when the wait began. */
    for (int g = 0; g < 2; g++) {
        int base = -32 - 4 * g;
        memset(words, 0, sizeof(words));
        put(words, base, 2 * 7 + 1);
        put(words, base + 8, 2 * 5);
        put(words, base + 28, 8 * 2);
        put(words, base + 32 + 4 * (1 - g), 3);
        futex = (struct wait_futex){BITSET_REALTIME, 0, 0x1000 + 4 * (unsigned)g, 0, words,
                                    WAIT_NO_THREAD};
        assert_futex(&futex, WAIT_GUESS, EVENT_REASON_IDLE);
        put(words, base + 8, 2 * 8); /* more than there ever were */
        wait_futex_reason(&futex, &reason);
        assert_int_not_equal(reason, EVENT_REASON_IDLE);
    }
    /* A Rust mutex, with a pointer before it that would be more waits than there ever were. */
    memset(words, 0, sizeof(words));
    put(words, -36, 0xe04673f0);
    put(words, -32, 0x7fee);
    put(words, -8, 0x564c);
    put(words, 0, 2);
    futex = (struct wait_futex){BITSET_PRIVATE, 2, 0x1004, 0, words, WAIT_NO_THREAD};
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_LOCK);
    /* musl: struct pthread, its id two words before the state of a joinable thread. */
    memset(words, 0, sizeof(words));
    put(words, -8, 4711);
    put(words, 0, 2);
    futex = (struct wait_futex){WAIT_PRIVATE, 2, 0x1000, 0x9000, words, WAIT_NO_THREAD};
    assert_int_equal(wait_futex_tid(&futex), 4711);
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_LOCK);
    futex.thread = WAIT_THREAD;
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_IPC);
    /* Rust: the state of an RwLock that is held, READERS_WAITING or not, and its writers' count. */
    memset(words, 0, sizeof(words));
    put(words, 0, 7);
    futex = (struct wait_futex){BITSET_PRIVATE, 7, 0x1004, 0, words, WAIT_NO_THREAD};
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_IDLE);
    put(words, -4, 0x80000001);
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_LOCK);
    put(words, -4, 0xffffffff);
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_LOCK);
    put(words, -4, 0x80000000); /* nobody holds it */
    assert_futex(&futex, WAIT_GUESS, EVENT_REASON_IDLE);
    /* Neither: it must have been one of them, but not any more. */
    futex = (struct wait_futex){BITSET_REALTIME, 0, 0x1000, 0, nothing, WAIT_NO_THREAD};
    assert_futex(&futex, WAIT_UNKNOWN, EVENT_REASON_OTHER);
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

/* A page is waited for by reads, faults and syncs alike: the function around it decides. */
static void test_kernel_pages(void **state)
{
    (void)state;
    static const char text[] = "ffffffff81000000 T folio_wait_bit_common\n"
                               "ffffffff81001000 T folio_wait_writeback\n"
                               "ffffffff81002000 T vfs_fsync_range\n"
                               "ffffffff81003000 T filemap_get_pages\n"
                               "ffffffff81004000 T do_exit\n"
                               "ffffffff81005000 T __x64_sys_futex\n"
                               "ffffffff81006000 T __x64_sys_futex_wait\n"
                               "ffffffff81007000 t futex_wait_restart\n"
                               "ffffffff81008000 T __x64_sys_msync\n"
                               "ffffffff81009000 T __arm64_sys_getpid\n"
                               "ffffffff8100a000 T _etext\n";
    struct wait_kernel kernel = {0};
    wait_kernel_read(&kernel, text, sizeof(text) - 1);
    const uint64_t sync[] = {0xffffffff81000010, 0xffffffff81004010, 0xffffffff81002010};
    const uint64_t writeback[] = {0xffffffff81000010, 0xffffffff81001010};
    const uint64_t read[] = {0xffffffff81000010, 0xffffffff81003010};
    const uint64_t alone[] = {0xffffffff81000010, 0xffffffff81004010};
    assert_int_equal(wait_kernel_row(&kernel, sync, 3)->reason, EVENT_REASON_IO_W);
    assert_int_equal(wait_kernel_row(&kernel, writeback, 2)->reason, EVENT_REASON_IO_W);
    assert_int_equal(wait_kernel_row(&kernel, read, 2)->reason, EVENT_REASON_IO_R);
    assert_int_equal(wait_kernel_row(&kernel, alone, 2)->reason, EVENT_REASON_IO_R);
    /* A call that ends in functions without a row. */
    const uint64_t msync[] = {0xffffffff81004010, 0xffffffff81008010};
    const uint64_t getpid[] = {0xffffffff81004010, 0xffffffff81009010};
    assert_int_equal(wait_kernel_row(&kernel, msync, 2)->reason, EVENT_REASON_IO_W);
    assert_null(wait_kernel_row(&kernel, getpid, 2));
    /* Whose registers are the arguments of futex(2). */
    const uint64_t futex[] = {0xffffffff81004010, 0xffffffff81005010};
    const uint64_t other_futex[] = {0xffffffff81004010, 0xffffffff81006010};
    const uint64_t restarted[] = {0xffffffff81004010, 0xffffffff81007010};
    assert_true(wait_kernel_is_futex_call(&kernel, restarted, 2));
    assert_true(wait_kernel_row(&kernel, restarted, 2)->is_vague);
    assert_true(wait_kernel_is_futex_call(&kernel, futex, 2));
    assert_false(wait_kernel_is_futex_call(&kernel, other_futex, 2));
    wait_kernel_free(&kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_cplusplus),
        cmocka_unit_test(test_rust),          cmocka_unit_test(test_table),
        cmocka_unit_test(test_syscalls),      cmocka_unit_test(test_futex_guesses),
        cmocka_unit_test(test_futex_certain), cmocka_unit_test(test_futex_words),
        cmocka_unit_test(test_kernel),        cmocka_unit_test(test_kernel_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
