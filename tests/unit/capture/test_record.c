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
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
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
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
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
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
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
    assert_int_equal(record_parse(b.words, size, NULL, &r), STAX_ECORRUPT);
    *n = UINT64_MAX;
    assert_int_equal(record_parse(b.words, size, NULL, &r), STAX_ECORRUPT);
    *n = UINT64_MAX / 8 + 2; /* times 8 it would be small again */
    assert_int_equal(record_parse(b.words, size, NULL, &r), STAX_ECORRUPT);
}

static void test_task(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_task(&b, PERF_RECORD_FORK, 9, 20, 21, 10, 11, 77);
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
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
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
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
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
    assert_int_equal(r.kind, RECORD_NAME);
    assert_true(r.name.is_exec);
    assert_int_equal(r.name.len, 3);
    /* Text that runs into the trailer has no end of its own. */
    memset(&b.words[2], 'x', 8);
    assert_int_equal(record_parse(b.words, size, NULL, &r), STAX_ECORRUPT);
}

static void test_lost_and_throttle(void **state)
{
    (void)state;
    struct bytes b = {0};
    struct record r;
    size_t size = add_lost(&b, 5, 123, 99);
    assert_int_equal(record_parse(b.words, size, NULL, &r), 0);
    assert_int_equal(r.kind, RECORD_LOST);
    assert_int_equal(r.n_lost, 123);
    assert_int_equal(r.ts, 99);
    struct bytes t = {0};
    const uint64_t body[3] = {1, 2, 3};
    size = add_other(&t, PERF_RECORD_THROTTLE, 0, 5, 100, body, 3);
    assert_int_equal(record_parse(t.words, size, NULL, &r), 0);
    assert_int_equal(r.kind, RECORD_THROTTLE);
}

/* A sample with all that a format may ask for; returns its size. n_copied bytes of a stack of room
 * bytes were copied. */
static size_t add_full_sample(struct bytes *b, uint64_t room, uint64_t n_copied)
{
    const uint64_t head[] = {7,
                             0x401000,
                             pair(11, 12),
                             1000,
                             pair(3, 0),
                             500, /* the usual */
                             2,
                             90,
                             80,
                             5,
                             1,
                             6,
                             2, /* counters */
                             2,
                             PERF_CONTEXT_USER,
                             0x401000, /* chain */
                             pair(12, 0xabcd),
                             0x1234, /* raw */
                             2,
                             0x51,
                             0x52,
                             0x53,
                             room};
    uint64_t words[64];
    size_t n = sizeof(head) / sizeof(head[0]);
    memcpy(words, head, sizeof(head));
    for (uint64_t i = 0; i < room / 8; i++) {
        words[n++] = 0x1000 + i;
    }
    if (room) {
        words[n++] = n_copied;
    }
    return add_raw(b, PERF_RECORD_SAMPLE, PERF_RECORD_MISC_USER, words, n);
}

static const struct record_format FULL = {
    .has_counters = true,
    .has_raw = true,
    .has_stack = true,
    .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID | PERF_FORMAT_TOTAL_TIME_ENABLED |
                   PERF_FORMAT_TOTAL_TIME_RUNNING,
    .user_regs = 0x49,
};

static void check_full_sample(const struct record *r, size_t n_copied)
{
    assert_int_equal(r->sample.period, 500);
    assert_int_equal(r->sample.counters.enabled_ns, 90);
    assert_int_equal(r->sample.counters.running_ns, 80);
    assert_int_equal(r->sample.counters.n, 2);
    assert_int_equal(r->sample.counters.n_words, 2);
    assert_int_equal(r->sample.counters.values[0], 5);
    assert_int_equal(r->sample.counters.values[2], 6);
    assert_int_equal(r->sample.counters.values[3], 2);
    assert_int_equal(r->sample.n_chain, 2);
    assert_int_equal(r->sample.chain[1], 0x401000);
    assert_int_equal(r->sample.n_raw_bytes, 12);
    uint32_t raw;
    memcpy(&raw, r->sample.raw, sizeof(raw));
    assert_int_equal(raw, 0xabcd);
    assert_int_equal(r->sample.n_user_regs, 3);
    assert_int_equal(r->sample.user_regs[2], 0x53);
    assert_false(r->sample.is_32_bit);
    assert_int_equal(r->sample.n_stack_bytes, n_copied);
    for (size_t i = 0; i < n_copied / 8; i++) {
        uint64_t word;
        memcpy(&word, r->sample.stack + 8 * i, sizeof(word));
        assert_int_equal(word, 0x1000 + i);
    }
}

/* What is trimmed loses the room that nothing was copied into, and nothing else. */
static void test_full_sample(void **state)
{
    (void)state;
    const struct {
        uint64_t room, n_copied, n_trimmed_words;
    } cases[] = {{0, 0, 0}, {64, 0, 9}, {64, 24, 5}, {64, 20, 5}, {64, 64, 0}, {64, 63, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes b = {0};
        struct record r;
        uint64_t trimmed[512];
        size_t size = add_full_sample(&b, cases[i].room, cases[i].n_copied);
        assert_int_equal(record_id(b.words, size), 7);
        assert_int_equal(record_parse(b.words, size, &FULL, &r), 0);
        check_full_sample(&r, cases[i].n_copied);
        size_t n = record_trimmed_size(&r, size);
        assert_int_equal(n, size - 8 * cases[i].n_trimmed_words);
        record_trim(&r, size, trimmed);
        assert_int_equal(record_parse(trimmed, n, &FULL, &r), 0);
        check_full_sample(&r, cases[i].n_copied);
        assert_int_equal(record_trimmed_size(&r, n), n);
    }
}

/* Any word of it may be anything: it is refused, or everything lies inside. */
static void test_hostile_sample(void **state)
{
    (void)state;
    static const uint64_t evil[] = {
        0, 1, 3, 65, 1 << 20, UINT64_MAX, UINT64_MAX / 8 + 2, UINT64_MAX - 7};
    struct bytes b = {0};
    size_t size = add_full_sample(&b, 64, 24);
    for (size_t i = 1; i < size / 8; i++) {
        for (size_t k = 0; k < sizeof(evil) / sizeof(evil[0]); k++) {
            struct record r;
            uint64_t kept = b.words[i], sum = 0, trimmed[512];
            b.words[i] = evil[k];
            if (record_parse(b.words, size, &FULL, &r) == 0) {
                const uint8_t *end = (const uint8_t *)b.words + size;
                assert_true(r.sample.n_user_regs <= 3 && r.sample.counters.n <= size / 16);
                assert_true(!r.sample.n_chain ||
                            (const uint8_t *)(r.sample.chain + r.sample.n_chain) <= end);
                assert_true(!r.sample.n_stack_bytes ||
                            r.sample.stack + r.sample.n_stack_bytes <= end);
                assert_true((const uint8_t *)r.sample.raw + r.sample.n_raw_bytes <= end);
                record_trim(&r, size, trimmed);
                sum += trimmed[0];
                assert_int_equal(record_parse(trimmed, record_trimmed_size(&r, size), &FULL, &r),
                                 0);
            }
            b.words[i] = kept;
            assert_true(sum != 1);
        }
    }
}

static void test_ids(void **state)
{
    (void)state;
    struct bytes b = {0};
    size_t size = add_name(&b, 9, 20, 20, true, "gcc", 5);
    assert_int_equal(record_id(b.words, size), 9);
    assert_int_equal(record_id(b.words, 8), 0);
    assert_int_equal(record_id(b.words, 0), 0);
    assert_false(record_is_sample(b.words, size));
    ((struct perf_event_header *)b.words)->type = PERF_RECORD_SAMPLE;
    assert_true(record_is_sample(b.words, 8));
    assert_false(record_is_sample(b.words, 7));
    assert_false(record_is_sample(b.words, 0));
}

/* Every record cut to every smaller size, with a header that agrees, is refused or stays inside. */
static void test_cut_short(void **state)
{
    (void)state;
    struct bytes all = {0};
    const uint64_t chain[] = {PERF_CONTEXT_USER, 0x10};
    add_sample(&all, 1, 0x10, 1, 1, 5, 0, 1, chain, 2);
    size_t n_plain = all.n_bytes;
    add_full_sample(&all, 64, 24);
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
            assert_int_equal(record_parse(copy, size, at == n_plain ? &FULL : NULL, &r),
                             STAX_ECORRUPT);
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
        cmocka_unit_test(test_full_sample),
        cmocka_unit_test(test_hostile_sample),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
