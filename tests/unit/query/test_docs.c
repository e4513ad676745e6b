/*
 * test_docs.c - runs every query of docs/sql.md on tests/sql/example.profile through the sandbox
 * and compares with the result printed below it; and checks the schema's names in its table.
 *
 * With STAX_UPDATE_EXPECTED=1 in the environment the results are rewritten to what the queries
 * give.
 */
#include "fixture_counters.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "base/text.h"

enum { MAX_COLUMNS = 16, N_QUERIES = 28 };

static const char docs_path[] = "docs/sql.md";

static void add_cell(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        buf_addstr(out, json_string_value(value));
    } else if (json_is_real(value)) {
        buf_addf(out, "%.15g", json_real_value(value));
    } else if (json_is_integer(value)) {
        buf_addf(out, "%lld", (long long)json_integer_value(value));
    } else {
        buf_addstr(out, "NULL");
    }
}

static void add_line(struct buf *out, const json_t *cells, const size_t *widths)
{
    size_t n = json_array_size(cells);

    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(cells, i);
        struct buf cell = {0};
        add_cell(&cell, value);
        int pad = (int)(widths[i] - text_width(buf_str(&cell)));
        bool is_last = i + 1 == n;
        if (json_is_number(value)) {
            buf_addf(out, "%*s%s", pad, "", buf_str(&cell));
        } else {
            buf_addf(out, "%s%*s", buf_str(&cell), is_last ? 0 : pad, "");
        }
        buf_addstr(out, is_last ? "\n" : "  ");
        buf_free(&cell);
    }
}

/* The result as columns of text. */
static void add_table(struct buf *out, const json_t *data)
{
    const json_t *columns = json_object_get(data, "columns");
    const json_t *rows = json_object_get(data, "rows"), *row;
    size_t widths[MAX_COLUMNS] = {0}, i;

    assert_true(json_array_size(columns) <= MAX_COLUMNS);
    for (i = 0; i <= json_array_size(rows); i++) {
        row = i ? json_array_get(rows, i - 1) : columns;
        for (size_t k = 0; k < json_array_size(columns); k++) {
            struct buf cell = {0};
            add_cell(&cell, json_array_get(row, k));
            size_t width = text_width(buf_str(&cell));
            widths[k] = width > widths[k] ? width : widths[k];
            buf_free(&cell);
        }
    }
    add_line(out, columns, widths);
    json_array_foreach(rows, i, row)
    {
        add_line(out, row, widths);
    }
}

static void answer(struct buf *out, struct query *q, const char *sql)
{
    json_t *document = NULL;
    struct err e = {0};

    if (query_sql(q, sql, NULL, &document, &e) < 0) {
        fail_msg("%s\n%s", sql, e.msg);
    }
    const json_t *data = json_object_get(document, "data");
    assert_true(json_array_size(json_object_get(data, "rows")) > 0);
    assert_true(json_is_false(json_object_get(data, "is_truncated")));
    add_table(out, data);
    json_decref(document);
}

/* The text with the result of every query below it. Returns how many queries there are. */
static int answer_all(struct buf *made, struct query *q, const char *text)
{
    static const char begin[] = "```sql\n", end[] = "```\n", result[] = "\n```text\n";
    int n = 0;

    for (const char *sql; (sql = strstr(text, begin)); n++) {
        sql += strlen(begin);
        const char *after = strstr(sql, end);
        assert_non_null(after);
        char *statement = mem_strndup(sql, (size_t)(after - sql));
        after += strlen(end);
        buf_add(made, text, (size_t)(after - text));
        buf_addstr(made, result);
        answer(made, q, statement);
        buf_addstr(made, end);
        free(statement);
        if (strncmp(after, result, strlen(result)) == 0) {
            after = strstr(after + strlen(result), end);
            assert_non_null(after);
            after += strlen(end);
        }
        text = after;
    }
    buf_addstr(made, text);
    return n;
}

static void every_query_gives_what_is_printed(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    struct buf made = {0};
    char path[512];
    char *text = fixture_read_file(docs_path);

    (void)state;
    fixture_path(path, sizeof(path));
    model_read(&m, "tests/sql/example.profile");
    model_write(&m, path);
    counters_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    assert_int_equal(answer_all(&made, q, text), N_QUERIES);
    if (getenv("STAX_UPDATE_EXPECTED")) {
        FILE *f = fopen(docs_path, "we");
        assert_non_null(f);
        fwrite(buf_str(&made), 1, made.len, f);
        fclose(f);
    } else {
        assert_string_equal(text, buf_str(&made));
    }
    buf_free(&made);
    free(text);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void every_table_and_view_is_named(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    char path[512], name[128];
    char *text = fixture_read_file(docs_path);
    json_t *document = NULL, *row;
    size_t i;

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 1 app");
    model_write(&m, path);
    counters_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    assert_int_equal(query_sql(q, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')",
                               NULL, &document, &e),
                     0);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "rows"), i, row)
    {
        snprintf(name, sizeof(name), "`%s`", json_string_value(json_array_get(row, 0)));
        if (!strstr(text, name) && strncmp(name, "`sqlite_", 8) != 0) {
            fail_msg("%s does not name %s", docs_path, name);
        }
    }
    json_decref(document);
    free(text);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void limits_are_checked_and_reported(void **state)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 1 app");
    model_read_line(&m, "sample 1 main x9");
    model_write(&m, path);
    counters_write(&m, path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    json_t *limits = json_pack("{s:i}", "max_rows", 3);
    assert_int_equal(query_sql(q, "SELECT ts FROM sample", limits, &document, &e), 0);
    assert_string_equal(json_text_at(document, "schema", ""), "stax.sql/1");
    assert_int_equal(json_int_at(json_object_get(document, "data"), "n_rows", 0), 3);
    assert_int_equal(json_array_size(json_object_get(document, "warnings")), 1);
    json_decref(document);
    json_object_set_new(limits, "max_rows", json_integer(0));
    assert_int_equal(query_sql(q, "SELECT 1", limits, &document, &e), STAX_EUSAGE);
    assert_int_equal(query_sql(q, "DELETE FROM sample", NULL, &document, &e), STAX_ESQL);
    json_decref(limits);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

struct committer {
    const char *path;
    atomic_bool is_done;
};

static void *commit_on(void *ctx)
{
    static const struct sql_block update = {"update", "UPDATE run SET n_samples = n_samples + 1"};
    struct committer *c = ctx;
    struct db *db = NULL;
    struct err e = {0};

    if (db_open(&db, c->path, DB_WRITE, &e) == 0) {
        while (!atomic_load(&c->is_done)) {
            db_begin(db);
            stmt_run(db_stmt(db, &update));
            db_commit(db);
            db_checkpoint(db, true);
        }
        db_close(db);
    }
    return NULL;
}

/* What the document says of the run is from the commit that the query read. */
static void one_document_is_of_one_commit(void **state)
{
    struct model m = {.is_recording = true};
    struct query *q = NULL;
    struct err e = {0};
    json_t *document = NULL;
    char path[512];
    pthread_t thread;

    (void)state;
    fixture_path(path, sizeof(path));
    model_read_line(&m, "process 1 app");
    model_read_line(&m, "sample 1 main x9");
    model_write(&m, path);
    counters_write(&m, path);
    struct committer c = {.path = path};
    assert_int_equal(query_open(&q, path, false, &e), 0);
    assert_int_equal(pthread_create(&thread, NULL, commit_on, &c), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(
            query_sql(q,
                      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)"
                      " SELECT (SELECT n_samples FROM run), max(i) FROM n",
                      NULL, &document, &e),
            0);
        const json_t *rows = json_object_get(json_object_get(document, "data"), "rows");
        int64_t n = json_integer_value(json_array_get(json_array_get(rows, 0), 0));
        assert_true(n >= 9);
        assert_int_equal(json_int_at(json_object_get(document, "run"), "n_samples", 0), n);
        assert_int_equal(json_int_at(json_object_get(document, "quality"), "n_samples", 0), n);
        json_decref(document);
    }
    atomic_store(&c.is_done, true);
    pthread_join(thread, NULL);
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_query_gives_what_is_printed),
        cmocka_unit_test(every_table_and_view_is_named),
        cmocka_unit_test(limits_are_checked_and_reported),
        cmocka_unit_test(one_document_is_of_one_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
