/* test_code.c - the addresses that code calls, of both architectures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/code.h"

struct taken {
    uint64_t targets[8];
    size_t n;
};

static void take(void *ctx, uint64_t target)
{
    struct taken *t = ctx;
    assert_true(t->n < 8);
    t->targets[t->n++] = target;
}

static void calls_and_jumps_have_targets(void **state)
{
    static const uint8_t x86[] = {0x90, 0xe8, 0x10, 0, 0, 0, 0xe9, 0xf0, 0xff, 0xff, 0xff, 0xe8, 0};
    /* bl +0x40, b -4, add: no target */
    static const uint8_t arm[] = {0x10, 0, 0, 0x94, 0xff, 0xff, 0xff, 0x17, 0, 0, 1, 0x8b, 0x10, 0};
    struct taken t = {0};

    (void)state;
    code_targets("x86_64", x86, sizeof(x86), 0x1000, take, &t);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.targets[0], 0x1016);
    assert_int_equal(t.targets[1], 0xffb);
    t.n = 0;
    code_targets("aarch64", arm, sizeof(arm), 0x1000, take, &t);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.targets[0], 0x1040);
    assert_int_equal(t.targets[1], 0x1000);
    t.n = 0;
    code_targets("riscv64", arm, sizeof(arm), 0x1000, take, &t);
    code_targets("x86_64", x86, 0, 0x1000, take, &t);
    assert_int_equal(t.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_and_jumps_have_targets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
