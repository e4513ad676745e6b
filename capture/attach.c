/* attach.c - see attach.h. */
#include "capture/attach.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "capture/proc.h"

/* Passes go on until nobody is left, or so long. */
enum { PASSES_MAX = 100 };
static const int64_t PASSES_NS = 20000000000;
/* ... and with the broker so long: what comes and goes faster than it answers is opened without. */
static const int64_t BROKER_PASSES_NS = 5000000000;
static const int64_t DRAIN_NS = 5000000; /* a full ring loses the records of forks */
#define ENDED UINT32_MAX                 /* in attach.armed: the thread has ended */
/* A thread inherits early in its creation, and the record of its fork comes late in it; so much may
 * lie between when its maker is preempted. */
static const int64_t CREATION_NS = 10000000;

struct candidate {
    pid_t pid, tid;
    uint64_t cpu_ticks;
};

struct pass {
    struct attach *a;
    struct map failed; /* threads whose events could not be opened, or that are gone, by tid */
    size_t n_armed, n_new, n_blind;
    size_t n_gone;      /* in this pass: what they made before they ended is not armed */
    bool is_over;       /* the time for passes: who is left is without events */
    int64_t drained_ns; /* CLOCK_MONOTONIC, as is broker_end_ns */
    int64_t broker_end_ns;
};

static void drain(struct pass *p)
{
    p->drained_ns = clock_monotonic_ns();
    p->a->drain(p->a->ctx);
}

/* How long ago the run began, in us; never 0. */
static uint32_t since_us(const struct attach *a, int64_t ts)
{
    int64_t us = (ts - a->ts) / 1000;
    return us < 1 ? 1 : us < ENDED ? (uint32_t)us : ENDED - 1;
}

static bool is_armed(const struct attach *a, pid_t tid)
{
    uint32_t us = map_get(&a->armed, (uint32_t)tid);
    return us && us != ENDED;
}

void attach_see(struct attach *a, const struct record *r)
{
    uint32_t source = map_get(&a->events->sources, r->id);
    if (source == 0 || source == EVENTS_DISCARDED) {
        return;
    }
    if (r->kind == RECORD_EXIT) {
        *map_put(&a->armed, (uint32_t)r->tid) = ENDED;
    } else if (r->kind == RECORD_FORK) {
        uint32_t maker_us = map_get(&a->armed, (uint32_t)r->fork.parent_tid);
        int64_t us = since_us(a, r->ts);
        /* It inherited before the record was written, and must have inherited everything. */
        if (maker_us && us > maker_us + CREATION_NS / 1000) {
            *map_put(&a->armed, (uint32_t)r->tid) = (uint32_t)us;
        }
    }
}

void attach_free(struct attach *a)
{
    map_free(&a->armed);
}

static void tell_process(struct pass *p, pid_t pid)
{
    const struct attach *a = p->a;
    struct proc_stat stat;
    pid_t parent_pid = 0;
    if (pid != a->pid && proc_read_stat(pid, 0, &stat) == 0) {
        parent_pid = stat.parent_pid;
    }
    /* Mappings are read once events tell of new ones, so that none falls in between. */
    follow_adopt_process(a->follow, pid, parent_pid, true, a->ts);
}

static void tell(struct pass *p, pid_t pid, pid_t tid, pid_t source)
{
    const struct attach *a = p->a;
    tell_process(p, pid);
    follow_adopt_thread(a->follow, pid, tid, source, a->ts, clock_monotonic_ns());
}

static bool needs_arming(const struct pass *p, pid_t tid)
{
    const struct attach *a = p->a;
    return !follow_has_thread(a->follow, tid) && !map_get(&p->failed, (uint32_t)tid) &&
           !is_armed(a, tid);
}

/* Arms one thread if it needs it. Returns an error only when nothing could be armed before. */
static int arm_thread(struct pass *p, pid_t pid, pid_t tid, struct err *e)
{
    struct attach *a = p->a;
    if (!needs_arming(p, tid)) {
        return 0;
    }
    int rc = STAX_ELIMIT;
    if (!p->is_over) {
        rc = events_add_thread(a->events, &(struct events_thread){pid, tid}, e);
    }
    if (rc == STAX_ENOTFOUND) {
        *map_put(&p->failed, (uint32_t)tid) = 1; /* a main thread that has ended stays listed */
        p->n_gone++;
        return 0;
    }
    if (rc != 0 && p->n_armed == 0) {
        return rc;
    }
    if (rc != 0) {
        *map_put(&p->failed, (uint32_t)tid) = 1;
        p->n_blind++;
        tell(p, pid, tid, 0);
        return 0;
    }
    p->n_armed++;
    p->n_new++;
    *map_put(&a->armed, (uint32_t)tid) = since_us(a, clock_monotonic_ns());
    tell(p, pid, tid, tid);
    return 0;
}

static int compare_ticks(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return (a->cpu_ticks < b->cpu_ticks) - (a->cpu_ticks > b->cpu_ticks);
}

/* Descriptors will not do for all: first those that have used the most CPU time. list is ordered by
 * process, parents first, and that is the order in which processes must be told of. */
static void sort_by_cpu_time(struct pass *p, struct candidate *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct proc_stat stat;
        if (i == 0 || list[i].pid != list[i - 1].pid) {
            tell_process(p, list[i].pid);
        }
        if (proc_read_stat(list[i].pid, list[i].tid, &stat) == 0) {
            list[i].cpu_ticks = stat.cpu_ticks;
        }
    }
    qsort(list, n, sizeof(*list), compare_ticks);
}

static int arm_once(struct pass *p, struct err *e)
{
    const struct attach *a = p->a;
    struct pid_list pids = {0}, threads = {0};
    struct candidate *list = NULL;
    size_t n = 0, cap = 0;
    int rc = 0;
    if (a->with_children) {
        proc_list_descendants(a->pid, &pids);
    }
    for (size_t i = 0; i == 0 || i < pids.n; i++) {
        pid_t pid = i ? pids.pids[i] : a->pid;
        threads.n = 0;
        proc_list_threads(pid, &threads); /* a process that is gone has none */
        mem_reserve(&list, &cap, n + threads.n, sizeof(*list));
        for (size_t k = 0; k < threads.n; k++) {
            list[n++] = (struct candidate){.pid = pid, .tid = threads.pids[k]};
        }
    }
    drain(p); /* who of these inherited events */
    size_t n_new = 0;
    for (size_t i = 0; i < n; i++) {
        n_new += needs_arming(p, list[i].tid);
    }
    if (!events_have_room(a->events, n_new)) {
        sort_by_cpu_time(p, list, n);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        int64_t now = clock_monotonic_ns();
        if (now - p->drained_ns > DRAIN_NS) {
            drain(p);
        }
        if (now > p->broker_end_ns) {
            opener_give_up(&a->events->opener);
        }
        rc = arm_thread(p, list[i].pid, list[i].tid, e);
    }
    free(list);
    pid_list_free(&threads);
    pid_list_free(&pids);
    return rc;
}

int attach_all(struct attach *a, struct err *e)
{
    struct pass p = {.a = a, .broker_end_ns = clock_monotonic_ns() + BROKER_PASSES_NS};
    a->events->is_attaching = true;
    int rc = 0;
    int64_t end_ns = clock_monotonic_ns() + PASSES_NS;
    for (int i = 0; i < PASSES_MAX && rc == 0 && clock_monotonic_ns() < end_ns; i++) {
        p.n_new = p.n_gone = 0;
        rc = arm_once(&p, e);
        if (p.n_new == 0 && p.n_gone == 0) {
            break;
        }
        drain(&p);
    }
    if (rc == 0 && p.n_armed > 0 && p.n_new + p.n_gone > 0) {
        p.is_over = true;
        rc = arm_once(&p, e);
    }
    if (rc == 0 && p.n_armed == 0) {
        rc = err_set(e, STAX_ENOTFOUND, "process %d is gone", a->pid);
    }
    if (rc == 0) {
        follow_loss(a->follow, a->ts, UINT32_MAX, EVENT_LOSS_NO_EVENTS, p.n_blind);
    }
    a->events->is_attaching = false;
    events_set(a->events, EVENTS_SWITCH_STACK, true);
    events_set(a->events, EVENTS_WAKING, true);
    map_free(&p.failed);
    return rc;
}

int attach_held(struct attach *a, struct err *e)
{
    struct events_thread main_thread = {a->pid, a->pid};
    int rc = events_add_thread(a->events, &main_thread, e);
    if (rc == 0) {
        /* Its exec replaces every mapping before the first sample can be taken. */
        follow_adopt_process(a->follow, a->pid, 0, false, a->ts);
        follow_adopt_thread(a->follow, a->pid, a->pid, a->pid, a->ts, clock_monotonic_ns());
    }
    return rc;
}
