/*
 * event.h - what capture says to ingest: OS-neutral events in batches.
 *
 * A batch is one heap block: records back to back, each a struct event_head followed by the body of
 * its type, size rounded up to 8 bytes. Capture pushes batches into a struct queue (base/queue.h);
 * ingest pops and frees them. Records of one run come in time order as far as capture could restore
 * it. Times are CLOCK_MONOTONIC nanoseconds. The same bytes, written to a file one batch after the
 * other, are a recorded stream that tests and benchmarks replay (same machine kind only).
 *
 * Nothing here may name an OS: the macOS backend will emit the same events.
 */
#ifndef STAX_CAPTURE_EVENT_H
#define STAX_CAPTURE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum event_type {
    EVENT_PROCESS_START = 1, /* struct event_process: attached to, or forked */
    EVENT_PROCESS_END,       /* struct event_process; name unused */
    EVENT_EXEC,              /* struct event_process: all mappings of pid are gone; name is new */
    EVENT_THREAD_START,      /* struct event_thread */
    EVENT_THREAD_END,        /* struct event_thread; name unused */
    EVENT_THREAD_NAME,       /* struct event_thread */
    EVENT_MAPPING,           /* struct event_mapping */
    EVENT_SAMPLE,            /* struct event_sample */
    EVENT_LOSS,              /* struct event_loss */
    EVENT_END,               /* struct event_end: the last record of a run */
    EVENT_OFF_CPU,           /* struct event_off_cpu: an interval, told when it has ended */
    EVENT_OFF_CPU_FOLDED,    /* struct event_off_cpu_folded: the sum of intervals not told singly */
    EVENT_THREAD_TIME,       /* struct event_thread_time: where a thread's time went so far */
    EVENT_COUNTER_TOTAL,     /* struct event_counter_total: near the end, one for each counter */
    EVENT_WAKEUP,            /* struct event_wakeup: what ended the wait that is told next */
    EVENT_WAKEUPS_FOLDED,    /* struct event_wakeups_folded: the sum of wakeups not told singly */
    EVENT_OPEN_WAIT,         /* struct event_off_cpu, dur_ns 0: the wait that a thread is in */
    EVENT_N_TYPES
};

struct event_head {
    uint16_t type;  /* enum event_type */
    uint16_t flags; /* EVENT_F_* of the type */
    uint32_t size;  /* whole record in bytes, head included, a multiple of 8 */
    int64_t ts;     /* ns, CLOCK_MONOTONIC */
};

/* Strings in bodies: length-counted, not terminated, foreign bytes (any value). */

struct event_process {
    struct event_head head;
    int32_t pid;
    int32_t parent_pid; /* 0 if unknown. PROCESS_START: its mappings are copied to pid */
    uint32_t name_len;
    uint32_t cmdline_len; /* arguments separated by NUL, may be cut */
    char text[];          /* name, then cmdline */
};

struct event_thread {
    struct event_head head;
    int32_t pid;
    int32_t tid;
    uint32_t name_len; /* 0: the name of the thread that made it */
    uint32_t pad;
    char name[];
};

#define EVENT_F_MAPPING_EXECUTABLE 0x1u

struct event_mapping {
    struct event_head head;
    int32_t pid;
    uint32_t path_len;
    uint64_t start; /* virtual address */
    uint64_t size;  /* bytes */
    uint64_t file_offset;
    uint64_t device; /* (major << 32 | minor), 0 with inode 0: not a file */
    uint64_t inode;
    char path[]; /* as the target's mount namespace names it */
};

/* How the addresses of a stack end; the names go into unfinished_stack.cause, but the first: the
 * thread's first function, or nothing says otherwise. */
#define EVENT_STACK_ENDS(X)                                                                        \
    X(ROOT, "root")                                                                                \
    X(EXHAUSTED, "stack_copy_exhausted")    /* the stack goes on beyond what was copied of it */   \
    X(NO_CFI, "no_cfi")                     /* code without unwind information */                  \
    X(BAD_CFA, "bad_cfa")                   /* unwind information that leads nowhere */            \
    X(TOO_DEEP, "too_deep")                 /* more than 1,024 addresses */                        \
    X(BAD_MEMORY, "bad_memory")             /* memory that could not be read */                    \
    X(BAD_PC, "bad_return_address")         /* a return address that is no code */                 \
    X(UNKNOWN_REGISTER, "unknown_register") /* unwinding needs a register that is not known */     \
    X(PENDING, "pending")                   /* unwind tables were not ready in time */             \
    X(KERNEL_LIMIT, "kernel_limit")         /* the kernel gave as many addresses as it may */      \
    X(NO_MAPPING, "no_mapping")             /* a caller that is in no mapping, found by ingest */

enum event_stack_end {
#define X(name, text) EVENT_STACK_END_##name,
    EVENT_STACK_ENDS(X)
#undef X
        EVENT_N_STACK_ENDS
};

enum { EVENT_COUNTERS_MAX = 4 };

/* addresses[0] is the sampled pc; then return addresses, callee before caller. The first n_kernel
 * of all n_addresses are kernel addresses. Behind them stand n_counters deltas, by slot: what the
 * thread counted since its last sample (event_sample_counters()). */
struct event_sample {
    struct event_head head;
    int32_t pid;
    int32_t tid;
    uint32_t cpu;
    uint16_t n_kernel;
    uint16_t n_addresses; /* at least 1 */
    int64_t on_cpu_ns;    /* the weight: on-CPU time this sample stands for */
    uint8_t n_counters;   /* at most EVENT_COUNTERS_MAX */
    uint8_t stack_end;    /* enum event_stack_end */
    uint8_t is_guessed;   /* part of the stack is likely, not certain */
    uint8_t pad[5];
    uint64_t addresses[];
};

static inline const uint64_t *event_sample_counters(const struct event_sample *s)
{
    return s->addresses + s->n_addresses;
}

/* What a thread does; the names go into thread_state.state and thread_sum.open_state. */
#define EVENT_STATES(X)                                                                            \
    X(UNKNOWN, "unknown")   /* records of it were lost */                                          \
    X(RUNNING, "running")   /* on a CPU */                                                         \
    X(RUNNABLE, "runnable") /* waiting for a CPU: preempted, or not started yet */                 \
    X(BLOCKED, "blocked")   /* left its CPU by itself */

enum event_state {
#define X(name, text) EVENT_STATE_##name,
    EVENT_STATES(X)
#undef X
        EVENT_N_STATES
};

/* Why a thread is blocked. What is counted where: capture/wait_reason.c. */
#define EVENT_REASONS(X)                                                                           \
    X(IDLE, "idle")   /* parked for work: condition variables, signals */                          \
    X(LOCK, "lock")   /* mutexes, rwlocks, file locks, locks of the kernel */                      \
    X(SEM, "sem")     /* semaphores */                                                             \
    X(IPC, "ipc")     /* pipes, message queues, ends of children and threads */                    \
    X(IO_R, "ioR")    /* reading files, sockets, terminals, and pages from disk */                 \
    X(IO_W, "ioW")    /* writing and syncing them */                                               \
    X(READY, "ready") /* poll, select, epoll, io_uring */                                          \
    X(SLEEP, "sleep") /* timers */                                                                 \
    X(CONN, "conn")   /* connect, accept, open */                                                  \
    X(OTHER, "other") /* anything else, or no evidence at all */

enum event_reason {
#define X(name, text) EVENT_REASON_##name,
    EVENT_REASONS(X)
#undef X
        EVENT_N_REASONS
};

/* How the reason is known; the names go into thread_state.reason_from. */
#define EVENT_REASON_SOURCES(X)                                                                    \
    X(NONE, "none")                   /* not at all */                                             \
    X(KERNEL_STACK, "kernel_stack")   /* kernel functions on its stack as it left its CPU */       \
    X(WCHAN, "wchan")                 /* the kernel function it was seen to wait in */             \
    X(SYSCALL, "syscall")             /* the system call it was seen to wait in */                 \
    X(USER_FUNCTION, "user_function") /* a library function on its stack */                        \
    X(EARLIER, "earlier")             /* a guess: another wait of the thread, or of that futex */  \
    X(FUTEX, "futex")                 /* a guess: from a futex's arguments and memory alone */

enum event_reason_source {
#define X(name, text) EVENT_FROM_##name,
    EVENT_REASON_SOURCES(X)
#undef X
        EVENT_N_REASON_SOURCES
};

/* How the stack of a wait was got; the names go into thread_state.stack_from. */
#define EVENT_STACK_SOURCES(X)                                                                     \
    X(NONE, "none")     /* there is none */                                                        \
    X(SWITCH, "switch") /* as the thread left its CPU */                                           \
    X(PARKED, "parked") /* while it waited */                                                      \
    X(LAST_SAMPLE, "last_sample")

enum event_stack_source {
#define X(name, text) EVENT_STACK_##name,
    EVENT_STACK_SOURCES(X)
#undef X
        EVENT_N_STACK_SOURCES
};

/* It is known that a futex was waited for; of what kind is a guess, or not known (the reason is
 * EVENT_REASON_OTHER): a library function on the stack may know better. */
#define EVENT_F_WAIT_IS_VAGUE 0x1u

/* head.ts: when it was told, soon after its end. As EVENT_OPEN_WAIT it follows on the
 * EVENT_THREAD_TIME that says since when the thread is blocked. Addresses as in a sample,
 * n_addresses may be 0. */
struct event_off_cpu {
    struct event_head head;
    int32_t pid;
    int32_t tid;
    int64_t start_ts; /* ns, when the thread left its CPU */
    int64_t dur_ns;
    uint8_t state;       /* enum event_state: RUNNABLE or BLOCKED */
    uint8_t reason;      /* enum event_reason, if blocked */
    uint8_t reason_from; /* enum event_reason_source */
    uint8_t stack_from;  /* enum event_stack_source */
    uint16_t n_kernel;
    uint16_t n_addresses;
    uint8_t stack_end;  /* enum event_stack_end */
    uint8_t is_guessed; /* part of the stack is likely, not certain */
    uint8_t pad[6];
    uint64_t addresses[];
};

/* Intervals that ended in the drain before head.ts. */
struct event_off_cpu_folded {
    struct event_head head;
    int32_t pid;
    int32_t tid;
    uint8_t state;  /* enum event_state: RUNNABLE or BLOCKED */
    uint8_t reason; /* enum event_reason, if blocked */
    uint8_t pad[6];
    uint64_t n_intervals;
    int64_t dur_ns;     /* of all of them */
    int64_t guessed_ns; /* ... of those whose reason is EVENT_FROM_EARLIER */
};

/* Who ends a wait; the names go into thread_state.waker. */
#define EVENT_WAKERS(X)                                                                            \
    X(THREAD, "thread")       /* a thread of the target */                                         \
    X(OUTSIDE, "outside")     /* one of another program */                                         \
    X(INTERRUPT, "interrupt") /* no thread: a timer, a device */

enum event_waker {
#define X(name, text) EVENT_WAKER_##name,
    EVENT_WAKERS(X)
#undef X
        EVENT_N_WAKERS
};

/* A blocked thread became runnable at start_ts + dur_ns of the EVENT_OFF_CPU that follows, of the
 * same thread. The stack is that of the waker, n_addresses may be 0. */
struct event_wakeup {
    struct event_head head;
    int32_t pid; /* that was woken */
    int32_t tid;
    int32_t waker_pid; /* 0: an interrupt, or not known */
    int32_t waker_tid;
    int64_t wake_ts;   /* ns */
    int64_t dur_ns;    /* how long the thread had waited */
    uint8_t waker;     /* enum event_waker */
    uint8_t stack_end; /* enum event_stack_end */
    uint8_t pad[2];
    uint16_t n_kernel;
    uint16_t n_addresses;
    uint64_t addresses[];
};

/* Wakeups that ended waits which are in an EVENT_OFF_CPU_FOLDED, before head.ts. */
struct event_wakeups_folded {
    struct event_head head;
    int32_t pid; /* that was woken */
    int32_t tid;
    int32_t waker_pid;
    int32_t waker_tid;
    uint8_t waker; /* enum event_waker */
    uint8_t pad[7];
    uint64_t n_wakeups;
    int64_t dur_ns; /* of all the waits */
};

/* The ledger of a thread: start_ts to open_ts = on_cpu_ns + runnable_ns + blocked_ns + unknown_ns.
 * runnable_ns and blocked_ns are the sums of all intervals told before, single and folded. */
struct event_thread_time {
    struct event_head head;
    int32_t pid;
    int32_t tid;
    int64_t start_ts; /* ns, from when on the thread's time is accounted for */
    int64_t on_cpu_ns;
    int64_t runnable_ns;
    int64_t blocked_ns;
    int64_t unknown_ns;
    uint64_t n_switches; /* times it left a CPU */
    int64_t open_ts;     /* ns, since when it is in its state; not in the sums */
    uint8_t open_state;  /* enum event_state */
    uint8_t open_reason; /* enum event_reason, if blocked; EVENT_F_WAIT_IS_VAGUE is about it */
    uint8_t is_end;      /* it ended at open_ts: there is no open state */
    uint8_t pad[5];
};

/* What a counter counted in all, also where no sample told of it. */
struct event_counter_total {
    struct event_head head;
    uint32_t slot; /* below EVENT_COUNTERS_MAX */
    uint32_t pad;
    uint64_t n_counted;  /* scaled to enabled_ns */
    uint64_t enabled_ns; /* CPU time of everything that was recorded */
    uint64_t running_ns; /* ... in which it was counted: less when the CPU has too few counters */
};

/* Kinds of loss; the names go into loss.kind. Recorded and then lost (n_lost) are ring_full,
 * queue_full and malformed alone: the others say what was kept in disorder or never recorded. */
#define EVENT_LOSS_KINDS(X)                                                                        \
    X(RING_FULL, "ring_full")       /* the kernel found no room in a ring: n records */            \
    X(QUEUE_FULL, "queue_full")     /* ingest was behind: n samples, mappings or names dropped */  \
    X(THROTTLED, "throttled")       /* the kernel paused sampling: n times */                      \
    X(MALFORMED, "malformed")       /* n records that could not be parsed */                       \
    X(LATE, "late")                 /* n records, kept, that came too late to be put in order */   \
    X(NO_EVENTS, "no_events")       /* n threads on which events could not be opened */            \
    X(NOT_DUMPABLE, "not_dumpable") /* n threads whose events the kernel ended at an exec */       \
    X(STACKS, "stacks")             /* n stacks of waits, or wakeups with stacks, found no room */ \
    X(WAKEUPS, "wakeups")     /* at the end: n wakeups that were counted, but came as no record */ \
    X(UNSAMPLED, "unsampled") /* at the end: n ms of CPU time that no sample stands for */

enum event_loss_kind {
#define X(name, text) EVENT_LOSS_##name,
    EVENT_LOSS_KINDS(X)
#undef X
        EVENT_LOSS_N_KINDS
};

struct event_loss {
    struct event_head head;
    uint32_t cpu; /* UINT32_MAX: not known */
    uint32_t kind;
    uint64_t n;
};

/* Why a run ended; the names go into run.stop_reason ("server_died" is set by the registry). */
#define EVENT_END_REASONS(X)                                                                       \
    X(TARGET_EXITED, "target_exited")                                                              \
    X(STOPPED, "stopped")                                                                          \
    X(TIME_LIMIT, "time_limit")                                                                    \
    X(STORAGE_FULL, "storage_full")                                                                \
    X(CAPTURE_FAILED, "capture_failed")

enum event_end_reason {
#define X(name, text) EVENT_END_##name,
    EVENT_END_REASONS(X)
#undef X
        EVENT_END_N_REASONS
};

struct event_end {
    struct event_head head;
    uint32_t reason;
    uint32_t pad;
};

/* Appends one record to a batch under construction. Text longer than 4095 bytes is cut. */
void event_add_process(struct buf *batch, enum event_type type, int64_t ts, int32_t pid,
                       int32_t parent_pid, const char *name, size_t name_len, const char *cmdline,
                       size_t cmdline_len);
void event_add_thread(struct buf *batch, enum event_type type, int64_t ts, int32_t pid, int32_t tid,
                      const char *name, size_t name_len);
void event_add_mapping(struct buf *batch, const struct event_mapping *body, const char *path,
                       size_t path_len);
/* Returns room for body->n_addresses addresses and body->n_counters deltas, to be filled by the
 * caller at once. */
uint64_t *event_add_sample(struct buf *batch, const struct event_sample *body);
/* The same for the n_addresses of a wait; type: EVENT_OFF_CPU or EVENT_OPEN_WAIT. */
uint64_t *event_add_off_cpu(struct buf *batch, enum event_type type,
                            const struct event_off_cpu *body);
void event_add_off_cpu_folded(struct buf *batch, const struct event_off_cpu_folded *body);
/* The same for the n_addresses of a waker. */
uint64_t *event_add_wakeup(struct buf *batch, const struct event_wakeup *body);
void event_add_wakeups_folded(struct buf *batch, const struct event_wakeups_folded *body);
void event_add_thread_time(struct buf *batch, const struct event_thread_time *body);
void event_add_counter_total(struct buf *batch, const struct event_counter_total *body);
void event_add_loss(struct buf *batch, int64_t ts, uint32_t cpu, enum event_loss_kind kind,
                    uint64_t n);
void event_add_end(struct buf *batch, int64_t ts, enum event_end_reason reason);

/* The record at offset *at of a batch of size bytes, checked (type, size, inner lengths), and *at
 * moved past it. NULL at the end or, with *bad set, at a malformed record. */
const struct event_head *event_next(const void *batch, size_t size, size_t *at, bool *bad);

#endif
