/*
 * fine.h - what was sampled and waited for, by code location: the least that the call tree can be
 * made of anew without reading a sample again.
 *
 * A fine stack is one callsite, one sampled frame and one thread, with what its samples summed up
 * to; a fine wait is one callsite and the marker of a reason. Neither depends on what code is
 * called. Also where each of them led, so that a sample whose fine stack is known is looked up
 * once. One thread.
 */
#ifndef STAX_INGEST_FINE_H
#define STAX_INGEST_FINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

struct fine_stack {
    uint32_t callsite, frame, utid; /* unique */
    uint32_t stack;                 /* ids of intern.h that follow from them: of its stack, */
    uint32_t location, callers;     /* its row of frame_sums, and that of callsite_sums */
    uint64_t n_samples;
    int64_t on_cpu_ns;
};

struct fine_wait {
    uint32_t callsite, marker; /* unique */
    uint32_t leaf;             /* its tree node */
    uint64_t n;
    int64_t dur_ns;
};

struct fine_slot {
    uint32_t hash, id; /* id 0: free */
};

struct fine {
    struct fine_stack *stacks;
    size_t n_stacks, cap_stacks;
    struct fine_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t n_counters;
    uint64_t *counters; /* beside stacks, n_counters each */
    size_t cap_counters;
    struct fine_wait *waits;
    size_t n_waits, cap_waits;
    struct map wait_index; /* (callsite, marker) -> index + 1 */
};

void fine_free(struct fine *f);

/* The fine stack of these; a new one has no other fields set. Valid until the next call. */
struct fine_stack *fine_stack(struct fine *f, uint32_t callsite, uint32_t frame, uint32_t utid,
                              bool *is_new);
struct fine_wait *fine_wait(struct fine *f, uint32_t callsite, uint32_t marker, bool *is_new);
/* What a fine stack has counted. */
static inline uint64_t *fine_counters(const struct fine *f, const struct fine_stack *s)
{
    return f->counters + (size_t)(s - f->stacks) * f->n_counters;
}

size_t fine_bytes(const struct fine *f);

#endif
