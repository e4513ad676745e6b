/*
 * protocol.h - what staxd and its callers say to each other.
 *
 * A SOCK_SEQPACKET socket carries messages of fixed size in native byte order: the two ends are on
 * one machine. The broker speaks first: a struct broker_answer with serial 0 that says its version
 * and whether the connection is admitted (GRANTED, else BUSY and the end). Each struct
 * broker_request after that is answered by exactly one struct broker_answer. Integers only, so a
 * copy is all there is to parsing. Descriptors travel beside the messages (SCM_RIGHTS): one pidfd
 * with a request for events, the opened events with its answer; nothing may be sent before the
 * greeting was read (since Linux 6.16 the kernel then refuses descriptors with EPERM). The header
 * is shared by the broker (libc only) and capture/broker.c.
 */
#ifndef STAX_CAPTURE_STAXD_PROTOCOL_H
#define STAX_CAPTURE_STAXD_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define BROKER_SOCKET "/run/staxd.sock"

enum {
    BROKER_MAGIC = 0x44585453, /* "STXD" */
    BROKER_VERSION = 2,
    BROKER_FDS_MAX = 253, /* SCM_MAX_FD: what the kernel lets one message carry */
    BROKER_CPUS_LIMIT = 8192,
    BROKER_COUNTERS_MAX = 4,
    BROKER_OPENED_WORDS = 4, /* 64-bit words that hold BROKER_FDS_MAX bits */
};

enum broker_op {
    BROKER_EVENTS = 1,   /* events of one thread on a range of CPUs; comes with a pidfd */
    BROKER_KALLSYMS = 2, /* /proc/kallsyms as root sees it; all other fields are 0 */
};

/* What an event counts. All are bound to
 * one thread (and what it creates), never to a CPU alone. Every record carries IDENTIFIER | IP |
 * TID | TIME | CPU | PERIOD, all times CLOCK_MONOTONIC. */
enum broker_kind {
    BROKER_CPU_CLOCK = 1, /* sampling by CPU time; period in ns; may lead a group of counters */
    BROKER_DUMMY,         /* counts nothing: for the records that flags ask for; period 0 */
    BROKER_SWITCH_OUT,    /* software context-switches: the stack of a switch; period in switches */
    BROKER_SCHED_WAKING, /* tracepoint sched:sched_waking, with PERF_SAMPLE_RAW; period in events */
    BROKER_SCHED_SWITCH, /* tracepoint sched:sched_switch, likewise */
};

enum broker_flag {
    BROKER_KERNEL = 1u << 0,           /* the kernel's part too, in counts and stacks */
    BROKER_CALLCHAIN = 1u << 1,        /* PERF_SAMPLE_CALLCHAIN */
    BROKER_INHERIT = 1u << 2,          /* threads and processes made from now on */
    BROKER_INHERIT_THREAD = 1u << 3,   /* with INHERIT: threads only (Linux 5.13) */
    BROKER_DISABLED = 1u << 4,         /* starts by PERF_EVENT_IOC_ENABLE */
    BROKER_ON_EXEC = 1u << 5,          /* starts with the next exec */
    BROKER_SIDEBAND = 1u << 6,         /* mmap, mmap2, comm, comm_exec and task records */
    BROKER_SWITCH_RECORDS = 1u << 7,   /* PERF_RECORD_SWITCH */
    BROKER_COUNT_LOST = 1u << 8,       /* PERF_FORMAT_LOST (Linux 6.0) */
    BROKER_NO_KERNEL_STACKS = 1u << 9, /* the user's part of callchains only */
    BROKER_FLAGS_ALL = (1u << 10) - 1,
};

/* Events that can follow a cpu-clock event in its group. Values are wire values: append only.
 * X(name, perf type, perf config) */
#define BROKER_CACHE(cache, op, result)                                                            \
    (PERF_COUNT_HW_CACHE_##cache | PERF_COUNT_HW_CACHE_OP_##op << 8 |                              \
     PERF_COUNT_HW_CACHE_RESULT_##result << 16)
#define BROKER_COUNTERS(X)                                                                         \
    X(CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES)                                        \
    X(INSTRUCTIONS, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS)                                \
    X(CACHE_REFERENCES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES)                        \
    X(CACHE_MISSES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES)                                \
    X(BRANCHES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS)                             \
    X(BRANCH_MISSES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES)                              \
    X(BUS_CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BUS_CYCLES)                                    \
    X(STALLED_FRONTEND, PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_FRONTEND)                 \
    X(STALLED_BACKEND, PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_BACKEND)                   \
    X(REF_CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES)                                \
    X(L1D_LOADS, PERF_TYPE_HW_CACHE, BROKER_CACHE(L1D, READ, ACCESS))                              \
    X(L1D_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(L1D, READ, MISS))                          \
    X(L1D_STORES, PERF_TYPE_HW_CACHE, BROKER_CACHE(L1D, WRITE, ACCESS))                            \
    X(L1I_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(L1I, READ, MISS))                          \
    X(LLC_LOADS, PERF_TYPE_HW_CACHE, BROKER_CACHE(LL, READ, ACCESS))                               \
    X(LLC_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(LL, READ, MISS))                           \
    X(LLC_STORES, PERF_TYPE_HW_CACHE, BROKER_CACHE(LL, WRITE, ACCESS))                             \
    X(LLC_STORE_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(LL, WRITE, MISS))                         \
    X(DTLB_LOADS, PERF_TYPE_HW_CACHE, BROKER_CACHE(DTLB, READ, ACCESS))                            \
    X(DTLB_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(DTLB, READ, MISS))                        \
    X(DTLB_STORE_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(DTLB, WRITE, MISS))                      \
    X(ITLB_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(ITLB, READ, MISS))                        \
    X(NODE_LOADS, PERF_TYPE_HW_CACHE, BROKER_CACHE(NODE, READ, ACCESS))                            \
    X(NODE_LOAD_MISSES, PERF_TYPE_HW_CACHE, BROKER_CACHE(NODE, READ, MISS))                        \
    X(TASK_CLOCK, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK)                                    \
    X(PAGE_FAULTS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS)                                  \
    X(MINOR_FAULTS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN)                             \
    X(MAJOR_FAULTS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MAJ)                             \
    X(CONTEXT_SWITCHES, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES)                        \
    X(CPU_MIGRATIONS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS)                            \
    X(ALIGNMENT_FAULTS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_ALIGNMENT_FAULTS)                        \
    X(EMULATION_FAULTS, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_EMULATION_FAULTS)

enum broker_counter {
    BROKER_NO_COUNTER,
#define X(name, type, config) BROKER_##name,
    BROKER_COUNTERS(X)
#undef X
        BROKER_COUNTERS_END,
};

/* Why a request was refused. X(name, text); wire values: append only. */
#define BROKER_STATUSES(X)                                                                         \
    X(GRANTED, "granted")                                                                          \
    X(BAD_VERSION, "another version of the protocol")                                              \
    X(BAD_MESSAGE, "not a request: wrong size or no magic number")                                 \
    X(BAD_FIELD, "a field, flag or kind that this version does not know")                          \
    X(BAD_BOUNDS, "a value out of bounds")                                                         \
    X(BAD_DESCRIPTOR, "not exactly one pidfd of a process")                                        \
    X(GONE, "the target or thread has ended")                                                      \
    X(OTHER_NAMESPACE, "the caller sees the target under another pid than the host does")          \
    X(NOT_A_THREAD, "the thread is not one of the target's")                                       \
    X(OTHER_USER, "the target's user or group ids are not all the caller's")                       \
    X(NOT_DUMPABLE, "the target is not dumpable: setuid, unreadable, or hidden by itself")         \
    X(OTHER_USERNS, "the target lives in a user namespace of its own")                             \
    X(HAS_CAPABILITIES, "the target has capabilities")                                             \
    X(NO_TRACEFS, "tracefs is not mounted, or does not have the tracepoint")                       \
    X(CANNOT_OPEN, "the kernel refused")                                                           \
    X(BUSY, "too many connections of this user")

enum broker_status {
#define X(name, text) BROKER_##name,
    BROKER_STATUSES(X)
#undef X
        BROKER_STATUS_END,
};

struct broker_request {
    uint32_t magic;       /* BROKER_MAGIC */
    uint16_t version;     /* BROKER_VERSION; magic, version and size stay where they are for ever */
    uint16_t size;        /* of this struct */
    uint32_t serial;      /* comes back in the answer */
    uint32_t op;          /* enum broker_op */
    uint32_t kind;        /* enum broker_kind */
    uint32_t flags;       /* enum broker_flag; only those that have a meaning for the kind */
    int32_t pid;          /* the pidfd's process as the caller sees it: a cross-check */
    int32_t tid;          /* a thread of it */
    uint32_t cpu;         /* first CPU */
    uint32_t n_cpus;      /* CPUs from there; n_cpus * (1 + n_counters) <= BROKER_FDS_MAX */
    uint64_t period;      /* see enum broker_kind */
    uint32_t stack_bytes; /* PERF_SAMPLE_STACK_USER of so many bytes (a multiple of 8) with all
                             general registers in PERF_SAMPLE_REGS_USER; 0: neither */
    uint32_t n_counters;  /* cpu-clock only: the samples carry PERF_SAMPLE_READ with
                             PERF_FORMAT_GROUP | TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING (and
                             LOST with BROKER_COUNT_LOST) */
    uint16_t counters[BROKER_COUNTERS_MAX]; /* enum broker_counter; the rest 0 */
    uint64_t reserved[2];                   /* 0 */
};

struct broker_answer {
    uint32_t magic;    /* BROKER_MAGIC */
    uint16_t version;  /* the broker's */
    uint16_t size;     /* of this struct */
    uint32_t serial;   /* of the request; 0 for the greeting and for what could not be read */
    uint32_t status;   /* enum broker_status; anything but GRANTED comes without descriptors */
    int32_t os_errno;  /* with CANNOT_OPEN, else 0 */
    uint32_t n_fds;    /* descriptors that came along */
    uint32_t n_groups; /* CPUs that were opened; n_fds / n_groups events each, the leader first */
    uint32_t reserved; /* 0 */
    uint64_t opened[BROKER_OPENED_WORDS]; /* bit n: CPU cpu + n was opened; others are offline */
};

_Static_assert(sizeof(struct broker_request) == 80, "the wire format of version 2");
_Static_assert(sizeof(struct broker_answer) == 64, "the wire format of version 2");
_Static_assert(BROKER_FDS_MAX <= BROKER_OPENED_WORDS * 64, "a bit for every CPU");

#endif
