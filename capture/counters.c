/* counters.c - see counters.h. */
#include "capture/counters.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "base/fd.h"
#include "capture/counter_pmu.h"

enum { WORDS_MAX = 3 + 2 * (1 + EVENT_COUNTERS_MAX), PROBE_PERIOD_NS = 1000000000 };

void counters_add_total(const struct counters *c, int clock_fd, bool counts_lost,
                        struct counters_total *total)
{
    uint64_t words[WORDS_MAX] = {0};
    size_t n_words = counts_lost ? 2 : 1; /* of each member */
    ssize_t n_bytes = read(clock_fd, words, sizeof(words));
    if (n_bytes < (ssize_t)((3 + (1 + c->list.n) * n_words) * sizeof(uint64_t)) ||
        words[0] != 1 + c->list.n) {
        return;
    }
    total->running_ns += words[2];
    total->clock_ns += words[3];
    total->n_lost += counts_lost ? words[4] : 0;
    for (size_t i = 0; i < c->list.n; i++) {
        total->values[i] += words[3 + (1 + i) * n_words];
    }
}

void counters_leave_out(struct counters *c, const char *reason, const char *unlock)
{
    c->list.n = 0;
    snprintf(c->reason, sizeof(c->reason), "%.*s", (int)sizeof(c->reason) - 1, reason);
    snprintf(c->unlock, sizeof(c->unlock), "%.*s", (int)sizeof(c->unlock) - 1, unlock);
}

int counters_read_names(struct counters *c, const char *wanted, struct err *e)
{
    *c = (struct counters){.is_asked_for = wanted && strcmp(wanted, "none") != 0};
    if (wanted && !c->is_asked_for) {
        return 0;
    }
    int rc =
        counter_list_parse(COUNTER_PMU_ROOT, wanted ? wanted : counter_default_list, &c->list, e);
    c->list.n = rc ? 0 : c->list.n;
    return rc;
}

/* ---- what the host can count ---- */

struct probe {
    struct opener *opener;
    struct pid_list cpu; /* one */
    uint32_t flags;
};

/* A clock as a recording opens it, with these counters, on ourselves, that never runs. 0 or
 * -errno. */
static int try_group(const struct probe *p, const struct counter_list *list, bool has_kernel)
{
    int fds[1 + EVENT_COUNTERS_MAX];
    struct opener_want want = {.event = {.kind = BROKER_CPU_CLOCK,
                                         .pid = getpid(),
                                         .tid = getpid(),
                                         .period = PROBE_PERIOD_NS,
                                         .flags = p->flags | (has_kernel ? BROKER_KERNEL : 0)},
                               .counters = list};
    int rc = opener_open(p->opener, &want, &p->cpu, fds);
    for (size_t i = 0; rc == 0 && i <= list->n; i++) {
        fd_close(&fds[i]);
    }
    return rc;
}

static bool is_hardware(const struct counter_event *event)
{
    return event->type == PERF_TYPE_HARDWARE || event->type == PERF_TYPE_HW_CACHE ||
           event->type == PERF_TYPE_RAW || event->type >= PERF_TYPE_MAX;
}

/* Whether the kernel takes a group with counters at all: all kernels have the event that counts
 * nothing. */
static int check_kernel(const struct probe *p, struct err *e)
{
    const struct counter_list one = {
        .n = 1, .items[0] = {.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_DUMMY}};
    int rc = try_group(p, &one, false);
    if (rc == -EINVAL) {
        err_set(
            e, STAX_ESYSTEM,
            "this kernel cannot read counters with the samples of threads that are yet to come");
        err_hint(e, "Linux 6.13 and later can; --counters none records without them");
        return STAX_ESYSTEM;
    }
    return rc ? err_set_errno(e, -rc, "cannot count events beside the clock") : 0;
}

static int explain_permission(const struct counter_event *event, const struct err *broker,
                              struct err *e)
{
    bool is_tracepoint = event->type == PERF_TYPE_TRACEPOINT;
    err_set(e, STAX_EPERMISSION, "the host forbids counting %s: %s%s%s", event->name,
            is_tracepoint ? "tracepoints need root or CAP_PERFMON" : "it happens in the kernel",
            broker->code ? "; staxd: " : "", broker->code ? broker->msg : "");
    err_hint(e, is_tracepoint ? "run stax-server as root or with CAP_PERFMON"
                              : "sudo sysctl kernel.perf_event_paranoid=1, or record as root");
    return STAX_EPERMISSION;
}

static int explain_absence(const struct counter_event *event, struct err *e)
{
    bool is_cpus = is_hardware(event);
    bool has_pmu = access("/sys/bus/event_source/devices/cpu", F_OK) == 0 ||
                   access("/sys/bus/event_source/devices/cpu_core", F_OK) == 0 ||
                   access("/sys/bus/event_source/devices/armv8_pmuv3", F_OK) == 0;
    if (!is_cpus || has_pmu) {
        return err_set(e, STAX_ENOTFOUND, "%s cannot be counted: this %s does not have it",
                       event->name, is_cpus ? "CPU" : "kernel");
    }
    err_set(e, STAX_ENOTFOUND,
            "%s cannot be counted: this CPU offers no counters (no PMU, as in many virtual "
            "machines)",
            event->name);
    err_hint(e, "let the virtual machine have a PMU, or record on the machine itself; software "
                "events such as page-faults are counted anywhere");
    return STAX_ENOTFOUND;
}

/* Why a counter cannot be had. n: how many counters there are. */
static int explain(const struct probe *p, const struct counter_event *event, int os_errno, size_t n,
                   struct err *e)
{
    switch (os_errno) {
    case EACCES:
    case EPERM:
        return explain_permission(event, &p->opener->refusal, e);
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        return explain_absence(event, e);
    case EINVAL:
    case ENOSPC:
        if (is_hardware(event) && n > 1) {
            err_set(e, STAX_ELIMIT,
                    "%s cannot be counted together with the counters before it: the CPU has too "
                    "few",
                    event->name);
            err_hint(e, "ask for fewer counters");
            return STAX_ELIMIT;
        }
        err_set(e, STAX_EUSAGE, "%s cannot be counted", event->name);
        if (event->type >= PERF_TYPE_MAX) {
            err_hint(e, "its PMU refuses threads, or to leave the kernel's part out");
        }
        return STAX_EUSAGE;
    default:
        return err_set_errno(e, os_errno, "cannot count %s", event->name);
    }
}

static int find_tracepoint(struct counter_event *event, struct err *e)
{
    struct err other;
    int rc = counter_event_find_tracepoint(event, "/sys/kernel/tracing", e);
    if (rc == STAX_EPERMISSION &&
        counter_event_find_tracepoint(event, "/sys/kernel/debug/tracing", &other) == 0) {
        rc = 0;
    }
    return rc;
}

/* Adds a counter to those that can be had, or says why not. *has_kernel: the kernel's part can be
 * counted, as far as known. */
static int add_counter(const struct probe *p, struct counter_list *list,
                       const struct counter_event *event, bool *has_kernel, struct err *e)
{
    struct counter_event *added = &list->items[list->n];
    *added = *event;
    int rc = find_tracepoint(added, e);
    if (rc) {
        return rc;
    }
    if (event->is_kernel_only && event->has_modifiers && event->exclude_kernel) {
        return err_set(e, STAX_EUSAGE, "%s: all of it happens in the kernel, :u leaves nothing",
                       event->name);
    }
    list->n++;
    rc = try_group(p, list, *has_kernel);
    bool is_refused = rc == -EACCES || rc == -EPERM;
    bool needs_kernel = event->is_kernel_only || (event->has_modifiers && !event->exclude_kernel);
    if (is_refused && *has_kernel && !needs_kernel) {
        *has_kernel = false;
        rc = try_group(p, list, false);
    }
    if (rc == 0 && needs_kernel && !*has_kernel) {
        rc = -EACCES; /* it would count nothing, silently */
    }
    if (rc) {
        list->n--;
        return explain(p, event, -rc, list->n + 1, e);
    }
    return 0;
}

static int probe(struct counters *c, const struct probe *p, struct err *e)
{
    struct counter_list list = {0};
    const struct counter_list none = {0};
    struct err first = {0};
    int rc = check_kernel(p, e);
    if (rc) {
        return rc;
    }
    rc = try_group(p, &none, true);
    bool has_kernel = rc != -EACCES && rc != -EPERM;
    for (size_t i = 0; i < c->list.n; i++) {
        struct err why = {0};
        if (add_counter(p, &list, &c->list.items[i], &has_kernel, &why) != 0 && !first.code) {
            first = why;
        }
    }
    if (first.code && (c->is_asked_for || list.n == 0)) {
        *e = first;
        return first.code;
    }
    c->list = list;
    return 0;
}

int counters_probe(struct counters *c, struct opener *opener, const struct pid_list *cpus,
                   bool counts_lost, struct err *e)
{
    struct probe p = {.opener = opener,
                      .cpu = {.pids = cpus->pids, .n = 1},
                      .flags = BROKER_INHERIT | BROKER_DISABLED | BROKER_CALLCHAIN |
                               (counts_lost ? BROKER_COUNT_LOST : 0)};
    struct err why = {0};
    int rc = c->list.n ? probe(c, &p, &why) : 0;
    if (rc == 0) {
        return 0;
    }
    if (c->is_asked_for) {
        c->list.n = 0;
        *e = why;
        return rc;
    }
    counters_leave_out(c, why.msg, rc == STAX_EPERMISSION ? why.hint : "");
    return 0;
}
