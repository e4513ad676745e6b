/* test_ability.c - why something is missing, from what was tried: in words that are true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "capture/ability.h"

static const struct capture_ability *find(const struct capture_ability *rows, size_t n,
                                          const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

/* A staxd that answered for most threads and was given up says so itself: the kernel, which was
 * asked then, did not change its mind. */
static void test_what_staxd_said_of_stacks(void **state)
{
    (void)state;
    struct capture_ability rows[ABILITIES_MAX];
    struct ability_facts facts = {.has_names = true, .unwinds = true, .reads_memory = true};
    struct events ev = {.has_kernel = true,
                        .has_switches = true,
                        .has_wakings = true,
                        .n_threads = 3,
                        .stacks_errno = EACCES};
    size_t n = ability_all(rows, &ev, &facts);
    const struct capture_ability *stacks = find(rows, n, "wait_stacks");
    assert_false(stacks->is_available);
    assert_string_equal(stacks->reason, "the kernel refused: Permission denied");
    err_set(&ev.stacks_refusal, STAX_ETIMEOUT, "staxd at /x is too slow");
    err_hint(&ev.stacks_refusal, "wait");
    n = ability_all(rows, &ev, &facts);
    stacks = find(rows, n, "wait_stacks");
    assert_string_equal(stacks->reason, "staxd at /x is too slow");
    assert_string_equal(stacks->unlock, "wait");
    err_set(&ev.stacks_refusal, STAX_EUNREACHABLE, "no staxd listens"); /* as on most hosts */
    n = ability_all(rows, &ev, &facts);
    assert_string_equal(find(rows, n, "wait_stacks")->reason,
                        "the kernel refused: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_staxd_said_of_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
