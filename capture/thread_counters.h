/*
 * thread_counters.h - what the counters of one thread gained between its samples.
 *
 * A thread has a group of counters on every CPU, which counts there only. A sample says what the
 * group of its own CPU has counted so far, so the last values are kept per CPU, and what was
 * counted on a CPU that the thread has left is told with its next sample there, if there is one.
 * Pure, no kernel needed; belongs to one thread at a time.
 */
#ifndef STAX_CAPTURE_THREAD_COUNTERS_H
#define STAX_CAPTURE_THREAD_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/event.h"
#include "capture/record.h"

/* A group as its CPU's last sample had it. */
struct cpu_counters {
    uint32_t cpu;
    uint64_t enabled_ns, running_ns;
    uint64_t values[EVENT_COUNTERS_MAX];
};

/* Zeroed: nothing is known. */
struct thread_counters {
    struct cpu_counters *cpus; /* those it was sampled on */
    size_t n_cpus, cap_cpus;
    uint32_t cpu;   /* + 1: where it was last seen, 0: nowhere yet */
    bool has_moved; /* to another CPU since its last sample */
};

/* The thread begins to run on a CPU. */
void thread_counters_run(struct thread_counters *t, uint32_t cpu);

/* Takes the values of a sample (its group: the clock, then n counters) and gives what the n
 * counters gained since the last one on that CPU. Where the CPU had to share its counters among
 * more events than it has, they did not count all of the time and what they gained is scaled up to
 * it. False, with deltas zero: the sample does not hold these counters. */
bool thread_counters_take(struct thread_counters *t, uint32_t cpu, const struct record_counters *r,
                          size_t n, uint64_t deltas[EVENT_COUNTERS_MAX]);

/* Forgets everything; a zeroed struct is accepted. */
void thread_counters_free(struct thread_counters *t);

/* n, counted in running_ns, as if it had been counted in enabled_ns. */
uint64_t thread_counters_scale(uint64_t n, uint64_t enabled_ns, uint64_t running_ns);

#endif
