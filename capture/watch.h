/*
 * watch.h - decides whose wakeups are looked for on all CPUs.
 *
 * A thread's own event sees the wakeups that it does. Timers, devices, other programs, and a thread
 * that ends, wake others unseen by it; so whoever may (root) also watches whole CPUs, with a filter
 * for the threads that matter: all while they are few and calm, else those that have been blocked
 * for long. The wakers of long waits are so recorded also in a storm of short ones, at next to no
 * cost to it. One thread at a time; a zeroed struct is new.
 */
#ifndef STAX_CAPTURE_WATCH_H
#define STAX_CAPTURE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/events.h"
#include "capture/follow.h"

struct watch {
    int32_t tids[FOLLOW_WATCH_MAX];
    size_t n_tids;
    size_t n_changes;
    int64_t ts;       /* ns, of the last change */
    int64_t storm_ts; /* ns, when wakeups came too fast last; 0: never */
    int64_t left_ts;
    int64_t left;    /* records that may still come */
    bool is_over;    /* too many came: nobody is watched until half of them may come again */
    bool is_refused; /* the kernel does not let us */
};

/* After a drain in which so many records of watched threads came. is_storm: wakeups come faster
 * than they may be recorded. */
void watch_tick(struct watch *w, struct events *ev, const struct follow *f, int64_t now,
                bool is_storm, uint64_t n_records);

#endif
