/* Records made by hand: what the parser takes from them, and which it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>
#include <sys/mman.h>

#include "base/err.h"
#include "capture/record.h"
#include "capture/records.h"

static void test_sample(void **state)
{
    (void)state;
    struct bytes b = {0};
    const uint64_t chain[] = {PERF_CONTEXT_KERNEL, 0xffffffff81000010, 0xffffffff81000020,
                              PERF_CONTEXT_USER,   0x401000,           0x402000};
    size_t size = add_sample(&b, 7, 0xffffffff81000010, 11, 12, 1000, 3, 1111111, chain, 6);
    struct record r;
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_SAMPLE);
    assert_int_equal(r.id, 7);
    assert_int_equal(r.pid, 11);
    assert_int_equal(r.tid, 12);
    assert_int_equal(r.ts, 1000);
    assert_int_equal(r.cpu, 3);
    assert_int_equal(r.sample.period, 1111111);
    uint64_t addresses[8];
    size_t n_kernel;
    assert_int_equal(record_addresses(&r, addresses, 8, &n_kernel), 4);
    assert_int_equal(n_kernel, 2);
    assert_int_equal(addresses[0], 0xffffffff81000010);
    assert_int_equal(addresses[3], 0x402000);
    assert_int_equal(record_addresses(&r, addresses, 1, &n_kernel), 1);
}

static void test_sample_without_chain(void **state)
{
    (void)state;
    struct bytes b = {0};
    const uint64_t chain[] = {PERF_CONTEXT_USER};
    uint64_t addresses[4];
    size_t n_kernel;
    struct record r;
    size_t size = add_sample(&b, 1, 0x1234, 1, 1, 5, 0, 1, chain, 1);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(record_addresses(&r, addresses, 4, &n_kernel), 1);
    assert_int_equal(addresses[0], 0x1234);
    assert_int_equal(n_kernel, 0);
}

static void test_sample_pc_before_chain(void **state)
{
    (void)state;
    struct bytes b = {0};
    const uint64_t chain[] = {PERF_CONTEXT_USER, 0x10, 0x20};
    uint64_t addresses[4];
    size_t n_kernel;
    struct record r;
    size_t size = add_sample(&b, 1, 0x99, 1, 1, 5, 0, 1, chain, 3);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(record_addresses(&r, addresses, 4, &n_kernel), 3);
    assert_int_equal(addresses[0], 0x99);
    assert_int_equal(addresses[1], 0x10);
}

static void test_chain_longer_than_record(void **state)
{
    (void)state;
    struct bytes b = {0};
    const uint64_t chain[] = {PERF_CONTEXT_USER, 0x10};
    struct record r;
    size_t size = add_sample(&b, 1, 0x10, 1, 1, 5, 0, 1, chain, 2);
    uint64_t *n = &b.words[size / 8 - 3];
    assert_int_equal(*n, 2);
    *n = 3;
    assert_int_equal(record_parse(b.words, size, &r), STAX_ECORRUPT);
    *n = UINT64_MAX;
    assert_int_equal(record_parse(b.words, size, &r), STAX_ECORRUPT);
    *n = UINT64_MAX / 8 + 2; /* times 8 it would be small again */
    assert_int_equal(record_parse(b.words, size, &r), STAX_ECORRUPT);
}

static void test_task(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_task(&b, PERF_RECORD_FORK, 9, 20, 21, 10, 11, 77);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_FORK);
    assert_int_equal(r.pid, 20);
    assert_int_equal(r.tid, 21);
    assert_int_equal(r.fork.parent_pid, 10);
    assert_int_equal(r.fork.parent_tid, 11);
    assert_int_equal(r.ts, 77);
    assert_int_equal(r.id, 9);
}

static void test_mapping(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_mapping(&b, 9, 20, 0x400000, 0x1000, 0x2000, PROT_EXEC, "/bin/x\ny", 5);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_MAPPING);
    assert_int_equal(r.mapping.start, 0x400000);
    assert_int_equal(r.mapping.size, 0x1000);
    assert_int_equal(r.mapping.file_offset, 0x2000);
    assert_int_equal(r.mapping.device, (uint64_t)8 << 32 | 1);
    assert_int_equal(r.mapping.inode, 42);
    assert_true(r.mapping.is_executable);
    assert_int_equal(r.mapping.path_len, 8);
    assert_memory_equal(r.mapping.path, "/bin/x\ny", 8);
}

static void test_name(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_name(&b, 9, 20, 20, true, "gcc", 5);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_NAME);
    assert_true(r.name.is_exec);
    assert_int_equal(r.name.len, 3);
    /* Text that runs into the trailer has no end of its own. */
    memset(&b.words[2], 'x', 8);
    assert_int_equal(record_parse(b.words, size, &r), STAX_ECORRUPT);
}

static void test_lost_and_throttle(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_lost(&b, 5, 123, 99);
    assert_int_equal(record_parse(b.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_LOST);
    assert_int_equal(r.n_lost, 123);
    assert_int_equal(r.ts, 99);
    struct bytes t = {0};
    const uint64_t body[3] = {1, 2, 3};
    size = add_other(&t, PERF_RECORD_THROTTLE, 0, 5, 100, body, 3);
    assert_int_equal(record_parse(t.words, size, &r), 0);
    assert_int_equal(r.kind, RECORD_THROTTLE);
}

/* Every record cut to every smaller size, with a header that agrees, is refused or stays inside. */
static void test_cut_short(void **state)
{
    (void)state;
    struct bytes all = {0};
    const uint64_t chain[] = {PERF_CONTEXT_USER, 0x10};
    add_sample(&all, 1, 0x10, 1, 1, 5, 0, 1, chain, 2);
    add_task(&all, PERF_RECORD_EXIT, 9, 20, 21, 10, 11, 77);
    add_mapping(&all, 9, 20, 0x400000, 0x1000, 0, PROT_EXEC, "/bin/x", 5);
    add_name(&all, 9, 20, 20, true, "gcc", 5);
    add_lost(&all, 5, 123, 99);
    for (size_t at = 0; at < all.n_bytes;) {
        struct perf_event_header head;
        memcpy(&head, (char *)all.words + at, sizeof(head));
        for (size_t size = 0; size < head.size; size++) {
            uint64_t copy[64];
            struct perf_event_header cut = head;
            cut.size = (uint16_t)size;
            memcpy(copy, (char *)all.words + at, head.size);
            memcpy(copy, &cut, sizeof(cut));
            struct record r;
            assert_int_equal(record_parse(copy, size, &r), STAX_ECORRUPT);
        }
        at += head.size;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_sample_without_chain),
        cmocka_unit_test(test_sample_pc_before_chain),
        cmocka_unit_test(test_chain_longer_than_record),
        cmocka_unit_test(test_task),
        cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_lost_and_throttle),
        cmocka_unit_test(test_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
