/* test_views.c - the v_* views and Perfetto's, on the run of run.sql. */
#include "schema/fixture.h"

#include <ctype.h>

static void test_top(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(
        f->run,
        "SELECT name, binary, self_ms, self_pct, total_ms, total_pct, n_self_samples FROM v_top",
        "memcpy|libc.so.6|4.0|40.0|4.0|40.0|4\n"
        "work|app|3.0|30.0|7.0|70.0|3\n"
        "libc.so.6+0x9000|libc.so.6|2.0|20.0|2.0|20.0|2\n"
        "main|app|1.0|10.0|10.0|100.0|1\n");
    assert_rows(f->run, "SELECT tid, name, self_ms FROM v_thread_functions WHERE self_ms > 0",
                "100|memcpy|4.0\n100|work|3.0\n101|libc.so.6+0x9000|2.0\n101|main|1.0\n");
    assert_rows(f->run, "SELECT name, address, offset, on_cpu_ms, n_samples FROM v_hot_frames",
                "memcpy|0x1004|4|4.0|4\nwork|0x212|18|3.0|3\n"
                "libc.so.6+0x9000|0x9000|0|2.0|2\nmain|0x104|4|1.0|1\n");
}

static void test_trees(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run, "SELECT tree, total_pct, self_ms FROM v_flame",
                "app|100.0|0.0\n"
                "  main|100.0|1.0\n"
                "    work|70.0|3.0\n"
                "      memcpy|40.0|4.0\n"
                "    libc.so.6+0x9000|20.0|2.0\n");
    assert_rows(f->run, "SELECT stack, n_samples, on_cpu_ns FROM v_folded ORDER BY stack",
                "app;main|1|1000000\n"
                "app;main;libc.so.6+0x9000|2|2000000\n"
                "app;main;work|3|3000000\n"
                "app;main;work;memcpy|4|4000000\n");
    /* ; separates: it must not stand in a name, the process's included. */
    run_sql(f->run, "UPDATE symbol SET name = name || ';x' WHERE name IN ('app', 'work')");
    assert_rows(f->run, "SELECT stack FROM v_folded ORDER BY stack LIMIT 3",
                "app:x;main\napp:x;main;libc.so.6+0x9000\napp:x;main;work:x\n");
    run_sql(f->run, "UPDATE symbol SET name = replace(name, ';x', '')");
    assert_rows(f->run, "SELECT caller, callee, total_ms FROM v_calls",
                "app|main|10.0\nmain|work|7.0\nwork|memcpy|4.0\nmain|libc.so.6+0x9000|2.0\n");
    assert_rows(f->run, "SELECT count(*), sum(self_ms) FROM v_call_tree", "5|10.0\n");
}

static void test_flame_leaves_out_what_is_small(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    run_sql(f->run, "UPDATE call_tree SET total_on_cpu_ns = 99999 WHERE id = 4");
    assert_rows(f->run, "SELECT count(*) FROM v_flame", "4\n");
    run_sql(f->run, "UPDATE call_tree SET total_on_cpu_ns = 100000 WHERE id = 4");
    assert_rows(f->run, "SELECT count(*) FROM v_flame", "5\n");
}

static void test_threads_and_processes(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run,
                "SELECT tid, name, process, on_cpu_ms, on_cpu_pct, n_samples, runnable_ms, end_s "
                "FROM v_threads",
                "100|app|app|7.0|70.0|7|NULL|NULL\n101|worker|app|3.0|30.0|3|NULL|0.011\n");
    assert_rows(f->run, "SELECT pid, name, on_cpu_ms, n_threads, parent_pid FROM v_processes",
                "100|app|10.0|2|NULL\n");
    assert_rows(f->run, "SELECT at_s, tid, on_cpu_ms FROM v_timeline",
                "0.0|100|7.0\n0.0|101|3.0\n");
    assert_rows(f->run, "SELECT id, started_at, elapsed_s, on_cpu_ms FROM v_run",
                "7|2023-11-14T22:13:20.000Z|0.011|10.0\n");
    assert_rows(f->run, "SELECT * FROM v_loss", "0.006|ring_full|3|1\n");
}

/* 11 ms of one thread, blocked since 9 ms; 10 ms of another, which ended. */
static void test_ledger(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run, "SELECT count(*) FROM v_ledger", "0\n");
    run_sql(f->run, "UPDATE run SET has_off_cpu = 1;"
                    "UPDATE thread_sum SET runnable_ns = 500000, lock_ns = 1000000, open_state ="
                    " 'blocked', open_reason = 'ioW', open_ts = 1009000000 WHERE utid = 1;"
                    "UPDATE thread_sum SET sleep_ns = 6500000, unknown_ns = 500000 WHERE utid = 2");
    assert_rows(f->run,
                "SELECT tid, wall_ms, on_cpu_ms, runnable_ms, lock_ms, sleep_ms, io_w_ms, idle_ms,"
                " unknown_ms FROM v_ledger",
                "100|11.0|7.0|0.5|1.0|0.0|2.0|0.0|0.5\n101|10.0|3.0|0.0|0.0|6.5|0.0|0.0|0.5\n");
}

/* The innermost function outside the kernel is named: app > main > work > [k]futex_wait. */
static void test_waits(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    run_sql(
        f->run,
        "INSERT INTO binary VALUES"
        " (4, '[kernel]', '[kernel]', 'kernel', NULL, 1, 'kallsyms', NULL, NULL);"
        "INSERT INTO symbol VALUES (6, 'function', 'futex_wait', NULL, 4, 64, 64, 'kallsyms', 'c', "
        "NULL, NULL);"
        "INSERT INTO frame VALUES (7, 4, 70, 6);"
        "INSERT INTO callsite VALUES (4, 3, 7, 3, 6);"
        "INSERT INTO thread_state VALUES"
        " (1, 1002000000, 1000000, 1, 'blocked', 'lock', 'syscall', 4, 'switch', 2, 3, 'thread'),"
        " (2, 1004000000, 3000000, 2, 'runnable', NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (3, 1005000000, 2000000, 2, 'blocked', 'idle', 'none', 1, 'none', NULL, NULL, NULL)");
    assert_rows(f->run,
                "SELECT start_s, dur_ms, state, reason, function, stack_from, tid, waker, waker_tid"
                "  FROM v_waits",
                "0.004|3.0|runnable|NULL|NULL|NULL|101|NULL|NULL\n"
                "0.005|2.0|blocked|idle|NULL|none|101|NULL|NULL\n"
                "0.002|1.0|blocked|lock|work|switch|100|thread|101\n");
}

static void test_wakers(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    run_sql(f->run, "INSERT INTO wakeup VALUES (1, 1002000000, 1, 1000000, 'thread', 101, 2, 3),"
                    " (2, 1003000000, 1, 2000000, 'interrupt', NULL, NULL, NULL),"
                    " (3, 1004000000, 2, 500000, 'outside', 4711, NULL, NULL);"
                    "INSERT INTO waker_sum VALUES ('thread', 2, 1, 3, 1, 1000000),"
                    " ('thread', 2, 1, 0, 5, 4000000), ('interrupt', 0, 1, 0, 1, 2000000),"
                    " ('outside', 0, 2, 0, 1, 500000)");
    assert_rows(f->run, "SELECT waker, waker_tid, tid, n_wakeups, blocked_ms FROM v_wakers",
                "thread|101|100|6|5.0\ninterrupt|NULL|100|1|2.0\noutside|NULL|101|1|0.5\n");
    assert_rows(f->run, "SELECT at_s, blocked_ms, tid, waker, waker_tid, function FROM v_wakeups",
                "0.002|1.0|100|thread|101|work\n0.003|2.0|100|interrupt|NULL|NULL\n"
                "0.004|0.5|101|outside|4711|NULL\n");
}

static void test_binaries(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run, "SELECT name, self_ms, unnamed_ms, n_self_samples, note FROM v_binaries",
                "libc.so.6|6.0|2.0|6|stripped\napp|4.0|0.0|4|NULL\n");
    assert_rows(f->run, "SELECT pid, start, size, path FROM v_mappings",
                "100|0x400000|4096|/opt/app\n100|0x800000|65536|/lib/libc.so.6\n");
}

static void test_samples(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run, "SELECT at_s, tid, name, caller, n_callers FROM v_samples WHERE cpu = 1",
                "0.004|101|libc.so.6+0x9000|main|1\n0.006|101|main|NULL|0\n"
                "0.009|101|libc.so.6+0x9000|main|1\n");
}

/* The stack of every sample, walked the way Perfetto's SQL does, gives the call tree's sums. */
static void test_perfetto(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(
        f->run,
        "WITH RECURSIVE up (id, frame_id, parent_id, top) AS ("
        " SELECT id, frame_id, parent_id, id FROM stack_profile_callsite"
        " UNION ALL SELECT c.id, c.frame_id, c.parent_id, up.top FROM up"
        " JOIN stack_profile_callsite AS c ON c.id = up.parent_id)"
        "SELECT frame.name, count(*) FROM perf_sample AS s JOIN up ON up.top = s.callsite_id"
        " JOIN stack_profile_frame AS frame ON frame.id = up.frame_id"
        " GROUP BY frame.name ORDER BY 2 DESC, 1",
        "app|10\nmain|10\nwork|7\nmemcpy|4\nlibc.so.6+0x9000|2\n");
    assert_rows(f->run, "SELECT count(*), count(DISTINCT id) FROM stack_profile_callsite", "7|7\n");
    assert_rows(f->run, "SELECT name, start, build_id FROM stack_profile_mapping WHERE id < 3",
                "/opt/app|4194304|abcd\n/lib/libc.so.6|8388608|\n");
    assert_rows(f->run,
                "SELECT thread.name, count(*) FROM perf_sample JOIN thread USING (utid) GROUP BY 1",
                "app|7\nworker|3\n");
}

/* Where inlined functions are known, the innermost is the one that ran; Perfetto's symbols hold
 * all. */
static void test_inlined(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    run_sql(f->run,
            "INSERT INTO symbol VALUES (16, 'function', 'tiny', NULL, 1, NULL, NULL, 'dwarf', 'c', "
            "NULL, NULL);"
            "INSERT INTO frame_line SELECT id, 1, symbol, '/s/a.c', 7 FROM frame WHERE symbol ="
            " (SELECT id FROM symbol WHERE name = 'main');"
            "INSERT INTO frame_line SELECT frame, 0, 16, '/s/a.h', 3 FROM frame_line;");
    assert_rows(f->run, "SELECT at_s, name, caller FROM v_samples WHERE at_s = 0.006",
                "0.006|tiny|main\n");
    assert_rows(f->run, "SELECT DISTINCT caller FROM v_samples WHERE at_s IN (0.004, 0.009)",
                "tiny\n");
    assert_rows(f->run, "SELECT count(*) FROM v_hot_frames WHERE name = 'tiny' AND offset >= 0",
                "1\n");
    assert_rows(f->run,
                "SELECT DISTINCT s.name, source_file, line_number, inlined, s.id = s.symbol_set_id"
                "  FROM perf_sample JOIN stack_profile_callsite AS c ON c.id = callsite_id"
                "  JOIN stack_profile_frame AS frame ON frame.id = c.frame_id"
                "  JOIN stack_profile_symbol AS s USING (symbol_set_id) ORDER BY s.id",
                "tiny|/s/a.h|3|1|1\nmain|/s/a.c|7|0|0\n");
}

/* Every column of every table and view says what it is: .schema is the manual. */
static void test_every_column_is_commented(void **state)
{
    (void)state;
    char *text = strdup(schema_text());
    char *end;
    bool is_inside = false;
    int n_columns = 0;
    for (char *line = strtok_r(text, "\n", &end); line; line = strtok_r(NULL, "\n", &end)) {
        if (strncmp(line, "CREATE TABLE", 12) == 0) {
            is_inside = true;
        } else if (line[0] == ')') {
            is_inside = false;
        } else if (is_inside && islower(line[4])) {
            n_columns++;
            if (!strstr(line, "-- ") && !strstr(line, "_on_cpu_ns") && !strstr(line, "n_")) {
                fail_msg("no comment: %s", line);
            }
        }
    }
    assert_true(n_columns > 150);
    free(text);
}

static void test_every_view_is_commented(void **state)
{
    struct fixture *f = *state;
    make_run(f->run);
    assert_rows(f->run, "SELECT count(*) FROM sqlite_schema WHERE type = 'view'", "26\n");
    /* Views with fewer lines of comment than one each for itself and its columns. */
    assert_rows(f->run,
                "SELECT v.name FROM sqlite_schema AS v WHERE v.type = 'view' AND"
                " (length(v.sql) - length(replace(v.sql, ' -- ', ''))) / 4 <"
                " 1 + (SELECT count(*) FROM pragma_table_info(v.name))",
                "");
    assert_rows(f->run,
                "SELECT name FROM sqlite_schema WHERE type = 'view' AND sql NOT LIKE '% AS -- %'",
                "");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
    const struct CMUnitTest tests[] = {
        T(test_top),
        T(test_trees),
        T(test_flame_leaves_out_what_is_small),
        T(test_threads_and_processes),
        T(test_ledger),
        T(test_waits),
        T(test_wakers),
        T(test_binaries),
        T(test_samples),
        T(test_perfetto),
        T(test_inlined),
        T(test_every_view_is_commented),
        cmocka_unit_test(test_every_column_is_commented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
