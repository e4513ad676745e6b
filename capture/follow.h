/*
 * follow.h - turns records in time order into the events of event.h.
 *
 * It keeps the table of living processes and threads, so that every start has its end, every name
 * is handed on by a fork, and nothing is told twice when a thread is covered by its own events and
 * by inherited ones. What records leave open (the state at attach, arguments, what was lost) it
 * looks up in /proc, a bounded number of times per drain. Batches go to the queue: samples only
 * while it has room, mappings and names while it is not several times over its bound, the rest
 * always. One thread at a time, except follow_set_paused().
 */
#ifndef STAX_CAPTURE_FOLLOW_H
#define STAX_CAPTURE_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/queue.h"
#include "capture/event.h"
#include "capture/record.h"
#include "capture/unwinder.h"

struct follow_options {
    int32_t pid;               /* of the target */
    bool with_children;        /* false: records of other processes are none of ours */
    bool has_proc;             /* false: never look into /proc (tests, fuzzers, recorded rings) */
    size_t max_stack;          /* addresses the kernel gives at most: as many mean a cut stack */
    int64_t period_ns;         /* weight of a sample whose own period makes no sense */
    struct queue *out;         /* borrowed */
    const struct map *sources; /* event id -> tid it was opened on; borrowed, may grow */
    bool has_switches;         /* context switches are recorded: samples weigh what they say */
    struct unwinder *unwinder; /* borrowed; NULL: stacks are as the kernel gave them */
    struct target_memory *memory; /* borrowed; NULL: the target's is not read */
    /* Of the raw data of wakeups (waking.h); NULL: there are none. Borrowed, may change. */
    const size_t *waking_pid_offset;
    bool without_kernel; /* stacks are told without the kernel's part */
    bool is_held;        /* the target has yet to exec; its time begins with that */
    size_t n_counters;   /* members of the clock's group, besides it */
};

struct follow_stats {
    uint64_t n_samples;   /* emitted */
    uint64_t n_lost;      /* records */
    uint64_t n_throttled; /* pauses */
    uint64_t n_threads;   /* alive */
    uint64_t n_processes; /* alive */
    int64_t sampled_ns;   /* that samples stood for, those left out included */
};

struct follow;

struct follow *follow_new(const struct follow_options *options);
/* NULL is accepted. What was not flushed is dropped. */
void follow_free(struct follow *f);

/* Tells of a process and its names as /proc has them, with its mappings if asked. Without effect on
 * one that is known. parent_pid 0: not of this run. ts: ns, of the events. */
void follow_adopt_process(struct follow *f, int32_t pid, int32_t parent_pid, bool with_mappings,
                          int64_t ts);
/* Tells of a thread of a known process. source: tid whose events count for it; 0: none do.
 * seen_ts: ns, when it was alive; a fork record older than that is about this very thread. */
void follow_adopt_thread(struct follow *f, int32_t pid, int32_t tid, int32_t source, int64_t ts,
                         int64_t seen_ts);
bool follow_has_thread(const struct follow *f, int32_t tid);

/* One record; ts is its time in order, never before the last. False: the table that its stack needs
 * is still being made, and nothing was done: it must be the next record again. may_wait false: it
 * is told as far as it can be unwound. */
bool follow_record(struct follow *f, const struct record *r, int64_t ts, bool may_wait);
void follow_loss(struct follow *f, int64_t ts, uint32_t cpu, enum event_loss_kind kind, uint64_t n);

/* What the counters counted in all; total->head.ts says when. */
void follow_counter_total(struct follow *f, const struct event_counter_total *total);

/* The kernel's function names, for reading the stacks of waits: the text of /proc/kallsyms. */
void follow_read_kernel(struct follow *f, const char *kallsyms, size_t len);

/* Threads whose wakeups should be seen wherever they come from: those that have been blocked for
 * longer_ns and more, 0: all; the longest first, at most max. Returns how many. */
enum { FOLLOW_WATCH_MAX = 32 };
size_t follow_watch_list(const struct follow *f, int64_t longer_ns, int64_t now, int32_t *tids,
                         size_t max);

/* Whether threads are blocked of which only /proc can say why, while they still are: it should be
 * looked soon. */
bool follow_is_blind(const struct follow *f);
/* Looks at some of them; part of follow_tick() too. */
void follow_look(struct follow *f);

/* After a drain: everything before limit_ts has been told. Ends what was found gone before that. */
void follow_tick(struct follow *f, int64_t limit_ts);
/* The target's main process was reaped or turned zombie at now_ts. */
void follow_main_gone(struct follow *f, int64_t now_ts);
/* Compares some of the table with /proc, since exit records can be lost: a process is gone when
 * there is none of its pid, or one that began later. */
void follow_verify(struct follow *f, int64_t now_ts);
/* Hands the batch to the queue. */
void follow_flush(struct follow *f);
/* The last event of the run; flushes. */
void follow_end(struct follow *f, int64_t ts, enum event_end_reason reason);

/* Samples taken from now_ts on are left out until resumed. Any thread. */
void follow_set_paused(struct follow *f, bool is_paused, int64_t now_ts);

void follow_stats(const struct follow *f, struct follow_stats *stats);

#endif
