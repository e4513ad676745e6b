/*
 * follow_waits.c - the part of follow.h that accounts for time and tells of waits.
 *
 * Every switch goes through the thread's ledger, so durations are exact at any rate.
 * follow_intervals.c tells of the intervals that this finds.
 */
#include "capture/follow_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/proc.h"
#include "capture/wait_probe.h"

enum { CPUS_MAX = 8192 };
static const int64_t OPEN_NS = 100000000;    /* a wait so long is told of before it ends */
static const int64_t STACK_AGE_NS = 1000000; /* between a switch's stack and the switch */

void follow_read_kernel(struct follow *f, const char *kallsyms, size_t len)
{
    wait_kernel_read(&f->waits.kernel, kallsyms, len);
}

static void note_change(struct follow *f, struct target_thread *t)
{
    t->waits.has_changed = true;
    if (!t->waits.changed_at) {
        t->waits.changed_at = thread_list_add(&f->waits.changed, t);
    }
}

static bool is_accounted(const struct follow *f, const struct target_thread *t)
{
    return f->options.has_switches && t->waits.ledger.is_started;
}

void follow_waits_start(struct follow *f, struct target_thread *t, int64_t ts, bool is_forked)
{
    struct thread_waits *w = &t->waits;
    if (!f->options.has_switches || w->is_held) {
        return;
    }
    if (is_forked) {
        ledger_start(&w->ledger, &f->waits.losses, ts, EVENT_STATE_RUNNABLE);
    } else {
        enum event_state state = EVENT_STATE_RUNNABLE;
        struct proc_stat stat;
        if (f->options.has_proc && proc_read_stat(t->process->pid, t->tid, &stat) == 0 &&
            stat.state != 'R') {
            state = EVENT_STATE_BLOCKED;
            wanting_add(&f->waits.wanting, t);
        }
        ledger_start_unseen(&w->ledger, &f->waits.losses, ts, state);
    }
    note_change(f, t);
}

/* ---- reasons ---- */

static struct wait_mark known(enum event_reason reason, enum event_reason_source from,
                              bool is_vague)
{
    return (struct wait_mark){
        .is_known = true, .is_vague = is_vague, .reason = (uint8_t)reason, .from = (uint8_t)from};
}

/* Whether what /proc said tells more than the stack at the switch. */
static bool knows_more(const struct wait_mark *seen, const struct wait_mark *at_stack)
{
    return !at_stack->is_known || (!seen->is_unlisted && (at_stack->is_unlisted ||
                                                          (at_stack->is_vague && !seen->is_vague)));
}

/* Why the thread waits, or waited, between two times. */
static struct wait_mark mark_of(const struct thread_waits *w, int64_t start_ts, int64_t end_ts)
{
    bool is_seen = w->seen.is_known && w->seen_ts >= start_ts && w->seen_ts <= end_ts;
    struct wait_mark mark = {.reason = EVENT_REASON_OTHER, .from = EVENT_FROM_NONE};
    if (w->has_stack && w->at_stack.is_known) {
        mark = w->at_stack;
    }
    if (is_seen && knows_more(&w->seen, &mark)) {
        mark = w->seen;
    }
    if (!mark.is_known && w->last.is_known) {
        mark = w->after[w->previous].is_known ? w->after[w->previous] : w->last;
        mark.from = EVENT_FROM_EARLIER;
    }
    if (is_seen && mark.is_vague && w->seen.reason != EVENT_REASON_OTHER) {
        mark = w->seen; /* a better guess: the memory around the futex was read for it */
    }
    if (mark.is_vague && mark.reason == EVENT_REASON_OTHER) {
        /* Still vague: its stack may know better. */
        bool has_earlier = w->last_futex.is_known;
        mark.reason = has_earlier ? w->last_futex.reason : EVENT_REASON_OTHER;
        mark.from = has_earlier ? EVENT_FROM_EARLIER : EVENT_FROM_NONE;
    }
    return mark;
}

static void learn(struct thread_waits *w, const struct wait_mark *mark)
{
    if (!mark->is_known || mark->from == EVENT_FROM_EARLIER || mark->from == EVENT_FROM_NONE) {
        return;
    }
    w->last = *mark;
    if (mark->is_vague) {
        w->last_futex = *mark;
    }
}

/* ---- stacks ---- */

static void keep_addresses(const struct follow *f, struct wait_stack *to,
                           const struct unwinder_stack *from, int64_t ts)
{
    size_t cap = to->cap;
    mem_reserve(&to->addresses, &cap, from->n, sizeof(uint64_t));
    to->cap = (uint32_t)cap;
    memcpy(to->addresses, from->addresses, from->n * sizeof(uint64_t));
    to->n = (uint16_t)from->n;
    to->n_kernel = (uint16_t)from->n_kernel;
    to->end = (uint8_t)from->end;
    to->is_guessed = from->is_guessed;
    to->is_chain = from->is_chain && f->options.unwinder;
    to->ts = ts;
}

/* ---- intervals ---- */

/* waker: NULL, or what ended it. */
static void end_interval(struct follow *f, struct target_thread *t,
                         const struct ledger_interval *interval, const struct wait_waker *waker)
{
    struct wait_candidate c = {.interval = *interval, .pid = t->process->pid, .tid = t->tid};
    c.interval.is_woken = waker && interval->is_woken;
    if (c.interval.is_woken) {
        c.waker = *waker;
        t->waits.woken_ts = interval->end_ts;
    }
    if (interval->state == EVENT_STATE_BLOCKED) {
        c.mark = mark_of(&t->waits, interval->start_ts, interval->end_ts);
        learn(&t->waits, &c.mark);
        if (c.mark.is_known && c.mark.from != EVENT_FROM_EARLIER) {
            t->waits.after[t->waits.previous] = c.mark;
        }
        t->waits.previous = c.mark.reason;
    }
    follow_intervals_add(f, t, &c);
}

/* ---- sums ---- */

static void tell_time(struct follow *f, struct target_thread *t, int64_t ts, bool is_end)
{
    const struct ledger *l = &t->waits.ledger;
    struct event_thread_time body = {
        .head.ts = ts,
        .pid = t->process->pid,
        .tid = t->tid,
        .start_ts = l->start_ts,
        .on_cpu_ns = l->on_cpu_ns,
        .runnable_ns = l->runnable_ns,
        .blocked_ns = l->blocked_ns,
        .unknown_ns = l->unknown_ns,
        .n_switches = l->n_switches,
        .open_ts = l->since_ts,
        .open_state = (uint8_t)l->state,
        .open_reason = EVENT_REASON_OTHER,
        .is_end = is_end,
    };
    if (l->state == EVENT_STATE_BLOCKED) {
        struct wait_mark mark = mark_of(&t->waits, l->since_ts, INT64_MAX);
        body.open_reason = mark.reason;
        body.head.flags = mark.is_vague ? EVENT_F_WAIT_IS_VAGUE : 0;
    }
    event_add_thread_time(&f->batch, &body);
}

/* The wait that the thread is in. */
static void tell_open_wait(struct follow *f, struct target_thread *t)
{
    const struct ledger_interval open = {
        .start_ts = t->waits.ledger.since_ts, .end_ts = INT64_MAX, .state = EVENT_STATE_BLOCKED};
    struct wait_mark mark = mark_of(&t->waits, open.start_ts, open.end_ts);
    struct event_off_cpu body = {.head.ts = f->ts,
                                 .head.flags = mark.is_vague ? EVENT_F_WAIT_IS_VAGUE : 0,
                                 .pid = t->process->pid,
                                 .tid = t->tid,
                                 .start_ts = open.start_ts,
                                 .state = EVENT_STATE_BLOCKED,
                                 .reason = mark.reason,
                                 .reason_from = mark.from};
    const struct wait_stack *stack = follow_intervals_stack(&t->waits, &open, &body.stack_from);
    if (stack) {
        body.n_kernel = stack->n_kernel;
        body.n_addresses = stack->n;
        body.stack_end = stack->end;
        body.is_guessed = stack->is_guessed;
    }
    uint64_t *addresses = event_add_off_cpu(&f->batch, EVENT_OPEN_WAIT, &body);
    if (stack) {
        memcpy(addresses, stack->addresses, stack->n * sizeof(uint64_t));
    }
}

static void forget(struct follow *f, struct target_thread *t)
{
    if (t->waits.changed_at) {
        f->waits.changed.items[t->waits.changed_at - 1] = NULL;
    }
    wanting_remove(&f->waits.wanting, t);
    t->waits.changed_at = 0;
}

int64_t follow_waits_end_thread(struct follow *f, struct target_thread *t, int64_t ts)
{
    struct ledger_interval ended;
    if (is_accounted(f, t)) {
        int64_t since_ts = t->waits.ledger.since_ts;
        ts = ts > since_ts ? ts : since_ts;
        if (ledger_end(&t->waits.ledger, &f->waits.losses, ts, &ended)) {
            end_interval(f, t, &ended, NULL);
        }
        follow_intervals_tell_folded(f, t, ts);
        tell_time(f, t, ts, true);
    }
    follow_wakers_end_thread(f, t, ts);
    forget(f, t);
    f->waits.ended_ts = ts > f->waits.ended_ts ? ts : f->waits.ended_ts;
    return ts;
}

/* ---- records ---- */

void follow_waits_exec(struct follow *f, struct target_thread *t, int64_t ts)
{
    struct ledger_interval ended;
    if (!f->options.has_switches) {
        return;
    }
    if (t->waits.is_held) {
        t->waits.is_held = false;
        ledger_start(&t->waits.ledger, &f->waits.losses, ts, EVENT_STATE_RUNNING);
    } else if (is_accounted(f, t) && ledger_exec(&t->waits.ledger, &f->waits.losses, ts, &ended)) {
        end_interval(f, t, &ended, NULL);
    }
    follow_intervals_tell(f); /* their stacks are of the image that goes */
    futexes_forget(&f->waits.futexes, t->process->pid);
    note_change(f, t);
}

void follow_waits_lose(struct follow *f, struct target_thread *t, int64_t ts)
{
    struct ledger_interval ended;
    if (is_accounted(f, t)) {
        if (ledger_lose(&t->waits.ledger, &f->waits.losses, ts, &ended)) {
            end_interval(f, t, &ended, NULL);
        }
        note_change(f, t);
    }
}

/* Whether nothing is known of a wait but that it is one, or for a futex of which no function on the
 * stack will tell more. */
static bool is_blind(const struct thread_waits *w)
{
    return !w->has_stack || !w->at_stack.is_known || w->at_stack.is_unlisted ||
           (w->at_stack.is_vague &&
            (w->at_stack.reason == EVENT_REASON_OTHER || w->stack.end != EVENT_STACK_END_ROOT));
}

static void begin_wait(struct follow *f, struct target_thread *t, int64_t ts)
{
    struct thread_waits *w = &t->waits;
    w->has_stack = w->stack.ts && ts - w->stack.ts <= STACK_AGE_NS;
    w->stack.ts = 0;
    bool is_clear = w->has_stack && !w->stack.is_chain && w->at_stack.is_known &&
                    !w->at_stack.is_vague && !w->at_stack.is_unlisted;
    if (!is_clear && f->options.has_proc) {
        wanting_add(&f->waits.wanting, t);
        f->waits.is_blind |= is_blind(w);
    }
}

void follow_waits_switch(struct follow *f, struct target_thread *t, const struct record *r,
                         int64_t ts)
{
    struct thread_waits *w = &t->waits;
    struct ledger_interval ended;
    bool has_ended;
    if (!is_accounted(f, t)) {
        return;
    }
    if (r->task_switch.is_out) {
        bool is_preempted = r->task_switch.is_preempted;
        has_ended = ledger_switch_out(&w->ledger, &f->waits.losses, ts, is_preempted, &ended);
    } else {
        has_ended = ledger_switch_in(&w->ledger, &f->waits.losses, ts, &ended);
    }
    if (has_ended) {
        end_interval(f, t, &ended, NULL);
    }
    w->has_stack = false;
    if (r->task_switch.is_out && !r->task_switch.is_preempted) {
        begin_wait(f, t, ts);
    }
    note_change(f, t);
}

void follow_waits_woken(struct follow *f, struct target_thread *t, int64_t ts,
                        const struct wait_waker *by)
{
    struct ledger_interval ended = {0};
    if (!is_accounted(f, t)) {
        return;
    }
    if (ledger_wake(&t->waits.ledger, &f->waits.losses, ts, &ended)) {
        end_interval(f, t, &ended, by);
    }
    note_change(f, t);
}

/* What the registers of a thread that is in futex(2) say: they still are the call's arguments. */
static void read_arguments(struct follow *f, const struct target_thread *t, const struct record *r,
                           struct wait_mark *mark)
{
    const struct unwind_arch *arch = unwind_arch_of_host();
    struct unwind_regs regs;
    if (!arch || r->sample.is_32_bit ||
        !unwind_regs_from_perf(arch, r->sample.user_regs, r->sample.n_user_regs, &regs)) {
        return;
    }
    struct wait_futex futex = {.address = regs.value[arch->arguments[0]],
                               .operation = (uint32_t)regs.value[arch->arguments[1]],
                               .value = (uint32_t)regs.value[arch->arguments[2]],
                               .sp = regs.value[arch->sp]};
    futex.thread = follow_find_thread(f, t->process->pid, wait_futex_tid(&futex));
    enum event_reason reason;
    enum wait_certainty certainty = wait_futex_reason(&futex, &reason);
    const struct futex_wait wait = {futex.address, t->process->pid, futex.operation, futex.value};
    bool is_other = false;
    if (certainty != WAIT_CERTAIN && futexes_find(&f->waits.futexes, &wait, &reason, &is_other)) {
        certainty = WAIT_GUESS;
    }
    if (certainty != WAIT_UNKNOWN) {
        *mark = known(reason, is_other ? EVENT_FROM_EARLIER : EVENT_FROM_SYSCALL,
                      certainty == WAIT_GUESS);
    }
}

/* What a kernel stack says. One without a function of the table does say that it is another wait
 * than those; one that ends in its innermost function was not walked. */
static struct wait_mark mark_of_stack(const struct wait_kernel *k, const struct unwinder_stack *s)
{
    const struct wait_row *row = wait_kernel_row(k, s->addresses, s->n_kernel);
    struct wait_mark mark = {0};
    if (row) {
        mark = known(row->reason, EVENT_FROM_KERNEL_STACK, row->is_vague);
    } else if (k->n && s->n_kernel > 1) {
        mark = known(EVENT_REASON_OTHER, EVENT_FROM_KERNEL_STACK, false);
        mark.is_unlisted = true;
    }
    return mark;
}

bool follow_waits_stack(struct follow *f, struct target_thread *t, const struct record *r,
                        int64_t ts, bool may_wait)
{
    struct thread_waits *w = &t->waits;
    struct unwinder_stack *s = &f->stack;
    if (!is_accounted(f, t)) {
        return true;
    }
    if (!unwinder_sample(f->options.unwinder, f->options.max_stack, t->process->space, r, may_wait,
                         s)) {
        return false;
    }
    w->at_stack = mark_of_stack(&f->waits.kernel, s);
    if (w->at_stack.is_vague &&
        wait_kernel_is_futex_call(&f->waits.kernel, s->addresses, s->n_kernel)) {
        read_arguments(f, t, r, &w->at_stack);
    }
    if (f->options.without_kernel) {
        s->n = follow_drop_kernel(s->addresses, s->n, &s->n_kernel);
    }
    keep_addresses(f, &w->stack, s, ts);
    return true;
}

int64_t follow_waits_sample(struct follow *f, struct target_thread *t, int64_t ts,
                            int64_t period_ns)
{
    struct ledger_interval ended;
    int64_t on_cpu_ns;
    if (!is_accounted(f, t)) {
        return period_ns;
    }
    if (ledger_sample(&t->waits.ledger, &f->waits.losses, ts, period_ns, &on_cpu_ns, &ended)) {
        end_interval(f, t, &ended, NULL);
    }
    note_change(f, t);
    return on_cpu_ns;
}

void follow_waits_note_cpu(struct follow *f, uint32_t cpu, int64_t ts)
{
    struct waits *w = &f->waits;
    if (cpu >= w->n_cpus && cpu < CPUS_MAX) {
        mem_reserve(&w->cpu_ts, &w->cap_cpus, cpu + 1, sizeof(*w->cpu_ts));
        for (; w->n_cpus <= cpu; w->n_cpus++) {
            w->cpu_ts[w->n_cpus] = 0;
        }
    }
    if (cpu < w->n_cpus) {
        w->cpu_ts[cpu] = ts;
    }
}

void follow_waits_lost(struct follow *f, uint32_t cpu, int64_t ts)
{
    struct waits *w = &f->waits;
    int64_t from_ts = cpu < w->n_cpus ? w->cpu_ts[cpu] : 0;
    ledger_lost(&w->losses, from_ts < ts ? from_ts : ts);
}

/* ---- drains ---- */

/* The stack of a thread that is blocked now: read, and then looked whether it still is where it
 * was. Which interval that is in shows when one ends that holds this moment. */
static void read_parked(struct follow *f, struct target_thread *t)
{
    struct thread_waits *w = &t->waits;
    struct wait_place before, after;
    int32_t pid = t->process->pid;
    w->wants_parked = false;
    bool has_stack = w->has_stack && !w->stack.is_chain;
    if (!f->options.unwinder || has_stack || !wait_probe_place(pid, t->tid, &before)) {
        return;
    }
    int64_t ts = clock_monotonic_ns();
    enum unwinder_answer answer = unwinder_parked(f->options.unwinder, t->process->space, pid,
                                                  before.sp, before.pc, &f->stack);
    w->wants_parked = answer == UNWINDER_PENDING;
    if (answer == UNWINDER_DONE && wait_probe_place(pid, t->tid, &after) &&
        memcmp(&before, &after, sizeof(before)) == 0) {
        keep_addresses(f, &w->parked, &f->stack, ts);
        note_change(f, t);
    }
}

static void probe(struct follow *f, struct target_thread *t)
{
    struct wait_seen seen;
    struct thread_waits *w = &t->waits;
    int64_t ts = clock_monotonic_ns();
    w->seen = (struct wait_mark){0};
    w->seen_ts = ts;
    if (!wait_probe(f->options.memory, follow_find_thread, f, t->process->pid, t->tid, &seen)) {
        return;
    }
    if (seen.is_vague && seen.futex.pid && seen.reason == EVENT_REASON_LOCK &&
        wait_futex_may_count(seen.futex.operation, seen.futex.value) &&
        futexes_is_count(&f->waits.futexes, &seen.futex)) {
        seen.reason = EVENT_REASON_IDLE;
    }
    w->seen = known(seen.reason, seen.from, seen.is_vague);
    w->seen.is_unlisted = seen.is_unlisted;
    if (seen.futex.pid && seen.reason != EVENT_REASON_OTHER) {
        futexes_note(&f->waits.futexes, &seen.futex, seen.reason);
    }
    if (!w->seen.is_vague || w->seen.reason != EVENT_REASON_OTHER) {
        learn(w, &w->seen);
    }
    note_change(f, t);
}

/* Asks for no longer than a part of the time allows, the threads first that have waited longest:
 * when not all can be asked, those whose waits are short are left out. */
static void probe_some(struct follow *f)
{
    struct wanting *wanting = &f->waits.wanting;
    int64_t now = clock_monotonic_ns();
    size_t n_due = wanting_gather(wanting, now);
    int64_t began_ns = n_due ? clock_thread_cpu_ns() : 0;
    for (size_t i = 0; i < n_due && wanting_has_time(wanting); i++) {
        struct target_thread *t = wanting->due.items[i];
        probe(f, t);
        read_parked(f, t);
        int64_t ended_ns = clock_thread_cpu_ns();
        wanting_spend(wanting, ended_ns - began_ns);
        began_ns = ended_ns;
        if (!t->waits.wants_parked) {
            wanting_remove(wanting, t);
        }
    }
    f->waits.is_blind = false;
    for (size_t i = 0; i < wanting->list.n && !f->waits.is_blind; i++) {
        const struct target_thread *t = wanting->list.items[i];
        f->waits.is_blind = t && is_blind(&t->waits);
    }
}

static void tell_changed(struct follow *f, int64_t ts)
{
    struct thread_list *list = &f->waits.changed;
    size_t n_kept = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct target_thread *t = list->items[i];
        if (!t) {
            continue;
        }
        ledger_settle(&t->waits.ledger, &f->waits.losses, ts);
        bool is_blocked = t->waits.ledger.state == EVENT_STATE_BLOCKED;
        bool is_long = ts - t->waits.ledger.since_ts >= OPEN_NS;
        if (t->waits.has_changed || !is_blocked || is_long) {
            follow_intervals_tell_folded(f, t, ts);
            tell_time(f, t, ts, false);
        }
        t->waits.has_changed = false;
        t->waits.changed_at = 0;
        if (is_blocked && is_long) {
            tell_open_wait(f, t);
        }
        /* One that runs goes on changing without a record, a wait becomes a long one. */
        if (t->waits.ledger.state == EVENT_STATE_RUNNING || (is_blocked && !is_long)) {
            list->items[n_kept++] = t;
            t->waits.changed_at = n_kept;
        }
    }
    list->n = n_kept;
}

bool follow_is_blind(const struct follow *f)
{
    return f->options.has_proc && f->waits.is_blind;
}

void follow_look(struct follow *f)
{
    if (f->options.has_switches && f->options.has_proc) {
        probe_some(f);
    }
}

void follow_waits_tick(struct follow *f, int64_t limit_ts)
{
    struct waits *w = &f->waits;
    if (!f->options.has_switches) {
        return;
    }
    follow_intervals_tell(f);
    if (f->options.has_proc) {
        probe_some(f);
    }
    tell_changed(f, limit_ts);
    follow_intervals_allow(f, limit_ts - w->drained_ts);
    w->drained_ts = limit_ts;
}

void follow_waits_end(struct follow *f, int64_t ts)
{
    size_t slot = 0;
    for (struct target_process *p; (p = target_next(&f->target, &slot));) {
        for (struct target_thread *t = p->threads; t; t = t->next) {
            follow_waits_end_thread(f, t, ts);
        }
    }
    follow_intervals_tell(f);
    /* The end of one thread's interval may have folded that of another. */
    slot = 0;
    for (struct target_process *p; (p = target_next(&f->target, &slot));) {
        for (struct target_thread *t = p->threads; t; t = t->next) {
            follow_intervals_tell_folded(f, t, ts);
        }
    }
}

void follow_waits_free(struct follow *f)
{
    struct waits *w = &f->waits;
    ledger_losses_free(&w->losses);
    free(w->cpu_ts);
    free(w->changed.items);
    wanting_free(&w->wanting);
    buf_free(&w->stacks);
    wait_kernel_free(&w->kernel);
}
