/* Memory of other processes, and pages of it that nobody ever fills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "capture/target_memory.h"

enum { PAGE = 4096, N_TARGETS = 5, READERS = 4 };
static const int64_t MS = 1000000;

static uint8_t *pages; /* shared by no one: each process has its own at this address */

/* Pages of this process that hang whoever touches them. -1: this user may not have such. */
static int make_hanging(void *at, size_t n)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register r = {.range = {(uintptr_t)at, n}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (fd >= 0 && (ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &r) != 0)) {
        fd_close(&fd);
    }
    return fd;
}

static int set_up(void **state)
{
    pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *state = target_memory_new();
    return pages == MAP_FAILED;
}

static int tear_down(void **state)
{
    target_memory_free(*state);
    return munmap(pages, 2 * PAGE);
}

/* A process whose pages hang, or not. 0: this user may not have such. */
static pid_t start_target(bool hangs)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        byte = !hangs || make_hanging(pages, PAGE) >= 0;
        if (!hangs) {
            pages[0] = 7;
        }
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    if (!byte) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return byte ? pid : 0;
}

static void end_target(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static size_t read_from(struct target_memory *m, pid_t pid, bool *is_refused)
{
    uint8_t byte = 0;
    return target_memory_read(m, pid, (uintptr_t)pages, &byte, 1, is_refused);
}

static void test_reads(void **state)
{
    struct target_memory *m = *state;
    uint8_t bytes[2 * PAGE];
    bool is_refused;
    memset(pages, 5, 2 * PAGE);
    munmap(pages + PAGE, PAGE);
    assert_int_equal(
        target_memory_read(m, getpid(), (uintptr_t)pages + 10, bytes, sizeof(bytes), &is_refused),
        PAGE - 10);
    assert_false(is_refused);
    assert_int_equal(bytes[PAGE - 11], 5);
    assert_int_equal(target_memory_read(m, getpid(), 16, bytes, 8, &is_refused), 0);
    assert_false(is_refused);
    assert_int_equal(target_memory_read(m, INT32_MAX, 16, bytes, 8, &is_refused), 0);
    assert_true(is_refused);
    struct buf arguments = {0}, expected = {0};
    assert_int_equal(target_memory_cmdline(m, getpid(), 4096, &arguments), 0);
    assert_int_equal(fd_read_file("/proc/self/cmdline", 4096, &expected), 0);
    assert_string_equal(buf_str(&arguments), buf_str(&expected));
    assert_true(target_memory_cmdline(m, INT32_MAX, 4096, &arguments) < 0);
    buf_free(&arguments);
    buf_free(&expected);
}

/* Nobody waits for a page that does not come; the process is left alone, others are not; and when
 * the page is there after all, it can be read. */
static void test_hang(void **state)
{
    struct target_memory *m = *state;
    struct target_memory_stats stats;
    bool is_refused = false;
    pid_t other = start_target(false);
    assert_int_equal(read_from(m, other, &is_refused), 1);
    int fd = make_hanging(pages, PAGE);
    if (fd < 0) {
        end_target(other);
        print_message("skip - pages that hang: this user may not have them\n");
        skip();
    }
    int64_t began = clock_monotonic_ns();
    assert_int_equal(read_from(m, getpid(), &is_refused), 0);
    assert_true(is_refused);
    assert_true(clock_monotonic_ns() - began < 300 * MS);
    began = clock_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(read_from(m, getpid(), &is_refused), 0);
    }
    target_memory_get_stats(m, &stats);
    assert_int_equal(stats.n_hung, 1);
    assert_true(clock_monotonic_ns() - began < 300 * MS);
    assert_int_equal(read_from(m, other, &is_refused), 1);
    /* As long as it hangs it is not asked, however long. */
    usleep(1100000);
    assert_int_equal(read_from(m, getpid(), &is_refused), 0);
    target_memory_get_stats(m, &stats);
    assert_int_equal(stats.n_hung, 1);
    assert_int_equal(stats.n_stuck, 1);
    close(fd); /* the page is an ordinary one again */
    for (int i = 0; i < 100 && !read_from(m, getpid(), &is_refused); i++) {
        usleep(10000);
    }
    assert_int_equal(read_from(m, getpid(), &is_refused), 1);
    target_memory_get_stats(m, &stats);
    assert_int_equal(stats.n_stuck, 0);
    end_target(other);
}

/* However many processes hang, threads are few, and the end waits for none of them. */
static void test_many_hang(void **state)
{
    (void)state;
    struct target_memory *m = target_memory_new();
    struct target_memory_stats stats;
    pid_t targets[N_TARGETS];
    bool is_refused;
    for (int i = 0; i < N_TARGETS; i++) {
        targets[i] = start_target(true);
        if (!targets[i]) {
            target_memory_free(m);
            print_message("skip - many pages that hang: this user may not have them\n");
            skip();
        }
    }
    int64_t began = clock_monotonic_ns();
    for (int i = 0; i < N_TARGETS; i++) {
        assert_int_equal(read_from(m, targets[i], &is_refused), 0);
        assert_true(is_refused);
    }
    assert_int_equal(read_from(m, getpid(), &is_refused), 0); /* nobody is left to do it */
    target_memory_get_stats(m, &stats);
    assert_int_equal(stats.n_stuck, READERS);
    target_memory_free(m);
    assert_true(clock_monotonic_ns() - began < 1000 * MS);
    for (int i = 0; i < N_TARGETS; i++) {
        end_target(targets[i]);
    }
    usleep(50000); /* those left behind come back, and free what they hold */
}

/* One who has other work to do waits once for what does not come, and never more until then. */
static void test_unanswered(void **state)
{
    struct target_memory *m = *state;
    struct target_memory_stats stats;
    bool is_refused = false;
    pid_t hanging = start_target(true), other = start_target(false);
    if (!hanging) {
        end_target(other);
        print_message("skip - pages that hang: this user may not have them\n");
        skip();
    }
    target_memory_allow(m, 1);
    assert_int_equal(read_from(m, other, &is_refused), 1);
    assert_int_equal(read_from(m, hanging, &is_refused), 0);
    int64_t began = clock_monotonic_ns();
    assert_int_equal(read_from(m, other, &is_refused), 0);
    assert_true(is_refused);
    assert_true(clock_monotonic_ns() - began < 10 * MS);
    target_memory_allow(m, 1);
    assert_int_equal(read_from(m, other, &is_refused), 1);
    assert_false(is_refused);
    target_memory_get_stats(m, &stats);
    assert_int_equal(stats.n_hung, 1);
    end_target(hanging);
    end_target(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unanswered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_hang, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
