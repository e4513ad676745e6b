/*
 * follow_intervals.c - the part of follow.h that tells of intervals: singly up to a rate, the
 * longest of each drain first, and all long ones; the others added up by thread and reason.
 */
#include <string.h>

#include "capture/follow_state.h"

enum {
    INTERVALS_HZ = 2000,   /* told singly */
    LONG_PER_DRAIN = 1000, /* ... and so many of the long ones */
    SHOWN_PER_DRAIN = 20,
};
static const int64_t DRAIN_MAX_NS = 1000000000; /* that allows for more intervals */
static const int64_t LONG_NS = 10000000;
static const int64_t STEP_NS = 100000; /* from a wakeup to the CPU: a shorter time is summed up */

static void tell_interval(struct follow *f, const struct wait_candidate *c)
{
    if (c->interval.is_woken) {
        follow_wakers_tell(f, c);
    }
    struct event_off_cpu body = {
        .head.ts = f->ts,
        .head.flags = c->mark.is_vague ? EVENT_F_WAIT_IS_VAGUE : 0,
        .pid = c->pid,
        .tid = c->tid,
        .start_ts = c->interval.start_ts,
        .dur_ns = c->interval.end_ts - c->interval.start_ts,
        .state = (uint8_t)c->interval.state,
        .reason = c->mark.reason,
        .reason_from = c->mark.from,
        .stack_from = c->stack_from,
        .n_kernel = c->n_kernel,
        .n_addresses = c->n_addresses,
        .stack_end = c->stack_end,
        .is_guessed = c->is_guessed,
    };
    uint64_t *addresses = event_add_off_cpu(&f->batch, EVENT_OFF_CPU, &body);
    if (c->n_addresses) {
        memcpy(addresses, f->waits.stacks.data + c->stack_at, c->n_addresses * sizeof(uint64_t));
    }
}

/* t: its thread. */
static void fold_of(struct follow *f, struct target_thread *t, const struct wait_candidate *c)
{
    int64_t dur_ns = c->interval.end_ts - c->interval.start_ts;
    size_t at = c->interval.state == EVENT_STATE_RUNNABLE ? FOLDED_RUNNABLE
                                                          : FOLDED_REASONS + c->mark.reason;
    if (c->interval.state == EVENT_STATE_BLOCKED && c->mark.is_vague) {
        at = FOLDED_VAGUE + c->mark.reason;
    }
    t->waits.folded[at].n++;
    t->waits.folded[at].dur_ns += dur_ns;
    if (c->interval.state == EVENT_STATE_BLOCKED && c->mark.from == EVENT_FROM_EARLIER) {
        t->waits.folded[at].guessed_ns += dur_ns;
    }
    if (c->interval.is_woken) {
        follow_wakers_fold(f, t, c);
    }
}

static void fold(struct follow *f, const struct wait_candidate *c)
{
    struct target_thread *t = target_thread(&f->target, c->tid);
    if (t && t->process->pid == c->pid) {
        fold_of(f, t, c);
    } else {
        tell_interval(f, c); /* its thread is gone: there is nobody to add it to */
    }
}

static int64_t candidate_ns(const struct waits *w, size_t i)
{
    return w->candidates[i].interval.end_ts - w->candidates[i].interval.start_ts;
}

static void swap_candidates(struct waits *w, size_t a, size_t b)
{
    struct wait_candidate kept = w->candidates[a];
    w->candidates[a] = w->candidates[b];
    w->candidates[b] = kept;
}

static void sift_down(struct waits *w)
{
    for (size_t i = 0;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t child = left; child < left + 2 && child < w->n_candidates; child++) {
            least = candidate_ns(w, child) < candidate_ns(w, least) ? child : least;
        }
        if (least == i) {
            return;
        }
        swap_candidates(w, i, least);
        i = least;
    }
}

static void push_candidate(struct waits *w, const struct wait_candidate *c)
{
    size_t i = w->n_candidates++;
    w->candidates[i] = *c;
    while (i && candidate_ns(w, i) < candidate_ns(w, (i - 1) / 2)) {
        swap_candidates(w, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

/* The stack of an interval: as the thread left its CPU, else as it was seen to wait. */
const struct wait_stack *follow_intervals_stack(const struct thread_waits *w,
                                                const struct ledger_interval *interval,
                                                uint8_t *from)
{
    const struct wait_stack *parked = &w->parked;
    bool is_blocked = interval->state == EVENT_STATE_BLOCKED;
    bool has_switch = is_blocked && w->has_stack && w->stack.n;
    bool has_parked = is_blocked && parked->n && parked->ts >= interval->start_ts &&
                      parked->ts <= interval->end_ts;
    bool is_better = has_parked && parked->end == EVENT_STACK_END_ROOT && w->stack.is_chain;
    if (has_parked && (!has_switch || is_better)) {
        *from = EVENT_STACK_PARKED;
        return parked;
    }
    if (has_switch) {
        *from = EVENT_STACK_SWITCH;
        return &w->stack;
    }
    return NULL;
}

static void keep_stack(struct waits *w, const struct thread_waits *of, struct wait_candidate *c)
{
    const struct wait_stack *s = follow_intervals_stack(of, &c->interval, &c->stack_from);
    if (!s) {
        return;
    }
    c->n_kernel = s->n_kernel;
    c->n_addresses = s->n;
    c->stack_end = s->end;
    c->is_guessed = s->is_guessed;
    c->stack_at = w->stacks.len;
    buf_add(&w->stacks, s->addresses, s->n * sizeof(uint64_t));
}

void follow_intervals_add(struct follow *f, struct target_thread *t, const struct wait_candidate *c)
{
    struct waits *w = &f->waits;
    const struct ledger_interval *interval = &c->interval;
    int64_t dur_ns = interval->end_ts - interval->start_ts;
    /* Some of the short ones with a stack of their own show where the folded ones wait. */
    bool is_shown = t->waits.has_stack && interval->state == EVENT_STATE_BLOCKED &&
                    w->n_shown < SHOWN_PER_DRAIN;
    w->n_shown += is_shown;
    bool is_long = (dur_ns >= LONG_NS && w->n_long < LONG_PER_DRAIN) || is_shown;
    bool is_full = w->n_candidates >= w->n_candidates_max;
    /* Nearly every wakeup is followed by a little time in the queue. */
    bool is_step = interval->state == EVENT_STATE_RUNNABLE && dur_ns < STEP_NS &&
                   t->waits.woken_ts && interval->start_ts == t->waits.woken_ts;
    bool is_short = !is_long && is_full && (!w->n_candidates || dur_ns <= candidate_ns(w, 0));
    if (is_step || is_short) {
        fold_of(f, t, c);
        return;
    }
    struct wait_candidate kept = *c;
    keep_stack(w, &t->waits, &kept);
    follow_wakers_keep_stack(f, &kept);
    if (is_long) {
        w->n_long++;
        tell_interval(f, &kept);
        return;
    }
    if (is_full) {
        fold(f, &w->candidates[0]);
        w->candidates[0] = kept;
        sift_down(w);
    } else {
        push_candidate(w, &kept);
    }
}

void follow_intervals_tell(struct follow *f)
{
    struct waits *w = &f->waits;
    for (size_t i = 0; i < w->n_candidates; i++) {
        tell_interval(f, &w->candidates[i]);
    }
    w->n_candidates_max -= w->n_candidates;
    w->n_candidates = 0;
    buf_clear(&w->stacks);
}

void follow_intervals_allow(struct follow *f, int64_t drain_ns)
{
    struct waits *w = &f->waits;
    int64_t budget =
        (drain_ns < DRAIN_MAX_NS ? drain_ns : DRAIN_MAX_NS) * INTERVALS_HZ / 1000000000 + 1;
    bool is_full = f->queued_bytes >= queue_max_bytes(f->options.out);
    w->n_candidates_max = is_full || budget < 0     ? 0
                          : budget < CANDIDATES_MAX ? (size_t)budget
                                                    : CANDIDATES_MAX;
    w->n_long = is_full ? LONG_PER_DRAIN : 0;
    w->n_shown = is_full ? SHOWN_PER_DRAIN : 0;
}

void follow_intervals_tell_folded(struct follow *f, struct target_thread *t, int64_t ts)
{
    for (int i = 0; i < N_FOLDED; i++) {
        if (!t->waits.folded[i].n) {
            continue;
        }
        bool is_vague = i >= FOLDED_VAGUE && i < FOLDED_REASONS;
        struct event_off_cpu_folded body = {
            .head.ts = ts,
            .head.flags = is_vague ? EVENT_F_WAIT_IS_VAGUE : 0,
            .pid = t->process->pid,
            .tid = t->tid,
            .state = i == FOLDED_RUNNABLE ? EVENT_STATE_RUNNABLE : EVENT_STATE_BLOCKED,
            .reason = i >= FOLDED_REASONS ? (uint8_t)(i - FOLDED_REASONS)
                      : is_vague          ? (uint8_t)(i - FOLDED_VAGUE)
                                          : EVENT_REASON_OTHER,
            .n_intervals = t->waits.folded[i].n,
            .dur_ns = t->waits.folded[i].dur_ns,
            .guessed_ns = t->waits.folded[i].guessed_ns,
        };
        event_add_off_cpu_folded(&f->batch, &body);
    }
    memset(t->waits.folded, 0, sizeof(t->waits.folded));
    follow_wakers_tell_folded(f, t, ts);
}

/* Ids come back at once in an exec only: others are not looked for among the folded. */
static void tell_folded_by(struct follow *f, int32_t pid, int32_t tid)
{
    struct thread_list *list = &f->waits.changed;
    for (size_t i = 0; i < list->n; i++) {
        struct target_thread *t = list->items[i];
        for (int k = 0; t && k < FOLDED_WAKERS; k++) {
            if (t->waits.folded_wakers[k].n &&
                follow_wakers_is_by(&t->waits.folded_wakers[k].waker, pid, tid)) {
                follow_wakers_tell_folded(f, t, f->ts);
            }
        }
    }
}

void follow_intervals_tell_earlier(struct follow *f, const struct target_process *p, int32_t tid)
{
    const struct waits *w = &f->waits;
    bool is_kept = false;
    for (size_t i = 0; i < w->n_candidates && !is_kept; i++) {
        const struct wait_candidate *c = &w->candidates[i];
        is_kept = (c->pid == p->pid && c->tid == tid) ||
                  (c->interval.is_woken && follow_wakers_is_by(&c->waker, p->pid, tid));
    }
    if (is_kept) {
        follow_intervals_tell(f);
    }
    if (tid == p->pid && p->n_threads) {
        tell_folded_by(f, p->pid, tid);
    }
}
