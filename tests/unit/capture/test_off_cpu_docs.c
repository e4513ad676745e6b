/*
 * test_off_cpu_docs.c - docs/off-cpu.md prints the table of capture/wait_reason.c, and names every
 * reason and source there is.
 *
 * With STAX_UPDATE_EXPECTED=1 in the environment the table in the file is rewritten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/event.h"
#include "capture/wait_reason.h"

static const char docs_path[] = "docs/off-cpu.md";
static const char begin[] = "<!-- begin of the table -->\n", end[] = "<!-- end of the table -->\n";

static const char *const reason_names[] = {
#define X(name, text) text,
    EVENT_REASONS(X)
#undef X
};

static void add_names(struct buf *out, const char *names)
{
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, " ");
        buf_addf(out, "%s`%.*s`", at == names ? "" : " ", (int)n, at);
        at += n;
        at += strspn(at, " ");
    }
}

static void add_table(struct buf *out)
{
    static const char *const evidence[] = {
        [WAIT_KERNEL_FUNCTION] = "kernel function",
        [WAIT_SYSCALL] = "system call",
        [WAIT_USER_FUNCTION] = "user function",
    };
    size_t n;
    const struct wait_row *rows = wait_rows(&n);

    buf_addstr(out, "\n| evidence | names | reason | what |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        buf_addf(out, "| %s | ", evidence[rows[i].evidence]);
        add_names(out, rows[i].names);
        buf_addf(out, " | %s%s%s | %s |\n", rows[i].is_vague ? "" : "`",
                 rows[i].is_vague ? "by arguments and user function" : reason_names[rows[i].reason],
                 rows[i].is_vague ? "" : "`", rows[i].what);
    }
    buf_addstr(out, "\n");
}

static void the_table_is_printed(void **state)
{
    struct buf text = {0}, made = {0};

    (void)state;
    assert_int_equal(fd_read_file(docs_path, 1 << 20, &text), 0);
    const char *first = strstr(buf_str(&text), begin), *last = strstr(buf_str(&text), end);
    assert_non_null(first);
    assert_non_null(last);
    buf_add(&made, buf_str(&text), (size_t)(first - buf_str(&text)) + strlen(begin));
    add_table(&made);
    buf_addstr(&made, last);
    if (getenv("STAX_UPDATE_EXPECTED")) {
        FILE *f = fopen(docs_path, "we");
        assert_non_null(f);
        fwrite(buf_str(&made), 1, made.len, f);
        fclose(f);
    } else if (strcmp(buf_str(&text), buf_str(&made)) != 0) {
        fail_msg("%s is old: run this test with STAX_UPDATE_EXPECTED=1", docs_path);
    }
    buf_free(&made);
    buf_free(&text);
}

static void every_word_is_explained(void **state)
{
    static const char *const words[] = {
#define X(name, text) "| `" text "` | ",
        EVENT_REASONS(X) EVENT_REASON_SOURCES(X) EVENT_STACK_SOURCES(X)
#undef X
    };
    struct buf text = {0};

    (void)state;
    assert_int_equal(fd_read_file(docs_path, 1 << 20, &text), 0);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strstr(buf_str(&text), words[i])) {
            fail_msg("%s has no row %s", docs_path, words[i]);
        }
    }
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_printed),
        cmocka_unit_test(every_word_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
