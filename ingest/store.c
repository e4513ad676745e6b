/* store.c - see store.h. */
#include "ingest/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "capture/event.h"
#include "ingest/store.sql.h"
#include "schema/db.h"

enum {
    /* Rows of late summaries a commit writes besides the big changes: together some 15 ms of work.
     * An ordinary load stays below them, so that nothing is late; under any other the backlog grows
     * and the cost of a commit does not. */
    LATE_NODES = 8000,
    LATE_SYMBOLS = 4000,
    LATE_LOCATIONS = 2000,
    SNAPSHOT_SAMPLES_MIN = 50000, /* between two snapshots */
    SNAPSHOT_STACK_FACTOR = 2     /* ... and at least so many times the stacks */
};
/* From here on an interval has a row for certain and is left out of the buckets (schema.sql). */
static const int64_t OFF_CPU_LONG_NS = 10000000000;

static const char *const state_texts[] = {
#define X(name, text) text,
    EVENT_STATES(X)
#undef X
};

static const char *const reason_texts[] = {
#define X(name, text) text,
    EVENT_REASONS(X)
#undef X
};

static const char *const reason_source_texts[] = {
#define X(name, text) text,
    EVENT_REASON_SOURCES(X)
#undef X
};

static const char *const stack_source_texts[] = {
#define X(name, text) text,
    EVENT_STACK_SOURCES(X)
#undef X
};

/* Writing a statement row by row: the wrapper counts rows. */
static void run_row(struct store *s, struct stmt *st)
{
    stmt_run(st);
    s->n_rows++;
}

static void bind_id(struct stmt *st, int parameter, uint32_t id)
{
    if (id) {
        stmt_bind_int(st, parameter, id);
    } else {
        stmt_bind_null(st, parameter);
    }
}

static void bind_ts(struct stmt *st, int parameter, int64_t ts)
{
    if (ts) {
        stmt_bind_int(st, parameter, ts);
    } else {
        stmt_bind_null(st, parameter);
    }
}

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
    run_row(s, st);
}

int store_create(struct store *s, const char *path, const struct ingest_run *run,
                 const struct ingest_ability *abilities, size_t n_abilities, struct err *e)
{
    *s = (struct store){.counts.data_ts = run->start_ts};
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
        run_row(s, st);
    }
    db_commit(s->db);
    return db_status(s->db, e);
}

void store_fini(struct store *s)
{
    db_close(s->db);
    free(s->samples);
    free(s->mappings);
    free(s->losses);
    free(s->buckets);
    free(s->states);
    free(s->folded);
    free(s->off_cpu);
    *s = (struct store){0};
}

void store_add_sample(struct store *s, const struct sample_row *row)
{
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

void store_add_state(struct store *s, const struct state_row *row)
{
    mem_reserve(&s->states, &s->cap_states, s->n_states + 1, sizeof(*s->states));
    s->states[s->n_states++] = *row;
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
    add_off_cpu(s, row->utid, row->bucket, row->state, row->dur_ns);
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

static void write_process(struct store *s, struct stmt *st, uint32_t upid, struct process *p)
{
    p->is_changed = false;
    stmt_bind_int(st, put_process_p_upid, upid);
    stmt_bind_int(st, put_process_p_pid, p->pid);
    bind_id(st, put_process_p_parent_upid, p->parent_upid);
    stmt_bind_text(st, put_process_p_name, p->name);
    stmt_bind_text(st, put_process_p_cmdline, p->cmdline);
    stmt_bind_int(st, put_process_p_start_ts, p->start_ts);
    bind_ts(st, put_process_p_end_ts, p->end_ts);
    run_row(s, st);
}

static void write_processes(struct store *s, struct tasks *t)
{
    struct stmt *st = db_stmt(s->db, &sql_put_process);
    for (size_t i = 0; i < t->n_changed_processes; i++) {
        uint32_t upid = t->changed_processes[i];
        if (upid <= t->processes_written) {
            write_process(s, st, upid, tasks_process(t, upid));
        }
    }
    t->n_changed_processes = 0;
    while (t->processes_written < t->n_processes) {
        uint32_t upid = (uint32_t)++t->processes_written;
        write_process(s, st, upid, tasks_process(t, upid));
    }
}

static void write_thread(struct store *s, struct stmt *st, const struct tasks *t, uint32_t utid)
{
    struct thread *th = tasks_thread(t, utid);
    th->is_changed = false;
    stmt_bind_int(st, put_thread_p_utid, utid);
    stmt_bind_int(st, put_thread_p_upid, th->upid);
    stmt_bind_int(st, put_thread_p_tid, th->tid);
    stmt_bind_text(st, put_thread_p_name, th->name);
    stmt_bind_int(st, put_thread_p_is_main_thread, tasks_process(t, th->upid)->pid == th->tid);
    stmt_bind_int(st, put_thread_p_start_ts, th->start_ts);
    bind_ts(st, put_thread_p_end_ts, th->end_ts);
    run_row(s, st);
}

static void write_threads(struct store *s, struct tasks *t)
{
    struct stmt *st = db_stmt(s->db, &sql_put_thread);
    for (size_t i = 0; i < t->n_changed_threads; i++) {
        if (t->changed_threads[i] <= t->threads_written) {
            write_thread(s, st, t, t->changed_threads[i]);
        }
    }
    t->n_changed_threads = 0;
    while (t->threads_written < t->n_threads) {
        write_thread(s, st, t, (uint32_t)++t->threads_written);
    }
}

static void write_binaries(struct store *s, struct binaries *b)
{
    struct stmt *st = db_stmt(s->db, &sql_put_binary);
    for (size_t i = 0; i < b->n_items; i++) {
        struct binary *bin = &b->items[i];
        if (i < b->n_written && !bin->is_changed) {
            continue;
        }
        bin->is_changed = false;
        stmt_bind_int(st, put_binary_p_id, (int64_t)i + 1);
        stmt_bind_text(st, put_binary_p_path, bin->path);
        stmt_bind_text(st, put_binary_p_name, bin->name);
        stmt_bind_text(st, put_binary_p_kind, bin->kind);
        stmt_bind_text(st, put_binary_p_build_id, bin->build_id);
        stmt_bind_int(st, put_binary_p_has_addresses, bin->has_addresses);
        stmt_bind_text(st, put_binary_p_names_from, bin->names_from);
        stmt_bind_text(st, put_binary_p_note, bin->note);
        run_row(s, st);
    }
    b->n_written = b->n_items;
}

static void write_mappings(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_mapping);
    for (size_t i = 0; i < s->n_mappings; i++) {
        const struct mapping_row *m = &s->mappings[i];
        stmt_bind_int(st, insert_mapping_p_ts, m->ts);
        stmt_bind_int(st, insert_mapping_p_upid, m->upid);
        stmt_bind_int(st, insert_mapping_p_start, (int64_t)m->start);
        stmt_bind_int(st, insert_mapping_p_size, (int64_t)m->size);
        stmt_bind_int(st, insert_mapping_p_file_offset, (int64_t)m->file_offset);
        stmt_bind_int(st, insert_mapping_p_binary, m->binary);
        run_row(s, st);
    }
    s->n_mappings = 0;
}

static void write_samples(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_sample);
    for (size_t i = 0; i < s->n_samples; i++) {
        const struct sample_row *row = &s->samples[i];
        stmt_bind_int(st, insert_sample_p_ts, row->ts);
        stmt_bind_int(st, insert_sample_p_utid, row->utid);
        stmt_bind_int(st, insert_sample_p_cpu, row->cpu);
        stmt_bind_int(st, insert_sample_p_callsite, row->callsite);
        stmt_bind_int(st, insert_sample_p_frame, row->frame);
        stmt_bind_int(st, insert_sample_p_on_cpu_ns, row->on_cpu_ns);
        run_row(s, st);
    }
    s->n_samples = 0;
}

static void write_states(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_thread_state);
    for (size_t i = 0; i < s->n_states; i++) {
        const struct state_row *row = &s->states[i];
        bool is_blocked = row->state == EVENT_STATE_BLOCKED;
        stmt_bind_int(st, insert_thread_state_p_ts, row->ts);
        stmt_bind_int(st, insert_thread_state_p_dur, row->dur_ns);
        stmt_bind_int(st, insert_thread_state_p_utid, row->utid);
        stmt_bind_text(st, insert_thread_state_p_state, state_texts[row->state]);
        stmt_bind_text(st, insert_thread_state_p_reason,
                       is_blocked ? reason_texts[row->reason] : NULL);
        stmt_bind_text(st, insert_thread_state_p_reason_from,
                       is_blocked ? reason_source_texts[row->reason_from] : NULL);
        bind_id(st, insert_thread_state_p_callsite, row->callsite);
        stmt_bind_text(st, insert_thread_state_p_stack_from,
                       is_blocked ? stack_source_texts[row->stack_from] : NULL);
        run_row(s, st);
    }
    s->n_states = 0;
}

static void write_folded(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_add_folded_state);
    for (size_t i = 0; i < s->n_folded; i++) {
        const struct folded_row *row = &s->folded[i];
        stmt_bind_int(st, add_folded_state_p_bucket, row->bucket);
        stmt_bind_int(st, add_folded_state_p_utid, row->utid);
        stmt_bind_text(st, add_folded_state_p_state, state_texts[row->state]);
        stmt_bind_text(st, add_folded_state_p_reason,
                       row->state == EVENT_STATE_BLOCKED ? reason_texts[row->reason] : "");
        stmt_bind_int(st, add_folded_state_p_callsite, row->callsite);
        stmt_bind_int(st, add_folded_state_p_n_intervals, (int64_t)row->n);
        stmt_bind_int(st, add_folded_state_p_dur, row->dur_ns);
        run_row(s, st);
    }
    s->n_folded = 0;
}

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
        run_row(s, st);
    }
    s->n_off_cpu = 0;
}

static void write_losses(struct store *s)
{
    static const char *const kinds[] = {
#define X(name, text) text,
        EVENT_LOSS_KINDS(X)
#undef X
    };
    struct stmt *st = db_stmt(s->db, &sql_insert_loss);
    for (size_t i = 0; i < s->n_losses; i++) {
        const struct loss_row *l = &s->losses[i];
        stmt_bind_int(st, insert_loss_p_ts, l->ts);
        if (l->cpu < 0) {
            stmt_bind_null(st, insert_loss_p_cpu);
        } else {
            stmt_bind_int(st, insert_loss_p_cpu, l->cpu);
        }
        stmt_bind_text(st, insert_loss_p_kind, kinds[l->kind]);
        stmt_bind_int(st, insert_loss_p_n, (int64_t)l->n);
        run_row(s, st);
    }
    s->n_losses = 0;
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
    stmt_bind_int(st, put_thread_sum_p_runnable_ns, time->runnable_ns);
    stmt_bind_int(st, put_thread_sum_p_unknown_ns, time->unknown_ns);
    stmt_bind_int(st, put_thread_sum_p_n_switches, (int64_t)time->n_switches);
    stmt_bind_text(st, put_thread_sum_p_open_state, is_open ? state_texts[time->open_state] : NULL);
    stmt_bind_text(st, put_thread_sum_p_open_reason,
                   is_blocked ? reason_texts[time->open_reason] : NULL);
    bind_ts(st, put_thread_sum_p_open_ts, is_open ? time->open_ts : 0);
}

static void bind_no_time(struct stmt *st)
{
    for (int p = put_thread_sum_p_runnable_ns; p <= put_thread_sum_p_open_ts; p++) {
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
    run_row(s, st);
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
    run_row(s, st);
}

/* Sums of the threads that ran since the last commit, and their buckets. */
static void write_thread_sums(struct store *s, struct tasks *t)
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
    }
    t->n_touched = 0;
}

static void write_symbols(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_symbol);
    for (size_t i = 0; in->symbols_written < in->n_symbols; i++) {
        struct symbol_text *t = &in->new_symbols[i];
        stmt_bind_int(st, insert_symbol_p_id, (int64_t)++in->symbols_written);
        stmt_bind_text(st, insert_symbol_p_kind, symbol_kind_text(t->kind));
        stmt_bind_text(st, insert_symbol_p_name, t->name);
        stmt_bind_text(st, insert_symbol_p_linkage_name, t->linkage_name);
        bind_id(st, insert_symbol_p_binary, t->binary);
        stmt_bind_int(st, insert_symbol_p_rel_address, (int64_t)t->rel_address);
        stmt_bind_int(st, insert_symbol_p_size, (int64_t)t->size);
        stmt_bind_text(st, insert_symbol_p_source, t->source);
        run_row(s, st);
        free(t->name);
        free(t->linkage_name);
    }
}

static void write_frames(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_frame);
    while (in->frames_written < in->n_frames) {
        const struct frame *f = &in->frames[in->frames_written++];
        stmt_bind_int(st, insert_frame_p_id, (int64_t)in->frames_written);
        stmt_bind_int(st, insert_frame_p_binary, f->binary);
        stmt_bind_int(st, insert_frame_p_rel_address, (int64_t)f->rel_address);
        stmt_bind_int(st, insert_frame_p_symbol, f->symbol);
        run_row(s, st);
    }
}

static void write_callsites(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_callsite);
    while (in->callsites_written < in->n_callsites) {
        const struct callsite *c = &in->callsites[in->callsites_written++];
        stmt_bind_int(st, insert_callsite_p_id, (int64_t)in->callsites_written);
        stmt_bind_int(st, insert_callsite_p_parent, c->parent);
        stmt_bind_int(st, insert_callsite_p_frame, c->frame);
        stmt_bind_int(st, insert_callsite_p_depth, c->depth);
        stmt_bind_int(st, insert_callsite_p_node, c->node);
        run_row(s, st);
    }
}

static void write_new_nodes(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_node);
    while (in->nodes_written < in->tree.n_rows) {
        uint32_t id = (uint32_t)++in->nodes_written;
        const struct lazy_row *row = lazy_row(&in->tree, id);
        const struct node *node = &in->nodes[id - 1];
        stmt_bind_int(st, insert_node_p_parent, row->a);
        stmt_bind_int(st, insert_node_p_id, id);
        stmt_bind_int(st, insert_node_p_symbol, row->b);
        stmt_bind_int(st, insert_node_p_depth, node->depth);
        stmt_bind_int(st, insert_node_p_is_inlined, node->is_inlined);
        stmt_bind_int(st, insert_node_p_is_recursive, node->is_recursive);
        stmt_bind_int(st, insert_node_p_n_self_samples, (int64_t)row->sums.n_self);
        stmt_bind_int(st, insert_node_p_self_on_cpu_ns, row->sums.self_ns);
        stmt_bind_int(st, insert_node_p_n_total_samples, (int64_t)row->sums.n_total);
        stmt_bind_int(st, insert_node_p_total_on_cpu_ns, row->sums.total_ns);
        stmt_bind_int(st, insert_node_p_n_self_waits, (int64_t)row->sums.n_self_waits);
        stmt_bind_int(st, insert_node_p_self_off_cpu_ns, row->sums.self_off_ns);
        stmt_bind_int(st, insert_node_p_n_total_waits, (int64_t)row->sums.n_waits);
        stmt_bind_int(st, insert_node_p_total_off_cpu_ns, row->sums.total_off_ns);
        run_row(s, st);
        lazy_mark_written(&in->tree, id);
    }
}

static void write_stacks(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_stack);
    while (in->stacks_written < in->n_stacks) {
        const struct stack *stack = &in->stacks[in->stacks_written++];
        stmt_bind_int(st, insert_stack_p_id, (int64_t)in->stacks_written);
        stmt_bind_int(st, insert_stack_p_utid, stack->utid);
        stmt_bind_int(st, insert_stack_p_node, stack->node);
        run_row(s, st);
    }
}

void store_identities(struct store *s, struct intern *in)
{
    write_symbols(s, in);
    write_frames(s, in);
    write_callsites(s, in);
    write_new_nodes(s, in);
    write_stacks(s, in);
}

static void write_node(void *ctx, uint32_t id, const struct lazy_row *row)
{
    struct store *s = ctx;
    struct stmt *st = db_stmt(s->db, &sql_update_node);
    stmt_bind_int(st, update_node_p_parent, row->a);
    stmt_bind_int(st, update_node_p_id, id);
    stmt_bind_int(st, update_node_p_n_self_samples, (int64_t)row->sums.n_self);
    stmt_bind_int(st, update_node_p_self_on_cpu_ns, row->sums.self_ns);
    stmt_bind_int(st, update_node_p_n_total_samples, (int64_t)row->sums.n_total);
    stmt_bind_int(st, update_node_p_total_on_cpu_ns, row->sums.total_ns);
    stmt_bind_int(st, update_node_p_n_self_waits, (int64_t)row->sums.n_self_waits);
    stmt_bind_int(st, update_node_p_self_off_cpu_ns, row->sums.self_off_ns);
    stmt_bind_int(st, update_node_p_n_total_waits, (int64_t)row->sums.n_waits);
    stmt_bind_int(st, update_node_p_total_off_cpu_ns, row->sums.total_off_ns);
    run_row(s, st);
}

static void write_symbol_sum(void *ctx, uint32_t id, const struct lazy_row *row)
{
    (void)id;
    struct store *s = ctx;
    struct stmt *st = db_stmt(s->db, &sql_put_symbol_sum);
    stmt_bind_int(st, put_symbol_sum_p_symbol, row->a);
    stmt_bind_int(st, put_symbol_sum_p_n_self_samples, (int64_t)row->sums.n_self);
    stmt_bind_int(st, put_symbol_sum_p_self_on_cpu_ns, row->sums.self_ns);
    stmt_bind_int(st, put_symbol_sum_p_n_total_samples, (int64_t)row->sums.n_total);
    stmt_bind_int(st, put_symbol_sum_p_total_on_cpu_ns, row->sums.total_ns);
    stmt_bind_int(st, put_symbol_sum_p_n_self_waits, (int64_t)row->sums.n_self_waits);
    stmt_bind_int(st, put_symbol_sum_p_self_off_cpu_ns, row->sums.self_off_ns);
    stmt_bind_int(st, put_symbol_sum_p_n_total_waits, (int64_t)row->sums.n_waits);
    stmt_bind_int(st, put_symbol_sum_p_total_off_cpu_ns, row->sums.total_off_ns);
    run_row(s, st);
}

static void write_symbol_thread_sum(void *ctx, uint32_t id, const struct lazy_row *row)
{
    (void)id;
    struct store *s = ctx;
    struct stmt *st = db_stmt(s->db, &sql_put_symbol_thread_sum);
    stmt_bind_int(st, put_symbol_thread_sum_p_utid, row->a);
    stmt_bind_int(st, put_symbol_thread_sum_p_symbol, row->b);
    stmt_bind_int(st, put_symbol_thread_sum_p_n_self_samples, (int64_t)row->sums.n_self);
    stmt_bind_int(st, put_symbol_thread_sum_p_self_on_cpu_ns, row->sums.self_ns);
    stmt_bind_int(st, put_symbol_thread_sum_p_n_total_samples, (int64_t)row->sums.n_total);
    stmt_bind_int(st, put_symbol_thread_sum_p_total_on_cpu_ns, row->sums.total_ns);
    run_row(s, st);
}

static void write_frame_sum(void *ctx, uint32_t id, const struct lazy_row *row)
{
    (void)id;
    struct store *s = ctx;
    struct stmt *st = db_stmt(s->db, &sql_put_frame_sum);
    stmt_bind_int(st, put_frame_sum_p_frame, row->a);
    stmt_bind_int(st, put_frame_sum_p_utid, row->b);
    stmt_bind_int(st, put_frame_sum_p_n_samples, (int64_t)row->sums.n_self);
    stmt_bind_int(st, put_frame_sum_p_on_cpu_ns, row->sums.self_ns);
    run_row(s, st);
}

static void write_callsite_sum(void *ctx, uint32_t id, const struct lazy_row *row)
{
    (void)id;
    struct store *s = ctx;
    struct stmt *st = db_stmt(s->db, &sql_put_callsite_sum);
    stmt_bind_int(st, put_callsite_sum_p_callsite, row->a);
    stmt_bind_int(st, put_callsite_sum_p_utid, row->b);
    stmt_bind_int(st, put_callsite_sum_p_n_samples, (int64_t)row->sums.n_self);
    stmt_bind_int(st, put_callsite_sum_p_on_cpu_ns, row->sums.self_ns);
    run_row(s, st);
}

void store_sums(struct store *s, struct intern *in, bool all)
{
    lazy_flush(&in->tree, all ? SIZE_MAX : LATE_NODES, write_node, s);
    lazy_flush(&in->symbol_sums, all ? SIZE_MAX : LATE_SYMBOLS, write_symbol_sum, s);
    lazy_flush(&in->thread_sums, all ? SIZE_MAX : LATE_SYMBOLS, write_symbol_thread_sum, s);
    lazy_flush(&in->frame_sums, all ? SIZE_MAX : LATE_LOCATIONS, write_frame_sum, s);
    lazy_flush(&in->callsite_sums, all ? SIZE_MAX : LATE_LOCATIONS, write_callsite_sum, s);
}

void store_snapshot(struct store *s, const struct intern *in, int64_t ts)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_snapshot);
    stmt_bind_int(st, insert_snapshot_p_id, ++s->n_snapshots);
    stmt_bind_int(st, insert_snapshot_p_ts, ts);
    stmt_bind_int(st, insert_snapshot_p_n_samples, (int64_t)in->n_samples);
    run_row(s, st);
    st = db_stmt(s->db, &sql_insert_stack_sum);
    stmt_bind_int(st, insert_stack_sum_p_snapshot, s->n_snapshots);
    for (size_t i = 0; i < in->n_stacks; i++) {
        const struct stack *stack = &in->stacks[i];
        if (stack->n_samples) {
            stmt_bind_int(st, insert_stack_sum_p_stack, (int64_t)i + 1);
            stmt_bind_int(st, insert_stack_sum_p_n_samples, (int64_t)stack->n_samples);
            stmt_bind_int(st, insert_stack_sum_p_on_cpu_ns, stack->on_cpu_ns);
            run_row(s, st);
        }
    }
    s->snapshot_samples = in->n_samples;
}

bool store_is_snapshot_due(const struct store *s, const struct intern *in)
{
    uint64_t due = in->n_stacks * SNAPSHOT_STACK_FACTOR;
    return in->n_samples - s->snapshot_samples >=
           (due > SNAPSHOT_SAMPLES_MIN ? due : SNAPSHOT_SAMPLES_MIN);
}

static void write_due_snapshot(struct store *s, const struct intern *in, bool is_final)
{
    bool has_new = in->n_samples > s->snapshot_samples;
    if (store_is_snapshot_due(s, in) || (is_final && has_new)) {
        store_snapshot(s, in, s->counts.sample_ts);
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
    run_row(s, st);
}

int store_commit(struct store *s, struct intern *in, struct binaries *b, struct tasks *t,
                 bool is_final, struct err *e)
{
    intern_settle(in);
    db_begin(s->db);
    write_processes(s, t);
    write_threads(s, t);
    write_binaries(s, b);
    write_mappings(s);
    write_losses(s);
    store_identities(s, in);
    write_samples(s);
    write_states(s);
    write_folded(s);
    write_thread_sums(s, t);
    store_off_cpu(s);
    store_sums(s, in, is_final);
    write_due_snapshot(s, in, is_final);
    update_run(s, in);
    db_commit(s->db);
    int rc = db_status(s->db, e);
    if (rc) {
        db_clear_error(s->db);
        db_rollback(s->db);
        db_clear_error(s->db);
    }
    return rc;
}

int store_end(struct store *s, const char *stop_reason, int64_t end_ts, struct err *e)
{
    struct stmt *st = db_stmt(s->db, &sql_end_run);
    stmt_bind_text(st, end_run_p_stop_reason, stop_reason);
    stmt_bind_int(st, end_run_p_end_ts, end_ts);
    run_row(s, st);
    return db_status(s->db, e);
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
    run_row(s, st);
    run_row(s, db_stmt(s->db, &sql_drop_old_snapshots));
    run_row(s, db_stmt(s->db, &sql_clear_stack_sums));
    return true;
}

bool store_drop_raw(struct store *s, const struct intern *in, size_t limit)
{
    db_begin(s->db);
    bool is_possible = has_raw_to_drop(s) || advance_raw_from(s, in);
    if (is_possible) {
        struct stmt *st = db_stmt(s->db, &sql_drop_raw_samples);
        stmt_bind_int(st, drop_raw_samples_p_limit, (int64_t)limit);
        stmt_run(st);
        st = db_stmt(s->db, &sql_fold_raw_states);
        stmt_bind_int(st, fold_raw_states_p_limit, (int64_t)limit);
        stmt_run(st);
        st = db_stmt(s->db, &sql_drop_raw_states);
        stmt_bind_int(st, drop_raw_states_p_limit, (int64_t)limit);
        stmt_run(st);
    }
    db_commit(s->db);
    return is_possible;
}

int64_t store_used_bytes(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_used_bytes);
    int64_t n_bytes = stmt_next(st) ? stmt_int(st, used_bytes_c_n_bytes) : 0;
    stmt_reset(st);
    return n_bytes;
}
