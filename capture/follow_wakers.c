/*
 * follow_wakers.c - the part of follow.h that tells who ended a wait.
 *
 * A wakeup is seen on the thread that does it, if that is one of the target's, and for watched
 * threads (watch.h) wherever it comes from. The ledger of the thread that is woken takes the first
 * of both.
 */
#include "capture/follow_state.h"

#include <string.h>

#include "capture/waking.h"

/* So often in the mean, and that much more. */
static const int64_t FAST_NS = 2000000;
enum { FAST_AT_ONCE = 100 };
static const int64_t ENDED_NS = 1000000000; /* a thread that ended may wake others so much later */

void follow_wakers_tell(struct follow *f, const struct wait_candidate *c)
{
    struct event_wakeup body = {
        .head.ts = f->ts,
        .pid = c->pid,
        .tid = c->tid,
        .waker_pid = c->waker.pid,
        .waker_tid = c->waker.tid,
        .wake_ts = c->interval.end_ts,
        .dur_ns = c->interval.end_ts - c->interval.start_ts,
        .waker = c->waker.kind,
        .stack_end = c->waker_stack_end,
        .n_kernel = c->n_waker_kernel,
        .n_addresses = c->n_waker_addresses,
    };
    uint64_t *addresses = event_add_wakeup(&f->batch, &body);
    if (c->n_waker_addresses) {
        memcpy(addresses, f->waits.stacks.data + c->waker_stack_at,
               c->n_waker_addresses * sizeof(uint64_t));
    }
}

static void tell_folded_waker(struct follow *f, struct target_thread *t, int i, int64_t ts)
{
    struct event_wakeups_folded body = {
        .head.ts = ts,
        .pid = t->process->pid,
        .tid = t->tid,
        .waker_pid = t->waits.folded_wakers[i].waker.pid,
        .waker_tid = t->waits.folded_wakers[i].waker.tid,
        .waker = t->waits.folded_wakers[i].waker.kind,
        .n_wakeups = t->waits.folded_wakers[i].n,
        .dur_ns = t->waits.folded_wakers[i].dur_ns,
    };
    event_add_wakeups_folded(&f->batch, &body);
    t->waits.folded_wakers[i].n = 0;
    t->waits.folded_wakers[i].dur_ns = 0;
}

void follow_wakers_fold(struct follow *f, struct target_thread *t, const struct wait_candidate *c)
{
    const struct wait_waker *waker = &c->waker;
    int i = 0, free_at = -1; /* the first one makes room for a fifth */
    for (; i < FOLDED_WAKERS; i++) {
        const struct wait_waker *known_one = &t->waits.folded_wakers[i].waker;
        if (!t->waits.folded_wakers[i].n) {
            free_at = free_at < 0 ? i : free_at;
        } else if (known_one->kind == waker->kind && known_one->tid == waker->tid &&
                   known_one->pid == waker->pid) {
            break;
        }
    }
    if (i == FOLDED_WAKERS) {
        i = free_at < 0 ? 0 : free_at;
        if (t->waits.folded_wakers[i].n) {
            tell_folded_waker(f, t, i, f->ts);
        }
        t->waits.folded_wakers[i].waker = *waker;
    }
    t->waits.folded_wakers[i].n++;
    t->waits.folded_wakers[i].dur_ns += c->interval.end_ts - c->interval.start_ts;
}

bool follow_wakers_is_by(const struct wait_waker *waker, int32_t pid, int32_t tid)
{
    return waker->kind == EVENT_WAKER_THREAD && waker->pid == pid && waker->tid == tid;
}

void follow_wakers_tell_folded(struct follow *f, struct target_thread *t, int64_t ts)
{
    for (int i = 0; i < FOLDED_WAKERS; i++) {
        if (t->waits.folded_wakers[i].n) {
            tell_folded_waker(f, t, i, ts);
        }
    }
}

void follow_wakers_keep_stack(struct follow *f, struct wait_candidate *c)
{
    const struct record *r = c->waker.record;
    c->waker.record = NULL;
    if (!c->interval.is_woken || !r || c->waker.kind != EVENT_WAKER_THREAD) {
        return;
    }
    struct unwinder_stack *s = &f->stack;
    const struct target_thread *t = target_thread(&f->target, c->waker.tid);
    const struct address_space *space = t ? t->process->space : NULL;
    unwinder_sample(f->options.unwinder, f->options.max_stack, space, r, false, s);
    /* Without a copy of the stack there is the kernel's chain, which ends where frame pointers do.
     */
    if (f->options.unwinder && s->is_chain && s->end == EVENT_STACK_END_ROOT &&
        !(s->n > s->n_kernel &&
          unwinder_is_root(f->options.unwinder, space, r->ts, s->addresses[s->n - 1]))) {
        s->end = EVENT_STACK_END_NO_CFI;
    }
    if (f->options.without_kernel) {
        s->n = follow_drop_kernel(s->addresses, s->n, &s->n_kernel);
    }
    c->n_waker_addresses = (uint16_t)s->n;
    c->n_waker_kernel = (uint16_t)s->n_kernel;
    c->waker_stack_end = (uint8_t)s->end;
    c->waker_stack_at = f->waits.stacks.len;
    buf_add(&f->waits.stacks, s->addresses, s->n * sizeof(uint64_t));
}

void follow_wakers_end_thread(struct follow *f, const struct target_thread *t, int64_t ts)
{
    struct waits *w = &f->waits;
    w->ended[w->n_ended++ % WAITS_ENDED] =
        (struct waits_ended){.ts = ts, .pid = t->process->pid, .tid = t->tid};
}

/* ---- records ---- */

/* Takes a record apart; NULL: it is about no thread of the target. */
static struct target_thread *woken_by(struct follow *f, const struct record *r, int64_t ts,
                                      struct waking *waking)
{
    const size_t *pid_offset = f->options.waking_pid_offset;
    if (!pid_offset || !*pid_offset ||
        !waking_parse(r->sample.raw, r->sample.n_raw_bytes, *pid_offset, waking)) {
        follow_loss(f, ts, r->cpu, EVENT_LOSS_MALFORMED, 1);
        return NULL;
    }
    return target_thread(&f->target, waking->tid);
}

static bool is_interrupt(struct follow *f, const struct record *r, const struct waking *waking)
{
    if (waking->is_hard_irq || waking->waker_tid == 0 || !waking->is_soft_irq) {
        return waking->is_hard_irq || waking->waker_tid == 0;
    }
    struct unwinder_stack *s = &f->stack;
    unwinder_sample(NULL, f->options.max_stack, NULL, r, false, s);
    return !wait_kernel_is_soft_irq_call(&f->waits.kernel, s->addresses, s->n_kernel);
}

void follow_wakers_waking(struct follow *f, struct target_thread *waker, const struct record *r,
                          int64_t ts)
{
    struct waking waking;
    struct target_thread *t = woken_by(f, r, ts, &waking);
    /* Both ids of the waker differ where this process counts in another namespace than the host
     * does; the one that is woken cannot be told then. */
    if (!t || waking.waker_tid != r->tid) {
        return;
    }
    struct wait_waker by = {
        .kind = EVENT_WAKER_THREAD, .pid = waker->process->pid, .tid = waker->tid, .record = r};
    if (is_interrupt(f, r, &waking)) {
        by = (struct wait_waker){.kind = EVENT_WAKER_INTERRUPT};
    }
    follow_waits_woken(f, t, ts, &by);
}

/* Whether it is a thread of the target, also one that has just ended: its end wakes who joins it.
 */
static bool is_of_target(const struct follow *f, const struct wait_waker *by, int64_t ts)
{
    const struct target_thread *t = target_thread(&f->target, by->tid);
    if (t) {
        return t->process->pid == by->pid;
    }
    for (size_t i = 0; i < WAITS_ENDED; i++) {
        const struct waits_ended *e = &f->waits.ended[i];
        if (e->ts && e->tid == by->tid && e->pid == by->pid && ts - e->ts < ENDED_NS) {
            return true;
        }
    }
    return false;
}

/* Only where this process counts as the host does (watch.c). A thread that the kernel has all but
 * buried has no ids in the record any more, and an interrupt may come upon it as upon any other. */
void follow_wakers_watched(struct follow *f, const struct record *r, int64_t ts)
{
    struct waking waking;
    struct target_thread *t = woken_by(f, r, ts, &waking);
    if (!t) {
        return;
    }
    struct wait_waker by = {
        .kind = EVENT_WAKER_OUTSIDE, .pid = r->pid, .tid = waking.waker_tid, .record = r};
    if (is_interrupt(f, r, &waking)) {
        by = (struct wait_waker){.kind = EVENT_WAKER_INTERRUPT};
    } else if (r->pid <= 0) {
        follow_loss(f, ts, r->cpu, EVENT_LOSS_MALFORMED, 1);
        return;
    } else if (is_of_target(f, &by, ts)) {
        by.kind = EVENT_WAKER_THREAD;
    }
    follow_waits_woken(f, t, ts, &by);
}

/* ---- whom to watch ---- */

size_t follow_watch_list(const struct follow *f, int64_t longer_ns, int64_t now, int32_t *tids,
                         size_t max)
{
    int64_t since[FOLLOW_WATCH_MAX];
    size_t slot = 0, n = 0;
    max = max < FOLLOW_WATCH_MAX ? max : FOLLOW_WATCH_MAX;
    for (struct target_process *p; (p = target_next(&f->target, &slot));) {
        for (struct target_thread *t = p->threads; t; t = t->next) {
            const struct ledger *l = &t->waits.ledger;
            bool is_off = l->is_started && l->state == EVENT_STATE_BLOCKED;
            int64_t since_ts = is_off ? l->since_ts : INT64_MAX;
            /* One that switches fast would take all the records that may come. */
            bool is_fast = now > l->start_ts &&
                           l->n_switches > (uint64_t)(now - l->start_ts) / FAST_NS + FAST_AT_ONCE;
            if (longer_ns && (!is_off || is_fast || now - since_ts < longer_ns)) {
                continue;
            }
            /* The longest first; the last of a full list goes. */
            size_t at = n;
            while (at > 0 && since[at - 1] > since_ts) {
                at--;
            }
            if (at >= max) {
                continue;
            }
            n += n < max;
            memmove(since + at + 1, since + at, (n - 1 - at) * sizeof(*since));
            memmove(tids + at + 1, tids + at, (n - 1 - at) * sizeof(*tids));
            since[at] = since_ts;
            tids[at] = t->tid;
        }
    }
    return n;
}
