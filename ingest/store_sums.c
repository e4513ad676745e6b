/* store_sums.c - the rows of summaries that a commit brings up to date (store_internal.h). */
#include "ingest/store_internal.h"

#include <string.h>

#include "ingest/store.sql.h"

enum {
    SNAPSHOT_SAMPLES_MIN = 50000, /* between two snapshots */
    SNAPSHOT_STACK_FACTOR = 2     /* ... and at least so many times the stacks */
};
/* How long a commit may write late summaries, their big changes aside: a tenth of its interval. An
 * ordinary load needs less, so that nothing is late; under any other the backlog grows and the cost
 * of a commit does not. */
static const int64_t LATE_NODES_NS = 4000000;
static const int64_t LATE_SYMBOLS_NS = 2000000;
static const int64_t LATE_LOCATIONS_NS = 1000000;

void store_off_cpu(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_add_off_cpu);
    for (size_t i = 0; i < s->n_off_cpu;) {
        struct off_cpu_row sum = s->off_cpu[i++];
        for (; i < s->n_off_cpu && s->off_cpu[i].utid == sum.utid &&
               s->off_cpu[i].bucket == sum.bucket;
             i++) {
            sum.runnable_ns += s->off_cpu[i].runnable_ns;
            sum.blocked_ns += s->off_cpu[i].blocked_ns;
        }
        stmt_bind_int(st, add_off_cpu_p_bucket, sum.bucket);
        stmt_bind_int(st, add_off_cpu_p_utid, sum.utid);
        stmt_bind_int(st, add_off_cpu_p_runnable_ns, sum.runnable_ns);
        stmt_bind_int(st, add_off_cpu_p_blocked_ns, sum.blocked_ns);
        store_run_row(s, st);
    }
    s->n_off_cpu = 0;
}

void store_wait_sums(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_add_wait_sum);
    for (size_t i = 0; i <= EVENT_N_REASONS; i++) {
        struct wait_sum *sum = &s->wait_sums[i];
        if (sum->n || sum->n_folded) {
            stmt_bind_text(st, add_wait_sum_p_reason,
                           i < EVENT_N_REASONS ? store_reason_texts[i] : "");
            stmt_bind_int(st, add_wait_sum_p_n_intervals, (int64_t)sum->n);
            stmt_bind_int(st, add_wait_sum_p_dur, sum->dur_ns);
            stmt_bind_int(st, add_wait_sum_p_n_folded_intervals, (int64_t)sum->n_folded);
            stmt_bind_int(st, add_wait_sum_p_folded_dur, sum->folded_ns);
            store_run_row(s, st);
            *sum = (struct wait_sum){0};
        }
    }
}

static void bind_time(struct stmt *st, const struct thread_time *time)
{
    static const int columns[EVENT_N_REASONS] = {
        [EVENT_REASON_IDLE] = put_thread_sum_p_idle_ns,
        [EVENT_REASON_LOCK] = put_thread_sum_p_lock_ns,
        [EVENT_REASON_SEM] = put_thread_sum_p_sem_ns,
        [EVENT_REASON_IPC] = put_thread_sum_p_ipc_ns,
        [EVENT_REASON_IO_R] = put_thread_sum_p_io_r_ns,
        [EVENT_REASON_IO_W] = put_thread_sum_p_io_w_ns,
        [EVENT_REASON_READY] = put_thread_sum_p_ready_ns,
        [EVENT_REASON_SLEEP] = put_thread_sum_p_sleep_ns,
        [EVENT_REASON_CONN] = put_thread_sum_p_conn_ns,
        [EVENT_REASON_OTHER] = put_thread_sum_p_other_ns,
    };
    bool is_open = time->is_known && !time->has_ended;
    bool is_blocked = is_open && time->open_state == EVENT_STATE_BLOCKED;
    for (size_t i = 0; i < EVENT_N_REASONS; i++) {
        stmt_bind_int(st, columns[i], time->reasons_ns[i]);
    }
    stmt_bind_int(st, put_thread_sum_p_guessed_ns, time->guessed_ns);
    stmt_bind_int(st, put_thread_sum_p_runnable_ns, time->runnable_ns);
    stmt_bind_int(st, put_thread_sum_p_unknown_ns, time->unknown_ns);
    stmt_bind_int(st, put_thread_sum_p_n_switches, (int64_t)time->n_switches);
    stmt_bind_text(st, put_thread_sum_p_open_state,
                   is_open ? store_state_texts[time->open_state] : NULL);
    stmt_bind_text(st, put_thread_sum_p_open_reason,
                   is_blocked ? store_reason_texts[time->open_reason] : NULL);
    store_bind_ts(st, put_thread_sum_p_open_ts, is_open ? time->open_ts : 0);
    bool is_told = is_blocked && time->open_callsite;
    store_bind_id(st, put_thread_sum_p_open_callsite, is_told ? time->open_callsite : 0);
    stmt_bind_text(st, put_thread_sum_p_open_reason_from,
                   is_told ? store_reason_source_texts[time->open_reason_from] : NULL);
    stmt_bind_text(st, put_thread_sum_p_open_stack_from,
                   is_told ? store_stack_source_texts[time->open_stack_from] : NULL);
}

static void bind_no_time(struct stmt *st)
{
    for (int p = put_thread_sum_p_runnable_ns; p <= put_thread_sum_p_open_stack_from; p++) {
        stmt_bind_null(st, p);
    }
}

static void write_thread_sum(struct store *s, uint32_t utid, const struct thread *th)
{
    struct stmt *st = db_stmt(s->db, &sql_put_thread_sum);
    int64_t on_cpu_ns = th->on_cpu_ns;
    stmt_bind_int(st, put_thread_sum_p_utid, utid);
    stmt_bind_int(st, put_thread_sum_p_n_samples, (int64_t)th->n_samples);
    if (s->has_off_cpu) {
        /* Exact, also where no sample was; newer samples may be ahead of it. */
        on_cpu_ns = th->time.on_cpu_ns > on_cpu_ns ? th->time.on_cpu_ns : on_cpu_ns;
        bind_time(st, &th->time);
    } else {
        bind_no_time(st);
    }
    stmt_bind_int(st, put_thread_sum_p_on_cpu_ns, on_cpu_ns);
    store_run_row(s, st);
}

static void write_bucket(struct store *s, struct stmt *st, uint32_t utid, const struct bucket *b)
{
    if (b->bucket < 0) {
        return; /* it was never sampled */
    }
    stmt_bind_int(st, put_time_bucket_p_bucket, b->bucket);
    stmt_bind_int(st, put_time_bucket_p_utid, utid);
    stmt_bind_int(st, put_time_bucket_p_n_samples, (int64_t)b->n_samples);
    stmt_bind_int(st, put_time_bucket_p_on_cpu_ns, b->on_cpu_ns);
    stmt_bind_int(st, put_time_bucket_p_has_off_cpu, s->has_off_cpu);
    store_run_row(s, st);
}

void store_thread_sums(struct store *s, struct tasks *t)
{
    struct stmt *bucket = db_stmt(s->db, &sql_put_time_bucket);
    for (size_t i = 0; i < s->n_buckets; i++) {
        write_bucket(s, bucket, s->buckets[i].utid, &s->buckets[i].sums);
    }
    s->n_buckets = 0;
    for (size_t i = 0; i < t->n_touched; i++) {
        struct thread *th = tasks_thread(t, t->touched[i]);
        th->has_new_sums = false;
        write_thread_sum(s, t->touched[i], th);
        write_bucket(s, bucket, t->touched[i], &th->bucket);
        if (s->n_counters && th->n_samples) {
            struct stmt *st = db_stmt(s->db, &sql_put_thread_counters);
            stmt_bind_int(st, put_thread_counters_p_utid, t->touched[i]);
            store_bind_counters(st, put_thread_counters_p_c0, th->counters, s->n_counters);
            store_run_row(s, st);
        }
    }
    t->n_touched = 0;
}

/* One column of a summary row: a parameter of the statement that writes it, and the sum it takes.
 */
struct sum_column {
    int parameter; /* 0: ends the list */
    size_t offset; /* in struct sums */
};

/* A summary that is kept in a lazy table, and how its rows are written. */
struct sum_table {
    size_t offset; /* of its lazy table in struct intern */
    const struct sql_block *sql;
    const struct sql_block *zero_sql, *zero_counter_sql; /* take a row of zeros away; NULL: kept */
    const int64_t *budget_ns;                            /* for late rows, in a commit */
    int a, b, row_id; /* parameters of the key and the row id, 0: not among the columns */
    struct sum_column columns[N_SUMS + 1]; /* of its samples */
    struct sum_column waits[N_SUMS + 1];
    /* Its counters: the statement, and its parameters; those of a row follow each other. */
    const struct sql_block *counter_sql; /* NULL: it has none */
    int counter_a, counter_b, counter_row_id;
    int self_counters, total_counters; /* the first of EVENT_COUNTERS_MAX; 0: not kept */
};

#define SUM(block, column, field)                                                                  \
    {                                                                                              \
        block##_p_##column, offsetof(struct sums, field)                                           \
    }
#define SAMPLE_SUMS(block)                                                                         \
    SUM(block, n_self_samples, n_self), SUM(block, self_on_cpu_ns, self_ns),                       \
        SUM(block, n_total_samples, n_total), SUM(block, total_on_cpu_ns, total_ns)
#define WAIT_SUMS(block)                                                                           \
    SUM(block, n_self_waits, n_self), SUM(block, self_off_cpu_ns, self_ns),                        \
        SUM(block, n_total_waits, n_total), SUM(block, total_off_cpu_ns, total_ns)
#define LOCATION_SUMS(block) SUM(block, n_samples, n_self), SUM(block, on_cpu_ns, self_ns)

/* The first of them is the tree. */
static const struct sum_table sum_tables[] = {
    {.offset = offsetof(struct intern, tree),
     .sql = &sql_update_node,
     .budget_ns = &LATE_NODES_NS,
     .a = update_node_p_parent,
     .row_id = update_node_p_id,
     .columns = {SAMPLE_SUMS(update_node)},
     .waits = {WAIT_SUMS(update_node)},
     .counter_sql = &sql_put_node_counters,
     .counter_row_id = put_node_counters_p_node,
     .self_counters = put_node_counters_p_self_c0,
     .total_counters = put_node_counters_p_total_c0},
    {.offset = offsetof(struct intern, symbol_sums),
     .sql = &sql_put_symbol_sum,
     .zero_sql = &sql_drop_symbol_sum,
     .zero_counter_sql = &sql_drop_symbol_counters,
     .budget_ns = &LATE_SYMBOLS_NS,
     .a = put_symbol_sum_p_symbol,
     .columns = {SAMPLE_SUMS(put_symbol_sum)},
     .waits = {WAIT_SUMS(put_symbol_sum)},
     .counter_sql = &sql_put_symbol_counters,
     .counter_a = put_symbol_counters_p_symbol,
     .self_counters = put_symbol_counters_p_self_c0,
     .total_counters = put_symbol_counters_p_total_c0},
    {.offset = offsetof(struct intern, thread_sums),
     .sql = &sql_put_symbol_thread_sum,
     .zero_sql = &sql_drop_symbol_thread_sum,
     .budget_ns = &LATE_SYMBOLS_NS,
     .a = put_symbol_thread_sum_p_utid,
     .b = put_symbol_thread_sum_p_symbol,
     .columns = {SAMPLE_SUMS(put_symbol_thread_sum)}},
    {.offset = offsetof(struct intern, frame_sums),
     .sql = &sql_put_frame_sum,
     .budget_ns = &LATE_LOCATIONS_NS,
     .a = put_frame_sum_p_frame,
     .b = put_frame_sum_p_utid,
     .columns = {LOCATION_SUMS(put_frame_sum)},
     .counter_sql = &sql_put_frame_counters,
     .counter_a = put_frame_counters_p_frame,
     .counter_b = put_frame_counters_p_utid,
     .self_counters = put_frame_counters_p_c0},
    {.offset = offsetof(struct intern, callsite_sums),
     .sql = &sql_put_callsite_sum,
     .budget_ns = &LATE_LOCATIONS_NS,
     .a = put_callsite_sum_p_callsite,
     .b = put_callsite_sum_p_utid,
     .columns = {LOCATION_SUMS(put_callsite_sum)}},
};

static void bind_if(struct stmt *st, int parameter, int64_t value)
{
    if (parameter) {
        stmt_bind_int(st, parameter, value);
    }
}

static void bind_sums(struct stmt *st, const struct sum_column *columns, const struct sums *sums)
{
    for (const struct sum_column *c = columns; c->parameter; c++) {
        int64_t value; /* counts are unsigned, and as wide */
        memcpy(&value, (const char *)sums + c->offset, sizeof(value));
        stmt_bind_int(st, c->parameter, value);
    }
}

_Static_assert((int)put_node_counters_p_self_c3 == (int)put_node_counters_p_self_c0 + 3 &&
                   (int)put_node_counters_p_total_c3 == (int)put_node_counters_p_total_c0 + 3 &&
                   (int)put_symbol_counters_p_self_c3 == (int)put_symbol_counters_p_self_c0 + 3 &&
                   (int)put_symbol_counters_p_total_c3 == (int)put_symbol_counters_p_total_c0 + 3 &&
                   (int)put_frame_counters_p_c3 == (int)put_frame_counters_p_c0 + 3 &&
                   (int)put_thread_counters_p_c3 == (int)put_thread_counters_p_c0 + 3 &&
                   (int)insert_stack_counters_p_c3 == (int)insert_stack_counters_p_c0 + 3,
               "counters stand side by side in store.sql");

struct sum_writer {
    struct store *store;
    const struct sum_table *table;
    const struct lazy_table *rows;
};

static void write_counters(const struct sum_writer *w, uint32_t id)
{
    const struct sum_table *table = w->table;
    const struct lazy_row *row = lazy_row(w->rows, id);
    const uint64_t *counters = lazy_counters(w->rows, id);
    size_t n = w->rows->n_counters;
    struct stmt *st = db_stmt(w->store->db, table->counter_sql);
    bind_if(st, table->counter_a, row->a);
    bind_if(st, table->counter_b, row->b);
    bind_if(st, table->counter_row_id, id);
    store_bind_counters(st, table->self_counters, counters, n);
    if (table->total_counters) {
        store_bind_counters(st, table->total_counters, counters + n, n);
    }
    store_run_row(w->store, st);
}

static bool is_zero(const struct sums *sums)
{
    return sums->n_self == 0 && sums->n_total == 0;
}

/* After a relayout: nothing leads to it any more. */
static void drop_row(const struct sum_writer *w, const struct lazy_row *row)
{
    struct stmt *st = db_stmt(w->store->db, w->table->zero_sql);
    bind_if(st, w->table->a, row->a);
    bind_if(st, w->table->b, row->b);
    store_run_row(w->store, st);
    if (w->rows->n_counters && w->table->zero_counter_sql) {
        st = db_stmt(w->store->db, w->table->zero_counter_sql);
        bind_if(st, w->table->counter_a, row->a);
        store_run_row(w->store, st);
    }
}

static void write_sums(void *ctx, uint32_t id, const struct lazy_row *row, const struct sums *waits)
{
    const struct sum_writer *w = ctx;
    if (w->table->zero_sql && is_zero(&row->sums) && is_zero(waits)) {
        drop_row(w, row);
        return;
    }
    struct stmt *st = db_stmt(w->store->db, w->table->sql);
    bind_if(st, w->table->a, row->a);
    bind_if(st, w->table->b, row->b);
    bind_if(st, w->table->row_id, id);
    bind_sums(st, w->table->columns, &row->sums);
    bind_sums(st, w->table->waits, waits);
    store_run_row(w->store, st);
    if (w->rows->n_counters) {
        write_counters(w, id);
    }
}

void store_sums(struct store *s, struct intern *in, bool all)
{
    for (size_t i = 0; i < sizeof(sum_tables) / sizeof(sum_tables[0]); i++) {
        struct lazy_table *t = (void *)((char *)in + sum_tables[i].offset);
        struct sum_writer w = {s, &sum_tables[i], t};
        lazy_flush(t, all ? INT64_MAX : *w.table->budget_ns, write_sums, &w);
    }
}

static void insert_node(struct store *s, struct intern *in, uint32_t id)
{
    static const struct sum_column columns[] = {SAMPLE_SUMS(insert_node), {0, 0}};
    static const struct sum_column waits[] = {WAIT_SUMS(insert_node), {0, 0}};
    struct stmt *st = db_stmt(s->db, &sql_insert_node);
    const struct lazy_row *row = lazy_row(&in->tree, id);
    struct node *node = &in->nodes[id - 1];
    stmt_bind_int(st, insert_node_p_parent, row->a);
    stmt_bind_int(st, insert_node_p_id, id);
    stmt_bind_int(st, insert_node_p_symbol, node_symbol(row));
    stmt_bind_int(st, insert_node_p_depth, node->depth);
    stmt_bind_int(st, insert_node_p_is_inlined, node->is_inlined);
    stmt_bind_int(st, insert_node_p_is_recursive, node->is_recursive);
    bind_sums(st, columns, &row->sums);
    bind_sums(st, waits, lazy_waits(&in->tree, id));
    store_run_row(s, st);
    if (in->n_counters) {
        write_counters(&(struct sum_writer){s, &sum_tables[0], &in->tree}, id);
    }
    lazy_mark_written(&in->tree, id);
    node->is_written = true;
}

static void delete_node(struct store *s, struct intern *in, uint32_t id)
{
    struct stmt *st = db_stmt(s->db, &sql_drop_node);
    stmt_bind_int(st, drop_node_p_parent, lazy_row(&in->tree, id)->a);
    stmt_bind_int(st, drop_node_p_id, id);
    store_run_row(s, st);
    if (in->n_counters) {
        st = db_stmt(s->db, &sql_drop_node_counters);
        stmt_bind_int(st, drop_node_counters_p_node, id);
        store_run_row(s, st);
    }
    in->nodes[id - 1].is_written = false;
}

void store_new_nodes(struct store *s, struct intern *in)
{
    for (size_t i = 0; i < in->n_changed_nodes; i++) {
        uint32_t id = in->changed_nodes[i];
        const struct node *node = &in->nodes[id - 1];
        if (node->is_live && !node->is_written) {
            insert_node(s, in, id);
        } else if (!node->is_live && node->is_written) {
            delete_node(s, in, id);
        }
        if (!node->is_live) {
            lazy_mark_written(&in->tree, id);
        }
    }
    in->n_changed_nodes = 0;
    while (in->nodes_written < in->tree.n_rows) {
        uint32_t id = (uint32_t)++in->nodes_written;
        if (in->nodes[id - 1].is_live) {
            insert_node(s, in, id);
        } else {
            lazy_mark_written(&in->tree, id);
        }
    }
}

void store_new_layout(struct store *s, struct intern *in)
{
    static const struct sql_block *const steps[] = {&sql_clear_stack, &sql_clear_all_snapshots,
                                                    &sql_clear_stack_sums,
                                                    &sql_clear_stack_counters};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        store_run_row(s, db_stmt(s->db, steps[i]));
    }
    s->n_snapshots = 0;
    s->snapshot_samples = 0;
    in->has_new_layout = false;
}

static void snapshot_counters(struct store *s, const struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_stack_counters);
    stmt_bind_int(st, insert_stack_counters_p_snapshot, s->n_snapshots);
    for (uint32_t id = 1; id <= in->n_stacks; id++) {
        if (in->stacks[id - 1].n_samples) {
            stmt_bind_int(st, insert_stack_counters_p_stack, id);
            store_bind_counters(st, insert_stack_counters_p_c0, intern_stack_counters(in, id),
                                in->n_counters);
            store_run_row(s, st);
        }
    }
}

void store_snapshot(struct store *s, const struct intern *in, int64_t ts)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_snapshot);
    stmt_bind_int(st, insert_snapshot_p_id, ++s->n_snapshots);
    stmt_bind_int(st, insert_snapshot_p_ts, ts);
    stmt_bind_int(st, insert_snapshot_p_n_samples, (int64_t)in->n_samples);
    store_run_row(s, st);
    st = db_stmt(s->db, &sql_insert_stack_sum);
    stmt_bind_int(st, insert_stack_sum_p_snapshot, s->n_snapshots);
    for (size_t i = 0; i < in->n_stacks; i++) {
        const struct stack *stack = &in->stacks[i];
        if (stack->n_samples) {
            stmt_bind_int(st, insert_stack_sum_p_stack, (int64_t)i + 1);
            stmt_bind_int(st, insert_stack_sum_p_n_samples, (int64_t)stack->n_samples);
            stmt_bind_int(st, insert_stack_sum_p_on_cpu_ns, stack->on_cpu_ns);
            store_run_row(s, st);
        }
    }
    if (in->n_counters) {
        snapshot_counters(s, in);
    }
    s->snapshot_samples = in->n_samples;
}

bool store_is_snapshot_due(const struct store *s, const struct intern *in)
{
    uint64_t due = in->n_stacks * SNAPSHOT_STACK_FACTOR;
    return in->n_samples - s->snapshot_samples >=
           (due > SNAPSHOT_SAMPLES_MIN ? due : SNAPSHOT_SAMPLES_MIN);
}

void store_due_snapshot(struct store *s, const struct intern *in, bool is_final)
{
    bool has_new = in->n_samples > s->snapshot_samples;
    if (store_is_snapshot_due(s, in) || (is_final && has_new)) {
        store_snapshot(s, in, s->counts.sample_ts);
    }
}
