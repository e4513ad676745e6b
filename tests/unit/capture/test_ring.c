/* The reading end of a ring: wrap-around, bytes that are no records, room given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>

#include "capture/records.h"
#include "capture/ring.h"

enum { DATA_BYTES = 256 };

struct fixture {
    struct perf_event_mmap_page page;
    uint64_t data[DATA_BYTES / 8];
    struct ring ring;
};

static struct fixture *new_fixture(uint64_t at)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->page.data_head = f->page.data_tail = at;
    ring_init_memory(&f->ring, &f->page, f->data, sizeof(f->data));
    return f;
}

static void free_fixture(struct fixture *f)
{
    ring_unmap(&f->ring);
    free(f);
}

/* Writes as the kernel does: bytes at data_head, around the end. */
static void write_bytes(struct fixture *f, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((char *)f->data)[(f->page.data_head + i) % DATA_BYTES] = ((const char *)bytes)[i];
    }
    f->page.data_head += n;
}

/* 100 records of 24 to 80 bytes through a ring of 256: every way to wrap. */
static void test_wrap(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(UINT64_MAX - 103);
    for (uint64_t i = 0; i < 100; i++) {
        struct bytes b = {0};
        uint64_t body[9];
        size_t n_words = 2 + i % 8;
        for (size_t w = 0; w < n_words; w++) {
            body[w] = i * 100 + w;
        }
        size_t expected = add_raw(&b, 99, 0, body, n_words);
        write_bytes(f, b.words, expected);
        assert_int_equal(ring_begin(&f->ring), expected);
        size_t size = 0;
        const void *bytes = ring_next(&f->ring, &size);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t)bytes % 8, 0);
        assert_int_equal(size, expected);
        assert_memory_equal(bytes, b.words, size);
        assert_null(ring_next(&f->ring, &size));
        assert_false(f->ring.is_bad);
        ring_end(&f->ring);
        assert_int_equal(f->page.data_tail, f->page.data_head);
    }
    free_fixture(f);
}

static void test_several_in_one_drain(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(200);
    const uint64_t body[3] = {1, 2, 3};
    for (int i = 0; i < 8; i++) {
        struct bytes b = {0};
        write_bytes(f, b.words, add_raw(&b, 99, 0, body, 3));
    }
    assert_int_equal(ring_begin(&f->ring), DATA_BYTES);
    int n = 0;
    for (size_t size; ring_next(&f->ring, &size); n++) {
        assert_int_equal(size, 32);
    }
    assert_int_equal(n, 8);
    free_fixture(f);
}

static void check_refused(uint16_t header_size, size_t n_written)
{
    struct fixture *f = new_fixture(0);
    uint64_t words[8] = {0};
    struct perf_event_header head = {.type = 9, .size = header_size};
    memcpy(words, &head, sizeof(head));
    write_bytes(f, words, n_written);
    ring_begin(&f->ring);
    size_t size;
    assert_null(ring_next(&f->ring, &size));
    assert_true(f->ring.is_bad);
    ring_end(&f->ring);
    assert_int_equal(f->page.data_tail, n_written);
    free_fixture(f);
}

static void test_nonsense(void **state)
{
    (void)state;
    check_refused(0, 64);     /* would never end */
    check_refused(4, 64);     /* smaller than a header */
    check_refused(12, 64);    /* not a multiple of 8 */
    check_refused(128, 64);   /* more than was written */
    check_refused(65528, 64); /* more than the ring */
    check_refused(8, 4);      /* half a header */
}

static void test_head_out_of_reach(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(0);
    f->page.data_head = DATA_BYTES * 3;
    size_t size;
    assert_int_equal(ring_begin(&f->ring), 0);
    assert_null(ring_next(&f->ring, &size));
    assert_true(f->ring.is_bad);
    free_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_several_in_one_drain),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_head_out_of_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
