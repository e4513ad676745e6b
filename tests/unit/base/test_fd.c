/* test_fd.c - files of others are opened as what they are, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/stax-fd-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    struct buf command = {0};
    buf_addf(&command, "rm -r '%s'", folder);
    int rc = system(buf_str(&command)); // NOLINT
    buf_free(&command);
    return rc;
}

static void path_in(const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", folder, name);
}

static void regular_files_only(void **state)
{
    (void)state;
    char path[128], link[128], nowhere[128];
    struct stat st;
    path_in("file", path);
    path_in("link", link);
    path_in("nowhere", nowhere);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, "text", 4), 0);
    close(fd);
    assert_int_equal(symlink("file", link), 0);
    fd = fd_open_regular(link, &st);
    assert_true(fd >= 0);
    assert_int_equal(st.st_size, 4);
    struct buf text = {0};
    assert_int_equal(fd_read_all(fd, 100, &text), 0);
    assert_string_equal(buf_str(&text), "text");
    buf_free(&text);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
    assert_int_equal(fd_open_regular(nowhere, &st), -ENOENT);
    assert_int_equal(fd_open_regular(folder, &st), -EINVAL);
    assert_int_equal(fd_open_regular("/dev/null", &st), -EINVAL);
    fd = fd_open_regular("/proc/self/exe", &st);
    assert_true(fd >= 0);
    close(fd);
}

/* Whoever waits at the other end of a FIFO is not woken, and what a device does when it is opened
 * is not done: nothing is opened. */
static void others_are_not_opened(void **state)
{
    (void)state;
    char path[128];
    char events[4096];
    struct stat st;
    path_in("fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int seen = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(inotify_add_watch(seen, path, IN_OPEN) >= 0);
    assert_int_equal(fd_open_regular(path, &st), -EINVAL);
    assert_int_equal(read(seen, events, sizeof(events)), -1);
    assert_int_equal(errno, EAGAIN);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* such an opening would be seen */
    assert_true(read(seen, events, sizeof(events)) > 0);
    close(fd);
    close(seen);
}

/* Files in memory are read from their start. */
static void in_memory(void **state)
{
    (void)state;
    struct buf bytes = {0}, again = {0};
    buf_addstr(&bytes, "some text");
    int fd = fd_in_memory("a-name", &bytes);
    assert_true(fd >= 0);
    assert_int_equal(fd_read_all(fd, 100, &again), 0);
    assert_string_equal(buf_str(&again), "some text");
    fd_close(&fd);
    buf_free(&bytes);
    buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory),
        cmocka_unit_test_setup_teardown(regular_files_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_are_not_opened, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
