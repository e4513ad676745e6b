/*
 * test_late_views.c - views by time of a run whose names change while it is recorded: a reader that
 * stays open sees the same in raw rows and snapshots as in the summaries, and ranges add up.
 */
#include "base/json.h"
#include "query/query.h"

#include "ingest/world.h"

static json_t *functions_of(struct query *q, const char *sort, int64_t from_ns, int64_t to_ns)
{
    json_t *parameters = json_pack("{s:s,s:i}", "sort", sort, "limit", 100000), *document;
    if (from_ns >= 0) {
        json_object_set_new(parameters, "from_ns", json_integer(from_ns));
    }
    if (to_ns >= 0) {
        json_object_set_new(parameters, "to_ns", json_integer(to_ns));
    }
    struct err e;
    assert_int_equal(query_view(q, "top", parameters, &document, &e), 0);
    json_t *functions =
        json_incref(json_object_get(json_object_get(document, "data"), "functions"));
    json_decref(document);
    json_decref(parameters);
    return functions;
}

static bool has_late_rows(struct query *q)
{
    json_t *quality = query_quality(q);
    bool is_late = json_int_at(quality, "n_pending", 0) > 0;
    json_decref(quality);
    return is_late;
}

static void assert_range_is_the_run(struct query *q)
{
    static const char *const sorts[] = {"self", "total"};
    for (size_t i = 0; i < 2; i++) {
        json_t *run = functions_of(q, sorts[i], -1, -1), *range = functions_of(q, sorts[i], 0, -1);
        assert_true(json_array_size(run) > 3);
        assert_true(json_equal(run, range));
        json_decref(run);
        json_decref(range);
    }
}

static int64_t self_of(const json_t *functions, int64_t symbol)
{
    size_t i;
    const json_t *f;
    json_array_foreach(functions, i, f)
    {
        if (json_int_at(f, "symbol", 0) == symbol) {
            return json_int_at(f, "self_on_cpu_ns", 0);
        }
    }
    return 0;
}

static void assert_ranges_add_up(struct query *q, int64_t at_ns)
{
    json_t *run = functions_of(q, "self", -1, -1);
    json_t *before = functions_of(q, "self", 0, at_ns), *after = functions_of(q, "self", at_ns, -1);
    size_t i;
    const json_t *f;
    assert_true(json_array_size(before) > 0 && json_array_size(after) > 0);
    json_array_foreach(run, i, f)
    {
        int64_t symbol = json_int_at(f, "symbol", 0);
        assert_int_equal(json_int_at(f, "self_on_cpu_ns", -1),
                         self_of(before, symbol) + self_of(after, symbol));
    }
    json_decref(run);
    json_decref(before);
    json_decref(after);
}

static void filtered_views_equal_unfiltered_ones(void **state)
{
    (void)state;
    struct world w;
    struct query *q;
    struct err e;
    unsigned n_compared = 0;
    open_run(&w, 12, 0);
    w.n_deepest = 2;
    int64_t start_ts = w.ts, half_ns = 0;
    assert_int_equal(query_open(&q, w.path, false, &e), 0);
    for (int i = 0; i < 4; i++) {
        w.has_late_names = false;
        play(&w, 40000); /* several snapshots in all */
        w.has_late_names = true;
        play(&w, 1000);
        w.n_relayouts += late_names_relayout(&w.in->late_names);
        assert_int_equal(ingest_commit(w.in, NULL), 0);
        assert_int_equal(ingest_commit(w.in, NULL), 0); /* what the first left for later */
        half_ns = i == 2 ? w.ts - start_ts : half_ns;
        if (!has_late_rows(q)) {
            assert_range_is_the_run(q);
            n_compared++;
        }
    }
    assert_true(w.n_relayouts > 4);
    w.has_late_names = false;
    play(&w, 40000);
    int64_t late_ns = w.ts - start_ts;
    play(&w, 60000);
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    ingest_close(w.in);
    assert_true(n_compared > 0);
    assert_range_is_the_run(q);
    assert_ranges_add_up(q, half_ns); /* before the last relayout, and after it */
    assert_ranges_add_up(q, late_ns);
    query_close(q);
    sqlite3 *db = open_file(&w);
    assert_same_query(db, "SELECT count(*) > 1 FROM snapshot", "SELECT 1");
    assert_same_query(db, "SELECT count(*) > 0 FROM call_tree WHERE is_inlined", "SELECT 1");
    sqlite3_close(db);
    remove_run(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filtered_views_equal_unfiltered_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
