/* test_prompt.c - SQL as typed: ends of statements, definitions, completion. */
#include "cli_test.h"

#include <string.h>

#include "cli/complete.h"
#include "cli/sqltext.h"

static void test_statement_ends(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        size_t n;
    } cases[] = {
        {"", 0},
        {"SELECT 1", 0},
        {"SELECT 1; SELECT 2;", 9},
        {";", 1},
        {"SELECT ';';", 11},
        {"SELECT ';", 0},
        {"SELECT 'it''s;';x", 16},
        {"SELECT \";\" ;", 12},
        {"SELECT [;] ;", 12},
        {"SELECT `;`;", 11},
        {"SELECT 1 -- ;\n;", 15},
        {"SELECT 1 -- ;", 0},
        {"SELECT /* ; */ 1;", 17},
        {"SELECT /* ; 1;", 0},
        {"SELECT 2-1;", 11},
        {"SELECT 4/2;", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sqltext_statement(cases[i].sql), cases[i].n);
    }
}

static void test_empty_statements(void **state)
{
    (void)state;
    static const char *const empty[] = {"", " \n;;", "-- x", "-- x\n ;", "/* x */", "/*"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        assert_true(sqltext_is_empty(empty[i]));
    }
    assert_false(sqltext_is_empty("-- x\nSELECT"));
    assert_false(sqltext_is_empty("'"));
}

static void test_definitions(void **state)
{
    (void)state;
    static const char schema[] = "-- About all.\n\n"
                                 "CREATE TABLE sample (\n    ts INTEGER -- a; b\n) STRICT;\n\n"
                                 "-- Two lines\n-- of comment.\n"
                                 "CREATE VIEW v_top AS SELECT 1;\n"
                                 "CREATE TABLE sample_sum (x);\n";
    size_t n = 0;
    const char *s = sqltext_definition(schema, "SAMPLE", &n);
    assert_non_null(s);
    assert_int_equal(n, strlen("CREATE TABLE sample (\n    ts INTEGER -- a; b\n) STRICT;"));
    assert_memory_equal(s, "CREATE TABLE sample (", 21);
    s = sqltext_definition(schema, "v_top", &n);
    assert_non_null(s);
    assert_memory_equal(s, "-- Two lines\n-- of comment.\nCREATE VIEW v_top AS SELECT 1;", n);
    assert_null(sqltext_definition(schema, "sam", &n));
    assert_null(sqltext_definition(schema, "", &n));
}

static void expect_words(const json_t *names, const char *prefix, const char *words)
{
    json_t *list = complete_words(names, prefix, strlen(prefix));
    struct buf text = {0};
    size_t i;
    const json_t *word;
    json_array_foreach(list, i, word)
    {
        buf_addf(&text, "%s%s", i ? " " : "", json_string_value(word));
    }
    assert_string_equal(buf_str(&text), words);
    buf_free(&text);
    json_decref(list);
}

static void test_completion(void **state)
{
    (void)state;
    json_t *names = json_pack("[s,s,s,s,s,s]", "thread", "thread.utid", "thread.tid", "sample",
                              "sample.utid", "sample.ts");
    expect_words(names, "t", "thread tid ts");
    expect_words(names, "UT", "utid");
    expect_words(names, "thread.", "thread.tid thread.utid");
    expect_words(names, "x", "");
    struct buf common = {0};
    json_t *words = complete_words(names, "thread.", 7);
    complete_common(words, &common);
    assert_string_equal(buf_str(&common), "thread.");
    json_decref(words);
    buf_clear(&common);
    words = complete_words(names, "sam", 3);
    complete_common(words, &common);
    assert_string_equal(buf_str(&common), "sample");
    json_decref(words);
    buf_free(&common);
    json_decref(names);
    assert_int_equal(complete_word_length("SELECT s.ut", 11), 4);
    assert_int_equal(complete_word_length("SELECT ", 7), 0);
    assert_int_equal(complete_word_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statement_ends),
        cmocka_unit_test(test_empty_statements),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_completion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
