/* waits.c - see waits.h. */
#include "ingest/waits.h"

#include <string.h>

#include "ingest/stacks.h"

enum {
    FUTEX_DEPTH = 24, /* how far up a stack the library function of a futex may be */
    OUTER_DEPTH = 4,  /* ... and from there the one that it is part of */
};

const char *waits_marker_name(enum event_reason reason)
{
    static const char *const names[] = {
#define X(name, text) "[" text "]",
        EVENT_REASONS(X)
#undef X
    };
    return names[reason];
}

static uint32_t marker_symbol(struct waits *w, enum event_reason reason)
{
    const char *name = waits_marker_name(reason);
    uint32_t frame = binaries_marker_frame(w->binaries, name, strlen(name), SYMBOL_MARKER);
    return w->binaries->intern->frames[frame - 1].symbol;
}

/* What the function at a frame waits for, or the innermost of those inlined there that does, as
 * far as debug information has told of them by now, but an outer one that outranks it; as in
 * symbol_reasons. */
static uint8_t frame_reason(const struct intern *in, uint32_t frame)
{
    uint32_t at = frame <= in->n_inlined_at ? in->inlined_at[frame - 1] : 0;
    uint8_t nearest = 0, own = in->symbol_reasons[in->frames[frame - 1].symbol - 1];
    for (uint32_t n = at ? in->inlined[at] : 0; n > 0; n--) {
        uint8_t reason = in->symbol_reasons[in->inlined[at + n] - 1];
        if (reason & SYMBOL_IS_OUTER) {
            return reason;
        }
        nearest = nearest ? nearest : reason;
    }
    return own & SYMBOL_IS_OUTER || !nearest ? own : nearest;
}

/* What a library function on the stack says a futex is part of, + 1; 0: none does. */
static uint8_t futex_reason(const struct intern *in, uint32_t callsite)
{
    uint8_t nearest = 0;
    for (int i = 0, end = FUTEX_DEPTH; callsite && i < end; i++) {
        const struct callsite *c = &in->callsites[callsite - 1];
        uint8_t reason = frame_reason(in, c->frame);
        if (reason & SYMBOL_IS_OUTER) {
            return reason & ~SYMBOL_IS_OUTER;
        }
        if (reason && !nearest) {
            nearest = reason;
            end = i + 1 + OUTER_DEPTH;
        }
        callsite = c->parent;
    }
    return nearest;
}

/* The callsite of a wait, its innermost function included; *from: how it was got. */
static uint32_t wait_callsite(struct waits *w, struct thread *th, const struct event_off_cpu *o,
                              bool is_counted, uint8_t *from)
{
    struct process *p = tasks_process(w->tasks, th->upid);
    const struct stack_text text = {o->addresses, o->n_kernel, o->n_addresses};
    *from = o->stack_from;
    if (text.n_addresses) {
        bool is_truncated = o->stack_end != EVENT_STACK_END_ROOT;
        uint32_t callsite = stacks_callers(w->binaries, th, p, o->head.ts, &is_truncated, &text);
        if (is_counted) {
            store_count_stack(w->store, stacks_end(o->stack_end, is_truncated), o->is_guessed,
                              true);
        }
        return intern_callsite(w->binaries->intern, callsite, stacks_leaf(w->binaries, p, &text));
    }
    if (th->sample_callsite) {
        *from = EVENT_STACK_LAST_SAMPLE;
        return intern_callsite(w->binaries->intern, th->sample_callsite, th->sample_frame);
    }
    *from = EVENT_STACK_NONE;
    return stacks_process_root(w->binaries, p);
}

/* What a futex is where no function says it: what functions said of the last one about which there
 * was the same guess, else the guess. */
static uint8_t guessed_reason(const struct thread *th, uint8_t guess)
{
    return th->futex_reasons[guess] ? (uint8_t)(th->futex_reasons[guess] - 1) : guess;
}

static bool is_guess(uint8_t reason_from)
{
    return reason_from == EVENT_FROM_EARLIER || reason_from == EVENT_FROM_FUTEX;
}

/* Why it waited: a futex is what a function on its own stack says, else what is guessed; functions
 * that said what would have been guessed make that known. */
static void refine(struct waits *w, struct thread *th, const struct event_off_cpu *o,
                   struct state_row *row)
{
    if (!(o->head.flags & EVENT_F_WAIT_IS_VAGUE)) {
        return;
    }
    uint8_t reason = o->n_addresses ? futex_reason(w->binaries->intern, row->callsite) : 0;
    if (reason) {
        row->reason = (uint8_t)(reason - 1);
        row->reason_from = EVENT_FROM_USER_FUNCTION;
        if (o->reason_from != EVENT_FROM_EARLIER) {
            th->futex_reasons[o->reason] = reason;
        }
    } else if (guessed_reason(th, o->reason) != o->reason) {
        row->reason = guessed_reason(th, o->reason);
        row->reason_from = EVENT_FROM_EARLIER;
    } else if (!th->futex_reasons[o->reason] && !is_guess(o->reason_from) &&
               o->reason_from != EVENT_FROM_NONE) {
        row->reason_from = EVENT_FROM_FUTEX;
    }
}

/* The wakeup that ended this interval, if it was told. */
static void add_waker(struct thread *th, struct state_row *row)
{
    if (th->wakeup.ts && th->wakeup.ts == row->ts + row->dur_ns) {
        row->waker = th->wakeup.waker;
        row->waker_utid = th->wakeup.waker_utid;
        row->waker_callsite = th->wakeup.waker_callsite;
        th->wakeup.ts = 0;
    }
}

void waits_take(struct waits *w, const struct event_off_cpu *o)
{
    uint32_t utid = tasks_utid(w->tasks, o->head.ts, o->pid, o->tid);
    struct thread *th = tasks_thread(w->tasks, utid);
    struct state_row row = {.ts = o->start_ts,
                            .dur_ns = o->dur_ns,
                            .utid = utid,
                            .state = o->state,
                            .reason = o->reason,
                            .reason_from = o->reason_from,
                            .waker = STORE_NO_WAKER};
    if (o->state == EVENT_STATE_BLOCKED) {
        row.callsite = wait_callsite(w, th, o, true, &row.stack_from);
        refine(w, th, o, &row);
        add_waker(th, &row);
        th->time.reasons_ns[row.reason] += row.dur_ns;
        th->time.guessed_ns += is_guess(row.reason_from) ? row.dur_ns : 0;
        if (row.stack_from == EVENT_STACK_SWITCH || row.stack_from == EVENT_STACK_PARKED) {
            th->wait_callsites[row.reason] = row.callsite;
        }
        intern_waits(w->binaries->intern, row.callsite,
                     marker_symbol(w, (enum event_reason)row.reason), 1, row.dur_ns);
    } else {
        th->time.runnable_ns += row.dur_ns;
    }
    tasks_touch(w->tasks, utid);
    store_add_state(w->store, &row);
    store_add_off_cpu(w->store, w->start_ts, &row);
}

void waits_take_open(struct waits *w, const struct event_off_cpu *o)
{
    uint32_t utid = tasks_utid(w->tasks, o->head.ts, o->pid, o->tid);
    struct thread *th = tasks_thread(w->tasks, utid);
    struct state_row row = {.reason = o->reason, .reason_from = o->reason_from};
    if (o->start_ts != th->time.open_ts || th->time.open_state != EVENT_STATE_BLOCKED) {
        return;
    }
    row.callsite = wait_callsite(w, th, o, false, &row.stack_from);
    refine(w, th, o, &row);
    th->time.open_callsite = row.callsite;
    th->time.open_reason = row.reason;
    th->time.open_reason_from = row.reason_from;
    th->time.open_stack_from = row.stack_from;
    tasks_touch(w->tasks, utid);
}

void waits_take_folded(struct waits *w, const struct event_off_cpu_folded *o)
{
    uint32_t utid = tasks_utid(w->tasks, o->head.ts, o->pid, o->tid);
    struct thread *th = tasks_thread(w->tasks, utid);
    struct folded_row row = {.bucket = (o->head.ts - w->start_ts) / BUCKET_NS,
                             .utid = utid,
                             .state = o->state,
                             .reason = o->reason,
                             .n = o->n_intervals,
                             .dur_ns = o->dur_ns};
    if (o->state == EVENT_STATE_BLOCKED) {
        bool is_vague = o->head.flags & EVENT_F_WAIT_IS_VAGUE;
        row.reason = is_vague ? guessed_reason(th, o->reason) : o->reason;
        bool is_told = th->futex_reasons[o->reason] == o->reason + 1;
        bool is_known = !is_vague || is_told || row.reason == EVENT_REASON_OTHER;
        row.guessed_ns = is_known ? o->guessed_ns : o->dur_ns;
        row.callsite = th->wait_callsites[row.reason];
        if (!row.callsite) {
            row.callsite = stacks_process_root(w->binaries, tasks_process(w->tasks, th->upid));
        }
        th->time.reasons_ns[row.reason] += row.dur_ns;
        th->time.guessed_ns += row.guessed_ns;
        intern_waits(w->binaries->intern, row.callsite,
                     marker_symbol(w, (enum event_reason)row.reason), row.n, row.dur_ns);
    } else {
        th->time.runnable_ns += row.dur_ns;
    }
    tasks_touch(w->tasks, utid);
    store_add_folded(w->store, &row);
}

static uint32_t waker_utid(struct waits *w, int64_t ts, uint8_t waker, int32_t pid, int32_t tid)
{
    return waker == EVENT_WAKER_THREAD ? tasks_utid(w->tasks, ts, pid, tid) : 0;
}

/* The callsite of a waker of the target, its innermost function included; 0: not known. */
static uint32_t waker_callsite(struct waits *w, uint32_t utid, const struct event_wakeup *o)
{
    const struct stack_text text = {o->addresses, o->n_kernel, o->n_addresses};
    if (!utid || !text.n_addresses) {
        return 0;
    }
    struct thread *th = tasks_thread(w->tasks, utid);
    struct process *p = tasks_process(w->tasks, th->upid);
    bool is_truncated = o->stack_end != EVENT_STACK_END_ROOT;
    uint32_t callsite = stacks_callers(w->binaries, th, p, o->wake_ts, &is_truncated, &text);
    return intern_callsite(w->binaries->intern, callsite, stacks_leaf(w->binaries, p, &text));
}

void waits_take_wakeup(struct waits *w, const struct event_wakeup *o)
{
    struct wakeup_row row = {.ts = o->wake_ts,
                             .dur_ns = o->dur_ns,
                             .utid = tasks_utid(w->tasks, o->head.ts, o->pid, o->tid),
                             .waker_tid = o->waker_tid,
                             .waker = o->waker};
    row.waker_utid = waker_utid(w, o->head.ts, o->waker, o->waker_pid, o->waker_tid);
    row.waker_callsite = waker_callsite(w, row.waker_utid, o);
    tasks_thread(w->tasks, row.utid)->wakeup =
        (struct last_wakeup){row.ts, row.waker_utid, row.waker_callsite, row.waker};
    store_add_wakeup(w->store, &row);
}

void waits_take_wakeups_folded(struct waits *w, const struct event_wakeups_folded *o)
{
    struct folded_wakeup_row row = {
        .bucket = (o->head.ts - w->start_ts) / BUCKET_NS,
        .utid = tasks_utid(w->tasks, o->head.ts, o->pid, o->tid),
        .waker_utid = waker_utid(w, o->head.ts, o->waker, o->waker_pid, o->waker_tid),
        .waker = o->waker,
        .n = o->n_wakeups,
        .dur_ns = o->dur_ns};
    store_add_folded_wakeup(w->store, &row);
}

void waits_take_time(struct waits *w, const struct event_thread_time *t)
{
    uint32_t utid = tasks_utid(w->tasks, t->head.ts, t->pid, t->tid);
    struct thread *th = tasks_thread(w->tasks, utid);
    th->time.is_known = true;
    th->time.on_cpu_ns = t->on_cpu_ns;
    th->time.unknown_ns = t->unknown_ns;
    th->time.n_switches = t->n_switches;
    th->time.open_ts = t->open_ts;
    th->time.open_state = t->open_state;
    bool is_vague = t->head.flags & EVENT_F_WAIT_IS_VAGUE;
    th->time.open_reason = is_vague ? guessed_reason(th, t->open_reason) : t->open_reason;
    th->time.open_callsite = 0;
    th->time.has_ended = t->is_end;
    if (t->start_ts > th->start_ts) {
        tasks_start_later(w->tasks, utid, t->start_ts); /* its time is accounted for from there */
    }
    tasks_touch(w->tasks, utid);
}
