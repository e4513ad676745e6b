/*
 * rebuild.c - recomputes every summary of a run file from its facts and names (ingest.h).
 *
 * Runs the samples once more through the same interning code that ingest uses. Where sample rows
 * were dropped to stay within the size bound, the snapshot they ended at is the base, and the sums
 * per code location, thread and time bucket, which cannot be derived any more, are kept as they
 * are.
 */
#include "ingest/ingest.h"

#include <string.h>

#include "base/mem.h"
#include "capture/event.h"
#include "ingest/intern.h"
#include "ingest/lines.h"
#include "ingest/store.h"
#include "ingest/store.sql.h"
#include "ingest/waits.h"
#include "schema/db.h"

struct rebuild {
    struct store store;
    struct intern intern;
    int64_t raw_from_ts, data_ts, on_cpu_ns;
    int64_t start_ts;
    uint64_t counters[EVENT_COUNTERS_MAX]; /* of all samples */
    uint32_t markers[EVENT_N_REASONS];     /* symbols of [lock] and the like, 0: none */
    bool is_recording;
    bool is_renamed; /* names changed: nodes and stacks of before mean nothing */
    bool has_off_cpu;
    bool has_buckets; /* time buckets can be derived: no rows were dropped or added up */
    bool is_corrupt;  /* a row named something that is not there */
};

/* A column that must name one of the n rows before it. */
static uint32_t id_at(struct rebuild *r, struct stmt *st, int column, size_t least, size_t n)
{
    int64_t id = stmt_int(st, column);
    if (id < (int64_t)least || id > (int64_t)n) {
        r->is_corrupt = true;
        return 0;
    }
    return (uint32_t)id;
}

static void read_run(struct rebuild *r)
{
    struct stmt *st = db_stmt(r->store.db, &sql_read_run);
    if (stmt_next(st)) {
        r->raw_from_ts = stmt_int(st, read_run_c_raw_from_ts);
        r->start_ts = stmt_int(st, read_run_c_start_ts);
        r->has_off_cpu = stmt_int(st, read_run_c_has_off_cpu) != 0;
        r->data_ts = stmt_int(st, read_run_c_data_ts);
        r->has_buckets = r->raw_from_ts == 0 && !stmt_int(st, read_run_c_has_wide);
        r->is_recording = stmt_text(st, read_run_c_state)[0] == 'r';
    }
    stmt_reset(st);
    st = db_stmt(r->store.db, &sql_read_n_counters);
    r->store.n_counters = stmt_next(st) ? (size_t)stmt_int(st, read_n_counters_c_n) : 0;
    stmt_reset(st);
    intern_count(&r->intern, r->store.n_counters);
}

/* Symbols and frames keep their ids; only what summaries need of them is loaded. */
static void load_names(struct rebuild *r)
{
    struct intern *in = &r->intern;
    struct stmt *st = db_stmt(r->store.db, &sql_read_symbols);
    while (stmt_next(st)) {
        in->symbols_written = in->n_symbols = id_at(r, st, read_symbols_c_id, 1, UINT32_MAX);
        const char *name = stmt_text(st, read_symbols_c_name);
        for (unsigned i = 0; i < EVENT_N_REASONS; i++) {
            if (strcmp(name, waits_marker_name(i)) == 0) {
                r->markers[i] = (uint32_t)in->n_symbols;
            }
        }
        intern_set_whole(in, (uint32_t)in->n_symbols,
                         id_at(r, st, read_symbols_c_whole, 0, UINT32_MAX));
    }
    for (size_t i = 0; i < in->n_wholes; i++) {
        r->is_corrupt |= in->symbol_wholes[i] > in->n_symbols;
    }
    st = db_stmt(r->store.db, &sql_read_frames);
    while (stmt_next(st)) {
        intern_frame(in, (uint32_t)stmt_int(st, read_frames_c_binary),
                     (uint64_t)stmt_int(st, read_frames_c_rel_address),
                     id_at(r, st, read_frames_c_symbol, 1, in->n_symbols));
    }
    in->frames_written = in->n_frames;
}

/* What is inlined at each frame, outermost first; the outermost row is the frame's own function. */
static void load_inlined(struct rebuild *r)
{
    struct intern *in = &r->intern;
    uint32_t last = 0, inlined[LINES_MAX_DEPTH];
    size_t n = 0;
    struct stmt *st = db_stmt(r->store.db, &sql_read_inlined);
    while (stmt_next(st)) {
        uint32_t frame = id_at(r, st, read_inlined_c_frame, 1, in->n_frames);
        uint32_t symbol = id_at(r, st, read_inlined_c_symbol, 1, in->n_symbols);
        if (frame < last || !frame || !symbol || n == LINES_MAX_DEPTH) {
            r->is_corrupt = true;
            stmt_reset(st);
            return;
        }
        if (frame == last) {
            inlined[n++] = symbol;
        } else {
            if (n) {
                intern_set_inlined(in, last, inlined, n);
            }
            n = 0;
        }
        last = frame;
    }
    if (n) {
        intern_set_inlined(in, last, inlined, n);
    }
    intern_relayout(in); /* of nothing yet: that is how lists become those of frames */
    in->has_new_layout = false;
}

/* A column that must name a tree node, or 0 where least is 0. */
static uint32_t node_at(struct rebuild *r, struct stmt *st, int column, size_t least)
{
    uint32_t id = id_at(r, st, column, least, r->intern.tree.n_rows);
    bool is_node = !id || r->intern.nodes[id - 1].is_live;
    r->is_corrupt |= !is_node;
    return is_node ? id : 0;
}

/* Ids of nodes have gaps where names changed; larger ones are of no file of ours. */
static bool skip_nodes(struct rebuild *r, int64_t id, int64_t n_rows)
{
    struct intern *in = &r->intern;
    if (id <= (int64_t)in->tree.n_rows || id > n_rows * 16 + 1000000 || id >= UINT32_MAX / 2) {
        r->is_corrupt = true;
        return false;
    }
    while ((int64_t)in->tree.n_rows + 1 < id) {
        intern_skip_node(in);
    }
    return true;
}

/* Tree nodes and stacks keep the ids they have, so that kept snapshots still name them. */
static void load_tree(struct rebuild *r)
{
    struct intern *in = &r->intern;
    if (r->is_renamed && !r->raw_from_ts) {
        return;
    }
    struct stmt *st = db_stmt(r->store.db, &sql_read_nodes);
    while (stmt_next(st)) {
        if (!skip_nodes(r, stmt_int(st, read_nodes_c_id), stmt_int(st, read_nodes_c_n))) {
            stmt_reset(st);
            break;
        }
        uint32_t parent = node_at(r, st, read_nodes_c_parent, 0);
        uint32_t symbol = id_at(r, st, read_nodes_c_symbol, 1, in->n_symbols);
        if (stmt_int(st, read_nodes_c_is_inlined)) {
            intern_inlined_node(in, parent, symbol);
        } else {
            intern_node(in, parent, symbol);
        }
    }
    st = db_stmt(r->store.db, &sql_read_stacks);
    while (stmt_next(st)) {
        uint32_t node = node_at(r, st, read_stacks_c_node, 1);
        if (node) {
            intern_stack(in, (uint32_t)stmt_int(st, read_stacks_c_utid), node);
        }
    }
}

static void load_callsites(struct rebuild *r)
{
    struct intern *in = &r->intern;
    struct stmt *st = db_stmt(r->store.db, &sql_read_callsites);
    while (stmt_next(st)) {
        uint32_t parent = id_at(r, st, read_callsites_c_parent, 0, in->n_callsites);
        uint32_t frame = id_at(r, st, read_callsites_c_frame, 1, in->n_frames);
        if (frame) {
            intern_callsite(in, parent, frame);
        }
    }
    in->callsites_written = in->n_callsites;
}

static void read_counters(struct rebuild *r, struct stmt *st, int first_column,
                          uint64_t counters[EVENT_COUNTERS_MAX])
{
    for (size_t i = 0; i < r->store.n_counters; i++) {
        counters[i] = (uint64_t)stmt_int(st, first_column + (int)i);
        r->counters[i] += counters[i];
    }
}

static void load_base_counters(struct rebuild *r)
{
    size_t n = r->store.n_counters;
    struct stmt *st = db_stmt(r->store.db, &sql_read_base_counters);
    stmt_bind_int(st, read_base_counters_p_ts, r->raw_from_ts - 1);
    while (stmt_next(st)) {
        uint32_t id = id_at(r, st, read_base_counters_c_stack, 1, r->intern.n_stacks);
        if (id && n) {
            uint64_t counters[EVENT_COUNTERS_MAX];
            read_counters(r, st, read_base_counters_c_c0, counters);
            memcpy(intern_stack_counters(&r->intern, id), counters, n * sizeof(*counters));
            memcpy(intern_stack_counters(&r->intern, id) + n, counters, n * sizeof(*counters));
        }
    }
}

static void load_base(struct rebuild *r)
{
    struct stmt *st = db_stmt(r->store.db, &sql_read_base);
    stmt_bind_int(st, read_base_p_ts, r->raw_from_ts - 1);
    while (stmt_next(st)) {
        uint32_t id = id_at(r, st, read_base_c_stack, 1, r->intern.n_stacks);
        if (!id) {
            continue;
        }
        struct stack *stack = &r->intern.stacks[id - 1];
        mem_reserve(&r->intern.batch, &r->intern.cap_batch, r->intern.n_batch + 1,
                    sizeof(*r->intern.batch));
        r->intern.batch[r->intern.n_batch++] =
            (struct batch_entry){.utid = stack->utid, .stack = id};
        stack->n_batch = stack->n_samples = (uint64_t)stmt_int(st, read_base_c_n_samples);
        stack->batch_ns = stack->on_cpu_ns = stmt_int(st, read_base_c_on_cpu_ns);
        r->intern.n_samples += stack->n_samples;
        r->on_cpu_ns += stack->on_cpu_ns;
    }
    r->store.snapshot_samples = r->intern.n_samples;
    load_base_counters(r);
}

static void clear(struct rebuild *r)
{
    static const struct sql_block *const always[] = {
        &sql_clear_call_tree,         &sql_clear_symbol_sum,     &sql_clear_symbol_thread_sum,
        &sql_clear_call_tree_counter, &sql_clear_symbol_counter, &sql_clear_stack,
        &sql_clear_wait_sum,          &sql_rebuild_wait_sum};
    static const struct sql_block *const with_all_rows[] = {
        &sql_clear_frame_sum,       &sql_clear_callsite_sum,  &sql_clear_waker_sum,
        &sql_rebuild_waker_sum,     &sql_clear_frame_counter, &sql_clear_thread_counter,
        &sql_rebuild_thread_counter};
    static const struct sql_block *const with_buckets[] = {&sql_clear_time_bucket,
                                                           &sql_rebuild_time_bucket};
    static const struct sql_block *const without_off_cpu[] = {&sql_clear_thread_sum,
                                                              &sql_rebuild_thread_sum};
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        stmt_run(db_stmt(r->store.db, always[i]));
    }
    for (size_t i = 0; r->raw_from_ts == 0 && i < sizeof(with_all_rows) / sizeof(with_all_rows[0]);
         i++) {
        stmt_run(db_stmt(r->store.db, with_all_rows[i]));
    }
    for (size_t i = 0; r->has_buckets && i < 2; i++) {
        stmt_run(db_stmt(r->store.db, with_buckets[i]));
    }
    for (size_t i = 0; r->raw_from_ts == 0 && !r->has_off_cpu && i < 2; i++) {
        stmt_run(db_stmt(r->store.db, without_off_cpu[i]));
    }
    struct stmt *st = db_stmt(r->store.db, &sql_clear_snapshots);
    stmt_bind_int(st, clear_snapshots_p_ts, r->raw_from_ts);
    stmt_run(st);
    stmt_run(db_stmt(r->store.db, &sql_clear_stack_sums));
    stmt_run(db_stmt(r->store.db, &sql_clear_stack_counters));
    st = db_stmt(r->store.db, &sql_read_last_snapshot);
    if (stmt_next(st)) {
        r->store.n_snapshots = (uint32_t)stmt_int(st, read_last_snapshot_c_id);
    }
    stmt_reset(st);
}

/* Feeds the sample rows, with a snapshot wherever ingest would have made one. */
static void replay_samples(struct rebuild *r)
{
    struct intern *in = &r->intern;
    int64_t ts = 0;
    struct stmt *st = db_stmt(r->store.db, &sql_read_samples);
    while (stmt_next(st)) {
        uint32_t callsite = id_at(r, st, read_samples_c_callsite, 1, in->n_callsites);
        uint32_t frame = id_at(r, st, read_samples_c_frame, 1, in->n_frames);
        if (r->is_corrupt) {
            break;
        }
        ts = stmt_int(st, read_samples_c_ts);
        int64_t on_cpu_ns = stmt_int(st, read_samples_c_on_cpu_ns);
        uint64_t counters[EVENT_COUNTERS_MAX];
        read_counters(r, st, read_samples_c_c0, counters);
        intern_sample(in, callsite, frame, (uint32_t)stmt_int(st, read_samples_c_utid), on_cpu_ns,
                      counters);
        r->on_cpu_ns += on_cpu_ns;
        if (store_is_snapshot_due(&r->store, in)) {
            store_snapshot(&r->store, in, ts);
        }
    }
    stmt_reset(st);
    intern_settle(in);
    if (in->n_samples > r->store.snapshot_samples) {
        store_snapshot(&r->store, in, ts);
    }
}

static uint8_t reason_at(struct rebuild *r, struct stmt *st, int column)
{
    static const char *const reasons[] = {
#define X(name, text) text,
        EVENT_REASONS(X)
#undef X
    };
    for (uint8_t i = 0; i < EVENT_N_REASONS; i++) {
        if (strcmp(stmt_text(st, column), reasons[i]) == 0) {
            return i;
        }
    }
    r->is_corrupt = true;
    return EVENT_REASON_OTHER;
}

static void replay_wait(struct rebuild *r, uint8_t reason, uint32_t callsite, uint64_t n,
                        int64_t dur_ns)
{
    if (!r->markers[reason]) {
        r->is_corrupt = true;
    }
    if (!r->is_corrupt) {
        intern_waits(&r->intern, callsite, r->markers[reason], n, dur_ns);
    }
}

static void replay_states(struct rebuild *r)
{
    size_t n_callsites = r->intern.n_callsites;
    struct stmt *st = db_stmt(r->store.db, &sql_read_states);
    while (stmt_next(st)) {
        struct state_row row = {.ts = stmt_int(st, read_states_c_ts),
                                .dur_ns = stmt_int(st, read_states_c_dur),
                                .utid = (uint32_t)stmt_int(st, read_states_c_utid),
                                .state = EVENT_STATE_RUNNABLE};
        if (stmt_int(st, read_states_c_is_blocked)) {
            row.state = EVENT_STATE_BLOCKED;
            row.reason = reason_at(r, st, read_states_c_reason);
            replay_wait(r, row.reason, id_at(r, st, read_states_c_callsite, 1, n_callsites), 1,
                        row.dur_ns);
        }
        if (r->has_buckets) {
            store_add_off_cpu(&r->store, r->start_ts, &row);
        }
    }
}

static void replay_folded(struct rebuild *r)
{
    size_t n_callsites = r->intern.n_callsites;
    struct stmt *st = db_stmt(r->store.db, &sql_read_folded_states);
    while (stmt_next(st)) {
        struct folded_row row = {.bucket = stmt_int(st, read_folded_states_c_bucket),
                                 .utid = (uint32_t)stmt_int(st, read_folded_states_c_utid),
                                 .n = (uint64_t)stmt_int(st, read_folded_states_c_n_intervals),
                                 .dur_ns = stmt_int(st, read_folded_states_c_dur),
                                 .state = EVENT_STATE_RUNNABLE};
        if (stmt_int(st, read_folded_states_c_is_blocked)) {
            row.state = EVENT_STATE_BLOCKED;
            row.reason = reason_at(r, st, read_folded_states_c_reason);
            replay_wait(r, row.reason, id_at(r, st, read_folded_states_c_callsite, 1, n_callsites),
                        row.n, row.dur_ns);
        }
        if (r->has_buckets) {
            store_add_folded(&r->store, &row);
        }
    }
}

/* Intervals once more through the call tree and the time buckets; sums of threads in SQL. */
static void replay_waits(struct rebuild *r)
{
    if (!r->has_off_cpu) {
        return;
    }
    replay_states(r);
    replay_folded(r);
    store_off_cpu(&r->store);
    if (r->raw_from_ts == 0) {
        stmt_run(db_stmt(r->store.db, &sql_rebuild_thread_samples));
    }
    stmt_run(db_stmt(r->store.db, &sql_rebuild_thread_waits));
}

static void write_all(struct rebuild *r)
{
    store_identities(&r->store, &r->intern);
    for (size_t i = 0; i < r->intern.n_callsites; i++) {
        struct stmt *st = db_stmt(r->store.db, &sql_set_callsite_node);
        stmt_bind_int(st, set_callsite_node_p_id, (int64_t)i + 1);
        stmt_bind_int(st, set_callsite_node_p_node, r->intern.callsites[i].node);
        stmt_run(st);
    }
    if (r->raw_from_ts) {
        lazy_free(&r->intern.frame_sums);
        lazy_free(&r->intern.callsite_sums);
    }
    store_sums(&r->store, &r->intern, true);
    struct stmt *st = db_stmt(r->store.db, &sql_rebuild_run);
    stmt_bind_int(st, rebuild_run_p_n_samples, (int64_t)r->intern.n_samples);
    stmt_bind_int(st, rebuild_run_p_on_cpu_ns, r->on_cpu_ns);
    stmt_bind_int(st, rebuild_run_p_is_renamed, r->is_renamed);
    stmt_run(st);
    st = db_stmt(r->store.db, &sql_rebuild_counter);
    for (size_t i = 0; i < r->store.n_counters; i++) {
        stmt_bind_int(st, rebuild_counter_p_slot, (int64_t)i);
        stmt_bind_int(st, rebuild_counter_p_n_attributed, (int64_t)r->counters[i]);
        stmt_run(st);
    }
}

/* All of it, in a transaction that has begun. */
static int rebuild_rows(struct rebuild *r, struct err *e)
{
    read_run(r);
    load_names(r);
    load_inlined(r);
    load_tree(r);
    load_callsites(r);
    clear(r);
    if (r->raw_from_ts) {
        load_base(r);
    }
    replay_samples(r);
    replay_waits(r);
    write_all(r);
    int rc = db_status(r->store.db, e);
    if (rc == 0 && r->is_corrupt) {
        rc = err_set(e, STAX_ECORRUPT, "rows of this run name others that are not there");
    }
    return rc;
}

int ingest_rebuild(const char *path, const char *stop_reason_if_recording, struct err *e)
{
    struct rebuild r = {0};
    int rc = db_open(&r.store.db, path, DB_WRITE, e);
    if (rc) {
        return rc;
    }
    db_begin(r.store.db);
    rc = rebuild_rows(&r, e);
    if (rc == 0 && r.is_recording) {
        rc = store_end(&r.store, stop_reason_if_recording, r.data_ts, e);
    }
    if (rc == 0) {
        db_commit(r.store.db);
        rc = db_status(r.store.db, e);
    }
    if (rc) {
        db_clear_error(r.store.db);
        db_rollback(r.store.db);
    }
    db_checkpoint(r.store.db, true);
    store_fini(&r.store);
    intern_free(&r.intern);
    return rc;
}

int ingest_rebuild_names(struct db *db, struct err *e)
{
    struct rebuild r = {.store.db = db, .is_renamed = true};
    int rc = rebuild_rows(&r, e);
    r.store.db = NULL; /* the caller's */
    store_fini(&r.store);
    intern_free(&r.intern);
    return rc;
}
