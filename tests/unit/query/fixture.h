/*
 * fixture.h - run files made from known samples.
 *
 * model_write() turns a struct model (model.h) into a run file, with summaries computed sample by
 * sample.
 */
#ifndef STAX_TESTS_QUERY_FIXTURE_H
#define STAX_TESTS_QUERY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "query/query.h"
#include "schema/db.h"

#include "model.h"

/* ---- writing ----------------------------------------------------------------------------------
 */

static const struct sql_block fixture_sql[] = {
    {"run",
     "INSERT OR REPLACE INTO run VALUES (7, ?1, ?2, 100, 1, 'app --fast', 5000000000, ?3,"
     " 1700000000000000000, ?4, 1000, 1000000, 1, 'host', 'Linux 6.18', 'x86_64', 2, '0.1.0',"
     " ?5, ?6, 0, ?7, ?8, 0, 0, 0, ?9, 0, ?10)"},
    {"ability", "INSERT OR IGNORE INTO ability VALUES ('kernel_stacks', 1, '', '')"},
    {"loss", "INSERT INTO loss VALUES (NULL, 5000000000, NULL, ?2, ?1)"},
    {"binary", "INSERT OR IGNORE INTO binary VALUES"
               " (?1, '/usr/bin/' || ?2, ?2, ?3, NULL, 1, 'symtab', NULL, NULL)"},
    {"symbol",
     "INSERT OR IGNORE INTO symbol VALUES (?1, ?2, ?3, NULL, ?4, ?5, 256, 'symtab', 'c', NULL,"
     " NULL)"},
    {"frame", "INSERT OR IGNORE INTO frame VALUES (?1, ?2, ?3, ?4)"},
    {"process", "INSERT OR IGNORE INTO process VALUES"
                " (?1, ?2, iif(?1 = 1, NULL, 1), ?3, ?3, 5000000000, NULL)"},
    {"thread", "INSERT OR IGNORE INTO thread VALUES (?1, ?2, ?3, ?4, ?5, 5000000000, NULL)"},
    {"callsite", "INSERT OR IGNORE INTO callsite VALUES (?1, ?2, ?3, ?4, ?5)"},
    {"sample", "INSERT INTO sample VALUES (?1, ?2, 0, ?3, ?4, ?5, NULL, NULL, NULL, NULL)"},
    {"node", "INSERT OR REPLACE INTO call_tree VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10,"
             " ?11, ?12, ?13)"},
    {"stack", "INSERT OR IGNORE INTO stack VALUES (?1, ?2, ?3)"},
    {"snapshot", "INSERT OR IGNORE INTO snapshot VALUES (?1, ?2, ?3)"},
    {"stack_sum", "INSERT OR IGNORE INTO stack_sum VALUES (?1, ?2, ?3, ?4)"},
    {"symbol_sum", "INSERT INTO symbol_thread_sum VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO"
                   " UPDATE SET n_self_samples = n_self_samples + ?3, self_on_cpu_ns ="
                   " self_on_cpu_ns + ?4, n_total_samples = n_total_samples + ?5,"
                   " total_on_cpu_ns = total_on_cpu_ns + ?6"},
    {"thread_sum", "INSERT INTO thread_sum (utid, n_samples, on_cpu_ns) VALUES (?1, 1, ?2) ON"
                   " CONFLICT DO UPDATE SET n_samples = n_samples + 1, on_cpu_ns = on_cpu_ns + ?2"},
    {"bucket", "INSERT INTO time_bucket (bucket, utid, n_samples, on_cpu_ns) VALUES (?1, ?2, 1, ?3)"
               " ON CONFLICT DO UPDATE SET n_samples = n_samples + 1, on_cpu_ns = on_cpu_ns + ?3"},
    {"frame_sum", "INSERT INTO frame_sum VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET"
                  " n_samples = n_samples + 1, on_cpu_ns = on_cpu_ns + ?3"},
    {"callsite_sum", "INSERT INTO callsite_sum VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET"
                     " n_samples = n_samples + 1, on_cpu_ns = on_cpu_ns + ?3"},
    {"clear_symbols", "DELETE FROM symbol_sum"},
    {"sum_symbols",
     "INSERT INTO symbol_sum SELECT symbol, sum(n_self_samples), sum(self_on_cpu_ns),"
     " sum(n_total_samples), sum(total_on_cpu_ns), 0, 0, 0, 0 FROM symbol_thread_sum"
     " GROUP BY symbol"},
    {"clear_waits", "DELETE FROM thread_state"},
    {"clear_folded", "DELETE FROM folded_state"},
    {"thread_end", "UPDATE thread SET end_ts = nullif(?2, 0) WHERE utid = ?1"},
    {"wait", "INSERT INTO thread_state VALUES (?1, ?2, ?3, ?4,"
             " iif(?7 = 'runnable', ?7, 'blocked'), nullif(?7, 'runnable'),"
             " iif(?7 = 'runnable', NULL, 'kernel_stack'), nullif(?5, 0),"
             " iif(?7 = 'runnable', NULL, iif(?6, 'switch', 'none')), NULL, NULL, NULL)"},
    {"folded", "INSERT INTO folded_state VALUES (?1, ?2, iif(?5 = 'runnable', ?5, 'blocked'),"
               " iif(?5 = 'runnable', '', ?5), ?3, 1, ?4, 1, 0) ON CONFLICT DO UPDATE SET"
               " n_intervals = n_intervals + 1, dur = dur + ?4"},
    {"clear_wait_sums", "DELETE FROM wait_sum"},
    {"sum_waits", "INSERT INTO wait_sum SELECT reason, sum(n), sum(dur), sum(m), sum(folded) FROM"
                  " (SELECT ifnull(reason, '') AS reason, 1 AS n, dur, 0 AS m, 0 AS folded FROM"
                  " thread_state UNION ALL SELECT reason, 0, 0, n_intervals, dur FROM"
                  " folded_state) GROUP BY 1"},
    {"clear_wakeups", "DELETE FROM wakeup"},
    {"clear_folded_wakeups", "DELETE FROM folded_wakeup"},
    {"clear_wakers", "DELETE FROM waker_sum"},
    {"woken", "UPDATE thread_state SET waker_utid = nullif(?2, 0), waker_callsite = nullif(?3, 0),"
              " waker = ?4 WHERE id = ?1"},
    {"wakeup", "INSERT INTO wakeup SELECT NULL, ts + dur, utid, dur, waker, (SELECT tid FROM thread"
               " WHERE thread.utid = waker_utid), waker_utid, waker_callsite FROM thread_state"
               " WHERE id = ?1"},
    {"folded_wakeup", "INSERT INTO folded_wakeup VALUES (?1, ?2, ?5, ?3, 1, ?4, 1) ON CONFLICT DO"
                      " UPDATE SET n_wakeups = n_wakeups + 1, dur = dur + ?4"},
    {"waker_sum", "INSERT INTO waker_sum VALUES (?5, ?1, ?2, ?3, 1, ?4) ON CONFLICT DO UPDATE SET"
                  " n_wakeups = n_wakeups + 1, blocked_ns = blocked_ns + ?4"},
    {"symbol_waits",
     "INSERT INTO symbol_sum VALUES (?1, 0, 0, 0, 0, ?2, ?3, ?4, ?5) ON CONFLICT DO"
     " UPDATE SET n_self_waits = n_self_waits + ?2, self_off_cpu_ns = self_off_cpu_ns +"
     " ?3, n_total_waits = n_total_waits + ?4, total_off_cpu_ns = total_off_cpu_ns + ?5"},
    {"ledger",
     "INSERT INTO thread_sum VALUES (?1, 0, 0, ?12, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0,"
     " ?13, NULL, NULL, NULL, 0, NULL, NULL, NULL) ON CONFLICT DO UPDATE SET runnable_ns = ?12, "
     "idle_ns = ?2, "
     "lock_ns ="
     " ?3, sem_ns = ?4, ipc_ns = ?5, io_r_ns = ?6, io_w_ns = ?7, ready_ns = ?8, sleep_ns = ?9,"
     " conn_ns = ?10, other_ns = ?11, unknown_ns = 0, n_switches = ?13"},
    {"open", "UPDATE thread_sum SET open_ts = ?2, open_state = iif(?3 IN ('running', 'runnable'),"
             " ?3, 'blocked'), open_reason = iif(?3 IN ('running', 'runnable'), NULL, ?3)"
             " WHERE utid = ?1"},
    {NULL, NULL},
};

static inline void fixture_put(struct db *db, const char *what, const int64_t *values, int n,
                               const char *text, const char *text2, int first_text)
{
    const struct sql_block *block = fixture_sql;

    while (strcmp(block->name, what) != 0) {
        block++;
    }
    struct stmt *s = db_stmt(db, block);
    for (int i = 0, p = 1; i < n; i++, p++) {
        while ((text && p == first_text) || (text2 && p == first_text + 1)) {
            p++;
        }
        stmt_bind_int(s, p, values[i]);
    }
    if (text) {
        stmt_bind_text(s, first_text, text);
    }
    if (text2) {
        stmt_bind_text(s, first_text + 1, text2);
    }
    stmt_run(s);
}

#define PUT(db, what, ...)                                                                         \
    do {                                                                                           \
        const int64_t put_[] = {__VA_ARGS__};                                                      \
        fixture_put(db, what, put_, (int)(sizeof(put_) / sizeof(put_[0])), NULL, NULL, 0);         \
    } while (0)

struct fixture_node {
    uint32_t parent, symbol, depth;
    bool is_recursive;
    int64_t n_self, self_ns, n_total, total_ns;
    int64_t n_self_waits, self_off_ns, n_waits, total_off_ns;
};

/* Everything that has an id, numbered in the order of the samples. */
struct fixture {
    struct map frames, callsites, tree, stacks;
    uint32_t n_frames, n_callsites, n_nodes, n_stacks;
    struct fixture_node nodes[20000];
    struct {
        uint32_t utid, node;
        int64_t n_samples, on_cpu_ns;
    } all_stacks[20000];
    uint32_t wait_nodes[MAX_WAITS]; /* 0: runnable */
};

static inline uint32_t fixture_frame(struct fixture *x, struct db *db, const struct model *m,
                                     uint32_t symbol, uint32_t offset)
{
    uint32_t *id = map_put(&x->frames, map_pair(symbol, offset));

    if (!*id) {
        *id = ++x->n_frames;
        PUT(db, "frame", *id, m->binaries[symbol], symbol * 256 + offset, symbol);
    }
    return *id;
}

static inline uint32_t fixture_node(struct fixture *x, uint32_t parent, uint32_t symbol)
{
    uint32_t *id = map_put(&x->tree, map_pair(parent, symbol));

    if (!*id) {
        assert_true(x->n_nodes + 1 < 20000);
        *id = ++x->n_nodes;
        struct fixture_node *node = &x->nodes[*id];
        *node = (struct fixture_node){.parent = parent, .symbol = symbol};
        for (uint32_t up = parent; up; up = x->nodes[up].parent) {
            node->is_recursive = node->is_recursive || x->nodes[up].symbol == symbol;
            node->depth++;
        }
    }
    return *id;
}

static inline uint32_t fixture_callsite(struct fixture *x, struct db *db, uint32_t parent,
                                        uint32_t frame, uint32_t depth, uint32_t node)
{
    uint32_t *id = map_put(&x->callsites, map_pair(parent, frame));

    if (!*id) {
        *id = ++x->n_callsites;
        PUT(db, "callsite", *id, parent, frame, depth, node);
    }
    return *id;
}

static inline void fixture_add(struct fixture *x, struct db *db, const struct model *m,
                               size_t index, bool is_new)
{
    const struct model_sample *s = &m->samples[index];
    uint32_t node = 0, callsite = 0, leaf = s->stack[s->depth - 1];
    uint32_t frame = 0;

    for (uint32_t i = 0; i < s->depth; i++) {
        bool is_leaf = i + 1 == s->depth;
        frame = fixture_frame(x, db, m, s->stack[i], is_leaf ? s->offset : 1);
        node = fixture_node(x, node, s->stack[i]);
        if (!is_leaf) {
            callsite = fixture_callsite(x, db, callsite, frame, i, node);
        }
        bool is_again = false;
        for (uint32_t j = 0; j < i; j++) {
            is_again = is_again || s->stack[j] == s->stack[i];
        }
        x->nodes[node].n_total++;
        x->nodes[node].total_ns += s->on_cpu_ns;
        if (is_new) {
            PUT(db, "symbol_sum", s->utid, s->stack[i], 0, 0, !is_again,
                is_again ? 0 : s->on_cpu_ns);
        }
    }
    x->nodes[node].n_self++;
    x->nodes[node].self_ns += s->on_cpu_ns;
    uint32_t *stack = map_put(&x->stacks, map_pair(s->utid, node));
    if (!*stack) {
        assert_true(x->n_stacks + 1 < 20000);
        *stack = ++x->n_stacks;
        x->all_stacks[*stack].utid = s->utid;
        x->all_stacks[*stack].node = node;
    }
    x->all_stacks[*stack].n_samples++;
    x->all_stacks[*stack].on_cpu_ns += s->on_cpu_ns;
    if (!is_new) {
        return;
    }
    PUT(db, "symbol_sum", s->utid, leaf, 1, s->on_cpu_ns, 0, 0);
    PUT(db, "thread_sum", s->utid, s->on_cpu_ns);
    PUT(db, "bucket", (s->ts - START_TS) / (100 * MS), s->utid, s->on_cpu_ns);
    PUT(db, "frame_sum", frame, s->utid, s->on_cpu_ns);
    PUT(db, "callsite_sum", callsite, s->utid, s->on_cpu_ns);
    if (index >= m->n_folded) {
        PUT(db, "sample", s->ts, s->utid, callsite, frame, s->on_cpu_ns);
    }
}

/* Who ended a wait. */
static inline void fixture_woken(struct fixture *x, struct db *db, const struct model *m,
                                 size_t index)
{
    const struct model_wait *w = &m->waits[index];
    uint32_t node = 0, callsite = 0;

    for (uint32_t i = 0; !w->is_folded && i < w->waker_depth; i++) {
        uint32_t frame = fixture_frame(x, db, m, w->waker_stack[i], 1);
        node = fixture_node(x, node, w->waker_stack[i]);
        callsite = fixture_callsite(x, db, callsite, frame, i, node);
    }
    if (w->is_folded) {
        fixture_put(db, "folded_wakeup",
                    (const int64_t[]){(w->ts + w->dur - START_TS) / (100 * MS), w->utid,
                                      w->waker_utid, w->dur},
                    4, w->waker, NULL, 5);
    } else {
        fixture_put(db, "woken", (const int64_t[]){(int64_t)index + 1, w->waker_utid, callsite}, 3,
                    w->waker, NULL, 4);
        PUT(db, "wakeup", (int64_t)index + 1);
    }
    fixture_put(db, "waker_sum", (const int64_t[]){w->waker_utid, w->utid, callsite, w->dur}, 4,
                w->waker, NULL, 5);
}

/* Nodes and callsite of a wait; its sums. */
static inline void fixture_wait(struct fixture *x, struct db *db, const struct model *m,
                                size_t index)
{
    const struct model_wait *w = &m->waits[index];
    uint32_t node = 0, callsite = 0;

    for (uint32_t i = 0; w->marker && i < w->depth; i++) {
        uint32_t frame = fixture_frame(x, db, m, w->stack[i], 1);
        node = fixture_node(x, node, w->stack[i]);
        callsite = fixture_callsite(x, db, callsite, frame, i, node);
    }
    if (w->is_folded) {
        fixture_put(
            db, "folded",
            (const int64_t[]){(w->ts + w->dur - START_TS) / (100 * MS), w->utid, callsite, w->dur},
            4, model_reasons[w->reason], NULL, 5);
    } else {
        fixture_put(
            db, "wait",
            (const int64_t[]){(int64_t)index + 1, w->ts, w->dur, w->utid, callsite, w->depth > 1},
            6, model_reasons[w->reason], NULL, 7);
    }
    if (!w->marker) {
        return;
    }
    if (w->waker) {
        fixture_woken(x, db, m, index);
    }
    node = fixture_node(x, node, w->marker);
    x->wait_nodes[index] = node;
    x->nodes[node].n_self_waits++;
    x->nodes[node].self_off_ns += w->dur;
    for (; node; node = x->nodes[node].parent) {
        x->nodes[node].n_waits++;
        x->nodes[node].total_off_ns += w->dur;
    }
}

static inline void fixture_wait_symbols(const struct fixture *x, struct db *db,
                                        const struct model *m)
{
    for (size_t i = 0; i < m->n_waits; i++) {
        int64_t dur = m->waits[i].dur;
        for (uint32_t node = x->wait_nodes[i]; node; node = x->nodes[node].parent) {
            bool is_leaf = node == x->wait_nodes[i];
            if (!x->nodes[node].is_recursive) {
                PUT(db, "symbol_waits", x->nodes[node].symbol, is_leaf, is_leaf ? dur : 0, 1, dur);
            }
        }
    }
}

static inline void fixture_ledgers(struct db *db, const struct model *m)
{
    for (uint32_t utid = 1; m->has_off_cpu && utid <= m->n_threads; utid++) {
        int64_t values[13] = {utid};
        for (size_t i = 0; i < m->n_waits; i++) {
            if (m->waits[i].utid == utid) {
                values[1 + m->waits[i].reason] += m->waits[i].dur;
                values[12]++;
            }
        }
        fixture_put(db, "ledger", values, 13, NULL, NULL, 0);
        if (m->threads[utid].open_ts) {
            fixture_put(db, "open", (const int64_t[]){utid, m->threads[utid].open_ts}, 2,
                        model_reasons[m->threads[utid].open], NULL, 3);
        }
        PUT(db, "thread_end", utid, m->threads[utid].end_ts);
    }
}

static inline void fixture_snapshot(struct fixture *x, struct db *db, const struct model *m,
                                    size_t which)
{
    size_t n = m->snapshots[which];
    int64_t ts = n ? m->samples[n - 1].ts : START_TS - 1;

    PUT(db, "snapshot", (int64_t)which + 1, ts, (int64_t)n);
    for (uint32_t i = 1; i <= x->n_stacks; i++) {
        PUT(db, "stack", i, x->all_stacks[i].utid, x->all_stacks[i].node);
        PUT(db, "stack_sum", (int64_t)which + 1, i, x->all_stacks[i].n_samples,
            x->all_stacks[i].on_cpu_ns);
    }
}

static inline void fixture_names(struct db *db, const struct model *m)
{
    for (uint32_t i = 1; i <= m->n_binaries; i++) {
        const char *name = m->binary_names[i];
        fixture_put(db, "binary", (const int64_t[]){i}, 1, name,
                    strcmp(name, "app") == 0        ? "main"
                    : strcmp(name, "[kernel]") == 0 ? "kernel"
                                                    : "shared",
                    2);
    }
    for (uint32_t i = 1; i <= m->n_symbols; i++) {
        fixture_put(db, "symbol", (const int64_t[]){i, m->binaries[i], i * 256}, 3, m->kinds[i],
                    m->names[i], 2);
    }
    for (uint32_t i = 1; i <= m->n_processes; i++) {
        fixture_put(db, "process", (const int64_t[]){i, m->processes[i].pid}, 2,
                    m->processes[i].name, NULL, 3);
    }
    for (uint32_t i = 1; i <= m->n_threads; i++) {
        fixture_put(db, "thread",
                    (const int64_t[]){i, m->threads[i].upid, m->threads[i].tid,
                                      m->threads[i].tid == m->threads[i].pid},
                    4, m->threads[i].name, NULL, 4);
    }
}

static inline void fixture_run(struct db *db, const struct model *m)
{
    int64_t data_ts = START_TS, on_cpu_ns = 0, n_truncated = 0, n_unnamed = 0;

    for (size_t i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        data_ts = s->ts;
        on_cpu_ns += s->on_cpu_ns;
        n_truncated += strcmp(m->kinds[s->stack[1]], "marker") == 0;
        n_unnamed += strcmp(m->kinds[s->stack[s->depth - 1]], "unnamed") == 0;
    }
    int64_t end_ts = START_TS + m->next_ns;
    int64_t raw_from_ts = m->n_folded ? m->samples[m->n_folded - 1].ts + 1 : 0;
    fixture_put(db, "run",
                (const int64_t[]){end_ts, data_ts, (int64_t)m->n_samples, on_cpu_ns, n_truncated,
                                  n_unnamed, raw_from_ts, m->has_off_cpu},
                8, m->is_recording ? "recording" : "stopped", m->is_recording ? "" : "stopped", 1);
}

/* Writes what the file does not hold yet, as one commit. */
static inline void model_write(struct model *m, const char *path)
{
    struct db *db = NULL;
    struct err e = {0};
    struct fixture *x = mem_new(1, sizeof(*x));
    size_t which = 0, wait = 0;

    if (db_open(&db, path, m->n_written ? DB_WRITE : DB_CREATE, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    db_begin(db);
    fixture_names(db, m);
    fixture_put(db, "ability", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "clear_waits", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "clear_folded", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "clear_wakeups", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "clear_folded_wakeups", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "clear_wakers", NULL, 0, NULL, NULL, 0);
    for (; m->n_losses > 0; m->n_losses--) {
        const int64_t n = m->losses[m->n_losses - 1].n;
        fixture_put(db, "loss", &n, 1, m->losses[m->n_losses - 1].kind, NULL, 2);
    }
    for (size_t i = 0; i <= m->n_samples; i++) {
        while (which < m->n_snapshots && m->snapshots[which] == i) {
            fixture_snapshot(x, db, m, which++);
        }
        while (wait < m->n_waits && m->waits[wait].after == i) {
            fixture_wait(x, db, m, wait++);
        }
        if (i < m->n_samples) {
            fixture_add(x, db, m, i, i >= m->n_written);
        }
    }
    for (uint32_t i = 1; i <= x->n_nodes; i++) {
        const struct fixture_node *n = &x->nodes[i];
        PUT(db, "node", n->parent, i, n->symbol, n->depth, n->is_recursive, n->n_self, n->self_ns,
            n->n_total, n->total_ns, n->n_self_waits, n->self_off_ns, n->n_waits, n->total_off_ns);
    }
    fixture_put(db, "clear_symbols", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "sum_symbols", NULL, 0, NULL, NULL, 0);
    fixture_wait_symbols(x, db, m);
    fixture_put(db, "clear_wait_sums", NULL, 0, NULL, NULL, 0);
    fixture_put(db, "sum_waits", NULL, 0, NULL, NULL, 0);
    fixture_ledgers(db, m);
    fixture_run(db, m);
    db_commit(db);
    if (db_status(db, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    db_close(db);
    m->n_written = m->n_samples;
    map_free(&x->frames);
    map_free(&x->callsites);
    map_free(&x->tree);
    map_free(&x->stacks);
    free(x);
}

/* Half of the code of every third function is in a part of it, which counts for the function. */
static inline void fixture_split(const char *path)
{
    static const struct sql_block parts = {
        "parts", "INSERT OR IGNORE INTO symbol SELECT id + 1000, kind, name, name || '.part.0',"
                 " binary, rel_address + 128, 128, source, language, id, NULL FROM symbol"
                 " WHERE kind = 'function' AND whole IS NULL AND id % 3 = 0"};
    static const struct sql_block frames = {
        "frames", "UPDATE frame SET symbol = symbol + 1000 WHERE id % 2 = 0 AND symbol + 1000 IN"
                  " (SELECT id FROM symbol)"};
    struct db *db = NULL;
    struct err e = {0};

    assert_int_equal(db_open(&db, path, DB_WRITE, &e), 0);
    db_begin(db);
    stmt_run(db_stmt(db, &parts));
    stmt_run(db_stmt(db, &frames));
    db_commit(db);
    assert_int_equal(db_status(db, &e), 0);
    db_close(db);
}

/* A path for a run file of this test process; fixture_remove() deletes it. */
static inline void fixture_path(char *path, size_t n)
{
    const char *folder = getenv("TMPDIR");

    snprintf(path, n, "%s/stax-query-%d.stax", folder ? folder : "/tmp", (int)getpid());
    unlink(path);
}

static inline void fixture_remove(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        struct buf file = {0};
        buf_addf(&file, "%s%s", path, endings[i]);
        unlink(buf_str(&file));
        buf_free(&file);
    }
}

#endif
