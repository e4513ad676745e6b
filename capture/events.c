/* events.c - see events.h. */
#include "capture/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/record.h"

enum {
    RING_BYTES_MIN = 32 << 10,
    SPARE_FDS = 256, /* left to the rest of this process */
    CPU_LIST_BYTES_MAX = 65536,
    STATUS_BYTES_MAX = 16384,
    PATH_BYTES = 64,
};

static int perf_event_open(struct perf_event_attr *attr, pid_t tid, int cpu)
{
    long fd = syscall(SYS_perf_event_open, attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static int64_t paranoid_level(void)
{
    int64_t level = 0;
    return fd_read_int("/proc/sys/kernel/perf_event_paranoid", &level) == 0 ? level : INT64_MIN;
}

/* Whether this process runs behind a seccomp filter. */
static bool is_filtered(void)
{
    struct buf text = {0};
    bool is_filtered = fd_read_file("/proc/self/status", STATUS_BYTES_MAX, &text) == 0 &&
                       strstr(buf_str(&text), "\nSeccomp:\t2");
    buf_free(&text);
    return is_filtered;
}

/* The host says no: which of its settings does, and what would help. */
static int explain_refusal(int os_errno, struct err *e)
{
    char setting[2 * PATH_BYTES] = "kernel.perf_event_paranoid is not readable";
    int64_t level = paranoid_level();
    bool is_root = geteuid() == 0, is_closed = level > 2 && !is_root;
    if (level != INT64_MIN) {
        snprintf(setting, sizeof(setting), "kernel.perf_event_paranoid is %lld%s", (long long)level,
                 is_closed ? "" : ", not what forbids it");
    }
    err_set(e, STAX_EPERMISSION, "the host forbids perf events (perf_event_open: %s; %s)",
            strerror(os_errno), setting);
    if (is_closed) {
        err_hint(e,
                 "sudo sysctl kernel.perf_event_paranoid=2 (1 adds kernel stacks), or run as root");
    } else if (is_filtered()) {
        err_hint(e, "a seccomp filter, as containers and services have, is in the way: let it "
                    "allow perf_event_open, or start the container with --cap-add PERFMON");
    } else {
        err_hint(e,
                 "give stax-server CAP_PERFMON%s; a program that is not dumpable (setuid) can "
                 "be recorded by root only",
                 is_root ? "" : " or run it as root");
    }
    return STAX_EPERMISSION;
}

/* Says why perf_event_open() on a thread was refused and what would help. tid 0: our own. */
static int explain(int os_errno, pid_t tid, struct err *e)
{
    char of[PATH_BYTES] = "stax-server itself";
    if (tid) {
        snprintf(of, sizeof(of), "thread %d", tid);
    }
    switch (os_errno) {
    case ESRCH:
        return err_set(e, STAX_ENOTFOUND, "thread %d is gone", tid);
    case EMFILE:
    case ENFILE:
        err_set(e, STAX_ELIMIT, "no descriptors left for the events of %s", of);
        err_hint(e, "raise the limit of open files for stax-server: ulimit -n, or LimitNOFILE= in "
                    "its systemd unit");
        return STAX_ELIMIT;
    case ENOSYS:
    case ENOENT:
    case EOPNOTSUPP:
        return err_set(e, STAX_ESYSTEM,
                       "this kernel offers no perf events (CONFIG_PERF_EVENTS): %s",
                       strerror(os_errno));
    case EACCES:
    case EPERM:
        break;
    default:
        return err_set_errno(e, os_errno, "cannot open a perf event on %s", of);
    }
    char path[PATH_BYTES];
    struct stat owner;
    snprintf(path, sizeof(path), "/proc/%d", tid);
    if (tid && stat(path, &owner) == 0 && owner.st_uid != geteuid() && geteuid() != 0) {
        err_set(e, STAX_EPERMISSION, "process %d belongs to uid %u, stax-server runs as uid %u",
                tid, owner.st_uid, geteuid());
        err_hint(e, "record it as that user or as root");
        return STAX_EPERMISSION;
    }
    return explain_refusal(os_errno, e);
}

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

/* An event that owns the ring of a CPU. It sits on our own main thread, disabled, and asks to be
 * woken when a quarter of the ring is full. The first one also finds out what can be counted. */
static int open_anchor(struct events *ev, int cpu, size_t ring_bytes)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_DUMMY,
        .sample_type = RECORD_SAMPLE_TYPE,
        .sample_id_all = 1,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1,
        .wakeup_watermark = (uint32_t)(ring_bytes / 4),
        .read_format = ev->counts_lost ? PERF_FORMAT_LOST : 0,
    };
    int fd = perf_event_open(&attr, getpid(), cpu);
    if (fd == -EINVAL && ev->counts_lost) {
        ev->counts_lost = false;
        return open_anchor(ev, cpu, ring_bytes);
    }
    return fd;
}

static void close_rings(struct events *ev)
{
    for (size_t i = 0; ev->rings && i < ev->cpus.n; i++) {
        ring_unmap(&ev->rings[i]);
        fd_close(&ev->anchors[i]);
    }
}

/* 0, -EPERM when there is not enough locked memory for this size, or another -errno. */
static int open_rings(struct events *ev, size_t ring_bytes, bool *is_map)
{
    *is_map = false;
    for (size_t i = 0; i < ev->cpus.n; i++) {
        int fd = open_anchor(ev, ev->cpus.pids[i], ring_bytes);
        if (fd < 0) {
            return fd;
        }
        ev->anchors[i] = fd;
        int rc = ring_map(&ev->rings[i], fd, ring_bytes);
        if (rc != 0) {
            *is_map = true;
            return rc;
        }
    }
    ev->ring_bytes = ring_bytes;
    return 0;
}

static int explain_rings(int os_errno, bool is_map, struct err *e)
{
    if (!is_map) {
        return explain(os_errno, 0, e);
    }
    if (os_errno != EPERM && os_errno != ENOMEM) {
        return err_set_errno(e, os_errno, "cannot map a perf ring");
    }
    int64_t kib = -1;
    fd_read_int("/proc/sys/kernel/perf_event_mlock_kb", &kib);
    err_set(e, STAX_ELIMIT,
            "no locked memory left even for rings of %d KiB per CPU "
            "(kernel.perf_event_mlock_kb is %lld, shared by all recordings of this user)",
            RING_BYTES_MIN >> 10, (long long)kib);
    err_hint(e,
             "stop other recordings, raise RLIMIT_MEMLOCK (ulimit -l) for stax-server, or sudo "
             "sysctl kernel.perf_event_mlock_kb=%lld",
             (long long)(kib > 516 ? kib * 2 : 1032));
    return STAX_ELIMIT;
}

const struct record_format *events_format(const struct events *ev, uint64_t id)
{
    uint32_t source = map_get(&ev->sources, id);
    bool is_stack = source != EVENTS_DISCARDED && source & EVENTS_SWITCH_STACK;
    return &ev->formats[is_stack ? EVENTS_STACKS : EVENTS_CLOCK];
}

int events_open(struct events *ev, size_t ring_bytes, struct err *e)
{
    size_t max_fds = raise_fd_limit();
    ev->max_fds = max_fds > SPARE_FDS ? max_fds - SPARE_FDS : 0;
    ev->has_kernel = true;
    ev->inherits_threads = true;
    ev->has_switches = true;
    ev->has_stacks = true;
    ev->counts_lost = true;
    if (find_cpus(&ev->cpus) != 0) {
        return err_set(e, STAX_ESYSTEM, "cannot tell which CPUs are online");
    }
    ev->anchors = mem_new(ev->cpus.n, sizeof(*ev->anchors));
    memset(ev->anchors, -1, ev->cpus.n * sizeof(*ev->anchors));
    ev->rings = mem_new(ev->cpus.n, sizeof(*ev->rings));
    for (;;) {
        bool is_map;
        int rc = open_rings(ev, ring_bytes, &is_map);
        if (rc == 0) {
            return 0;
        }
        close_rings(ev);
        bool is_short = is_map && (rc == -EPERM || rc == -ENOMEM);
        if (!is_short || ring_bytes / 2 < RING_BYTES_MIN) {
            return explain_rings(-rc, is_map, e);
        }
        ring_bytes /= 2;
    }
}

static struct counters_context counters_context(const struct events *ev)
{
    return (struct counters_context){.inherits_thread = !ev->with_children && ev->inherits_threads,
                                     .has_kernel = ev->has_kernel,
                                     .counts_lost = ev->counts_lost};
}

/* Of clocks, from now on. */
static void set_clock_format(struct events *ev)
{
    const struct counters_context context = counters_context(ev);
    struct record_format *format = &ev->formats[EVENTS_CLOCK];
    format->has_counters = ev->counters.list.n > 0;
    format->read_format = counters_read_format(&ev->counters, &context);
}

static int open_clock(const struct events *ev, pid_t tid, int cpu)
{
    const struct record_format *format = &ev->formats[EVENTS_CLOCK];
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = (uint64_t)ev->period_ns,
        .sample_type = RECORD_SAMPLE_TYPE | (format->has_counters ? PERF_SAMPLE_READ : 0),
        .read_format = format->read_format,
        .sample_id_all = 1,
        .disabled = ev->is_on_exec,
        .enable_on_exec = ev->is_on_exec,
        .inherit = 1,
        .inherit_thread = !ev->with_children && ev->inherits_threads,
        .exclude_kernel = !ev->has_kernel,
        .exclude_callchain_kernel = !ev->has_kernel,
        .exclude_hv = 1,
        .mmap = 1,
        .mmap2 = 1,
        .comm = 1,
        .comm_exec = 1,
        .task = 1,
        .context_switch = ev->has_switches,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
    return perf_event_open(&attr, tid, cpu);
}

/* Stacks of context switches, each of them: events_set_stacks() bounds the rate. The kernel's own
 * ways do not: a frequency takes one burst for the rate and then leaves rare switches out for good,
 * and PERF_EVENT_IOC_PERIOD does not reach inherited events, as PERF_EVENT_IOC_DISABLE does. */
static int open_stacks(const struct events *ev, pid_t tid, int cpu)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
        .sample_period = 1,
        .sample_type = RECORD_SAMPLE_TYPE,
        .read_format = ev->counts_lost ? PERF_FORMAT_LOST : 0,
        .sample_id_all = 1,
        .disabled = ev->is_on_exec,
        .enable_on_exec = ev->is_on_exec,
        .inherit = 1,
        .inherit_thread = !ev->with_children && ev->inherits_threads,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
    return perf_event_open(&attr, tid, cpu);
}

/* Opens an event with what the host grants, and remembers what it did not. */
static int open_granted(struct events *ev, pid_t tid, int cpu)
{
    int fd = open_clock(ev, tid, cpu);
    if (fd == -EINVAL && !ev->with_children && ev->inherits_threads) {
        ev->inherits_threads = false;
        fd = open_clock(ev, tid, cpu);
        ev->inherits_threads = fd == -EINVAL; /* then that was not the reason */
    }
    if ((fd == -EACCES || fd == -EPERM) && ev->has_kernel) {
        int kernel_errno = -fd;
        ev->has_kernel = false;
        fd = open_clock(ev, tid, cpu);
        ev->has_kernel = fd < 0;
        ev->kernel_errno = fd < 0 ? 0 : kernel_errno;
    }
    return fd;
}

/* Directs an event into the ring of its CPU and keeps it; 0 or -errno, with fd closed. */
static int keep_event(struct events *ev, int fd, size_t cpu_index, uint32_t source)
{
    uint64_t id = 0;
    if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ev->anchors[cpu_index]) != 0 ||
        ioctl(fd, PERF_EVENT_IOC_ID, &id) != 0) {
        int os_errno = errno;
        close(fd);
        return -os_errno;
    }
    mem_reserve(&ev->fds, &ev->cap_fds, ev->n_fds + 1, sizeof(*ev->fds));
    ev->fds[ev->n_fds++] = fd;
    *map_put(&ev->sources, id) = source;
    return 0;
}

/* Stacks are an extra: what stands in their way is remembered and they are left out. */
static void add_stacks(struct events *ev, pid_t tid, size_t cpu_index)
{
    if (!ev->has_stacks || !ev->has_kernel || !ev->has_switches) {
        return;
    }
    int rc = -EMFILE;
    if (events_n_open(ev) + ev->cpus.n < ev->max_fds) {
        rc = open_stacks(ev, tid, ev->cpus.pids[cpu_index]);
    }
    if (rc >= 0) {
        int fd = rc;
        rc = keep_event(ev, fd, cpu_index, (uint32_t)tid | EVENTS_SWITCH_STACK);
        if (rc == 0) {
            mem_reserve(&ev->stack_fds, &ev->cap_stack_fds, ev->n_stack_fds + 1, sizeof(int));
            ev->stack_fds[ev->n_stack_fds++] = fd;
        }
    }
    if (rc < 0 && rc != -ESRCH && rc != -ENODEV && rc != -ENXIO) {
        ev->has_stacks = false;
        ev->stacks_errno = -rc;
    }
}

/* Opens the events of one thread on one CPU; 0 or -errno. */
static int add_event(struct events *ev, pid_t tid, size_t cpu_index)
{
    if (events_n_open(ev) + ev->counters.list.n >= ev->max_fds) {
        return -EMFILE;
    }
    set_clock_format(ev);
    int fd = open_granted(ev, tid, ev->cpus.pids[cpu_index]);
    if (fd < 0) {
        return fd;
    }
    int rc = keep_event(ev, fd, cpu_index, (uint32_t)tid);
    if (rc == 0 && ev->counters.list.n) {
        const struct counters_context context = counters_context(ev);
        rc = counters_open(&ev->counters, fd, tid, ev->cpus.pids[cpu_index], &context);
    }
    if (rc == 0) {
        add_stacks(ev, tid, cpu_index);
    }
    return rc;
}

/* Closes the events from n_keep on; what they wrote so far must not be taken for the thread's. */
static void discard(struct events *ev, size_t n_keep)
{
    while (ev->n_fds > n_keep) {
        int fd = ev->fds[--ev->n_fds];
        uint64_t id;
        if (ev->n_stack_fds && ev->stack_fds[ev->n_stack_fds - 1] == fd) {
            ev->n_stack_fds--;
        }
        if (ioctl(fd, PERF_EVENT_IOC_ID, &id) == 0) {
            *map_put(&ev->sources, id) = EVENTS_DISCARDED;
        }
        close(fd);
    }
}

int events_add_thread(struct events *ev, pid_t tid, struct err *e)
{
    size_t n_before = ev->n_fds, n_counters_before = ev->counters.n_fds;
    for (size_t i = 0; i < ev->cpus.n; i++) {
        int rc = add_event(ev, tid, i);
        if (rc == 0 || rc == -ENODEV || rc == -ENXIO) {
            continue; /* a CPU that went offline since */
        }
        discard(ev, n_before);
        counters_discard(&ev->counters, n_counters_before);
        return explain(-rc, tid, e);
    }
    return 0;
}

void events_set_stacks(struct events *ev, bool is_on)
{
    for (size_t i = 0; i < ev->n_stack_fds; i++) {
        /* A thread that is gone has nothing to switch off. */
        (void)ioctl(ev->stack_fds[i], is_on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
    }
}

bool events_have_room(struct events *ev, size_t n_threads)
{
    size_t n_used = events_n_open(ev), n_counters = ev->counters.list.n;
    size_t n_room = ev->max_fds > n_used ? (ev->max_fds - n_used) / ev->cpus.n : 0;
    if (n_counters && !ev->counters.is_asked_for && ev->n_fds == 0 &&
        n_threads > n_room / (2 + n_counters)) {
        counters_leave_out(&ev->counters, "too few descriptors for counters per thread and CPU",
                           "ulimit -n 1048576 for stax-server");
        n_counters = 0;
    }
    if (ev->has_stacks && n_threads > n_room / (2 + n_counters)) {
        ev->has_stacks = false;
        ev->stacks_errno = EMFILE;
    }
    return n_threads <= n_room / (1 + n_counters);
}

void events_read(const struct events *ev, struct events_totals *totals)
{
    const struct counters_context context = counters_context(ev);
    *totals = (struct events_totals){0};
    size_t n_stacks = 0; /* stack_fds is a part of fds, in the same order */
    for (size_t i = 0; i < ev->n_fds; i++) {
        uint64_t values[2] = {0}; /* ns (of the clock) or context switches, lost records */
        bool is_stack = n_stacks < ev->n_stack_fds && ev->stack_fds[n_stacks] == ev->fds[i];
        n_stacks += is_stack;
        if (!is_stack && ev->counters.list.n) {
            counters_add_total(&ev->counters, ev->fds[i], &context, &totals->counters);
        } else if (read(ev->fds[i], values, sizeof(values)) > 0) {
            totals->on_cpu_ns += is_stack ? 0 : (int64_t)values[0];
            totals->n_lost += values[1];
        }
    }
    totals->on_cpu_ns += (int64_t)totals->counters.clock_ns;
    totals->n_lost += totals->counters.n_lost;
}

size_t events_n_open(const struct events *ev)
{
    return ev->n_fds + ev->counters.n_fds + ev->cpus.n;
}

void events_close(struct events *ev)
{
    while (ev->n_fds) {
        fd_close(&ev->fds[--ev->n_fds]);
    }
    counters_close(&ev->counters);
    close_rings(ev);
    free(ev->fds);
    free(ev->stack_fds);
    free(ev->anchors);
    free(ev->rings);
    map_free(&ev->sources);
    pid_list_free(&ev->cpus);
    *ev = (struct events){0};
}
