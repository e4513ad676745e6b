/* test_staxd_identity.c - who a process is: what /proc says, parsed, and processes that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "capture/staxd/identity.h"

#define STATUS(tgid, pid, uid, caps)                                                               \
    "Name:\tevil\\nUid:\t0\t0\t0\t0\nUmask:\t0022\nTgid:\t" tgid "\nPid:\t" pid "\nPPid:\t1\n"     \
    "Uid:\t" uid "\nGid:\t7\t8\t9\t10\nCapPrm:\t" caps "\nCapBnd:\t000001ffffffffff\n"

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void test_status(void **state)
{
    (void)state;
    struct policy_target t = {0};
    assert_true(
        identity_parse_status(STATUS("12", "13", "1\t2\t3\t4294967294", "0000000000000002"), &t));
    assert_int_equal(t.tgid, 12);
    assert_int_equal(t.tid, 13);
    assert_int_equal(t.uid[0], 1);
    assert_int_equal(t.uid[3], 4294967294u);
    assert_int_equal(t.gid[2], 9);
    assert_int_equal(t.capabilities, 2);
    static const char *const bad[] = {
        "",
        "\n",
        "\n\n\nTgid:\t1\n",
        "Tgid:\t1\nPid:\t1\n",
        STATUS("x", "13", "1\t2\t3\t4", "0000000000000002"),
        STATUS("12", "", "1\t2\t3\t4", "0000000000000002"),
        STATUS("12", "13", "1\t2\t3", "0000000000000002"),
        STATUS("12", "13", "1\t2\t3\t-1", "0000000000000002"),
        STATUS("12", "13", "1\t2\t3\t4294967295", "0000000000000002"),
        STATUS("12", "13", "1\t2\t3\t99999999999999999999", "0000000000000002"),
        STATUS("99999999999", "13", "1\t2\t3\t4", "0000000000000002"),
        STATUS("12", "13", "1\t2\t3\t4", "2"),
        STATUS("12", "13", "1\t2\t3\t4", "000000000000000g"),
        STATUS("12", "13", "1\t2\t3\t4", "00000000000000000"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(identity_parse_status(bad[i], &t));
    }
}

static void test_small_texts(void **state)
{
    (void)state;
    pid_t pid = 0;
    assert_true(identity_parse_fdinfo("pos:\t0\nflags:\t02\nPid:\t321\nNSpid:\t321\n", &pid));
    assert_int_equal(pid, 321);
    assert_true(identity_parse_fdinfo("Pid:\t-1\n", &pid));
    assert_int_equal(pid, -1);
    assert_false(identity_parse_fdinfo("NSpid:\t3\n", &pid));
    assert_false(identity_parse_fdinfo("Pid:\tx\n", &pid));
    assert_false(identity_parse_fdinfo("Pid:\t-2\n", &pid));
    assert_true(identity_is_host_map("         0          0 4294967295\n"));
    assert_false(identity_is_host_map("         0       1000          1\n"));
    assert_false(identity_is_host_map("         0          0 65536\n"));
    assert_false(identity_is_host_map(""));
}

static void test_ourselves(void **state)
{
    (void)state;
    struct policy_target t;
    pid_t pid = 0;
    int pidfd = open_pidfd(getpid());
    assert_true(pidfd >= 0);
    assert_int_equal(identity_of_pidfd(pidfd, &pid), BROKER_GRANTED);
    assert_int_equal(pid, getpid());
    assert_int_equal(identity_is_alive(pidfd), BROKER_GRANTED);
    assert_int_equal(identity_read(pid, pid, &t), BROKER_GRANTED);
    assert_int_equal(t.uid[1], geteuid());
    assert_int_equal(t.gid[1], getegid());
    assert_int_equal(t.owner_uid, geteuid());
    assert_false(t.is_ending);
    assert_int_equal(identity_read(pid, 1, &t), BROKER_NOT_A_THREAD);
    assert_int_equal(identity_read(pid, 4194304, &t), BROKER_GONE);
    close(pidfd);
}

/* Descriptors that are no pidfds, though some look like them. */
static void test_other_descriptors(void **state)
{
    (void)state;
    pid_t pid;
    int pipes[2];
    char name[] = "/tmp/pidfd:[1]XXXXXX";
    assert_int_equal(pipe(pipes), 0);
    int folder = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int path = open("/proc/self/status", O_PATH | O_CLOEXEC);
    int file = mkstemp(name);
    assert_true(write(file, "Pid:\t1\n", 7) == 7);
    const int fds[] = {pipes[0], folder, path, file, -1, 1 << 20};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        assert_int_equal(identity_of_pidfd(fds[i], &pid), BROKER_BAD_DESCRIPTOR);
    }
    unlink(name);
    close(file);
    close(path);
    close(folder);
    close(pipes[0]);
    close(pipes[1]);
}

static pid_t child_that(void (*what)(void), int *ready)
{
    int pipes[2];
    char byte;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        what();
        (void)!write(pipes[1], "x", 1);
        pause();
        _exit(0);
    }
    close(pipes[1]);
    *ready = read(pipes[0], &byte, 1) == 1;
    close(pipes[0]);
    return pid;
}

static void nothing(void)
{
}

static void hide(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void become_user(void)
{
    if (setresgid(54321, 54321, 54321) != 0 || setresuid(54321, 54321, 54321) != 0) {
        _exit(1);
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void become_hidden_user(void)
{
    become_user();
    hide();
}

static void reap(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_the_end_of_a_process(void **state)
{
    (void)state;
    struct policy_target t;
    int ready;
    pid_t pid = child_that(nothing, &ready), seen;
    int pidfd = open_pidfd(pid);
    assert_int_equal(identity_is_alive(pidfd), BROKER_GRANTED);
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    /* A zombie still has its pid, and is no target. */
    assert_int_equal(identity_of_pidfd(pidfd, &seen), BROKER_GRANTED);
    assert_int_equal(identity_is_alive(pidfd), BROKER_GONE);
    /* Nor is it one that hides: its files are root's, as those of all that have no memory. */
    const struct policy_caller user = {54321, 54321, 1};
    assert_int_equal(identity_read(pid, pid, &t), BROKER_GRANTED);
    assert_true(t.is_ending);
    assert_int_equal(policy_check_target(&user, pid, &t), BROKER_GONE);
    reap(pid);
    assert_int_equal(identity_of_pidfd(pidfd, &seen), BROKER_GONE);
    assert_int_equal(identity_is_alive(pidfd), BROKER_GONE);
    assert_int_equal(identity_read(pid, pid, &t), BROKER_GONE);
    close(pidfd);
}

static void test_dumpability(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    const struct policy_caller user = {54321, 54321, 1};
    struct policy_target t;
    int ready;
    pid_t pid = child_that(become_user, &ready);
    assert_true(ready);
    assert_int_equal(identity_read(pid, pid, &t), BROKER_GRANTED);
    assert_int_equal(policy_check_target(&user, pid, &t), BROKER_GRANTED);
    reap(pid);
    pid = child_that(become_hidden_user, &ready);
    assert_true(ready);
    assert_int_equal(identity_read(pid, pid, &t), BROKER_GRANTED);
    assert_int_equal(policy_check_target(&user, pid, &t), BROKER_NOT_DUMPABLE);
    reap(pid);
    assert_int_equal(identity_read(1, 1, &t), BROKER_GRANTED);
    assert_int_equal(policy_check_target(&user, 1, &t), BROKER_OTHER_USER);
}

static void test_files_that_do_not_fit(void **state)
{
    (void)state;
    char text[8];
    assert_int_equal(identity_read_file("/proc/self/status", text, sizeof(text)), -27); /* EFBIG */
    assert_int_equal(identity_read_file("/nowhere", text, sizeof(text)), -2);
    assert_int_equal(identity_read_file("/dev/null", text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_small_texts),
        cmocka_unit_test(test_ourselves),
        cmocka_unit_test(test_other_descriptors),
        cmocka_unit_test(test_the_end_of_a_process),
        cmocka_unit_test(test_dumpability),
        cmocka_unit_test(test_files_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
