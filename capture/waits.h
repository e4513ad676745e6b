/*
 * waits.h - what follow.c keeps of the waits of each thread, and of all of them.
 *
 * For follow*.c and target.c only. Times are ns of CLOCK_MONOTONIC.
 */
#ifndef STAX_CAPTURE_WAITS_H
#define STAX_CAPTURE_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "capture/event.h"
#include "capture/futexes.h"
#include "capture/ledger.h"
#include "capture/wait_reason.h"
#include "capture/wanting.h"

struct target_thread;

/* Why a thread waits, as far as known. */
struct wait_mark {
    bool is_known;
    bool is_vague;    /* a futex; reason is a guess, EVENT_REASON_OTHER: not even that */
    bool is_unlisted; /* kernel functions were seen, of which none says anything */
    uint8_t reason, from;
};

enum {
    FOLDED_RUNNABLE,
    FOLDED_VAGUE, /* by what the guess is */
    FOLDED_REASONS = FOLDED_VAGUE + EVENT_N_REASONS,
    N_FOLDED = FOLDED_REASONS + EVENT_N_REASONS,
};

/* Stack of a switch-out: kernel addresses first. */
struct wait_stack {
    int64_t ts; /* 0: none */
    uint64_t *addresses;
    uint16_t n, n_kernel;
    uint8_t end; /* enum event_stack_end */
    bool is_guessed;
    bool is_chain; /* by frame pointers only, although stacks are unwound */
    uint32_t cap;
};

/* Who ended a wait. */
struct wait_waker {
    uint8_t kind; /* enum event_waker */
    int32_t pid, tid;
    const struct record *record; /* with its stack, while the wait is being told */
};

enum { FOLDED_WAKERS = 4 };

struct thread_waits {
    struct ledger ledger;
    bool is_held;              /* a launched target before its exec: not accounted for yet */
    struct wait_stack stack;   /* sampled by the switch that comes next, or that began this wait */
    struct wait_stack parked;  /* read while it was blocked, at its ts */
    bool wants_parked;         /* that could not be done yet */
    bool has_stack;            /* stack is of the wait the thread is in */
    struct wait_mark at_stack; /* what that stack says */
    struct wait_mark seen;     /* what /proc said last, at seen_ts */
    int64_t seen_ts;
    struct wait_mark last, last_futex; /* what is known of its waits so far */
    /* What followed on a wait for that reason, the last time that both were known: most threads do
     * the same things in turns. */
    struct wait_mark after[EVENT_N_REASONS];
    uint8_t previous; /* the reason of its last wait */
    struct {
        uint64_t n;
        int64_t dur_ns, guessed_ns;
    } folded[N_FOLDED]; /* of this drain */
    struct {
        struct wait_waker waker;
        uint64_t n;
        int64_t dur_ns;
    } folded_wakers[FOLDED_WAKERS]; /* the same; n 0: free */
    int64_t woken_ts;               /* the wakeup that ended its last wait */
    bool has_changed;               /* since its time was told */
    size_t changed_at, wanting_at;  /* place in the lists of struct waits + 1, 0: in none */
};

struct wait_candidate {
    struct ledger_interval interval;
    int32_t pid, tid;
    struct wait_mark mark;
    uint8_t stack_from;
    uint8_t stack_end;
    bool is_guessed;
    uint16_t n_kernel, n_addresses;
    size_t stack_at;         /* offset in waits.stacks */
    struct wait_waker waker; /* if the interval is_woken */
    uint16_t n_waker_kernel, n_waker_addresses;
    uint8_t waker_stack_end; /* enum event_stack_end */
    size_t waker_stack_at;
};

/* A thread that has ended. */
struct waits_ended {
    int64_t ts; /* 0: none */
    int32_t pid, tid;
};

enum { CANDIDATES_MAX = 256, WAITS_ENDED = 64 };

struct waits {
    struct ledger_losses losses;
    int64_t *cpu_ts; /* last record of each CPU */
    size_t n_cpus, cap_cpus;
    struct thread_list changed; /* threads whose ledger changed in this drain */
    struct wanting wanting;     /* blocked, and /proc may know why */
    bool is_blind;              /* of some of those it is all that can be known */
    struct wait_candidate candidates[CANDIDATES_MAX]; /* a heap, the shortest on top */
    size_t n_candidates, n_candidates_max;
    size_t n_long;  /* intervals that are told whatever the rate, in this drain */
    size_t n_shown; /* short ones with stacks, in this drain */
    struct buf stacks;
    int64_t drained_ts;
    struct wait_kernel kernel;
    struct futexes futexes;
    struct waits_ended ended[WAITS_ENDED]; /* lately */
    size_t n_ended;
    int64_t ended_ts; /* the latest end of a thread */
};

#endif
