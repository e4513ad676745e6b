/*
 * capture.h - records one target: opens the kernel's events, drains them and emits event batches.
 *
 * capture_open() arms everything and returns; capture_start() runs the drain on a thread of its
 * own. The last record of a run is always EVENT_END, pushed by force, after which the thread ends.
 * capture_stop() may be called from any thread and any number of times; capture_close() joins.
 */
#ifndef STAX_CAPTURE_CAPTURE_H
#define STAX_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/queue.h"
#include "capture/counter_event.h"
#include "capture/event.h"

struct capture_options {
    pid_t pid;             /* target process (thread group leader) */
    bool is_launched;      /* pid is a held child that will exec: events enable on its exec */
    bool with_children;    /* descendants belong to the target */
    bool without_kernel;   /* stacks are recorded without the kernel's part; its time counts */
    uint32_t frequency_hz; /* samples per second and CPU, > 0 */
    int64_t time_limit_ns; /* 0: none; from capture_start() */
    bool unwinds;          /* user stacks are unwound by CFI, where this processor can be */
    size_t ring_bytes;     /* per CPU data area wanted, power of two; 0: default 512 KiB, or 4 MiB
                            * when stacks are unwound */
    const char *counters; /* names as counters.h takes them; NULL: the usual ones, where possible */
    /* Of staxd, which is asked where the host withholds events; "" or NULL: nobody is. Borrowed
     * during capture_open(). */
    const char *daemon_socket;
};

/* What the host lets this run record, or why not. */
struct capture_ability {
    const char *name;  /* "kernel_stacks", ... (static) */
    bool is_available; /* */
    char reason[768];  /* why not; "" if available */
    char unlock[640];  /* the exact command that would unlock it; "" if none */
};

enum { ABILITIES_MAX = 16 };

/* What a run of ours would be able to record, found by opening its events on this process for a
 * moment, as a run does. Returns how many rows were filled in. */
size_t capture_probe(const char *daemon_socket, struct capture_ability rows[ABILITIES_MAX]);

struct capture_stats {
    uint64_t n_samples;       /* emitted */
    uint64_t n_lost;          /* records lost in rings, dropped on a full queue, malformed */
    uint64_t n_throttled;     /* times the kernel paused sampling */
    uint64_t n_threads;       /* alive now */
    uint64_t n_processes;     /* alive now */
    uint64_t n_events_open;   /* perf descriptors held */
    uint64_t ring_bytes;      /* per CPU, as granted */
    uint64_t peak_ring_bytes; /* the fullest any ring was found */
    uint64_t n_drains;        /* passes over the rings */
    int64_t cpu_time_ns;      /* CPU time of the capture thread */
    uint64_t stack_bytes;     /* of the copy of a stack that a sample takes, at most; 0: none */
    uint64_t n_tables;        /* unwind tables of binaries */
    uint64_t table_bytes;     /* ... their memory */
    uint64_t n_unread;        /* binaries that could not be read for one */
    uint64_t n_dropped;       /* tables that found no room */
};

struct capture;

/* Opens events on every thread of the target and maps the rings; the initial process, thread, name
 * and mapping events are the first it will emit. out borrowed: must outlive the capture.
 * Errors: STAX_ENOTFOUND (no such process, zombie), STAX_EPERMISSION (with the setting in the way),
 * STAX_EUSAGE (frequency above the kernel's limit), STAX_ELIMIT (descriptors, locked memory), and
 * those of counters_read_names() and counters_probe(). */
int capture_open(struct capture **out_capture, const struct capture_options *options,
                 struct queue *out, struct err *e);
int capture_start(struct capture *c, struct err *e);
void capture_stop(struct capture *c, enum event_end_reason reason);
/* Stops and resumes sampling without ending the run; side-band events go on. Any thread. */
void capture_set_paused(struct capture *c, bool is_paused);
/* Stops, waits for the thread, closes everything. NULL is accepted. */
void capture_close(struct capture *c);

void capture_stats(struct capture *c, struct capture_stats *stats);
/* Abilities of this run; *n entries, owned by c. */
const struct capture_ability *capture_abilities(const struct capture *c, size_t *n);
/* The counters of this run, by their slots; owned by c. */
const struct counter_list *capture_counters(const struct capture *c);
/* /proc/kallsyms as this run may read it, for naming the kernel's code: the caller's descriptor, or
 * -1. Once. */
int capture_take_kallsyms(struct capture *c);
/* CLOCK_MONOTONIC ns when recording began: what there was before is not in the run. */
int64_t capture_start_ts(const struct capture *c);
/* The sampling period in ns that the samples' weights are based on. */
int64_t capture_period_ns(const struct capture *c);

/* The largest frequency that this host allows (kernel.perf_event_max_sample_rate) and that the
 * kernel's sampling clock keeps up with. */
int64_t capture_max_frequency_hz(void);
/* Whether the options make sense and the target is one that can be recorded; errors as
 * capture_open(). */
int capture_check(const struct capture_options *options, struct err *e);
/* 0, or STAX_EUSAGE with what is in the way. */
int capture_check_frequency(int64_t hz, struct err *e);

#endif
