/* attach.c - see attach.h. */
#include "capture/attach.h"

#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "capture/proc.h"

enum { PASSES_MAX = 8, DRAIN_EVERY = 128 };
/* A thread inherits early in its creation and shows its start time late in it; this much lies
 * between at most, with the 10 ms that start times are rounded to. */
static const int64_t CREATION_NS = 30000000;

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

static void tell(struct pass *p, pid_t pid, pid_t tid, pid_t source)
{
    const struct attach *a = p->a;
    struct proc_stat stat;
    pid_t parent_pid = 0;
    if (pid != a->pid && proc_read_stat(pid, 0, &stat) == 0) {
        parent_pid = stat.parent_pid;
    }
    /* Mappings are read once events tell of new ones, so that none falls in between. */
    follow_adopt_process(a->follow, pid, parent_pid, true, a->ts);
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
    int rc = events_add_thread(a->events, tid, e);
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

static int arm_process(struct pass *p, pid_t pid, struct err *e)
{
    struct pid_list threads = {0};
    int rc = 0;
    proc_list_threads(pid, &threads); /* a process that is gone has none */
    for (size_t i = 0; i < threads.n && rc == 0; i++) {
        rc = arm_thread(p, pid, threads.pids[i], e);
    }
    pid_list_free(&threads);
    return rc;
}

static int arm_once(struct pass *p, struct err *e)
{
    const struct attach *a = p->a;
    struct pid_list pids = {0};
    int rc = arm_process(p, a->pid, e);
    if (a->with_children && rc == 0) {
        proc_list_descendants(a->pid, &pids);
    }
    for (size_t i = 1; i < pids.n && rc == 0; i++) {
        rc = arm_process(p, pids.pids[i], e);
    }
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
    int rc = events_add_thread(a->events, a->pid, e);
    if (rc == 0) {
        /* Its exec replaces every mapping before the first sample can be taken. */
        follow_adopt_process(a->follow, a->pid, 0, false, a->ts);
        follow_adopt_thread(a->follow, a->pid, a->pid, a->pid, a->ts, clock_monotonic_ns());
    }
    return rc;
}
