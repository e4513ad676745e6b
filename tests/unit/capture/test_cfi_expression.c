/* DWARF expressions of CFI: values, and what hostile ones come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/cfi_expression.h"

/* Memory where every address holds itself, except address 0. */
static bool read_self(void *ctx, uint64_t address, size_t n, uint64_t *value)
{
    (void)ctx;
    *value = n == 8 ? address : address & ((UINT64_C(1) << n * 8) - 1);
    return address != 0;
}

static enum cfi_value eval(const uint8_t *bytes, size_t n, const uint64_t *initial, uint64_t *value)
{
    struct unwind_regs regs = {0};
    unwind_regs_set(&regs, 7, 0x7000);
    unwind_regs_set(&regs, 16, 0x40100b);
    struct cfi_context context = {.arch = &unwind_x86_64, .regs = &regs, .read = read_self};
    return cfi_expression_eval(&context, bytes, n, initial, value);
}

struct example {
    uint8_t bytes[16];
    size_t n;
    uint64_t value;
};

static void test_values(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {{0x77, 0x08}, 2, 0x7008},                               /* breg7 8 */
        {{0x77, 0x78}, 2, 0x6ff8},                               /* breg7 -8 */
        {{0x92, 0x07, 0x10}, 3, 0x7010},                         /* bregx 7 16 */
        {{0x77, 0xa0, 0x01, 0x06}, 4, 0x70a0},                   /* breg7 160 deref */
        {{0x0a, 0xff, 0x12, 0x94, 0x01}, 5, 0xff},               /* const2u deref_size 1 */
        {{0x31, 0x32, 0x1c}, 3, UINT64_MAX},                     /* 1 - 2 */
        {{0x09, 0xf8, 0x32, 0x1b}, 4, -UINT64_C(4)},             /* -8 / 2 */
        {{0x37, 0x34, 0x1d}, 3, 3},                              /* 7 mod 4 */
        {{0x31, 0x32, 0x33, 0x17, 0x1c, 0x1e}, 6, -UINT64_C(3)}, /* rot: 3 * (1 - 2) */
        {{0x31, 0x32, 0x16, 0x1c}, 4, 1},                        /* swap: 2 - 1 */
        {{0x31, 0x32, 0x14, 0x22, 0x22}, 5, 4},                  /* over: 1 + (2 + 1) */
        {{0x31, 0x32, 0x15, 0x01}, 4, 1},                        /* pick 1 */
        {{0x09, 0xff, 0x31, 0x2d}, 4, 1},                        /* -1 < 1: signed */
        {{0x09, 0x80, 0x32, 0x26}, 4, -UINT64_C(32)},            /* -128 >> 2, arithmetic */
        {{0x31, 0x28, 0x01, 0x00, 0x35, 0x36}, 6, 6},            /* bra over lit5 */
        {{0x2f, 0x01, 0x00, 0x35, 0x36}, 5, 6},                  /* skip over lit5 */
        {{0x23, 0x81, 0x01}, 3, 0x5081}, /* plus_uconst on the initial value */
        {{0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22}, 11, 0x7010}, /* PLT */
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
        uint64_t value = 0;
        uint64_t initial = 0x5000;
        assert_int_equal(eval(examples[i].bytes, examples[i].n, &initial, &value), CFI_VALUE_OK);
        assert_int_equal(value, examples[i].value);
    }
}

static void expect(enum cfi_value want, const char *bytes, size_t n)
{
    uint64_t value;
    assert_int_equal(eval((const uint8_t *)bytes, n, NULL, &value), want);
}

static void test_hostile(void **state)
{
    (void)state;
    char pushes[100];
    memset(pushes, 0x31, sizeof(pushes));
    expect(CFI_VALUE_BAD, pushes, sizeof(pushes));                       /* the stack is full */
    expect(CFI_VALUE_BAD, "\x2f\xfd\xff", 3);                            /* skip -3: endless */
    expect(CFI_VALUE_BAD, "\x2f\xff\x7f", 3);                            /* out of the expression */
    expect(CFI_VALUE_BAD, "\x2f\x00\x80", 3);                            /* before it */
    expect(CFI_VALUE_BAD, "\x22", 1);                                    /* nothing to add */
    expect(CFI_VALUE_BAD, "\x31\x16", 2);                                /* nothing to swap with */
    expect(CFI_VALUE_BAD, "\x31\x30\x1b", 3);                            /* division by 0 */
    expect(CFI_VALUE_BAD, "\x31\x30\x1d", 3);                            /* */
    expect(CFI_VALUE_BAD, "\x31\x94\x09", 3);                            /* a value of 9 bytes */
    expect(CFI_VALUE_BAD, "\x0e\x01", 2);                                /* cut off */
    expect(CFI_VALUE_BAD, "\xf0", 1);                                    /* unknown */
    expect(CFI_VALUE_BAD, "", 0);                                        /* no value */
    expect(CFI_VALUE_UNKNOWN, "\x70\x00", 2);                            /* rax is not known */
    expect(CFI_VALUE_BAD, "\x8f\x00", 2);                                /* no such register */
    expect(CFI_VALUE_MEMORY, "\x30\x06", 2);                             /* read of 0 */
    static const char overflow[] = "\x0f\0\0\0\0\0\0\0\x80\x09\xff\x1b"; /* INT64_MIN / -1 */
    expect(CFI_VALUE_BAD, overflow, sizeof(overflow) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests_name("cfi_expression", tests, NULL, NULL);
}
