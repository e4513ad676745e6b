/*
 * ledger.h - where a thread's wall time goes, from its context switches.
 *
 * Each thread is a small state machine fed with its records in time order: every nanosecond since
 * its start is counted once, as on-CPU, runnable, blocked or unknown. Whatever contradicts the
 * state (a switch that was lost, time going backwards) makes the doubtful span unknown, never
 * negative and never twice. Pure functions over the caller's structs; one thread at a time.
 */
#ifndef STAX_CAPTURE_LEDGER_H
#define STAX_CAPTURE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/event.h"

/* Times in which records of any thread may be missing, in order. A zeroed struct is empty. */
struct ledger_losses {
    int64_t *from_ts; /* ns, the last record before the loss */
    size_t n, cap;
};

/* All ns. A zeroed struct is a thread whose time is not accounted for yet. */
struct ledger {
    enum event_state state;
    enum event_state first; /* while is_first: what it is if the first record says it was off */
    bool is_started;
    bool is_first;     /* nothing was recorded yet: the first record tells what it was doing */
    int64_t start_ts;  /* its time is accounted for from here on */
    int64_t since_ts;  /* everything before is in the sums; in state since then */
    int64_t proved_ts; /* running: when it was last known to be */
    int64_t on_cpu_ns, runnable_ns, blocked_ns, unknown_ns;
    int64_t sampled_ns; /* part of on_cpu_ns that samples stand for */
    uint64_t n_switches;
    size_t n_losses_seen;
    int64_t early_ts;    /* running: when it was woken last, 0: it was not */
    bool is_woken_early; /* blocked: it was woken just before it left its CPU */
};

/* An off-CPU interval that has ended. */
struct ledger_interval {
    int64_t start_ts, end_ts;
    enum event_state state; /* RUNNABLE or BLOCKED */
    bool is_woken;          /* a wakeup ended it, not the switch to a CPU */
};

void ledger_losses_free(struct ledger_losses *losses);
/* Records were lost at some time after from_ts. */
void ledger_lost(struct ledger_losses *losses, int64_t from_ts);

/* Begins to account for a thread in a known state. */
void ledger_start(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                  enum event_state state);
/* Begins with a thread whose state is not known: it is running if its first record says so, else
 * it has been in off_state. */
void ledger_start_unseen(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                         enum event_state off_state);

/* A record of the thread. True: *ended is an interval that has ended with it (or, after a loss,
 * that is known up to the loss). */
bool ledger_switch_out(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                       bool is_preempted, struct ledger_interval *ended);
bool ledger_switch_in(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                      struct ledger_interval *ended);
/* A wakeup: a blocked thread is runnable from here on. One that comes while it still runs counts
 * for the wait it is about to begin, if that begins at once and is short: the kernel wakes a thread
 * that is on its way off the CPU. Any other is of no account. */
bool ledger_wake(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended);
/* A sample: the thread runs. *on_cpu_ns is its weight: the on-CPU time since the last one. Where
 * the state was not known, period_ns of the unknown time count as on-CPU. */
bool ledger_sample(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                   int64_t period_ns, int64_t *on_cpu_ns, struct ledger_interval *ended);
/* An exec: the thread runs, whatever bore its id before. */
bool ledger_exec(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended);
/* Its records end, but the thread does not: nothing is known of its time from here on. */
bool ledger_lose(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended);
/* The thread, or the recording, ended. */
bool ledger_end(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                struct ledger_interval *ended);

/* Brings the sums of a running thread up to ts; everything before has been told. */
void ledger_settle(struct ledger *l, const struct ledger_losses *losses, int64_t ts);

#endif
