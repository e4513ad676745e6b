/*
 * test_attribution.c - whose code an address is: every sample's stack of files is compared with a
 * model that keeps one file per page and process, for random mappings, forks, execs and stacks.
 */
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
#include "ingest/ingest.h"

enum { N_PIDS = 3, FIRST_PID = 100, N_PAGES = 8, PAGE = 0x1000, BASE = 0x10000, DEEPEST = 6 };

struct world {
    unsigned seed;
    int64_t ts;
    char file[N_PIDS][N_PAGES]; /* name of the file mapped there, 0: none */
    struct buf batch;
    struct buf expected; /* a line per sample: files from the leaf outwards */
};

static unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)rand_r(&w->seed) % n;
}

static void map_file(struct world *w, int who)
{
    unsigned from = pick(w, N_PAGES), n = 1 + pick(w, 3);
    n = from + n > N_PAGES ? N_PAGES - from : n;
    char name = (char)('a' + pick(w, 5)), path[8] = "/lib/?";
    path[5] = name;
    struct event_mapping m = {.head.ts = w->ts,
                              .pid = FIRST_PID + who,
                              .start = BASE + from * PAGE,
                              .size = (uint64_t)n * PAGE,
                              .inode = (uint64_t)name};
    event_add_mapping(&w->batch, &m, path, strlen(path));
    memset(&w->file[who][from], name, n);
}

static void change_process(struct world *w, int who)
{
    int parent = (int)pick(w, N_PIDS);
    if (pick(w, 2) && parent != who) {
        event_add_process(&w->batch, EVENT_PROCESS_END, w->ts, FIRST_PID + who, 0, NULL, 0, NULL,
                          0);
        event_add_process(&w->batch, EVENT_PROCESS_START, w->ts, FIRST_PID + who,
                          FIRST_PID + parent, "p", 1, NULL, 0);
        event_add_thread(&w->batch, EVENT_THREAD_START, w->ts, FIRST_PID + who, FIRST_PID + who,
                         "p", 1);
        memcpy(w->file[who], w->file[parent], N_PAGES);
        return;
    }
    event_add_process(&w->batch, EVENT_EXEC, w->ts, FIRST_PID + who, 0, "p", 1, NULL, 0);
    memset(w->file[who], 0, N_PAGES);
}

static char file_at(const struct world *w, int who, uint64_t address)
{
    return address >= BASE && address < BASE + N_PAGES * PAGE
               ? w->file[who][(address - BASE) / PAGE]
               : 0;
}

static void add_sample(struct world *w, int who)
{
    struct event_sample s = {.head.ts = w->ts,
                             .pid = FIRST_PID + who,
                             .tid = FIRST_PID + who,
                             .n_addresses = (uint16_t)(1 + pick(w, DEEPEST)),
                             .on_cpu_ns = 1000};
    s.n_kernel = (uint16_t)(pick(w, 4) ? 0 : pick(w, s.n_addresses + 1u));
    uint64_t *at = event_add_sample(&w->batch, &s);
    bool is_cut = false;
    for (unsigned i = 0; i < s.n_addresses; i++) {
        if (i < s.n_kernel) {
            at[i] = 0xffffffff81000000u + pick(w, 4) * 64;
            buf_addch(&w->expected, 'K');
            continue;
        }
        /* few addresses, so that callers stay equal while what is mapped there changes */
        at[i] = BASE + (uint64_t)((i * 3) % (N_PAGES + 1)) * PAGE + pick(w, 2) * 0x10 + 1;
        bool is_return = i != 0 && i != s.n_kernel;
        char file = file_at(w, who, at[i] - is_return);
        is_cut |= !file && is_return;
        if (!is_cut) {
            buf_addch(&w->expected, file ? file : '?');
        }
    }
    buf_addch(&w->expected, '\n');
}

static const char chains[] =
    "WITH RECURSIVE up(ts, depth, frame, callsite) AS ("
    " SELECT ts, 0, frame, callsite FROM sample"
    " UNION ALL SELECT up.ts, up.depth + 1, c.frame, c.parent FROM up JOIN callsite c ON c.id = "
    "up.callsite)"
    " SELECT up.ts, CASE b.kind WHEN 'kernel' THEN 'K' WHEN 'unknown' THEN '?' ELSE b.name END"
    " FROM up JOIN frame f ON f.id = up.frame JOIN binary b ON b.id = f.binary"
    " WHERE b.kind <> 'marker' ORDER BY up.ts, up.depth";

static void read_chains(const char *path, struct buf *out)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, chains, -1, &st, NULL), SQLITE_OK);
    int64_t last = 0;
    while (sqlite3_step(st) == SQLITE_ROW) {
        if (last && sqlite3_column_int64(st, 0) != last) {
            buf_addch(out, '\n');
        }
        last = sqlite3_column_int64(st, 0);
        buf_addstr(out, (const char *)sqlite3_column_text(st, 1));
    }
    buf_addch(out, '\n');
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void play(struct world *w, struct ingest *in)
{
    for (int i = 0; i < 4000; i++) {
        int who = (int)pick(w, N_PIDS);
        w->ts += 1000;
        switch (pick(w, 12)) {
        case 0:
            change_process(w, who);
            break;
        case 1:
        case 2:
            map_file(w, who);
            break;
        default:
            add_sample(w, who);
        }
        if (pick(w, 50) == 0) {
            ingest_feed(in, w->batch.data, w->batch.len);
            buf_clear(&w->batch);
        }
    }
    ingest_feed(in, w->batch.data, w->batch.len);
}

/* Bytes that two strings have in common from their start. */
static size_t common_prefix(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n]) {
        n++;
    }
    return n;
}

static void stacks_name_the_files_mapped_then(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct world w = {.seed = seed, .ts = 1000000000};
        char path[64];
        snprintf(path, sizeof(path), "/tmp/stax-attribution-%d.stax", (int)getpid());
        struct ingest_options options = {.path = path, .kallsyms = "", .without_files = true};
        struct ingest_run run = {.id = 1,
                                 .pid = FIRST_PID,
                                 .command = "test",
                                 .start_ts = w.ts,
                                 .frequency_hz = 900,
                                 .period_ns = 1000,
                                 .stax_version = "test"};
        struct ingest *in;
        struct err e;
        assert_int_equal(ingest_open(&in, &options, &run, NULL, 0, &e), 0);
        play(&w, in);
        assert_int_equal(ingest_finish(in, "stopped", w.ts, NULL), 0);
        ingest_close(in);
        struct buf got = {0};
        read_chains(path, &got);
        size_t same = common_prefix(buf_str(&got), buf_str(&w.expected));
        if (same < w.expected.len || same < got.len) {
            size_t from = same > 60 ? same - 60 : 0;
            fail_msg("seed %u, byte %zu: got ...%.90s, expected ...%.90s", seed, same,
                     buf_str(&got) + from, buf_str(&w.expected) + from);
        }
        unlink(path);
        buf_clear(&got);
        for (size_t i = 0; i < 2; i++) {
            buf_addf(&got, "%s-%s", path, i ? "wal" : "shm");
            unlink(buf_str(&got));
            buf_clear(&got);
        }
        buf_free(&got);
        buf_free(&w.batch);
        buf_free(&w.expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stacks_name_the_files_mapped_then)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
