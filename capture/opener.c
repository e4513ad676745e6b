/* opener.c - see opener.h. */
#include "capture/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/staxd/policy.h"

enum { PATH_BYTES = 96, KALLSYMS_LOOK_BYTES = 8192, ID_BYTES_MAX = 64 };
/* A broker may take this long for its first answers and then so much for each, all in all: a target
 * of 10,000 threads is not to wait for one that answers just before it would be given up. */
static const int64_t PATIENCE_NS = 5000000000, PATIENCE_EACH_NS = 10000000;

void opener_init(struct opener *o, const char *path)
{
    *o = (struct opener){.path = path, .broker.fd = -1, .pidfd = -1};
}

static bool has_broker(const struct opener *o)
{
    return o->path && *o->path && !o->is_off;
}

static bool is_refusal(int rc)
{
    return rc == -EACCES || rc == -EPERM;
}

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fd_close(&fds[i]);
    }
}

/* ---- counters ---- */

static size_t n_counters(const struct opener_want *want)
{
    return want->counters ? want->counters->n : 0;
}

/* What the broker's protocol calls it, BROKER_NO_COUNTER: it has no word for it. */
static enum broker_counter broker_counter_of(const struct counter_event *event)
{
    static const struct {
        uint32_t type;
        uint64_t config;
    } known[BROKER_COUNTERS_END] = {
#define X(name, type, config) [BROKER_##name] = {(type), (config)},
        BROKER_COUNTERS(X)
#undef X
    };
    bool is_plain = !event->has_modifiers && !event->exclude_guest && !event->exclude_host;
    for (int i = BROKER_NO_COUNTER + 1; i < BROKER_COUNTERS_END && is_plain; i++) {
        if (known[i].type == event->type && known[i].config == event->config) {
            return (enum broker_counter)i;
        }
    }
    return BROKER_NO_COUNTER;
}

/* Spells the counters as the broker does; false: some it cannot open. */
static bool name_counters(const struct opener_want *want, struct broker_want *event)
{
    bool are_known = true;
    event->n_counters = n_counters(want);
    for (size_t i = 0; i < event->n_counters; i++) {
        event->counters[i] = broker_counter_of(&want->counters->items[i]);
        are_known &= event->counters[i] != BROKER_NO_COUNTER;
    }
    return are_known;
}

/* Also those that the broker has no word for. */
static void set_counter(const struct counter_event *event, struct perf_event_attr *attr)
{
    attr->type = event->type;
    attr->config = event->config;
    attr->config1 = event->config1;
    attr->config2 = event->config2;
    /* A PMU that cannot leave parts out refuses to, even one that is not there. */
    attr->exclude_hv = event->type < PERF_TYPE_MAX;
    attr->exclude_guest = event->exclude_guest;
    attr->exclude_host = event->exclude_host;
    if (event->has_modifiers) {
        attr->exclude_user = event->exclude_user;
        attr->exclude_kernel = event->exclude_kernel;
        attr->exclude_hv = event->exclude_hv;
    }
}

/* ---- by ourselves ---- */

static int perf_event_open(struct perf_event_attr *attr, pid_t tid, int cpu, int leader)
{
    long fd = syscall(SYS_perf_event_open, attr, tid, cpu, leader, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

int opener_read_tracepoint(const char *name, const char *file, size_t max, struct buf *text)
{
    static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    int rc = -ENOENT;
    for (size_t i = 0; i < sizeof places / sizeof *places && rc != 0; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "%s/events/sched/%s/%s", places[i], name, file);
        int place_rc = fd_read_file(path, max, text);
        rc = place_rc == 0 || rc == -ENOENT ? place_rc : rc;
    }
    return rc;
}

static int find_tracepoint(const char *name, uint64_t *id)
{
    struct buf text = {0};
    int rc = opener_read_tracepoint(name, "id", ID_BYTES_MAX, &text);
    *id = rc == 0 ? strtoull(buf_str(&text), NULL, 10) : 0;
    buf_free(&text);
    return rc;
}

/* The group of one CPU, or none: 0 or -errno. */
static int open_group(const struct opener_want *want, const struct broker_request *request,
                      uint64_t tracepoint, int cpu, int *fds)
{
    for (unsigned member = 0; member <= n_counters(want); member++) {
        struct perf_event_attr attr;
        policy_build_attr(request, member, tracepoint, &attr);
        if (member == 0 && want->wakeup_bytes) {
            attr.watermark = 1;
            attr.wakeup_watermark = want->wakeup_bytes;
        }
        if (member > 0) {
            set_counter(&want->counters->items[member - 1], &attr);
        }
        int fd = perf_event_open(&attr, want->event.tid, cpu, member ? fds[0] : -1);
        if (fd < 0) {
            close_all(fds, member);
            return fd;
        }
        fds[member] = fd;
    }
    return 0;
}

static int open_directly(const struct opener_want *want, const struct pid_list *cpus, int *fds)
{
    size_t per_cpu = 1 + n_counters(want);
    struct broker_want event = want->event;
    struct broker_request request;
    uint64_t tracepoint = 0;
    name_counters(want, &event);
    broker_request_of(&event, &request);
    const char *name = policy_tracepoint(want->event.kind);
    int rc = name ? find_tracepoint(name, &tracepoint) : 0;
    for (size_t i = 0; i < cpus->n && rc == 0; i++) {
        rc = open_group(want, &request, tracepoint, cpus->pids[i], fds + i * per_cpu);
        rc = rc == -ENODEV || rc == -ENXIO ? 0 : rc; /* went offline */
    }
    if (rc != 0) {
        close_all(fds, cpus->n * per_cpu);
    }
    return rc;
}

/* ---- by the broker ---- */

static int connect_broker(struct opener *o)
{
    if (o->is_tried) {
        return 0; /* a connection that was closed meanwhile is made again by itself */
    }
    o->is_tried = true;
    return broker_open(&o->broker, o->path, &o->refusal);
}

/* The pidfd of a process; threads are mostly asked for process by process. */
static int pidfd_of(struct opener *o, pid_t pid)
{
    if (o->pid != pid) {
        fd_close(&o->pidfd);
        o->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        o->pid = o->pidfd >= 0 ? pid : 0;
    }
    return o->pidfd >= 0 ? o->pidfd : -errno;
}

void opener_give_up(struct opener *o)
{
    if (!o->is_off && o->n_asked) {
        o->is_off = true;
        err_set(&o->refusal, STAX_ETIMEOUT, "staxd at %s is too slow: %.1f s for %llu requests",
                o->path, (double)o->waited_ns / 1e9, (unsigned long long)o->n_asked);
        broker_close(&o->broker);
    }
}

/* After an error of the broker: whether it is of any further use. */
static void judge(struct opener *o, int rc)
{
    o->is_off |= rc != 0 && rc != STAX_ENOTFOUND && rc != STAX_ESYSTEM &&
                 !(rc == STAX_EPERMISSION && o->broker.fd >= 0);
    if (o->waited_ns > PATIENCE_NS + (int64_t)o->n_asked * PATIENCE_EACH_NS) {
        opener_give_up(o);
    }
    if (o->is_off) {
        broker_close(&o->broker);
    }
}

/* Whether a thread is there: in a crowd that comes and goes many are not any more, and an answer
 * takes two switches between processes. */
static bool is_there(pid_t pid, pid_t tid)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
    return access(path, F_OK) == 0 || errno != ENOENT;
}

/* Whether a thread has ended, or begun to: a refusal about such a one says nothing about others. */
static bool is_ending(pid_t pid, pid_t tid)
{
    struct proc_stat stat;
    int rc = proc_read_stat(pid, tid, &stat);
    return rc == STAX_ENOTFOUND || (rc == 0 && stat.is_exiting);
}

static int ask_events(struct opener *o, const struct broker_want *want, int *fds)
{
    int pidfd = is_there(want->pid, want->tid) ? pidfd_of(o, want->pid) : -ESRCH;
    if (pidfd < 0) {
        return pidfd == -ESRCH ? STAX_ENOTFOUND
                               : err_set_errno(&o->refusal, -pidfd, "cannot open a pidfd");
    }
    int64_t start_ns = clock_monotonic_ns();
    int rc = connect_broker(o);
    rc = rc ? rc : broker_events(&o->broker, pidfd, want, fds, &o->refusal);
    o->waited_ns += clock_monotonic_ns() - start_ns;
    o->n_asked++;
    o->n_granted += rc == 0;
    judge(o, rc);
    return rc;
}

/* CPU numbers may have holes: the broker is asked for all from the first to the last. */
static int open_by_broker(struct opener *o, const struct opener_want *want,
                          const struct pid_list *cpus, int *fds)
{
    struct broker_want event = want->event;
    if (!name_counters(want, &event)) {
        err_set(&o->refusal, STAX_EPERMISSION, "staxd does not open all of these counters");
        return -EACCES;
    }
    size_t per_cpu = 1 + event.n_counters;
    event.cpu = cpus->pids[0];
    event.n_cpus = (size_t)(cpus->pids[cpus->n - 1] - cpus->pids[0]) + 1;
    int *all = mem_new(event.n_cpus * per_cpu, sizeof(*all));
    o->refusal = (struct err){0};
    int rc = ask_events(o, &event, all);
    for (size_t i = 0, next = 0; rc == 0 && i < event.n_cpus; i++) {
        bool is_ours = next < cpus->n && cpus->pids[next] == event.cpu + (int)i;
        if (is_ours) {
            memcpy(fds + next++ * per_cpu, all + i * per_cpu, per_cpu * sizeof(*fds));
        } else {
            close_all(all + i * per_cpu, per_cpu); /* came online since */
        }
    }
    free(all);
    switch (rc) {
    case 0:
        return 0;
    case STAX_ENOTFOUND:
        return -ESRCH;
    case STAX_ESYSTEM:
        return o->refusal.os_errno ? -o->refusal.os_errno : -EACCES;
    default:
        return -EACCES;
    }
}

int opener_open(struct opener *o, const struct opener_want *want, const struct pid_list *cpus,
                int *fds)
{
    size_t n = cpus->n * (1 + n_counters(want));
    for (size_t i = 0; i < n; i++) {
        fds[i] = -1;
    }
    bool has_kernel = want->event.flags & BROKER_KERNEL;
    uint32_t bit = 1u << (2 * want->event.kind + has_kernel);
    int rc = o->refused & bit && has_broker(o) ? -EACCES : open_directly(want, cpus, fds);
    bool is_hidden = policy_tracepoint(want->event.kind) && rc == -ENOENT;
    if ((is_refusal(rc) || is_hidden) && has_broker(o) && !want->is_own) {
        int by_broker = open_by_broker(o, want, cpus, fds);
        o->refused |= by_broker == 0 ? bit : 0;
        /* A broker that is not there says nothing about the host: what the kernel said stands. */
        rc = by_broker != 0 && o->is_off ? rc : by_broker;
    }
    if (is_refusal(rc) && is_ending(want->event.pid, want->event.tid)) {
        o->refusal = (struct err){0};
        rc = -ESRCH;
    }
    return rc;
}

int opener_open_everywhere(const struct opener_want *want, const struct pid_list *cpus, int *fds)
{
    struct opener_want any = *want;
    any.event.pid = any.event.tid = -1;
    for (size_t i = 0; i < cpus->n * (1 + want->event.n_counters); i++) {
        fds[i] = -1;
    }
    return open_directly(&any, cpus, fds);
}

/* ---- names ---- */

/* Whether addresses can be read, going by the first symbols. */
static bool shows_addresses(int fd)
{
    char text[KALLSYMS_LOOK_BYTES];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    for (const char *line = text; *line;) {
        size_t n_digits = strspn(line, "0123456789abcdef");
        if (n_digits && strspn(line, "0") < n_digits) {
            return true;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

int opener_kallsyms(struct opener *o)
{
    int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && shows_addresses(fd)) {
        return fd;
    }
    fd_close(&fd);
    if (!has_broker(o)) {
        return -EACCES;
    }
    int rc = connect_broker(o);
    fd = rc ? rc : broker_kallsyms(&o->broker, &o->refusal);
    if (fd < 0) {
        judge(o, fd);
        return -EACCES;
    }
    if (!shows_addresses(fd)) {
        fd_close(&fd); /* kptr_restrict 2 hides them from root, too */
        return -EACCES;
    }
    return fd;
}

void opener_close(struct opener *o)
{
    if (o->is_tried) {
        broker_close(&o->broker);
    }
    if (o->pid) {
        fd_close(&o->pidfd);
    }
    *o = (struct opener){.path = o->path, .broker.fd = -1, .pidfd = -1, .refusal = o->refusal};
}
