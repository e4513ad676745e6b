/* Files that grow while they are followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ingest/jit_follow.h"

/* The names of all loads that come, in order, until there are n of them or 10 s are over. */
static char *names_of(struct jit_follow *f, size_t n, bool is_at_end)
{
    struct buf names = {0};
    int64_t until = clock_monotonic_ns() + INT64_C(10000000000);
    size_t n_names = 0;
    while (n_names < n && clock_monotonic_ns() < until) {
        if (is_at_end) {
            jit_follow_finish(f, 1000);
        }
        struct jit_batch *b = jit_follow_take(f);
        for (size_t i = 0; b && i < b->n_items; i++) {
            buf_addf(&names, "%s ", jit_batch_str(b, b->items[i].name));
            n_names++;
        }
        if (b && b->note) {
            buf_addf(&names, "(%s) ", b->note);
        }
        if (b) {
            jit_batch_fini(b);
            free(b);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    return buf_take(&names);
}

static void expect(struct jit_follow *f, size_t n, bool is_at_end, const char *want)
{
    char *got = names_of(f, n, is_at_end);
    assert_string_equal(got, want);
    free(got);
}

static void add_load_at(struct buf *b, const char *name, uint64_t address, uint64_t ts)
{
    uint32_t head[] = {0, (uint32_t)(56 + strlen(name) + 1 + 16)};
    uint64_t rest[] = {ts, 0, address, address, 16, 1};
    buf_add(b, head, sizeof(head));
    buf_add(b, rest, sizeof(rest));
    buf_add(b, name, strlen(name) + 1);
    buf_add(b, "0123456789abcdef", 16);
}

static void add_load(struct buf *b, const char *name, uint64_t address)
{
    add_load_at(b, name, address, 1);
}

static void a_dump_grows(void **state)
{
    (void)state;
    struct jit_follow *f = jit_follow_new();
    int fd = memfd_create("dump", MFD_CLOEXEC);
    struct buf b = {0};
    uint32_t header[10] = {0x4a695444, 1, 40, 62};
    buf_add(&b, header, sizeof(header));
    add_load(&b, "one", 0x1000);
    size_t cut = b.len + 30;
    add_load(&b, "two", 0x2000);
    jit_follow_dump(f, 1, fcntl(fd, F_DUPFD_CLOEXEC, 3), 0);
    assert_int_equal(pwrite(fd, b.data, cut, 0), cut);
    expect(f, 1, false, "one ");
    assert_int_equal(pwrite(fd, b.data + cut, b.len - cut, (off_t)cut), b.len - cut);
    expect(f, 1, false, "two ");
    size_t end = b.len;
    add_load(&b, "last", 0x3000);
    assert_int_equal(pwrite(fd, b.data + end, b.len - end, (off_t)end), b.len - end);
    expect(f, 1, true, "last ");
    jit_follow_free(f);
    close(fd);
    buf_free(&b);
}

/* More results than may wait: the file waits instead, and nothing is lost. */
static void a_large_dump_waits_for_its_taker(void **state)
{
    (void)state;
    enum { N = 150000 };
    struct jit_follow *f = jit_follow_new();
    int fd = memfd_create("dump", MFD_CLOEXEC);
    struct buf b = {0};
    uint32_t header[10] = {0x4a695444, 1, 40, 62};
    char name[600];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    buf_add(&b, header, sizeof(header));
    for (int i = 0; i < N; i++) {
        add_load(&b, name, 0x1000 + 16 * (uint64_t)i);
    }
    assert_int_equal(fd_write_all(fd, b.data, b.len), 0);
    jit_follow_dump(f, 1, fd, 0);
    size_t n = 0;
    bool is_done = false;
    while (!is_done) {
        struct jit_batch *batch;
        is_done = jit_follow_finish(f, 200);
        while ((batch = jit_follow_take(f)) != NULL) {
            n += batch->n_items;
            is_done = false;
            jit_batch_fini(batch);
            free(batch);
        }
    }
    assert_int_equal(n, N);
    jit_follow_free(f);
    buf_free(&b);
}

/* The wall clock's times lie in the future. */
static void another_clock_is_said(void **state)
{
    (void)state;
    struct jit_follow *f = jit_follow_new();
    int fd = memfd_create("dump", MFD_CLOEXEC);
    struct buf b = {0};
    uint32_t header[10] = {0x4a695444, 1, 40, 62};
    buf_add(&b, header, sizeof(header));
    add_load_at(&b, "one", 0x1000, (uint64_t)clock_monotonic_ns());
    size_t at = b.len;
    add_load_at(&b, "two", 0x2000, (uint64_t)clock_realtime_ns());
    assert_int_equal(fd_write_all(fd, b.data, b.len), 0);
    jit_follow_dump(f, 1, fd, 0);
    while (!jit_follow_finish(f, 1000)) {
    }
    for (int i = 0; i < 2; i++) {
        struct jit_batch *got = jit_follow_take(f);
        assert_non_null(got);
        assert_int_equal(got->n_items, i == 0);
        if (i == 1) {
            assert_non_null(strstr(got->note, "not of CLOCK_MONOTONIC"));
            assert_int_equal(got->note_at, at);
        }
        jit_batch_fini(got);
        free(got);
    }
    jit_follow_free(f);
    buf_free(&b);
}

/* A record that its writer did not finish is waited for, and told when nobody can write it any
 * more.
 */
static void a_cut_off_record_is_said(void **state)
{
    (void)state;
    const int32_t nobody = INT32_MAX; /* above pid_max */
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        struct jit_follow *f = jit_follow_new();
        int fd = memfd_create("dump", MFD_CLOEXEC);
        struct buf b = {0};
        uint32_t header[10] = {0x4a695444, 1, 40, 62};
        buf_add(&b, header, sizeof(header));
        add_load(&b, "one", 0x1000);
        assert_int_equal(fd_write_all(fd, b.data, b.len - 10), 0);
        jit_follow_dump(f, 1, fd, is_gone ? nobody : getpid());
        while (!jit_follow_finish(f, 1000)) {
        }
        size_t n_notes = 0;
        struct jit_batch *got;
        while ((got = jit_follow_take(f)) != NULL) {
            n_notes += got->note && strstr(got->note, "ends within a record") != NULL &&
                       got->note_at == 40;
            jit_batch_fini(got);
            free(got);
        }
        assert_int_equal(n_notes, is_gone);
        jit_follow_free(f);
        buf_free(&b);
    }
}

static void what_is_no_dump_is_said(void **state)
{
    (void)state;
    struct jit_follow *f = jit_follow_new();
    int fd = memfd_create("dump", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 100), 0);
    jit_follow_dump(f, 1, fd, 0);
    while (!jit_follow_finish(f, 1000)) {
    }
    struct jit_batch *b = jit_follow_take(f);
    assert_non_null(b);
    assert_int_equal(b->source, 1);
    assert_string_equal(b->note, "not a jitdump");
    jit_batch_fini(b);
    free(b);
    jit_follow_free(f);
}

static void write_map(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_map_appears_grows_and_begins_anew(void **state)
{
    (void)state;
    char path[64];
    struct jit_follow *f = jit_follow_new();
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    unlink(path);
    jit_follow_map(f, 1, getpid());
    nanosleep(&(struct timespec){.tv_nsec = 120000000}, NULL);
    write_map(path, "1000 10 one\n2000 10 tw", O_TRUNC);
    expect(f, 1, false, "one ");
    write_map(path, "o\n", O_APPEND);
    expect(f, 1, false, "two ");
    write_map(path, "3000 10 new\n", O_TRUNC);
    expect(f, 1, false, "new ");
    write_map(path, "4000 10 last\n", O_APPEND);
    expect(f, 1, true, "last ");
    jit_follow_free(f);
    unlink(path);
}

/* The last line has no end: it is as long as it is when its process has ended, and nobody asked for
 * that yet. */
static void a_map_ends_with_its_process(void **state)
{
    (void)state;
    char path[64], byte;
    int ready[2], stay[2];
    assert_int_equal(pipe(ready) + pipe(stay), 0);
    pid_t child = fork();
    if (child == 0) {
        close(stay[1]);
        snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
        write_map(path, "1000 10 one\n2000 10 last", O_TRUNC);
        bool is_told = write(ready[1], "", 1) == 1;
        _exit(!is_told || read(stay[0], &byte, 1) > 0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct jit_follow *f = jit_follow_new();
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)child);
    jit_follow_map(f, 1, child);
    expect(f, 1, true, "one ");
    for (int i = 0; i < 2; i++) {
        while (!jit_follow_finish(f, 1000)) {
        }
    }
    assert_null(jit_follow_take(f)); /* it may go on */
    int64_t before = clock_monotonic_ns();
    close(stay[1]);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    while (!jit_follow_finish(f, 1000)) {
    }
    struct jit_batch *b = jit_follow_take(f);
    assert_non_null(b);
    assert_int_equal(b->n_items, 1);
    assert_string_equal(jit_batch_str(b, b->items[0].name), "last");
    assert_in_range(b->items[0].ts, 0, before); /* since it was seen first */
    jit_batch_fini(b);
    free(b);
    jit_follow_free(f);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    close(stay[0]);
    unlink(path);
}

/* Left by an earlier process of this pid, a link, or no file. */
static void other_maps_are_not_taken(void **state)
{
    (void)state;
    char path[64], target[80];
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    snprintf(target, sizeof(target), "%s-target", path);
    for (int kind = 0; kind < 3; kind++) {
        struct jit_follow *f = jit_follow_new();
        unlink(path);
        if (kind == 0) {
            write_map(path, "1000 10 stale\n", O_TRUNC);
            struct timespec old[2] = {{.tv_sec = time(NULL) - 86400},
                                      {.tv_sec = time(NULL) - 86400}};
            assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        } else if (kind == 1) {
            write_map(target, "1000 10 linked\n", O_TRUNC);
            assert_int_equal(symlink(target, path), 0);
        } else {
            assert_int_equal(mkfifo(path, 0600), 0);
        }
        jit_follow_map(f, 1, getpid());
        while (!jit_follow_finish(f, 1000)) {
        }
        assert_null(jit_follow_take(f));
        jit_follow_free(f);
    }
    unlink(path);
    unlink(target);
}

/* Room is given back by processes that are gone, and what they wrote last is read. */
static void room_comes_back(void **state)
{
    (void)state;
    struct jit_follow *f = jit_follow_new();
    const int32_t nobody = INT32_MAX;               /* above pid_max */
    for (uint32_t i = 0; i < JIT_FOLLOW_MAX; i++) { /* no process: no map can come */
        assert_true(jit_follow_map(f, i + 1, nobody));
        if (i % 512 == 0) {
            while (!jit_follow_finish(f, 1000)) {
            }
        }
    }
    while (!jit_follow_finish(f, 1000)) {
    }
    struct buf b = {0};
    uint32_t header[10] = {0x4a695444, 1, 40, 62};
    buf_add(&b, header, sizeof(header));
    add_load(&b, "one", 0x1000);
    int fd = memfd_create("dump", MFD_CLOEXEC);
    assert_int_equal(fd_write_all(fd, b.data, b.len), 0);
    assert_true(jit_follow_dump(f, 1, fd, nobody));
    expect(f, 1, true, "one ");
    int n_held = 0;
    while (n_held < JIT_FOLLOW_MAX && jit_follow_map(f, 1, getpid())) {
        n_held++;
    }
    assert_int_equal(n_held, JIT_FOLLOW_MAX);
    assert_false(jit_follow_map(f, 1, getpid()));
    jit_follow_free(f);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_grows),
        cmocka_unit_test(a_large_dump_waits_for_its_taker),
        cmocka_unit_test(what_is_no_dump_is_said),
        cmocka_unit_test(another_clock_is_said),
        cmocka_unit_test(a_cut_off_record_is_said),
        cmocka_unit_test(a_map_ends_with_its_process),
        cmocka_unit_test(a_map_appears_grows_and_begins_anew),
        cmocka_unit_test(room_comes_back),
        cmocka_unit_test(other_maps_are_not_taken),
    };
    return cmocka_run_group_tests_name("jit_follow", tests, NULL, NULL);
}
