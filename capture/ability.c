/* ability.c - see ability.h. */
#include "capture/ability.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "capture/refusal.h"
#include "capture/unwind_arch.h"

/* What the broker had to say; nothing when it was not asked or is not there, as on most hosts. */
static const char *broker_says(const struct err *refusal)
{
    return refusal->code && refusal->code != STAX_EUNREACHABLE ? refusal->msg : NULL;
}

/* Why the kernel's side is hidden, what is left out because of it, and what would help. */
static void note_hidden_kernel(struct capture_ability *a, const struct events *ev,
                               const char *left_out)
{
    int64_t level = refusal_paranoid();
    const struct err *refusal = &ev->kernel_refusal;
    const char *said = broker_says(refusal);
    char part[64] = "";
    if (ev->has_kernel) {
        snprintf(part, sizeof(part), "of %zu of %zu threads: ", ev->n_without_kernel,
                 ev->n_threads);
    }
    if (level > 1) {
        snprintf(a->reason, sizeof(a->reason), "%skernel.perf_event_paranoid is %lld%s%s: %s", part,
                 (long long)level, said ? "; " : "", said ? said : "", left_out);
        snprintf(a->unlock, sizeof(a->unlock), "%s, or sudo sysctl kernel.perf_event_paranoid=1",
                 said && refusal->hint[0] ? refusal->hint : "sudo stax setup");
    } else {
        snprintf(a->reason, sizeof(a->reason), "%sthe kernel refused (%s)%s%s: %s", part,
                 strerror(ev->kernel_errno), said ? "; " : "", said ? said : "", left_out);
        snprintf(a->unlock, sizeof(a->unlock), "%s", said ? refusal->hint : "");
    }
}

static void kernel_stacks(struct capture_ability *a, const struct events *ev)
{
    *a = (struct capture_ability){.name = "kernel_stacks"};
    if (ev->without_kernel) {
        snprintf(a->reason, sizeof(a->reason), ABILITY_TURNED_OFF " for this run (--no-kernel)");
    } else if (!ev->has_kernel || ev->n_without_kernel) {
        note_hidden_kernel(a, ev, "stacks of the kernel are left out");
    } else {
        a->is_available = true;
    }
}

static void wait_stacks(struct capture_ability *a, const struct events *ev)
{
    *a = (struct capture_ability){.name = "wait_stacks"};
    if (!ev->has_kernel || ev->n_without_kernel) {
        note_hidden_kernel(
            a, ev, "a wait shows the stack its thread was seen to wait in, or was sampled in last");
    } else if (!ev->has_stacks && ev->stacks_errno == EMFILE) {
        snprintf(a->reason, sizeof(a->reason),
                 "too few descriptors for two events per thread and CPU");
        snprintf(a->unlock, sizeof(a->unlock), "ulimit -n 1048576 for stax-server");
    } else if (!ev->has_stacks && broker_says(&ev->stacks_refusal)) {
        snprintf(a->reason, sizeof(a->reason), "%s", broker_says(&ev->stacks_refusal));
        snprintf(a->unlock, sizeof(a->unlock), "%s", ev->stacks_refusal.hint);
    } else if (!ev->has_stacks) {
        snprintf(a->reason, sizeof(a->reason), "the kernel refused: %s",
                 strerror(ev->stacks_errno));
    } else {
        a->is_available = ev->has_switches;
    }
}

static void wakeups(struct capture_ability *a, const struct events *ev)
{
    static const char without[] = "who ended a wait is not known";
    int os_errno = ev->has_wakings ? ev->kernel_errno : ev->wakings_errno;
    const char *said = broker_says(&ev->wakings_refusal);
    *a = (struct capture_ability){.name = "wakeups"};
    if (!ev->has_kernel || ev->n_without_kernel) {
        note_hidden_kernel(a, ev, without);
    } else if (ev->has_wakings) {
        a->is_available = ev->has_switches;
    } else if (said) {
        snprintf(a->reason, sizeof(a->reason), "%s: %s", said, without);
        snprintf(a->unlock, sizeof(a->unlock), "%s", ev->wakings_refusal.hint);
    } else if (os_errno == ENOENT) {
        snprintf(a->reason, sizeof(a->reason), "tracefs is not mounted: %s", without);
        snprintf(a->unlock, sizeof(a->unlock), "sudo mount -t tracefs nodev /sys/kernel/tracing");
    } else if (os_errno == EMFILE) {
        snprintf(a->reason, sizeof(a->reason),
                 "too few descriptors for three events per thread and CPU: %s", without);
        snprintf(a->unlock, sizeof(a->unlock), "ulimit -n 1048576 for stax-server");
    } else if (os_errno == EACCES || os_errno == EPERM) {
        snprintf(a->reason, sizeof(a->reason), "the tracepoint sched_waking is for root alone: %s",
                 without);
        snprintf(a->unlock, sizeof(a->unlock), "sudo stax setup");
    } else {
        snprintf(a->reason, sizeof(a->reason), "the kernel refused (%s): %s", strerror(os_errno),
                 without);
    }
}

static void kernel_names(struct capture_ability *a, bool has_names)
{
    int64_t restrict_level = 0;
    *a = (struct capture_ability){.name = "kernel_names", .is_available = has_names};
    if (has_names) {
        return;
    }
    if (fd_read_int("/proc/sys/kernel/kptr_restrict", &restrict_level) == 0 && restrict_level > 0) {
        snprintf(a->reason, sizeof(a->reason),
                 "kernel.kptr_restrict is %lld: the kernel's functions have no names, and reasons "
                 "of waits are found without them",
                 (long long)restrict_level);
        snprintf(a->unlock, sizeof(a->unlock), "sudo sysctl kernel.kptr_restrict=%d",
                 restrict_level > 1 ? 1 : 0);
    } else {
        snprintf(a->reason, sizeof(a->reason), "/proc/kallsyms shows no addresses");
    }
}

static void full_stacks(struct capture_ability *a, bool unwinds)
{
    *a = (struct capture_ability){.name = "full_stacks", .is_available = unwinds};
    if (!unwind_arch_of_host()) {
        snprintf(a->reason, sizeof(a->reason),
                 "user stacks can be unwound on x86-64 only: they are as frame pointers give them");
    } else if (!unwinds) {
        snprintf(a->reason, sizeof(a->reason),
                 ABILITY_TURNED_OFF " for this run (--no-dwarf-unwind, STAX_DWARF_UNWIND=0): user "
                                    "stacks are as frame pointers give them");
    }
}

/* Stacks of threads that wait, read from their memory. */
static void parked_stacks(struct capture_ability *a, const struct ability_facts *facts)
{
    int64_t scope = 0;
    *a = (struct capture_ability){.name = "parked_stacks",
                                  .is_available = facts->unwinds && facts->reads_memory};
    if (a->is_available) {
        return;
    }
    if (!facts->unwinds) {
        snprintf(a->reason, sizeof(a->reason), "stacks are not unwound");
    } else if (fd_read_int("/proc/sys/kernel/yama/ptrace_scope", &scope) == 0 && scope > 0) {
        snprintf(a->reason, sizeof(a->reason),
                 "kernel.yama.ptrace_scope is %lld: the memory of processes that %s may not be "
                 "read",
                 (long long)scope, scope == 1 ? "stax did not start" : "others own");
        snprintf(a->unlock, sizeof(a->unlock), "sudo sysctl kernel.yama.ptrace_scope=0%s",
                 scope == 1 ? ", or let stax record start the program" : "");
    } else {
        snprintf(a->reason, sizeof(a->reason),
                 "the host does not let stax-server read the target's memory");
    }
}

/* Counters that nobody wanted are none that are missing. */
static void counters(struct capture_ability *a, const struct counters *c)
{
    *a = (struct capture_ability){.name = "counters",
                                  .is_available = c->list.n > 0 || !c->reason[0]};
    snprintf(a->reason, sizeof(a->reason), "%s", c->reason);
    snprintf(a->unlock, sizeof(a->unlock), "%s", c->unlock);
}

size_t ability_all(struct capture_ability rows[ABILITIES_MAX], const struct events *ev,
                   const struct ability_facts *facts)
{
    struct capture_ability *a = rows;
    kernel_stacks(a++, ev);
    if (ev->has_kernel && !ev->without_kernel) {
        kernel_names(a++, facts->has_names);
    }
    *a++ = (struct capture_ability){.name = "off_cpu", .is_available = ev->has_switches};
    wait_stacks(a++, ev);
    wakeups(a++, ev);
    full_stacks(a++, facts->unwinds);
    parked_stacks(a++, facts);
    counters(a++, &ev->counters);
    return (size_t)(a - rows);
}

void ability_recording(struct capture_ability *a, const struct err *why)
{
    *a = (struct capture_ability){.name = "recording"};
    snprintf(a->reason, sizeof(a->reason), "%s", why->msg);
    snprintf(a->unlock, sizeof(a->unlock), "%s", why->hint);
}
