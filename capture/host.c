/* host.c - see host.h. */
#include "capture/host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "capture/broker.h"
#include "capture/capture.h"
#include "capture/refusal.h"

enum {
    RING_KIB = 512,         /* per CPU, and a page */
    EVENTS_PER_THREAD = 2,  /* and CPU */
    SPARE_FDS = 256,        /* of the server itself */
    THREADS_WANTED = 1000,  /* fewer than this is worth a word */
    FREQUENCY_WANTED = 900, /* Hz */
    PATH_BYTES = 96,
};
#define TRACING "/sys/kernel/tracing"

/* What several checks depend on. */
struct host {
    bool is_privileged; /* root, or CAP_PERFMON */
    bool has_perf;      /* perf_event_open answers at all */
    bool has_staxd;     /* ... and staxd does */
    int perf_errno;
    int64_t paranoid; /* INT64_MIN: not readable */
    long n_cpus;
    struct err staxd; /* why not */
};

static void set_value(struct host_check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_value(struct host_check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->value, sizeof(c->value), fmt, args);
    va_end(args);
}

/* It is in the way: of what, and what lifts it. */
static void set_lack(struct host_check *c, const char *note, const char *unlock)
{
    c->is_ok = false;
    snprintf(c->note, sizeof(c->note), "%s", note);
    snprintf(c->unlock, sizeof(c->unlock), "%s", unlock);
}

static void set_note(struct host_check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_note(struct host_check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->note, sizeof(c->note), fmt, args);
    va_end(args);
}

/* A setting that is a number; false, with the value saying so, when there is none. */
static bool read_setting(struct host_check *c, const char *path, int64_t *value)
{
    int rc = fd_read_int(path, value);
    if (rc != 0) {
        set_value(c, "%s", rc == -ENOENT ? "not there" : strerror(-rc));
        return false;
    }
    set_value(c, "%" PRId64, *value);
    return true;
}

/* 0 or the errno of an event on ourselves that counts nothing of the kernel. */
static int try_event(uint32_t type, uint64_t config)
{
    struct perf_event_attr attr = {.type = type,
                                   .size = sizeof(attr),
                                   .config = config,
                                   .disabled = 1,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    close((int)fd);
    return 0;
}

static void look_around(struct host *h, const char *daemon_socket)
{
    *h = (struct host){.paranoid = refusal_paranoid(), .n_cpus = sysconf(_SC_NPROCESSORS_ONLN)};
    h->is_privileged = geteuid() == 0 || refusal_has_perfmon();
    h->perf_errno = try_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY);
    h->has_perf = h->perf_errno == 0;
    if (daemon_socket && *daemon_socket) {
        struct broker b;
        h->has_staxd = broker_open(&b, daemon_socket, &h->staxd) == 0;
        broker_close(&b);
    } else {
        err_set(&h->staxd, STAX_EUNREACHABLE, "not asked: its socket is turned off");
    }
}

/* ---- the checks ---- */

static void check_perf(struct host_check *c, const struct host *h)
{
    static const struct err not_asked = {0};
    struct err e = {0};
    c->name = "perf_event_open";
    set_value(c, "%s", h->has_perf ? "allowed" : strerror(h->perf_errno));
    if (h->has_perf) {
        return;
    }
    refusal_explain(h->perf_errno, 0, &not_asked, &e);
    set_lack(c, e.msg, e.hint);
    if (h->has_staxd) {
        c->is_ok = true;
        set_note(c, "refused to us (%s): staxd opens events", strerror(h->perf_errno));
        c->unlock[0] = '\0';
    }
}

static void check_seccomp(struct host_check *c, const struct host *h)
{
    c->name = "seccomp";
    bool is_filtered = refusal_is_filtered();
    set_value(c, "%s", is_filtered ? "a filter" : "none");
    if (is_filtered && !h->has_perf) {
        set_lack(c, "system calls of this process are filtered: a container or a service",
                 "let its profile allow perf_event_open, or start it with --cap-add PERFMON");
        c->is_ok = h->has_staxd;
    }
}

static void check_paranoid(struct host_check *c, const struct host *h)
{
    int64_t level;
    c->name = "kernel.perf_event_paranoid";
    if (!read_setting(c, "/proc/sys/kernel/perf_event_paranoid", &level)) {
        return;
    }
    if (level <= 1) {
        set_note(c, "users see the kernel's part of their programs");
    } else if (h->is_privileged) {
        set_note(c, "binds other users, not this one");
    } else if (h->has_staxd) {
        set_note(c, "staxd opens what users may not");
    } else {
        set_lack(c, "users see nothing of the kernel: no kernel stacks, stacks of waits, wakeups",
                 "sudo stax setup, or sudo sysctl kernel.perf_event_paranoid=1");
    }
}

static void check_kptr(struct host_check *c, const struct host *h)
{
    int64_t level;
    c->name = "kernel.kptr_restrict";
    if (!read_setting(c, "/proc/sys/kernel/kptr_restrict", &level)) {
        return;
    }
    if (level > 1) {
        set_lack(c, "hidden from everybody: the kernel's functions have no names",
                 "sudo sysctl kernel.kptr_restrict=1");
    } else if (level == 1 && !h->is_privileged && !h->has_staxd) {
        set_lack(c, "hidden from users: the kernel's functions have no names",
                 "sudo stax setup, or sudo sysctl kernel.kptr_restrict=0");
    }
}

static void check_yama(struct host_check *c, const struct host *h)
{
    int64_t level;
    c->name = "kernel.yama.ptrace_scope";
    if (!read_setting(c, "/proc/sys/kernel/yama/ptrace_scope", &level) || level == 0) {
        return;
    }
    if (level >= 3 || geteuid() != 0) {
        set_lack(c,
                 h->has_staxd || h->paranoid <= 1
                     ? "the memory of other processes is closed: what a waiting thread's system "
                       "call says cannot be read"
                     : "the memory of other processes is closed: reasons of waits are guessed from "
                       "less",
                 level >= 3 ? "sysctl kernel.yama.ptrace_scope=0 at boot: 3 cannot be undone"
                            : "sudo sysctl kernel.yama.ptrace_scope=0");
    }
}

static void check_locked(struct host_check *c, const struct host *h)
{
    int64_t kib = 0;
    struct rlimit limit = {0};
    c->name = "kernel.perf_event_mlock_kb";
    if (!read_setting(c, "/proc/sys/kernel/perf_event_mlock_kb", &kib) ||
        getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return;
    }
    bool is_free = limit.rlim_cur == RLIM_INFINITY || geteuid() == 0 || h->paranoid < 0;
    int64_t more_kib = is_free ? 0 : (int64_t)(limit.rlim_cur >> 10);
    int64_t has_kib = kib * h->n_cpus + more_kib;
    int64_t needs_kib = h->n_cpus * (RING_KIB + (sysconf(_SC_PAGESIZE) >> 10));
    if (is_free) {
        set_value(c, "%" PRId64 " KiB a CPU; RLIMIT_MEMLOCK does not bind", kib);
    } else {
        set_value(c, "%" PRId64 " KiB a CPU, and %" PRId64 " KiB by RLIMIT_MEMLOCK", kib, more_kib);
    }
    if (is_free || has_kib >= needs_kib) {
        set_note(c, "rings of %d KiB for each of %ld CPUs fit", RING_KIB, h->n_cpus);
    } else {
        set_lack(c, "rings are smaller than they should be: more is lost when this machine is busy",
                 "sudo sysctl kernel.perf_event_mlock_kb=1032, or ulimit -l 8192 for stax-server");
    }
}

static void check_files(struct host_check *c, const struct host *h)
{
    struct rlimit limit = {0};
    c->name = "RLIMIT_NOFILE";
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t n = limit.rlim_max == RLIM_INFINITY ? INT32_MAX : limit.rlim_max;
    uint64_t n_threads =
        n > SPARE_FDS ? (n - SPARE_FDS) / (uint64_t)(h->n_cpus * EVENTS_PER_THREAD) : 0;
    set_value(c, "%" PRIu64, n);
    if (n_threads < THREADS_WANTED) {
        set_lack(c, "", "ulimit -Hn 1048576 for stax-server, or LimitNOFILE= in its systemd unit");
    }
    set_note(c, "attaching reaches %" PRIu64 " threads, with %d events on each of %ld CPUs",
             n_threads, EVENTS_PER_THREAD, h->n_cpus);
}

static void check_rate(struct host_check *c)
{
    int64_t hz;
    c->name = "kernel.perf_event_max_sample_rate";
    if (!read_setting(c, "/proc/sys/kernel/perf_event_max_sample_rate", &hz)) {
        return;
    }
    if (hz < FREQUENCY_WANTED) {
        set_lack(c, "the default frequency of 900 Hz is refused, lower ones are not",
                 "sudo sysctl kernel.perf_event_max_sample_rate=50000");
    } else {
        set_note(c, "record -F up to %" PRId64, capture_max_frequency_hz());
    }
}

static void check_tracefs(struct host_check *c, const struct host *h)
{
    struct stat st;
    char path[PATH_BYTES];
    c->name = "tracefs";
    bool is_mounted = stat(TRACING "/events", &st) == 0 || errno == EACCES;
    snprintf(path, sizeof(path), "%s", TRACING "/events/sched/sched_waking/id");
    if (!is_mounted) {
        set_value(c, "not mounted");
        set_lack(c, "wakeups cannot be recorded: who made a waiting thread runnable",
                 "sudo mount -t tracefs nodev " TRACING);
    } else if (access(path, R_OK) == 0) {
        set_value(c, "readable");
    } else if (h->has_staxd) {
        set_value(c, "root's");
        set_note(c, "staxd reads it");
    } else {
        set_value(c, "root's");
        set_lack(c, "wakeups cannot be recorded: who made a waiting thread runnable",
                 "sudo stax setup, or run stax-server as root");
    }
}

static void check_pmu(struct host_check *c, const struct host *h)
{
    int64_t watchdog = 0;
    c->name = "hardware counters";
    int os_errno = try_event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES);
    if (os_errno == 0) {
        set_value(c, "there");
        if (fd_read_int("/proc/sys/kernel/nmi_watchdog", &watchdog) == 0 && watchdog) {
            set_note(c, "kernel.nmi_watchdog holds one of them");
        }
    } else if (os_errno == ENOENT || os_errno == EOPNOTSUPP || os_errno == ENODEV) {
        set_value(c, "none");
        set_lack(c, "cycles and cache misses cannot be counted: a virtual machine without a PMU?",
                 "");
    } else {
        set_value(c, "not known (%s)", strerror(os_errno));
        c->is_ok = h->has_perf;
    }
}

static void check_staxd(struct host_check *c, const struct host *h, const char *daemon_socket)
{
    c->name = "staxd";
    set_value(c, "%s", h->has_staxd ? "answers" : "does not answer");
    if (h->has_staxd) {
        set_note(c, "on %s", daemon_socket);
    } else if (h->is_privileged || (h->has_perf && h->paranoid <= 1)) {
        set_note(c, "not needed here");
    } else {
        bool is_absent = h->staxd.code == STAX_EUNREACHABLE || !h->staxd.hint[0];
        set_lack(c, h->staxd.msg, is_absent ? "sudo stax setup" : h->staxd.hint);
    }
}

size_t host_check(const char *daemon_socket, struct host_check rows[HOST_CHECKS_MAX])
{
    struct host h;
    struct host_check *c = rows;
    look_around(&h, daemon_socket);
    for (size_t i = 0; i < HOST_CHECKS_MAX; i++) {
        rows[i] = (struct host_check){.is_ok = true};
    }
    check_perf(c++, &h);
    check_paranoid(c++, &h);
    check_staxd(c++, &h, daemon_socket);
    check_kptr(c++, &h);
    check_yama(c++, &h);
    check_tracefs(c++, &h);
    check_pmu(c++, &h);
    check_locked(c++, &h);
    check_files(c++, &h);
    check_rate(c++);
    check_seccomp(c++, &h);
    return (size_t)(c - rows);
}
