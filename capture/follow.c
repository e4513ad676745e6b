/* follow.c - see follow.h; what it asks /proc is in follow_proc.c. */
#include "capture/follow_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/events.h"
#include "capture/proc.h"

enum {
    BATCH_BYTES = 64 << 10, /* from here on a batch is handed over within a drain */
    PROC_READS_PER_TICK = 32,
    TID_READS_PER_TICK = 64,
    HARD_BOUND = 4, /* mappings and names are dropped when so many times the queue's bound waits */
};
static const int64_t REREAD_NS = 1000000000;      /* between two readings of one maps file */
static const int64_t PERIOD_MAX_NS = 10000000000; /* a longer period is not one of ours */

struct follow *follow_new(const struct follow_options *options)
{
    struct follow *f = mem_new(1, sizeof(*f));
    f->options = *options;
    f->n_proc_reads = PROC_READS_PER_TICK;
    f->n_tid_reads = TID_READS_PER_TICK;
    atomic_init(&f->pause_ts, INT64_MAX);
    pthread_mutex_init(&f->pause_lock, NULL);
    return f;
}

void follow_free(struct follow *f)
{
    if (!f) {
        return;
    }
    target_clear(&f->target);
    follow_waits_free(f);
    buf_free(&f->batch);
    pthread_mutex_destroy(&f->pause_lock);
    free(f->pauses);
    free(f);
}

/* Whether so many bytes may be added while at most n_bounds times the queue's bound waits; what may
 * not is dropped, and counted here. */
static bool has_room(struct follow *f, size_t size, size_t n_bounds)
{
    if ((f->queued_bytes + f->batch.len + size) / n_bounds > queue_max_bytes(f->options.out)) {
        f->n_dropped++;
        return false;
    }
    return true;
}

void follow_tell_thread(struct follow *f, enum event_type type, const struct target_thread *t,
                        int64_t ts)
{
    const struct target_name *name = &t->name;
    if (type == EVENT_THREAD_NAME && !has_room(f, sizeof(struct event_thread), HARD_BOUND)) {
        return;
    }
    event_add_thread(&f->batch, type, ts, t->process->pid, t->tid, name->text,
                     type == EVENT_THREAD_END ? 0 : name->len);
}

void follow_tell_process(struct follow *f, enum event_type type, const struct target_process *p,
                         int32_t parent_pid, int64_t ts)
{
    event_add_process(&f->batch, type, ts, p->pid, parent_pid, p->name.text, p->name.len,
                      p->cmdline, p->cmdline_len);
}

struct target_thread *follow_start_thread(struct follow *f, struct target_process *p, int32_t tid,
                                          const struct target_name *name, int32_t source,
                                          int64_t ts)
{
    follow_intervals_tell_earlier(f, p, tid);
    struct target_thread *t = target_add_thread(&f->target, p, tid);
    t->name = *name;
    t->source = source;
    t->seen_ts = ts;
    t->named_ts = ts;
    follow_tell_thread(f, EVENT_THREAD_START, t, ts);
    return t;
}

/* Returns when it ended. */
static int64_t end_one_thread(struct follow *f, struct target_thread *t, int64_t ts)
{
    ts = follow_waits_end_thread(f, t, ts);
    follow_tell_thread(f, EVENT_THREAD_END, t, ts);
    target_remove_thread(&f->target, t);
    return ts;
}

void follow_end_process(struct follow *f, struct target_process *p, int64_t ts)
{
    int64_t thread_ts = ts;
    while (p->threads) {
        int64_t ended_ts = end_one_thread(f, p->threads, thread_ts);
        ts = ended_ts > ts ? ended_ts : ts;
    }
    event_add_process(&f->batch, EVENT_PROCESS_END, ts, p->pid, 0, NULL, 0, NULL, 0);
    f->n_gone -= p->gone_ts != 0;
    f->n_hidden -= p->is_hidden;
    target_remove_process(&f->target, p);
}

/* Ends a thread, and with the last of its threads the process. */
void follow_end_thread(struct follow *f, struct target_thread *t, int64_t ts)
{
    struct target_process *p = t->process;
    if (p->n_threads == 1) {
        follow_end_process(f, p, ts);
        return;
    }
    end_one_thread(f, t, ts);
}

/* A path as the events spell it: what is no file has its name in brackets. */
void follow_tell_mapping(struct follow *f, struct event_mapping *m, const char *path, size_t len)
{
    static const char anonymous[] = "[anon]";
    if (len == 0 || (len >= 6 && memcmp(path, "//anon", 6) == 0)) {
        path = anonymous;
        len = sizeof(anonymous) - 1;
    }
    if (m->inode == 0) {
        m->device = 0;
    }
    struct target_process *p = target_process(&f->target, m->pid);
    if (p && f->options.unwinder) {
        unwinder_map(f->options.unwinder, &p->space, m, path, len);
    }
    if (!has_room(f, sizeof(*m) + len, HARD_BOUND)) {
        return;
    }
    m->head.flags = EVENT_F_MAPPING_EXECUTABLE;
    event_add_mapping(&f->batch, m, path, len);
}

bool follow_has_thread(const struct follow *f, int32_t tid)
{
    return target_thread(&f->target, tid);
}

/* The process a record speaks of; one whose fork was lost is adopted now. */
static struct target_process *process_of(struct follow *f, int32_t pid, int64_t ts)
{
    struct target_process *p = target_process(&f->target, pid);
    if (p) {
        return p;
    }
    p = target_add_process(&f->target, pid);
    p->seen_boot_ns = follow_boot_ns(ts);
    follow_name_by_pid(&p->name, pid);
    int32_t parent_pid = 0;
    bool is_known = follow_may_read_proc(f);
    if (is_known) {
        struct proc_stat stat;
        if (proc_read_stat(pid, 0, &stat) == 0 && target_process(&f->target, stat.parent_pid)) {
            parent_pid = stat.parent_pid;
        }
        follow_read_name(f, pid, 0, &p->name);
        follow_read_cmdline(f, p);
    }
    follow_tell_process(f, EVENT_PROCESS_START, p, parent_pid, ts);
    if (is_known) {
        follow_read_own_mappings(f, p, parent_pid, ts);
    }
    return p;
}

/* The thread a record speaks of. A tid that moved to another process was reused: the end of its
 * last owner was lost. */
static struct target_thread *thread_of(struct follow *f, int32_t pid, int32_t tid, int32_t source,
                                       int64_t ts)
{
    struct target_thread *t = target_thread(&f->target, tid);
    if (t && t->process->pid != pid) {
        follow_end_thread(f, t, ts);
        t = NULL;
    }
    if (t) {
        return t;
    }
    struct target_process *p = process_of(f, pid, ts);
    struct target_name name = p->name;
    bool is_named = tid == pid;
    if (!is_named && follow_may_read_proc(f)) {
        follow_read_name(f, pid, tid, &name);
        is_named = true;
    }
    t = follow_start_thread(f, p, tid, &name, source, ts);
    t->named_ts = is_named ? ts : 0;
    follow_waits_start(f, t, ts, false);
    return t;
}

/* Pausing and resuming, as of ts. */
static bool is_paused_at(struct follow *f, int64_t ts)
{
    if (ts >= atomic_load(&f->pause_ts)) {
        size_t n = 0;
        pthread_mutex_lock(&f->pause_lock);
        while (n < f->n_pauses && f->pauses[n].ts <= ts) {
            f->is_paused = f->pauses[n++].is_paused;
        }
        f->n_pauses -= n;
        if (n > 0) {
            memmove(f->pauses, f->pauses + n, f->n_pauses * sizeof(*f->pauses));
        }
        atomic_store(&f->pause_ts, f->n_pauses ? f->pauses[0].ts : INT64_MAX);
        pthread_mutex_unlock(&f->pause_lock);
    }
    return f->is_paused;
}

size_t follow_drop_kernel(uint64_t *addresses, size_t n, size_t *n_kernel)
{
    n -= *n_kernel;
    memmove(addresses, addresses + *n_kernel, n * sizeof(*addresses));
    *n_kernel = 0;
    return n;
}

/* False: its stack needs a table that is still being made. */
static bool on_sample(struct follow *f, const struct record *r, int32_t source, int64_t ts,
                      bool may_wait)
{
    struct target_thread *t = thread_of(f, r->pid, r->tid, source, ts);
    struct target_process *p = t->process;
    if (p->maps_ts < f->loss_ts && ts - p->maps_ts >= REREAD_NS && follow_may_read_proc(f)) {
        follow_read_mappings(f, p, ts); /* what it mapped may have been among the lost */
    }
    bool is_paused = is_paused_at(f, ts);
    struct unwinder_stack *stack = &f->stack;
    if (!is_paused &&
        !unwinder_sample(f->options.unwinder, f->options.max_stack, p->space, r, may_wait, stack)) {
        return false;
    }
    int64_t period_ns = f->options.period_ns;
    if (r->sample.period > 0 && r->sample.period <= (uint64_t)PERIOD_MAX_NS) {
        period_ns = (int64_t)r->sample.period;
    }
    int64_t on_cpu_ns = follow_waits_sample(f, t, ts, period_ns);
    f->stats.sampled_ns += on_cpu_ns;
    uint64_t counters[EVENT_COUNTERS_MAX];
    bool is_counted =
        f->options.n_counters > 0 && thread_counters_take(&t->counters, r->cpu, &r->sample.counters,
                                                          f->options.n_counters, counters);
    if (is_paused) {
        return true;
    }
    if (f->options.without_kernel && stack->n_kernel < stack->n) {
        /* Else there is no user stack to stand at. */
        stack->n = follow_drop_kernel(stack->addresses, stack->n, &stack->n_kernel);
    }
    size_t n_bytes = stack->n * sizeof(uint64_t);
    struct event_sample body = {
        .head.ts = ts,
        .pid = r->pid,
        .tid = r->tid,
        .cpu = r->cpu,
        .n_kernel = (uint16_t)stack->n_kernel,
        .n_addresses = (uint16_t)stack->n,
        .on_cpu_ns = on_cpu_ns,
        .stack_end = (uint8_t)stack->end,
        .is_guessed = stack->is_guessed,
        .n_counters = (uint8_t)(is_counted ? f->options.n_counters : 0),
    };
    size_t n_counter_bytes = body.n_counters * sizeof(uint64_t);
    if (has_room(f, sizeof(body) + n_bytes + n_counter_bytes, 1)) {
        uint64_t *words = event_add_sample(&f->batch, &body);
        memcpy(words, stack->addresses, n_bytes);
        memcpy(words + stack->n, counters, n_counter_bytes);
        f->stats.n_samples++;
    }
    return true;
}

static void on_mapping(struct follow *f, const struct record *r, int64_t ts)
{
    if (!r->mapping.is_executable || r->mapping.size == 0) {
        return;
    }
    process_of(f, r->pid, ts)->exec_ts = 0; /* it maps the new program: events outlived the exec */
    struct event_mapping body = {.head.ts = ts,
                                 .pid = r->pid,
                                 .start = r->mapping.start,
                                 .size = r->mapping.size,
                                 .file_offset = r->mapping.file_offset,
                                 .device = r->mapping.device,
                                 .inode = r->mapping.inode};
    follow_tell_mapping(f, &body, r->mapping.path, r->mapping.path_len);
}

/* An exec ends all threads but the one that called it, which becomes the main thread. */
static void on_exec(struct follow *f, const struct record *r, int32_t source, int64_t ts)
{
    struct target_process *p = process_of(f, r->pid, ts);
    struct target_thread *t = thread_of(f, r->pid, r->tid, source, ts);
    for (struct target_thread *other = p->threads, *next; other; other = next) {
        next = other->next;
        if (other != t) {
            end_one_thread(f, other, ts);
        }
    }
    follow_waits_exec(f, t, ts);
    target_set_name(&p->name, r->name.text, r->name.len);
    t->name = p->name;
    if (follow_may_read_proc(f)) {
        follow_read_cmdline(f, p);
    } else {
        target_set_cmdline(p, NULL, 0);
    }
    target_clear_space(p);
    p->maps_ts = p->exec_ts = ts;
    f->n_hidden -= p->is_hidden;
    p->is_hidden = false;
    follow_tell_process(f, EVENT_EXEC, p, 0, ts);
    follow_tell_thread(f, EVENT_THREAD_NAME, t, ts);
}

static void on_thread_exit(struct follow *f, struct target_thread *t, int64_t ts)
{
    if (!follow_is_hidden_by_exec(f, t, ts)) {
        follow_end_thread(f, t, ts);
        return;
    }
    follow_waits_lose(f, t, ts);
    if (!t->process->is_hidden) {
        follow_loss(f, ts, UINT32_MAX, EVENT_LOSS_NOT_DUMPABLE, 1);
        f->n_hidden++;
        t->process->is_hidden = true;
    }
}

static void on_name(struct follow *f, const struct record *r, int32_t source, int64_t ts)
{
    if (r->name.is_exec) {
        on_exec(f, r, source, ts);
        return;
    }
    struct target_thread *t = thread_of(f, r->pid, r->tid, source, ts);
    target_set_name(&t->name, r->name.text, r->name.len);
    t->named_ts = ts;
    follow_tell_thread(f, EVENT_THREAD_NAME, t, ts);
}

static struct target_process *start_forked(struct follow *f, const struct record *r, int64_t ts)
{
    struct target_process *old = target_process(&f->target, r->pid);
    if (old) {
        follow_end_process(f, old, ts);
    }
    struct target_process *parent = process_of(f, r->fork.parent_pid, ts);
    struct target_process *p = target_add_process(&f->target, r->pid);
    p->seen_boot_ns = follow_boot_ns(ts);
    p->name = parent->name;
    p->maps_ts = parent->maps_ts;
    p->space = parent->space ? address_space_ref(parent->space) : NULL;
    target_set_cmdline(p, parent->cmdline, parent->cmdline_len);
    follow_tell_process(f, EVENT_PROCESS_START, p, parent->pid, ts);
    return p;
}

static void on_fork(struct follow *f, const struct record *r, int32_t source, int64_t ts)
{
    struct target_thread *old = target_thread(&f->target, r->tid);
    if (old && old->seen_ts >= ts) {
        return; /* it was there already when the run began */
    }
    if (old) {
        follow_end_thread(f, old, ts);
    }
    bool is_process = r->pid != r->fork.parent_pid;
    struct target_process *p = is_process ? start_forked(f, r, ts) : process_of(f, r->pid, ts);
    struct target_thread *parent = target_thread(&f->target, r->fork.parent_tid);
    struct target_name name = parent ? parent->name : p->name;
    follow_waits_start(f, follow_start_thread(f, p, r->tid, &name, source, ts), ts, true);
}

/* The same moment of a thread covered twice is recorded twice, by its own events and by those it
 * inherited: only one source counts. *source of a thread that has none yet is the record's. */
static bool is_duplicate(struct follow *f, int32_t tid, int32_t source)
{
    struct target_thread *t = target_thread(&f->target, tid);
    if (!t) {
        return false;
    }
    if (!t->source) {
        t->source = source;
    }
    return t->source != source;
}

static bool on_task_record(struct follow *f, const struct record *r, int64_t ts, bool may_wait)
{
    uint32_t source = map_get(f->options.sources, r->id);
    if (source == 0 || source == EVENTS_DISCARDED) {
        return true;
    }
    if (source == EVENTS_WATCH) {
        if (r->kind == RECORD_SAMPLE) {
            follow_wakers_watched(f, r, ts);
        }
        return true;
    }
    bool is_stack = source & EVENTS_SWITCH_STACK, is_waking = source & EVENTS_WAKING;
    source &= EVENTS_TID_MASK;
    if (r->pid <= 0 && (r->kind == RECORD_SWITCH || is_stack || is_waking)) {
        return true; /* of a thread that is about to vanish */
    }
    int32_t acting_tid = r->kind == RECORD_FORK ? r->fork.parent_tid : r->tid;
    if (r->pid <= 0 || r->tid <= 0 || acting_tid <= 0 ||
        (r->kind == RECORD_FORK && r->fork.parent_pid <= 0)) {
        follow_loss(f, ts, r->cpu, EVENT_LOSS_MALFORMED, 1);
        return true;
    }
    if ((!f->options.with_children && r->pid != f->options.pid) ||
        is_duplicate(f, acting_tid, (int32_t)source)) {
        return true;
    }
    switch (r->kind) {
    case RECORD_SAMPLE:
        if (is_stack) {
            struct target_thread *t = thread_of(f, r->pid, r->tid, (int32_t)source, ts);
            return follow_waits_stack(f, t, r, ts, may_wait);
        }
        if (is_waking) {
            follow_wakers_waking(f, thread_of(f, r->pid, r->tid, (int32_t)source, ts), r, ts);
            return true;
        }
        return on_sample(f, r, (int32_t)source, ts, may_wait);
    case RECORD_SWITCH: {
        struct target_thread *t = thread_of(f, r->pid, r->tid, (int32_t)source, ts);
        if (!r->task_switch.is_out) {
            thread_counters_run(&t->counters, r->cpu);
        }
        follow_waits_switch(f, t, r, ts);
        break;
    }
    case RECORD_MAPPING:
        on_mapping(f, r, ts);
        break;
    case RECORD_NAME:
        on_name(f, r, (int32_t)source, ts);
        break;
    case RECORD_FORK:
        on_fork(f, r, (int32_t)source, ts);
        break;
    case RECORD_EXIT: {
        struct target_thread *t = target_thread(&f->target, r->tid);
        if (t) {
            on_thread_exit(f, t, ts);
        }
        break;
    }
    default:
        break;
    }
    return true;
}

bool follow_record(struct follow *f, const struct record *r, int64_t ts, bool may_wait)
{
    f->ts = ts;
    switch (r->kind) {
    case RECORD_OTHER:
        break;
    case RECORD_LOST:
        f->loss_ts = ts;
        follow_waits_lost(f, r->cpu, ts);
        follow_loss(f, ts, r->cpu, EVENT_LOSS_RING_FULL, r->n_lost);
        break;
    case RECORD_THROTTLE:
        follow_loss(f, ts, r->cpu, EVENT_LOSS_THROTTLED, 1);
        break;
    default:
        if (!on_task_record(f, r, ts, may_wait)) {
            return false;
        }
        break;
    }
    follow_waits_note_cpu(f, r->cpu, ts);
    if (f->batch.len >= BATCH_BYTES) {
        follow_flush(f);
    }
    return true;
}

void follow_loss(struct follow *f, int64_t ts, uint32_t cpu, enum event_loss_kind kind, uint64_t n)
{
    if (!n) {
        return;
    }
    event_add_loss(&f->batch, ts, cpu, kind, n);
    if (kind == EVENT_LOSS_THROTTLED) {
        f->stats.n_throttled += n;
    } else if (kind == EVENT_LOSS_RING_FULL || kind == EVENT_LOSS_QUEUE_FULL ||
               kind == EVENT_LOSS_MALFORMED) {
        f->stats.n_lost += n;
    }
}

void follow_counter_total(struct follow *f, const struct event_counter_total *total)
{
    event_add_counter_total(&f->batch, total);
}

static void end_gone(struct follow *f, int64_t limit_ts)
{
    size_t slot = 0;
    for (struct target_process *p; f->n_gone && (p = target_next(&f->target, &slot));) {
        if (p->gone_ts && p->gone_ts < limit_ts) {
            follow_end_process(f, p, f->ts);
        }
    }
}

void follow_tick(struct follow *f, int64_t limit_ts)
{
    f->n_proc_reads = PROC_READS_PER_TICK;
    f->n_tid_reads = TID_READS_PER_TICK;
    if (limit_ts > f->ts) {
        f->ts = limit_ts;
    }
    is_paused_at(f, limit_ts); /* the list of pauses stays short without samples, too */
    if (f->n_hidden) {
        follow_find_hidden_gone(f);
    }
    end_gone(f, limit_ts);
    follow_waits_tick(f, f->ts);
}

void follow_flush(struct follow *f)
{
    if (f->n_dropped) {
        follow_loss(f, f->ts, UINT32_MAX, EVENT_LOSS_QUEUE_FULL, f->n_dropped);
        f->n_dropped = 0;
    }
    if (f->batch.len) {
        size_t n = f->batch.len;
        queue_push_forced(f->options.out, buf_take(&f->batch), n);
    }
    f->queued_bytes = queue_bytes(f->options.out);
}

void follow_end(struct follow *f, int64_t ts, enum event_end_reason reason)
{
    ts = ts > f->ts ? ts : f->ts;
    ts = ts > f->waits.ended_ts ? ts : f->waits.ended_ts;
    f->ts = ts;
    follow_waits_end(f, ts);
    follow_flush(f);
    event_add_end(&f->batch, ts, reason);
    follow_flush(f);
}

void follow_set_paused(struct follow *f, bool is_paused, int64_t now_ts)
{
    pthread_mutex_lock(&f->pause_lock);
    mem_reserve(&f->pauses, &f->cap_pauses, f->n_pauses + 1, sizeof(*f->pauses));
    int64_t last_ts = f->n_pauses ? f->pauses[f->n_pauses - 1].ts : now_ts;
    f->pauses[f->n_pauses++] =
        (struct follow_pause){now_ts > last_ts ? now_ts : last_ts, is_paused};
    atomic_store(&f->pause_ts, f->pauses[0].ts);
    pthread_mutex_unlock(&f->pause_lock);
}

void follow_stats(const struct follow *f, struct follow_stats *stats)
{
    *stats = f->stats;
    stats->n_threads = f->target.n_threads;
    stats->n_processes = f->target.n_processes;
}
