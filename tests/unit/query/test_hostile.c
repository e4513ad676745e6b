/*
 * test_hostile.c - run files whose numbers lie: every view answers or refuses, and the sanitizers
 * of the asan build see nothing. (The shape of a foreign file is archive_open()'s business.) And
 * archives in which one bit of a sum has changed, which are refused.
 */
#include "fixture.h"

#include <fcntl.h>

#include <sqlite3.h>

#include "base/json.h"
#include "query/compare.h"
#include "schema/archive.h"

/* Each makes a file that no recording writes. */
static const char *const lies[] = {
    "UPDATE sample SET callsite = 9223372036854775807, frame = -1",
    "UPDATE sample SET on_cpu_ns = 9223372036854775807",
    "UPDATE sample SET utid = -5 WHERE ts % 2 = 0",
    "UPDATE sample SET ts = ts - 9223372036854775807 WHERE ts % 3 = 0",
    "UPDATE callsite SET node = 4000000000 WHERE id % 2 = 0",
    "UPDATE callsite SET node = 0, frame = 2000000000",
    "UPDATE callsite SET parent = id + 1",
    "UPDATE callsite SET id = 9000000000000000 WHERE id = 2",
    "UPDATE call_tree SET parent = id + 7 WHERE id > 2",
    "UPDATE call_tree SET id = 2147483646 WHERE id = 4",
    "UPDATE call_tree SET parent = id WHERE id = 3",
    "UPDATE call_tree SET symbol = -3, total_on_cpu_ns = 9223372036854775807, n_total_samples = -1",
    "UPDATE call_tree SET id = id - 9223372036854775807 WHERE id = 5",
    "DELETE FROM call_tree WHERE id % 2 = 0",
    "UPDATE frame SET symbol = 99999999",
    "UPDATE frame SET id = 2000000000 WHERE id = 3",
    "UPDATE symbol SET id = 9223372036854775807 WHERE id = 2",
    "UPDATE symbol SET name = char(27, 7, 0x202e) || name, kind = 'nonsense'",
    "DELETE FROM symbol",
    "UPDATE symbol_sum SET self_on_cpu_ns = -9223372036854775807, symbol = symbol + 1000",
    "UPDATE stack SET node = 1234567, utid = 77",
    "UPDATE stack SET id = 4000000000 WHERE id = 1",
    "UPDATE stack_sum SET n_samples = -9223372036854775807, on_cpu_ns = 9223372036854775807",
    "UPDATE stack_sum SET stack = stack + 100000",
    "UPDATE snapshot SET ts = -9223372036854775807, n_samples = 9223372036854775807",
    "UPDATE thread SET utid = 9223372036854775807 WHERE utid = 2",
    "UPDATE thread SET start_ts = -9223372036854775807, end_ts = 9223372036854775807",
    "UPDATE thread_sum SET runnable_ns = -1, idle_ns = 9223372036854775807, other_ns = idle_ns",
    "UPDATE thread_sum SET idle_ns = 9223372036854775807, other_ns = 9223372036854775807",
    "UPDATE time_bucket SET bucket = 9223372036854775807 WHERE utid = 1",
    "UPDATE time_bucket SET on_cpu_ns = 9223372036854775807",
    "UPDATE run SET start_ts = -9223372036854775807, data_ts = 9223372036854775807",
    "UPDATE run SET start_ts = -9223372036854775807, raw_from_ts = 9223372036854775807",
    "UPDATE run SET state = 'recording', data_ts = -9223372036854775807",
    "UPDATE run SET end_ts = 9223372036854775807, start_ts = 0",
    "UPDATE run SET raw_from_ts = 9223372036854775807",
    "UPDATE run SET raw_from_ts = -9223372036854775807, n_samples = -1, on_cpu_ns = 0",
    "UPDATE thread_state SET ts = -9223372036854775807, dur = 9223372036854775807",
    "UPDATE thread_state SET ts = 9223372036854775807, dur = -9223372036854775807",
    "UPDATE thread_state SET dur = 9223372036854775807",
    "UPDATE thread_state SET utid = 9223372036854775807 WHERE id = 1",
    "UPDATE thread_state SET utid = -1, state = 'x', reason = 'y', reason_from = char(27)",
    "UPDATE thread_state SET callsite = 9223372036854775807",
    "UPDATE thread_state SET callsite = -1, stack_from = NULL",
    "UPDATE thread_state SET id = 9223372036854775807 WHERE id = 2",
    "UPDATE thread_state SET id = -9223372036854775807 WHERE id = 1",
    "UPDATE folded_state SET bucket = 9223372036854775807",
    "UPDATE folded_state SET bucket = -9223372036854775807, dur = 9223372036854775807",
    "UPDATE folded_state SET n_intervals = -1, utid = 99999999, callsite = 77777777",
    "UPDATE folded_state SET state = 'runnable', reason = 'nonsense'",
    "UPDATE thread_sum SET open_state = 'blocked', open_reason = 'zzz', open_ts = "
    "-9223372036854775807",
    "UPDATE thread_sum SET open_state = 'running', open_ts = 9223372036854775807",
    "UPDATE thread_sum SET open_state = 'nonsense', open_ts = 1, n_switches = -1",
    "UPDATE call_tree SET total_off_cpu_ns = 9223372036854775807, n_total_waits = -1",
    "UPDATE call_tree SET self_off_cpu_ns = -9223372036854775807, n_self_waits = "
    "9223372036854775807",
    "UPDATE call_tree SET symbol = 4294967296 WHERE n_self_waits > 0",
    "UPDATE call_tree SET n_total_waits = 1, parent = id",
    "UPDATE symbol SET kind = 'marker'",
    "UPDATE symbol SET kind = 'function' WHERE kind = 'marker'",
    "UPDATE symbol_sum SET total_off_cpu_ns = 9223372036854775807, n_total_waits = -1",
    "UPDATE run SET has_off_cpu = -5",
    "UPDATE run SET has_off_cpu = 0",
    "UPDATE code SET rel_address = -9223372036854775807",
    "UPDATE code SET bytes = zeroblob(3000000)",
    "UPDATE code SET bytes = randomblob(4096), rel_address = rel_address - 5",
    "UPDATE symbol SET rel_address = -1, size = 9223372036854775807",
    "UPDATE symbol SET rel_address = 9223372036854775807, size = -9223372036854775807",
    "UPDATE frame SET rel_address = id * 9223372036854775",
    "UPDATE frame_sum SET n_samples = 9223372036854775807, on_cpu_ns = 6223372036854775807",
    "UPDATE frame_line SET line = -9223372036854775807, symbol = -1, depth = depth + 1000000",
    "UPDATE frame_line SET file = char(27, 10) || '/etc/../dev/zero'",
    "UPDATE run SET arch = char(27) || 'pdp11'",
    "UPDATE run SET arch = 'aarch64'",
    "UPDATE binary SET path = '/dev/zero', kind = 'main', build_id = NULL",
    "DELETE FROM run",
    "DELETE FROM thread",
    "DELETE FROM process",
};

static const char *const requests[] = {
    "{}",
    "{\"tid\": 101}",
    "{\"pid\": 100}",
    "{\"from_ns\": 20000000}",
    "{\"from_ns\": 20000000, \"to_ns\": 95000000}",
    "{\"to_ns\": 1000000000000000000}",
    "{\"exclude\": [\"b\"]}",
    "{\"exclude\": [\"b\"], \"from_ns\": 15000000, \"tid\": 100}",
};

/* For views that add up stacks. */
static const char *const off_cpu_requests[] = {
    "{\"off_cpu\": true}",
    "{\"off_cpu\": true, \"threshold_pct\": 0}",
    "{\"off_cpu\": true, \"tid\": 101}",
    "{\"reason\": \"lock\"}",
    "{\"off_cpu\": true, \"from_ns\": 20000000, \"to_ns\": 95000000}",
    "{\"off_cpu\": true, \"to_ns\": 1000000000000000000, \"exclude\": [\"b\"]}",
};

/* Code, lines and a text, for what annotates. */
static const struct sql_block details[] = {
    {"code", "INSERT INTO code SELECT id, rel_address, x'4883c0014883c00175f6e800000000c3' FROM "
             "symbol WHERE name = 'c'"},
    {"lines", "INSERT INTO frame_line SELECT id, 0, symbol, '/src/c.c', id FROM frame"},
    {"outer", "INSERT INTO frame_line SELECT id, 1, 1, '/src/c.c', 1 FROM frame"},
    {"text", "INSERT INTO source_line VALUES ('/src/c.c', 1, char(27) || 'text')"},
};

static void write_run(const char *path, const char *lie)
{
    struct model m = {0};
    struct db *db = NULL;
    struct err e = {0};
    const struct sql_block block = {"lie", lie};

    model_read_line(&m, "process 100 app");
    model_read_line(&m, "thread 101 100 worker");
    model_read_line(&m, "sample 100 a;b;a;c x30");
    model_read_line(&m, "snapshot");
    model_read_line(&m, "sample 101 b;c;lib.so!d x30");
    model_read_line(&m, "snapshot");
    model_read_line(&m, "wait 101 b;c;nap sleep 20");
    model_read_line(&m, "wait 101 - runnable 2");
    model_read_line(&m, "wait 100 a;b;lib.so!d;[k]futex lock 15");
    model_read_line(&m, "wait 100 - ioW 1 folded");
    model_read_line(&m, "sample 100 a;c;e x40");
    model_read_line(&m, "open 101 idle");
    model_write(&m, path);
    assert_int_equal(db_open(&db, path, DB_WRITE, &e), 0);
    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
        stmt_run(db_stmt(db, &details[i]));
    }
    stmt_run(db_stmt(db, &block));
    if (db_status(db, &e) < 0) {
        fail_msg("%s: %s", lie, e.msg);
    }
    db_close(db);
    model_free(&m);
}

static bool is_known_error(int rc)
{
    return rc == STAX_ECORRUPT || rc == STAX_ENOTFOUND || rc == STAX_ESQL || rc == STAX_ELIMIT;
}

static void ask(struct query *q, const char *lie, const char *view, const char *request)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_loads(request, 0, NULL);

    if (strcmp(view, "neighbors") == 0 || strncmp(view, "calle", 5) == 0) {
        json_object_set_new(parameters, "symbol", json_string("c"));
    }
    if (strcmp(view, "annotated") == 0 || strcmp(view, "cfg") == 0) {
        json_object_set_new(parameters, "target", json_string("c"));
    }
    if (strcmp(view, "top") == 0) {
        json_object_del(parameters, "threshold_pct");
    }
    int rc = query_view(q, view, parameters, &document, &e);
    if (rc == 0) {
        char *text = json_dumps(document, JSON_COMPACT);
        assert_non_null(text);
        free(text);
    } else if (!is_known_error(rc) || !*e.msg) {
        fail_msg("%s: %s %s: %d %s", lie, view, request, rc, e.msg);
    }
    json_decref(document);
    json_decref(parameters);
}

/* Against itself and against nothing at all. */
static void compare(const json_t *profile, const json_t *other)
{
    struct compare_options options = compare_default_options;
    struct err e = {0};
    json_t *document = NULL;

    options.fail_if = "on_cpu > +10% or total(c) > 1%";
    for (int by = 0; by < N_BASES; by++) {
        options.by = (enum basis)by;
        int rc = compare_profiles(profile, other, &options, &document, &e);
        assert_true(rc == 0 || rc == STAX_EUSAGE);
        char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
        assert_true(!document || text);
        free(text);
        json_decref(document);
    }
}

static void compare_profile(struct query *q)
{
    struct err e = {0};
    json_t *profile = NULL, *nothing = json_object();

    if (query_view(q, "profile", NULL, &profile, &e) == 0) {
        compare(profile, profile);
        compare(profile, nothing);
        compare(nothing, profile);
    }
    json_decref(profile);
    json_decref(nothing);
}

static void ask_everything(struct query *q, const char *lie)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        for (const struct view *v = query_views; v->name; v++) {
            ask(q, lie, v->name, requests[i]);
        }
    }
    for (size_t i = 0; i < sizeof(off_cpu_requests) / sizeof(off_cpu_requests[0]); i++) {
        ask(q, lie, "top", off_cpu_requests[i]);
        ask(q, lie, "flamegraph", off_cpu_requests[i]);
        ask(q, lie, "callers", off_cpu_requests[i]);
        ask(q, lie, "callees", off_cpu_requests[i]);
    }
    ask(q, lie, "intervals", "{\"limit\": 1}");
    ask(q, lie, "intervals", "{\"reason\": \"runnable\", \"from_ns\": 1}");
    compare_profile(q);
    json_decref(query_run(q));
    json_decref(query_quality(q));
}

static void lies_are_answered_or_refused(void **state)
{
    char path[512];

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct query *q = NULL;
        struct err e = {0};
        fixture_path(path, sizeof(path));
        write_run(path, lies[i]);
        assert_int_equal(query_open(&q, path, false, &e), 0);
        ask_everything(q, lies[i]);
        query_close(q);
        fixture_remove(path);
    }
}

/* The columns whose sums must agree, and which row of the table is changed. */
static const struct sum {
    const char *table, *row, *columns;
    int least_bit; /* smaller ones are within what clocks may be apart */
} sums[] = {
    {"run", "1", "n_samples on_cpu_ns", 0},
    {"symbol_sum", "symbol = (SELECT symbol FROM symbol_sum ORDER BY self_on_cpu_ns DESC LIMIT 1)",
     "n_self_samples self_on_cpu_ns n_total_samples total_on_cpu_ns n_self_waits self_off_cpu_ns "
     "n_total_waits total_off_cpu_ns symbol",
     0},
    {"call_tree", "id = (SELECT max(id) FROM call_tree)",
     "n_self_samples self_on_cpu_ns n_total_samples total_on_cpu_ns n_self_waits self_off_cpu_ns "
     "n_total_waits total_off_cpu_ns symbol parent",
     0},
    {"symbol_thread_sum", "(utid, symbol) = (SELECT utid, symbol FROM symbol_thread_sum LIMIT 1)",
     "n_self_samples self_on_cpu_ns n_total_samples total_on_cpu_ns symbol utid", 0},
    {"thread_sum", "utid = 1", "n_samples runnable_ns lock_ns io_w_ns utid", 0},
    {"thread_sum", "utid = 1", "on_cpu_ns unknown_ns", 29},
    {"frame_sum", "(frame, utid) = (SELECT frame, utid FROM frame_sum LIMIT 1)",
     "n_samples on_cpu_ns utid", 0},
    {"callsite_sum", "(callsite, utid) = (SELECT callsite, utid FROM callsite_sum LIMIT 1)",
     "n_samples on_cpu_ns utid", 0},
    {"time_bucket", "(bucket, utid) = (SELECT bucket, utid FROM time_bucket LIMIT 1)",
     "n_samples on_cpu_ns", 0},
    {"wait_sum", "reason = 'lock'", "dur folded_dur n_intervals n_folded_intervals", 0},
};

/* Whether the archive opens with that bit changed in the row; the file is as before afterwards. */
static bool opens_flipped(const char *path, const struct sum *sum, const char *column, int bit)
{
    char text[512];
    struct db *db = NULL;
    struct err e = {0};
    long long mask = (long long)(1ULL << bit);
    snprintf(text, sizeof(text), "UPDATE %s SET %s = (%s | %lld) - (%s & %lld) WHERE %s",
             sum->table, column, column, mask, column, mask, sum->row);
    sqlite3 *handle = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    int done = sqlite3_exec(handle, text, NULL, NULL, NULL);
    bool is_done = done == SQLITE_OK && sqlite3_changes(handle) == 1;
    if (!is_done && done != SQLITE_CONSTRAINT) { /* another row has that key */
        fail_msg("%s: %s", text, sqlite3_errmsg(handle));
    }
    sqlite3_close(handle);
    int rc = is_done ? archive_open(&db, path, NULL, &e) : STAX_ECORRUPT;
    if (is_done && rc != 0 && (rc != STAX_ECORRUPT || !strstr(e.msg, "the sums in its table"))) {
        fail_msg("%s: %d %s", text, rc, e.msg);
    }
    db_close(db);
    return rc == 0;
}

static void flipped_sums_are_refused(void **state)
{
    static const int bits[] = {0, 1, 13, 29, 40, 62, 63};
    static const char closed[] =
        "UPDATE thread_sum SET unknown_ns = (SELECT ifnull(t.end_ts, r.end_ts) - t.start_ts FROM "
        "thread t JOIN run r WHERE t.utid = thread_sum.utid) - on_cpu_ns - runnable_ns - idle_ns - "
        "lock_ns - sem_ns - ipc_ns - io_r_ns - io_w_ns - ready_ns - sleep_ns - conn_ns - other_ns "
        "WHERE utid = 1";
    char path[512], saved[600];
    struct buf good = {0};
    (void)state;
    fixture_path(path, sizeof(path));
    snprintf(saved, sizeof(saved), "%s.saved", path);
    write_run(path, closed);
    struct err e = {0};
    struct db *db = NULL;
    assert_int_equal(archive_save(path, saved, NULL, NULL, NULL, &e), 0);
    if (archive_open(&db, saved, NULL, &e) != 0) {
        fail_msg("%s", e.msg);
    }
    db_close(db);
    assert_int_equal(fd_read_file(saved, 1 << 24, &good), 0);
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        char columns[256], *rest = NULL;
        snprintf(columns, sizeof(columns), "%s", sums[i].columns);
        for (char *c = strtok_r(columns, " ", &rest); c; c = strtok_r(NULL, " ", &rest)) {
            for (size_t k = 0; k < sizeof(bits) / sizeof(bits[0]); k++) {
                if (bits[k] >= sums[i].least_bit && opens_flipped(saved, &sums[i], c, bits[k])) {
                    fail_msg("%s.%s opens with bit %d changed", sums[i].table, c, bits[k]);
                }
                int fd = open(saved, O_WRONLY | O_TRUNC | O_CLOEXEC);
                assert_int_equal(fd_write_all(fd, good.data, good.len), 0);
                close(fd);
            }
        }
    }
    buf_free(&good);
    unlink(saved);
    fixture_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_sums_are_refused),
        cmocka_unit_test(lies_are_answered_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
