/*
 * counters.h - the counters of a recording: what was asked for, and what the host grants of it.
 *
 * They are members of the group of each thread's clock, so that every sample says what they had
 * counted by then. A group that the CPU cannot count at once with other groups is counted in turns;
 * its clock rests with it. One thread.
 */
#ifndef STAX_CAPTURE_COUNTERS_H
#define STAX_CAPTURE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/counter_event.h"
#include "capture/opener.h"

struct counters {
    struct counter_list list; /* those that are recorded */
    bool is_asked_for;        /* by name, not by default: without them there is no recording */
    char reason[512];         /* why there are none; "" if there are, or if none were wanted */
    char unlock[512];         /* the command that would help, or "" */
};

/* What a group has counted, or the groups of several threads and CPUs. */
struct counters_total {
    uint64_t clock_ns;   /* CPU time */
    uint64_t n_lost;     /* records of the clock that found no room */
    uint64_t running_ns; /* CPU time in which they counted */
    uint64_t values[EVENT_COUNTERS_MAX];
};

/* Reads the names. wanted: as for --counters, NULL for those of counter_default_list that there
 * are, "none" for none. STAX_EUSAGE: no such event. */
int counters_read_names(struct counters *c, const char *wanted, struct err *e);

/* Finds out what can be counted, on a thread of this process and one of the CPUs. What was not
 * asked for by name is left out. counts_lost: the kernel knows PERF_FORMAT_LOST.
 * Errors, of those asked for: STAX_ENOTFOUND (not on this machine), STAX_EPERMISSION, STAX_ELIMIT
 * (more than the CPU can count), STAX_ESYSTEM (kernel too old), each with the way out. */
int counters_probe(struct counters *c, struct opener *opener, const struct pid_list *cpus,
                   bool counts_lost, struct err *e);

/* Leaves the counters out, for a reason. Only before any was opened. */
void counters_leave_out(struct counters *c, const char *reason, const char *unlock);

/* Adds what the group of a clock has counted, with all that inherited it. */
void counters_add_total(const struct counters *c, int clock_fd, bool counts_lost,
                        struct counters_total *total);

#endif
