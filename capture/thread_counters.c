/* thread_counters.c - see thread_counters.h. */
#include "capture/thread_counters.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Sums of these stay far below what a signed column holds. */
static const uint64_t DELTA_MAX = UINT64_C(1) << 53;

uint64_t thread_counters_scale(uint64_t n, uint64_t enabled_ns, uint64_t running_ns)
{
    /* The two clocks are read one after the other: less than a hundredth is no difference. */
    if (running_ns == 0 || enabled_ns <= running_ns ||
        enabled_ns - running_ns <= running_ns / 100) {
        return n;
    }
    double scaled = (double)n * ((double)enabled_ns / (double)running_ns);
    return scaled < (double)DELTA_MAX ? (uint64_t)(scaled + 0.5) : DELTA_MAX;
}

void thread_counters_run(struct thread_counters *t, uint32_t cpu)
{
    if (cpu == UINT32_MAX) {
        return;
    }
    t->has_moved |= t->cpu != cpu + 1;
    t->cpu = cpu + 1;
}

static struct cpu_counters *group_of(struct thread_counters *t, uint32_t cpu)
{
    for (size_t i = 0; i < t->n_cpus; i++) {
        if (t->cpus[i].cpu == cpu) {
            return &t->cpus[i];
        }
    }
    mem_reserve(&t->cpus, &t->cap_cpus, t->n_cpus + 1, sizeof(*t->cpus));
    t->cpus[t->n_cpus] = (struct cpu_counters){.cpu = cpu};
    return &t->cpus[t->n_cpus++];
}

/* Totals that went backwards are those of another thread with the same number, whose predecessor's
 * end was lost: they began at 0. */
static uint64_t gain(uint64_t now, uint64_t before)
{
    uint64_t delta = now >= before ? now - before : now;
    return delta < DELTA_MAX ? delta : DELTA_MAX;
}

bool thread_counters_take(struct thread_counters *t, uint32_t cpu, const struct record_counters *r,
                          size_t n, uint64_t deltas[EVENT_COUNTERS_MAX])
{
    memset(deltas, 0, EVENT_COUNTERS_MAX * sizeof(*deltas));
    thread_counters_run(t, cpu);
    if (r->n != n + 1 || n > EVENT_COUNTERS_MAX || r->n_words == 0 || cpu == UINT32_MAX) {
        return false;
    }
    struct cpu_counters *last = group_of(t, cpu);
    uint64_t enabled_ns = gain(r->enabled_ns, last->enabled_ns);
    uint64_t running_ns = gain(r->running_ns, last->running_ns);
    for (size_t i = 0; i < n; i++) {
        uint64_t value = r->values[(i + 1) * r->n_words];
        deltas[i] = gain(value, last->values[i]);
        /* Enabled means on whatever CPU, running on this one: they can be compared only if the
         * thread was nowhere else meanwhile. */
        if (!t->has_moved) {
            deltas[i] = thread_counters_scale(deltas[i], enabled_ns, running_ns);
        }
        last->values[i] = value;
    }
    last->enabled_ns = r->enabled_ns;
    last->running_ns = r->running_ns;
    t->has_moved = false;
    return true;
}

void thread_counters_free(struct thread_counters *t)
{
    free(t->cpus);
    *t = (struct thread_counters){0};
}
