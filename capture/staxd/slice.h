/*
 * slice.h - a short time slice for the calling thread and those it makes.
 *
 * It is then woken earlier on a busy machine, and gets no more CPU time for it (since Linux 6.12;
 * no effect before). Anybody may ask. libc only.
 */
#ifndef STAX_CAPTURE_STAXD_SLICE_H
#define STAX_CAPTURE_STAXD_SLICE_H

#include <stdint.h>

/* struct sched_attr of sched_setattr(2), which glibc has no header for. */
struct slice_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Asks for 0.1 ms; what is refused is done without. */
void slice_shorten(void);

#endif
