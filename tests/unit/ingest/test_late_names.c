/*
 * test_late_names.c - names that come while a run is recorded: tree and sums are what they would be
 * if the names had always been those.
 */
#include "world.h"

/* Renames, moved frames, lines and inlined functions at any moment, relayouts in between. */
static void late_names_equal_rebuilt(void **state)
{
    (void)state;
    unsigned n_relayouts = 0;
    for (unsigned seed = 1; seed <= 16; seed++) {
        struct world w;
        open_run(&w, seed, 0);
        w.has_late_names = true;
        play(&w, 200 * seed);
        end_counters(&w);
        assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
        ingest_close(w.in);
        n_relayouts += w.n_relayouts;
        check_against_rebuild(&w);
        sqlite3 *db = open_file(&w);
        char *shape = dump(db, tree_shape), *symbols = dump(db, summaries[1]);
        sqlite3_close(db);
        assert_int_equal(ingest_rebuild_names(w.path, NULL), 0);
        db = open_file(&w);
        char *shape_anew = dump(db, tree_shape), *symbols_anew = dump(db, summaries[1]);
        sqlite3_close(db);
        assert_string_equal(shape, shape_anew);
        assert_string_equal(symbols, symbols_anew);
        free(shape);
        free(symbols);
        free(shape_anew);
        free(symbols_anew);
        remove_run(&w);
    }
    assert_true(n_relayouts > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_names_equal_rebuilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
