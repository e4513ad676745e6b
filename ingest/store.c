/* store.c - see store.h: the run file, what is buffered for it, and the commit. */
#include "ingest/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "ingest/store.sql.h"

/* Of folded rows when old ones are added up: what stays as it is, and how many make one. */
enum { WIDEN_RECENT = 100, WIDEN_FACTOR = 4 };
/* From here on an interval has a row for certain and is left out of the buckets (schema.sql). */
static const int64_t OFF_CPU_LONG_NS = 10000000000;

static void insert_run(struct store *s, const struct ingest_run *run)
{
    struct utsname host;
    uname(&host);
    char os_release[sizeof(host.sysname) + sizeof(host.release) + 1];
    snprintf(os_release, sizeof(os_release), "%s %s", host.sysname, host.release);
    struct stmt *st = db_stmt(s->db, &sql_insert_run);
    stmt_bind_int(st, insert_run_p_id, run->id);
    stmt_bind_int(st, insert_run_p_pid, run->pid);
    stmt_bind_int(st, insert_run_p_is_launched, run->is_launched);
    stmt_bind_text(st, insert_run_p_command, run->command);
    stmt_bind_int(st, insert_run_p_start_ts, run->start_ts);
    stmt_bind_int(st, insert_run_p_start_wall_ns, run->start_wall_ns);
    stmt_bind_int(st, insert_run_p_frequency_hz, run->frequency_hz);
    stmt_bind_int(st, insert_run_p_period_ns, run->period_ns);
    stmt_bind_int(st, insert_run_p_has_children, run->has_children);
    stmt_bind_text(st, insert_run_p_hostname, host.nodename);
    stmt_bind_text(st, insert_run_p_os_release, os_release);
    stmt_bind_text(st, insert_run_p_arch, host.machine);
    stmt_bind_int(st, insert_run_p_n_cpus, sysconf(_SC_NPROCESSORS_ONLN));
    stmt_bind_text(st, insert_run_p_stax_version, run->stax_version);
    stmt_bind_int(st, insert_run_p_has_off_cpu, s->has_off_cpu);
    store_run_row(s, st);
}

int store_create(struct store *s, const char *path, const struct ingest_run *run,
                 const struct ingest_ability *abilities, size_t n_abilities, struct err *e)
{
    *s = (struct store){.counts.data_ts = run->start_ts,
                        .committed_ts = run->start_ts,
                        .n_counters = run->n_counters};
    int rc = db_open(&s->db, path, DB_CREATE, e);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < n_abilities; i++) {
        s->has_off_cpu |= abilities[i].is_available && strcmp(abilities[i].name, "off_cpu") == 0;
    }
    db_begin(s->db);
    insert_run(s, run);
    for (size_t i = 0; i < n_abilities; i++) {
        struct stmt *st = db_stmt(s->db, &sql_insert_ability);
        stmt_bind_text(st, insert_ability_p_name, abilities[i].name);
        stmt_bind_int(st, insert_ability_p_is_available, abilities[i].is_available);
        stmt_bind_text(st, insert_ability_p_reason, abilities[i].reason);
        stmt_bind_text(st, insert_ability_p_unlock, abilities[i].unlock);
        store_run_row(s, st);
    }
    for (size_t i = 0; i < run->n_counters; i++) {
        struct stmt *st = db_stmt(s->db, &sql_insert_counter);
        stmt_bind_int(st, insert_counter_p_slot, (int64_t)i);
        stmt_bind_text(st, insert_counter_p_name, run->counters[i].name);
        stmt_bind_text(st, insert_counter_p_unit, run->counters[i].unit);
        store_run_row(s, st);
    }
    db_commit(s->db);
    return db_status(s->db, e);
}

void store_close(struct store *s)
{
    db_close(s->db);
    s->db = NULL;
}

void store_fini(struct store *s)
{
    store_close(s);
    for (size_t i = 0; i < s->n_lines; i++) {
        free(s->lines[i].file);
    }
    free(s->lines);
    free(s->moved_frames);
    free(s->samples);
    free(s->sample_counters);
    free(s->mappings);
    free(s->losses);
    free(s->buckets);
    free(s->states);
    free(s->folded);
    free(s->wakeups);
    free(s->folded_wakeups);
    free(s->off_cpu);
    *s = (struct store){0};
}

void store_add_sample(struct store *s, const struct sample_row *row, const uint64_t *counters)
{
    size_t n = s->n_counters;
    if (n) {
        mem_reserve(&s->sample_counters, &s->cap_sample_counters, (s->n_samples + 1) * n,
                    sizeof(*s->sample_counters));
        for (size_t i = 0; i < n; i++) {
            s->sample_counters[s->n_samples * n + i] = counters ? counters[i] : 0;
        }
    }

    mem_reserve(&s->samples, &s->cap_samples, s->n_samples + 1, sizeof(*s->samples));
    s->samples[s->n_samples++] = *row;
}

void store_add_mapping(struct store *s, const struct mapping_row *row)
{
    mem_reserve(&s->mappings, &s->cap_mappings, s->n_mappings + 1, sizeof(*s->mappings));
    s->mappings[s->n_mappings++] = *row;
}

void store_add_loss(struct store *s, int64_t ts, int64_t cpu, uint32_t kind, uint64_t n)
{
    mem_reserve(&s->losses, &s->cap_losses, s->n_losses + 1, sizeof(*s->losses));
    s->losses[s->n_losses++] = (struct loss_row){.ts = ts, .cpu = cpu, .kind = kind, .n = n};
}

void store_add_bucket(struct store *s, uint32_t utid, const struct bucket *sums)
{
    mem_reserve(&s->buckets, &s->cap_buckets, s->n_buckets + 1, sizeof(*s->buckets));
    s->buckets[s->n_buckets++] = (struct bucket_row){.utid = utid, .sums = *sums};
}

void store_add_line(struct store *s, const struct line_row *row)
{
    mem_reserve(&s->lines, &s->cap_lines, s->n_lines + 1, sizeof(*s->lines));
    s->lines[s->n_lines++] = *row;
}

void store_move_frame(struct store *s, uint32_t frame)
{
    mem_reserve(&s->moved_frames, &s->cap_moved_frames, s->n_moved_frames + 1,
                sizeof(*s->moved_frames));
    s->moved_frames[s->n_moved_frames++] = frame;
}

static struct wait_sum *wait_sum_of(struct store *s, uint8_t state, uint8_t reason)
{
    return &s->wait_sums[state == EVENT_STATE_BLOCKED ? reason : EVENT_N_REASONS];
}

void store_add_state(struct store *s, const struct state_row *row)
{
    mem_reserve(&s->states, &s->cap_states, s->n_states + 1, sizeof(*s->states));
    s->states[s->n_states++] = *row;
    struct wait_sum *sum = wait_sum_of(s, row->state, row->reason);
    sum->n++;
    sum->dur_ns += row->dur_ns;
}

static void add_off_cpu(struct store *s, uint32_t utid, int64_t bucket, uint8_t state, int64_t ns)
{
    mem_reserve(&s->off_cpu, &s->cap_off_cpu, s->n_off_cpu + 1, sizeof(*s->off_cpu));
    bool is_blocked = state == EVENT_STATE_BLOCKED;
    s->off_cpu[s->n_off_cpu++] = (struct off_cpu_row){.utid = utid,
                                                      .bucket = bucket,
                                                      .runnable_ns = is_blocked ? 0 : ns,
                                                      .blocked_ns = is_blocked ? ns : 0};
}

void store_add_folded(struct store *s, const struct folded_row *row)
{
    mem_reserve(&s->folded, &s->cap_folded, s->n_folded + 1, sizeof(*s->folded));
    s->folded[s->n_folded++] = *row;
    struct wait_sum *sum = wait_sum_of(s, row->state, row->reason);
    sum->n_folded += row->n;
    sum->folded_ns += row->dur_ns;
    add_off_cpu(s, row->utid, row->bucket, row->state, row->dur_ns);
}

void store_add_wakeup(struct store *s, const struct wakeup_row *row)
{
    mem_reserve(&s->wakeups, &s->cap_wakeups, s->n_wakeups + 1, sizeof(*s->wakeups));
    s->wakeups[s->n_wakeups++] = *row;
}

void store_add_folded_wakeup(struct store *s, const struct folded_wakeup_row *row)
{
    mem_reserve(&s->folded_wakeups, &s->cap_folded_wakeups, s->n_folded_wakeups + 1,
                sizeof(*s->folded_wakeups));
    s->folded_wakeups[s->n_folded_wakeups++] = *row;
}

void store_add_off_cpu(struct store *s, int64_t start_ts, const struct state_row *row)
{
    int64_t at = row->ts > start_ts ? row->ts - start_ts : 0;
    int64_t end = row->ts + row->dur_ns - start_ts;
    while (row->dur_ns < OFF_CPU_LONG_NS && at < end) {
        int64_t bucket = at / BUCKET_NS, next = (bucket + 1) * BUCKET_NS;
        next = next < end ? next : end;
        add_off_cpu(s, row->utid, bucket, row->state, next - at);
        at = next;
    }
}

void store_count_stack(struct store *s, unsigned end, bool is_guessed, bool is_wait)
{
    struct stack_end_counts *c = &s->stack_ends[end];
    c->n_samples += !is_wait;
    c->n_guessed_samples += !is_wait && is_guessed;
    c->n_waits += is_wait;
    c->n_guessed_waits += is_wait && is_guessed;
    c->is_changed = true;
}

static void put_stack_ends(struct store *s)
{
    static const char *const causes[] = {
#define X(name, text) text,
        EVENT_STACK_ENDS(X)
#undef X
    };
    for (size_t i = 0; i < EVENT_N_STACK_ENDS; i++) {
        struct stack_end_counts *c = &s->stack_ends[i];
        if (c->is_changed) {
            struct stmt *st = db_stmt(s->db, &sql_put_stack_end);
            stmt_bind_text(st, put_stack_end_p_cause, causes[i]);
            stmt_bind_int(st, put_stack_end_p_n_samples, (int64_t)c->n_samples);
            stmt_bind_int(st, put_stack_end_p_n_guessed_samples, (int64_t)c->n_guessed_samples);
            stmt_bind_int(st, put_stack_end_p_n_waits, (int64_t)c->n_waits);
            stmt_bind_int(st, put_stack_end_p_n_guessed_waits, (int64_t)c->n_guessed_waits);
            store_run_row(s, st);
            c->is_changed = false;
        }
    }
}

static void update_run(struct store *s, const struct intern *in)
{
    const struct run_counts *c = &s->counts;
    struct stmt *st = db_stmt(s->db, &sql_update_run);
    stmt_bind_int(st, update_run_p_data_ts, c->data_ts);
    stmt_bind_int(st, update_run_p_n_samples, (int64_t)in->n_samples);
    stmt_bind_int(st, update_run_p_on_cpu_ns, c->on_cpu_ns);
    stmt_bind_int(st, update_run_p_n_lost, (int64_t)c->n_lost);
    stmt_bind_int(st, update_run_p_n_truncated, (int64_t)c->n_truncated);
    stmt_bind_int(st, update_run_p_n_unnamed, (int64_t)c->n_unnamed);
    stmt_bind_int(st, update_run_p_n_moved, (int64_t)c->n_moved);
    stmt_bind_int(st, update_run_p_max_moved_ns, c->max_moved_ns);
    stmt_bind_int(st, update_run_p_n_pending, (int64_t)intern_n_pending(in));
    store_run_row(s, st);
}

static void bind_count(struct stmt *st, int parameter, bool is_known, uint64_t value)
{
    if (is_known) {
        stmt_bind_int(st, parameter, (int64_t)value);
    } else {
        stmt_bind_null(st, parameter);
    }
}

static void update_counters(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_update_counter);
    for (size_t i = 0; i < s->n_counters; i++) {
        const struct counter_count *c = &s->counts.counters[i];
        stmt_bind_int(st, update_counter_p_slot, (int64_t)i);
        stmt_bind_int(st, update_counter_p_n_attributed, (int64_t)c->n_attributed);
        bind_count(st, update_counter_p_n_counted, c->has_ended, c->n_counted);
        bind_count(st, update_counter_p_enabled_ns, c->has_ended, c->enabled_ns);
        bind_count(st, update_counter_p_running_ns, c->has_ended, c->running_ns);
        store_run_row(s, st);
    }
}

int store_commit(struct store *s, struct intern *in, struct binaries *b, struct tasks *t,
                 bool is_final, struct err *e)
{
    intern_settle(in);
    s->next_rename_ns = is_final ? 0 : s->next_rename_ns;
    db_begin(s->db);
    store_identities(s, in);
    store_facts(s, b, t);
    store_thread_sums(s, t);
    store_off_cpu(s);
    store_wait_sums(s);
    store_sums(s, in, is_final);
    store_due_snapshot(s, in, is_final);
    put_stack_ends(s);
    update_run(s, in);
    update_counters(s);
    db_commit(s->db);
    int rc = db_status(s->db, e);
    if (rc) {
        db_clear_error(s->db);
        db_rollback(s->db);
        db_clear_error(s->db);
    } else {
        s->committed_ts = s->counts.data_ts;
    }
    return rc;
}

int store_end(struct store *s, const char *stop_reason, int64_t end_ts, struct err *e)
{
    struct stmt *st = db_stmt(s->db, &sql_end_run);
    stmt_bind_text(st, end_run_p_stop_reason, stop_reason);
    stmt_bind_int(st, end_run_p_end_ts, end_ts);
    store_run_row(s, st);
    return db_status(s->db, e);
}

int store_end_failed(struct store *s, const char *stop_reason, int64_t end_ts,
                     const struct err *failure, struct err *e)
{
    enum { PLAINLY, WITH_NEW_LOG, WITHOUT_DETAIL, N_WAYS };
    for (int way = PLAINLY; way < N_WAYS; way++) {
        db_clear_error(s->db);
        db_rollback(s->db);
        db_clear_error(s->db);
        if (way == WITH_NEW_LOG) {
            db_checkpoint(s->db, true); /* the log may not grow any more, but begin anew */
        }
        db_begin(s->db);
        if (way != WITHOUT_DETAIL) {
            struct stmt *st = db_stmt(s->db, &sql_insert_ability);
            stmt_bind_text(st, insert_ability_p_name, "whole_run");
            stmt_bind_int(st, insert_ability_p_is_available, 0);
            stmt_bind_text(st, insert_ability_p_reason, failure->msg);
            stmt_bind_text(st, insert_ability_p_unlock, "");
            store_run_row(s, st);
        }
        store_end(s, stop_reason, end_ts, NULL);
        db_commit(s->db);
        if (db_status(s->db, e) == 0) {
            return 0;
        }
    }
    return db_status(s->db, e);
}

const char store_names_cut_off[] = "names were still being looked for when the run ended";

void store_lack_names(struct store *s, const char *reason)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_ability);
    stmt_bind_text(st, insert_ability_p_name, "late_names");
    stmt_bind_int(st, insert_ability_p_is_available, 0);
    stmt_bind_text(st, insert_ability_p_reason, reason);
    stmt_bind_text(st, insert_ability_p_unlock, "stax symbolize");
    store_run_row(s, st);
}

/* Whether rows from before raw_from_ts are left to delete. */
static bool has_raw_to_drop(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_has_raw_to_drop);
    bool is_there = stmt_next(st) && stmt_int(st, has_raw_to_drop_c_is_there);
    stmt_reset(st);
    return is_there;
}

/* Moves raw_from_ts past the next snapshot, making one when there is none, and gives up those
 * before it. False: no samples came since. */
static bool advance_raw_from(struct store *s, const struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_oldest_snapshot);
    if (!stmt_next(st)) {
        if (in->n_samples == s->snapshot_samples) {
            return false;
        }
        store_snapshot(s, in, s->counts.sample_ts);
        st = db_stmt(s->db, &sql_oldest_snapshot);
        stmt_next(st);
    }
    int64_t ts = stmt_int(st, oldest_snapshot_c_ts);
    stmt_reset(st);
    st = db_stmt(s->db, &sql_set_raw_from);
    stmt_bind_int(st, set_raw_from_p_ts, ts);
    store_run_row(s, st);
    store_run_row(s, db_stmt(s->db, &sql_drop_old_snapshots));
    store_run_row(s, db_stmt(s->db, &sql_clear_stack_sums));
    store_run_row(s, db_stmt(s->db, &sql_clear_stack_counters));
    return true;
}

bool store_drop_raw(struct store *s, const struct intern *in, size_t limit)
{
    db_begin(s->db);
    bool is_possible = has_raw_to_drop(s) || advance_raw_from(s, in);
    if (is_possible) {
        static const struct {
            const struct sql_block *sql;
            int limit;
        } steps[] = {
            {&sql_drop_raw_samples, drop_raw_samples_p_limit},
            {&sql_fold_raw_states, fold_raw_states_p_limit},
            {&sql_fold_wait_sums, fold_wait_sums_p_limit},
            {&sql_drop_raw_states, drop_raw_states_p_limit},
            {&sql_fold_raw_wakeups, fold_raw_wakeups_p_limit},
            {&sql_drop_raw_wakeups, drop_raw_wakeups_p_limit},
        };
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            struct stmt *st = db_stmt(s->db, steps[i].sql);
            stmt_bind_int(st, steps[i].limit, (int64_t)limit);
            stmt_run(st);
        }
    }
    db_commit(s->db);
    return is_possible;
}

void store_widen_folded(struct store *s, int64_t max)
{
    static const struct {
        const struct sql_block *sql;
        int before, n_buckets; /* parameters, 0: none */
    } steps[] = {
        {&sql_widen_folded_states, widen_folded_states_p_before, widen_folded_states_p_n_buckets},
        {&sql_drop_widened_states, drop_widened_states_p_before, 0},
        {&sql_place_widened_states, 0, 0},
        {&sql_widen_folded_wakeups, widen_folded_wakeups_p_before,
         widen_folded_wakeups_p_n_buckets},
        {&sql_drop_widened_wakeups, drop_widened_wakeups_p_before, 0},
        {&sql_place_widened_wakeups, 0, 0},
    };
    struct stmt *st = db_stmt(s->db, &sql_count_folded);
    bool is_due = stmt_next(st) && stmt_int(st, count_folded_c_n_rows) > max;
    int64_t last = is_due ? stmt_int(st, count_folded_c_last) : 0;
    int64_t n_buckets = is_due ? stmt_int(st, count_folded_c_n_buckets) * WIDEN_FACTOR : 1;
    stmt_reset(st);
    /* Whole wide rows, so that the next time finds none half covered. */
    int64_t before = (last - WIDEN_RECENT) / n_buckets * n_buckets;
    if (!is_due || before <= 0) {
        return;
    }
    db_begin(s->db);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        st = db_stmt(s->db, steps[i].sql);
        if (steps[i].before) {
            stmt_bind_int(st, steps[i].before, before);
        }
        if (steps[i].n_buckets) {
            stmt_bind_int(st, steps[i].n_buckets, n_buckets);
        }
        stmt_run(st);
    }
    db_commit(s->db);
}

int64_t store_used_bytes(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_used_bytes);
    int64_t n_bytes = stmt_next(st) ? stmt_int(st, used_bytes_c_n_bytes) : 0;
    stmt_reset(st);
    return n_bytes;
}
