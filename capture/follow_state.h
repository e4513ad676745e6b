/*
 * follow_state.h - what follow.c and follow_proc.c share; for nobody else.
 */
#ifndef STAX_CAPTURE_FOLLOW_STATE_H
#define STAX_CAPTURE_FOLLOW_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "capture/follow.h"
#include "capture/target.h"

struct follow_pause {
    int64_t ts; /* ns */
    bool is_paused;
};

struct follow {
    struct follow_options options;
    struct target target;
    struct buf batch;
    size_t queued_bytes; /* at most this much waits in the queue */
    uint64_t n_dropped;  /* samples, mappings and names since the last flush */
    int64_t ts;          /* time of the last event */
    int64_t loss_ts;     /* ns, when records were lost last; 0: never */
    bool has_blind;      /* threads without events: their end is seen in /proc only */
    size_t n_gone;       /* processes with gone_ts */
    size_t n_hidden;     /* processes that are */
    size_t verify_slot;
    int n_proc_reads; /* left until the next tick */
    int n_tid_reads;  /* the same, for the ids of threads that are waited for */
    struct follow_stats stats;
    struct waits waits;
    bool is_paused;              /* as of the last sample */
    _Atomic int64_t pause_ts;    /* of the first of pauses, INT64_MAX: there are none */
    pthread_mutex_t pause_lock;  /* of pauses */
    struct follow_pause *pauses; /* still to come, in time order */
    size_t n_pauses, cap_pauses;
    struct unwinder_stack stack; /* of the record under way */
};

/* Events about an entry of the table; parent_pid 0: none. */
void follow_tell_process(struct follow *f, enum event_type type, const struct target_process *p,
                         int32_t parent_pid, int64_t ts);
void follow_tell_thread(struct follow *f, enum event_type type, const struct target_thread *t,
                        int64_t ts);
/* Fills in what all mappings share and spells the path as events do. */
void follow_tell_mapping(struct follow *f, struct event_mapping *m, const char *path, size_t len);

/* Adds to and removes from the table, and tells of it. */
struct target_thread *follow_start_thread(struct follow *f, struct target_process *p, int32_t tid,
                                          const struct target_name *name, int32_t source,
                                          int64_t ts);
void follow_end_process(struct follow *f, struct target_process *p, int64_t ts);
/* With the last of its threads the process ends too. */
void follow_end_thread(struct follow *f, struct target_thread *t, int64_t ts);

/* ---- follow_waits.c: the ledger of each thread, and its waits ---- */

/* A thread begins at ts: by a fork (it is runnable), or found alive (whether it runs is not known).
 */
void follow_waits_start(struct follow *f, struct target_thread *t, int64_t ts, bool is_forked);
/* Before its end is told. Returns when that is: no sooner than what was accounted for, as one may
 * end before all of its events are open. */
int64_t follow_waits_end_thread(struct follow *f, struct target_thread *t, int64_t ts);
void follow_waits_exec(struct follow *f, struct target_thread *t, int64_t ts);
/* Its events have ended, and it has not. */
void follow_waits_lose(struct follow *f, struct target_thread *t, int64_t ts);
void follow_waits_switch(struct follow *f, struct target_thread *t, const struct record *r,
                         int64_t ts);
/* The stack of the switch that follows. False: it needs a table that is still being made. */
bool follow_waits_stack(struct follow *f, struct target_thread *t, const struct record *r,
                        int64_t ts, bool may_wait);
/* A wakeup of the thread, whatever it has been doing. */
void follow_waits_woken(struct follow *f, struct target_thread *t, int64_t ts,
                        const struct wait_waker *by);
/* The weight of a sample: on-CPU ns since the thread's last one. */
int64_t follow_waits_sample(struct follow *f, struct target_thread *t, int64_t ts,
                            int64_t period_ns);
/* Records of a CPU were lost before ts; every record is noted by its CPU for that. */
void follow_waits_lost(struct follow *f, uint32_t cpu, int64_t ts);
void follow_waits_note_cpu(struct follow *f, uint32_t cpu, int64_t ts);
/* Tells what the drain that ends at limit_ts has summed up. */
void follow_waits_tick(struct follow *f, int64_t limit_ts);
/* The recording ends: what is still open ends with it. */
void follow_waits_end(struct follow *f, int64_t ts);
void follow_waits_free(struct follow *f);

/* ---- follow_intervals.c: which intervals are told, and how ---- */

/* The stack of an interval: as the thread left its CPU, else as it was seen to wait; *from: enum
 * event_stack_source. NULL: it has none. */
const struct wait_stack *follow_intervals_stack(const struct thread_waits *w,
                                                const struct ledger_interval *interval,
                                                uint8_t *from);
/* An interval of t has ended: it is told, or waits for the end of the drain, or is added up. */
void follow_intervals_add(struct follow *f, struct target_thread *t,
                          const struct wait_candidate *c);
/* Tells those that wait, and what was added up for a thread in this drain. */
void follow_intervals_tell(struct follow *f);
void follow_intervals_tell_folded(struct follow *f, struct target_thread *t, int64_t ts);
/* Before the start of a thread is told: what is still to be told of one that had these ids before
 * it, and has ended, is told now. An exec gives the main thread's to the thread that calls it. */
void follow_intervals_tell_earlier(struct follow *f, const struct target_process *p, int32_t tid);
/* How many may be told in the next drain, after one of so many ns. */
void follow_intervals_allow(struct follow *f, int64_t drain_ns);

/* ---- follow_wakers.c: who ended a wait ---- */

/* A wakeup that a thread of the target does, or something outside of all threads while it runs. */
void follow_wakers_waking(struct follow *f, struct target_thread *waker, const struct record *r,
                          int64_t ts);
/* A wakeup of a watched thread, whoever does it. */
void follow_wakers_watched(struct follow *f, const struct record *r, int64_t ts);
/* Before the interval that it ended is told. */
void follow_wakers_tell(struct follow *f, const struct wait_candidate *c);
/* Adds to what a waker did for the thread in this drain, and tells of that. */
void follow_wakers_fold(struct follow *f, struct target_thread *t, const struct wait_candidate *c);
void follow_wakers_tell_folded(struct follow *f, struct target_thread *t, int64_t ts);
/* Whether it is that thread of the target. */
bool follow_wakers_is_by(const struct wait_waker *waker, int32_t pid, int32_t tid);
/* Keeps the stack of the record under way with the interval. */
void follow_wakers_keep_stack(struct follow *f, struct wait_candidate *c);
void follow_wakers_end_thread(struct follow *f, const struct target_thread *t, int64_t ts);

/* Takes the kernel's part out of n addresses, of which n_kernel are the kernel's; returns how many
 * are left. */
size_t follow_drop_kernel(uint64_t *addresses, size_t n, size_t *n_kernel);

/* Whether /proc may be asked once more before the next tick; counts it. */
bool follow_may_read_proc(struct follow *f);
/* What a number is to a process; ctx: the struct follow. A wait_find_thread. */
enum wait_thread follow_find_thread(void *ctx, int32_t pid, uint32_t number);
/* Tells of the executable mappings a process has now. */
void follow_read_mappings(struct follow *f, struct target_process *p, int64_t ts);
/* The same for a process just told of, in place of what it took over from its parent. */
void follow_read_own_mappings(struct follow *f, struct target_process *p, int32_t parent_pid,
                              int64_t ts);
/* Leaves the name as it is when /proc has none. tid 0: of the process. */
void follow_read_name(struct follow *f, int32_t pid, int32_t tid, struct target_name *name);
void follow_read_cmdline(struct follow *f, struct target_process *p);
/* Whether a thread whose events ended at ts lives on: the kernel ends them, as if it exited, when
 * it executes a program that the user may run but not read, or that runs with other rights. */
bool follow_is_hidden_by_exec(const struct follow *f, const struct target_thread *t, int64_t ts);
/* Marks the processes hidden so that have ended since. */
void follow_find_hidden_gone(struct follow *f);
/* When that was, in CLOCK_BOOTTIME, of a record that was just written. */
int64_t follow_boot_ns(int64_t ts);
void follow_name_by_pid(struct target_name *name, int32_t pid);

#endif
