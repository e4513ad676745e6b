/* test_annotate.c - samples at instructions, lines and blocks: all of a function's, in any filter.
 */
#include "fixture.h"

#include "base/json.h"
#include "schema/archive.h"
#include "schema/code.sql.h"

/* Samples of the fixture fall on offsets 0, 4 and 8 in turn: two starts, and one inside the lea. */
static const uint8_t code[] = {
    0x48, 0x83, 0xc0, 0x01,                         /* +0  add rax, 1 */
    0x48, 0x8d, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* +4  lea rax, [rax + rax] */
    0x75, 0xf2,                                     /* +c  jne +0 */
    0xe8, 0x00, 0x00, 0x00, 0x00,                   /* +e  call, patched to begin where main does */
    0xc3,                                           /* +13 ret */
};

static const struct sql_block more_sql[] = {
    {"line", "INSERT INTO frame_line SELECT id, ?2, ?3, '/src/work.c', ?4 FROM frame"
             " WHERE rel_address = ?1"},
    {"span", "INSERT INTO code_line VALUES (?1, ?2, ?3, ?4, ?5)"},
    {"call", "INSERT INTO inlined_call VALUES (?1, ?2, ?3, ?4, 1, 3)"},
    {"file", "INSERT INTO source_file VALUES (1, '/src/work.c', NULL)"},
    {"source", "INSERT INTO source_line VALUES ('/src/work.c', 7, '    x += 1;')"},
    {"generated", "UPDATE symbol SET source = 'jitdump', address = ?2 WHERE id = ?1"},
    {"recursive", "UPDATE code SET bytes = ?2 WHERE symbol = ?1"},
    {"linkage", "UPDATE symbol SET linkage_name = '_Z' || name WHERE id = ?1"},
    {"part", "UPDATE symbol SET whole = ?2, linkage_name = name || '.cold' WHERE id = ?1"},
    {"inlined",
     "INSERT INTO symbol SELECT 1000, kind, 'inlined', NULL, binary, NULL, NULL, 'dwarf',"
     " 'c', NULL, NULL FROM symbol WHERE id = ?1"},
    {"inlined_sum", "INSERT INTO symbol_sum VALUES (1000, 14, 14000000, 14, 14000000, 0, 0, 0, 0)"},
    {"less", "UPDATE symbol_sum SET n_self_samples = 0, self_on_cpu_ns = 0 WHERE symbol = ?1"},
    {"double", "INSERT INTO frame SELECT id + 1000, binary, rel_address, symbol FROM frame"
               " WHERE symbol = ?1 AND (rel_address & 4) = 0"},
    {"spread", "UPDATE sample SET frame = frame + 1000 WHERE ts / 1000000 % 2 = 0"
               " AND frame + 1000 IN (SELECT id FROM frame)"},
    {"unsum", "DELETE FROM frame_sum"},
    {"sum", "INSERT INTO frame_sum SELECT frame, utid, count(*), sum(on_cpu_ns) FROM sample"
            " GROUP BY frame, utid"},
    {"inline", "INSERT INTO frame_line SELECT id, 1, ?2, '/src/work.c', 5 FROM frame"
               " WHERE symbol = ?1 UNION ALL SELECT id, 0, ?3, '/src/work.c', 6 FROM frame"
               " WHERE symbol = ?1 UNION ALL SELECT id, 2, ?1, '/src/work.c', 7 FROM frame"
               " WHERE symbol = ?1"},
    {"called", "UPDATE symbol SET address = ?2 WHERE id = ?1"},
    {"map", "INSERT INTO mapping VALUES (NULL, 5000000000, ?1, ?2, 4096, 0, 1)"},
    {"version", "UPDATE symbol SET source = 'jitdump', whole = nullif(?2, 0), linkage_name = ?3,"
                " name = 'work a.js:1' WHERE id = ?1"},
};

struct fixed {
    struct model m;
    char path[512];
    struct query *q;
    int64_t work, main;
};

static int64_t symbol_of(const struct model *m, const char *name)
{
    for (uint32_t i = 1; i <= m->n_symbols; i++) {
        if (strcmp(m->names[i], name) == 0) {
            return i;
        }
    }
    fail_msg("no symbol %s", name);
    return 0;
}

static void store_code(struct fixed *f)
{
    struct db *db = NULL;
    uint8_t bytes[sizeof(code)];
    int32_t rel = (int32_t)((f->main - f->work) * 256 - 0x13);

    memcpy(bytes, code, sizeof(code));
    memcpy(bytes + 0xf, &rel, sizeof(rel));
    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &sql_code_insert);
    stmt_bind_int(s, code_insert_p_symbol, f->work);
    stmt_bind_int(s, code_insert_p_rel_address, f->work * 256);
    stmt_bind_blob(s, code_insert_p_bytes, bytes, sizeof(bytes));
    stmt_run(s);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

static void add_line(struct fixed *f, int64_t offset, int64_t depth, int64_t symbol, int64_t line)
{
    struct db *db = NULL;

    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &more_sql[0]);
    stmt_bind_int(s, 1, f->work * 256 + offset);
    stmt_bind_int(s, 2, depth);
    stmt_bind_int(s, 3, symbol);
    stmt_bind_int(s, 4, line);
    stmt_run(s);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

/* 9 samples of work in thread 100, 3 in 101, 1 of workshop; one each ms. */
static void begin(struct fixed *f, bool has_code)
{
    static const char *const lines[] = {
        "process 100 app",         "thread 101 100 second",    "sample 100 main;work x9",
        "sample 101 main;work x3", "sample 100 main;workshop", "sample 100 main;other;work x3",
    };
    struct err e = {0};

    *f = (struct fixed){0};
    fixture_path(f->path, sizeof(f->path));
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s", lines[i]);
        assert_true(model_read_line(&f->m, line));
    }
    model_write(&f->m, f->path);
    f->work = symbol_of(&f->m, "work");
    f->main = symbol_of(&f->m, "main");
    if (has_code) {
        store_code(f);
    }
    assert_int_equal(query_open(&f->q, f->path, false, &e), 0);
}

static void end(struct fixed *f)
{
    query_close(f->q);
    fixture_remove(f->path);
    model_free(&f->m);
}

static json_t *ask(struct fixed *f, const char *view, const char *parameters)
{
    struct err e = {0};
    json_t *document = NULL, *p = json_loads(parameters, 0, NULL);

    assert_non_null(p);
    if (query_view(f->q, view, p, &document, &e) < 0) {
        fail_msg("%s %s: %s", view, parameters, e.msg);
    }
    json_decref(p);
    return document;
}

static void run_with(struct db *db, const struct sql_block *block, const int64_t *values, size_t n,
                     const char *text)
{
    struct stmt *s = db_stmt(db, block);

    for (size_t i = 0; i < n; i++) {
        stmt_bind_int(s, (int)i + 1, values[i]);
    }
    if (text) {
        stmt_bind_text(s, (int)n + 1, text);
    }
    stmt_run(s);
}

static void refuses(struct fixed *f, const char *parameters, int code_wanted, const char *message,
                    const char *hint)
{
    struct err e = {0};
    json_t *document = NULL, *p = json_loads(parameters, 0, NULL);

    assert_int_equal(query_view(f->q, "annotated", p, &document, &e), code_wanted);
    if (!strstr(e.msg, message) || !strstr(e.hint, hint)) {
        fail_msg("%s (%s)", e.msg, e.hint);
    }
    json_decref(p);
}

/* What instructions and elsewhere show is what the function has. */
static int64_t shown(const json_t *document)
{
    const json_t *data = json_object_get(document, "data"), *item;
    int64_t n = 0, ns = 0;
    size_t i;

    json_array_foreach(json_object_get(data, "instructions"), i, item)
    {
        n += json_int_at(item, "n_samples", 0);
        ns += json_int_at(item, "on_cpu_ns", 0);
    }
    json_array_foreach(json_object_get(data, "elsewhere"), i, item)
    {
        n += json_int_at(item, "n_samples", 0);
        ns += json_int_at(item, "on_cpu_ns", 0);
    }
    const json_t *function = json_object_get(data, "function");
    assert_int_equal(n, json_int_at(function, "n_self_samples", -1));
    assert_int_equal(ns, json_int_at(function, "self_on_cpu_ns", -1));
    return n;
}

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

/* Every other sample at offsets 0 and 8 gets a frame of its own. */
static void move_frames(struct fixed *f)
{
    struct db *db = NULL;

    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    for (size_t i = 12; i < 16; i++) {
        struct stmt *s = db_stmt(db, &more_sql[i]);
        if (i == 12) {
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

static const char *function_name(const json_t *document)
{
    return json_text_at(json_object_get(json_object_get(document, "data"), "function"), "name", "");
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
    struct stmt *s = db_stmt(db, &more_sql[7]);
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
    run_with(db, &more_sql[8], (int64_t[]){symbol_of(&f.m, "workshop"), f.work}, 2, NULL);
    run_with(db, &more_sql[9], &f.work, 1, NULL);
    run_with(db, &more_sql[10], NULL, 0, NULL);
    run_with(db, &more_sql[11], &f.work, 1, NULL);
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
    stmt_run(db_stmt(db, &more_sql[4]));
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
        run_with(db, &more_sql[1], spans[i], 5, NULL);
    }
    run_with(db, &more_sql[2], calls[0], 3, "middle");
    run_with(db, &more_sql[2], calls[1], 3, "inner");
    stmt_run(db_stmt(db, &more_sql[3]));
    stmt_run(db_stmt(db, &more_sql[4]));
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

static bool warns(const json_t *document, const char *text)
{
    size_t i;
    const json_t *warning;

    json_array_foreach(json_object_get(document, "warnings"), i, warning)
    {
        if (strcmp(json_string_value(warning), text) == 0) {
            return true;
        }
    }
    return false;
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
    run_with(db, &more_sql[16], (int64_t[]){shop, f.work, other}, 3, NULL);
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
    run_with(db, &more_sql[8], (int64_t[]){shop, f.work}, 2, NULL);
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

/* Makes work code that was made at run time at an address (0: not recorded). */
static void make_generated(struct fixed *f, int64_t address, bool is_recursive)
{
    struct db *db = NULL;
    uint8_t bytes[sizeof(code)];
    const int32_t rel = -0x13;

    memcpy(bytes, code, sizeof(code));
    memcpy(bytes + 0xf, &rel, sizeof(rel));
    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &more_sql[5]);
    stmt_bind_int(s, 1, f->work);
    if (address) {
        stmt_bind_int(s, 2, address);
    }
    stmt_run(s);
    s = db_stmt(db, &more_sql[6]);
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
    run_with(db, &more_sql[19], (int64_t[]){f.work, 0}, 2, "JS:~work /src/a.js:1:2");
    run_with(db, &more_sql[19], (int64_t[]){symbol_of(&f.m, "workshop"), f.work}, 2,
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
    run_with(db, &more_sql[17], (int64_t[]){f.main, target}, 2, NULL);
    for (int64_t upid = 2; upid >= 1; upid--) {
        run_with(db, &more_sql[18], (int64_t[]){upid, target & ~0xfff}, 2, NULL);
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
        cmocka_unit_test(places_of_one_address_are_one),
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
        cmocka_unit_test(generated_code_has_its_addresses),
        cmocka_unit_test(versions_of_a_function_are_told_apart),
        cmocka_unit_test(generated_code_calls_files),
        cmocka_unit_test(generated_code_of_unknown_address_says_so),
        cmocka_unit_test(an_archive_annotates_as_the_run_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
