/* cli_test.h - what the tests of cli/ share: rendering canned documents, parsing command lines. */
#ifndef STAX_TESTS_UNIT_CLI_CLI_TEST_H
#define STAX_TESTS_UNIT_CLI_CLI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/cli.h"

/* The text of a document; width 0: no limit. The caller frees it. */
static inline char *rendered(render_fn *render, const char *json, const struct args *args,
                             size_t width)
{
    struct out out = {.fd = -1, .width = width};
    json_error_t error;
    json_t *document = json_loads(json, 0, &error);
    if (!document) {
        fail_msg("the test's document: %s", error.text);
    }
    render(&out, document, args);
    json_decref(document);
    return buf_take(&out.text);
}

/* Documents in tests are written with ' for ". */
static inline char *quoted(const char *s)
{
    struct buf b = {0};
    for (; *s; s++) {
        buf_addch(&b, *s == '\'' ? '"' : *s);
    }
    return buf_take(&b);
}

#endif
