/*
 * test_views.c - runs the .case files of tests/sql: a text profile (fixture.h), then requests with
 * the rows they must give.
 *
 *     == top {"limit": 2}            a view and its parameters
 *     > rows functions name self_pct the members of a list, one row a line
 *     > tree                         a flame graph as indented text: total, self, name
 *     > value n_samples              a member of data
 *     > warnings                     the warnings
 *     > error                        the code and message it must fail with, and the hint
 *
 * With STAX_UPDATE_EXPECTED=1 in the environment the files are rewritten to what the views answer.
 */
#include "fixture.h"

#include <glob.h>

#include "base/json.h"
#include "schema/archive.h"

struct answer {
    json_t *document; /* NULL: it failed */
    struct err e;
};

static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        buf_addstr(out, json_string_value(value));
    } else if (json_is_real(value)) {
        buf_addf(out, "%g", json_real_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        buf_addstr(out, text ? text : "absent");
        free(text);
    }
}

static void add_rows(struct buf *out, const json_t *data, char *words)
{
    char *save = NULL;
    char *fields[16];
    size_t n = 0, i;
    json_t *row;

    const json_t *list = json_object_get(data, strtok_r(words, " ", &save));
    for (char *word; (word = strtok_r(NULL, " ", &save)) && n < 16;) {
        fields[n++] = word;
    }
    assert_true(json_is_array(list));
    json_array_foreach(list, i, row)
    {
        for (size_t k = 0; k < n; k++) {
            buf_addstr(out, k ? " | " : "");
            add_value(out, json_object_get(row, fields[k]));
        }
        buf_addch(out, '\n');
    }
}

/* Time on or off the CPU, whichever the document is about. */
static long long ms_of(const json_t *object, const char *on_cpu, const char *off_cpu)
{
    return json_int_at(object, on_cpu, json_int_at(object, off_cpu, -MS)) / MS;
}

static void add_cut(struct buf *out, const json_t *cut, int depth)
{
    if (json_is_object(cut)) {
        buf_addf(out, "%*s%lld ms in %lld %s\n", depth * 2, "",
                 ms_of(cut, "total_on_cpu_ns", "total_off_cpu_ns"),
                 (long long)json_int_at(cut, "n_nodes", 0),
                 json_is_true(json_object_get(cut, "is_deep")) ? "deeper" : "more");
    }
}

static void add_tree(struct buf *out, const json_t *nodes, int depth)
{
    size_t i;
    json_t *node;

    json_array_foreach(nodes, i, node)
    {
        buf_addf(out, "%*s%lld %lld %s\n", depth * 2, "",
                 ms_of(node, "total_on_cpu_ns", "total_off_cpu_ns"),
                 ms_of(node, "self_on_cpu_ns", "self_off_cpu_ns"), json_text_at(node, "name", ""));
        add_tree(out, json_object_get(node, "children"), depth + 1);
        add_cut(out, json_object_get(node, "cut"), depth + 1);
    }
}

static void render(struct buf *out, const struct answer *answer, const char *directive)
{
    char words[256];
    const json_t *data = json_object_get(answer->document, "data");
    size_t i;
    json_t *item;

    snprintf(words, sizeof(words), "%s", directive);
    if (strcmp(words, "error") == 0) {
        if (!answer->document) {
            buf_addf(out, "%s: %s\n", err_wire_code(answer->e.code), answer->e.msg);
            buf_addf(out, "%s%s", answer->e.hint, *answer->e.hint ? "\n" : "");
        }
        return;
    }
    if (!answer->document) {
        buf_addf(out, "failed: %s\n", answer->e.msg);
    } else if (strcmp(words, "tree") == 0) {
        add_tree(out, json_object_get(data, "roots"), 0);
        add_cut(out, json_object_get(data, "cut"), 0);
    } else if (strcmp(words, "warnings") == 0) {
        json_array_foreach(json_object_get(answer->document, "warnings"), i, item)
        {
            buf_addf(out, "%s\n", json_string_value(item));
        }
    } else if (strncmp(words, "value ", 6) == 0) {
        add_value(out, json_object_get(data, words + 6));
        buf_addch(out, '\n');
    } else if (strncmp(words, "rows ", 5) == 0) {
        add_rows(out, data, words + 5);
    } else {
        fail_msg("unknown directive: %s", directive);
    }
}

static void ask(struct answer *answer, struct query *q, const char *line)
{
    char view[64];
    int n = 0;
    json_error_t where;
    json_t *parameters;

    json_decref(answer->document);
    *answer = (struct answer){0};
    assert_int_equal(sscanf(line, "== %63s %n", view, &n), 1);
    parameters = line[n] ? json_loads(line + n, 0, &where) : NULL;
    if (line[n] && !parameters) {
        fail_msg("%s: %s", line, where.text);
    }
    if (query_view(q, view, parameters, &answer->document, &answer->e) < 0) {
        assert_null(answer->document);
    }
    json_decref(parameters);
}

/* Reads the profile; returns where the requests begin. */
static char *read_profile(struct model *m, char *text, struct buf *made)
{
    char *line = text;

    while (*line && strncmp(line, "==", 2) != 0) {
        char *end = strchr(line, '\n');
        *end = '\0';
        buf_addf(made, "%s\n", line);
        if (!model_read_line(m, line)) {
            fail_msg("not a profile line: %s", line);
        }
        line = end + 1;
    }
    return line;
}

/* What the file should say, given what the views answer. */
static void answer_file(struct buf *made, char *text)
{
    struct model m = {0};
    struct query *q = NULL;
    struct answer answer = {0};
    char path[512];
    char *save = NULL;

    fixture_path(path, sizeof(path));
    char *requests = read_profile(&m, text, made);
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &answer.e), 0);
    for (char *line = strtok_r(requests, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "==", 2) == 0) {
            buf_addf(made, "%s%s\n", strstr(buf_str(made), "\n==") ? "\n" : "", line);
            ask(&answer, q, line);
        } else if (*line == '>') {
            buf_addf(made, "%s\n", line);
            render(made, &answer, line + 2);
        }
    }
    json_decref(answer.document);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void rewrite(const char *path, const struct buf *made)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fwrite(buf_str(made), 1, made->len, f);
    fclose(f);
}

static void check_file(const char *path)
{
    struct buf made = {0};
    char *text = fixture_read_file(path);
    char *expected = mem_strdup(text);

    answer_file(&made, text);
    if (getenv("STAX_UPDATE_EXPECTED")) {
        rewrite(path, &made);
    } else if (strcmp(expected, buf_str(&made)) != 0) {
        fail_msg("%s: the views answer\n%s", path, buf_str(&made));
    }
    buf_free(&made);
    free(expected);
    free(text);
}

static void cases_give_their_rows(void **state)
{
    glob_t found = {0};

    (void)state;
    assert_int_equal(glob("tests/sql/*.case", 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_file(found.gl_pathv[i]);
    }
    globfree(&found);
}

static void every_document_has_its_members(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 100 app");
    model_read_line(&m, "sample 100 main;work x5");
    model_read_line(&m, "wait 100 main;nap sleep 3");
    model_read_line(&m, "woken interrupt");
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    for (const struct view *v = query_views; v->name; v++) {
        json_t *document = NULL;
        json_t *parameters = json_pack("{s:i}", "run", 7);
        if (v->parameters[0].name && strcmp(v->parameters[0].name, "symbol") == 0) {
            json_object_set_new(parameters, "symbol", json_string("main"));
        }
        bool has_no_code = strcmp(v->name, "cfg") == 0; /* and says so */
        if (has_no_code) {
            json_object_set_new(parameters, "target", json_string("work"));
        }
        assert_int_equal(query_view(q, v->name, parameters, &document, &e), 0);
        assert_string_equal(json_text_at(document, "schema", ""), v->schema);
        assert_int_equal(json_int_at(json_object_get(document, "run"), "n_samples", 0), 5);
        assert_int_equal(json_int_at(json_object_get(document, "quality"), "n_samples", 0), 5);
        assert_true(json_is_object(json_object_get(document, "data")));
        assert_int_equal(json_array_size(json_object_get(document, "warnings")), has_no_code);
        json_decref(document);
        json_decref(parameters);
    }
    json_t *run = query_run(q), *quality = query_quality(q);
    assert_string_equal(json_text_at(run, "command", ""), "app --fast");
    assert_true(json_is_null(json_object_get(quality, "data_age_ns")));
    json_decref(run);
    json_decref(quality);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void symbols_are_found_by_part_of_their_name(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    char path[512];
    bool found = false;

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 100 app");
    model_read_line(&m, "sample 100 main;parse_line");
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    assert_int_equal(query_has_symbol(q, "PARSE", &found, &e), 0);
    assert_true(found);
    assert_int_equal(query_has_symbol(q, "app", &found, &e), 0);
    assert_false(found); /* a process is no function */
    assert_int_equal(query_has_symbol(q, "lex", &found, &e), 0);
    assert_false(found);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

/* A deadline that has passed ends a view, and the reader works again after. */
static void a_timeout_ends_a_view(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 100 app");
    for (int i = 0; i < 60; i++) {
        model_read_line(&m, "sample 100 main;a x1000");
    }
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    query_set_timeout_ms(q, 1);
    json_t *parameters = json_pack("{s:[s]}", "exclude", "a");
    assert_int_equal(query_view(q, "timeline", parameters, &document, &e), STAX_ETIMEOUT);
    query_set_timeout_ms(q, 0);
    assert_int_equal(query_view(q, "timeline", parameters, &document, &e), 0);
    json_decref(document);
    json_decref(parameters);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

/* The root of a tree of callers or callees of what is asked for, and whether others were meant. */
static void expect_root(struct query *q, const char *asked, const char *root, bool is_one_of)
{
    json_t *parameters = json_pack("{s:s}", "symbol", asked), *document = NULL;
    struct err e = {0};

    for (int i = 0; i < 2; i++) {
        int rc = query_view(q, i ? "callers" : "callees", parameters, &document, &e);
        if (!root) {
            assert_int_equal(rc, STAX_ENOTFOUND);
            continue;
        }
        assert_int_equal(rc, 0);
        const json_t *roots = json_object_get(json_object_get(document, "data"), "roots");
        assert_int_equal(json_array_size(roots), 1);
        assert_string_equal(json_text_at(json_array_get(roots, 0), "name", ""), root);
        assert_int_equal(json_array_size(json_object_get(document, "warnings")), is_one_of);
        json_decref(document);
    }
    json_decref(parameters);
}

static void a_function_is_found_by_a_part_of_its_name(void **state)
{
    static const char *const lines[] = {
        "process 100 app",
        "sample 100 main;parse(int) x9",
        "sample 100 main;parse(long) x5",
        "sample 100 main;parse_all x20",
        "sample 100 main;leave x2",
        "sample 100 main;parse_all;Emit x4",
    };
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        model_read_line(&m, lines[i]);
    }
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    expect_root(q, "parse(long)", "parse(long)", false);
    expect_root(q, "parse", "parse(int)", true); /* not the hotter parse_all */
    expect_root(q, "parse_", "parse_all", false);
    expect_root(q, "arse", "parse_all", true);
    expect_root(q, "emit", "Emit", false);
    expect_root(q, "nosuch", NULL, false);
    expect_root(q, "", NULL, false);
    json_t *parameters = json_pack("{s:[s]}", "exclude", "parse"), *document = NULL;
    assert_int_equal(query_view(q, "top", parameters, &document, &e), 0);
    assert_int_equal(json_int_at(json_object_get(document, "data"), "n_samples", 0), 26);
    json_decref(document);
    json_decref(parameters);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static json_t *top_data(const char *path, bool is_archive)
{
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;

    if (query_open(&q, path, is_archive, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    assert_int_equal(query_view(q, "top", NULL, &document, &e), 0);
    json_t *data = json_incref(json_object_get(document, "data"));
    json_decref(document);
    query_close(q);
    return data;
}

static void an_archive_answers_as_the_run_did(void **state)
{
    struct model m = {0};
    struct err e = {0};
    char path[512], archive[600];
    int64_t bytes = 0;

    (void)state;
    fixture_path(path, sizeof(path));
    snprintf(archive, sizeof(archive), "%s.saved.stax", path);
    model_read_line(&m, "process 100 app");
    model_read_line(&m, "sample 100 main;work x5");
    model_write(&m, path);
    assert_int_equal(archive_save(path, archive, NULL, NULL, &bytes, &e), 0);
    json_t *live = top_data(path, false), *saved = top_data(archive, true);
    assert_true(json_equal(live, saved));
    json_decref(live);
    json_decref(saved);
    fixture_remove(path);
    fixture_remove(archive);
    model_free(&m);
}

static void a_live_run_says_how_old_its_data_is(void **state)
{
    struct model m = {.is_recording = true};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 100 app");
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    assert_int_equal(query_view(q, "top", NULL, &document, &e), 0);
    const json_t *quality = json_object_get(document, "quality");
    const json_t *run = json_object_get(document, "run");
    assert_true(json_is_integer(json_object_get(quality, "data_age_ns")));
    assert_true(json_int_at(run, "elapsed_ns", 0) > 0); /* until now, not until the last sample */
    const char *warning =
        json_string_value(json_array_get(json_object_get(document, "warnings"), 0));
    assert_non_null(strstr(warning, "no samples yet"));
    json_decref(document);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

/* An idle program makes no events; its threads' waits grow all the same. */
static void an_open_wait_grows_without_events(void **state)
{
    struct model m = {.is_recording = true};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 100 app");
    model_read_line(&m, "sample 100 main");
    model_read_line(&m, "wait 100 main;nap sleep 2");
    model_read_line(&m, "at 3");
    model_read_line(&m, "open 100 idle");
    model_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    int64_t least = clock_monotonic_ns() - START_TS - 3 * MS - 250 * MS;
    assert_int_equal(query_view(q, "threads", NULL, &document, &e), 0);
    const json_t *thread =
        json_array_get(json_object_get(json_object_get(document, "data"), "threads"), 0);
    const json_t *reasons = json_object_get(thread, "reasons");
    int64_t idle_ns = json_int_at(reasons, "idle_ns", 0);
    assert_true(idle_ns >= least && idle_ns <= least + 250 * MS);
    assert_int_equal(json_int_at(thread, "wall_ns", 0),
                     json_int_at(thread, "on_cpu_ns", 0) + json_int_at(thread, "unknown_ns", 0) +
                         json_int_at(reasons, "sleep_ns", 0) + idle_ns);
    json_decref(document);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_give_their_rows),
        cmocka_unit_test(every_document_has_its_members),
        cmocka_unit_test(symbols_are_found_by_part_of_their_name),
        cmocka_unit_test(a_timeout_ends_a_view),
        cmocka_unit_test(a_function_is_found_by_a_part_of_its_name),
        cmocka_unit_test(an_archive_answers_as_the_run_did),
        cmocka_unit_test(a_live_run_says_how_old_its_data_is),
        cmocka_unit_test(an_open_wait_grows_without_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
