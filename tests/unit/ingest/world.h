/*
 * world.h - a made-up machine for tests of ingest: random events and names that come late, played
 * into a run, and what must hold of its file.
 */
#ifndef STAX_TESTS_UNIT_INGEST_WORLD_H
#define STAX_TESTS_UNIT_INGEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "capture/event.h"
#include "base/mem.h"
#include "ingest/ingest.h"
#include "ingest/ingest_internal.h"
#include "ingest/naming.h"

struct world {
    unsigned seed;
    int64_t ts;
    unsigned n_deepest; /* addresses of a stack */
    bool has_off_cpu;
    bool has_late_names;
    unsigned n_names, n_relayouts;
    unsigned n_counters;
    uint64_t counted[EVENT_COUNTERS_MAX];
    int64_t totals[4][3][4]; /* by process and thread: on-CPU, runnable, blocked, unknown ns */
    struct buf batch;
    struct ingest *in;
    char path[64];
};

static inline unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

static inline void open_run(struct world *w, unsigned seed, int64_t max_bytes)
{
    *w = (struct world){.seed = seed, .ts = 1000000000000, .n_deepest = 12};
    snprintf(w->path, sizeof(w->path), "/tmp/stax-test-%d-%u.stax", (int)getpid(), seed);
    unlink(w->path);
    static const struct ingest_counter counters[EVENT_COUNTERS_MAX] = {
        {"cycles", "cycle"}, {"page-faults", "fault"}, {"r1a8", "event"}, {"task-clock", "ns"}};
    struct ingest_options options = {
        .path = w->path, .kallsyms = "", .without_files = true, .max_bytes = max_bytes};
    options.max_folded = seed % 3 ? 0 : 40;
    struct ingest_run run = {.id = 1,
                             .pid = 100,
                             .command = "test",
                             .start_ts = w->ts,
                             .start_wall_ns = 1,
                             .frequency_hz = 900,
                             .period_ns = 1000,
                             .stax_version = "test",
                             .counters = counters,
                             .n_counters = seed % (EVENT_COUNTERS_MAX + 1)};
    w->n_counters = (unsigned)run.n_counters;
    struct err e;
    const struct ingest_ability off_cpu = {
        .name = "off_cpu", .is_available = seed % 4 != 0, .reason = "", .unlock = ""};
    w->has_off_cpu = off_cpu.is_available;
    assert_int_equal(ingest_open(&w->in, &options, &run, &off_cpu, 1, &e), 0);
}

static inline void remove_run(struct world *w)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-reserve"};
    for (size_t i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s%s", w->path, ends[i]);
        unlink(path);
    }
    buf_free(&w->batch);
}

static inline void add_mapping(struct world *w, int32_t pid, unsigned file)
{
    char path[32];
    int n = snprintf(path, sizeof(path), "/lib/file%u.so", file);
    struct event_mapping m = {.pid = pid,
                              .start = 0x10000 + file * 0x1000 + pick(w, 3) * 0x400,
                              .size = 0x1000 + pick(w, 3) * 0x800,
                              .file_offset = pick(w, 2) * 0x1000,
                              .inode = pick(w, 8) ? 1000 + file : 0};
    m.head.ts = w->ts;
    event_add_mapping(&w->batch, &m, path, pick(w, 16) ? (size_t)n : 0);
}

static inline void put_address(struct world *w, uint64_t *at, unsigned i, unsigned n_kernel)
{
    at[i] = i < n_kernel ? 0xffffffff81000000u + pick(w, 8) * 16
                         : 0x10000 + (uint64_t)pick(w, 4) * 0x1000 + pick(w, 4) * 0x20;
}

/* Stacks over few addresses: shared prefixes, recursion, leaf-only samples and kernel frames. */
static inline void add_sample(struct world *w)
{
    struct event_sample s = {.pid = 100 + (int32_t)pick(w, 4),
                             .cpu = pick(w, 2),
                             .n_addresses = (uint16_t)(1 + pick(w, w->n_deepest)),
                             .on_cpu_ns = 900 + pick(w, 200)};
    s.tid = s.pid + (int32_t)(pick(w, 3) * 10);
    s.n_kernel = (uint16_t)(pick(w, 4) ? 0 : pick(w, s.n_addresses + 1u));
    s.stack_end = pick(w, 20) ? EVENT_STACK_END_ROOT : EVENT_STACK_END_NO_CFI;
    s.n_counters = (uint8_t)(pick(w, 50) ? w->n_counters : pick(w, 5));
    s.head.ts = w->ts - (pick(w, 10) ? 0 : (int64_t)pick(w, 5000)); /* also late, also equal */
    uint64_t *at = event_add_sample(&w->batch, &s);
    for (unsigned i = 0; i < s.n_addresses; i++) {
        put_address(w, at, i, s.n_kernel);
    }
    /* As many as the run has, or they are not its own. */
    for (unsigned i = 0; i < s.n_counters; i++) {
        at[s.n_addresses + i] = pick(w, 3) ? pick(w, 1u << 20) : 0;
        w->counted[i] += s.n_counters == w->n_counters ? at[s.n_addresses + i] : 0;
    }
}

/* What ended the wait that is told next, by a thread of any process, some of them not known. */
static inline void add_wakeup(struct world *w, const struct event_off_cpu *o)
{
    struct event_wakeup wake = {.pid = o->pid,
                                .tid = o->tid,
                                .waker = (uint8_t)pick(w, EVENT_N_WAKERS),
                                .wake_ts = o->start_ts + o->dur_ns,
                                .dur_ns = o->dur_ns};
    if (wake.waker != EVENT_WAKER_INTERRUPT) {
        wake.waker_pid = 100 + (int32_t)pick(w, 5);
        wake.waker_tid = wake.waker_pid + (int32_t)(pick(w, 3) * 10);
    }
    wake.head.ts = o->head.ts;
    wake.n_addresses = (uint16_t)(pick(w, 3) ? 1 + pick(w, w->n_deepest) : 0);
    wake.n_kernel = (uint16_t)pick(w, wake.n_addresses + 1u);
    uint64_t *at = event_add_wakeup(&w->batch, &wake);
    for (unsigned i = 0; i < wake.n_addresses; i++) {
        put_address(w, at, i, wake.n_kernel);
    }
}

static inline void add_folded_wakeups(struct world *w, const struct event_off_cpu *o)
{
    struct event_wakeups_folded wakes = {.head = o->head,
                                         .pid = o->pid,
                                         .tid = o->tid,
                                         .waker_pid = 100,
                                         .waker_tid = 100 + (int32_t)(pick(w, 3) * 10),
                                         .waker = (uint8_t)pick(w, EVENT_N_WAKERS),
                                         .n_wakeups = 1 + pick(w, 1000),
                                         .dur_ns = o->dur_ns / 2};
    event_add_wakeups_folded(&w->batch, &wakes);
}

/* Single intervals, with and without stacks, vague and not, some of them longer than 10 s; folded
 * ones; and the thread's sums, which say what the others add up to. */
static inline void add_wait(struct world *w)
{
    unsigned p = pick(w, 4), t = pick(w, 3), i = 0;
    struct event_off_cpu o = {.pid = 100 + (int32_t)p,
                              .state = pick(w, 3) ? EVENT_STATE_BLOCKED : EVENT_STATE_RUNNABLE,
                              .reason = (uint8_t)pick(w, EVENT_N_REASONS),
                              .reason_from = (uint8_t)pick(w, EVENT_N_REASON_SOURCES),
                              .dur_ns = pick(w, 20) ? (int64_t)pick(w, 1u << 28) : 12000000000};
    o.tid = o.pid + (int32_t)(t * 10);
    o.start_ts = w->ts - o.dur_ns;
    o.head.ts = w->ts;
    o.head.flags = (uint16_t)pick(w, 4);
    int64_t *totals = w->totals[p][t];
    if (pick(w, 4) == 0) {
        struct event_off_cpu_folded f = {.head = o.head,
                                         .pid = o.pid,
                                         .tid = o.tid,
                                         .state = o.state,
                                         .reason = o.reason,
                                         .n_intervals = 1 + pick(w, 1000),
                                         .dur_ns = o.dur_ns};
        f.guessed_ns = o.state == EVENT_STATE_BLOCKED ? o.dur_ns / (1 + o.dur_ns % 3) : 0;
        event_add_off_cpu_folded(&w->batch, &f);
        if (o.state == EVENT_STATE_BLOCKED && pick(w, 2)) {
            add_folded_wakeups(w, &o);
        }
    } else {
        if (o.state == EVENT_STATE_BLOCKED && pick(w, 2)) {
            add_wakeup(w, &o);
        }
        bool has_stack = o.state == EVENT_STATE_BLOCKED && pick(w, 3);
        o.n_addresses = (uint16_t)(has_stack ? 1 + pick(w, w->n_deepest) : 0);
        o.n_kernel = (uint16_t)pick(w, o.n_addresses + 1u);
        o.stack_from = has_stack ? EVENT_STACK_SWITCH : EVENT_STACK_NONE;
        uint64_t *at = event_add_off_cpu(&w->batch, EVENT_OFF_CPU, &o);
        for (; i < o.n_addresses; i++) {
            put_address(w, at, i, o.n_kernel);
        }
    }
    totals[o.state == EVENT_STATE_BLOCKED ? 2 : 1] += o.dur_ns;
    totals[0] += 1000;
    totals[3] += pick(w, 10);
    struct event_thread_time time = {.head.ts = w->ts,
                                     .pid = o.pid,
                                     .tid = o.tid,
                                     .on_cpu_ns = totals[0],
                                     .runnable_ns = totals[1],
                                     .blocked_ns = totals[2],
                                     .unknown_ns = totals[3],
                                     .open_ts = w->ts,
                                     .open_state = (uint8_t)pick(w, EVENT_N_STATES),
                                     .open_reason = (uint8_t)pick(w, EVENT_N_REASONS)};
    event_add_thread_time(&w->batch, &time);
}

static inline void add_task_event(struct world *w)
{
    int32_t pid = 100 + (int32_t)pick(w, 4), tid = pid + (int32_t)(pick(w, 3) * 10);
    static const char *const names[] = {"cc1", "as", "a\x1b[31mb", "\xff\xfe"};
    const char *name = names[pick(w, 4)];
    switch (pick(w, 6)) {
    case 0:
        event_add_process(&w->batch, EVENT_PROCESS_START, w->ts, pid, 100, name, strlen(name),
                          "a\0b", 3);
        break;
    case 1:
        event_add_process(&w->batch, EVENT_EXEC, w->ts, pid, 0, name, strlen(name), NULL, 0);
        break;
    case 2:
        event_add_process(&w->batch, EVENT_PROCESS_END, w->ts, pid, 0, NULL, 0, NULL, 0);
        break;
    case 3:
        event_add_thread(&w->batch, EVENT_THREAD_START, w->ts, pid, tid, name, strlen(name));
        break;
    case 4:
        event_add_thread(&w->batch, EVENT_THREAD_END, w->ts, pid, tid, NULL, 0);
        break;
    default:
        event_add_thread(&w->batch, EVENT_THREAD_NAME, w->ts, pid, tid, name, strlen(name));
        break;
    }
}

static inline void feed(struct world *w)
{
    ingest_feed(w->in, w->batch.data, w->batch.len);
    buf_clear(&w->batch);
}

/* ---- names that come late ---- */

static inline struct symbol_text better_name(struct world *w, uint32_t binary)
{
    char name[32];
    snprintf(name, sizeof(name), "fn%u", w->n_names++);
    return (struct symbol_text){.name = mem_strdup(name),
                                .binary = binary,
                                .rel_address = w->n_names * 16,
                                .size = 16,
                                .source = "debug_file",
                                .kind = SYMBOL_FUNCTION};
}

/* A frame of code, 0: none was picked. */
static uint32_t pick_frame(struct world *w)
{
    const struct intern *in = &w->in->intern;
    uint32_t frame = in->n_frames ? 1 + pick(w, (unsigned)in->n_frames) : 0;
    uint8_t kind = frame ? in->symbol_kinds[in->frames[frame - 1].symbol - 1] : SYMBOL_PROCESS;
    return kind == SYMBOL_FUNCTION || kind == SYMBOL_UNNAMED ? frame : 0;
}

/* A function that is no part of one itself; 0: none was picked. */
static uint32_t other_function(struct world *w, uint32_t symbol)
{
    const struct intern *in = &w->in->intern;
    uint32_t frame = pick_frame(w), other = frame ? in->frames[frame - 1].symbol : 0;
    return other == symbol || (other && intern_whole(in, other) != other) ? 0 : other;
}

static inline void move_frame(struct world *w, uint32_t frame)
{
    struct intern *in = &w->in->intern;
    uint32_t other = pick_frame(w), symbol = other ? in->frames[other - 1].symbol : 0;
    if (!symbol || pick(w, 3) == 0) {
        struct symbol_text text = better_name(w, in->frames[frame - 1].binary);
        symbol = intern_symbol(in, &text);
    }
    intern_move_frame(in, frame, symbol);
}

/* Lines of a frame with 0 to 3 functions inlined at it, the same one twice, too. */
static inline void add_lines(struct world *w, uint32_t frame)
{
    struct naming_row rows[4];
    unsigned n = pick(w, 4);
    struct naming_result r = {
        .binary = w->in->intern.frames[frame - 1].binary, .rows = rows, .n_rows = n + 1};
    buf_addch(&r.text, '\0');
    uint32_t file = (uint32_t)r.text.len;
    buf_add(&r.text, "/src/a.c", 9);
    for (unsigned i = 0; i <= n; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "inlined%u", pick(w, 5));
        rows[i] = (struct naming_row){.frame = frame, .depth = i, .file = file, .line = 1 + i};
        rows[i].function = i < n ? (uint32_t)r.text.len : 0;
        buf_add(&r.text, name, (size_t)len + 1);
    }
    assert_int_equal(late_names_take_rows(&w->in->late_names, &r, 0, 100), n + 1);
    buf_free(&r.text);
}

static inline void change_names(struct world *w)
{
    struct intern *in = &w->in->intern;
    uint32_t frame = pick_frame(w);
    if (!frame) {
        return;
    }
    uint32_t symbol = in->frames[frame - 1].symbol;
    switch (pick(w, 4)) {
    case 0: {
        struct symbol_text text = better_name(w, in->frames[frame - 1].binary);
        text.whole = pick(w, 2) ? 0 : other_function(w, symbol);
        if (intern_rename(in, symbol, &text) && pick(w, 2)) {
            intern_touch_frame(in, frame);
        }
        break;
    }
    case 1:
        move_frame(w, frame);
        break;
    default:
        add_lines(w, frame);
        break;
    }
    if (pick(w, 4) == 0) {
        w->n_relayouts += late_names_relayout(&w->in->late_names);
    }
}

static inline void play(struct world *w, unsigned n_events)
{
    for (unsigned i = 0; i < n_events; i++) {
        w->ts += pick(w, 50) ? (int64_t)pick(w, 2000) : 60000000;
        unsigned what = pick(w, 100);
        if (what < 4) {
            add_task_event(w);
        } else if (what < 8) {
            add_mapping(w, 100 + (int32_t)pick(w, 4), pick(w, 4));
        } else if (what == 8) {
            event_add_loss(&w->batch, w->ts, pick(w, 2), EVENT_LOSS_RING_FULL, 3);
        } else if (what < 25 && w->has_off_cpu) {
            add_wait(w);
        } else {
            add_sample(w);
        }
        if (pick(w, 30) == 0) {
            feed(w);
        }
        if (w->has_late_names && pick(w, 40) == 0) {
            change_names(w);
        }
        if (pick(w, 300) == 0) {
            assert_int_equal(ingest_commit(w->in, NULL), 0);
        }
    }
    feed(w);
}

/* All rows of a query as one string. */
static inline char *dump(sqlite3 *db, const char *sql)
{
    struct buf out = {0};
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            const unsigned char *text = sqlite3_column_text(st, i);
            buf_addf(&out, "%s|", text ? (const char *)text : "NULL");
        }
        buf_addch(&out, '\n');
    }
    sqlite3_finalize(st);
    return buf_take(&out);
}

static const char *const summaries[] = {
    "SELECT * FROM call_tree ORDER BY id",
    "SELECT * FROM symbol_sum ORDER BY symbol",
    "SELECT * FROM symbol_thread_sum ORDER BY utid, symbol",
    "SELECT * FROM frame_sum ORDER BY frame, utid",
    "SELECT * FROM callsite_sum ORDER BY callsite, utid",
    "SELECT * FROM call_tree_counter ORDER BY node",
    "SELECT * FROM symbol_counter ORDER BY symbol",
    "SELECT * FROM frame_counter ORDER BY frame, utid",
    "SELECT * FROM thread_counter ORDER BY utid",
    "SELECT stack, c0, c1, c2, c3, 0 * max(snapshot) FROM stack_counter GROUP BY stack",
    "SELECT * FROM counter ORDER BY slot",
    "SELECT * FROM thread_sum ORDER BY utid",
    "SELECT * FROM wait_sum ORDER BY reason",
    "SELECT * FROM time_bucket ORDER BY bucket, utid",
    "SELECT * FROM waker_sum ORDER BY waker, waker_utid, utid, waker_callsite",
    "SELECT * FROM stack ORDER BY id",
    "SELECT id, node FROM callsite ORDER BY id",
    "SELECT stack, n_samples, on_cpu_ns, 0 * max(snapshot) FROM stack_sum GROUP BY stack",
    "SELECT n_samples, on_cpu_ns, n_lost, n_pending FROM run",
};
enum { N_SUMMARIES = sizeof(summaries) / sizeof(summaries[0]) };

/* Self and total per symbol and thread, derived from the samples by SQL alone. */
/* Tables that are looked up at random, with an index each. */
static const char *const lookups[] = {
    "CREATE TEMP TABLE counted AS SELECT id AS symbol, ifnull(whole, id) AS counts FROM symbol",
    "CREATE INDEX temp.counted_of_symbol ON counted(symbol)",
    "CREATE TEMP TABLE functions AS SELECT id AS frame, counts AS symbol, id NOT IN (SELECT frame "
    "FROM "
    "frame_line WHERE depth = 1) AS is_inner FROM frame JOIN counted USING (symbol) "
    "UNION ALL SELECT l.frame, n.counts, "
    "l.depth = 0 FROM frame_line l JOIN counted n ON n.symbol = l.symbol WHERE l.depth < (SELECT "
    "max(m.depth) FROM frame_line m WHERE "
    "m.frame = l.frame)",
    "CREATE INDEX temp.functions_of_frame ON functions(frame)",
    "CREATE TEMP TABLE parents (id INTEGER PRIMARY KEY, parent INTEGER)",
    "INSERT INTO parents SELECT id, parent FROM call_tree",
};
static sqlite3 *open_file(const struct world *w)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(w->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
        assert_int_equal(sqlite3_exec(db, lookups[i], NULL, NULL, NULL), SQLITE_OK);
    }
    return db;
}

#define UP                                                                                         \
    "WITH RECURSIVE up(ts, callsite, frame, is_leaf) AS ("                                         \
    " SELECT ts, callsite, frame, 1 FROM sample"                                                   \
    " UNION ALL SELECT up.ts, c.parent, c.frame, 0 FROM up JOIN callsite c ON c.id = "             \
    "up.callsite),"                                                                                \
    " one(ts, symbol, is_leaf) AS (SELECT up.ts, i.symbol, max(is_leaf AND is_inner) FROM up "     \
    "CROSS JOIN functions i ON i.frame = up.frame GROUP BY 1, 2)"
static const char from_samples[] =
    UP " SELECT s.utid, one.symbol, sum(is_leaf), sum(is_leaf * on_cpu_ns), count(*), "
       "sum(on_cpu_ns) FROM one CROSS JOIN sample s ON s.ts = one.ts GROUP BY 1, 2 ORDER BY 1, 2";

/* The same of counters, over all threads, where one is not NULL. */
static const char counters_from_samples[] = UP
    " SELECT one.symbol, sum(is_leaf * c0), sum(is_leaf * c1), sum(is_leaf * c2), "
    "sum(is_leaf * c3), sum(c0), sum(c1), sum(c2), sum(c3) FROM one CROSS JOIN sample s ON s.ts = "
    "one.ts GROUP BY 1 ORDER BY 1";
static const char counters_from_summary[] =
    "SELECT y.symbol, self_c0, self_c1, self_c2, self_c3, total_c0, total_c1, total_c2, total_c3 "
    "FROM symbol_sum y LEFT JOIN symbol_counter c ON c.symbol = y.symbol WHERE n_total_samples > 0 "
    "ORDER BY 1";
static const char counter_tree_is_consistent[] =
    "SELECT count(*) FROM call_tree p JOIN call_tree_counter pc ON pc.node = p.id WHERE "
    "pc.total_c0 "
    "<> pc.self_c0 + (SELECT ifnull(sum(c.total_c0), 0) FROM call_tree n JOIN call_tree_counter c "
    "ON c.node = n.id WHERE n.parent = p.id)";
static const char counters_of_frames[] =
    "SELECT sum(c0), sum(c1), sum(c2), sum(c3) FROM frame_counter";
static const char counters_of_threads[] =
    "SELECT sum(c0), sum(c1), sum(c2), sum(c3) FROM thread_counter";

static const char from_summary[] =
    "SELECT utid, symbol, n_self_samples, self_on_cpu_ns, n_total_samples, total_on_cpu_ns FROM "
    "symbol_thread_sum ORDER BY utid, symbol";

static const char tree_is_consistent[] =
    "SELECT count(*) FROM call_tree p WHERE p.n_total_samples <> p.n_self_samples + "
    "(SELECT ifnull(sum(c.n_total_samples), 0) FROM call_tree c WHERE c.parent = p.id)";

static const char waits_are_consistent[] =
    "SELECT count(*) FROM call_tree p WHERE p.n_total_waits <> p.n_self_waits + "
    "(SELECT ifnull(sum(c.n_total_waits), 0) FROM call_tree c WHERE c.parent = p.id)";

/* Every interval once, by thread and reason and in all, from rows and folded rows by SQL alone. */
#define ALL_WAITS                                                                                  \
    "(SELECT utid, state, ifnull(reason, '') AS reason, 1 AS n, dur FROM thread_state UNION ALL "  \
    "SELECT utid, state, reason, n_intervals, dur FROM folded_state)"
static const char from_waits[] = "SELECT reason, sum(n), sum(dur) FROM " ALL_WAITS
                                 " WHERE state = 'blocked' GROUP BY 1 ORDER BY 1";
static const char from_markers[] =
    "SELECT trim(s.name, '[]'), n_self_waits, self_off_cpu_ns FROM symbol_sum JOIN symbol s ON "
    "s.id = symbol WHERE n_self_waits > 0 ORDER BY 1";
static const char thread_waits[] =
    "SELECT utid, sum(dur) FILTER (WHERE state = 'runnable'), ifnull(sum(dur) FILTER (WHERE "
    "reason = 'ioR'), 0), ifnull(sum(dur) FILTER (WHERE state = 'blocked'), 0) FROM " ALL_WAITS
    " GROUP BY 1 HAVING sum(dur) FILTER (WHERE state = 'runnable') > 0 ORDER BY 1";
static const char thread_sums[] =
    "SELECT utid, runnable_ns, io_r_ns, idle_ns + lock_ns + sem_ns + ipc_ns + io_r_ns + io_w_ns + "
    "ready_ns + sleep_ns + conn_ns + other_ns FROM thread_sum WHERE runnable_ns > 0 ORDER BY utid";
static const char waits_in_buckets[] = "SELECT sum(runnable_ns), sum(blocked_ns) FROM time_bucket";
/* What lies before the start of the run is in the first bucket's rows, but not in the buckets. */
static const char short_waits[] =
    "SELECT sum(dur) FILTER (WHERE state = 'runnable'), sum(dur) FILTER (WHERE state = 'blocked') "
    "FROM (SELECT state, min(dur, max(0, ts + dur - (SELECT start_ts FROM run))) AS dur FROM "
    "thread_state WHERE dur < 10000000000 UNION ALL SELECT state, dur FROM folded_state)";

/* Wakeups by who and whom, from rows and folded rows alone; and each belongs to a kept wait. */
static const char from_wakeups[] =
    "SELECT waker, waker_utid, utid, sum(n), sum(dur) FROM (SELECT waker, ifnull(waker_utid, 0) AS "
    "waker_utid, utid, 1 AS n, dur FROM wakeup UNION ALL SELECT waker, waker_utid, utid, n_wakeups,"
    " dur FROM folded_wakeup) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
static const char waker_sums[] =
    "SELECT waker, waker_utid, utid, sum(n_wakeups), sum(blocked_ns) FROM waker_sum GROUP BY 1, 2, "
    "3 ORDER BY 1, 2, 3";
static const char wakeups_of_waits[] =
    "SELECT count(*), sum(w.dur) FROM wakeup w JOIN thread_state t ON t.utid = w.utid AND t.ts + "
    "t.dur = w.ts AND t.dur = w.dur AND t.waker = w.waker AND ifnull(t.waker_utid, 0) = "
    "ifnull(w.waker_utid, 0) AND ifnull(t.waker_callsite, 0) = ifnull(w.waker_callsite, 0)";

static inline void assert_same_query(sqlite3 *db, const char *a, const char *b)
{
    char *x = dump(db, a), *y = dump(db, b);
    assert_true(strlen(x) > 0);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static inline void check_counters(struct world *w, sqlite3 *db)
{
    struct buf expected = {0};
    buf_addf(&expected, "%u|", w->n_counters);
    for (unsigned i = 0; i < w->n_counters; i++) {
        buf_addf(&expected, "%llu|", (unsigned long long)w->counted[i]);
    }
    buf_addch(&expected, '\n');
    struct buf sql = {0};
    buf_addstr(&sql, "SELECT count(*)");
    for (unsigned i = 0; i < w->n_counters; i++) {
        buf_addf(&sql, ", sum(n_attributed) FILTER (WHERE slot = %u)", i);
    }
    buf_addstr(&sql, " FROM counter");
    char *counted = dump(db, buf_str(&sql));
    buf_free(&sql);
    assert_string_equal(counted, buf_str(&expected));
    free(counted);
    buf_free(&expected);
    assert_same_query(db, counters_from_samples, counters_from_summary);
    assert_same_query(db, counter_tree_is_consistent, "SELECT 0");
    assert_same_query(db, counters_of_frames,
                      "SELECT sum(c0), sum(c1), sum(c2), sum(c3) FROM sample");
    assert_same_query(db, counters_of_frames, counters_of_threads);
    if (w->n_counters == 0) {
        assert_same_query(db,
                          "SELECT (SELECT count(*) FROM call_tree_counter) + (SELECT count(*) FROM "
                          "symbol_counter) + (SELECT count(*) FROM frame_counter) + (SELECT "
                          "count(*) FROM thread_counter) + (SELECT count(*) FROM stack_counter)",
                          "SELECT 0");
    }
}

/* The tree as a whole, whatever its ids. */
static const char tree_shape[] =
    "SELECT depth, symbol, is_inlined, is_recursive, count(*), sum(n_self_samples), "
    "sum(self_on_cpu_ns), sum(n_total_samples), sum(total_on_cpu_ns), sum(n_self_waits), "
    "sum(self_off_cpu_ns), sum(n_total_waits), sum(total_off_cpu_ns) FROM call_tree GROUP BY 1, 2, "
    "3, 4 ORDER BY 1, 2, 3, 4";
static const char outermost_lines[] =
    "SELECT count(*) FROM frame_line l JOIN frame f ON f.id = l.frame WHERE l.symbol <> f.symbol "
    "AND l.depth = (SELECT max(m.depth) FROM frame_line m WHERE m.frame = l.frame)";
/* Nothing is left of what names said before. */
static const char left_over[] =
    "WITH RECURSIVE live(id) AS (SELECT node FROM callsite UNION SELECT t.parent FROM live CROSS "
    "JOIN parents t ON t.id = live.id WHERE t.parent > 0) SELECT (SELECT count(*) FROM call_tree "
    "WHERE n_total_samples = 0 AND n_total_waits = 0 AND id NOT IN live) + (SELECT count(*) FROM "
    "symbol_sum WHERE n_total_samples = 0 AND n_total_waits = 0 AND n_self_samples = 0) + (SELECT "
    "count(*) FROM symbol_thread_sum WHERE n_total_samples = 0) + (SELECT count(*) FROM stack "
    "WHERE node NOT IN (SELECT id FROM call_tree)) + (SELECT count(*) FROM call_tree WHERE parent "
    "> 0 AND parent NOT IN (SELECT id FROM call_tree)) + (SELECT count(*) FROM call_tree_counter "
    "WHERE node NOT IN (SELECT id FROM call_tree)) + (SELECT count(*) FROM symbol_counter WHERE "
    "symbol NOT IN (SELECT symbol FROM symbol_sum))";

static inline void check_late_names(sqlite3 *db)
{
    assert_same_query(db, outermost_lines, "SELECT 0");
    assert_same_query(db, left_over, "SELECT 0");
    assert_same_query(db,
                      "SELECT count(*) FROM callsite WHERE node NOT IN (SELECT id FROM "
                      "call_tree)",
                      "SELECT 0");
}

static inline void check_against_rebuild(struct world *w)
{
    char *before[N_SUMMARIES], *after[N_SUMMARIES];
    sqlite3 *db = open_file(w);
    assert_same_query(db, from_samples, from_summary);
    assert_same_query(db, tree_is_consistent, "SELECT 0");
    assert_same_query(db, waits_are_consistent, "SELECT 0");
    if (w->has_off_cpu) {
        assert_same_query(db, from_waits, from_markers);
        assert_same_query(db, thread_waits, thread_sums);
        assert_same_query(db, waits_in_buckets, short_waits);
        assert_same_query(db, from_wakeups, waker_sums);
        assert_same_query(db, wakeups_of_waits, "SELECT count(*), sum(dur) FROM wakeup");
    }
    check_counters(w, db);
    check_late_names(db);
    assert_same_query(db, "SELECT sum(n_total_samples) FROM call_tree WHERE parent = 0",
                      "SELECT n_samples FROM run");
    assert_same_query(db, "SELECT count(*), sum(on_cpu_ns), max(ts) - min(ts) >= 0 FROM sample",
                      "SELECT n_samples, on_cpu_ns, 1 FROM run");
    for (size_t i = 0; i < N_SUMMARIES; i++) {
        before[i] = dump(db, summaries[i]);
    }
    sqlite3_close(db);
    struct err e;
    assert_int_equal(ingest_rebuild(w->path, "server_died", &e), 0);
    db = open_file(w);
    for (size_t i = 0; i < N_SUMMARIES; i++) {
        after[i] = dump(db, summaries[i]);
        assert_string_equal(before[i], after[i]);
        free(before[i]);
        free(after[i]);
    }
    sqlite3_close(db);
}

/* What was counted in all is known at the end, for all but the last counter. */
static inline void end_counters(struct world *w)
{
    for (unsigned i = 0; i + 1 < w->n_counters; i++) {
        const struct event_counter_total total = {.head.ts = w->ts,
                                                  .slot = i,
                                                  .n_counted = w->counted[i] + i,
                                                  .enabled_ns = 1000,
                                                  .running_ns = 900};
        event_add_counter_total(&w->batch, &total);
    }
    feed(w);
}

#endif
