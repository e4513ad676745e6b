/* test_arrows.c - lines beside jumps, as the terminal shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "cli/arrows.h"

static void draws(struct arrow *items, size_t n, size_t n_rows, size_t max_lanes,
                  const char *wanted)
{
    struct arrows a;
    struct buf out = {0};

    arrows_init(&a, items, n, n_rows, max_lanes);
    for (size_t row = 0; row < n_rows; row++) {
        size_t before = out.len;
        arrows_draw(&a, row, &out);
        assert_int_equal(text_width(buf_str(&out) + before), arrows_width(&a));
        buf_addch(&out, '\n');
    }
    if (strcmp(buf_str(&out), wanted) != 0) {
        fail_msg("\n%s\nwanted\n%s", buf_str(&out), wanted);
    }
    buf_free(&out);
    arrows_fini(&a);
}

static void jumps_have_lines(void **state)
{
    struct arrow one[] = {{0, 2}}, back[] = {{2, 0}}, nested[] = {{0, 4}, {1, 3}};
    struct arrow crossing[] = {{0, 2}, {1, 3}}, self[] = {{1, 1}}, shared[] = {{0, 2}, {1, 2}};

    (void)state;
    draws(NULL, 0, 2, 8, "\n\n");
    draws(one, 1, 3, 8, "┌─\n│ \n└>\n");
    draws(back, 1, 3, 8, "┌>\n│ \n└─\n");
    draws(nested, 2, 5, 8, "┌──\n│┌─\n││ \n│└>\n└─>\n");
    draws(crossing, 2, 4, 8, " ┌─\n┌┼─\n│└>\n└─>\n");
    draws(self, 1, 3, 8, "  \n─>\n  \n");
    draws(shared, 2, 3, 8, "┌──\n│┌─\n└┴>\n");
}

static void room_is_bounded(void **state)
{
    struct arrow many[100], far[] = {{0, ARROW_ROWS_MAX + 1}}, two[] = {{0, 3}, {1, 2}};
    struct arrows a;

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        many[i] = (struct arrow){i, 199 - i};
    }
    arrows_init(&a, many, 100, 200, ARROW_LANES_MAX);
    assert_int_equal(arrows_width(&a), ARROW_LANES_MAX + 1);
    arrows_fini(&a);
    arrows_init(&a, far, 1, ARROW_ROWS_MAX + 2, ARROW_LANES_MAX);
    assert_int_equal(arrows_width(&a), 0);
    arrows_fini(&a);
    draws(two, 2, 4, 1, "  \n┌─\n└>\n  \n"); /* the shorter one wins the only column */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_have_lines),
        cmocka_unit_test(room_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
