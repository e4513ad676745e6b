/* test_reasons.c - capture and query, which share no header, name the reasons of waits alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "capture/event.h"
#include "query/reasons.h"

static void the_words_are_the_same(void **state)
{
    static const char *const names[] = {
#define X(name, text) text,
        EVENT_REASONS(X)
#undef X
    };

    (void)state;
    assert_int_equal(N_REASONS, EVENT_N_REASONS);
    for (int i = 0; i < N_REASONS; i++) {
        char marker[32];
        assert_string_equal(reasons[i].name, names[i]);
        snprintf(marker, sizeof(marker), "[%s]", names[i]);
        assert_string_equal(reasons[i].marker, marker);
        assert_int_equal(reason_of("blocked", names[i]), i);
    }
    assert_int_equal(reason_of("runnable", ""), REASON_RUNNABLE);
    assert_int_equal(reason_of("blocked", "nonsense"), REASON_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_words_are_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
