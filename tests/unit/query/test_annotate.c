/* test_annotate.c - samples at instructions, lines and blocks: all of a function's, in any filter.
 */
#include "annotate_fixture.h"

static void every_sample_has_its_place(void **state)
{
    struct fixed f;

    (void)state;
    begin(&f, true);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *list = json_object_get(data, "instructions");
    assert_int_equal(shown(document), 15);
    assert_int_equal(json_array_size(list), 5);
    assert_string_equal(json_text_at(data, "code_from", ""), "run");
    assert_string_equal(json_text_at(json_array_get(list, 0), "operands", ""), "rax, 1");
    assert_int_equal(json_int_at(json_array_get(list, 0), "n_samples", 0), 5);
    assert_int_equal(json_int_at(json_array_get(list, 1), "n_samples", 0), 5);
    const json_t *inside = json_array_get(json_object_get(data, "elsewhere"), 0);
    assert_int_equal(json_int_at(inside, "instruction", -1), 1);
    assert_int_equal(json_int_at(inside, "n_samples", 0), 5);
    assert_int_equal(json_int_at(inside, "rel_address", 0), f.work * 256 + 8);
    assert_int_equal(json_int_at(json_array_get(list, 2), "target", 0), f.work * 256);
    assert_null(json_object_get(json_array_get(list, 2), "target_name"));
    assert_string_equal(json_text_at(json_array_get(list, 3), "target_name", ""), "main");
    assert_int_equal(json_int_at(json_array_get(list, 3), "target_offset", -1), 0);
    json_decref(document);
    end(&f);
}

static void filters_count_what_passes(void **state)
{
    static const struct {
        const char *parameters;
        int64_t n;
    } cases[] = {
        {"{\"target\": \"work\", \"tid\": 101}", 3},
        {"{\"target\": \"work\", \"pid\": 100}", 15},
        {"{\"target\": \"work\", \"from_ns\": 0, \"to_ns\": 4000000}", 4},
        {"{\"target\": \"work\", \"from_ns\": 8000000, \"to_ns\": 12000000}", 4},
        {"{\"target\": \"work\", \"from_ns\": 8000000, \"tid\": 101}", 3},
        {"{\"target\": \"work\", \"exclude\": [\"other\"]}", 12},
        {"{\"target\": \"work\", \"exclude\": [\"main\"]}", 0},
    };
    struct fixed f;

    (void)state;
    begin(&f, true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *document = ask(&f, "annotated", cases[i].parameters);
        if (shown(document) != cases[i].n) {
            fail_msg("%s: %lld", cases[i].parameters, (long long)shown(document));
        }
        json_decref(document);
    }
    refuses(&f, "{\"target\": \"work\", \"tid\": 999}", STAX_ENOTFOUND, "999", "");
    end(&f);
}

static void targets_are_found(void **state)
{
    static const struct {
        const char *target, *name;
    } cases[] = {
        {"work", "work"},
        {"WORKS", "workshop"},
        {"wor", "work"},
        {"ai", "main"},
    };
    struct fixed f;
    char text[128];

    (void)state;
    begin(&f, true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(text, sizeof(text), "{\"target\": \"%s\"}", cases[i].target);
        json_t *document = ask(&f, "annotated", text);
        const json_t *function = json_object_get(json_object_get(document, "data"), "function");
        assert_string_equal(json_text_at(function, "name", ""), cases[i].name);
        json_decref(document);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "{\"target\": \"%s0x%llx\"}",
                 i == 0   ? ""
                 : i == 1 ? "app+"
                          : "/usr/bin/app+",
                 (long long)f.work * 256 + 5);
        json_t *document = ask(&f, "annotated", text);
        const json_t *function = json_object_get(json_object_get(document, "data"), "function");
        assert_int_equal(json_int_at(function, "symbol", 0), f.work);
        json_decref(document);
    }
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\", \"list\": true}");
    const json_t *data = json_object_get(document, "data");
    assert_int_equal(json_int_at(data, "n_matches", 0), 2);
    assert_int_equal(json_array_size(json_object_get(data, "matches")), 2);
    assert_true(json_is_null(json_object_get(data, "function")));
    json_decref(document);
    refuses(&f, "{\"target\": \"nothing\"}", STAX_ENOTFOUND, "nothing", "hottest are: work");
    refuses(&f, "{\"target\": \"0xffffffffffffffff\"}", STAX_ENOTFOUND, "0xff", "hottest");
    refuses(&f, "{\"target\": \"work\", \"syntax\": \"x\"}", STAX_EUSAGE, "syntax", "");
    refuses(&f, "{\"target\": \"work\", \"list\": true, \"tid\": 100}", STAX_EUSAGE, "list", "");
    end(&f);
}

/* Names as C++ has them beside those of C. */
static void linkage_names_do_not_decide(void **state)
{
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &more_sql[SQL_LINKAGE]);
    stmt_bind_int(s, 1, symbol_of(&f.m, "workshop"));
    stmt_run(s);
    db_close(db);
    json_t *document = ask(&f, "annotated", "{\"target\": \"wor\"}");
    assert_string_equal(function_name(document), "work");
    json_decref(document);
    refuses(&f, "{\"target\": \"nothing\"}", STAX_ENOTFOUND, "nothing", "hottest are: work, ");
    document = ask(&f, "annotated", "{\"target\": \"\", \"list\": true}");
    const json_t *matches = json_object_get(json_object_get(document, "data"), "matches");
    assert_string_equal(json_text_at(json_array_get(matches, 0), "name", ""), "work");
    json_decref(document);
    end(&f);
}

/* All of work is a function inlined there, and workshop is a part of it. */
static void inlined_code_counts_where_it_is(void **state)
{
    static const struct {
        const char *name;
        int64_t n_samples;
    } wanted[] = {{"work", 15}, {"inlined", 14}, {"workshop [clone .cold]", 1}, {"main", 0}};
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    run_with(db, &more_sql[SQL_PART], (int64_t[]){symbol_of(&f.m, "workshop"), f.work}, 2, NULL);
    run_with(db, &more_sql[SQL_INLINED], &f.work, 1, NULL);
    run_with(db, &more_sql[SQL_INLINED_SUM], NULL, 0, NULL);
    run_with(db, &more_sql[SQL_LESS], &f.work, 1, NULL);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
    json_t *document = ask(&f, "annotated", "{\"target\": \"\", \"list\": true}");
    const json_t *matches = json_object_get(json_object_get(document, "data"), "matches");
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        const json_t *match = json_array_get(matches, i);
        assert_string_equal(json_text_at(match, "name", ""), wanted[i].name);
        assert_int_equal(json_int_at(match, "n_self_samples", -1), wanted[i].n_samples);
        assert_int_equal(json_int_at(match, "self_on_cpu_ns", -1), wanted[i].n_samples * MS);
    }
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"shop.cold\"}");
    assert_string_equal(function_name(document), "workshop [clone .cold]");
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"wor\"}");
    assert_string_equal(function_name(document), "work");
    assert_int_equal(shown(document), 15);
    json_decref(document);
    end(&f);
}

static void without_code_samples_are_still_shown(void **state)
{
    struct fixed f;

    (void)state;
    begin(&f, false);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    assert_int_equal(shown(document), 15);
    assert_true(json_is_null(json_object_get(data, "code_from")));
    assert_int_equal(json_array_size(json_object_get(data, "instructions")), 0);
    assert_int_equal(json_array_size(json_object_get(data, "elsewhere")), 3);
    assert_non_null(
        strstr(json_string_value(json_array_get(json_object_get(document, "warnings"), 0)),
               "no instructions: "));
    json_decref(document);
    document = ask(&f, "cfg", "{\"target\": \"work\"}");
    assert_int_equal(json_int_at(json_object_get(document, "data"), "n_outside_samples", 0), 15);
    json_decref(document);
    end(&f);
}

static void dropped_rows_are_not_guessed(void **state)
{
    struct fixed f;

    (void)state;
    begin(&f, true);
    query_close(f.q);
    f.m.n_folded = 6;
    struct db *db = NULL;
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    fixture_run(db, &f.m);
    db_close(db);
    assert_int_equal(query_open(&f.q, f.path, false, NULL), 0);
    refuses(&f, "{\"target\": \"work\", \"to_ns\": 9000000}", STAX_ELIMIT, "dropped", "ask from");
    refuses(&f, "{\"target\": \"work\", \"exclude\": [\"other\"]}", STAX_ELIMIT, "dropped", "");
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\", \"from_ns\": 8000000}");
    shown(document);
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"work\"}");
    assert_int_equal(shown(document), 15);
    json_decref(document);
    end(&f);
}

static void lines_and_inlined_functions_are_told(void **state)
{
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    add_line(&f, 0, 0, symbol_of(&f.m, "other"), 7);
    add_line(&f, 0, 1, f.work, 20);
    add_line(&f, 8, 0, f.work, 21);
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    stmt_run(db_stmt(db, &more_sql[SQL_SOURCE]));
    db_close(db);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *lines = json_object_get(data, "lines"), *line = json_array_get(lines, 0);
    const json_t *first = json_array_get(json_object_get(data, "instructions"), 0);
    assert_int_equal(shown(document), 15);
    assert_int_equal(json_array_size(lines), 2);
    assert_int_equal(json_int_at(line, "line", 0), 7);
    assert_string_equal(json_text_at(line, "text", ""), "    x += 1;");
    assert_int_equal(json_int_at(line, "n_samples", 0), 5);
    assert_true(json_is_null(json_object_get(json_array_get(lines, 1), "text")));
    assert_int_equal(json_int_at(data, "n_unlined_samples", 0), 5);
    assert_int_equal(json_int_at(first, "line", 0), 7);
    assert_string_equal(json_string_value(json_array_get(json_object_get(first, "inlined"), 0)),
                        "other");
    json_decref(document);
    end(&f);
}

/* Line 20, then line 7 of an inlined function inside another, then nothing known. */
static void add_table(struct fixed *f)
{
    int64_t at = f->work * 256;
    const int64_t spans[][5] = {
        {f->work, at, 1, 20, 0}, {f->work, at + 4, 1, 7, 2}, {f->work, at + 0xe, 0, 0, 0}};
    const int64_t calls[][3] = {{1, f->work, 0}, {2, f->work, 1}};
    struct db *db = NULL;

    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        run_with(db, &more_sql[SQL_SPAN], spans[i], 5, NULL);
    }
    run_with(db, &more_sql[SQL_CALL], calls[0], 3, "middle");
    run_with(db, &more_sql[SQL_CALL], calls[1], 3, "inner");
    stmt_run(db_stmt(db, &more_sql[SQL_FILE]));
    stmt_run(db_stmt(db, &more_sql[SQL_SOURCE]));
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

/* Beside its own code work is inlined into workshop, then into a part of itself. */
static void samples_inlined_elsewhere_are_told(void **state)
{
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    int64_t shop = symbol_of(&f.m, "workshop"), other = symbol_of(&f.m, "other");
    add_line(&f, 0, 0, f.work, 20);
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    run_with(db, &more_sql[SQL_INLINE], (int64_t[]){shop, f.work, other}, 3, NULL);
    assert_int_equal(db_status(db, NULL), 0);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    assert_int_equal(shown(document), 15);
    assert_true(warns(document, "1.0 ms more of work are inlined into workshop: not shown here"));
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"work\", \"from_ns\": 0}");
    assert_true(
        warns(document, "work is also inlined into workshop: its samples there are not shown"));
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"work\", \"tid\": 101}");
    assert_int_equal(json_array_size(json_object_get(document, "warnings")), 0);
    json_decref(document);
    run_with(db, &more_sql[SQL_PART], (int64_t[]){shop, f.work}, 2, NULL);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
    document = ask(&f, "annotated", "{\"target\": \"work\"}");
    assert_int_equal(json_array_size(json_object_get(document, "warnings")), 0);
    json_decref(document);
    end(&f);
}

static void every_instruction_has_its_line(void **state)
{
    struct fixed f;

    (void)state;
    begin(&f, true);
    add_table(&f);
    add_line(&f, 0, 0, f.work, 99); /* the table knows better */
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *list = json_object_get(data, "instructions");
    const json_t *lines = json_object_get(data, "lines"), *lea = json_array_get(list, 1);
    assert_int_equal(shown(document), 15);
    assert_int_equal(json_int_at(json_array_get(list, 0), "line", 0), 20);
    assert_int_equal(json_int_at(lea, "line", 0), 7);
    assert_string_equal(json_text_at(lea, "file", ""), "/src/work.c");
    const json_t *inlined = json_object_get(lea, "inlined");
    assert_int_equal(json_array_size(inlined), 2);
    assert_string_equal(json_string_value(json_array_get(inlined, 0)), "inner");
    assert_string_equal(json_string_value(json_array_get(inlined, 1)), "middle");
    assert_null(json_object_get(json_array_get(list, 2), "line")); /* as the one before */
    assert_true(json_is_null(json_object_get(json_array_get(list, 3), "line")));
    assert_int_equal(json_array_size(lines), 2);
    const json_t *first = json_array_get(lines, 0);
    assert_int_equal(json_int_at(first, "line", 0), 7);
    assert_int_equal(json_int_at(first, "n_samples", 0), 10);
    assert_string_equal(json_text_at(first, "text", ""), "    x += 1;");
    assert_int_equal(json_int_at(data, "n_unlined_samples", -1), 0);
    json_decref(document);
    end(&f);
}

static void blocks_and_edges_follow_the_jumps(void **state)
{
    static const struct {
        int64_t from, to;
        const char *kind;
    } wanted[] = {{0, 0, "branch"}, {0, 1, "next"}};
    struct fixed f;

    (void)state;
    begin(&f, true);
    json_t *document = ask(&f, "cfg", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *blocks = json_object_get(data, "blocks"), *edges = json_object_get(data, "edges");
    assert_int_equal(json_array_size(blocks), 2);
    assert_int_equal(json_int_at(json_array_get(blocks, 0), "n_instructions", 0), 3);
    assert_int_equal(json_int_at(json_array_get(blocks, 0), "n_samples", 0), 15);
    assert_int_equal(json_int_at(json_array_get(blocks, 1), "n_samples", -1), 0);
    assert_string_equal(json_text_at(json_array_get(blocks, 1), "ends_in", ""), "return");
    assert_int_equal(json_array_size(edges), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *edge = json_array_get(edges, i);
        assert_int_equal(json_int_at(edge, "from", -1), wanted[i].from);
        assert_int_equal(json_int_at(edge, "to", -1), wanted[i].to);
        assert_string_equal(json_text_at(edge, "kind", ""), wanted[i].kind);
    }
    assert_int_equal(json_int_at(data, "n_outside_samples", -1), 0);
    json_decref(document);
    end(&f);
}

static void an_archive_annotates_as_the_run_did(void **state)
{
    struct fixed f;
    struct err e = {0};
    char archive[600];

    (void)state;
    begin(&f, true);
    json_t *live = ask(&f, "annotated", "{\"target\": \"work\"}");
    snprintf(archive, sizeof(archive), "%s.saved.stax", f.path);
    struct archive_contents contents = {.with_files = true, .with_source = true};
    assert_int_equal(archive_save_with(f.path, archive, &contents, NULL, NULL, NULL, &e), 0);
    assert_int_equal(contents.n_functions, 1);
    assert_int_equal(contents.code_bytes, sizeof(code));
    query_close(f.q);
    assert_int_equal(query_open(&f.q, archive, true, &e), 0);
    json_t *saved = ask(&f, "annotated", "{\"target\": \"work\"}");
    assert_true(json_equal(json_object_get(live, "data"), json_object_get(saved, "data")));
    json_decref(live);
    json_decref(saved);
    fixture_remove(archive);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_has_its_place),
        cmocka_unit_test(filters_count_what_passes),
        cmocka_unit_test(targets_are_found),
        cmocka_unit_test(linkage_names_do_not_decide),
        cmocka_unit_test(inlined_code_counts_where_it_is),
        cmocka_unit_test(without_code_samples_are_still_shown),
        cmocka_unit_test(dropped_rows_are_not_guessed),
        cmocka_unit_test(lines_and_inlined_functions_are_told),
        cmocka_unit_test(samples_inlined_elsewhere_are_told),
        cmocka_unit_test(every_instruction_has_its_line),
        cmocka_unit_test(blocks_and_edges_follow_the_jumps),
        cmocka_unit_test(an_archive_annotates_as_the_run_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
