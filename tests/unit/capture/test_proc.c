/* What /proc says, parsed: ordinary lines, hostile ones, and our own process as the example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/prctl.h>

#include "base/err.h"
#include "base/fd.h"
#include "capture/proc.h"

static void test_maps(void **state)
{
    (void)state;
    static const char text[] =
        "00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/dbus daemon (deleted)\n"
        "00e03000-00e24000 rw-p 00000000 00:00 0           [heap]\n"
        "7f0000000000-7f0000001000 r-xp 00000000 00:00 0\n"
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]";
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_int_equal(m.start, 0x400000);
    assert_int_equal(m.end, 0x452000);
    assert_int_equal(m.file_offset, 0x1000);
    assert_int_equal(m.device, (uint64_t)8 << 32 | 2);
    assert_int_equal(m.inode, 173521);
    assert_true(m.is_executable);
    assert_int_equal(m.path_len, strlen("/usr/bin/dbus daemon (deleted)"));
    assert_memory_equal(m.path, "/usr/bin/dbus daemon (deleted)", m.path_len);
    assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_false(m.is_executable);
    assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_int_equal(m.path_len, 0);
    assert_true(m.is_executable);
    assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_int_equal(m.end, 0xffffffffff601000);
    assert_memory_equal(m.path, "[vsyscall]", m.path_len);
    assert_false(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_int_equal(n_bad, 0);
}

static void test_hostile_maps(void **state)
{
    (void)state;
    static const char text[] = "\n"
                               "-\n"
                               "0-0 r-xp 0 0:0 0\n"
                               "2000-1000 r-xp 0 0:0 0 backwards\n"
                               "1000-2000 r-\n"
                               "1000-2000 r-xp zz 0:0 0 x\n"
                               "10000000000000000-10000000000001000 r-xp 0 0:0 0 too large\n"
                               "1000-2000 r-xp 0 0:0 99999999999999999999999 x\n"
                               "\xff\xfe\n"
                               "1000-2000 r-xp 0 0:0 1 \x1b[31m\xff ok\n"
                               "3000-4000 r-xp 0 0:0";
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    while (m.inode != 1) { /* the one with too large an inode is read up to the digit that fits */
        assert_true(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    }
    assert_memory_equal(m.path, "\x1b[31m\xff ok", m.path_len);
    assert_false(proc_next_mapping(text, strlen(text), &at, &m, &n_bad));
    assert_true(n_bad >= 9);
}

static void check_stat(const char *text, int rc, char letter, pid_t parent_pid, uint64_t cpu_ticks,
                       int64_t start_ticks)
{
    struct proc_stat stat;
    assert_int_equal(proc_parse_stat(text, strlen(text), &stat), rc);
    if (rc == 0) {
        assert_int_equal(stat.state, letter);
        assert_int_equal(stat.parent_pid, parent_pid);
        assert_int_equal(stat.cpu_ticks, cpu_ticks);
        assert_int_equal(stat.start_ticks, start_ticks);
    }
}

static void test_stat(void **state)
{
    (void)state;
    check_stat("7 (sh) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8814 1 1\n", 0, 'S', 3, 11,
               8814);
    check_stat("7 (a) Z 9 (b)) R 4 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12 1 1\n", 0, 'R', 4,
               11, 12);
    check_stat("", STAX_ECORRUPT, 0, 0, 0, 0);
    check_stat("7 (sh", STAX_ECORRUPT, 0, 0, 0, 0);
    check_stat("7 (sh)", STAX_ECORRUPT, 0, 0, 0, 0);
    check_stat("7 (sh) S x", STAX_ECORRUPT, 0, 0, 0, 0);
    check_stat("7 (sh) S 3 7 7 0 -1", STAX_ECORRUPT, 0, 0, 0, 0);
    check_stat("7 (sh) S 99999999999999999999 7", STAX_ECORRUPT, 0, 0, 0, 0);
}

static void check_cpus(const char *text, int rc, size_t n, pid_t last)
{
    struct pid_list cpus = {0};
    assert_int_equal(proc_parse_cpus(text, &cpus), rc);
    if (rc == 0) {
        assert_int_equal(cpus.n, n);
        assert_int_equal(cpus.pids[n - 1], last);
    }
    pid_list_free(&cpus);
}

static void test_exiting(void **state)
{
    (void)state;
    static const char alive[] = "7 (sh) R 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8814 1 1\n";
    static const char exiting[] = "7 (sh) R 3 7 7 0 -1 4194564 1 2 3 4 5 6 7 8 20 0 1 0 8814 1\n";
    struct proc_stat stat;
    assert_int_equal(proc_parse_stat(alive, strlen(alive), &stat), 0);
    assert_false(stat.is_exiting);
    assert_int_equal(proc_parse_stat(exiting, strlen(exiting), &stat), 0);
    assert_true(stat.is_exiting);
}

static void test_cpus(void **state)
{
    (void)state;
    check_cpus("0\n", 0, 1, 0);
    check_cpus("0-3,8,10-11\n", 0, 7, 11);
    check_cpus("", STAX_ECORRUPT, 0, 0);
    check_cpus("3-1\n", STAX_ECORRUPT, 0, 0);
    check_cpus("0-999999999\n", STAX_ECORRUPT, 0, 0);
    check_cpus("0;1\n", STAX_ECORRUPT, 0, 0);
}

static void test_self(void **state)
{
    (void)state;
    struct proc_stat stat;
    pid_t self = getpid(), group = 0;
    assert_int_equal(proc_read_stat(self, 0, &stat), 0);
    assert_int_equal(stat.parent_pid, getppid());
    assert_int_equal(proc_read_group(self, &group), 0);
    assert_int_equal(group, self);
    assert_true(proc_is_alive(self));
    assert_int_equal(prctl(PR_SET_NAME, "odd ) name"), 0);
    struct buf name = {0};
    assert_int_equal(proc_read_name(self, 0, &name), 0);
    assert_string_equal(buf_str(&name), "odd ) name");
    buf_free(&name);
    assert_int_equal(proc_read_stat(self, self, &stat), 0);
    struct buf text = {0};
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    bool is_found = false;
    uint64_t here = (uint64_t)(uintptr_t)&test_self;
    assert_int_equal(proc_read_maps(self, &text), 0);
    while (proc_next_mapping(buf_str(&text), text.len, &at, &m, &n_bad)) {
        is_found |= m.is_executable && m.start <= here && here < m.end && m.inode;
    }
    buf_free(&text);
    assert_true(is_found);
    assert_int_equal(n_bad, 0);
    struct pid_list list = {0};
    assert_int_equal(proc_list_threads(self, &list), 0);
    assert_int_equal(list.n, 1);
    assert_int_equal(proc_list_descendants(getppid(), &list), 0);
    assert_int_equal(list.pids[1], getppid());
    is_found = false;
    for (size_t i = 2; i < list.n; i++) {
        is_found |= list.pids[i] == self;
    }
    assert_true(is_found);
    pid_list_free(&list);
}

static void test_gone(void **state)
{
    (void)state;
    struct proc_stat stat;
    struct buf text = {0};
    pid_t none = 0x7ffffff0; /* above any pid_max */
    assert_int_equal(proc_read_stat(none, 0, &stat), STAX_ENOTFOUND);
    assert_int_equal(proc_read_maps(none, &text), STAX_ENOTFOUND);
    assert_false(proc_is_alive(none));
    buf_free(&text);
}

/* A process is told from a later one with its pid, also when the machine was suspended for hours in
 * between, which the clock of records does not count. */
static void test_was_there(void **state)
{
    (void)state;
    const int64_t second_ns = 1000000000, ticks = sysconf(_SC_CLK_TCK);
    const int64_t seen_ns = 100 * second_ns, hours = 10 * 3600;
    struct proc_stat stat = {.start_ticks = 100 * ticks};
    assert_true(proc_was_there(&stat, seen_ns));
    stat.start_ticks = 100 * ticks + ticks / 10; /* rounded up */
    assert_true(proc_was_there(&stat, seen_ns));
    stat.start_ticks = 102 * ticks; /* right after; and after a suspend, too */
    assert_false(proc_was_there(&stat, seen_ns));
    stat.start_ticks = (100 + hours) * ticks;
    assert_false(proc_was_there(&stat, seen_ns));
    assert_true(proc_was_there(&stat, seen_ns + hours * second_ns));
    stat.start_ticks = INT64_MAX;
    assert_false(proc_was_there(&stat, seen_ns));
    /* Ours, by the clock that both are of, whatever the others say. */
    assert_int_equal(proc_read_stat(getpid(), 0, &stat), 0);
    assert_true(proc_was_there(&stat, clock_boottime_ns()));
    assert_false(proc_was_there(&stat, clock_boottime_ns() - 3600 * second_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),      cmocka_unit_test(test_hostile_maps),
        cmocka_unit_test(test_stat),      cmocka_unit_test(test_exiting),
        cmocka_unit_test(test_was_there), cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_self),      cmocka_unit_test(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
