/*
 * capture.c - see capture.h.
 *
 * The drain: wait for a ring to fill or 40 ms to pass; move every ring's records into the order
 * buffer; tell those that are old enough that nothing older can still come; look whether the target
 * is gone. In between, where only /proc can say why a thread waits, it is asked every 8 ms. The
 * thread waits for nothing else but the target's memory, for 35 ms at most in each drain.
 */
#include "capture/capture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/ability.h"
#include "capture/attach.h"
#include "capture/bound.h"
#include "capture/events.h"
#include "capture/follow.h"
#include "capture/order.h"
#include "capture/priority.h"
#include "capture/proc.h"
#include "capture/record.h"
#include "capture/target_memory.h"
#include "capture/thread_counters.h"
#include "capture/watch.h"
#include "capture/unwinder.h"
#include "capture/wait_probe.h"

enum {
    RING_BYTES = 512 << 10,       /* what an unprivileged user may lock per CPU by default */
    UNWIND_RING_BYTES = 4 << 20,  /* what whole stacks need; less is granted to most */
    WAITING_BYTES_MAX = 64 << 20, /* of records, for the tables that unwind them or to be told */
    TABLES_BYTES_MAX = 512 << 20,
    DRAIN_MS = 40,
    LOOK_MS = 8,
    END_MS = 12, /* the last drains: as soon as the slack has passed */
    MAX_STACK = 127,
    KALLSYMS_BYTES_MAX = 128 << 20,
    NO_REASON = -1,
    FULL_BYTES = 256, /* a ring with no more room than this may have lost records */
    FIRST_RING_FD = 3,
    LOOK_EVERY = 16,      /* records told, between two looks at the clock */
    STACKS_HZ = 2000,     /* stacks of context switches, in the long run */
    STACKS_AT_ONCE = 800, /* ... and in a burst */
    STACKS_FEW_HZ = 8000, /* so many switches are few: all of them */
    WAKINGS_HZ = 4000,    /* the same for wakeups */
    WAKINGS_AT_ONCE = 1600,
};
/* A record is stamped before it is written; this long at most, a stolen CPU apart. */
static const int64_t SLACK_NS = 10000000;
/* Without stacks of switches, threads are looked at soon for so long after the last one. */
static const int64_t RESTLESS_NS = 2000000000;
/* With a table that is being made: half a second for the largest, and a busy host may keep the
 * thread that makes it off its CPU for seconds. */
static const int64_t PATIENCE_NS = 3000000000;
/* Telling a backlog may take seconds: rings are drained in between, and what else a drain is for is
 * done after so long, before the rest is told. */
static const int64_t TELL_NS = 5000000, TELL_MAX_NS = 100000000;
static const int64_t VERIFY_NS = 500000000;
static const int64_t FUTURE_NS = 1000000000;      /* a stamp further ahead is no time at all */
static const int64_t LINGER_NS = 100000000;       /* descendants that outlive the main process */
static const int64_t PERIOD_MAX_NS = 10000000000; /* a longer period is not one of ours */
/* CPU time without samples that is worth a warning: more than this and one part of so many. */
static const int64_t UNSAMPLED_NS = 50000000;
enum { UNSAMPLED_PART = 20 };

struct capture {
    struct capture_options options;
    struct events events;
    struct order order;
    struct follow *follow;
    struct attach *attach;     /* while threads are armed */
    struct unwinder *unwinder; /* NULL: stacks are as the kernel gives them */
    struct target_memory *memory;
    struct capture_ability abilities[ABILITIES_MAX];
    size_t n_abilities;
    int kallsyms;                 /* a copy, for whoever takes it; -1: none */
    struct counter_list counters; /* what is counted; events forget it at the end */
    int64_t period_ns;
    int wake_fd; /* eventfd: stop */
    int pid_fd;  /* of the main process, -1 once it ended */
    struct pollfd *fds;
    size_t n_fds;
    pthread_t thread;
    bool is_started;
    _Atomic int stop_reason; /* enum event_end_reason or NO_REASON; the first one wins */
    int64_t start_ts;        /* CLOCK_MONOTONIC ns, when the first event was armed */
    int64_t deadline_ns;     /* CLOCK_MONOTONIC, 0: none */
    int64_t main_gone_ts;    /* ns, when the main process was seen to be gone; 0: it is there */
    int64_t verified_ts, ticked_ts;
    int64_t left_ts;  /* ns, when a thread was last seen to leave its CPU by itself */
    int64_t limit_ts; /* ns, all that is older has been drained */
    bool has_backlog; /* some of that was not told, for want of time */
    uint64_t n_late_told, n_malformed;
    struct bound stacks, wakings;
    struct watch watch;
    uint64_t n_watched; /* records for it, in this drain */
    uint64_t n_watched_all;
    uint64_t n_stacks_lost, n_stacks_lost_told;
    bool is_ending;             /* the last drain */
    int64_t sampled_ns;         /* that samples stood for, those left out later included */
    uint64_t n_ring_lost;       /* records that the rings said they lost */
    pthread_mutex_t lock;       /* of stats */
    struct capture_stats stats; /* as of the last drain */
};

static int parse(const struct capture *c, const void *bytes, size_t size, struct record *r)
{
    const struct record_format *format = NULL;
    if (record_is_sample(bytes, size)) { /* nothing else has one */
        format = events_format(&c->events, record_id(bytes, size));
    }
    return record_parse(bytes, size, format, r);
}

/* What events_read() is compared with at the end. */
static void count(struct capture *c, const struct record *r)
{
    if (r->kind == RECORD_LOST) {
        c->n_ring_lost += r->n_lost;
    } else if (r->kind == RECORD_SAMPLE && r->sample.period <= (uint64_t)PERIOD_MAX_NS) {
        uint32_t source = map_get(&c->events.sources, r->id);
        bool is_open = source != 0 && !(source & ~EVENTS_TID_MASK); /* nor EVENTS_DISCARDED */
        c->sampled_ns += is_open ? (int64_t)r->sample.period : 0;
    }
}

/* Notes a ring's fill and its loss of records that have no place in time. */
static void note_drain(struct capture *c, const struct ring *ring, size_t waiting)
{
    c->n_malformed += ring->is_bad;
    if (waiting > c->stats.peak_ring_bytes) {
        pthread_mutex_lock(&c->lock);
        c->stats.peak_ring_bytes = waiting;
        pthread_mutex_unlock(&c->lock);
    }
}

/* Whether a record goes on; those that are lost or make no sense are counted. */
static bool is_good(struct capture *c, const void *bytes, size_t size, int64_t now,
                    struct record *r)
{
    if (parse(c, bytes, size, r) != 0 || r->ts > now + FUTURE_NS) {
        c->n_malformed++;
        return false;
    }
    return r->kind != RECORD_OTHER;
}

static void keep(struct capture *c, const struct record *r, size_t size)
{
    size_t n = record_trimmed_size(r, size);
    if (r->kind == RECORD_SWITCH && r->task_switch.is_out && !r->task_switch.is_preempted) {
        c->left_ts = r->ts;
        c->stacks.n_offered++;
    } else if (r->kind == RECORD_SAMPLE) {
        uint32_t source = map_get(&c->events.sources, r->id);
        bound_take(&c->stacks, (source & EVENTS_SWITCH_STACK) != 0);
        bound_take(&c->wakings, source & EVENTS_WAKING && source != EVENTS_WATCH);
        c->n_watched += source == EVENTS_WATCH;
        c->n_watched_all += source == EVENTS_WATCH;
    }
    record_trim(r, size, order_room(&c->order, r->ts, n));
}

/* Moves the records of one ring into the order buffer. */
static void drain_ring(struct capture *c, size_t index, int64_t now)
{
    struct ring *ring = &c->events.rings[index];
    int64_t last_ts = 0;
    size_t waiting = ring_begin(ring), size;
    for (const void *bytes; (bytes = ring_next(ring, &size));) {
        struct record r;
        if (is_good(c, bytes, size, now, &r)) {
            count(c, &r);
            if (c->attach) {
                attach_see(c->attach, &r);
            }
            keep(c, &r, size);
            last_ts = r.ts;
        }
    }
    note_drain(c, ring, waiting);
    ring_end(ring);
    if (last_ts && waiting + FULL_BYTES >= ring->data_bytes) {
        /* The kernel tells of what it lost with the next record only; time that nothing is known
         * of begins now. At the end there is no next record: one at least, if nobody counts them.
         */
        bool is_told = c->is_ending && !c->events.counts_lost;
        uint64_t lost[RECORD_LOST_WORDS];
        record_make_lost(lost, last_ts, (uint32_t)c->events.cpus.pids[index], is_told);
        order_add(&c->order, last_ts, lost, sizeof(lost));
    }
}

/* The same of a ring for stacks of switches, where a loss means waits without stacks. */
static void drain_stacks(struct capture *c, struct ring *ring, int64_t now)
{
    size_t size;
    ring_begin(ring);
    for (const void *bytes; (bytes = ring_next(ring, &size));) {
        struct record r;
        if (!is_good(c, bytes, size, now, &r)) {
            continue;
        }
        if (r.kind == RECORD_LOST) {
            c->n_stacks_lost += r.n_lost;
        } else {
            keep(c, &r, size);
        }
    }
    c->n_malformed += ring->is_bad;
    ring_end(ring);
}

static void drain(void *ctx)
{
    struct capture *c = ctx;
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < c->events.cpus.n; i++) {
        if (c->events.stack_rings) {
            drain_stacks(c, &c->events.stack_rings[i], now);
        }
        drain_ring(c, i, now);
    }
}

/* Switches a kind of events off while there are more than the host should pay for. Durations of
 * waits stay exact; so does the account of what has a stack or a waker and what has not. */
static void keep_bound(struct capture *c, struct bound *b, uint32_t kind, int64_t now)
{
    bound_adapt(b, now);
    if (bound_keep(b, now)) {
        events_set(&c->events, kind, !b->is_off);
    }
}

/* Whether a record may wait for the table that its stack needs. */
static bool may_wait(const struct capture *c, int64_t ts, int64_t now)
{
    return c->unwinder && now - ts < PATIENCE_NS && order_bytes(&c->order) < WAITING_BYTES_MAX;
}

/* Drains the rings unless too much waits to be told already: then they fill, and what finds no room
 * is lost and counted. false: it was left to them. */
static bool drain_bounded(struct capture *c, int64_t now)
{
    bool has_room = order_bytes(&c->order) < WAITING_BYTES_MAX;
    if (has_room) {
        drain(c);
    } else { /* nothing was seen, which is not few */
        bound_restart(&c->stacks, STACKS_HZ, now);
    }
    keep_bound(c, &c->stacks, EVENTS_SWITCH_STACK, now);
    keep_bound(c, &c->wakings, EVENTS_WAKING, now);
    return has_room;
}

/* Drains the rings, as telling has taken long; not at the end, when all was drained. */
static int64_t drain_meanwhile(struct capture *c, int64_t drained_ts)
{
    int64_t now = clock_monotonic_ns();
    if (c->is_ending || now - drained_ts < TELL_NS) {
        return drained_ts;
    }
    (void)drain_bounded(c, now);
    return now;
}

/* Tells everything older than limit_ts, in order. Returns up to when that was possible: a stack
 * whose table is being made holds up what comes after it, and not more is told at once than
 * TELL_MAX_NS allow, except at the end. */
static int64_t tell(struct capture *c, int64_t limit_ts)
{
    int64_t ts, began_ts = clock_monotonic_ns(), now = began_ts;
    size_t size, n_told = 0;
    c->has_backlog = false;
    if (c->unwinder) {
        unwinder_collect(c->unwinder);
    }
    order_release(&c->order, limit_ts);
    for (const void *bytes; (bytes = order_next(&c->order, &ts, &size));) {
        struct record r;
        if (parse(c, bytes, size, &r) == 0 &&
            !follow_record(c->follow, &r, ts, may_wait(c, ts, now))) {
            order_hand_back(&c->order);
            return ts;
        }
        if (++n_told % LOOK_EVERY == 0) {
            now = drain_meanwhile(c, now);
            c->has_backlog = !c->is_ending && now - began_ts >= TELL_MAX_NS;
        }
        if (c->has_backlog) {
            return ts;
        }
    }
    return limit_ts;
}

/* At the end, when no more records come: all that is left. */
static void tell_rest(struct capture *c)
{
    while (tell(c, INT64_MAX) != INT64_MAX) {
        struct pollfd made = {.fd = unwinder_fd(c->unwinder), .events = POLLIN};
        poll(&made, 1, END_MS);
    }
}

static void tell_losses(struct capture *c, int64_t ts)
{
    follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_LATE, c->order.n_late - c->n_late_told);
    c->n_late_told = c->order.n_late;
    follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_MALFORMED, c->n_malformed);
    c->n_malformed = 0;
    uint64_t n_stacks = c->n_stacks_lost - c->n_stacks_lost_told;
    follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_STACKS, n_stacks);
    c->n_stacks_lost_told = c->n_stacks_lost;
}

/* At the end: what is missing although no ring said so. Records lost since a ring was written last;
 * and CPU time without a sample, since the clock of a thread starts with a whole period, on each
 * CPU it comes to, and a short-lived thread ends before that. */
static void tell_missing(struct capture *c, int64_t ts, const struct events_totals *totals)
{
    if (totals->n_lost > c->n_ring_lost) {
        uint64_t n = totals->n_lost - c->n_ring_lost;
        c->n_ring_lost += n;
        follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_RING_FULL, n);
    }
    if (totals->n_stacks_lost > c->n_stacks_lost) {
        c->n_stacks_lost = totals->n_stacks_lost;
        tell_losses(c, ts);
    }
    /* Any of those that were lost may have been one. */
    uint64_t n_known =
        c->n_watched_all + c->n_ring_lost + (c->events.waker_stack_bytes ? c->n_stacks_lost : 0);
    if (totals->n_watched > n_known) {
        follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_WAKEUPS, totals->n_watched - n_known);
    }
    int64_t lost_ns = 0; /* as much as it can have been: that loss is told already */
    if (__builtin_mul_overflow((int64_t)c->n_ring_lost, c->period_ns, &lost_ns)) {
        return;
    }
    /* The weights of samples reach back to the thread's last one, so they cover at least as much as
     * the periods, except what two events saw of a thread. */
    struct follow_stats f;
    follow_stats(c->follow, &f);
    int64_t sampled_ns = f.sampled_ns > c->sampled_ns ? f.sampled_ns : c->sampled_ns;
    int64_t missing_ns = totals->on_cpu_ns - sampled_ns - lost_ns;
    if (missing_ns > UNSAMPLED_NS && missing_ns > totals->on_cpu_ns / UNSAMPLED_PART) {
        follow_loss(c->follow, ts, UINT32_MAX, EVENT_LOSS_UNSAMPLED,
                    (uint64_t)missing_ns / 1000000);
    }
}

/* That a CPU counts in turns shows in CPU time in which no group ran: samples come late then, but
 * their weights stand for it. */
static void tell_counters(struct capture *c, int64_t ts, const struct events_totals *totals)
{
    const struct counters_total *t = &totals->counters;
    struct follow_stats f;
    follow_stats(c->follow, &f);
    uint64_t sampled_ns = f.sampled_ns > 0 ? (uint64_t)f.sampled_ns : 0;
    uint64_t enabled_ns = sampled_ns > t->running_ns ? sampled_ns : t->running_ns;
    for (size_t i = 0; i < c->counters.n; i++) {
        const struct event_counter_total total = {
            .head.ts = ts,
            .slot = (uint32_t)i,
            .n_counted = thread_counters_scale(t->values[i], enabled_ns, t->running_ns),
            .enabled_ns = enabled_ns,
            .running_ns = t->running_ns,
        };
        follow_counter_total(c->follow, &total);
    }
}

static void update_stats(struct capture *c)
{
    struct follow_stats f;
    follow_stats(c->follow, &f);
    int64_t cpu_ns = c->is_started ? clock_thread_cpu_ns() : 0;
    pthread_mutex_lock(&c->lock);
    c->stats.n_samples = f.n_samples;
    c->stats.n_lost = f.n_lost;
    c->stats.n_throttled = f.n_throttled;
    c->stats.n_threads = f.n_threads;
    c->stats.n_processes = f.n_processes;
    c->stats.n_events_open = events_n_open(&c->events);
    c->stats.ring_bytes = c->events.ring_bytes;
    if (c->unwinder) {
        struct cfi_cache_stats tables;
        unwinder_get_stats(c->unwinder, &tables);
        c->stats.stack_bytes = c->events.stack_bytes;
        c->stats.n_tables = tables.n_binaries;
        c->stats.table_bytes = tables.n_bytes;
        c->stats.n_unread = tables.n_unread;
        c->stats.n_dropped = tables.n_dropped;
    }
    c->stats.n_drains++;
    c->stats.cpu_time_ns = cpu_ns;
    pthread_mutex_unlock(&c->lock);
}

/* Returns whether it is time for a whole drain, not for a look only. fds: the wake-up, the main
 * process, tables that were made, then the rings. */
static bool wait_for_work(struct capture *c)
{
    int64_t now = clock_monotonic_ns();
    bool is_ending = c->main_gone_ts && now - c->main_gone_ts < LINGER_NS;
    bool is_blind = follow_is_blind(c->follow) ||
                    (!events_have_stacks(&c->events) && now - c->left_ts < RESTLESS_NS);
    bool is_look = is_blind && !is_ending && !c->has_backlog;
    int64_t timeout_ms = is_ending ? END_MS : is_look ? LOOK_MS : DRAIN_MS;
    timeout_ms = c->has_backlog ? 0 : timeout_ms;
    if (c->deadline_ns) {
        int64_t left_ms = (c->deadline_ns - now) / 1000000 + 1;
        timeout_ms = left_ms < 0 ? 0 : left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    c->fds[0] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
    c->fds[1] = (struct pollfd){.fd = c->pid_fd, .events = POLLIN};
    if (poll(c->fds, c->n_fds, (int)timeout_ms) <= 0) {
        now = clock_monotonic_ns();
        return !is_look || now - c->ticked_ts >= (DRAIN_MS - LOOK_MS / 2) * INT64_C(1000000) ||
               (c->deadline_ns && now >= c->deadline_ns);
    }
    for (size_t i = FIRST_RING_FD; i < c->n_fds; i++) {
        if (c->fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) {
            c->fds[i].fd = -1; /* it would wake us for ever; the timeout still drains it */
        }
    }
    return true;
}

static void look_for_end(struct capture *c, int64_t now)
{
    if (now - c->verified_ts >= VERIFY_NS) {
        c->verified_ts = now;
        follow_verify(c->follow, now);
        if (c->pid_fd == -1 && !c->main_gone_ts && !proc_is_alive(c->options.pid)) {
            c->main_gone_ts = now; /* a kernel without pidfds */
        }
    }
    if (c->fds[1].revents) {
        c->main_gone_ts = now;
        follow_main_gone(c->follow, now);
        fd_close(&c->pid_fd);
        c->fds[1].revents = 0;
    }
}

/* One drain. Returns why the run is over, or NO_REASON. */
static int step(struct capture *c)
{
    bool is_whole = wait_for_work(c);
    int64_t now = clock_monotonic_ns();
    target_memory_allow(c->memory, 1);
    order_release(&c->order, c->limit_ts); /* what was told waits no more */
    if (drain_bounded(c, now)) {
        c->limit_ts = now - SLACK_NS;
    }
    watch_tick(&c->watch, &c->events, c->follow, now, c->wakings.is_off, c->n_watched);
    c->n_watched = 0;
    int64_t limit_ts = tell(c, c->limit_ts);
    if (!is_whole) {
        follow_look(c->follow);
        return NO_REASON;
    }
    c->ticked_ts = now;
    tell_losses(c, limit_ts);
    look_for_end(c, now);
    follow_tick(c->follow, limit_ts);
    follow_flush(c->follow);
    update_stats(c);
    struct follow_stats f;
    follow_stats(c->follow, &f);
    int reason = atomic_load(&c->stop_reason);
    if (reason != NO_REASON) {
        return reason;
    }
    if (c->main_gone_ts && c->main_gone_ts < limit_ts && f.n_processes == 0) {
        return EVENT_END_TARGET_EXITED;
    }
    return c->deadline_ns && now >= c->deadline_ns ? EVENT_END_TIME_LIMIT : NO_REASON;
}

static void *run(void *ctx)
{
    struct capture *c = ctx;
    int reason = NO_REASON;
    priority_raise(NULL);
    follow_flush(c->follow); /* what was found at the start */
    int64_t now = clock_monotonic_ns();
    c->stacks = bound_of(STACKS_HZ, STACKS_AT_ONCE, STACKS_FEW_HZ, now);
    c->wakings = bound_of(WAKINGS_HZ, WAKINGS_AT_ONCE, 0, now);
    c->left_ts = now;
    while (reason == NO_REASON) {
        reason = step(c);
    }
    c->is_ending = true;
    struct events_totals totals;
    events_read(&c->events, &totals);
    drain(c);
    tell_rest(c);
    now = clock_monotonic_ns();
    tell_losses(c, now);
    tell_missing(c, now, &totals);
    tell_counters(c, now, &totals);
    update_stats(c); /* before anybody hears of the end and asks */
    follow_end(c->follow, now, (enum event_end_reason)reason);
    /* Not left to capture_close(): the target need not pay for events that nobody reads, and the
     * locked memory of the rings may be all that this user has for the next run. */
    events_close(&c->events);
    pthread_mutex_lock(&c->lock);
    c->stats.n_events_open = 0;
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* The ring size as the kernel takes it: a power of two, whole pages. */
static size_t ring_size(size_t wanted)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    while (size < wanted && size < (size_t)1 << 30) {
        size *= 2;
    }
    return size;
}

static size_t ring_wanted(const struct capture *c)
{
    size_t otherwise = c->unwinder ? UNWIND_RING_BYTES : RING_BYTES;
    return c->options.ring_bytes ? c->options.ring_bytes : otherwise;
}

static int open_unwinder(struct capture *c, struct err *e)
{
    const struct unwind_arch *arch = unwind_arch_of_host();
    if (!c->options.unwinds || !arch) {
        return 0;
    }
    c->events.user_regs = arch->perf_mask;
    struct unwinder_options options = {
        .arch = arch, .max_table_bytes = TABLES_BYTES_MAX, .memory = c->memory};
    return unwinder_new(&c->unwinder, &options, e);
}

static struct follow *new_follow(struct capture *c, struct queue *out)
{
    int64_t max_stack = 0;
    if (fd_read_int("/proc/sys/kernel/perf_event_max_stack", &max_stack) != 0 || max_stack <= 0) {
        max_stack = MAX_STACK;
    }
    struct follow_options options = {
        .pid = c->options.pid,
        .with_children = c->options.with_children,
        .has_proc = true,
        .max_stack = (size_t)max_stack,
        .period_ns = c->period_ns,
        .out = out,
        .sources = &c->events.sources,
        .has_switches = true,
        .waking_pid_offset = &c->events.waking_pid_offset,
        .unwinder = c->unwinder,
        .memory = c->memory,
        .without_kernel = c->options.without_kernel,
        .is_held = c->options.is_launched,
        .n_counters = c->events.counters.list.n,
    };
    return follow_new(&options);
}

static int arm(struct capture *c, struct err *e)
{
    c->start_ts = clock_monotonic_ns();
    struct attach a = {
        .pid = c->options.pid,
        .with_children = c->options.with_children,
        .events = &c->events,
        .follow = c->follow,
        .ts = c->start_ts,
        .drain = drain,
        .ctx = c,
    };
    c->attach = &a;
    int rc = c->options.is_launched ? attach_held(&a, e) : attach_all(&a, e);
    c->attach = NULL;
    attach_free(&a);
    return rc;
}

/* Threads are armed by a thread that has other work afterwards. */
static int arm_with_priority(struct capture *c, struct err *e)
{
    struct slice_attributes before;
    priority_raise(&before);
    int rc = arm(c, e);
    priority_restore(&before);
    return rc;
}

static void prepare_poll(struct capture *c)
{
    const struct events *ev = &c->events;
    c->fds = mem_new(FIRST_RING_FD + 2 * ev->cpus.n, sizeof(*c->fds));
    int made = c->unwinder ? unwinder_fd(c->unwinder) : -1;
    c->fds[2] = (struct pollfd){.fd = made, .events = POLLIN};
    c->n_fds = FIRST_RING_FD;
    for (size_t i = 0; i < ev->cpus.n; i++) {
        c->fds[c->n_fds++] = (struct pollfd){.fd = ev->anchors[i], .events = POLLIN};
        if (ev->stack_anchors) {
            c->fds[c->n_fds++] = (struct pollfd){.fd = ev->stack_anchors[i], .events = POLLIN};
        }
    }
}

/* What the kernel's functions are called: on the stacks of waits, and for whoever names its code,
 * who gets a copy. The kernel takes tens of milliseconds to make that text, which a target that
 * keeps all CPUs busy would pay for: it is made once, and before anything is recorded. */
static void learn_kernel(struct capture *c)
{
    struct buf text = {0};
    int fd = opener_kallsyms(&c->events.opener);
    fd = fd >= 0 ? fd : -1;
    if (fd >= 0 && fd_read_all(fd, KALLSYMS_BYTES_MAX, &text) == 0) {
        follow_read_kernel(c->follow, buf_str(&text), text.len);
        c->kallsyms = fd_in_memory("kallsyms", &text);
    }
    fd_close(&fd);
    buf_free(&text);
}

int capture_open(struct capture **out_capture, const struct capture_options *options,
                 struct queue *out, struct err *e)
{
    int rc = capture_check(options, e);
    if (rc != 0) {
        return rc;
    }
    struct capture *c = mem_new(1, sizeof(*c));
    c->options = *options;
    c->options.counters = NULL;      /* borrowed until the end of this call only */
    c->options.daemon_socket = NULL; /* is borrowed until we return */
    c->period_ns = 1000000000LL / options->frequency_hz;
    atomic_init(&c->stop_reason, NO_REASON);
    pthread_mutex_init(&c->lock, NULL);
    c->wake_fd = c->pid_fd = c->kallsyms = -1;
    c->memory = target_memory_new();
    rc = open_unwinder(c, e);
    if (rc != 0) {
        goto out;
    }
    c->events.period_ns = c->period_ns;
    c->events.is_on_exec = options->is_launched;
    c->events.with_children = options->with_children;
    c->events.without_kernel = options->without_kernel;
    c->events.daemon_socket = options->daemon_socket;
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->pid_fd = (int)syscall(SYS_pidfd_open, options->pid, 0);
    if (c->wake_fd < 0) {
        rc = err_set_errno(e, errno, "cannot make an eventfd");
        goto out;
    }
    rc = counters_read_names(&c->events.counters, options->counters, e);
    if (rc == 0) {
        rc = events_open(&c->events, ring_size(ring_wanted(c)), e);
    }
    if (rc == 0) {
        c->follow = new_follow(c, out);
        /* First: a broker that is gone half way has given the names of what it did give. */
        learn_kernel(c);
        rc = arm_with_priority(c, e);
    }
    if (rc != 0) {
        goto out;
    }
    events_end_opening(&c->events);
    prepare_poll(c);
    struct ability_facts facts = {.has_names = c->kallsyms >= 0,
                                  .unwinds = c->unwinder != NULL,
                                  .reads_memory = wait_probe_is_allowed(options->pid)};
    c->n_abilities = ability_all(c->abilities, &c->events, &facts);
    c->counters = c->events.counters.list;
    update_stats(c);
    *out_capture = c;
    c = NULL;
out:
    capture_close(c);
    return rc;
}

int capture_start(struct capture *c, struct err *e)
{
    sigset_t all, old;
    if (c->options.time_limit_ns > 0) {
        c->deadline_ns = clock_monotonic_ns() + c->options.time_limit_ns;
    }
    /* Signals are the business of the threads that were there before. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    c->is_started = true;
    int rc = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        c->is_started = false;
        return err_set_errno(e, rc, "cannot start the capture thread");
    }
    pthread_setname_np(c->thread, "stax-capture");
    return 0;
}

void capture_stop(struct capture *c, enum event_end_reason reason)
{
    int none = NO_REASON;
    uint64_t one = 1;
    atomic_compare_exchange_strong(&c->stop_reason, &none, (int)reason);
    /* Fails only when the counter is full, and then it wakes the thread anyway. */
    ssize_t n = write(c->wake_fd, &one, sizeof(one));
    (void)n;
}

void capture_set_paused(struct capture *c, bool is_paused)
{
    follow_set_paused(c->follow, is_paused, clock_monotonic_ns());
}

void capture_close(struct capture *c)
{
    if (!c) {
        return;
    }
    if (c->is_started) {
        capture_stop(c, EVENT_END_STOPPED);
        pthread_join(c->thread, NULL);
    }
    events_close(&c->events);
    order_free(&c->order);
    follow_free(c->follow);
    unwinder_free(c->unwinder);
    target_memory_free(c->memory);
    fd_close(&c->wake_fd);
    fd_close(&c->pid_fd);
    fd_close(&c->kallsyms);
    free(c->fds);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void capture_stats(struct capture *c, struct capture_stats *stats)
{
    pthread_mutex_lock(&c->lock);
    *stats = c->stats;
    pthread_mutex_unlock(&c->lock);
}

const struct capture_ability *capture_abilities(const struct capture *c, size_t *n)
{
    *n = c->n_abilities;
    return c->abilities;
}

const struct counter_list *capture_counters(const struct capture *c)
{
    return &c->counters;
}

int capture_take_kallsyms(struct capture *c)
{
    int fd = c->kallsyms;
    c->kallsyms = -1;
    return fd;
}

int64_t capture_start_ts(const struct capture *c)
{
    return c->start_ts;
}

int64_t capture_period_ns(const struct capture *c)
{
    return c->period_ns;
}
