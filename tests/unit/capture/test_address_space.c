/* Mappings against a model that keeps one entry a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/address_space.h"

enum { PAGES = 64, PAGE = 4096 };

static void map(struct address_space **s, uint64_t start, uint64_t end)
{
    address_space_map(s, &(struct address_mapping){.start = start, .end = end});
}

static void check(const struct address_space *s, uint64_t pc, uint64_t start, uint64_t end)
{
    struct unwind_code code;
    assert_int_equal(address_space_find(s, pc, &code), UNWIND_CODE);
    assert_int_equal(code.start, start);
    assert_int_equal(code.end, end);
    assert_null(code.table);
}

static void test_empty(void **state)
{
    (void)state;
    struct unwind_code code;
    struct address_space *s = NULL;
    assert_int_equal(address_space_find(NULL, 5, &code), UNWIND_NOT_CODE);
    map(&s, 10, 10);
    map(&s, 10, 5);
    assert_null(s);
    address_space_unref(NULL);
    assert_int_equal(address_space_n_mappings(NULL), 0);
}

static void test_hole_in_the_middle(void **state)
{
    (void)state;
    struct unwind_code code;
    struct address_space *s = NULL;
    map(&s, 100, 200);
    map(&s, 140, 160);
    assert_int_equal(address_space_n_mappings(s), 3);
    check(s, 100, 100, 140);
    check(s, 159, 140, 160);
    check(s, 160, 160, 200);
    assert_int_equal(address_space_find(s, 99, &code), UNWIND_NOT_CODE);
    assert_int_equal(address_space_find(s, 200, &code), UNWIND_NOT_CODE);
    address_space_unref(s);
}

/* What one process maps after a fork, the other does not have. */
static void test_fork(void **state)
{
    (void)state;
    struct unwind_code code;
    struct address_space *parent = NULL;
    map(&parent, 100, 200);
    struct address_space *child = address_space_ref(parent);
    map(&child, 300, 400);
    assert_ptr_not_equal(parent, child);
    assert_int_equal(address_space_find(parent, 300, &code), UNWIND_NOT_CODE);
    check(child, 150, 100, 200);
    map(&parent, 100, 120);
    check(child, 110, 100, 200);
    check(parent, 110, 100, 120);
    address_space_unref(parent);
    check(child, 300, 300, 400);
    address_space_unref(child);
}

static void test_too_many(void **state)
{
    (void)state;
    struct unwind_code code;
    struct address_space *s = NULL;
    for (uint64_t i = 0; i < ADDRESS_SPACE_MAPPINGS_MAX + 5; i++) {
        map(&s, i * 2 * PAGE, i * 2 * PAGE + PAGE);
    }
    assert_int_equal(address_space_n_mappings(s), ADDRESS_SPACE_MAPPINGS_MAX);
    uint64_t last = (uint64_t)ADDRESS_SPACE_MAPPINGS_MAX * 2 * PAGE;
    assert_int_equal(address_space_find(s, last, &code), UNWIND_NOT_CODE);
    address_space_unref(s);
}

/* Each page says which mapping was made there last. */
static void test_random(void **state)
{
    (void)state;
    unsigned seed = 3;
    for (int round = 0; round < 200; round++) {
        struct address_space *s = NULL;
        unsigned pages[PAGES] = {0};
        uint64_t starts[100] = {0};
        for (unsigned i = 1; i < 60; i++) {
            uint64_t start = (unsigned)rand_r(&seed) % PAGES;
            uint64_t n = 1 + (unsigned)rand_r(&seed) % 12;
            uint64_t end = start + n < PAGES ? start + n : PAGES;
            starts[i] = start;
            map(&s, start * PAGE, end * PAGE);
            for (uint64_t p = start; p < end; p++) {
                pages[p] = i;
            }
        }
        for (uint64_t p = 0; p < PAGES; p++) {
            struct unwind_code code;
            uint64_t first = p, last = p;
            enum unwind_found found = address_space_find(s, p * PAGE + 7, &code);
            assert_int_equal(found, pages[p] ? UNWIND_CODE : UNWIND_NOT_CODE);
            while (first > 0 && pages[first - 1] == pages[p]) {
                first--;
            }
            while (last + 1 < PAGES && pages[last + 1] == pages[p]) {
                last++;
            }
            if (found == UNWIND_CODE) {
                /* A part of it that a later one cut off may lie elsewhere. */
                assert_int_equal(code.start, first * PAGE);
                assert_int_equal(code.end, (last + 1) * PAGE);
                assert_true(starts[pages[p]] * PAGE <= code.start);
            }
        }
        address_space_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),  cmocka_unit_test(test_hole_in_the_middle),
        cmocka_unit_test(test_fork),   cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
