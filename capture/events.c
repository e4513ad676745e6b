/* events.c - see events.h. */
#include "capture/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/refusal.h"
#include "capture/waking.h"

enum {
    RING_BYTES_MIN = 32 << 10,
    SPARE_FDS = 256, /* left to the rest of this process */
    STACK_BYTES_MIN = 1024,
    STACK_BYTES_MAX = 65528 - 2048, /* a record has 64 KiB at most, the rest of it included */
    RINGS_BYTES_MAX = 128 << 20,    /* of all CPUs, as long as each has RING_BYTES_ENOUGH */
    STACK_RING_BYTES = 1 << 20,
    STACK_RING_BYTES_MIN = 128 << 10,
    SWITCH_STACK_BYTES = 8 << 10, /* of a copy; the rest is read while the thread waits */
    SWITCH_STACKS_MIN = 64,       /* that such a ring is to hold */
    WAKER_STACK_BYTES = 2 << 10,  /* the same of wakers, which are many */
    RING_BYTES_ENOUGH = 512 << 10,
    CPU_LIST_BYTES_MAX = 65536,
    PATH_BYTES = 64,
    FORMAT_BYTES_MAX = 16384,
    WATCHES_KEPT = 64, /* lists change ten times a second at most, records wait for seconds */
};

/* The descriptors this process may hold, as many as the host allows at all. */
static size_t raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit wanted = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
            limit = wanted;
        }
    }
    return (size_t)limit.rlim_cur;
}

static int find_cpus(struct pid_list *cpus)
{
    struct buf text = {0};
    int rc = fd_read_file("/sys/devices/system/cpu/online", CPU_LIST_BYTES_MAX, &text);
    rc = rc == 0 ? proc_parse_cpus(buf_str(&text), cpus) : STAX_ENOTFOUND;
    buf_free(&text);
    if (rc != 0) {
        pid_list_free(cpus);
        char all[PATH_BYTES];
        snprintf(all, sizeof(all), "0-%ld", sysconf(_SC_NPROCESSORS_CONF) - 1);
        rc = proc_parse_cpus(all, cpus);
    }
    return rc;
}

/* ---- rings ---- */

/* The events that own the rings. They sit on our own main thread, disabled, and ask to be woken
 * when a quarter of a ring is full. The first ones also find out what can be counted. 0 or -errno.
 */
static int open_anchors(struct events *ev, size_t ring_bytes, int *anchors)
{
    struct opener_want want = {
        .event = {.kind = BROKER_DUMMY, .pid = getpid(), .tid = getpid()},
        .wakeup_bytes = (uint32_t)(ring_bytes / 4),
    };
    want.event.flags = BROKER_DISABLED | (ev->counts_lost ? BROKER_COUNT_LOST : 0);
    int rc = opener_open(&ev->opener, &want, &ev->cpus, anchors);
    if (rc == -EINVAL && ev->counts_lost) {
        ev->counts_lost = false;
        return open_anchors(ev, ring_bytes, anchors);
    }
    return rc;
}

static void close_rings(struct events *ev, int *anchors, struct ring *rings)
{
    for (size_t i = 0; rings && i < ev->cpus.n; i++) {
        ring_unmap(&rings[i]);
        fd_close(&anchors[i]);
    }
}

static void new_rings(struct events *ev, int **anchors, struct ring **rings)
{
    *anchors = mem_new(ev->cpus.n, sizeof(**anchors));
    memset(*anchors, -1, ev->cpus.n * sizeof(**anchors));
    *rings = mem_new(ev->cpus.n, sizeof(**rings));
}

/* 0, -EPERM when there is not enough locked memory for this size, or another -errno. */
static int open_rings(struct events *ev, size_t ring_bytes, int *anchors, struct ring *rings,
                      bool *is_map)
{
    *is_map = false;
    int rc = open_anchors(ev, ring_bytes, anchors);
    for (size_t i = 0; i < ev->cpus.n && rc == 0; i++) {
        *is_map = anchors[i] >= 0;
        rc = *is_map ? ring_map(&rings[i], anchors[i], ring_bytes) : -ENODEV;
    }
    if (rc != 0) {
        close_rings(ev, anchors, rings);
    }
    return rc;
}

/* The rings for stacks of switches: as large as locked memory allows, or none. */
static void open_stack_rings(struct events *ev)
{
    size_t ring_bytes = STACK_RING_BYTES;
    bool is_map;
    ev->has_tried_stack_rings = true;
    new_rings(ev, &ev->stack_anchors, &ev->stack_rings);
    while (ring_bytes >= STACK_RING_BYTES_MIN &&
           open_rings(ev, ring_bytes, ev->stack_anchors, ev->stack_rings, &is_map) != 0) {
        ring_bytes /= 2;
    }
    if (ring_bytes < STACK_RING_BYTES_MIN) {
        free(ev->stack_anchors);
        free(ev->stack_rings);
        ev->stack_anchors = NULL;
        ev->stack_rings = NULL;
        return;
    }
    size_t bytes = ring_bytes / SWITCH_STACKS_MIN & ~(size_t)7;
    ev->switch_stack_bytes = (uint32_t)(bytes < SWITCH_STACK_BYTES ? bytes : SWITCH_STACK_BYTES);
    ev->formats[EVENTS_STACKS].has_stack = true;
    ev->formats[EVENTS_STACKS].user_regs = ev->user_regs;
}

const struct record_format *events_format(const struct events *ev, uint64_t id)
{
    uint32_t source = map_get(&ev->sources, id);
    if (source == EVENTS_DISCARDED) {
        source = 0;
    }
    return &ev->formats[source & EVENTS_SWITCH_STACK ? EVENTS_STACKS
                        : source & EVENTS_WAKING     ? EVENTS_WAKINGS
                                                     : EVENTS_CLOCK];
}

/* Stack copies are as large as they can be for the ring to hold the samples of 35 ms, which is how
 * long nobody may come to drain it: the kernel takes the room of a whole copy whatever the stack's
 * size. What is missing is read from the target. */
static void set_formats(struct events *ev)
{
    int64_t n_samples = 35000000 / ev->period_ns + 1;
    int64_t bytes = (int64_t)ev->ring_bytes / n_samples;
    bytes = bytes < STACK_BYTES_MIN ? STACK_BYTES_MIN : bytes;
    bytes = bytes > STACK_BYTES_MAX ? STACK_BYTES_MAX : bytes;
    if (ev->user_regs) {
        ev->stack_bytes = (uint32_t)bytes & ~7u;
        ev->formats[EVENTS_CLOCK].has_stack = true;
        ev->formats[EVENTS_CLOCK].user_regs = ev->user_regs;
    }
}

/* From the first event on, or from when counters were left out. */
static void set_counter_format(struct events *ev)
{
    struct record_format *format = &ev->formats[EVENTS_CLOCK];
    format->has_counters = ev->counters.list.n > 0;
    format->read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
                          PERF_FORMAT_TOTAL_TIME_RUNNING | (ev->counts_lost ? PERF_FORMAT_LOST : 0);
}

int events_open(struct events *ev, size_t ring_bytes, struct err *e)
{
    size_t max_fds = raise_fd_limit();
    ev->max_fds = max_fds > SPARE_FDS ? max_fds - SPARE_FDS : 0;
    ev->has_kernel = true;
    ev->inherits_threads = true;
    ev->has_switches = true;
    ev->has_stacks = true;
    ev->has_wakings = true;
    ev->formats[EVENTS_WAKINGS].has_raw = true;
    ev->counts_lost = true;
    opener_init(&ev->opener, ev->daemon_socket);
    if (find_cpus(&ev->cpus) != 0) {
        return err_set(e, STAX_ESYSTEM, "cannot tell which CPUs are online");
    }
    new_rings(ev, &ev->anchors, &ev->rings);
    while (ring_bytes > RING_BYTES_ENOUGH && ring_bytes * ev->cpus.n > RINGS_BYTES_MAX) {
        ring_bytes /= 2;
    }
    for (;;) {
        bool is_map;
        int rc = open_rings(ev, ring_bytes, ev->anchors, ev->rings, &is_map);
        if (rc == 0) {
            ev->ring_bytes = ring_bytes;
            set_formats(ev);
            rc = counters_probe(&ev->counters, &ev->opener, &ev->cpus, ev->counts_lost, e);
            set_counter_format(ev);
            return rc;
        }
        bool is_short = is_map && (rc == -EPERM || rc == -ENOMEM);
        if (!is_map) {
            return refusal_explain(-rc, 0, &ev->opener.refusal, e);
        }
        if (!is_short || ring_bytes / 2 < RING_BYTES_MIN) {
            return refusal_explain_ring(-rc, RING_BYTES_MIN, e);
        }
        ring_bytes /= 2;
    }
}

/* ---- what is opened on a thread: a kind of event each ---- */

static uint32_t common_flags(const struct events *ev)
{
    bool is_thread_only = !ev->with_children && ev->inherits_threads;
    return BROKER_INHERIT | (is_thread_only ? BROKER_INHERIT_THREAD : 0) |
           (ev->is_on_exec ? BROKER_ON_EXEC : 0) | (ev->counts_lost ? BROKER_COUNT_LOST : 0);
}

/* The sampling clock, which also tells of mappings, names, forks, ends and context switches. */
static struct opener_want clock_want(const struct events *ev, bool has_kernel)
{
    struct opener_want want = {.event = {.kind = BROKER_CPU_CLOCK, .stack_bytes = ev->stack_bytes},
                               .counters = &ev->counters.list};
    want.event.period = (uint64_t)ev->period_ns;
    want.event.flags = common_flags(ev) | BROKER_CALLCHAIN | BROKER_SIDEBAND |
                       (has_kernel ? BROKER_KERNEL : 0) |
                       (ev->without_kernel ? BROKER_NO_KERNEL_STACKS : 0) |
                       (ev->has_switches ? BROKER_SWITCH_RECORDS : 0);
    return want;
}

/* Stacks of context switches, each of them: events_set() bounds the rate. The kernel's own
 * ways do not: a frequency takes one burst for the rate and then leaves rare switches out for good,
 * and PERF_EVENT_IOC_PERIOD does not reach inherited events, as PERF_EVENT_IOC_DISABLE does.
 * The kernel's part says why a thread waits: it is taken also where nobody wants to see it. */
static struct opener_want stacks_want(const struct events *ev)
{
    struct opener_want want = {
        .event = {.kind = BROKER_SWITCH_OUT, .period = 1, .stack_bytes = ev->switch_stack_bytes}};
    want.event.flags = common_flags(ev) | BROKER_CALLCHAIN | BROKER_KERNEL |
                       (ev->is_attaching ? BROKER_DISABLED : 0);
    return want;
}

/* Wakeups, each of them: events_set() bounds the rate, as it does that of the stacks. */
static struct opener_want wakings_want(const struct events *ev)
{
    struct opener_want want = {
        .event = {.kind = BROKER_SCHED_WAKING, .period = 1, .stack_bytes = ev->waker_stack_bytes},
        .is_own = ev->waker_stack_bytes != 0};
    want.event.flags = common_flags(ev) | BROKER_CALLCHAIN | BROKER_KERNEL |
                       (ev->is_attaching ? BROKER_DISABLED : 0);
    return want;
}

/* ---- opening ---- */

/* Closes the events from n_keep on; what they wrote so far must not be taken for the thread's. */
static void discard(struct events *ev, size_t n_keep)
{
    while (ev->n_open > n_keep) {
        int fd = ev->open[--ev->n_open].fd;
        uint64_t id;
        if (ioctl(fd, PERF_EVENT_IOC_ID, &id) == 0) {
            *map_put(&ev->sources, id) = EVENTS_DISCARDED;
        }
        close(fd);
    }
}

/* Whether the samples of an event have a copy of the stack that goes into the rings for those. */
static bool is_apart(const struct events *ev, uint32_t source)
{
    return (source & EVENTS_SWITCH_STACK && ev->stack_anchors) ||
           (source & EVENTS_WAKING && ev->waker_stack_bytes);
}

/* Directs an event into the ring of its CPU and keeps it; 0 or -errno, with fd closed. */
static int keep_event(struct events *ev, int fd, size_t cpu_index, uint32_t source)
{
    uint64_t id = 0;
    int anchor = is_apart(ev, source) ? ev->stack_anchors[cpu_index] : ev->anchors[cpu_index];
    if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, anchor) != 0 ||
        ioctl(fd, PERF_EVENT_IOC_ID, &id) != 0) {
        int os_errno = errno;
        close(fd);
        return -os_errno;
    }
    mem_reserve(&ev->open, &ev->cap_open, ev->n_open + 1, sizeof(*ev->open));
    ev->open[ev->n_open++] = (struct events_fd){fd, source};
    *map_put(&ev->sources, id) = source;
    return 0;
}

/* A counter follows the clock of its group: it has no records of its own. */
static void keep_counter(struct events *ev, int fd, uint32_t tid)
{
    mem_reserve(&ev->open, &ev->cap_open, ev->n_open + 1, sizeof(*ev->open));
    ev->open[ev->n_open++] = (struct events_fd){fd, EVENTS_COUNTER | tid};
}

/* Opens one kind of event of a thread on all CPUs, or none; 0 or -errno. source: what its records
 * count as (EVENTS_*, without the tid). */
static int add_kind(struct events *ev, const struct events_thread *t, struct opener_want *want,
                    uint32_t source)
{
    size_t per_cpu = 1 + (want->counters ? want->counters->n : 0);
    size_t n_before = ev->n_open, n = ev->cpus.n * per_cpu;
    if (ev->n_open + n + ev->cpus.n > ev->max_fds) {
        return -EMFILE;
    }
    want->event.pid = t->pid;
    want->event.tid = t->tid;
    int *fds = mem_new(n, sizeof(*fds));
    int rc = opener_open(&ev->opener, want, &ev->cpus, fds);
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0 && rc == 0 && i % per_cpu == 0) {
            rc = keep_event(ev, fds[i], i / per_cpu, source | (uint32_t)t->tid);
        } else if (fds[i] >= 0 && rc == 0) {
            keep_counter(ev, fds[i], (uint32_t)t->tid);
        } else {
            fd_close(&fds[i]);
        }
    }
    free(fds);
    if (rc != 0) {
        discard(ev, n_before);
    }
    return rc;
}

static int add_clock(struct events *ev, const struct events_thread *t, bool has_kernel)
{
    struct opener_want want = clock_want(ev, has_kernel);
    int rc = add_kind(ev, t, &want, 0);
    if (rc == -EINVAL && !ev->with_children && ev->inherits_threads) {
        ev->inherits_threads = false;
        want = clock_want(ev, has_kernel);
        rc = add_kind(ev, t, &want, 0);
        ev->inherits_threads = rc == -EINVAL; /* then that was not the reason */
    }
    return rc;
}

/* The clock with what the host grants, and remembers what it did not. *has_kernel: it was. */
static int add_granted_clock(struct events *ev, const struct events_thread *t, bool *has_kernel)
{
    *has_kernel = ev->has_kernel;
    int rc = add_clock(ev, t, ev->has_kernel);
    if ((rc != -EACCES && rc != -EPERM) || !ev->has_kernel) {
        return rc;
    }
    int kernel_errno = -rc;
    struct err refusal = ev->opener.refusal;
    rc = add_clock(ev, t, false);
    if (rc == 0) {
        *has_kernel = false;
        ev->kernel_errno = kernel_errno;
        ev->kernel_refusal = refusal;
        ev->n_without_kernel++;
        ev->has_kernel = ev->n_threads > 0; /* the others may have it all the same */
    }
    return rc;
}

/* Stacks are an extra: what stands in their way is remembered and they are left out. */
static void add_stacks(struct events *ev, const struct events_thread *t)
{
    if (!ev->has_stacks || !ev->has_switches) {
        return;
    }
    if (ev->user_regs && !ev->has_tried_stack_rings) {
        open_stack_rings(ev);
    }
    struct opener_want want = stacks_want(ev);
    int rc = add_kind(ev, t, &want, EVENTS_SWITCH_STACK);
    if (rc != 0 && rc != -ESRCH) {
        ev->has_stacks = false;
        ev->stacks_errno = -rc;
        ev->stacks_refusal = ev->opener.refusal;
    }
}

/* Who may not read the format relies on what it has always been. */
static void find_waking_layout(struct events *ev)
{
    struct buf text = {0};
    if (opener_read_tracepoint(WAKING_TRACEPOINT, "format", FORMAT_BYTES_MAX, &text) == 0) {
        ev->waking_pid_offset = waking_pid_offset(buf_str(&text));
    } else {
        ev->waking_pid_offset = WAKING_PID_USUAL;
    }
    buf_free(&text);
    if (ev->waking_pid_offset == WAKING_PID_UNKNOWN) {
        ev->has_wakings = false;
        ev->wakings_errno = EPROTO;
    }
}

/* From now on with copies of the waker's stack, or without. */
static void set_waker_stacks(struct events *ev, bool has_stacks)
{
    ev->waker_stack_bytes = has_stacks ? WAKER_STACK_BYTES : 0;
    ev->formats[EVENTS_WAKINGS].has_stack = has_stacks;
    ev->formats[EVENTS_WAKINGS].user_regs = has_stacks ? ev->user_regs : 0;
}

/* Wakeups of the first thread say whether the host lets us have copies of stacks with them: staxd
 * never does, since the waker may be anybody's (capture/staxd/policy.c). */
static int try_waker_stacks(struct events *ev, const struct events_thread *t)
{
    ev->has_tried_waker_stacks = true;
    if (!ev->stack_anchors || !ev->has_wakings) {
        return -EOPNOTSUPP;
    }
    set_waker_stacks(ev, true);
    struct opener_want want = wakings_want(ev);
    int rc = add_kind(ev, t, &want, EVENTS_WAKING);
    set_waker_stacks(ev, rc == 0);
    ev->has_tried_waker_stacks = rc != -ESRCH;
    return rc;
}

/* So are wakeups. */
static void add_wakings(struct events *ev, const struct events_thread *t)
{
    if (!ev->has_wakings || !ev->has_switches) {
        return;
    }
    if (!ev->waking_pid_offset) {
        find_waking_layout(ev);
    }
    if (!ev->has_tried_waker_stacks && try_waker_stacks(ev, t) == 0) {
        return;
    }
    struct opener_want want = wakings_want(ev);
    int rc = ev->has_wakings ? add_kind(ev, t, &want, EVENTS_WAKING) : 0;
    if (rc != 0 && rc != -ESRCH) {
        ev->has_wakings = false;
        ev->wakings_errno = -rc;
        ev->wakings_refusal = ev->opener.refusal;
    }
}

int events_add_thread(struct events *ev, const struct events_thread *t, struct err *e)
{
    bool has_kernel;
    int rc = add_granted_clock(ev, t, &has_kernel);
    if (rc != 0) {
        return refusal_explain(-rc, t->tid, &ev->opener.refusal, e);
    }
    ev->n_threads++;
    if (has_kernel) {
        add_stacks(ev, t);
        add_wakings(ev, t);
    }
    return 0;
}

/* ---- wakeups from anywhere ---- */

/* What the kernel counted on them, which may be more than what it recorded. */
static uint64_t count_watch(const struct events *ev, const int *fds)
{
    uint64_t n = 0;
    for (size_t i = 0; fds && i < ev->cpus.n; i++) {
        uint64_t value;
        n += fds[i] >= 0 && read(fds[i], &value, sizeof(value)) == sizeof(value) ? value : 0;
    }
    return n;
}

static void end_watch(struct events *ev)
{
    for (size_t i = 0; ev->watch_fds && i < ev->cpus.n; i++) {
        fd_close(&ev->watch_fds[i]);
    }
    free(ev->watch_fds);
    ev->watch_fds = NULL;
}

/* Lists come and go all through a recording, and the ids of each are new: those of lists so long
 * ago that no record of theirs can be under way are forgotten. */
static void note_watch(struct events *ev, uint64_t id)
{
    size_t n_kept = WATCHES_KEPT * ev->cpus.n;
    if (ev->n_watch_ids >= 2 * n_kept) {
        size_t n_old = ev->n_watch_ids - n_kept;
        for (size_t i = 0; i < n_old; i++) {
            map_remove(&ev->sources, ev->watch_ids[i]);
        }
        memmove(ev->watch_ids, ev->watch_ids + n_old, n_kept * sizeof(*ev->watch_ids));
        ev->n_watch_ids = n_kept;
    }
    mem_reserve(&ev->watch_ids, &ev->cap_watch_ids, ev->n_watch_ids + 1, sizeof(*ev->watch_ids));
    ev->watch_ids[ev->n_watch_ids++] = id;
    *map_put(&ev->sources, id) = EVENTS_WATCH;
}

/* Filters, directs and starts the events that were opened. A filter cannot be changed later. */
static int start_watch(struct events *ev, const int *fds, const char *filter)
{
    for (size_t i = 0; i < ev->cpus.n; i++) {
        uint64_t id = 0;
        if (fds[i] < 0) {
            continue; /* offline */
        }
        if (ioctl(fds[i], PERF_EVENT_IOC_SET_FILTER, filter) != 0 ||
            ioctl(fds[i], PERF_EVENT_IOC_SET_OUTPUT,
                  is_apart(ev, EVENTS_WATCH) ? ev->stack_anchors[i] : ev->anchors[i]) != 0 ||
            ioctl(fds[i], PERF_EVENT_IOC_ID, &id) != 0) {
            return -errno;
        }
        note_watch(ev, id);
        if (ioctl(fds[i], PERF_EVENT_IOC_ENABLE, 0) != 0) {
            return -errno;
        }
    }
    return 0;
}

int events_watch(struct events *ev, const int32_t *tids, size_t n)
{
    struct opener_want want = {
        .event = {.kind = BROKER_SCHED_WAKING, .period = 1, .stack_bytes = ev->waker_stack_bytes}};
    struct buf filter = {0};
    int *old = ev->watch_fds;
    int rc = 0;
    want.event.flags = BROKER_CALLCHAIN | BROKER_KERNEL | BROKER_DISABLED;
    ev->watch_fds = NULL;
    for (size_t i = 0; i < n; i++) {
        buf_addf(&filter, "%spid == %d", i ? " || " : "", tids[i]);
    }
    if (n) {
        ev->watch_fds = mem_new(ev->cpus.n, sizeof(int));
        rc = opener_open_everywhere(&want, &ev->cpus, ev->watch_fds);
        rc = rc ? rc : start_watch(ev, ev->watch_fds, buf_str(&filter));
    }
    if (rc != 0) {
        end_watch(ev);
    }
    ev->n_watch_counted += count_watch(ev, old);
    /* The old ones go after the new ones have come, so that no wakeup falls between. */
    for (size_t i = 0; old && i < ev->cpus.n; i++) {
        fd_close(&old[i]);
    }
    free(old);
    buf_free(&filter);
    return rc;
}

/* ---- afterwards ---- */

void events_set(struct events *ev, uint32_t kind, bool is_on)
{
    for (size_t i = 0; i < ev->n_open; i++) {
        if (ev->open[i].source & kind) {
            /* A thread that is gone has nothing to switch off. */
            (void)ioctl(ev->open[i].fd, is_on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
        }
    }
}

bool events_have_room(struct events *ev, size_t n_threads)
{
    size_t n_used = events_n_open(ev), n_counters = ev->counters.list.n;
    size_t n_room = ev->max_fds > n_used ? (ev->max_fds - n_used) / ev->cpus.n : 0;
    size_t n_kinds = 1 + n_counters + ev->has_stacks + ev->has_wakings;
    if (n_counters && !ev->counters.is_asked_for && ev->n_open == 0 &&
        n_threads > n_room / n_kinds) {
        counters_leave_out(&ev->counters, "too few descriptors for counters per thread and CPU",
                           "ulimit -n 1048576 for stax-server");
        set_counter_format(ev);
        n_kinds -= n_counters;
        n_counters = 0;
    }
    if (ev->has_wakings && n_threads > n_room / n_kinds) {
        ev->has_wakings = false;
        ev->wakings_errno = EMFILE;
    }
    if (ev->has_stacks && n_threads > n_room / (2 + n_counters)) {
        ev->has_stacks = false;
        ev->stacks_errno = EMFILE;
    }
    return n_threads <= n_room / (1 + n_counters);
}

bool events_have_stacks(const struct events *ev)
{
    return ev->has_switches && ev->has_stacks && ev->has_kernel && !ev->n_without_kernel;
}

void events_read(const struct events *ev, struct events_totals *totals)
{
    *totals = (struct events_totals){0};
    totals->n_watched = ev->n_watch_counted + count_watch(ev, ev->watch_fds);
    for (size_t i = 0; i < ev->n_open; i++) {
        uint64_t values[2] = {0}; /* ns (of the clock) or context switches, lost records */
        if (ev->open[i].source & EVENTS_COUNTER) {
            continue; /* read with its clock */
        }
        if (ev->counters.list.n && !(ev->open[i].source & ~EVENTS_TID_MASK)) {
            counters_add_total(&ev->counters, ev->open[i].fd, ev->counts_lost, &totals->counters);
        } else if (read(ev->open[i].fd, values, sizeof(values)) > 0) {
            bool is_clock = !(ev->open[i].source & ~EVENTS_TID_MASK);
            totals->on_cpu_ns += is_clock ? (int64_t)values[0] : 0;
            *(is_apart(ev, ev->open[i].source) ? &totals->n_stacks_lost : &totals->n_lost) +=
                values[1];
        }
    }
    totals->on_cpu_ns += (int64_t)totals->counters.clock_ns;
    totals->n_lost += totals->counters.n_lost;
}

size_t events_n_open(const struct events *ev)
{
    return ev->n_open + ev->cpus.n * (ev->stack_anchors ? 2 : 1);
}

void events_end_opening(struct events *ev)
{
    opener_close(&ev->opener);
}

void events_close(struct events *ev)
{
    end_watch(ev);
    while (ev->n_open) {
        fd_close(&ev->open[--ev->n_open].fd);
    }
    close_rings(ev, ev->anchors, ev->rings);
    close_rings(ev, ev->stack_anchors, ev->stack_rings);
    opener_close(&ev->opener);
    free(ev->open);
    free(ev->anchors);
    free(ev->rings);
    free(ev->stack_anchors);
    free(ev->stack_rings);
    free(ev->watch_ids);
    map_free(&ev->sources);
    pid_list_free(&ev->cpus);
    *ev = (struct events){0};
}
