/*
 * counters.h - the counters of a recording: which the host grants, and their descriptors.
 *
 * They are members of the group of each thread's clock, so that every sample says what they had
 * counted by then. A group that the CPU cannot count at once with other groups is counted in turns;
 * its clock rests with it. Opened and closed by one thread.
 */
#ifndef STAX_CAPTURE_COUNTERS_H
#define STAX_CAPTURE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "capture/counter_event.h"

struct counters {
    struct counter_list list; /* those that are recorded */
    bool is_asked_for;        /* by name, not by default: without them there is no recording */
    char reason[256];         /* why there are none; "" if there are, or if none were wanted */
    char unlock[256];         /* the command that would help, or "" */
    int *fds;                 /* of all threads and CPUs */
    size_t n_fds, cap_fds;
};

/* What is shared by a clock and its counters. */
struct counters_context {
    bool inherits_thread; /* attr.inherit_thread */
    bool has_kernel;      /* the kernel's part may be counted */
    bool counts_lost;     /* PERF_FORMAT_LOST is known */
};

/* What a group has counted. */
struct counters_total {
    uint64_t clock_ns; /* CPU time */
    uint64_t n_lost;   /* records of the clock that found no room */
    uint64_t enabled_ns, running_ns;
    uint64_t values[EVENT_COUNTERS_MAX];
};

/* Finds out what the host can count, on a thread of this process that is never told of. wanted:
 * names as for --counters, NULL for those of counter_default_list that there are, "none" for none.
 * Errors, if they were asked for by name: STAX_EUSAGE (no such event), STAX_ENOTFOUND (not on this
 * machine), STAX_EPERMISSION, STAX_ESYSTEM (kernel too old), each with the way out. */
int counters_prepare(struct counters *c, const char *wanted, struct err *e);

/* Leaves the counters out, for a reason. Only before any was opened. */
void counters_leave_out(struct counters *c, const char *reason, const char *unlock);

/* attr.read_format of the clock. */
uint64_t counters_read_format(const struct counters *c, const struct counters_context *context);

/* Opens the counters beside the clock of a thread on a CPU. 0 or -errno; what was opened stays in
 * fds until counters_discard(). */
int counters_open(struct counters *c, int clock_fd, pid_t tid, int cpu,
                  const struct counters_context *context);
/* Closes those from n_keep on. */
void counters_discard(struct counters *c, size_t n_keep);

/* Adds what the group of a clock has counted, with all that inherited it. */
void counters_add_total(const struct counters *c, int clock_fd,
                        const struct counters_context *context, struct counters_total *total);

/* Closes everything; a zeroed struct is accepted. */
void counters_close(struct counters *c);

#endif
