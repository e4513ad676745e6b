/* A jitdump with unwinding info, as it grows: what is told of an address at a time. */
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
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/jit_cfi.h"

#include "frame_bytes.h"

enum { CODE = FRAME_ADDRESS - 0x40, CODE_BYTES = 0x3c, HEADER = 20, PATIENCE_MS = 10000 };

struct fixture {
    struct jit_cfi *jit;
    struct jit_dump *dump;
    int fd;
    char path[128];
};

static void put(struct buf *b, uint64_t v, size_t n)
{
    buf_add(b, (const char *)&v, n);
}

static void put_record(struct buf *b, uint32_t id, size_t size, int64_t ts)
{
    put(b, id, 4);
    put(b, size, 4);
    put(b, (uint64_t)ts, 8);
}

/* Of code at CODE whose CFA is rsp + cfa. */
static void put_unwinding(struct buf *b, uint8_t cfa)
{
    struct frame_bytes f = {0};
    const uint8_t program[] = {0x0e, cfa};
    frame_cie(&f, "zR");
    frame_fde(&f, CODE, CODE_BYTES, program, sizeof(program));
    frame_put(&f, 0, 4);
    put_record(b, 4, 40 + f.n + HEADER, 1);
    put(b, f.n + HEADER, 8);
    put(b, HEADER, 8);
    put(b, 0, 8);
    buf_add(b, (const char *)f.bytes, f.n);
    for (int i = 0; i < HEADER; i++) {
        buf_addch(b, 1);
    }
}

static void put_load(struct buf *b, int64_t ts)
{
    put_record(b, 0, 56 + 2 + CODE_BYTES, ts);
    put(b, 1, 4);
    put(b, 1, 4);
    put(b, CODE, 8);
    put(b, CODE, 8);
    put(b, CODE_BYTES, 8);
    put(b, 1, 8);
    buf_add(b, "f", 2);
    for (int i = 0; i < CODE_BYTES; i++) {
        buf_addch(b, 0);
    }
}

static void put_move(struct buf *b, int64_t ts, uint64_t from, uint64_t to)
{
    put_record(b, 1, 64, ts);
    put(b, 1, 8);
    put(b, to, 8);
    put(b, from, 8);
    put(b, to, 8);
    put(b, CODE_BYTES, 8);
    put(b, 1, 8);
}

static void append(struct fixture *f, struct buf *b)
{
    assert_int_equal(fd_write_all(f->fd, b->data, b->len), 0);
    buf_free(b);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e;
    struct stat st;
    struct buf b = {0};
    snprintf(f->path, sizeof(f->path), "/tmp/jit-%d.dump", (int)getpid());
    f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(f->fd >= 0 && fstat(f->fd, &st) == 0);
    put(&b, 0x4a695444, 4);
    put(&b, 1, 4);
    put(&b, 40, 8);
    put(&b, 0, 8);
    put(&b, 0, 8);
    put(&b, 0, 8);
    append(f, &b);
    assert_int_equal(jit_cfi_new(&f->jit, &unwind_x86_64, 1 << 20, &e), 0);
    struct cfi_file file = {.pid = getpid(),
                            .start = 0x1000,
                            .end = 0x2000,
                            .inode = st.st_ino,
                            .path = f->path,
                            .path_len = strlen(f->path)};
    assert_true(jit_cfi_is_dump(&file));
    f->dump = jit_cfi_follow(f->jit, &file);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    jit_dump_unref(f->dump);
    jit_cfi_free(f->jit);
    fd_close(&f->fd);
    unlink(f->path);
    free(f);
    return 0;
}

/* Once it is not pending any more. */
static enum unwind_found find(struct fixture *f, uint64_t pc, int64_t ts, struct unwind_code *code)
{
    int64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000LL;
    enum unwind_found found;
    while ((found = jit_dump_find(f->dump, pc, ts, code)) == UNWIND_CODE_PENDING &&
           clock_monotonic_ns() < end) {
        struct pollfd p = {.fd = jit_cfi_fd(f->jit), .events = POLLIN};
        poll(&p, 1, 100);
        jit_cfi_collect(f->jit);
    }
    return found;
}

static int cfa_at(struct fixture *f, uint64_t pc, int64_t ts)
{
    struct unwind_code code = {0};
    if (find(f, pc, ts, &code) != UNWIND_CODE || !code.table) {
        return -1;
    }
    const uint32_t *rule = cfi_table_find(code.table, pc - code.bias);
    return rule ? cfi_rule_cfa_offset(rule) : 0;
}

static void code_is_unwound_as_it_was_then(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    int64_t first = clock_monotonic_ns();
    put_unwinding(&b, 16);
    put_load(&b, first);
    append(f, &b);
    assert_int_equal(cfa_at(f, CODE + 4, clock_monotonic_ns()), 16);
    assert_int_equal(cfa_at(f, CODE - 1, first + 1), -1);
    int64_t second = clock_monotonic_ns(); /* other code takes its place */
    put_unwinding(&b, 32);
    put_load(&b, second);
    append(f, &b);
    assert_int_equal(cfa_at(f, CODE + 4, clock_monotonic_ns()), 32);
    assert_int_equal(cfa_at(f, CODE + 4, second - 1), 16);
    int64_t third = clock_monotonic_ns();
    put_move(&b, third, CODE, 0x90000);
    append(f, &b);
    assert_int_equal(cfa_at(f, 0x90004, clock_monotonic_ns()), 32);
    assert_int_equal(cfa_at(f, CODE + 4, clock_monotonic_ns()), -1);
    put_load(&b, clock_monotonic_ns()); /* the info was of one load */
    append(f, &b);
    assert_int_equal(cfa_at(f, CODE + 4, clock_monotonic_ns()), -1);
    struct jit_cfi_stats stats;
    jit_cfi_get_stats(f->jit, &stats);
    assert_int_equal(stats.n_tables, 2);
}

static void memory_is_bounded(void **state)
{
    enum { N = 6000 };
    struct fixture *f = *state;
    struct buf b = {0};
    for (int i = 0; i < N; i++) {
        put_unwinding(&b, 16);
        put_load(&b, clock_monotonic_ns());
    }
    append(f, &b);
    cfa_at(f, CODE + 4, clock_monotonic_ns());
    struct jit_cfi_stats stats;
    jit_cfi_get_stats(f->jit, &stats);
    assert_true(stats.n_bytes <= 1 << 20);
    assert_int_equal(stats.n_tables + stats.n_dropped, N);
    assert_true(stats.n_dropped > 0);
}

static void other_files_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {"/tmp/jit-.dum", "/tmp/xjit-1.dump", "jit-1.dump", "/lib/x"};
    for (size_t i = 0; i < 4; i++) {
        struct cfi_file file = {.inode = 1, .path = none[i], .path_len = strlen(none[i])};
        assert_false(jit_cfi_is_dump(&file));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(code_is_unwound_as_it_was_then, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
        cmocka_unit_test(other_files_are_none),
    };
    return cmocka_run_group_tests_name("jit_cfi", tests, NULL, NULL);
}
