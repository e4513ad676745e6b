/* test_disasm.c - hand-made code of both architectures, and bytes that are no code at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "query/disasm.h"

struct line {
    uint16_t size;
    enum flow flow;
    int64_t target; /* -1: none */
    const char *mnemonic, *operands;
};

static void check(const char *arch, bool is_att, const void *bytes, size_t n,
                  const struct line *lines, size_t n_lines)
{
    struct disasm d;
    struct err e = {0};
    uint64_t address = 0x1000;

    assert_int_equal(disasm_run(&d, arch, is_att, bytes, n, address, &e), 0);
    for (size_t i = 0; i < n_lines && i < d.n; i++) {
        const struct instruction *in = &d.items[i];
        assert_int_equal(in->address, address);
        assert_string_equal(disasm_mnemonic(&d, in), lines[i].mnemonic);
        assert_string_equal(disasm_operands(&d, in), lines[i].operands);
        assert_int_equal(in->size, lines[i].size);
        assert_string_equal(flow_text(in->flow), flow_text(lines[i].flow));
        assert_int_equal(in->has_target, lines[i].target >= 0);
        assert_int_equal(in->has_target ? in->target : 0,
                         lines[i].target >= 0 ? (uint64_t)lines[i].target : 0);
        address += in->size;
    }
    assert_int_equal(d.n, n_lines);
    assert_int_equal(address, 0x1000 + n);
    disasm_free(&d);
}

#define CHECK(arch, is_att, code, lines)                                                           \
    check(arch, is_att, code, sizeof(code), lines, sizeof(lines) / sizeof(*(lines)))

static void x86_64_is_read(void **state)
{
    static const uint8_t code[] = {
        0x55,                               /* 1000 */
        0x48, 0x89, 0xe5,                   /* 1001 */
        0x74, 0x02,                         /* 1004 */
        0xeb, 0xfe,                         /* 1006 */
        0xe8, 0x00, 0x01, 0x00, 0x00,       /* 1008 */
        0xff, 0xe0,                         /* 100d */
        0xff, 0xd0,                         /* 100f */
        0x0f, 0x0b,                         /* 1011 */
        0x06,                               /* 1013: no instruction in 64-bit mode */
        0x62, 0xf1, 0x7d, 0x20, 0x74, 0x06, /* 1014: vpcmpeqb of AVX-512 */
        0xc5, 0xfb, 0x93, 0xc1,             /* 101a: kmovd */
        0x0f, 0x01, 0xef,                   /* 101e */
        0xc3,                               /* 1021 */
        0xe8, 0x00,                         /* 1022: cut off */
    };
    static const struct line lines[] = {
        {1, FLOW_NEXT, -1, "push", "rbp"},
        {3, FLOW_NEXT, -1, "mov", "rbp, rsp"},
        {2, FLOW_BRANCH, 0x1008, "je", "0x1008"},
        {2, FLOW_JUMP, 0x1006, "jmp", "0x1006"},
        {5, FLOW_CALL, 0x110d, "call", "0x110d"},
        {2, FLOW_JUMP, -1, "jmp", "rax"},
        {2, FLOW_CALL, -1, "call", "rax"},
        {2, FLOW_STOP, -1, "ud2", ""},
        {1, FLOW_STOP, -1, "(bad)", "06"},
        {6, FLOW_NEXT, -1, "(vector)", "62 f1 7d 20 74 06"},
        {4, FLOW_NEXT, -1, "(vector)", "c5 fb 93 c1"},
        {3, FLOW_NEXT, -1, "wrpkru", ""},
        {1, FLOW_RETURN, -1, "ret", ""},
        {1, FLOW_STOP, -1, "(bad)", "e8"},
        {1, FLOW_STOP, -1, "(bad)", "00"},
    };
    static const uint8_t mov[] = {0x48, 0x89, 0xe5};
    static const struct line att[] = {{3, FLOW_NEXT, -1, "movq", "%rsp, %rbp"}};

    (void)state;
    CHECK("x86_64", false, code, lines);
    CHECK("x86_64", true, mov, att);
}

static void aarch64_is_read(void **state)
{
    static const uint32_t code[] = {
        0xd503245f, /* 1000 bti c */
        0x8b010000, /* 1004 add x0, x0, x1 */
        0x54000040, /* 1008 b.eq 1010 */
        0xb4ffffc0, /* 100c cbz x0, 1004 */
        0x14000000, /* 1010 b 1010 */
        0x94000010, /* 1014 bl 1054 */
        0xd63f0000, /* 1018 blr x0 */
        0xd61f0000, /* 101c br x0 */
        0x37080041, /* 1020 tbnz w1, #1, 1028 */
        0x00000000, /* 1024 */
        0xd65f03c0, /* 1028 ret */
    };
    static const struct line lines[] = {
        {4, FLOW_NEXT, -1, "bti", "c"},
        {4, FLOW_NEXT, -1, "add", "x0, x0, x1"},
        {4, FLOW_BRANCH, 0x1010, "b.eq", "#0x1010"},
        {4, FLOW_BRANCH, 0x1004, "cbz", "x0, #0x1004"},
        {4, FLOW_JUMP, 0x1010, "b", "#0x1010"},
        {4, FLOW_CALL, 0x1054, "bl", "#0x1054"},
        {4, FLOW_CALL, -1, "blr", "x0"},
        {4, FLOW_JUMP, -1, "br", "x0"},
        {4, FLOW_BRANCH, 0x1028, "tbnz", "w1, #1, #0x1028"},
        {4, FLOW_STOP, -1, "(bad)", "00 00 00 00"},
        {4, FLOW_RETURN, -1, "ret", ""},
    };

    (void)state;
    CHECK("aarch64", false, code, lines);
}

/* Every byte belongs to one instruction, and looking an address up gives that one. */
static void any_bytes_are_covered(void **state)
{
    uint8_t bytes[512];
    uint64_t seed = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct disasm d;
        size_t n = 1 + (size_t)(round % (int)sizeof(bytes)), covered = 0;
        uint64_t start = round % 7 == 0 ? UINT64_MAX - 600 : (uint64_t)round * 4099;
        for (size_t i = 0; i < n; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            /* Prefixes more often than chance would have them. */
            bytes[i] = seed % 5 == 0 ? (uint8_t)(0x62 + (seed >> 60) * 6) : (uint8_t)(seed >> 32);
        }
        assert_int_equal(
            disasm_run(&d, round % 2 ? "x86_64" : "aarch64", false, bytes, n, start, NULL), 0);
        for (size_t i = 0; i < d.n; i++) {
            assert_int_equal(d.items[i].address, start + covered);
            assert_true(d.items[i].size > 0);
            assert_int_equal(disasm_at(&d, d.items[i].address + d.items[i].size - 1), i);
            covered += d.items[i].size;
        }
        assert_int_equal(covered, n);
        assert_int_equal(disasm_at(&d, start - 1), d.n);
        assert_int_equal(disasm_at(&d, start + n), d.n);
        disasm_free(&d);
    }
}

static void other_machines_are_refused(void **state)
{
    struct disasm d;
    struct err e = {0};

    (void)state;
    assert_int_equal(disasm_run(&d, "riscv64", false, "", 0, 0, &e), STAX_EUSAGE);
    assert_non_null(strstr(e.msg, "riscv64"));
    disasm_free(&d);
    assert_int_equal(disasm_run(&d, "x86_64", false, "", 0, 0, &e), 0);
    assert_int_equal(d.n, 0);
    assert_int_equal(disasm_at(&d, 0), 0);
    disasm_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x86_64_is_read),
        cmocka_unit_test(aarch64_is_read),
        cmocka_unit_test(any_bytes_are_covered),
        cmocka_unit_test(other_machines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
