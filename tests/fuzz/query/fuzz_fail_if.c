/* fuzz_fail_if.c - conditions of stax compare --fail-if: any text is read or refused with a reason.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/fail_if.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct fail_if *f)
{
    const struct sampling sampling = {.elapsed_ns = 1e9, .mean_ns = 1e6, .variation = 0.5};
    struct change change = change_of(&sampling, (struct amount){1e8, 100}, 1e9, &sampling,
                                     (struct amount){2e8, 200}, 1e9);

    assert(f->n > 0 && f->n <= MAX_CONDITIONS);
    for (size_t i = 0; i < f->n; i++) {
        const struct condition *c = &f->items[i];
        assert(c->text && *c->text && (c->name != NULL) == (c->quantity >= QUANTITY_SELF));
        assert(!c->name || *c->name);
        assert(condition_check(c, &change, BY_TIME, 3) <= IS_UNSURE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    struct fail_if f;

    for (int by = 0; by < N_BASES; by++) {
        struct err e = {0};
        int rc = fail_if_parse(&f, text, (enum basis)by, &e);
        assert(rc == 0 || (rc == STAX_EUSAGE && e.msg[0]));
        if (rc == 0) {
            check(&f);
        }
        fail_if_fini(&f);
    }
    free(text);
    return 0;
}
