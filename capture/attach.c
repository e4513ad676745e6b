/* attach.c - see attach.h. */
#include "capture/attach.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "capture/proc.h"

enum { PASSES_MAX = 8, DRAIN_EVERY = 128 };
/* A thread inherits early in its creation and shows its start time late in it; this much lies
 * between at most, with the 10 ms that start times are rounded to. */
static const int64_t CREATION_NS = 30000000;

struct candidate {
    pid_t pid, tid;
    uint64_t cpu_ticks;
};

struct pass {
    const struct attach *a;
    int64_t armed_ns;  /* CLOCK_BOOTTIME when everything known was armed; 0: nothing is yet */
    struct map failed; /* threads whose events could not be opened, by tid */
    size_t n_armed, n_new, n_blind;
};

static int64_t boottime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Whether the thread was created by one that was armed already, so that it inherited everything. */
static bool has_inherited(const struct pass *p, pid_t pid, pid_t tid)
{
    struct proc_stat stat;
    if (!p->armed_ns || proc_read_stat(pid, tid, &stat) != 0) {
        return false;
    }
    int64_t start_ns = stat.start_ticks * (1000000000LL / sysconf(_SC_CLK_TCK));
    return start_ns > p->armed_ns + CREATION_NS;
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

/* Arms one thread if it needs it. Returns an error only when nothing could be armed before. */
static int arm_thread(struct pass *p, pid_t pid, pid_t tid, struct err *e)
{
    const struct attach *a = p->a;
    if (follow_has_thread(a->follow, tid) || map_get(&p->failed, (uint32_t)tid) ||
        has_inherited(p, pid, tid)) {
        return 0;
    }
    int rc = events_add_thread(a->events, &(struct events_thread){pid, tid}, e);
    if (rc == STAX_ENOTFOUND) {
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
    tell(p, pid, tid, tid);
    if (p->n_armed % DRAIN_EVERY == 0) {
        a->drain(a->ctx);
    }
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
    if (!events_have_room(a->events, n)) {
        sort_by_cpu_time(p, list, n);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = arm_thread(p, list[i].pid, list[i].tid, e);
    }
    free(list);
    pid_list_free(&threads);
    pid_list_free(&pids);
    return rc;
}

int attach_all(const struct attach *a, struct err *e)
{
    struct pass p = {.a = a};
    int rc = 0;
    for (int i = 0; i < PASSES_MAX && rc == 0; i++) {
        p.n_new = 0;
        rc = arm_once(&p, e);
        if (p.n_new == 0) {
            break;
        }
        p.armed_ns = boottime_ns();
        a->drain(a->ctx);
    }
    if (rc == 0 && p.n_armed == 0) {
        rc = err_set(e, STAX_ENOTFOUND, "process %d is gone", a->pid);
    }
    if (rc == 0) {
        follow_loss(a->follow, a->ts, UINT32_MAX, EVENT_LOSS_NO_EVENTS, p.n_blind);
    }
    map_free(&p.failed);
    return rc;
}

int attach_held(const struct attach *a, struct err *e)
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
