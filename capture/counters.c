/* counters.c - see counters.h. */
#include "capture/counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/record.h"

static const char TRACEFS[] = "/sys/kernel/tracing";

enum { WORDS_MAX = 3 + 2 * (1 + EVENT_COUNTERS_MAX) };

static int perf_event_open(struct perf_event_attr *attr, pid_t tid, int cpu, int group)
{
    long fd = syscall(SYS_perf_event_open, attr, tid, cpu, group, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

uint64_t counters_read_format(const struct counters *c, const struct counters_context *context)
{
    uint64_t format = context->counts_lost ? PERF_FORMAT_LOST : 0;
    if (c->list.n) {
        format |=
            PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    }
    return format;
}

/* The clock of a group must be that of its leader, and so must what inherits it. */
static struct perf_event_attr attr_of(const struct counters *c, const struct counter_event *event,
                                      const struct counters_context *context)
{
    return (struct perf_event_attr){
        .type = event->type,
        .size = sizeof(struct perf_event_attr),
        .config = event->config,
        .read_format = counters_read_format(c, context),
        .inherit = 1,
        .inherit_thread = context->inherits_thread,
        .exclude_user = event->exclude_user,
        .exclude_kernel = event->has_modifiers ? event->exclude_kernel : !context->has_kernel,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
}

int counters_open(struct counters *c, int clock_fd, pid_t tid, int cpu,
                  const struct counters_context *context)
{
    for (size_t i = 0; i < c->list.n; i++) {
        struct perf_event_attr attr = attr_of(c, &c->list.items[i], context);
        int fd = perf_event_open(&attr, tid, cpu, clock_fd);
        if (fd < 0) {
            return fd;
        }
        mem_reserve(&c->fds, &c->cap_fds, c->n_fds + 1, sizeof(*c->fds));
        c->fds[c->n_fds++] = fd;
    }
    return 0;
}

void counters_discard(struct counters *c, size_t n_keep)
{
    while (c->n_fds > n_keep) {
        close(c->fds[--c->n_fds]);
    }
}

void counters_add_total(const struct counters *c, int clock_fd,
                        const struct counters_context *context, struct counters_total *total)
{
    uint64_t words[WORDS_MAX] = {0};
    size_t n_words = context->counts_lost ? 2 : 1; /* of each member */
    ssize_t n_bytes = read(clock_fd, words, sizeof(words));
    if (n_bytes < (ssize_t)((3 + (1 + c->list.n) * n_words) * sizeof(uint64_t)) ||
        words[0] != 1 + c->list.n) {
        return;
    }
    total->enabled_ns += words[1];
    total->running_ns += words[2];
    total->clock_ns += words[3];
    total->n_lost += context->counts_lost ? words[4] : 0;
    for (size_t i = 0; i < c->list.n; i++) {
        total->values[i] += words[3 + (1 + i) * n_words];
    }
}

void counters_close(struct counters *c)
{
    counters_discard(c, 0);
    free(c->fds);
    c->fds = NULL;
    c->cap_fds = 0;
}

void counters_leave_out(struct counters *c, const char *reason, const char *unlock)
{
    c->list.n = 0;
    snprintf(c->reason, sizeof(c->reason), "%.*s", (int)sizeof(c->reason) - 1, reason);
    snprintf(c->unlock, sizeof(c->unlock), "%.*s", (int)sizeof(c->unlock) - 1, unlock);
}

/* ---- what the host can count ---- */

/* A clock as a recording opens it, on ourselves, that never runs. */
static int open_probe(struct counters *c, struct counters_context *context)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = 1000000000,
        .sample_type = RECORD_SAMPLE_TYPE | PERF_SAMPLE_READ,
        .disabled = 1,
        .inherit = 1,
        .exclude_kernel = !context->has_kernel,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
    context->counts_lost = true;
    attr.read_format = counters_read_format(c, context);
    int fd = perf_event_open(&attr, 0, -1, -1);
    if (fd == -EINVAL) {
        context->counts_lost = false;
        attr.read_format = counters_read_format(c, context);
        fd = perf_event_open(&attr, 0, -1, -1);
    }
    if ((fd == -EACCES || fd == -EPERM) && context->has_kernel) {
        context->has_kernel = false;
        return open_probe(c, context);
    }
    return fd;
}

static int explain_clock(int os_errno, struct err *e)
{
    if (os_errno == EINVAL) {
        err_set(e, STAX_ESYSTEM,
                "this kernel cannot read counters with the samples of threads and processes that "
                "are yet to come");
        err_hint(e, "Linux 6.13 and later can");
        return STAX_ESYSTEM;
    }
    return err_set_errno(e, os_errno, "cannot count events beside the clock");
}

/* Why a counter cannot be had. */
static int explain(const struct counter_event *event, int os_errno, struct err *e)
{
    bool is_cpus = event->type == PERF_TYPE_HARDWARE || event->type == PERF_TYPE_HW_CACHE ||
                   event->type == PERF_TYPE_RAW;
    switch (os_errno) {
    case EACCES:
    case EPERM:
        err_set(e, STAX_EPERMISSION, "the host forbids counting %s: %s", event->name,
                event->type == PERF_TYPE_TRACEPOINT ? "tracepoints need root or CAP_PERFMON"
                                                    : "it needs access to the kernel");
        err_hint(e, event->type == PERF_TYPE_TRACEPOINT
                        ? "run stax-server as root or with CAP_PERFMON"
                        : "sudo sysctl kernel.perf_event_paranoid=1");
        return STAX_EPERMISSION;
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        if (is_cpus && access("/sys/bus/event_source/devices/cpu", F_OK) != 0 &&
            access("/sys/bus/event_source/devices/cpu_core", F_OK) != 0) {
            err_set(e, STAX_ENOTFOUND,
                    "%s cannot be counted: this CPU offers no counters (no PMU, as in many virtual "
                    "machines)",
                    event->name);
            err_hint(e, "count on the machine itself, or let the virtual machine have a PMU; "
                        "software events (page-faults, task-clock) are counted anywhere");
        } else {
            err_set(e, STAX_ENOTFOUND, "%s cannot be counted: this %s does not have it",
                    event->name, is_cpus ? "CPU" : "kernel");
        }
        return STAX_ENOTFOUND;
    case EINVAL:
    case ENOSPC:
        err_set(e, STAX_EUSAGE, "%s cannot be counted%s", event->name,
                is_cpus ? " together with the counters before it: the CPU has too few" : "");
        err_hint(e, "ask for fewer counters");
        return STAX_EUSAGE;
    default:
        return err_set_errno(e, os_errno, "cannot count %s", event->name);
    }
}

/* What happens in the kernel only is counted nowhere without access to it, silently. */
static int check_kernel(const struct counter_event *event, const struct counters_context *context,
                        struct err *e)
{
    bool is_excluded = event->has_modifiers ? event->exclude_kernel : !context->has_kernel;
    if (!event->is_kernel_only || !is_excluded) {
        return 0;
    }
    if (event->has_modifiers && context->has_kernel) {
        return err_set(e, STAX_EUSAGE, "%s: all of it happens in the kernel, :u leaves nothing",
                       event->name);
    }
    err_set(e, STAX_EPERMISSION,
            "%s cannot be counted: it happens in the kernel, which the host hides", event->name);
    err_hint(e, "sudo sysctl kernel.perf_event_paranoid=1, or record as root");
    return STAX_EPERMISSION;
}

static int probe_event(struct counters *c, int clock_fd, struct counter_event *event,
                       const struct counters_context *context, struct err *e)
{
    int rc = counter_event_find_tracepoint(event, TRACEFS, e);
    if (rc == 0) {
        rc = check_kernel(event, context, e);
    }
    if (rc) {
        return rc;
    }
    struct perf_event_attr attr = attr_of(c, event, context);
    int fd = perf_event_open(&attr, 0, -1, clock_fd);
    if (fd < 0) {
        return explain(event, -fd, e);
    }
    mem_reserve(&c->fds, &c->cap_fds, c->n_fds + 1, sizeof(*c->fds));
    c->fds[c->n_fds++] = fd;
    return 0;
}

/* Keeps those of the list that can be counted, all of them if they were asked for. */
static int probe(struct counters *c, struct err *e)
{
    struct counters_context context = {.has_kernel = true};
    int clock_fd = open_probe(c, &context), rc = 0;
    if (clock_fd < 0) {
        return explain_clock(-clock_fd, e);
    }
    size_t n = 0;
    struct err first = {0};
    for (size_t i = 0; i < c->list.n; i++) {
        struct err why = {0};
        struct counter_event event = c->list.items[i];
        if (probe_event(c, clock_fd, &event, &context, &why) == 0) {
            c->list.items[n++] = event;
        } else if (!first.code) {
            first = why;
        }
    }
    if (first.code && (c->is_asked_for || n == 0)) {
        *e = first;
        rc = first.code;
    }
    c->list.n = n;
    counters_discard(c, 0);
    close(clock_fd);
    return rc;
}

int counters_prepare(struct counters *c, const char *wanted, struct err *e)
{
    struct err own = {0};
    c->is_asked_for = wanted != NULL;
    if (wanted && strcmp(wanted, "none") == 0) {
        c->is_asked_for = false;
        return 0;
    }
    int rc = counter_list_parse(wanted ? wanted : counter_default_list, &c->list, &own);
    if (rc == 0) {
        rc = probe(c, &own);
    }
    if (rc == 0) {
        return 0;
    }
    c->list.n = 0;
    if (c->is_asked_for) {
        *e = own;
        return rc;
    }
    counters_leave_out(c, own.msg, own.code == STAX_EPERMISSION ? own.hint : "");
    return 0;
}
