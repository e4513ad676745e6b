/*
 * policy.h - what staxd grants, and to whom. The whole of its judgement is here.
 *
 * Pure functions of their arguments: no file is read and nothing is opened, so that every refusal
 * has a test. Allocates nothing; any thread. Each check returns BROKER_GRANTED or the reason.
 */
#ifndef STAX_CAPTURE_STAXD_POLICY_H
#define STAX_CAPTURE_STAXD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/staxd/protocol.h"

enum {
    POLICY_CLOCK_PERIOD_MIN_NS = 10000, /* 100 kHz: the kernel's own floor for this clock */
    POLICY_STACK_BYTES_MAX = 65528,     /* the kernel's limit */
};
#define POLICY_CLOCK_PERIOD_MAX_NS UINT64_C(60000000000)
#define POLICY_PERIOD_MAX          UINT64_C(0xffffffff)

/* Who asks: SO_PEERCRED, fixed by the kernel when the connection was made. */
struct policy_caller {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* for messages only: it may be another process by now */
};

/* Who is asked about: one thread, as the kernel describes it (identity.h). */
struct policy_target {
    pid_t tid, tgid;
    uid_t uid[4]; /* real, effective, saved, of file access */
    gid_t gid[4];
    uint64_t capabilities; /* permitted */
    uid_t owner_uid;       /* of its files in /proc: root's when it is not dumpable */
    gid_t owner_gid;
    bool is_ending;      /* it has given up its memory; such a one's files in /proc are root's */
    bool is_host_userns; /* its user ids mean what they mean to the host */
};

/* The request as it came: n_bytes (larger than a request when cut short by the buffer) and n_fds
 * descriptors beside it. Past this check every field is within its bounds. */
enum broker_status policy_check_request(const struct broker_request *request, size_t n_bytes,
                                        size_t n_fds);

/* May this caller have events on this thread of process pid? The rule is the kernel's own for a
 * process that profiles another (ptrace(2), "Ptrace access mode checking", PTRACE_MODE_READ),
 * except that targets in other user namespaces and with capabilities are root's only. */
enum broker_status policy_check_target(const struct policy_caller *caller, pid_t pid,
                                       const struct policy_target *target);

struct perf_event_attr;

/* The event that a checked request asks for: member 0 is the one of its kind, 1 and up are its
 * counters. tracepoint is the id of the kind's tracepoint, not used for others. Everything in *attr
 * is set here; nothing is copied from the caller but numbers that were checked. */
void policy_build_attr(const struct broker_request *request, unsigned member, uint64_t tracepoint,
                       struct perf_event_attr *attr);

/* "sched_waking" for a kind that is a tracepoint, else NULL. */
const char *policy_tracepoint(uint32_t kind);

/* The registers that come with a stack copy (sample_regs_user), 0 where copies are not granted. */
uint64_t policy_registers(void);

/* What a status means, for people. */
const char *policy_status_text(uint32_t status);

#endif
