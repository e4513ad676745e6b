/*
 * test_counters.c - what views by a counter say besides the counts, which test_property.c adds up:
 * ratios, warnings, and what they refuse.
 */
#include "fixture_counters.h"

#include "base/json.h"

struct fixture_run {
    struct query *q;
    struct model m;
    char path[512];
};

static void open_run(struct fixture_run *f, bool has_counters)
{
    static const char *const lines[] = {"process 100 app", "thread 101 100 worker",
                                        "sample 100 main;work x30", "sample 101 loop x10"};
    struct err e = {0};

    *f = (struct fixture_run){0};
    fixture_path(f->path, sizeof(f->path));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(model_read_line(&f->m, lines[i]));
    }
    model_write(&f->m, f->path);
    if (has_counters) {
        counters_write(&f->m, f->path);
    }
    assert_int_equal(query_open(&f->q, f->path, false, &e), 0);
}

static void close_run(struct fixture_run *f)
{
    query_close(f->q);
    fixture_remove(f->path);
    model_free(&f->m);
}

static json_t *ask(struct fixture_run *f, const char *view, const char *parameters, struct err *e)
{
    json_error_t where;
    json_t *p = json_loads(parameters, 0, &where), *document = NULL;

    assert_non_null(p);
    *e = (struct err){0};
    query_view(f->q, view, p, &document, e);
    json_decref(p);
    return document;
}

static void refuses(struct fixture_run *f, const char *parameters, int code, const char *message,
                    const char *hint)
{
    static const char *const views[] = {"top", "flamegraph"};
    struct err e;

    for (size_t i = 0; i < 2; i++) {
        assert_null(ask(f, views[i], parameters, &e));
        assert_int_equal(e.code, code);
        if (!strstr(e.msg, message) || !strstr(e.hint, hint)) {
            fail_msg("%s: '%s', '%s'", views[i], e.msg, e.hint);
        }
    }
}

static bool warns(const json_t *document, const char *text)
{
    size_t i;
    json_t *warning;

    json_array_foreach(json_object_get(document, "warnings"), i, warning)
    {
        if (strstr(json_string_value(warning), text)) {
            return true;
        }
    }
    return false;
}

static void what_is_not_counted_is_refused(void **state)
{
    struct fixture_run f;
    (void)state;
    open_run(&f, true);
    refuses(&f, "{\"by\": \"cache-misses\"}", STAX_ENOTFOUND, "does not count cache-misses",
            "cycles, instructions, page-faults");
    refuses(&f, "{\"by\": \"a\\u001bb\"}", STAX_ENOTFOUND, "\\x1b", "it counts");
    refuses(&f, "{\"by\": \"cycles\", \"off_cpu\": true}", STAX_EUSAGE, "it counts what runs",
            "exclude each other");
    refuses(&f, "{\"by\": 3}", STAX_EUSAGE, "by must be of type string", "");
    close_run(&f);
    open_run(&f, false);
    refuses(&f, "{\"by\": \"cycles\"}", STAX_ENOTFOUND, "does not count cycles",
            "record --counters cycles");
    close_run(&f);
}

/* Samples tell of 10 in 11, in 3 of 4 ns. */
static void warnings_say_what_counts_are_worth(void **state)
{
    struct fixture_run f;
    struct err e;
    (void)state;
    open_run(&f, true);
    json_t *document = ask(&f, "top", "{\"by\": \"cycles\"}", &e);
    assert_true(warns(document, "9 % of all cycles of the run ("));
    assert_true(warns(document, "cycles were counted 75 % of the time and are scaled up"));
    json_decref(document);
    document = ask(&f, "flamegraph", "{\"by\": \"page-faults\"}", &e);
    assert_true(warns(document, "page-faults were counted 75 %"));
    json_decref(document);
    document = ask(&f, "threads", "{}", &e);
    assert_true(warns(document, "9 % of all cycles of the run ("));
    assert_true(warns(document, "), 9 % of all page-faults of the run ("));
    assert_true(warns(document, "or of its time on a CPU: no thread has them"));
    json_decref(document);
    document = ask(&f, "top", "{\"by\": \"on_cpu\"}", &e);
    assert_false(warns(document, "counted"));
    assert_string_equal(json_text_at(json_object_get(document, "data"), "by", ""), "on_cpu");
    json_decref(document);
    close_run(&f);
}

static void instructions_per_cycle(void **state)
{
    struct fixture_run f;
    struct err e;
    size_t i;
    json_t *row;
    (void)state;
    open_run(&f, true);
    json_t *document = ask(&f, "top", "{}", &e);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "functions"), i, row)
    {
        const json_t *total = json_object_get(row, "total_counters");
        double cycles = (double)json_int_at(total, "cycles", 0);
        double instructions = (double)json_int_at(total, "instructions", 0);
        double difference = json_real_at(row, "total_ipc", 0) - instructions / cycles;
        assert_true(cycles > 0 && difference > -0.001 && difference < 0.001);
        bool is_leaf = json_int_at(row, "n_self_samples", 0) > 0;
        assert_int_equal(json_is_null(json_object_get(row, "self_ipc")), !is_leaf);
    }
    assert_int_equal(i, 3);
    json_decref(document);
    document = ask(&f, "threads", "{}", &e);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "threads"), i, row)
    {
        assert_true(json_real_at(row, "ipc", 0) > 1);
    }
    json_decref(document);
    close_run(&f);
    open_run(&f, false);
    document = ask(&f, "top", "{}", &e);
    row = json_array_get(json_object_get(json_object_get(document, "data"), "functions"), 0);
    assert_null(json_object_get(row, "self_counters"));
    assert_null(json_object_get(row, "self_ipc"));
    assert_null(json_object_get(json_object_get(document, "data"), "counters"));
    json_decref(document);
    close_run(&f);
}

/* Tables of a foreign file need not make sense. */
static void foreign_counters(void **state)
{
    static const struct sql_block blocks[] = {
        {"gap", "UPDATE counter SET slot = 7 WHERE slot = 1"},
        {"more", "INSERT INTO counter VALUES (1, 'x', 'y', -5, -9223372036854775808, 0, -1), "
                 "(3, 'a', 'b', 9223372036854775807, 1, 1, 1), (4, 'c', 'd', 0, 0, 0, 0)"},
        {"sums", "UPDATE symbol_counter SET self_c0 = -9223372036854775808, total_c1 = NULL"},
        {"nodes", "UPDATE call_tree_counter SET node = node + 100000"},
        {"stacks", "INSERT INTO stack_counter VALUES (1, 99999999, 1, 2, 3, 4)"}};
    static const char *const parameters[] = {"{}", "{\"by\": \"cycles\"}", "{\"from_ns\": 1}",
                                             "{\"tid\": 101, \"by\": \"cycles\"}"};
    struct fixture_run f;
    struct err e = {0};
    struct db *db;
    (void)state;
    open_run(&f, true);
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        assert_int_equal(db_open(&db, f.path, DB_WRITE, &e), 0);
        stmt_run(db_stmt(db, &blocks[i]));
        assert_int_equal(db_status(db, &e), 0);
        db_close(db);
        for (size_t k = 0; k < sizeof(parameters) / sizeof(parameters[0]); k++) {
            json_t *top = ask(&f, "top", parameters[k], &e);
            json_t *flame = ask(&f, "flamegraph", parameters[k], &e);
            assert_true(top && flame);
            json_decref(top);
            json_decref(flame);
        }
    }
    close_run(&f);
}

/* What places of a function counted is what the function did. parameters: beside the target. */
static void sums_by_instruction(struct fixture_run *f, const char *parameters, int64_t all)
{
    static const char *const names[] = {"cycles", "instructions", "page-faults"};
    struct err e;
    json_t *document = ask(f, "annotated", parameters, &e), *item;
    size_t k;

    if (!document) {
        fail_msg("%s: %s", parameters, e.msg);
    }
    const json_t *data = json_object_get(document, "data");
    const json_t *function = json_object_get(data, "function");
    for (size_t i = 0; i < 3; i++) {
        int64_t sum = 0;
        json_array_foreach(json_object_get(data, "elsewhere"), k, item)
        {
            sum += json_int_at(json_object_get(item, "counters"), names[i], INT64_MIN);
        }
        assert_int_equal(sum,
                         json_int_at(json_object_get(function, "self_counters"), names[i], -1));
        assert_true(sum > 0);
        if (all >= 0 && i == 0) {
            assert_int_equal(sum, all);
        }
    }
    assert_true(json_is_number(json_object_get(function, "self_ipc")));
    json_decref(document);
}

static void instructions_have_counts(void **state)
{
    struct fixture_run f;
    struct err e;
    (void)state;
    open_run(&f, true);
    json_t *top = ask(&f, "top", "{\"limit\": 1}", &e);
    const json_t *row =
        json_array_get(json_object_get(json_object_get(top, "data"), "functions"), 0);
    assert_string_equal(json_text_at(row, "name", ""), "work");
    int64_t all = json_int_at(json_object_get(row, "self_counters"), "cycles", 0);
    sums_by_instruction(&f, "{\"target\": \"work\"}", all);
    sums_by_instruction(&f, "{\"target\": \"work\", \"tid\": 100}", all);
    sums_by_instruction(&f, "{\"target\": \"work\", \"exclude\": [\"loop\"]}", all);
    sums_by_instruction(&f, "{\"target\": \"work\", \"to_ns\": 9000000}", -1);
    json_decref(top);
    close_run(&f);
    open_run(&f, false);
    json_t *document = ask(&f, "annotated", "{\"target\": \"work\"}", &e);
    const json_t *data = json_object_get(document, "data");
    assert_null(json_object_get(json_object_get(data, "function"), "self_counters"));
    assert_null(json_object_get(json_array_get(json_object_get(data, "elsewhere"), 0), "counters"));
    json_decref(document);
    close_run(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_counted_is_refused),
        cmocka_unit_test(instructions_have_counts),
        cmocka_unit_test(warnings_say_what_counts_are_worth),
        cmocka_unit_test(instructions_per_cycle),
        cmocka_unit_test(foreign_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
