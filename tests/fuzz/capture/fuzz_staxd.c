/*
 * Requests as any local user may send them: the check, and the event that a granted one becomes;
 * the texts of /proc, whose names are foreign. Nothing is opened.
 */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/staxd/identity.h"
#include "capture/staxd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int is_true)
{
    if (!is_true) {
        abort();
    }
}

/* What must hold for whatever was let through. */
static void check_granted(const struct broker_request *r)
{
    struct perf_event_attr attr;
    demand(r->pid > 0 && r->tid > 0 && r->n_cpus * (1 + r->n_counters) <= BROKER_FDS_MAX);
    demand(r->cpu + r->n_cpus <= BROKER_CPUS_LIMIT && r->n_counters <= BROKER_COUNTERS_MAX);
    for (unsigned member = 0; member <= r->n_counters; member++) {
        policy_build_attr(r, member, 300, &attr);
        demand(attr.size == sizeof(attr) && !attr.freq && !attr.sigtrap && !attr.precise_ip);
        demand(attr.type == PERF_TYPE_SOFTWARE || attr.type == PERF_TYPE_HARDWARE ||
               attr.type == PERF_TYPE_HW_CACHE || attr.type == PERF_TYPE_TRACEPOINT);
        demand(attr.type != PERF_TYPE_TRACEPOINT ||
               (attr.config == 300 &&
                !(attr.sample_type & (PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER))));
        demand(attr.exclude_kernel == !(r->flags & BROKER_KERNEL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct broker_request r = {0};
    struct policy_target target;
    pid_t pid;
    size_t n_fds = size ? data[0] % 4 : 0;
    size_t n = size < sizeof(r) ? size : sizeof(r);
    memcpy(&r, data, n);
    policy_check_request(&r, size, n_fds);
    /* The same bytes behind a header that passes: the rest is reached more often. */
    r.magic = BROKER_MAGIC;
    r.version = BROKER_VERSION;
    r.size = sizeof(r);
    if (n > 9) {
        r.op = data[9] % 4;
        r.kind = data[8] % 8;
    }
    if (policy_check_request(&r, sizeof(r), 1) == BROKER_GRANTED && r.op == BROKER_EVENTS) {
        check_granted(&r);
    }
    demand(policy_status_text(r.period & UINT32_MAX) != NULL);

    char *text = malloc(size + 1);
    if (!text) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    identity_parse_status(text, &target);
    identity_parse_fdinfo(text, &pid);
    identity_is_host_map(text);
    free(text);
    return 0;
}
