/*
 * test_waits.c - what a futex is: the function on a wait's stack, or a guess, and which of them
 * wins. Waits in, one line each out: reason and where it is from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "capture/event.h"
#include "ingest/ingest_internal.h"

enum { PID = 100, MS = 1000000 };

/* Functions by address; kernel addresses, since these are named by a file of ours. */
static const char kallsyms[] = "ffffffff81000000 T _stext\n"
                               "ffffffff81001000 T pthread_cond_wait\n"
                               "ffffffff81002000 T sem_wait\n"
                               "ffffffff81003000 T main\n"
                               "ffffffff81004000 T std::sync::barrier::Barrier::wait\n"
                               "ffffffff81005000 T _etext\n";
static const uint64_t COND = 0xffffffff81001010, SEM = 0xffffffff81002010,
                      MAIN = 0xffffffff81003010, BARRIER = 0xffffffff81004010;

struct fixture {
    char path[64], names[64];
    struct ingest *in;
    struct buf batch;
    int64_t ts;
};

static void open_fixture(struct fixture *f)
{
    *f = (struct fixture){.ts = 1000 * (int64_t)MS};
    snprintf(f->path, sizeof(f->path), "/tmp/stax-test-waits-%d.stax", (int)getpid());
    snprintf(f->names, sizeof(f->names), "/tmp/stax-test-waits-%d.names", (int)getpid());
    unlink(f->path);
    FILE *names = fopen(f->names, "w");
    assert_non_null(names);
    assert_int_equal(fwrite(kallsyms, 1, sizeof(kallsyms) - 1, names), sizeof(kallsyms) - 1);
    fclose(names);
    const struct ingest_options options = {
        .path = f->path, .kallsyms = f->names, .without_files = true};
    const struct ingest_run run = {
        .id = 1, .pid = PID, .command = "p", .start_ts = f->ts, .stax_version = "0"};
    const struct ingest_ability switches = {"off_cpu", true, "", ""};
    struct err e = {0};
    assert_int_equal(ingest_open(&f->in, &options, &run, &switches, 1, &e), 0);
    event_add_process(&f->batch, EVENT_PROCESS_START, f->ts, PID, 0, "p", 1, NULL, 0);
    event_add_thread(&f->batch, EVENT_THREAD_START, f->ts, PID, PID, "p", 1);
}

/* A wait of 10 ms with a stack of n addresses. */
static void add_wait_at(struct fixture *f, const uint64_t *stack, uint16_t n,
                        enum event_reason reason, enum event_reason_source from, bool is_vague)
{
    struct event_off_cpu o = {.head.ts = f->ts + 10 * (int64_t)MS,
                              .head.flags = is_vague ? EVENT_F_WAIT_IS_VAGUE : 0,
                              .pid = PID,
                              .tid = PID,
                              .start_ts = f->ts,
                              .dur_ns = 10 * (int64_t)MS,
                              .state = EVENT_STATE_BLOCKED,
                              .reason = (uint8_t)reason,
                              .reason_from = (uint8_t)from,
                              .stack_from = n ? EVENT_STACK_SWITCH : EVENT_STACK_NONE,
                              .n_kernel = n,
                              .n_addresses = n};
    uint64_t *addresses = event_add_off_cpu(&f->batch, EVENT_OFF_CPU, &o);
    memcpy(addresses, stack, n * sizeof(*stack));
    f->ts += 20 * (int64_t)MS;
}

/* Of one address; 0: it has none. */
static void add_wait(struct fixture *f, uint64_t address, enum event_reason reason,
                     enum event_reason_source from, bool is_vague)
{
    add_wait_at(f, &address, address != 0, reason, from, is_vague);
}

/* The rows must be these, of a run that goes on; closes it. */
static void check(struct fixture *f, const char *sql, const char *expected)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    struct buf text = {0};
    struct err e = {0};
    ingest_feed(f->in, f->batch.data, f->batch.len);
    assert_int_equal(ingest_commit(f->in, &e), 0);
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        buf_addf(&text, "%s\n", (const char *)sqlite3_column_text(st, 0));
    }
    assert_string_equal(buf_str(&text), expected);
    sqlite3_finalize(st);
    sqlite3_close(db);
    ingest_close(f->in);
    buf_free(&text);
    buf_free(&f->batch);
    unlink(f->path);
    unlink(f->names);
}

/* The thread's time as it is when the wait before is over and another goes on, and the latter. */
static void add_open_wait(struct fixture *f, uint64_t address, enum event_reason reason,
                          bool is_told)
{
    struct event_thread_time time = {.head.ts = f->ts + MS,
                                     .head.flags = EVENT_F_WAIT_IS_VAGUE,
                                     .pid = PID,
                                     .tid = PID,
                                     .open_ts = f->ts,
                                     .open_state = EVENT_STATE_BLOCKED,
                                     .open_reason = (uint8_t)reason};
    struct event_off_cpu o = {.head.ts = f->ts + MS,
                              .head.flags = EVENT_F_WAIT_IS_VAGUE,
                              .pid = PID,
                              .tid = PID,
                              .start_ts = f->ts,
                              .state = EVENT_STATE_BLOCKED,
                              .reason = (uint8_t)reason,
                              .reason_from = EVENT_FROM_SYSCALL,
                              .stack_from = EVENT_STACK_SWITCH,
                              .n_kernel = 1,
                              .n_addresses = 1};
    event_add_thread_time(&f->batch, &time);
    if (is_told) {
        *event_add_off_cpu(&f->batch, EVENT_OPEN_WAIT, &o) = address;
    }
}

static const char open_waits[] =
    "SELECT open_state || ' ' || open_reason || ' ' || ifnull(open_reason_from, '-') || ' ' ||"
    " ifnull(open_stack_from, '-') || ' ' || (open_callsite IS NOT NULL) || ' ' ||"
    " ifnull((SELECT sum(n_waits) FROM stack_end), 0) FROM thread_sum";

/* What is known of the wait that a thread is in, and no longer than it is; no stack is counted. */
static void test_open(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add_open_wait(&f, COND, EVENT_REASON_SEM, true);
    check(&f, open_waits, "blocked idle user_function switch 1 0\n");
    open_fixture(&f);
    add_open_wait(&f, MAIN, EVENT_REASON_LOCK, true);
    check(&f, open_waits, "blocked lock futex switch 1 0\n");
    open_fixture(&f);
    add_open_wait(&f, COND, EVENT_REASON_SEM, true);
    f.ts += 50 * (int64_t)MS;
    add_open_wait(&f, COND, EVENT_REASON_SEM, false);
    check(&f, open_waits, "blocked idle - - 0 0\n"); /* as before, a guess */
}

static const char waits[] =
    "SELECT reason || ' ' || reason_from FROM thread_state WHERE state = 'blocked' ORDER BY ts";

/* The function wins over any guess, and not over what is certain. */
static void test_function(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add_wait(&f, COND, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, COND, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    add_wait(&f, COND, EVENT_REASON_IPC, EVENT_FROM_SYSCALL, false);
    add_wait(&f, MAIN, EVENT_REASON_LOCK, EVENT_FROM_SYSCALL, true);
    check(&f, waits,
          "idle user_function\n"
          "idle user_function\n"
          "ipc syscall\n"
          "lock futex\n");
}

/* The nearest function counts, but for one that is known to wait by means of others. */
static void test_outer_function(void **state)
{
    (void)state;
    const uint64_t barrier[] = {COND, MAIN, BARRIER};
    const uint64_t far[] = {COND, MAIN, MAIN, MAIN, MAIN, MAIN, BARRIER};
    const uint64_t nested[] = {COND, MAIN, SEM};
    struct fixture f;
    open_fixture(&f);
    add_wait_at(&f, barrier, 3, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    add_wait_at(&f, far, 7, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    add_wait_at(&f, nested, 3, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    check(&f, waits,
          "lock user_function\n"
          "idle user_function\n"
          "idle user_function\n");
}

/* The same of what is inlined at one place, as debug information tells. */
static void test_outer_inlined(void **state)
{
    (void)state;
    const uint64_t main_alone[] = {MAIN};
    const uint64_t known[] = {COND, BARRIER}; /* gives both functions their symbols */
    struct fixture f;
    open_fixture(&f);
    add_wait_at(&f, main_alone, 1, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    add_wait_at(&f, known, 2, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    ingest_feed(f.in, f.batch.data, f.batch.len);
    buf_clear(&f.batch);
    struct intern *in = &f.in->intern;
    uint32_t symbols[2] = {0}, frame = 0; /* outermost first */
    for (uint32_t i = 1; i <= in->n_frames; i++) {
        uint32_t symbol = in->frames[i - 1].symbol;
        uint8_t reason = in->symbol_reasons[symbol - 1];
        if (reason) {
            symbols[reason & SYMBOL_IS_OUTER ? 0 : 1] = symbol;
        } else if ((in->frames[i - 1].rel_address & 0xffff) == (MAIN & 0xffff)) {
            frame = i;
        }
    }
    assert_true(symbols[0] && symbols[1] && frame);
    assert_true(intern_set_inlined(in, frame, symbols, 2));
    assert_true(late_names_relayout(&f.in->late_names));
    add_wait_at(&f, main_alone, 1, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    check(&f, waits,
          "other none\n"
          "lock user_function\n"
          "lock user_function\n");
}

/* What a function said of one guess holds for the next without a function; nothing else does. */
static void test_guess(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add_wait(&f, 0, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, COND, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, 0, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, SEM, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, 0, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    add_wait(&f, 0, EVENT_REASON_LOCK, EVENT_FROM_SYSCALL, true);
    add_wait(&f, 0, EVENT_REASON_OTHER, EVENT_FROM_NONE, true);
    check(&f, waits,
          "sem futex\n"
          "idle user_function\n"
          "idle earlier\n"
          "sem user_function\n"
          "sem syscall\n"
          "lock futex\n"
          "other none\n");
}

/* The same for waits that are summed up, and for one that has not ended. */
static void test_folded(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add_wait(&f, COND, EVENT_REASON_SEM, EVENT_FROM_SYSCALL, true);
    for (int i = 0; i < 3; i++) {
        static const uint8_t guesses[] = {EVENT_REASON_SEM, EVENT_REASON_LOCK, EVENT_REASON_OTHER};
        const struct event_off_cpu_folded o = {.head.ts = f.ts,
                                               .head.flags = EVENT_F_WAIT_IS_VAGUE,
                                               .pid = PID,
                                               .tid = PID,
                                               .state = EVENT_STATE_BLOCKED,
                                               .reason = guesses[i],
                                               .n_intervals = 1,
                                               .dur_ns = MS << i,
                                               .guessed_ns = i == 2 ? MS : 0};
        event_add_off_cpu_folded(&f.batch, &o);
    }
    const struct event_thread_time time = {.head.ts = f.ts,
                                           .head.flags = EVENT_F_WAIT_IS_VAGUE,
                                           .pid = PID,
                                           .tid = PID,
                                           .start_ts = 1000 * (int64_t)MS,
                                           .open_ts = f.ts,
                                           .open_state = EVENT_STATE_BLOCKED,
                                           .open_reason = EVENT_REASON_SEM};
    event_add_thread_time(&f.batch, &time);
    check(
        &f,
        "SELECT reason || ' ' || (dur / 1000000) FROM folded_state WHERE state = 'blocked' UNION "
        "ALL SELECT 'guessed ' || reason || ' ' || (guessed_ns / 1000000) FROM folded_state UNION "
        "ALL SELECT 'guessed of all ' || (guessed_ns / 1000000) FROM thread_sum UNION ALL"
        " SELECT 'open ' || open_reason FROM thread_sum",
        "idle 1\nlock 2\nother 4\nguessed idle 1\nguessed lock 2\nguessed other 1\nguessed of all "
        "4\nopen idle\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_function),       cmocka_unit_test(test_open),
        cmocka_unit_test(test_outer_function), cmocka_unit_test(test_outer_inlined),
        cmocka_unit_test(test_guess),          cmocka_unit_test(test_folded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
