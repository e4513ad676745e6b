/* test_text.c - foreign text made safe, cut and measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void assert_clean(const char *in, size_t len, const char *expected)
{
    struct buf b = {0}, again = {0};
    text_clean(&b, in, len);
    assert_string_equal(buf_str(&b), expected);
    text_clean(&again, buf_str(&b), b.len);
    assert_string_equal(buf_str(&again), expected);
    buf_free(&b);
    buf_free(&again);
}

static void cleans(void **state)
{
    (void)state;
    assert_clean("plain é 漢 🙂", strlen("plain é 漢 🙂"), "plain é 漢 🙂");
    assert_clean("\x1b[31mred\n", 9, "\\x1b[31mred\\x0a");
    assert_clean("a\0b", 3, "a\\x00b");
    assert_clean("\x7f", 1, "\\x7f");
    assert_clean("\xff\xfe", 2, "\\xff\\xfe");
    assert_clean("\xc0\xaf", 2, "\\xc0\\xaf");                   /* overlong */
    assert_clean("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");          /* surrogate */
    assert_clean("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
    assert_clean("\xe2\x82", 2, "\\xe2\\x82");                   /* cut short */
    assert_clean("\xc2\x9b", 2, "\\xc2\\x9b");                   /* C1: CSI in one character */
    assert_clean("\xe2\x80\xae", 3, "\\xe2\\x80\\xae");          /* right-to-left override */
}

static void measures(void **state)
{
    (void)state;
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("abc"), 3);
    assert_int_equal(text_width("é"), 1);
    assert_int_equal(text_width("e\xcc\x81"), 1);
    assert_int_equal(text_width("漢字"), 4);
}

static void cuts_in_the_middle(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t width;
        const char *expected;
    } rows[] = {
        {"short", 5, "short"},  {"abcdefghij", 5, "ab…ij"}, {"abcdefghij", 6, "abc…ij"},
        {"abcdefghij", 1, "…"}, {"abcdefghij", 0, ""},      {"漢字漢字漢字", 7, "漢…字"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        text_cut_middle(&b, rows[i].in, rows[i].width);
        assert_string_equal(buf_str(&b), rows[i].expected);
        buf_free(&b);
    }
}

static void cuts_at_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t width;
        const char *expected;
    } rows[] = {
        {"short", 5, "short"},    {"f(a, b);", 6, "f(a, …"},
        {"abcdef", 1, "…"},       {"abcdef", 0, ""},
        {"漢字漢字", 6, "漢字…"}, {"if (x) { y(); }", 99, "if (x) { y(); }"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        text_cut_end(&b, rows[i].in, rows[i].width);
        assert_string_equal(buf_str(&b), rows[i].expected);
        buf_free(&b);
    }
}

static void shrinks_arguments_of_names(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t width;
        const char *expected;
    } rows[] = {
        {"shop::Ware<std::map<int, long>>::add(unsigned long, long) const", 40,
         "shop::Ware<…>::add(…) const"},
        {"main::{lambda(unsigned long)#1}::operator()(unsigned long) const", 50,
         "main::{lambda(…)#1}::operator()(…) const"},
        {"(anonymous namespace)::f(int, int, int, int)", 30, "(anonymous namespace)::f(…)"},
        {"std::operator<< <char>(std::ostream&, char)", 30, "std::operator<< <…>(…)"},
        {"a::operator->(int, int, int)", 20, "a::operator->(…)"},
        {"shop::Ware<int>::recount(long, long) const [clone .isra.0]", 31,
         "shop::Ware<…>::recount(…) const"},
        {"fits<int>(long)", 15, "fits<int>(long)"},
        {"f<unclosed, and, longer", 10, "f<unc…nger"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b = {0};
        text_cut_name(&b, rows[i].in, rows[i].width);
        assert_true(text_width(buf_str(&b)) <= rows[i].width);
        assert_string_equal(buf_str(&b), rows[i].expected);
        buf_free(&b);
    }
}

static void finds_near_words(void **state)
{
    (void)state;
    assert_int_equal(text_distance("top", "top"), 0);
    assert_int_equal(text_distance("tpo", "top"), 1);
    assert_int_equal(text_distance("recrd", "record"), 1);
    assert_int_equal(text_distance("flame", "frame"), 1);
    assert_int_equal(text_distance("", "abc"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans),
        cmocka_unit_test(measures),
        cmocka_unit_test(cuts_in_the_middle),
        cmocka_unit_test(cuts_at_the_end),
        cmocka_unit_test(shrinks_arguments_of_names),
        cmocka_unit_test(finds_near_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
