/*
 * fixture_counters.h - counters for the runs of fixture.h: what sample number i counted is a
 * formula, and counters_write() puts it and its sums into a run file, sample by sample.
 */
#ifndef STAX_TESTS_QUERY_FIXTURE_COUNTERS_H
#define STAX_TESTS_QUERY_FIXTURE_COUNTERS_H

#include "fixture.h"

enum { MODEL_COUNTERS = 3 };

static const char *const model_counters[MODEL_COUNTERS] = {"cycles", "instructions", "page-faults"};

static inline int64_t model_count(size_t sample, int slot)
{
    int64_t mixed = (int64_t)((sample + 1) * 2654435761u >> 5) % 100003;
    if (slot == 2) {
        return sample % 3 ? 0 : mixed % 17;
    }
    return slot == 0 ? 2000000 + mixed : (2000000 + mixed) * (int64_t)(1 + sample % 7) / 3;
}

static const struct sql_block counters_sql[] = {
    {"counter", "INSERT OR REPLACE INTO counter VALUES (?1, ?2, 'event', ?3, ?4, ?5, ?5 * 3 / 4)"},
    {"sample", "UPDATE sample SET c0 = ?2, c1 = ?3, c2 = ?4 WHERE ts = ?1"},
    {"node", "INSERT INTO call_tree_counter VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7, NULL) ON"
             " CONFLICT DO UPDATE SET self_c0 = self_c0 + ?2, self_c1 = self_c1 + ?3, self_c2 ="
             " self_c2 + ?4, total_c0 = total_c0 + ?5, total_c1 = total_c1 + ?6, total_c2 ="
             " total_c2 + ?7"},
    {"symbol", "INSERT INTO symbol_counter VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7, NULL) ON"
               " CONFLICT DO UPDATE SET self_c0 = self_c0 + ?2, self_c1 = self_c1 + ?3, self_c2 ="
               " self_c2 + ?4, total_c0 = total_c0 + ?5, total_c1 = total_c1 + ?6, total_c2 ="
               " total_c2 + ?7"},
    {"thread", "INSERT INTO thread_counter VALUES (?1, ?2, ?3, ?4, NULL) ON CONFLICT DO UPDATE SET"
               " c0 = c0 + ?2, c1 = c1 + ?3, c2 = c2 + ?4"},
    {"stack", "INSERT INTO stack_counter SELECT ?1, id, ?4, ?5, ?6, NULL FROM stack WHERE utid = ?2"
              " AND node = ?3 ON CONFLICT DO UPDATE SET c0 = c0 + ?4, c1 = c1 + ?5, c2 = c2 + ?6"},
    {"frames", "INSERT INTO frame_counter SELECT frame, utid, sum(c0), sum(c1), sum(c2), NULL FROM"
               " sample GROUP BY frame, utid"},
    {"clear_frames", "DELETE FROM frame_counter"},
    {"child", "SELECT id FROM call_tree WHERE parent = ?1 AND symbol = ?2"},
    {"clear_nodes", "DELETE FROM call_tree_counter"},
    {"clear_symbols", "DELETE FROM symbol_counter"},
    {"clear_threads", "DELETE FROM thread_counter"},
    {"clear_stacks", "DELETE FROM stack_counter"},
    {NULL, NULL},
};

static inline struct stmt *counters_stmt(struct db *db, const char *name)
{
    const struct sql_block *block = counters_sql;

    while (strcmp(block->name, name) != 0) {
        block++;
    }
    return db_stmt(db, block);
}

static inline void counters_put(struct db *db, const char *name, const int64_t *values, int n)
{
    struct stmt *s = counters_stmt(db, name);

    for (int i = 0; i < n; i++) {
        stmt_bind_int(s, i + 1, values[i]);
    }
    stmt_run(s);
}

static inline int64_t counters_child(struct db *db, int64_t parent, uint32_t symbol)
{
    struct stmt *s = counters_stmt(db, "child");

    stmt_bind_int(s, 1, parent);
    stmt_bind_int(s, 2, symbol);
    assert_true(stmt_next(s));
    int64_t id = stmt_int(s, 0);
    stmt_reset(s);
    return id;
}

static inline void counters_add(struct db *db, const struct model *m, size_t i)
{
    const struct model_sample *s = &m->samples[i];
    const int64_t c[MODEL_COUNTERS] = {model_count(i, 0), model_count(i, 1), model_count(i, 2)};
    int64_t node = 0;

    counters_put(db, "sample", (const int64_t[]){s->ts, c[0], c[1], c[2]}, 4);
    counters_put(db, "thread", (const int64_t[]){s->utid, c[0], c[1], c[2]}, 4);
    for (uint32_t d = 0; d < s->depth; d++) {
        bool is_leaf = d + 1 == s->depth, is_first = true;
        for (uint32_t k = 0; k < d; k++) {
            is_first = is_first && s->stack[k] != s->stack[d];
        }
        int64_t self[3] = {0}, total[3] = {0};
        memcpy(self, c, is_leaf ? sizeof(self) : 0);
        memcpy(total, c, is_first ? sizeof(total) : 0);
        node = counters_child(db, node, s->stack[d]);
        counters_put(db, "node",
                     (const int64_t[]){node, self[0], self[1], self[2], c[0], c[1], c[2]}, 7);
        counters_put(
            db, "symbol",
            (const int64_t[]){s->stack[d], self[0], self[1], self[2], total[0], total[1], total[2]},
            7);
    }
    for (size_t k = 0; k < m->n_snapshots; k++) {
        if (i < m->snapshots[k]) {
            counters_put(db, "stack",
                         (const int64_t[]){(int64_t)k + 1, s->utid, node, c[0], c[1], c[2]}, 6);
        }
    }
}

/* Everything anew, after each model_write(). n_counted is a tenth more than samples tell of, and
 * the counters ran 3 of 4 ns. */
static inline void counters_write(const struct model *m, const char *path)
{
    struct db *db = NULL;
    struct err e = {0};

    assert_int_equal(db_open(&db, path, DB_WRITE, &e), 0);
    db_begin(db);
    counters_put(db, "clear_nodes", NULL, 0);
    counters_put(db, "clear_symbols", NULL, 0);
    counters_put(db, "clear_threads", NULL, 0);
    counters_put(db, "clear_stacks", NULL, 0);
    counters_put(db, "clear_frames", NULL, 0);
    for (size_t i = 0; i < m->n_samples; i++) {
        counters_add(db, m, i);
    }
    counters_put(db, "frames", NULL, 0);
    for (int slot = 0; slot < MODEL_COUNTERS; slot++) {
        int64_t n = 0;
        for (size_t i = 0; i < m->n_samples; i++) {
            n += model_count(i, slot);
        }
        struct stmt *s = counters_stmt(db, "counter");
        stmt_bind_int(s, 1, slot);
        stmt_bind_text(s, 2, model_counters[slot]);
        stmt_bind_int(s, 3, n);
        stmt_bind_int(s, 4, n + n / 10);
        stmt_bind_int(s, 5, 1000);
        stmt_run(s);
    }
    db_commit(db);
    if (db_status(db, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    db_close(db);
}

#endif
