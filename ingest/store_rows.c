/* store_rows.c - the rows of facts and names that a commit adds (store_internal.h). */
#include "ingest/store_internal.h"

#include <stdlib.h>

#include "base/fd.h"
#include "ingest/store.sql.h"

static const int64_t RENAME_NS = 1000000000; /* between two counts of run.n_renames */

const char *const store_state_texts[] = {
#define X(name, text) text,
    EVENT_STATES(X)
#undef X
};

const char *const store_reason_texts[] = {
#define X(name, text) text,
    EVENT_REASONS(X)
#undef X
};

const char *const store_reason_source_texts[EVENT_N_REASON_SOURCES] = {
#define X(name, text) text,
    EVENT_REASON_SOURCES(X)
#undef X
};

const char *const store_stack_source_texts[EVENT_N_STACK_SOURCES] = {
#define X(name, text) text,
    EVENT_STACK_SOURCES(X)
#undef X
};

static const char *const waker_texts[] = {
#define X(name, text) text,
    EVENT_WAKERS(X)
#undef X
};

static const char *const loss_texts[] = {
#define X(name, text) text,
    EVENT_LOSS_KINDS(X)
#undef X
};

static void write_process(struct store *s, struct stmt *st, uint32_t upid, struct process *p)
{
    p->is_changed = false;
    stmt_bind_int(st, put_process_p_upid, upid);
    stmt_bind_int(st, put_process_p_pid, p->pid);
    store_bind_id(st, put_process_p_parent_upid, p->parent_upid);
    stmt_bind_text(st, put_process_p_name, p->name);
    stmt_bind_text(st, put_process_p_cmdline, p->cmdline);
    stmt_bind_int(st, put_process_p_start_ts, p->start_ts);
    store_bind_ts(st, put_process_p_end_ts, p->end_ts);
    store_run_row(s, st);
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
    store_bind_ts(st, put_thread_p_end_ts, th->end_ts);
    store_run_row(s, st);
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

/* What is wrong, then what servers said; NULL: nothing. Valid until the next one is made in out. */
static const char *note_of(const struct binary *bin, struct buf *out)
{
    if (!bin->note || !bin->server_note) {
        return bin->note ? bin->note : bin->server_note;
    }
    buf_clear(out);
    buf_addf(out, "%s; %s", bin->note, bin->server_note);
    return buf_str(out);
}

static void write_binaries(struct store *s, struct binaries *b)
{
    struct buf note = {0};
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
        stmt_bind_text(st, put_binary_p_note, note_of(bin, &note));
        stmt_bind_text(st, put_binary_p_package, bin->package);
        store_run_row(s, st);
    }
    buf_free(&note);
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
        store_run_row(s, st);
    }
    s->n_mappings = 0;
}

/* Parameters of both: the first ones are the same. */
_Static_assert((int)insert_sample_p_on_cpu_ns == (int)insert_sample_with_counters_p_on_cpu_ns &&
                   (int)insert_sample_with_counters_p_c3 ==
                       (int)insert_sample_with_counters_p_c0 + 3,
               "parameters of store.sql");

static void write_samples(struct store *s)
{
    bool has_counters = s->n_counters > 0;
    struct stmt *st =
        db_stmt(s->db, has_counters ? &sql_insert_sample_with_counters : &sql_insert_sample);
    for (size_t i = 0; i < s->n_samples; i++) {
        const struct sample_row *row = &s->samples[i];
        stmt_bind_int(st, insert_sample_p_ts, row->ts);
        stmt_bind_int(st, insert_sample_p_utid, row->utid);
        stmt_bind_int(st, insert_sample_p_cpu, row->cpu);
        stmt_bind_int(st, insert_sample_p_callsite, row->callsite);
        stmt_bind_int(st, insert_sample_p_frame, row->frame);
        stmt_bind_int(st, insert_sample_p_on_cpu_ns, row->on_cpu_ns);
        if (has_counters) {
            store_bind_counters(st, insert_sample_with_counters_p_c0,
                                s->sample_counters + i * s->n_counters, s->n_counters);
        }
        store_run_row(s, st);
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
        stmt_bind_text(st, insert_thread_state_p_state, store_state_texts[row->state]);
        stmt_bind_text(st, insert_thread_state_p_reason,
                       is_blocked ? store_reason_texts[row->reason] : NULL);
        stmt_bind_text(st, insert_thread_state_p_reason_from,
                       is_blocked ? store_reason_source_texts[row->reason_from] : NULL);
        store_bind_id(st, insert_thread_state_p_callsite, row->callsite);
        stmt_bind_text(st, insert_thread_state_p_stack_from,
                       is_blocked ? store_stack_source_texts[row->stack_from] : NULL);
        store_bind_id(st, insert_thread_state_p_waker_utid, row->waker_utid);
        store_bind_id(st, insert_thread_state_p_waker_callsite, row->waker_callsite);
        stmt_bind_text(st, insert_thread_state_p_waker,
                       row->waker < EVENT_N_WAKERS ? waker_texts[row->waker] : NULL);
        store_run_row(s, st);
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
        stmt_bind_text(st, add_folded_state_p_state, store_state_texts[row->state]);
        stmt_bind_text(st, add_folded_state_p_reason,
                       row->state == EVENT_STATE_BLOCKED ? store_reason_texts[row->reason] : "");
        stmt_bind_int(st, add_folded_state_p_callsite, row->callsite);
        stmt_bind_int(st, add_folded_state_p_n_intervals, (int64_t)row->n);
        stmt_bind_int(st, add_folded_state_p_dur, row->dur_ns);
        stmt_bind_int(st, add_folded_state_p_guessed_ns, row->guessed_ns);
        store_run_row(s, st);
    }
    s->n_folded = 0;
}

static void add_waker_sum(struct store *s, const struct wakeup_row *row, uint64_t n)
{
    struct stmt *st = db_stmt(s->db, &sql_add_waker_sum);
    stmt_bind_text(st, add_waker_sum_p_waker, waker_texts[row->waker]);
    stmt_bind_int(st, add_waker_sum_p_waker_utid, row->waker_utid);
    stmt_bind_int(st, add_waker_sum_p_utid, row->utid);
    stmt_bind_int(st, add_waker_sum_p_waker_callsite, row->waker_callsite);
    stmt_bind_int(st, add_waker_sum_p_n_wakeups, (int64_t)n);
    stmt_bind_int(st, add_waker_sum_p_blocked_ns, row->dur_ns);
    store_run_row(s, st);
}

static void write_wakeups(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_wakeup);
    for (size_t i = 0; i < s->n_wakeups; i++) {
        const struct wakeup_row *row = &s->wakeups[i];
        stmt_bind_int(st, insert_wakeup_p_ts, row->ts);
        stmt_bind_int(st, insert_wakeup_p_utid, row->utid);
        stmt_bind_int(st, insert_wakeup_p_dur, row->dur_ns);
        stmt_bind_text(st, insert_wakeup_p_waker, waker_texts[row->waker]);
        store_bind_id(st, insert_wakeup_p_waker_tid, (uint32_t)row->waker_tid);
        store_bind_id(st, insert_wakeup_p_waker_utid, row->waker_utid);
        store_bind_id(st, insert_wakeup_p_waker_callsite, row->waker_callsite);
        store_run_row(s, st);
        add_waker_sum(s, row, 1);
    }
    s->n_wakeups = 0;
}

static void write_folded_wakeups(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_add_folded_wakeup);
    for (size_t i = 0; i < s->n_folded_wakeups; i++) {
        const struct folded_wakeup_row *row = &s->folded_wakeups[i];
        struct wakeup_row sum = {.dur_ns = row->dur_ns,
                                 .utid = row->utid,
                                 .waker_utid = row->waker_utid,
                                 .waker = row->waker};
        stmt_bind_int(st, add_folded_wakeup_p_bucket, row->bucket);
        stmt_bind_int(st, add_folded_wakeup_p_utid, row->utid);
        stmt_bind_text(st, add_folded_wakeup_p_waker, waker_texts[row->waker]);
        stmt_bind_int(st, add_folded_wakeup_p_waker_utid, row->waker_utid);
        stmt_bind_int(st, add_folded_wakeup_p_n_wakeups, (int64_t)row->n);
        stmt_bind_int(st, add_folded_wakeup_p_dur, row->dur_ns);
        store_run_row(s, st);
        add_waker_sum(s, &sum, row->n);
    }
    s->n_folded_wakeups = 0;
}

static void write_losses(struct store *s)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_loss);
    for (size_t i = 0; i < s->n_losses; i++) {
        const struct loss_row *l = &s->losses[i];
        stmt_bind_int(st, insert_loss_p_ts, l->ts);
        if (l->cpu < 0) {
            stmt_bind_null(st, insert_loss_p_cpu);
        } else {
            stmt_bind_int(st, insert_loss_p_cpu, l->cpu);
        }
        stmt_bind_text(st, insert_loss_p_kind, loss_texts[l->kind]);
        stmt_bind_int(st, insert_loss_p_n, (int64_t)l->n);
        store_run_row(s, st);
    }
    s->n_losses = 0;
}

void store_facts(struct store *s, struct binaries *b, struct tasks *t)
{
    write_processes(s, t);
    write_threads(s, t);
    write_binaries(s, b);
    write_mappings(s);
    write_losses(s);
    write_samples(s);
    write_states(s);
    write_folded(s);
    write_wakeups(s);
    write_folded_wakeups(s);
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
        store_bind_id(st, insert_symbol_p_binary, t->binary);
        stmt_bind_int(st, insert_symbol_p_rel_address, (int64_t)t->rel_address);
        stmt_bind_int(st, insert_symbol_p_size, (int64_t)t->size);
        stmt_bind_text(st, insert_symbol_p_source, t->source);
        stmt_bind_text(st, insert_symbol_p_language, t->language ? t->language : "");
        store_bind_id(st, insert_symbol_p_whole, t->whole);
        stmt_bind_int(st, insert_symbol_p_address, (int64_t)t->address);
        store_run_row(s, st);
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
        store_run_row(s, st);
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
        store_run_row(s, st);
    }
}

static void write_changed_callsites(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_set_callsite_node);
    for (size_t i = 0; i < in->n_changed_callsites; i++) {
        uint32_t id = in->changed_callsites[i];
        stmt_bind_int(st, set_callsite_node_p_id, id);
        stmt_bind_int(st, set_callsite_node_p_node, in->callsites[id - 1].node);
        store_run_row(s, st);
    }
    in->n_changed_callsites = 0;
}

static void write_stacks(struct store *s, struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_insert_stack);
    while (in->stacks_written < in->n_stacks) {
        const struct stack *stack = &in->stacks[in->stacks_written++];
        stmt_bind_int(st, insert_stack_p_id, (int64_t)in->stacks_written);
        stmt_bind_int(st, insert_stack_p_utid, stack->utid);
        stmt_bind_int(st, insert_stack_p_node, stack->node);
        store_run_row(s, st);
    }
}

/* Readers give up what they keep of names when run.n_renames counts: not too often. */
static bool is_rename_due(const struct store *s, const struct intern *in)
{
    return (in->n_renames || in->n_languages || in->n_changed_wholes) &&
           (in->has_new_layout || clock_monotonic_ns() >= s->next_rename_ns);
}

static void write_renames(struct store *s, struct intern *in)
{
    if (!is_rename_due(s, in)) {
        return;
    }
    struct stmt *st = db_stmt(s->db, &sql_rename_symbol);
    for (size_t i = 0; i < in->n_renames; i++) {
        struct symbol_text *t = &in->renames[i].text;
        stmt_bind_int(st, rename_symbol_p_id, in->renames[i].id);
        stmt_bind_text(st, rename_symbol_p_kind, symbol_kind_text(t->kind));
        stmt_bind_text(st, rename_symbol_p_name, t->name);
        stmt_bind_text(st, rename_symbol_p_linkage_name, t->linkage_name);
        stmt_bind_int(st, rename_symbol_p_rel_address, (int64_t)t->rel_address);
        stmt_bind_int(st, rename_symbol_p_size, (int64_t)t->size);
        stmt_bind_text(st, rename_symbol_p_source, t->source);
        stmt_bind_text(st, rename_symbol_p_language, t->language ? t->language : "");
        store_run_row(s, st);
        free(t->name);
        free(t->linkage_name);
    }
    s->has_new_names = true;
    in->n_renames = 0;
    st = db_stmt(s->db, &sql_set_symbol_language);
    for (size_t i = 0; i < in->n_languages; i++) {
        stmt_bind_int(st, set_symbol_language_p_id, in->languages[i].id);
        stmt_bind_text(st, set_symbol_language_p_language,
                       in->symbol_languages[in->languages[i].id - 1]);
        store_run_row(s, st);
    }
    in->n_languages = 0;
    st = db_stmt(s->db, &sql_set_symbol_whole);
    for (size_t i = 0; i < in->n_changed_wholes; i++) {
        uint32_t id = in->changed_wholes[i];
        stmt_bind_int(st, set_symbol_whole_p_id, id);
        store_bind_id(st, set_symbol_whole_p_whole, in->symbol_wholes[id - 1]);
        store_run_row(s, st);
    }
    in->n_changed_wholes = 0;
}

static void write_moved_frames(struct store *s, const struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_set_frame);
    struct stmt *line = db_stmt(s->db, &sql_set_frame_line_symbol);
    for (size_t i = 0; i < s->n_moved_frames; i++) {
        const struct frame *f = &in->frames[s->moved_frames[i] - 1];
        stmt_bind_int(st, set_frame_p_id, s->moved_frames[i]);
        stmt_bind_int(st, set_frame_p_binary, f->binary);
        stmt_bind_int(st, set_frame_p_rel_address, (int64_t)f->rel_address);
        stmt_bind_int(st, set_frame_p_symbol, f->symbol);
        store_run_row(s, st);
        stmt_bind_int(line, set_frame_line_symbol_p_id, s->moved_frames[i]);
        stmt_bind_int(line, set_frame_line_symbol_p_symbol, f->symbol);
        store_run_row(s, line);
    }
    s->n_moved_frames = 0;
}

static void write_lines(struct store *s, const struct intern *in)
{
    struct stmt *st = db_stmt(s->db, &sql_put_frame_line);
    struct stmt *trim = db_stmt(s->db, &sql_trim_frame_lines);
    for (size_t i = 0; i < s->n_lines; i++) {
        const struct line_row *row = &s->lines[i];
        stmt_bind_int(st, put_frame_line_p_frame, row->frame);
        stmt_bind_int(st, put_frame_line_p_depth, row->depth);
        stmt_bind_int(st, put_frame_line_p_symbol,
                      row->is_last ? in->frames[row->frame - 1].symbol : row->symbol);
        stmt_bind_text(st, put_frame_line_p_file, row->file);
        store_bind_id(st, put_frame_line_p_line, row->line);
        store_run_row(s, st);
        free(row->file);
        if (row->is_last) {
            stmt_bind_int(trim, trim_frame_lines_p_frame, row->frame);
            stmt_bind_int(trim, trim_frame_lines_p_depth, row->depth);
            stmt_run(trim);
        }
    }
    s->n_lines = 0;
}

/* One count of run.n_renames for all that a commit changed of names. */
static void count_renames(struct store *s, const struct intern *in)
{
    if (s->has_new_names || in->has_new_layout) {
        store_run_row(s, db_stmt(s->db, &sql_count_rename));
        s->next_rename_ns = clock_monotonic_ns() + RENAME_NS;
    }
    s->has_new_names = false;
}

void store_names(struct store *s, struct intern *in, struct binaries *b)
{
    in->has_new_layout = false; /* of summaries that are not made here */
    s->next_rename_ns = 0;
    write_symbols(s, in);
    write_renames(s, in);
    write_moved_frames(s, in);
    write_lines(s, in);
    write_binaries(s, b);
    count_renames(s, in);
}

void store_identities(struct store *s, struct intern *in)
{
    write_symbols(s, in);
    write_renames(s, in);
    write_frames(s, in);
    write_moved_frames(s, in);
    write_lines(s, in);
    write_callsites(s, in);
    write_changed_callsites(s, in);
    store_new_nodes(s, in);
    count_renames(s, in);
    if (in->has_new_layout) {
        store_new_layout(s, in);
    }
    write_stacks(s, in);
}
