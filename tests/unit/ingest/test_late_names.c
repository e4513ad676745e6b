/*
 * test_late_names.c - names that come while a run is recorded: tree and sums are what they would be
 * if the names had always been those.
 */
#include "schema/db.h"

#include "world.h"

static void rebuild_names(const struct world *w)
{
    struct db *run;
    assert_int_equal(db_open(&run, w->path, DB_WRITE, NULL), 0);
    db_begin(run);
    assert_int_equal(ingest_rebuild_names(run, NULL), 0);
    db_commit(run);
    assert_int_equal(db_status(run, NULL), 0);
    db_close(run);
}

/* Renames, moved frames, lines and inlined functions at any moment, relayouts in between. */
static void late_names_equal_rebuilt(void **state)
{
    (void)state;
    unsigned n_relayouts = 0;
    for (unsigned seed = 1; seed <= 16; seed += SEED_STEP) {
        struct world w;
        open_run(&w, seed, 0);
        w.has_late_names = true;
        play(&w, 100 * seed);
        if (seed % 4 == 0) { /* as when fine stacks are too many: something may be waiting */
            intern_freeze(&w.in->intern);
        }
        play(&w, 100 * seed);
        end_counters(&w);
        assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
        ingest_close(w.in);
        n_relayouts += w.n_relayouts;
        check_against_rebuild(&w);
        sqlite3 *db = open_file(&w);
        char *shape = dump(db, tree_shape), *symbols = dump(db, summaries[1]);
        sqlite3_close(db);
        rebuild_names(&w);
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
    assert_true(n_relayouts > 40 / SEED_STEP);
}

/* After rows were dropped the tree stays as it is, the frames too: views of any kind agree. */
static void names_after_dropped_rows_move_nothing(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 9, 12 << 20);
    w.n_deepest = 2;
    for (int i = 0; i < 60 && !w.in->intern.is_frozen; i++) {
        play(&w, 4000);
        assert_int_equal(ingest_commit(w.in, NULL), 0);
    }
    assert_true(w.in->intern.is_frozen);
    static const char frames[] = "SELECT id, symbol FROM frame ORDER BY id";
    sqlite3 *db = open_file(&w);
    char *before = dump(db, frames);
    sqlite3_close(db);
    w.has_late_names = true;
    for (int i = 0; i < 300; i++) {
        change_names(&w);
    }
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    ingest_close(w.in);
    db = open_file(&w);
    char *after = dump(db, frames);
    assert_string_equal(before, after);
    assert_same_query(db, "SELECT count(*) FROM call_tree WHERE is_inlined", "SELECT 0");
    assert_same_query(db, "SELECT count(*) FROM frame_line WHERE depth > 0", "SELECT 0");
    assert_same_query(db, "SELECT count(*) > 0 FROM frame_line", "SELECT 1");
    assert_same_query(db, "SELECT is_available, unlock FROM ability WHERE name = 'late_names'",
                      "SELECT 0, 'stax symbolize'");
    check_late_names(db);
    sqlite3_close(db);
    free(before);
    free(after);
    remove_run(&w);
}

/* Frames whose names change: a relayout is due, unless one must not be made now. */
static void make_stale(struct world *w)
{
    for (int i = 0; i < 200; i++) {
        uint32_t frame = pick_frame(w);
        if (frame) {
            add_lines(w, frame);
            move_frame(w, frame);
        }
    }
    assert_true(w->in->intern.n_stale > 0);
}

/* Close to its size bound a run keeps its snapshots: rows are dropped up to the oldest of them. */
static void no_relayout_close_to_the_size_bound(void **state)
{
    (void)state;
    struct world w;
    struct late_names *l;
    open_run(&w, 9, 4 << 20);
    w.n_deepest = 2;
    l = &w.in->late_names;
    for (int i = 0; i < 200 && !l->is_end_only; i++) {
        play(&w, 500);
        assert_int_equal(ingest_commit(w.in, NULL), 0);
    }
    assert_true(l->is_end_only);
    assert_false(w.in->intern.is_frozen);
    make_stale(&w);
    late_names_step(l);
    assert_true(w.in->intern.n_stale > 0);
    l->is_end_only = false; /* that alone kept it from it */
    late_names_step(l);
    assert_int_equal(w.in->intern.n_stale, 0);
    make_stale(&w);
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    assert_int_equal(w.in->intern.n_stale, 0);
    ingest_close(w.in);
    check_against_rebuild(&w);
    sqlite3 *db = open_file(&w);
    assert_same_query(db, "SELECT count(*) FROM ability WHERE name = 'late_names'", "SELECT 0");
    sqlite3_close(db);
    remove_run(&w);
}

/* A relayout of much, after one that took long, is left to the end. */
static void no_slow_relayout_before_the_end(void **state)
{
    (void)state;
    struct world w;
    struct late_names *l;
    open_run(&w, 9, 0);
    l = &w.in->late_names;
    play(&w, 12000);
    assert_int_equal(ingest_commit(w.in, NULL), 0);
    make_stale(&w);
    l->last_relayout_ns = INT64_MIN / 2; /* long ago */
    l->relayout_took_ns = 600000000;
    late_names_step(l);
    assert_true(w.in->intern.n_stale > 0);
    l->relayout_took_ns = 400000000;
    late_names_step(l);
    assert_int_equal(w.in->intern.n_stale, 0);
    make_stale(&w);
    l->relayout_took_ns = 600000000;
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    assert_int_equal(w.in->intern.n_stale, 0);
    ingest_close(w.in);
    remove_run(&w);
}

/* What waits when the tree is given up is said to be missing. */
static void stale_frames_of_a_frozen_tree_are_said(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 9, 0);
    play(&w, 500);
    assert_int_equal(ingest_commit(w.in, NULL), 0);
    uint32_t frame = 0;
    while (!w.in->intern.n_stale) { /* without lines */
        frame = pick_frame(&w);
        if (frame) {
            move_frame(&w, frame);
        }
    }
    intern_freeze(&w.in->intern);
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    ingest_close(w.in);
    sqlite3 *db = open_file(&w);
    assert_same_query(db, "SELECT is_available, unlock FROM ability WHERE name = 'late_names'",
                      "SELECT 0, 'stax symbolize'");
    sqlite3_close(db);
    remove_run(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_names_equal_rebuilt),
        cmocka_unit_test(names_after_dropped_rows_move_nothing),
        cmocka_unit_test(no_relayout_close_to_the_size_bound),
        cmocka_unit_test(no_slow_relayout_before_the_end),
        cmocka_unit_test(stale_frames_of_a_frozen_tree_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
