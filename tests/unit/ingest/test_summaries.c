/*
 * test_summaries.c - the property that holds ingest together: for any order of events, batches,
 * commits, and names that come late, the summaries kept by deltas equal those rebuilt from the
 * facts, and those that plain SQL derives from the samples without any code of ingest.
 */
#include "world.h"

static void incremental_equals_rebuilt(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 15; seed += SEED_STEP) {
        struct world w;
        open_run(&w, seed, 0);
        play(&w, 400 * seed);
        end_counters(&w);
        assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
        ingest_close(w.in);
        check_against_rebuild(&w);
        remove_run(&w);
    }
}

/* What a killed server leaves: commits, but no end. Rebuilding makes the late summaries exact. */
static void interrupted_run_is_rebuilt(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 99, 0);
    w.has_late_names = true;
    play(&w, 20000);
    assert_int_equal(ingest_commit(w.in, NULL), 0);
    ingest_close(w.in);
    struct err e;
    assert_int_equal(ingest_rebuild(w.path, "server_died", &e), 0);
    sqlite3 *db = open_file(&w);
    assert_same_query(db, "SELECT state, stop_reason, end_ts = data_ts FROM run",
                      "SELECT 'stopped', 'server_died', 1");
    assert_same_query(db, from_samples, from_summary);
    sqlite3_close(db);
    check_against_rebuild(&w);
    remove_run(&w);
}

/* Over its size bound a run gives up its oldest sample rows; its summaries go on. */
static void size_bound_drops_oldest_rows(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 7, 7 << 20);
    w.n_deepest = 2;
    for (int i = 0; i < 28; i++) {
        play(&w, 4000);
        assert_int_equal(ingest_commit(w.in, NULL), 0);
    }
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    assert_true(w.in->intern.n_samples > 60000); /* a snapshot was due by itself, too */
    ingest_close(w.in);
    sqlite3 *db = open_file(&w);
    assert_same_query(
        db, "SELECT raw_from_ts > start_ts, n_samples > (SELECT count(*) FROM sample) FROM run",
        "SELECT 1, 1");
    assert_same_query(db, "SELECT sum(n_total_samples) FROM call_tree WHERE parent = 0",
                      "SELECT n_samples FROM run");
    char *before[N_SUMMARIES];
    for (size_t i = 0; i < N_SUMMARIES; i++) {
        before[i] = dump(db, summaries[i]);
    }
    sqlite3_close(db);
    struct err e;
    assert_int_equal(ingest_rebuild(w.path, "server_died", &e), 0);
    db = open_file(&w);
    for (size_t i = 0; i < N_SUMMARIES; i++) {
        char *after = dump(db, summaries[i]);
        assert_string_equal(before[i], after);
        free(before[i]);
        free(after);
    }
    sqlite3_close(db);
    remove_run(&w);
}

/* Rows of folded waits are added up when they get many: fewer rows, the same sums. */
static void folded_rows_are_bounded(void **state)
{
    (void)state;
    char *sums[2];
    long n_rows[2];
    for (int is_bounded = 0; is_bounded < 2; is_bounded++) {
        struct world w;
        open_run(&w, is_bounded ? 21 : 1021, 0); /* 21 % 3 == 0: at most some 40 rows */
        w.seed = 5;
        play(&w, 20000);
        assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
        ingest_close(w.in);
        sqlite3 *db = open_file(&w);
        assert_same_query(db, "SELECT max(n_buckets) > 1 FROM folded_state",
                          is_bounded ? "SELECT 1" : "SELECT 0");
        char *n = dump(db, "SELECT count(*) FROM folded_state");
        n_rows[is_bounded] = strtol(n, NULL, 10);
        free(n);
        assert_same_query(
            db, "SELECT count(*) FROM folded_state WHERE bucket < 0 OR bucket % n_buckets",
            "SELECT 0");
        sums[is_bounded] =
            dump(db, "SELECT utid, state, reason, sum(n_intervals), sum(dur) FROM "
                     "folded_state GROUP BY 1, 2, 3 UNION ALL SELECT utid, waker, "
                     "waker_utid, sum(n_wakeups), sum(dur) FROM folded_wakeup GROUP BY 1, 2, 3");
        sqlite3_close(db);
        check_against_rebuild(&w);
        remove_run(&w);
    }
    assert_true(n_rows[1] < n_rows[0]);
    assert_string_equal(sums[0], sums[1]);
    free(sums[0]);
    free(sums[1]);
}

/* A thread whose time is accounted for from later on than its row said, and which then ends. */
static void a_later_start_and_the_end_are_written(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 5, 0);
    int64_t start_ts = w.ts;
    struct event_thread_time time = {
        .head.ts = start_ts + 30, .pid = 100, .tid = 100, .start_ts = start_ts + 20};
    event_add_process(&w.batch, EVENT_PROCESS_START, start_ts, 100, 0, "a", 1, NULL, 0);
    event_add_thread(&w.batch, EVENT_THREAD_START, start_ts, 100, 100, "a", 1);
    feed(&w);
    assert_int_equal(ingest_commit(w.in, NULL), 0);
    event_add_thread_time(&w.batch, &time);
    feed(&w);
    assert_int_equal(ingest_commit(w.in, NULL), 0);
    event_add_thread(&w.batch, EVENT_THREAD_END, start_ts + 50, 100, 100, NULL, 0);
    feed(&w);
    assert_int_equal(ingest_finish(w.in, "stopped", start_ts + 90, NULL), 0);
    ingest_close(w.in);
    sqlite3 *db = open_file(&w);
    assert_same_query(db,
                      "SELECT t.start_ts - r.start_ts, t.end_ts - r.start_ts FROM thread t, run r",
                      "SELECT 20, 50");
    sqlite3_close(db);
    remove_run(&w);
}

static void malformed_batches_are_counted(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 5, 0);
    char garbage[256];
    memset(garbage, 0x41, sizeof(garbage));
    ingest_feed(w.in, garbage, sizeof(garbage));
    ingest_feed(w.in, garbage, 3);
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, NULL), 0);
    ingest_close(w.in);
    sqlite3 *db = open_file(&w);
    assert_same_query(db, "SELECT sum(n), min(kind) FROM loss", "SELECT 2, 'malformed'");
    assert_same_query(db, "SELECT n_lost FROM run", "SELECT 2");
    sqlite3_close(db);
    remove_run(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(incremental_equals_rebuilt),
        cmocka_unit_test(interrupted_run_is_rebuilt),
        cmocka_unit_test(size_bound_drops_oldest_rows),
        cmocka_unit_test(folded_rows_are_bounded),
        cmocka_unit_test(a_later_start_and_the_end_are_written),
        cmocka_unit_test(malformed_batches_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
