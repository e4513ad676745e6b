/* test_space.c - mappings that overlap, and spaces shared by forks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/space.h"

static void map_range(struct space **s, uint64_t start, uint64_t end, uint64_t offset, uint32_t id)
{
    struct space_mapping m = {.start = start, .end = end, .file_offset = offset, .binary = id};
    assert_int_equal(space_map(s, &m), 0);
}

static uint32_t at(const struct space *s, uint64_t address)
{
    const struct space_mapping *m = space_find(s, address);
    return m ? m->binary : 0;
}

static void newer_mappings_cut_older_ones(void **state)
{
    (void)state;
    struct space *s = space_new();
    map_range(&s, 0x1000, 0x5000, 0, 1);
    map_range(&s, 0x2000, 0x3000, 0, 2); /* a hole in the middle */
    assert_int_equal(s->n_mappings, 3);
    assert_int_equal(at(s, 0x1fff), 1);
    assert_int_equal(at(s, 0x2000), 2);
    assert_int_equal(at(s, 0x3000), 1);
    assert_int_equal(space_find(s, 0x3000)->file_offset, 0x2000);
    map_range(&s, 0x0, 0x1800, 0, 3); /* over a front */
    assert_int_equal(at(s, 0x17ff), 3);
    assert_int_equal(at(s, 0x1800), 1);
    assert_int_equal(space_find(s, 0x1800)->file_offset, 0x800);
    map_range(&s, 0x0, 0x10000, 0, 4); /* over everything */
    assert_int_equal(s->n_mappings, 1);
    assert_int_equal(at(s, 0x10000), 0);
    struct space_mapping empty = {.start = 5, .end = 5};
    assert_int_equal(space_map(&s, &empty), -1);
    space_unref(s);
}

/* Against a model that keeps one byte per page. */
static void equals_a_page_table(void **state)
{
    (void)state;
    unsigned seed = 1;
    uint8_t pages[256] = {0};
    struct space *s = space_new();
    for (int i = 0; i < 3000; i++) {
        unsigned from = (unsigned)rand_r(&seed) % 256, n = 1 + (unsigned)rand_r(&seed) % 40;
        unsigned to = from + n > 256 ? 256 : from + n;
        uint8_t id = (uint8_t)(1 + i % 250);
        memset(pages + from, id, to - from);
        map_range(&s, from, to, 0, id);
        for (unsigned page = 0; page < 256; page++) {
            assert_int_equal(at(s, page), pages[page]);
        }
    }
    space_unref(s);
}

static void forks_share_until_one_maps(void **state)
{
    (void)state;
    struct space *parent = space_new();
    map_range(&parent, 0x1000, 0x2000, 0, 1);
    struct space *child = space_ref(parent);
    assert_ptr_equal(child, parent);
    map_range(&child, 0x1000, 0x2000, 0, 2);
    assert_ptr_not_equal(child, parent);
    assert_int_equal(at(parent, 0x1000), 1);
    assert_int_equal(at(child, 0x1000), 2);
    space_unref(child);
    space_unref(parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_mappings_cut_older_ones),
        cmocka_unit_test(equals_a_page_table),
        cmocka_unit_test(forks_share_until_one_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
