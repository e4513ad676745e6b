/*
 * events.h - the perf descriptors of a run: one ring per CPU, and events on threads that fill them.
 *
 * A thread gets one cpu-clock event per CPU (a ring takes events of its own CPU only), which also
 * records context switches, and where the kernel's stacks may be seen one on context switches that
 * takes their stacks. Both are inherited by what the thread creates. Each CPU's ring belongs to an
 * anchor, an event of this process that never counts, so that a ring outlives the threads it was
 * made for. Closing an event ends the sampling of all that inherited it, so descriptors stay open
 * until the end. Opened by one thread; the rings are then drained by one thread.
 */
#ifndef STAX_CAPTURE_EVENTS_H
#define STAX_CAPTURE_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/map.h"
#include "capture/counters.h"
#include "capture/opener.h"
#include "capture/proc.h"
#include "capture/record.h"
#include "capture/ring.h"

/* Events of a kind have one format. */
enum events_kind {
    EVENTS_CLOCK,
    EVENTS_STACKS,  /* of context switches */
    EVENTS_WAKINGS, /* wakeups that the thread does */
    EVENTS_N_KINDS
};

/* An event that is open on all of this run's threads. */
struct events_fd {
    int fd;
    uint32_t source; /* as in sources */
};

struct events {
    int64_t period_ns;   /* of the sampling clock */
    bool is_on_exec;     /* start with the target's next exec, not at once */
    bool with_children;  /* processes inherit, not only threads */
    bool without_kernel; /* its part of stacks is not wanted; its time is */
    /* Of staxd, which is asked for what the host refuses us; "", NULL: nobody is. Borrowed until
     * events_end_opening(). */
    const char *daemon_socket;
    bool has_kernel;           /* the kernel's part of time is recorded, and of stacks if wanted */
    int kernel_errno;          /* why not, if it is not */
    struct err kernel_refusal; /* ... and what staxd said, code 0: it was not asked */
    size_t n_threads;          /* that events were opened on */
    size_t n_without_kernel;   /* ... without the kernel's part */
    bool inherits_threads;     /* the kernel can tell threads from processes (since 5.13) */
    bool counts_lost;          /* the kernel counts lost records per event (since 6.0) */
    struct opener opener;
    struct pid_list cpus; /* online when the run began */
    int *anchors;         /* per CPU */
    struct ring *rings;   /* per CPU */
    size_t ring_bytes;    /* data area of each */
    uint64_t user_regs;   /* samples take these registers and a copy of the user's stack; 0: not */
    uint32_t stack_bytes; /* of such a copy, at most */
    /* Rings for stacks of context switches alone, so that these never push out the records that
     * time is accounted by. NULL: there are none, and such stacks go into the others without
     * copies. */
    int *stack_anchors;
    struct ring *stack_rings;
    uint32_t switch_stack_bytes; /* of a copy there, at most */
    bool has_tried_stack_rings;
    uint32_t waker_stack_bytes; /* of a copy with a wakeup, there too; 0: without */
    bool has_tried_waker_stacks;
    struct events_fd *open;
    size_t n_open, cap_open, max_fds;
    struct record_format formats[EVENTS_N_KINDS];
    struct counters counters; /* in the groups of the clocks; names read before events_open() */
    struct map sources;       /* event id -> EVENTS_* | tid it was opened on, or EVENTS_DISCARDED */
    bool is_attaching; /* stacks of switches and wakeups wait for events_set(): they would fill the
                          rings before anybody drains them regularly */
    bool has_switches; /* context switches are recorded */
    bool has_stacks;   /* ... with stacks, as long as descriptors last */
    int stacks_errno;  /* why not, if they are not */
    struct err stacks_refusal;  /* ... and what the broker said, code 0: it was not asked */
    bool has_wakings;           /* wakeups are recorded, with the waker's stack */
    int wakings_errno;          /* why not, if they are not; ENOENT: tracefs is not there */
    struct err wakings_refusal; /* ... and what the broker said, code 0: it was not asked */
    size_t waking_pid_offset;   /* waking.h */
    int *watch_fds;             /* per CPU, -1: none; NULL: nobody is watched */
    uint64_t *watch_ids;        /* of the lists before, too, oldest first, while records of theirs
                                   may be on their way */
    size_t n_watch_ids, cap_watch_ids;
    uint64_t n_watch_counted; /* wakeups of those who are watched no more */
};

/* The source of events that were given up half way. */
#define EVENTS_DISCARDED UINT32_MAX
/* A source is the tid and the kind of event: no bit for the clock, else one of these. */
#define EVENTS_TID_MASK     ((1u << 24) - 1)
#define EVENTS_SWITCH_STACK (1u << 30)    /* samples are stacks of context switches */
#define EVENTS_WAKING       (1u << 29)    /* samples are wakeups that the thread does */
#define EVENTS_COUNTER      (1u << 27)    /* no samples: a member of a clock's group */
#define EVENTS_WATCH        EVENTS_WAKING /* without a tid: wakeups of watched threads */

/* What the samples of an event hold, by its id (record_id()). */
const struct record_format *events_format(const struct events *ev, uint64_t id);

/* Maps one ring per online CPU, smaller than wanted when locked memory is short, and finds out
 * which of ev->counters there are. Errors: STAX_EPERMISSION, STAX_ELIMIT (locked memory,
 * descriptors), STAX_ESYSTEM, and those of counters_probe(). */
int events_open(struct events *ev, size_t ring_bytes, struct err *e);

struct events_thread {
    pid_t pid, tid;
};

/* Opens the events of one thread on all CPUs, or none. STAX_ENOTFOUND: the thread is gone;
 * STAX_EPERMISSION, STAX_ELIMIT, STAX_ESYSTEM with the way out in *e. */
int events_add_thread(struct events *ev, const struct events_thread *t, struct err *e);
/* No thread follows: the broker is not needed any more. */
void events_end_opening(struct events *ev);

/* Whether the events of a kind (EVENTS_SWITCH_STACK, EVENTS_WAKING) are recorded for now, on all
 * threads. */
void events_set(struct events *ev, uint32_t kind, bool is_on);

/* Whether so many threads more can be armed. Wakeups and stacks of context switches are left out
 * from now on when they would take descriptors that the threads' clocks need; so are counters that
 * nobody asked for, as long as nothing was opened. */
bool events_have_room(struct events *ev, size_t n_threads);

/* Whether the switches of every thread that was armed are recorded with their stacks. */
bool events_have_stacks(const struct events *ev);

/* From now on wakeups of these threads are seen wherever they come from; of no others. Needs the
 * right to watch whole CPUs, which staxd does not hand out: 0, or -errno with nobody watched. */
int events_watch(struct events *ev, const int32_t *tids, size_t n);

struct events_totals {
    int64_t on_cpu_ns;      /* CPU time of all that is and was recorded, sampled or not */
    uint64_t n_lost;        /* records that found no room, 0 if the kernel does not count them */
    uint64_t n_stacks_lost; /* ... in the rings for stacks alone */
    uint64_t n_watched;     /* wakeups of watched threads, recorded or not */
    struct counters_total counters;
};

/* What the kernel counted so far on all events and on those that inherited them. A ring tells of
 * its losses with the next record only, which may never come; this knows them all. */
void events_read(const struct events *ev, struct events_totals *totals);

/* How many descriptors are held. */
size_t events_n_open(const struct events *ev);

/* Closes everything; sampling ends. A zeroed struct is accepted. */
void events_close(struct events *ev);

#endif
