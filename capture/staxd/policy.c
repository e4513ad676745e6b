/* policy.c - see policy.h. */
#include "capture/staxd/policy.h"

#include <linux/perf_event.h>
#include <string.h>
#include <time.h>

enum {
    FLAGS_OF_EVERY_KIND = BROKER_INHERIT | BROKER_INHERIT_THREAD | BROKER_DISABLED |
                          BROKER_ON_EXEC | BROKER_SIDEBAND | BROKER_SWITCH_RECORDS |
                          BROKER_COUNT_LOST,
    FLAGS_OF_SAMPLES =
        FLAGS_OF_EVERY_KIND | BROKER_KERNEL | BROKER_CALLCHAIN | BROKER_NO_KERNEL_STACKS,
};

/* What each kind may be asked with. */
static const struct kind {
    uint32_t flags;      /* allowed */
    uint32_t must;       /* required */
    bool has_stack_copy; /* registers and stack of the user side may come with it */
    bool has_counters;
    uint64_t period_min, period_max;
    const char *tracepoint;
} kinds[] = {
    [BROKER_CPU_CLOCK] = {FLAGS_OF_SAMPLES, 0, true, true, POLICY_CLOCK_PERIOD_MIN_NS,
                          POLICY_CLOCK_PERIOD_MAX_NS, NULL},
    [BROKER_DUMMY] = {FLAGS_OF_EVERY_KIND, 0, false, false, 0, 0, NULL},
    /* The switch happens in the kernel: without its part these events would never fire. */
    [BROKER_SWITCH_OUT] = {FLAGS_OF_SAMPLES, BROKER_KERNEL, true, false, 1, POLICY_PERIOD_MAX,
                           NULL},
    /* The kernel takes a waking to the events of the task that is woken too, while the waker runs,
     * and the waker may be anybody's. It leaves the user part out of such a callchain, but it would
     * copy the waker's registers and stack. So tracepoints never come with them. */
    [BROKER_SCHED_WAKING] = {FLAGS_OF_SAMPLES, BROKER_KERNEL, false, false, 1, POLICY_PERIOD_MAX,
                             "sched_waking"},
    [BROKER_SCHED_SWITCH] = {FLAGS_OF_SAMPLES, BROKER_KERNEL, false, false, 1, POLICY_PERIOD_MAX,
                             "sched_switch"},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const struct {
    uint32_t type;
    uint64_t config;
} counters[] = {
#define X(name, type, config) [BROKER_##name] = {(type), (config)},
    BROKER_COUNTERS(X)
#undef X
};

uint64_t policy_registers(void)
{
#if defined(__x86_64__)
    /* AX BX CX DX SI DI BP SP IP and R8 to R15, numbered as in asm/perf_regs.h */
    return UINT64_C(0xff01ff);
#else
    return 0;
#endif
}

const char *policy_tracepoint(uint32_t kind)
{
    return kind < N_KINDS ? kinds[kind].tracepoint : NULL;
}

const char *policy_status_text(uint32_t status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        BROKER_STATUSES(X)
#undef X
    };
    return status < BROKER_STATUS_END ? texts[status] : "an unknown status";
}

static enum broker_status check_kallsyms(const struct broker_request *request, size_t n_fds)
{
    struct broker_request plain = {
        .magic = request->magic,
        .version = request->version,
        .size = request->size,
        .serial = request->serial,
        .op = request->op,
    };
    if (memcmp(&plain, request, sizeof(plain)) != 0) {
        return BROKER_BAD_FIELD;
    }
    return n_fds == 0 ? BROKER_GRANTED : BROKER_BAD_DESCRIPTOR;
}

static enum broker_status check_counters(const struct broker_request *request,
                                         const struct kind *kind)
{
    if (request->n_counters > BROKER_COUNTERS_MAX || (request->n_counters && !kind->has_counters)) {
        return BROKER_BAD_BOUNDS;
    }
    for (size_t i = 0; i < BROKER_COUNTERS_MAX; i++) {
        bool is_used = i < request->n_counters;
        bool is_known =
            request->counters[i] != BROKER_NO_COUNTER && request->counters[i] < BROKER_COUNTERS_END;
        if (is_used ? !is_known : request->counters[i] != BROKER_NO_COUNTER) {
            return BROKER_BAD_FIELD;
        }
    }
    return BROKER_GRANTED;
}

static enum broker_status check_bounds(const struct broker_request *request,
                                       const struct kind *kind)
{
    if (request->pid <= 0 || request->tid <= 0) {
        return BROKER_BAD_BOUNDS;
    }
    if (request->n_cpus < 1 || request->n_cpus > BROKER_FDS_MAX ||
        request->cpu > BROKER_CPUS_LIMIT - request->n_cpus ||
        request->n_cpus * (1 + request->n_counters) > BROKER_FDS_MAX) {
        return BROKER_BAD_BOUNDS;
    }
    if (request->period < kind->period_min || request->period > kind->period_max) {
        return BROKER_BAD_BOUNDS;
    }
    if (request->stack_bytes &&
        (!kind->has_stack_copy || !policy_registers() || request->stack_bytes % 8 ||
         request->stack_bytes > POLICY_STACK_BYTES_MAX)) {
        return BROKER_BAD_BOUNDS;
    }
    return BROKER_GRANTED;
}

static enum broker_status check_events(const struct broker_request *request, size_t n_fds)
{
    if (request->kind == 0 || request->kind >= N_KINDS || request->reserved[0] ||
        request->reserved[1]) {
        return BROKER_BAD_FIELD;
    }
    const struct kind *kind = &kinds[request->kind];
    bool is_thread_only = request->flags & BROKER_INHERIT_THREAD;
    if (request->flags & ~kind->flags || (request->flags & kind->must) != kind->must ||
        (is_thread_only && !(request->flags & BROKER_INHERIT))) {
        return BROKER_BAD_FIELD;
    }
    enum broker_status status = check_counters(request, kind);
    if (status == BROKER_GRANTED) {
        status = check_bounds(request, kind);
    }
    if (status == BROKER_GRANTED && n_fds != 1) {
        status = BROKER_BAD_DESCRIPTOR;
    }
    return status;
}

enum broker_status policy_check_request(const struct broker_request *request, size_t n_bytes,
                                        size_t n_fds)
{
    if (n_bytes < offsetof(struct broker_request, serial) || request->magic != BROKER_MAGIC) {
        return BROKER_BAD_MESSAGE;
    }
    if (request->version != BROKER_VERSION) {
        return BROKER_BAD_VERSION;
    }
    if (n_bytes != sizeof(*request) || request->size != sizeof(*request)) {
        return BROKER_BAD_MESSAGE;
    }
    switch (request->op) {
    case BROKER_EVENTS:
        return check_events(request, n_fds);
    case BROKER_KALLSYMS:
        return check_kallsyms(request, n_fds);
    default:
        return BROKER_BAD_FIELD;
    }
}

enum broker_status policy_check_target(const struct policy_caller *caller, pid_t pid,
                                       const struct policy_target *target)
{
    if (target->tgid != pid) {
        return target->is_ending ? BROKER_GONE : BROKER_NOT_A_THREAD; /* of nobody any more */
    }
    if (caller->uid == 0) {
        return BROKER_GRANTED;
    }
    if (target->is_ending) {
        return BROKER_GONE; /* nothing that follows says anything about it any more */
    }
    for (size_t i = 0; i < sizeof target->uid / sizeof *target->uid; i++) {
        if (target->uid[i] != caller->uid || target->gid[i] != caller->gid) {
            return BROKER_OTHER_USER;
        }
    }
    if (target->owner_uid != caller->uid || target->owner_gid != caller->gid) {
        return BROKER_NOT_DUMPABLE;
    }
    if (!target->is_host_userns) {
        return BROKER_OTHER_USERNS;
    }
    return target->capabilities == 0 ? BROKER_GRANTED : BROKER_HAS_CAPABILITIES;
}

static void set_source(const struct broker_request *request, unsigned member, uint64_t tracepoint,
                       struct perf_event_attr *attr)
{
    if (member > 0) {
        attr->type = counters[request->counters[member - 1]].type;
        attr->config = counters[request->counters[member - 1]].config;
        return;
    }
    attr->type = PERF_TYPE_SOFTWARE;
    switch (request->kind) {
    case BROKER_CPU_CLOCK:
        attr->config = PERF_COUNT_SW_CPU_CLOCK;
        break;
    case BROKER_SWITCH_OUT:
        attr->config = PERF_COUNT_SW_CONTEXT_SWITCHES;
        break;
    case BROKER_SCHED_WAKING:
    case BROKER_SCHED_SWITCH:
        attr->type = PERF_TYPE_TRACEPOINT;
        attr->config = tracepoint;
        attr->sample_type |= PERF_SAMPLE_RAW;
        break;
    default:
        attr->config = PERF_COUNT_SW_DUMMY;
        break;
    }
}

/* What only the leader of a group does: sample, and write records of other kinds. */
static void set_leader(const struct broker_request *request, struct perf_event_attr *attr)
{
    uint32_t flags = request->flags;
    attr->sample_period = request->period;
    if (flags & BROKER_CALLCHAIN) {
        attr->sample_type |= PERF_SAMPLE_CALLCHAIN;
    }
    if (request->stack_bytes) {
        attr->sample_type |= PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
        attr->sample_regs_user = policy_registers();
        attr->sample_stack_user = request->stack_bytes;
    }
    attr->disabled = (flags & (BROKER_DISABLED | BROKER_ON_EXEC)) != 0;
    attr->enable_on_exec = (flags & BROKER_ON_EXEC) != 0;
    attr->context_switch = (flags & BROKER_SWITCH_RECORDS) != 0;
    if (flags & BROKER_SIDEBAND) {
        attr->mmap = 1;
        attr->mmap2 = 1;
        attr->comm = 1;
        attr->comm_exec = 1;
        attr->task = 1;
    }
}

void policy_build_attr(const struct broker_request *request, unsigned member, uint64_t tracepoint,
                       struct perf_event_attr *attr)
{
    bool has_kernel = request->flags & BROKER_KERNEL;
    *attr = (struct perf_event_attr){
        .size = sizeof(*attr),
        .sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID |
                       PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD,
        .sample_id_all = 1,
        .inherit = (request->flags & BROKER_INHERIT) != 0,
        .inherit_thread = (request->flags & BROKER_INHERIT_THREAD) != 0,
        .exclude_kernel = !has_kernel,
        .exclude_callchain_kernel = !has_kernel || request->flags & BROKER_NO_KERNEL_STACKS,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
    if (request->n_counters) {
        attr->sample_type |= PERF_SAMPLE_READ;
        attr->read_format =
            PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    }
    if (request->flags & BROKER_COUNT_LOST) {
        attr->read_format |= PERF_FORMAT_LOST;
    }
    set_source(request, member, tracepoint, attr);
    if (member == 0) {
        set_leader(request, attr);
    }
}
