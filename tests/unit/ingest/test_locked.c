/*
 * test_locked.c - another program holds the write lock of a run: its data waits, and when nothing
 * can be stored any more the run ends with what was stored and says why.
 */
#include "world.h"

#include "base/fd.h"
#include "base/queue.h"
#include "schema/db.h"

static void push_samples(struct world *w, struct queue *q, int64_t ts, int n)
{
    for (int i = 0; i < n; i++) {
        w->ts = ts + i;
        add_sample(w);
    }
    size_t size = w->batch.len;
    queue_push_forced(q, buf_take(&w->batch), size);
}

static void push_end(struct world *w, struct queue *q, int64_t ts)
{
    event_add_end(&w->batch, ts, EVENT_END_STOPPED);
    size_t n = w->batch.len;
    queue_push_forced(q, buf_take(&w->batch), n);
}

static sqlite3 *open_other(const struct world *w)
{
    sqlite3 *other;
    assert_int_equal(sqlite3_open_v2(w->path, &other, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(other, 2000);
    return other;
}

static void run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
}

/* The row of a query, its columns joined. */
static const char *row_of(const struct world *w, const char *sql)
{
    static char text[1024];
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(w->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    const unsigned char *value = sqlite3_column_text(st, 0);
    snprintf(text, sizeof(text), "%s", value ? (const char *)value : "NULL");
    sqlite3_finalize(st);
    sqlite3_close(db);
    return text;
}

static void wait_for_samples(struct ingest *in, uint64_t n)
{
    struct ingest_stats stats = {0};
    for (int i = 0; i < 500 && stats.n_samples < n; i++) {
        usleep(10000);
        ingest_stats(in, &stats);
    }
    assert_int_equal(stats.n_samples, n);
}

static void data_waits_for_a_lock(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 12, 0);
    int64_t start_ts = w.ts;
    struct queue *q = queue_new(1 << 20);
    assert_int_equal(ingest_start(w.in, q, NULL), 0);
    push_samples(&w, q, start_ts + 1000, 50);
    wait_for_samples(w.in, 50);
    sqlite3 *other = open_other(&w);
    run_sql(other, "BEGIN IMMEDIATE");
    push_samples(&w, q, start_ts + 100000, 50);
    usleep(6500000);
    run_sql(other, "ROLLBACK");
    sqlite3_close(other);
    wait_for_samples(w.in, 100);
    push_samples(&w, q, start_ts + 200000, 50);
    push_end(&w, q, start_ts + 300000);
    ingest_close(w.in);
    queue_free(q);
    assert_string_equal(row_of(&w,
                               "SELECT state || ' ' || stop_reason || ' ' || n_samples || ' ' ||"
                               " (SELECT count(*) FROM sample) FROM run"),
                        "stopped stopped 150 150");
    remove_run(&w);
}

/* Somebody else took a table away: no commit can succeed any more. */
static void a_failure_ends_with_what_was_committed(void **state)
{
    (void)state;
    struct world w;
    struct err e = {0};
    open_run(&w, 12, 0);
    int64_t start_ts = w.ts;
    w.ts = start_ts + 1000;
    add_sample(&w);
    ingest_feed(w.in, w.batch.data, w.batch.len);
    assert_int_equal(ingest_commit(w.in, &e), 0);
    sqlite3 *other = open_other(&w);
    run_sql(other, "ALTER TABLE sample RENAME TO taken");
    sqlite3_close(other);
    buf_clear(&w.batch);
    w.ts = start_ts + 5000000000;
    add_sample(&w);
    ingest_feed(w.in, w.batch.data, w.batch.len);
    assert_int_equal(ingest_commit(w.in, &e), STAX_ESQL);
    assert_non_null(strstr(e.msg, "no such table"));
    assert_string_equal(ingest_failure(w.in)->msg, e.msg);
    assert_int_equal(ingest_finish(w.in, "stopped", w.ts, &e), 0);
    assert_string_equal(row_of(&w, "SELECT state || ' ' || stop_reason || ' ' || (end_ts = data_ts)"
                                   " FROM run"),
                        "stopped capture_failed 1");
    assert_non_null(strstr(
        row_of(&w, "SELECT reason FROM ability WHERE name = 'whole_run' AND NOT is_available"),
        "no such table"));
    ingest_close(w.in);
    remove_run(&w);
}

/* The end of a run does not wait for ever, whoever holds the lock. */
static void the_end_waits_for_a_bounded_time(void **state)
{
    (void)state;
    struct world w;
    open_run(&w, 12, 0);
    int64_t start_ts = w.ts;
    struct queue *q = queue_new(1 << 20);
    assert_int_equal(ingest_start(w.in, q, NULL), 0);
    sqlite3 *other = open_other(&w);
    run_sql(other, "BEGIN IMMEDIATE");
    push_samples(&w, q, start_ts + 1000, 50);
    usleep(300000); /* it waits for the lock by now */
    push_end(&w, q, start_ts + 300000);
    int64_t began = clock_monotonic_ns();
    ingest_close(w.in);
    int64_t took_ms = (clock_monotonic_ns() - began) / 1000000;
    assert_in_range(took_ms, 9000, 14000);
    run_sql(other, "ROLLBACK");
    sqlite3_close(other);
    queue_free(q);
    assert_int_equal(ingest_rebuild(w.path, "capture_failed", NULL), 0);
    assert_string_equal(row_of(&w, "SELECT stop_reason || ' ' || n_samples FROM run"),
                        "capture_failed 0");
    remove_run(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_waits_for_a_lock),
        cmocka_unit_test(a_failure_ends_with_what_was_committed),
        cmocka_unit_test(the_end_waits_for_a_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
