/* test_compare.c - two text profiles (fixture.h), and what must have changed from one to the other.
 */
#include "fixture.h"

#include <math.h>

#include "base/json.h"
#include "query/compare.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance)) {
        fail_msg("%.12g is not %.12g", value, expected);
    }
}

/* The profile of a run made of these lines, ended by NULL. */
static json_t *profile_of(const char *const *lines, const json_t *parameters)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];

    fixture_path(path, sizeof(path));
    for (; *lines; lines++) {
        model_read_line(&m, *lines);
    }
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    if (query_view(q, "profile", parameters, &document, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    query_close(q);
    fixture_remove(path);
    model_free(&m);
    return document;
}

static json_t *compare(const char *const *a, const char *const *b, const char *parameters)
{
    struct compare_options options;
    struct err e = {0};
    json_t *given = json_loads(parameters, 0, NULL), *document = NULL;
    json_t *side_a = profile_of(a, NULL), *side_b = profile_of(b, NULL);

    assert_int_equal(compare_options_read(&options, given, &e), 0);
    if (compare_profiles(side_a, side_b, &options, &document, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    json_decref(side_a);
    json_decref(side_b);
    json_decref(given);
    return document;
}

/* "name binary status: self A>B total A>B ms, * if significant, ? if there are too few samples" */
static void add_change(struct buf *out, const json_t *change)
{
    const json_t *is_significant = json_object_get(change, "is_significant");
    bool is_exact = json_is_null(json_object_get(change, "interval_ns"));

    buf_addf(out, " %lld>%lld%s", (long long)json_int_at(change, "a_ns", -1) / MS,
             (long long)json_int_at(change, "b_ns", -1) / MS,
             json_is_true(is_significant)                ? "*"
             : json_is_null(is_significant) && !is_exact ? "?"
                                                         : "");
}

static void assert_rows(const json_t *document, const char *list, const char *expected)
{
    struct buf out = {0};
    size_t i;
    const json_t *row;

    json_array_foreach(json_object_get(json_object_get(document, "data"), list), i, row)
    {
        static const char *const members[] = {"self", "total", "on_cpu", "off_cpu", "runnable"};
        buf_addf(&out, "%s %s %s:", json_text_at(row, "name", json_text_at(row, "reason", "")),
                 json_text_at(row, "binary", "-"), json_text_at(row, "status", "-"));
        for (size_t k = 0; k < 5; k++) {
            if (json_is_object(json_object_get(row, members[k]))) {
                add_change(&out, json_object_get(row, members[k]));
            }
        }
        buf_addch(&out, '\n');
    }
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static const char *const before[] = {
    "process 10 app",         "sample 10 main;parse;lex x100",      "sample 10 main;parse x100",
    "sample 10 main;old x40", "sample 10 main;libc.so.6!memcpy x5", NULL,
};

static const char *const after[] = {
    "process 77 app",         "sample 77 main;parse;lex x104",      "sample 77 main;parse x200",
    "sample 77 main;new x30", "sample 77 main;libc.so.6!memcpy x3", NULL,
};

/* Ten differences have enough samples, nine of functions and that of the thread, so z is 3.29.
 * parse: 100 beyond 3.29 sqrt(300) = 57; old: 40 beyond 3.29 sqrt(41) = 21; new: 30 beyond
 * 3.29 sqrt(31) = 18; main: 92 beyond 3.29 sqrt(582) = 79; lex: 4 within 3.29 sqrt(204) = 47. */
static void what_changed_most_beyond_its_interval_comes_first(void **state)
{
    json_t *document = compare(before, after, "{}");
    const json_t *data = json_object_get(document, "data");

    (void)state;
    assert_rows(document, "functions",
                "parse app both: 100>200* 200>304*\n"
                "old app vanished: 40>0* 40>0*\n"
                "new app new: 0>30* 0>30*\n"
                "lex app both: 100>104 100>104\n"
                "main app both: 0>0? 245>337*\n"
                "memcpy libc.so.6 both: 5>3? 5>3?\n");
    assert_int_equal(json_int_at(data, "n_significant", 0), 4);
    assert_int_equal(json_int_at(data, "n_tested", 0), 10);
    assert_near(json_real_at(data, "n_deviations", 0), 3.290527, 1e-6);
    json_decref(document);
}

static void the_other_way_round_it_is_the_opposite(void **state)
{
    json_t *document = compare(after, before, "{\"limit\": 3}");

    (void)state;
    assert_rows(document, "functions",
                "parse app both: 200>100* 304>200*\n"
                "old app new: 0>40* 0>40*\n"
                "new app vanished: 30>0* 30>0*\n");
    json_decref(document);
}

static void a_run_is_like_itself(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const char *const parameters[] = {"{}", "{\"by\": \"rate\"}", "{\"by\": \"share\"}"};
        json_t *document = compare(before, before, parameters[i]);
        const json_t *data = json_object_get(document, "data");
        assert_int_equal(json_int_at(data, "n_significant", -1), 0);
        assert_int_equal(json_int_at(data, "n_functions", -1), 5);
        json_decref(document);
    }
}

/* Twice as long at the same work: more time, and nothing else by rate and by share. */
static void a_longer_run_is_the_same_by_rate_and_share(void **state)
{
    static const char *const twice[] = {
        "process 10 app",
        "sample 10 main;parse;lex x200",
        "sample 10 main;parse x200",
        "sample 10 main;old x80",
        "sample 10 main;libc.so.6!memcpy x10",
        NULL,
    };
    static const struct {
        const char *parameters;
        int n_significant;
    } cases[] = {{"{}", 4}, {"{\"by\": \"rate\"}", 0}, {"{\"by\": \"share\"}", 0}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        json_t *document = compare(before, twice, cases[i].parameters);
        assert_int_equal(json_int_at(json_object_get(document, "data"), "n_significant", -1),
                         cases[i].n_significant);
        json_decref(document);
    }
}

/* init: in the program, which is called otherwise, and in a library of the same name; two programs
 * have a log, of which it cannot be said which became which. */
static void names_match_across_binaries(void **state)
{
    static const char *const a[] = {
        "process 1 app",
        "sample 1 app_v1!main;app_v1!init x20",
        "sample 1 libx.so!init x30",
        "sample 1 app_v1!log x11",
        "sample 1 liby.so.1!log x12",
        NULL,
    };
    static const char *const b[] = {
        "process 1 app",
        "sample 1 app_v2!main;app_v2!init x21",
        "sample 1 libx.so!init x31",
        "sample 1 app_v2!log x13",
        "sample 1 liby.so.2!log x14",
        NULL,
    };
    json_t *document = compare(a, b, "{\"sort\": \"total\"}");
    const json_t *rows = json_object_get(json_object_get(document, "data"), "functions");
    size_t i, n_both = 0, n_log = 0;
    const json_t *row;

    (void)state;
    json_array_foreach(rows, i, row)
    {
        bool is_both = strcmp(json_text_at(row, "status", ""), "both") == 0;
        bool is_log = strcmp(json_text_at(row, "name", ""), "log") == 0;
        n_both += is_both;
        n_log += is_log;
        assert_true(is_both != is_log);
        if (strcmp(json_text_at(row, "binary", ""), "app_v2") == 0 && is_both) {
            assert_string_equal(json_text_at(row, "a_binary", ""), "app_v1");
        }
    }
    assert_int_equal(n_both, 3);
    assert_int_equal(n_log, 4);
    json_decref(document);
}

/* The profile of a run whose target is that binary. */
static json_t *profile_of_target(const char *const *lines, const char *name)
{
    json_t *document = profile_of(lines, NULL);
    json_object_set_new(json_object_get(document, "data"), "main",
                        json_pack("{s:s,s:s}", "binary", name, "thread", name));
    return document;
}

/* The dynamic linker has a _start, too, that only one of the runs saw. */
static void a_renamed_target_is_the_same(void **state)
{
    static const char *const a[] = {
        "process 1 prog",
        "sample 1 prog!_start;prog!init x20",
        "sample 1 ld.so!_start x12",
        "thread 2 1 worker",
        "sample 2 prog!work x10",
        NULL,
    };
    static const char *const b[] = {
        "process 1 prog-v2",         "sample 1 prog-v2!_start;prog-v2!init x21",
        "sample 1 libx.so!init x10", "thread 2 1 worker",
        "sample 2 prog-v2!work x10", NULL,
    };
    json_t *side_a = profile_of_target(a, "prog"), *side_b = profile_of_target(b, "prog-v2");
    json_t *document = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(compare_profiles(side_a, side_b, &compare_default_options, &document, &e), 0);
    assert_rows(document, "functions",
                "_start ld.so vanished: 12>0* 12>0*\n"
                "init libx.so new: 0>10 0>10\n"
                "work prog-v2 both: 10>10 10>10\n"
                "init prog-v2 both: 20>21 20>21\n"
                "_start prog-v2 both: 0>0? 20>21\n");
    const json_t *threads = json_object_get(json_object_get(document, "data"), "threads");
    const json_t *thread = json_array_get(threads, 1);
    assert_int_equal(json_array_size(threads), 2);
    assert_string_equal(json_text_at(thread, "name", ""), "prog-v2");
    assert_string_equal(json_text_at(thread, "a_name", ""), "prog");
    assert_string_equal(json_text_at(thread, "status", ""), "both");
    json_decref(document);
    json_decref(side_a);
    json_decref(side_b);
}

/* A script that runs it in one of the runs. */
static void a_target_beside_another_is_not_renamed(void **state)
{
    static const char *const a[] = {"process 1 sh", "sample 1 sh!main x20",
                                    "sample 1 prog!main x30", NULL};
    static const char *const b[] = {"process 1 prog", "sample 1 prog!main x31", NULL};
    json_t *side_a = profile_of_target(a, "sh"), *side_b = profile_of_target(b, "prog");
    json_t *document = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(compare_profiles(side_a, side_b, &compare_default_options, &document, &e), 0);
    assert_rows(document, "functions",
                "main sh vanished: 20>0* 20>0*\n"
                "main prog both: 30>31 30>31\n");
    json_decref(document);
    json_decref(side_a);
    json_decref(side_b);
}

static const struct sql_block mapping_sql[] = {
    {"exec", "INSERT INTO mapping VALUES (?1, 5000000000, 1, 4096, 4096, 0, ?2)"},
};

static void a_profile_names_its_target(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct db *db = NULL;
    json_t *document = NULL;
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 1 app");
    model_read_line(&m, "sample 1 libc.so!read x3");
    model_read_line(&m, "sample 1 app!main x3");
    model_write(&m, path);
    assert_int_equal(db_open(&db, path, DB_WRITE, NULL), 0);
    for (int64_t i = 1; i <= 2; i++) { /* app, then libc.so, which is of kind shared */
        struct stmt *s = db_stmt(db, &mapping_sql[0]);
        stmt_bind_int(s, 1, i);
        stmt_bind_int(s, 2, 3 - i);
        stmt_run(s);
    }
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
    assert_int_equal(query_open(&q, path, false, NULL), 0);
    assert_int_equal(query_view(q, "profile", NULL, &document, NULL), 0);
    const json_t *main = json_object_get(json_object_get(document, "data"), "main");
    assert_string_equal(json_text_at(main, "binary", ""), "app");
    assert_string_equal(json_text_at(main, "thread", ""), "app");
    json_decref(document);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void threads_and_waits_are_exact(void **state)
{
    static const char *const a[] = {
        "process 1 app",
        "thread 2 1 worker",
        "thread 3 1 worker",
        "sample 1 main x10",
        "sample 2 work x10",
        "sample 3 work x10",
        "wait 2 work;libc.so.6!lock lock 20",
        "wait 3 work;libc.so.6!lock lock 20",
        "wait 1 main;libc.so.6!nap sleep 50",
        NULL,
    };
    static const char *const b[] = {
        "process 1 app",
        "thread 2 1 worker",
        "sample 1 main x10",
        "sample 2 work x25",
        "wait 2 work;libc.so.6!lock lock 5",
        "wait 1 main;libc.so.6!nap sleep 80",
        "wait 1 - runnable 7",
        NULL,
    };
    json_t *document = compare(a, b, "{}");
    const json_t *data = json_object_get(document, "data");

    (void)state;
    assert_rows(document, "threads",
                "worker - both: 20>25 40>5 0>0\napp - both: 10>10 50>80 0>7\n");
    const json_t *worker = json_array_get(json_object_get(data, "threads"), 0);
    assert_int_equal(json_int_at(worker, "n_a_threads", 0), 2);
    assert_int_equal(json_int_at(worker, "n_b_threads", 0), 1);
    const json_t *first = json_array_get(json_object_get(data, "reasons"), 0);
    assert_string_equal(json_text_at(first, "reason", ""), "lock");
    assert_int_equal(json_int_at(json_object_get(first, "off_cpu"), "delta_ns", 0), -35 * MS);
    assert_rows(document, "waits",
                "lock libc.so.6 both: 40>5 40>5\nnap libc.so.6 both: 50>80 50>80\n"
                "work app both: 0>0 40>5\nmain app both: 0>0 50>80\n");
    const json_t *off_cpu = json_object_get(json_object_get(data, "totals"), "off_cpu");
    assert_int_equal(json_int_at(off_cpu, "delta_ns", 0), -5 * MS);
    assert_true(json_is_null(json_object_get(off_cpu, "interval_ns")));
    assert_true(json_is_null(json_object_get(off_cpu, "is_significant")));
    json_decref(document);
}

static void waits_of_one_run_alone_are_not_compared(void **state)
{
    static const char *const waiting[] = {"process 1 app", "sample 1 main x20",
                                          "wait 1 main;nap sleep 5", NULL};
    json_t *document = compare(before, waiting, "{}");
    const json_t *data = json_object_get(document, "data");

    (void)state;
    assert_true(json_is_null(json_object_get(data, "reasons")));
    assert_true(json_is_null(json_object_get(data, "waits")));
    assert_true(json_is_null(json_object_get(json_object_get(data, "totals"), "off_cpu")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(document, "warnings"), 0)),
                        "A: waits are not compared: they were not recorded");
    json_decref(document);
}

static void conditions_hold_or_not(void **state)
{
    json_t *document =
        compare(before, after,
                "{\"fail_if\": \"self(lex) > +1ms or self(parse) > +50% or total(main) < 1s or "
                "self(memcpy) < -1ms or self(new) > +29ms\"}");
    const json_t *fail_if = json_object_get(json_object_get(document, "data"), "fail_if");
    struct buf out = {0};
    size_t i;
    const json_t *item;

    (void)state;
    assert_true(json_is_true(json_object_get(fail_if, "is_met")));
    json_array_foreach(json_object_get(fail_if, "conditions"), i, item)
    {
        buf_addf(&out, "%s: %d %s\n", json_text_at(item, "condition", ""),
                 json_is_true(json_object_get(item, "is_met")), json_text_at(item, "note", ""));
    }
    assert_string_equal(buf_str(&out), "self(lex) > +1ms: 0 the change is within its interval\n"
                                       "self(parse) > +50%: 1 \n"
                                       "total(main) < 1s: 1 \n"
                                       "self(memcpy) < -1ms: 0 there are too few samples to tell\n"
                                       "self(new) > +29ms: 1 \n");
    buf_free(&out);
    json_decref(document);
}

static const char *const in_cpp[] = {
    "process 10 app",
    "sample 10 main;parse(char~const*,~std::vector<int>~(*)(int)) x50",
    "sample 10 main;int~shapes::area<int>(int)~const x20",
    "sample 10 main;lex(int) x20",
    "sample 10 main;lex(char) x20",
    "sample 10 main;operator~new(unsigned~long) x20",
    "sample 10 main;(anonymous~namespace)::Ring::step() x20",
    NULL,
};

/* A text profile has no names with blanks. */
static json_t *cpp_profile(void)
{
    json_t *document = profile_of(in_cpp, NULL);
    const json_t *on_cpu = json_object_get(json_object_get(document, "data"), "on_cpu");
    json_t *function;
    size_t i;

    json_array_foreach(json_object_get(on_cpu, "functions"), i, function)
    {
        char *name = mem_strdup(json_text_at(function, "name", ""));
        for (char *c = name; *c; c++) {
            *c = *c == '~' ? ' ' : *c;
        }
        json_object_set_new(function, "name", json_string(name));
        free(name);
    }
    return document;
}

/* "FOUND a_ms", or the message and hint. */
static void add_answer(struct buf *out, const char *name)
{
    struct compare_options options = compare_default_options;
    struct err e = {0};
    char text[128];
    json_t *document = NULL, *a = cpp_profile(), *b = cpp_profile();

    snprintf(text, sizeof(text), "self(%s) > 1s", name);
    options.fail_if = text;
    int rc = compare_profiles(a, b, &options, &document, &e);
    if (rc == 0) {
        const json_t *fail_if = json_object_get(json_object_get(document, "data"), "fail_if");
        const json_t *first = json_array_get(json_object_get(fail_if, "conditions"), 0);
        buf_addf(out, "%s: %lld ms\n", name,
                 (long long)json_int_at(json_object_get(first, "change"), "a_ns", 0) / MS);
    } else {
        assert_int_equal(rc, STAX_EUSAGE);
        assert_null(document);
        buf_addf(out, "%s: %s; %s\n", name, e.msg, e.hint);
    }
    json_decref(document);
    json_decref(a);
    json_decref(b);
}

/* Nothing has become slower if a name is wrong: that is not the status of a condition that holds.
 */
static void names_need_no_parameters(void **state)
{
    static const char *const names[] = {
        "parse",    "shapes::area<int>",
        "lex(int)", "(anonymous namespace)::Ring::step",
        "main",     "lex",
        "new",      "area",
        "prse",     "quux",
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        add_answer(&out, names[i]);
    }
    assert_string_equal(
        buf_str(&out),
        "parse: 50 ms\n"
        "shapes::area<int>: 20 ms\n"
        "lex(int): 20 ms\n"
        "(anonymous namespace)::Ring::step: 20 ms\n"
        "main: 0 ms\n"
        "lex: condition: \"lex\" has several functions; name one with its parameters: "
        "\"lex(char)\", \"lex(int)\"\n"
        "new: condition: no function named \"new\" has samples in either run; did you mean "
        "\"operator new(unsigned long)\"?\n"
        "area: condition: no function named \"area\" has samples in either run; did you mean "
        "\"int shapes::area<int>(int) const\"?\n"
        "prse: condition: no function named \"prse\" has samples in either run; names are those "
        "of stax top; parameters may be left out\n"
        "quux: condition: no function named \"quux\" has samples in either run; names are those "
        "of stax top; parameters may be left out\n");
    buf_free(&out);
}

static void is_refused(const char *parameters, int code, const char *message)
{
    struct compare_options options;
    struct err e = {0};
    json_t *given = json_loads(parameters, 0, NULL), *document = NULL;
    int rc = compare_options_read(&options, given, &e);

    if (rc == 0) {
        json_t *a = profile_of(before, NULL), *b = profile_of(after, NULL);
        rc = compare_profiles(a, b, &options, &document, &e);
        json_decref(a);
        json_decref(b);
    }
    assert_int_equal(rc, code);
    assert_null(document);
    assert_string_equal(e.msg, message);
    json_decref(given);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    is_refused("{\"by\": \"size\"}", STAX_EUSAGE, "by must be \"time\", \"rate\" or \"share\"");
    is_refused("{\"sort\": \"x\"}", STAX_EUSAGE, "sort must be \"self\" or \"total\"");
    is_refused("{\"limit\": -1}", STAX_EUSAGE, "limit must be from 0 to 100000");
    is_refused("{\"confidence_pct\": 100}", STAX_EUSAGE,
               "confidence_pct must be from 50 to 99.9999");
    is_refused(
        "{\"fail_if\": \"x\"}", STAX_EUSAGE,
        "condition: on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION) is missing before 'x'");
    is_refused("{\"fail_if\": \"off_cpu > +1ms\"}", STAX_EUSAGE,
               "condition: run A has no time off the CPU");
}

/* Half the samples have twice the weight: n sum w^2 / (sum w)^2 - 1 = 100 (50 + 200) / 150^2 - 1 */
static void a_profile_knows_how_its_weights_vary(void **state)
{
    static const char *const lines[] = {"process 1 app", "sample 1 main x50",
                                        "sample 1 main x50 w=2", NULL};
    json_t *document = profile_of(lines, NULL);

    (void)state;
    assert_near(json_real_at(json_object_get(document, "data"), "weight_variation", -1), 1.0 / 9,
                1e-9);
    json_decref(document);
}

static void a_profile_of_a_range_has_its_length(void **state)
{
    json_t *parameters = json_pack("{s:i,s:i,s:[s]}", "from_ns", (int)(10 * MS), "to_ns",
                                   (int)(60 * MS), "exclude", "old");
    json_t *document = profile_of(before, parameters);
    const json_t *data = json_object_get(document, "data");

    (void)state;
    assert_int_equal(json_int_at(data, "elapsed_ns", 0), 50 * MS);
    assert_int_equal(json_int_at(json_object_get(data, "on_cpu"), "n_samples", 0), 50);
    json_decref(document);
    json_decref(parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changed_most_beyond_its_interval_comes_first),
        cmocka_unit_test(the_other_way_round_it_is_the_opposite),
        cmocka_unit_test(a_run_is_like_itself),
        cmocka_unit_test(a_longer_run_is_the_same_by_rate_and_share),
        cmocka_unit_test(names_match_across_binaries),
        cmocka_unit_test(a_renamed_target_is_the_same),
        cmocka_unit_test(a_target_beside_another_is_not_renamed),
        cmocka_unit_test(a_profile_names_its_target),
        cmocka_unit_test(threads_and_waits_are_exact),
        cmocka_unit_test(waits_of_one_run_alone_are_not_compared),
        cmocka_unit_test(conditions_hold_or_not),
        cmocka_unit_test(names_need_no_parameters),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_profile_knows_how_its_weights_vary),
        cmocka_unit_test(a_profile_of_a_range_has_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
