/* test_annotate_generated.c - the same of code that was made at run time. */
#include "annotate_fixture.h"

/* Every other sample at offsets 0 and 8 gets a frame of its own. */
static void move_frames(struct fixed *f)
{
    struct db *db = NULL;

    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    for (int i = SQL_DOUBLE; i <= SQL_SUM; i++) {
        struct stmt *s = db_stmt(db, &more_sql[i]);
        if (i == SQL_DOUBLE) {
            stmt_bind_int(s, 1, f->work);
        }
        stmt_run(s);
    }
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

/* As code made at run time: its samples have frames of their own until its runtime tells of it, and
 * those are moved then. */
static void places_of_one_address_are_one(void **state)
{
    static const char *const cases[] = {"{\"target\": \"work\"}",
                                        "{\"target\": \"work\", \"from_ns\": 0}"};
    struct fixed f;

    (void)state;
    begin(&f, true);
    move_frames(&f);
    for (size_t i = 0; i < 2; i++) {
        json_t *document = ask(&f, "annotated", cases[i]);
        const json_t *data = json_object_get(document, "data");
        const json_t *list = json_object_get(data, "instructions");
        const json_t *elsewhere = json_object_get(data, "elsewhere");
        assert_int_equal(shown(document), 15);
        assert_int_equal(json_int_at(json_array_get(list, 0), "n_samples", 0), 5);
        assert_int_equal(json_int_at(json_array_get(list, 1), "n_samples", 0), 5);
        assert_int_equal(json_int_at(data, "hottest", -1), 0);
        assert_int_equal(json_array_size(elsewhere), 1);
        assert_int_equal(json_int_at(json_array_get(elsewhere, 0), "n_samples", 0), 5);
        json_decref(document);
    }
    end(&f);
}

/* Makes work code that was made at run time at an address (0: not recorded). */
static void make_generated(struct fixed *f, int64_t address, bool is_recursive)
{
    struct db *db = NULL;
    uint8_t bytes[sizeof(code)];
    const int32_t rel = -0x13;

    memcpy(bytes, code, sizeof(code));
    memcpy(bytes + 0xf, &rel, sizeof(rel));
    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &more_sql[SQL_GENERATED]);
    stmt_bind_int(s, 1, f->work);
    if (address) {
        stmt_bind_int(s, 2, address);
    }
    stmt_run(s);
    s = db_stmt(db, &more_sql[SQL_RECURSIVE]);
    stmt_bind_int(s, 1, f->work);
    stmt_bind_blob(s, 2, bytes, sizeof(bytes));
    if (is_recursive) {
        stmt_run(s);
    }
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

/* Where it lay in memory, and that is where its jumps and calls go to. */
static void generated_code_has_its_addresses(void **state)
{
    enum { AT = 0x10000000 };
    struct fixed f;

    (void)state;
    begin(&f, true);
    make_generated(&f, AT, false);
    json_t *document = ask(&f, "annotated", "{\"target\": \"0x10000005\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *list = json_object_get(data, "instructions"), *jump = json_array_get(list, 2);
    const json_t *call = json_array_get(list, 3);
    assert_int_equal(shown(document), 15);
    assert_int_equal(json_int_at(json_object_get(data, "function"), "address", 0), AT);
    assert_int_equal(json_int_at(json_object_get(data, "function"), "rel_address", 0),
                     f.work * 256);
    assert_int_equal(json_int_at(json_array_get(list, 0), "n_samples", 0), 5);
    assert_int_equal(json_int_at(jump, "address", 0), AT + 0xc);
    assert_int_equal(json_int_at(jump, "rel_address", 0), f.work * 256 + 0xc);
    assert_int_equal(json_int_at(jump, "target", 0), AT);
    assert_string_equal(json_text_at(jump, "operands", ""), "0x10000000");
    assert_int_equal(json_int_at(call, "target", 0), AT + (f.main - f.work) * 256);
    assert_null(json_object_get(call, "target_name")); /* another function may have lain there */
    const json_t *inside = json_array_get(json_object_get(data, "elsewhere"), 0);
    assert_int_equal(json_int_at(inside, "address", 0), AT + 8);
    assert_int_equal(json_int_at(inside, "rel_address", 0), f.work * 256 + 8);
    assert_int_equal(json_array_size(json_object_get(document, "warnings")), 0);
    json_decref(document);
    make_generated(&f, AT, true);
    document = ask(&f, "cfg", "{\"target\": \"work\"}");
    data = json_object_get(document, "data");
    call = json_array_get(json_object_get(data, "instructions"), 3);
    assert_int_equal(json_int_at(call, "target", 0), AT);
    assert_string_equal(json_text_at(call, "target_name", ""), "work");
    assert_int_equal(json_int_at(json_array_get(json_object_get(data, "blocks"), 1), "address", 0),
                     AT + 0xe);
    const json_t *edge = json_array_get(json_object_get(data, "edges"), 0);
    assert_int_equal(json_int_at(edge, "to", -1), 0);
    assert_int_equal(json_int_at(edge, "target", 0), AT);
    json_decref(document);
    end(&f);
}

/* As those of the first archives, whose symbols have no language. */
static void versions_of_a_function_are_told_apart(void **state)
{
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    make_generated(&f, 0x10000000, false);
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    run_with(db, &more_sql[SQL_VERSION], (int64_t[]){f.work, 0}, 2, "JS:~work /src/a.js:1:2");
    run_with(db, &more_sql[SQL_VERSION], (int64_t[]){symbol_of(&f.m, "workshop"), f.work}, 2,
             "JS:*work /src/a.js:1:2");
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work a.js\", \"list\": true}");
    const json_t *matches = json_object_get(json_object_get(document, "data"), "matches");
    assert_int_equal(json_array_size(matches), 2);
    assert_string_equal(json_text_at(json_array_get(matches, 0), "name", ""),
                        "work a.js:1 [interpreted]");
    assert_string_equal(json_text_at(json_array_get(matches, 1), "name", ""),
                        "work a.js:1 [optimised]");
    json_decref(document);
    document = ask(&f, "annotated", "{\"target\": \"work a.js:1\"}");
    assert_string_equal(function_name(document), "work a.js:1 [interpreted]");
    json_decref(document);
    end(&f);
}

/* Where its process had the file mapped, not where another had it. */
static void generated_code_calls_files(void **state)
{
    enum { AT = 0x10000000 };
    struct fixed f;
    struct db *db = NULL;

    (void)state;
    begin(&f, true);
    make_generated(&f, AT, false);
    int64_t target = AT + (f.main - f.work) * 256;
    assert_int_equal(db_open(&db, f.path, DB_WRITE, NULL), 0);
    run_with(db, &more_sql[SQL_CALLED], (int64_t[]){f.main, target}, 2, NULL);
    for (int64_t upid = 2; upid >= 1; upid--) {
        run_with(db, &more_sql[SQL_MAP], (int64_t[]){upid, target & ~0xfff}, 2, NULL);
        assert_int_equal(db_status(db, NULL), 0);
        json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
        const json_t *data = json_object_get(document, "data");
        const json_t *call = json_array_get(json_object_get(data, "instructions"), 3);
        assert_int_equal(json_int_at(call, "target", 0), target);
        assert_string_equal(json_text_at(call, "target_name", ""), upid == 1 ? "main" : "");
        json_decref(document);
    }
    db_close(db);
    json_t *document = ask(&f, "annotated", "{\"target\": \"main\"}");
    assert_null(json_object_get(json_object_get(json_object_get(document, "data"), "function"),
                                "address")); /* it is still of its file */
    json_decref(document);
    end(&f);
}

/* As in runs of older versions. */
static void generated_code_of_unknown_address_says_so(void **state)
{
    struct fixed f;

    (void)state;
    begin(&f, true);
    make_generated(&f, 0, false);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}");
    const json_t *data = json_object_get(document, "data");
    const json_t *jump = json_array_get(json_object_get(data, "instructions"), 2);
    assert_null(json_object_get(json_object_get(data, "function"), "address"));
    assert_null(json_object_get(jump, "address"));
    assert_int_equal(json_int_at(jump, "target", 0), f.work * 256);
    assert_non_null(
        strstr(json_string_value(json_array_get(json_object_get(document, "warnings"), 0)),
               "where this code lay in memory was not recorded"));
    json_decref(document);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_of_one_address_are_one),
        cmocka_unit_test(generated_code_has_its_addresses),
        cmocka_unit_test(versions_of_a_function_are_told_apart),
        cmocka_unit_test(generated_code_calls_files),
        cmocka_unit_test(generated_code_of_unknown_address_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
