/* Tables of files as a target may have them: shared, replaced, deleted, damaged, too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/address_space.h"
#include "capture/cfi_cache.h"
#include "capture/hanging_mount.h"

enum { ROOM = 64 << 20, PATIENCE_MS = 10000 };
static const int64_t LATER_NS = 1000000000; /* long enough for a file to be looked at again */

struct fixture {
    struct cfi_cache *cache;
    char folder[64];
    struct buf program; /* this test program: an ELF file with unwind information */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/stax-cfi-cache-XXXXXX");
    struct err e;
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(fd_read_file("/proc/self/exe", 64 << 20, &f->program), 0);
    assert_int_equal(cfi_cache_new(&f->cache, &unwind_x86_64, ROOM, &e), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct buf command = {0};
    buf_addf(&command, "rm -r '%s'", f->folder);
    cfi_cache_free(f->cache);
    assert_int_equal(system(buf_str(&command)), 0); // NOLINT
    buf_free(&command);
    buf_free(&f->program);
    free(f);
    return 0;
}

static void path_in(const struct fixture *f, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", f->folder, name);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, n), 0);
    close(fd);
}

/* As if it was mapped by this process, at ts. */
static struct cfi_binary *get(struct fixture *f, const char *path, ino_t inode, int64_t ts)
{
    const struct cfi_file file = {.pid = getpid(),
                                  .start = 0x1000,
                                  .end = 0x2000,
                                  .device = 1,
                                  .inode = inode,
                                  .path = path,
                                  .path_len = strlen(path),
                                  .ts = ts};
    return cfi_cache_get(f->cache, &file);
}

static struct cfi_binary *get_file(struct fixture *f, const char *path, int64_t ts)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return get(f, path, st.st_ino, ts);
}

static struct cfi_cache_stats stats_of(const struct fixture *f)
{
    struct cfi_cache_stats stats;
    cfi_cache_get_stats(f->cache, &stats);
    return stats;
}

/* Until all that was asked for is done, however busy the host. */
static void wait_for(struct fixture *f, const struct cfi_binary *b)
{
    int64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000LL;
    while (stats_of(f).n_pending && clock_monotonic_ns() < end) {
        struct pollfd p = {.fd = cfi_cache_fd(f->cache), .events = POLLIN};
        poll(&p, 1, 100);
        cfi_cache_collect(f->cache);
    }
    assert_false(cfi_binary_is_pending(b));
}

/* Until nobody would wait for it any more: it is there, or given up. */
static void wait_until_settled(struct fixture *f, const struct cfi_binary *b)
{
    int64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000LL;
    while (cfi_binary_is_pending(b) && clock_monotonic_ns() < end) {
        struct pollfd p = {.fd = cfi_cache_fd(f->cache), .events = POLLIN};
        poll(&p, 1, 100);
        cfi_cache_collect(f->cache);
    }
    assert_false(cfi_binary_is_pending(b));
}

static void test_shared(void **state)
{
    struct fixture *f = *state;
    char path[128];
    path_in(f, "program", path);
    write_file(path, f->program.data, f->program.len);
    int64_t now = clock_monotonic_ns();
    struct cfi_binary *first = get_file(f, path, now), *second = get_file(f, path, now);
    assert_ptr_equal(first, second);
    assert_true(cfi_binary_is_pending(first));
    assert_null(cfi_binary_table(first));
    wait_for(f, first);
    assert_non_null(cfi_binary_table(first));
    assert_int_equal(stats_of(f).n_made, 1);
    assert_true(stats_of(f).n_bytes > 0);
    cfi_binary_unref(first);
    cfi_binary_unref(second);
    /* Nothing to collect: the descriptor does not wake anybody. */
    struct pollfd p = {.fd = cfi_cache_fd(f->cache), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* Mapped again later: looked at again, and made again only if it changed. */
static void test_looked_at_again(void **state)
{
    struct fixture *f = *state;
    char path[128];
    path_in(f, "program", path);
    write_file(path, f->program.data, f->program.len);
    struct cfi_binary *b = get_file(f, path, clock_monotonic_ns());
    wait_for(f, b);
    assert_ptr_equal(get_file(f, path, clock_monotonic_ns() + LATER_NS), b);
    assert_true(cfi_binary_is_pending(b));
    wait_for(f, b);
    assert_int_equal(stats_of(f).n_made, 1);
    /* The same inode with other content: a file that was given the inode of a deleted one. */
    write_file(path, f->program.data, f->program.len / 2);
    assert_ptr_equal(get_file(f, path, clock_monotonic_ns() + 2 * LATER_NS), b);
    wait_for(f, b);
    assert_true(stats_of(f).n_made + stats_of(f).n_unread == 2);
    for (int i = 0; i < 3; i++) {
        cfi_binary_unref(b);
    }
}

static void test_not_the_file(void **state)
{
    struct fixture *f = *state;
    char path[128], fifo[128], damaged[128], text[128];
    path_in(f, "program", path);
    path_in(f, "fifo", fifo);
    path_in(f, "damaged", damaged);
    path_in(f, "text", text);
    write_file(path, f->program.data, f->program.len);
    write_file(text, "#!/bin/sh\n", 10);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    memset(f->program.data + 40, 0xff, 24); /* section and program headers far away */
    write_file(damaged, f->program.data, f->program.len);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int64_t now = clock_monotonic_ns();
    struct cfi_binary *binaries[] = {get(f, path, st.st_ino + 100000, now), get_file(f, fifo, now),
                                     get_file(f, damaged, now), get_file(f, text, now),
                                     get(f, "/there/is/no/such/file", 99, now)};
    for (size_t i = 0; i < sizeof(binaries) / sizeof(binaries[0]); i++) {
        wait_for(f, binaries[i]);
        assert_null(cfi_binary_table(binaries[i]));
        cfi_binary_unref(binaries[i]);
    }
    assert_int_equal(stats_of(f).n_unread, 5);
    assert_int_equal(stats_of(f).n_made, 0);
    assert_null(get(f, "[heap]", 0, now));
    assert_null(get(f, "", 7, now));
}

/* Deleted since: what maps files calls it, and the link to the very file. */
static void test_deleted(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat("/proc/self/exe", &st), 0);
    struct cfi_binary *b = get(f, "/was/here/program (deleted)", st.st_ino, clock_monotonic_ns());
    wait_for(f, b);
    assert_non_null(cfi_binary_table(b));
    cfi_binary_unref(b);
    char path[128], shown[160];
    path_in(f, "library", path);
    write_file(path, f->program.data, f->program.len);
    snprintf(shown, sizeof(shown), "%s (deleted)", path);
    assert_int_equal(stat(path, &st), 0);
    b = get(f, shown, st.st_ino, clock_monotonic_ns());
    wait_for(f, b);
    assert_non_null(cfi_binary_table(b));
    cfi_binary_unref(b);
}

/* A cache for two tables: those in use stay, of the others the oldest goes, and what finds no room
 * is dropped. */
static void test_bound(void **state)
{
    struct fixture *f = *state;
    char paths[4][128];
    struct err e;
    struct cfi_binary *b[4];
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%d", i);
        path_in(f, name, paths[i]);
        write_file(paths[i], f->program.data, f->program.len);
    }
    b[0] = get_file(f, paths[0], clock_monotonic_ns());
    wait_for(f, b[0]);
    size_t n_bytes = stats_of(f).n_bytes;
    cfi_binary_unref(b[0]);
    cfi_cache_free(f->cache);
    assert_int_equal(cfi_cache_new(&f->cache, &unwind_x86_64, n_bytes * 2 + n_bytes / 2, &e), 0);
    for (int i = 0; i < 2; i++) {
        b[i] = get_file(f, paths[i], clock_monotonic_ns());
        wait_for(f, b[i]);
    }
    cfi_binary_unref(b[0]);
    b[2] = get_file(f, paths[2], clock_monotonic_ns());
    wait_for(f, b[2]);
    assert_non_null(cfi_binary_table(b[1]));
    assert_non_null(cfi_binary_table(b[2]));
    assert_int_equal(stats_of(f).n_binaries, 3); /* with the vDSO */
    b[3] = get_file(f, paths[3], clock_monotonic_ns());
    wait_for(f, b[3]);
    assert_null(cfi_binary_table(b[3]));
    assert_int_equal(stats_of(f).n_dropped, 1);
    assert_true(stats_of(f).n_bytes <= n_bytes * 2 + n_bytes / 2);
    /* It is not made again at once, but later, and dropped again. */
    cfi_binary_unref(get_file(f, paths[3], clock_monotonic_ns() + LATER_NS));
    assert_int_equal(stats_of(f).n_pending, 0);
    cfi_binary_unref(get_file(f, paths[3], clock_monotonic_ns() + 20 * LATER_NS));
    wait_for(f, b[3]);
    assert_null(cfi_binary_table(b[3]));
    assert_int_equal(stats_of(f).n_dropped, 2);
    /* The one that was given up is made again when it is mapped again and there is room. */
    cfi_binary_unref(b[1]);
    b[0] = get_file(f, paths[0], clock_monotonic_ns());
    wait_for(f, b[0]);
    assert_non_null(cfi_binary_table(b[0]));
    cfi_binary_unref(b[0]);
    cfi_binary_unref(b[2]);
    /* A table was freed since: there may be room for the one that was dropped. */
    cfi_binary_unref(get_file(f, paths[3], clock_monotonic_ns() + LATER_NS));
    wait_for(f, b[3]);
    assert_non_null(cfi_binary_table(b[3]));
    cfi_binary_unref(b[3]);
}

/* In an address space: pending until it is there, and then with its bias. */
static void test_in_an_address_space(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct unwind_code code;
    struct address_space *s = NULL;
    path_in(f, "program", path);
    write_file(path, f->program.data, f->program.len);
    struct address_mapping m = {.start = 0x10000000, .end = 0x18000000};
    m.binary = get_file(f, path, clock_monotonic_ns());
    address_space_map(&s, &m);
    assert_int_equal(address_space_find(s, 0x10000000, &code), UNWIND_CODE_PENDING);
    wait_for(f, m.binary);
    assert_int_equal(address_space_find(s, 0x10000000, &code), UNWIND_CODE);
    /* File offset 0 is no code of this program, an offset far beyond its end is of no file. */
    address_space_unref(s);
    s = NULL;
    m = (struct address_mapping){.start = 0x10000, .end = 0x20000, .file_offset = 1ull << 40};
    m.binary = get_file(f, path, clock_monotonic_ns());
    wait_for(f, m.binary); /* on a busy host it is looked at again */
    address_space_map(&s, &m);
    assert_int_equal(address_space_find(s, 0x10000, &code), UNWIND_CODE);
    assert_null(code.table);
    address_space_unref(s);
    s = NULL;
    m = (struct address_mapping){
        .start = 0x10000, .end = 0x12000, .binary = cfi_cache_vdso(f->cache)};
    address_space_map(&s, &m);
    assert_int_equal(address_space_find(s, 0x10000, &code), UNWIND_CODE);
    assert_non_null(code.table);
    address_space_unref(s);
}

/* A target that maps ever new files: those in use stay known, the others are forgotten. */
static void test_ever_new_files(void **state)
{
    struct fixture *f = *state;
    enum { N = 8000, BOUND = 2500 };
    char path[128];
    size_t most = 0;
    path_in(f, "program", path);
    write_file(path, f->program.data, f->program.len);
    struct cfi_binary *kept = get_file(f, path, clock_monotonic_ns());
    wait_for(f, kept);
    for (ino_t i = 0; i < N; i++) {
        struct cfi_binary *b = get(f, "/there/is/no/such/file", 1000000 + i, clock_monotonic_ns());
        if (i % 100 == 0) {
            wait_for(f, b); /* and those before it */
        }
        cfi_binary_unref(b);
        most = stats_of(f).n_known > most ? stats_of(f).n_known : most;
    }
    assert_in_range(most, 100, BOUND);
    assert_non_null(cfi_binary_table(kept));
    assert_ptr_equal(get_file(f, path, clock_monotonic_ns()), kept);
    assert_int_equal(stats_of(f).n_made, 1);
    cfi_binary_unref(kept);
    cfi_binary_unref(kept);
}

/* Files that hang when they are opened: nothing waits for them for long, others get their tables
 * meanwhile. When they come back all goes on. */
static void test_hanging_files(void **state)
{
    struct fixture *f = *state;
    enum { N = 6 };
    static const int64_t SECOND_NS = 1000000000;
    struct hanging_mount mount;
    struct cfi_binary *hanging[N];
    char dead[128], path[128], other[128], file[160];
    path_in(f, "dead", dead);
    path_in(f, "program", path);
    path_in(f, "other", other);
    assert_int_equal(mkdir(dead, 0700), 0);
    write_file(path, f->program.data, f->program.len);
    write_file(other, f->program.data, f->program.len);
    if (!hanging_mount_open(&mount, dead)) {
        print_message("skip - files that hang: this user may not mount\n");
        skip();
    }
    snprintf(file, sizeof(file), "%s/library.so", dead);
    int64_t began = clock_monotonic_ns();
    hanging[0] = get(f, file, 7, began);
    struct cfi_binary *good = get_file(f, path, began);
    wait_until_settled(f, good);
    assert_non_null(cfi_binary_table(good));
    wait_until_settled(f, hanging[0]);
    assert_null(cfi_binary_table(hanging[0]));
    assert_true(clock_monotonic_ns() - began < 3 * SECOND_NS);
    for (ino_t i = 1; i < N; i++) {
        hanging[i] = get(f, file, 7 + i, clock_monotonic_ns());
    }
    for (int i = 1; i < N; i++) {
        wait_until_settled(f, hanging[i]);
    }
    assert_true(clock_monotonic_ns() - began < 8 * SECOND_NS);
    assert_int_equal(stats_of(f).n_pending, N);
    /* With every thread hanging nothing is waited for at all. */
    struct cfi_binary *late = get_file(f, other, clock_monotonic_ns());
    cfi_cache_collect(f->cache);
    assert_false(cfi_binary_is_pending(late));
    hanging_mount_close(&mount);
    for (int i = 0; i < 1000 && stats_of(f).n_pending; i++) {
        usleep(10000);
        cfi_cache_collect(f->cache);
    }
    assert_int_equal(stats_of(f).n_pending, 0);
    assert_non_null(cfi_binary_table(late));
    for (int i = 0; i < N; i++) {
        cfi_binary_unref(hanging[i]);
    }
    cfi_binary_unref(good);
    cfi_binary_unref(late);
}

static void test_end_while_hanging(void **state)
{
    struct fixture *f = *state;
    struct hanging_mount mount;
    struct cfi_cache *own = f->cache, *cache;
    struct err e;
    char dead[128], file[160];
    path_in(f, "dead", dead);
    assert_int_equal(mkdir(dead, 0700), 0);
    if (!hanging_mount_open(&mount, dead)) {
        print_message("skip - the end while files hang: this user may not mount\n");
        skip();
    }
    snprintf(file, sizeof(file), "%s/library.so", dead);
    assert_int_equal(cfi_cache_new(&cache, &unwind_x86_64, ROOM, &e), 0);
    f->cache = cache;
    struct cfi_binary *b = get(f, file, 7, clock_monotonic_ns());
    wait_until_settled(f, b);
    cfi_binary_unref(b);
    int64_t began = clock_monotonic_ns();
    cfi_cache_free(cache);
    assert_true(clock_monotonic_ns() - began < 2000000000);
    f->cache = own;
    hanging_mount_close(&mount);
}

/* The end does not wait for what nobody needs any more. */
static void test_end_with_work_left(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++) {
        char name[16], path[128];
        snprintf(name, sizeof(name), "p%d", i);
        path_in(f, name, path);
        write_file(path, f->program.data, f->program.len);
        cfi_binary_unref(get_file(f, path, clock_monotonic_ns()));
    }
    assert_true(stats_of(f).n_pending > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looked_at_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deleted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_an_address_space, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ever_new_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hanging_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_while_hanging, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_with_work_left, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
