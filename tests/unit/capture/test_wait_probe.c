/*
 * test_wait_probe.c - what /proc says of processes that wait: children that are blocked in one call
 * each, in what they may be found in meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "capture/proc.h"
#include "capture/wait_probe.h"

enum { SECONDS = 60, LOOKS = 5000 };

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct timespec later(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += SECONDS;
    return ts;
}

static void wait_sleep(void)
{
    nanosleep(&(struct timespec){.tv_sec = SECONDS}, NULL);
}

static void wait_poll(void)
{
    poll(NULL, 0, SECONDS * 1000);
}

static void wait_semaphore(void)
{
    static sem_t sem;
    struct timespec end = later();
    sem_init(&sem, 0, 0);
    while (sem_timedwait(&sem, &end) != 0 && errno == EINTR) {
    }
}

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
} parked = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static void wait_condition(void)
{
    pthread_mutex_lock(&parked.mutex);
    pthread_cond_wait(&parked.condition, &parked.mutex);
}

static void *sleep_on(void *arg)
{
    (void)arg;
    wait_sleep();
    return NULL;
}

static void wait_join(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_on, NULL);
    pthread_join(thread, NULL);
}

/* A lock whose owner sleeps, and does so in glibc's own way to wait for a thread before 2.34. */
static void *hold(void *arg)
{
    __atomic_store_n((pid_t *)arg, gettid(), __ATOMIC_SEQ_CST);
    return sleep_on(NULL);
}

static void wait_owner(void)
{
    static pid_t lock[16];
    pthread_t thread;
    pthread_create(&thread, NULL, hold, &lock[8]);
    while (!__atomic_load_n(&lock[8], __ATOMIC_SEQ_CST)) {
        nap();
    }
    syscall(SYS_futex, &lock[8], 0, lock[8], NULL, NULL, 0);
}

/* The same call for the end of a thread, at the id in its struct pthread. */
static void wait_old_join(void)
{
    static pid_t tid;
    pthread_t thread;
    pthread_create(&thread, NULL, hold, &tid);
    while (!__atomic_load_n(&tid, __ATOMIC_SEQ_CST)) {
        nap();
    }
    pid_t *at = (pid_t *)(void *)thread;
    while (*at != tid) {
        at++;
    }
    syscall(SYS_futex, at, 0, tid, NULL, NULL, 0);
}

static void wait_read(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) == 0 && read(ends[0], &byte, 1) < 0) {
        pause();
    }
}

/* Closing a socket whose peer does not read, until the rest has been sent. */
static void wait_close(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const struct linger linger = {.l_onoff = 1, .l_linger = SECONDS};
    static const char bytes[1 << 16];
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
        connect(fd, (struct sockaddr *)&address, len) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) != 0) {
        return;
    }
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    close(fd);
}

static bool is_state(pid_t pid, char state)
{
    struct proc_stat stat;
    return proc_read_stat(pid, pid, &stat) == 0 && stat.state == state;
}

static void await_state(pid_t pid, char state)
{
    for (int i = 0; i < LOOKS && !is_state(pid, state); i++) {
        nap();
    }
    assert_true(is_state(pid, state));
}

static long call_number(pid_t pid)
{
    struct wait_place place;
    return wait_probe_place(pid, pid, &place) ? place.call.number : -1;
}

static pid_t start(void (*wait_for)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wait_for();
        _exit(0);
    }
    /* Blocked once is not yet where it is to be: pages come before. */
    for (int i = 0, n = 0; i < LOOKS && n < 20; i++) {
        n = is_state(pid, 'S') ? n + 1 : 0;
        nap();
    }
    await_state(pid, 'S');
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static enum wait_thread find(void *ctx, pid_t pid, uint32_t number)
{
    (void)ctx;
    return wait_probe_is_thread(pid, number) ? WAIT_THREAD : WAIT_NO_THREAD;
}

static uint64_t check_thread(pid_t pid, pid_t tid, const char *expected)
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
    struct wait_seen seen = {0};
    struct buf text = {0};
    struct target_memory *memory = target_memory_new();
    if (wait_probe(memory, find, NULL, pid, tid, &seen)) {
        buf_addf(&text, "%s from %s%s", reasons[seen.reason], sources[seen.from],
                 seen.is_vague ? ", vague" : "");
    }
    assert_string_equal(buf_str(&text), expected);
    buf_free(&text);
    target_memory_free(memory);
    return seen.futex.address;
}

static uint64_t check(pid_t pid, const char *expected)
{
    return check_thread(pid, pid, expected);
}

static void stop_and_continue(pid_t pid)
{
    kill(pid, SIGSTOP);
    await_state(pid, 'T');
    kill(pid, SIGCONT);
    await_state(pid, 'S');
}

/* A stop takes a call's number away, if it counts down to some time, and leaves its arguments. */
static void test_restarted(void **state)
{
    static const struct {
        void (*wait_for)(void);
        const char *before, *after;
    } cases[] = {{wait_sleep, "sleep from wchan", "sleep from syscall"},
                 {wait_poll, "ready from wchan", "ready from wchan"},
                 {wait_semaphore, "sem from syscall, vague", "sem from syscall, vague"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pid_t pid = start(cases[i].wait_for);
        check(pid, cases[i].before);
        stop_and_continue(pid);
        assert_int_equal(call_number(pid), SYS_restart_syscall);
        check(pid, cases[i].after);
        end(pid);
    }
}

/* A stop is none of what the call waits for. */
static void test_stopped(void **state)
{
    void (*const cases[])(void) = {wait_sleep, wait_semaphore, wait_read};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pid_t pid = start(cases[i]);
        kill(pid, SIGSTOP);
        await_state(pid, 'T');
        check(pid, "other from wchan");
        end(pid);
    }
}

/* A function that says nothing, in a call that says nothing. */
static void test_unlisted(void **state)
{
    (void)state;
    pid_t pid = start(wait_close);
    check(pid, "other from wchan");
    end(pid);
}

/* A thread of io_uring begins to read from an empty pipe, and waits for other work then. */
static void wait_ring(void)
{
    struct io_uring_params params = {0};
    int ends[2], fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0 || pipe(ends) != 0) {
        return;
    }
    size_t n_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    char *ring = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, params.sq_entries * sizeof(*entries),
                                        PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    static char byte;
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_READ,
                                       .flags = IOSQE_ASYNC,
                                       .fd = ends[0],
                                       .addr = (uint64_t)(uintptr_t)&byte,
                                       .len = 1};
    ((uint32_t *)(void *)(ring + params.sq_off.array))[0] = 0;
    __atomic_store_n((uint32_t *)(void *)(ring + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0);
    wait_sleep();
}

/* A condition variable and a semaphore of glibc have the same arguments, but not the same memory
 * around them. It says which futex that was. */
static void test_condition(void **state)
{
    (void)state;
    pid_t pid = start(wait_condition);
    uint64_t at = check(pid, "idle from syscall, vague");
    assert_in_range(at, (uintptr_t)&parked.condition, (uintptr_t)(&parked.condition + 1) - 4);
    end(pid);
    pid = start(wait_sleep);
    assert_int_equal(check(pid, "sleep from wchan"), 0);
    end(pid);
}

/* Who waits for the id of a thread waits for its end, or for a lock that it holds. */
static void test_owner(void **state)
{
    void (*const cases[])(void) = {wait_join, wait_old_join, wait_owner};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pid_t pid = start(cases[i]);
        check(pid, cases[i] == wait_owner ? "lock from syscall, vague" : "ipc from syscall");
        end(pid);
    }
}

enum { FUTEX_WAITV = 449, FUTEX_IS_32_BIT = 2 }; /* the same number everywhere */

static void wait_vector(uint32_t value)
{
    static uint32_t words[2][16];
    struct {
        uint64_t value, address;
        uint32_t flags, reserved;
    } futexes[2] = {{value, (uintptr_t)&words[0][15], FUTEX_IS_32_BIT | WAIT_FUTEX_PRIVATE, 0},
                    {0, (uintptr_t)&words[1][15], FUTEX_IS_32_BIT | WAIT_FUTEX_PRIVATE, 0}};
    words[0][15] = value;
    syscall(FUTEX_WAITV, futexes, 2, 0, NULL, 0);
}

static void wait_locked_vector(void)
{
    wait_vector(2);
}

static void wait_counter_vector(void)
{
    wait_vector(7);
}

static void wait_flag_vector(void)
{
    wait_vector(0);
}

/* The first of several futexes. */
static void test_vector(void **state)
{
    (void)state;
    if (syscall(FUTEX_WAITV, NULL, 0, 0, NULL, 0) != 0 && errno == ENOSYS) {
        print_message("no futex_waitv here\n");
        skip();
    }
    pid_t pid = start(wait_locked_vector);
    check(pid, "lock from syscall, vague");
    end(pid);
    pid = start(wait_flag_vector);
    check(pid, "idle from syscall, vague");
    end(pid);
    pid = start(wait_counter_vector);
    check(pid, "other from syscall, vague");
    end(pid);
}

/* The registers of a thread of io_uring are those of whoever made it: the call is not its own. */
static void test_worker(void **state)
{
    (void)state;
    struct pid_list threads = {0};
    struct io_uring_params params = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
        print_message("no io_uring here\n");
        skip();
    }
    close(fd);
    pid_t pid = start(wait_ring);
    assert_int_equal(proc_list_threads(pid, &threads), 0);
    assert_true(threads.n > 1);
    for (size_t i = 0; i < threads.n; i++) {
        struct wait_place place;
        bool is_worker = threads.pids[i] != pid;
        assert_int_equal(wait_probe_place(pid, threads.pids[i], &place), !is_worker);
        check_thread(pid, threads.pids[i], is_worker ? "idle from wchan" : "sleep from wchan");
    }
    pid_list_free(&threads);
    end(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restarted), cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_unlisted),  cmocka_unit_test(test_condition),
        cmocka_unit_test(test_owner),     cmocka_unit_test(test_vector),
        cmocka_unit_test(test_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
