/*
 * annotate_fixture.h - a run with one function whose code is known, and what may be done to it.
 *
 * begin() makes the run, more_sql changes it, ask() asks, shown() adds up what is shown.
 */
#ifndef STAX_TESTS_QUERY_ANNOTATE_FIXTURE_H
#define STAX_TESTS_QUERY_ANNOTATE_FIXTURE_H

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

enum {
    SQL_LINE,
    SQL_SPAN,
    SQL_CALL,
    SQL_FILE,
    SQL_SOURCE,
    SQL_GENERATED,
    SQL_RECURSIVE,
    SQL_LINKAGE,
    SQL_PART,
    SQL_INLINED,
    SQL_INLINED_SUM,
    SQL_LESS,
    SQL_DOUBLE,
    SQL_SPREAD,
    SQL_UNSUM,
    SQL_SUM,
    SQL_INLINE,
    SQL_CALLED,
    SQL_MAP,
    SQL_VERSION,
};

static const struct sql_block more_sql[] = {
    [SQL_LINE] = {"line", "INSERT INTO frame_line SELECT id, ?2, ?3, '/src/work.c', ?4 FROM frame"
                          " WHERE rel_address = ?1"},
    [SQL_SPAN] = {"span", "INSERT INTO code_line VALUES (?1, ?2, ?3, ?4, ?5)"},
    [SQL_CALL] = {"call", "INSERT INTO inlined_call VALUES (?1, ?2, ?3, ?4, 1, 3)"},
    [SQL_FILE] = {"file", "INSERT INTO source_file VALUES (1, '/src/work.c', NULL)"},
    [SQL_SOURCE] = {"source", "INSERT INTO source_line VALUES ('/src/work.c', 7, '    x += 1;')"},
    [SQL_GENERATED] = {"generated",
                       "UPDATE symbol SET source = 'jitdump', address = ?2 WHERE id = ?1"},
    [SQL_RECURSIVE] = {"recursive", "UPDATE code SET bytes = ?2 WHERE symbol = ?1"},
    [SQL_LINKAGE] = {"linkage", "UPDATE symbol SET linkage_name = '_Z' || name WHERE id = ?1"},
    [SQL_PART] = {"part",
                  "UPDATE symbol SET whole = ?2, linkage_name = name || '.cold' WHERE id = ?1"},
    [SQL_INLINED] =
        {"inlined",
         "INSERT INTO symbol SELECT 1000, kind, 'inlined', NULL, binary, NULL, NULL, 'dwarf',"
         " 'c', NULL, NULL FROM symbol WHERE id = ?1"},
    [SQL_INLINED_SUM] =
        {"inlined_sum",
         "INSERT INTO symbol_sum VALUES (1000, 14, 14000000, 14, 14000000, 0, 0, 0, 0)"},
    [SQL_LESS] = {"less",
                  "UPDATE symbol_sum SET n_self_samples = 0, self_on_cpu_ns = 0 WHERE symbol = ?1"},
    [SQL_DOUBLE] = {"double",
                    "INSERT INTO frame SELECT id + 1000, binary, rel_address, symbol FROM frame"
                    " WHERE symbol = ?1 AND (rel_address & 4) = 0"},
    [SQL_SPREAD] = {"spread", "UPDATE sample SET frame = frame + 1000 WHERE ts / 1000000 % 2 = 0"
                              " AND frame + 1000 IN (SELECT id FROM frame)"},
    [SQL_UNSUM] = {"unsum", "DELETE FROM frame_sum"},
    [SQL_SUM] = {"sum",
                 "INSERT INTO frame_sum SELECT frame, utid, count(*), sum(on_cpu_ns) FROM sample"
                 " GROUP BY frame, utid"},
    [SQL_INLINE] = {"inline",
                    "INSERT INTO frame_line SELECT id, 1, ?2, '/src/work.c', 5 FROM frame"
                    " WHERE symbol = ?1 UNION ALL SELECT id, 0, ?3, '/src/work.c', 6 FROM frame"
                    " WHERE symbol = ?1 UNION ALL SELECT id, 2, ?1, '/src/work.c', 7 FROM frame"
                    " WHERE symbol = ?1"},
    [SQL_CALLED] = {"called", "UPDATE symbol SET address = ?2 WHERE id = ?1"},
    [SQL_MAP] = {"map", "INSERT INTO mapping VALUES (NULL, 5000000000, ?1, ?2, 4096, 0, 1)"},
    [SQL_VERSION] =
        {"version",
         "UPDATE symbol SET source = 'jitdump', whole = nullif(?2, 0), linkage_name = ?3,"
         " name = 'work a.js:1' WHERE id = ?1"},
};

struct fixed {
    struct model m;
    char path[512];
    struct query *q;
    int64_t work, main;
};

static inline int64_t symbol_of(const struct model *m, const char *name)
{
    for (uint32_t i = 1; i <= m->n_symbols; i++) {
        if (strcmp(m->names[i], name) == 0) {
            return i;
        }
    }
    fail_msg("no symbol %s", name);
    return 0;
}

static inline void store_code(struct fixed *f)
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

static inline void add_line(struct fixed *f, int64_t offset, int64_t depth, int64_t symbol,
                            int64_t line)
{
    struct db *db = NULL;

    assert_int_equal(db_open(&db, f->path, DB_WRITE, NULL), 0);
    struct stmt *s = db_stmt(db, &more_sql[SQL_LINE]);
    stmt_bind_int(s, 1, f->work * 256 + offset);
    stmt_bind_int(s, 2, depth);
    stmt_bind_int(s, 3, symbol);
    stmt_bind_int(s, 4, line);
    stmt_run(s);
    assert_int_equal(db_status(db, NULL), 0);
    db_close(db);
}

/* 9 samples of work in thread 100, 3 in 101, 1 of workshop; one each ms. */
static inline void begin(struct fixed *f, bool has_code)
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

static inline void end(struct fixed *f)
{
    query_close(f->q);
    fixture_remove(f->path);
    model_free(&f->m);
}

static inline json_t *ask(struct fixed *f, const char *view, const char *parameters)
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

static inline void run_with(struct db *db, const struct sql_block *block, const int64_t *values,
                            size_t n, const char *text)
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

static inline void refuses(struct fixed *f, const char *parameters, int code_wanted,
                           const char *message, const char *hint)
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
static inline int64_t shown(const json_t *document)
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

static inline const char *function_name(const json_t *document)
{
    return json_text_at(json_object_get(json_object_get(document, "data"), "function"), "name", "");
}

static inline bool warns(const json_t *document, const char *text)
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

#endif
