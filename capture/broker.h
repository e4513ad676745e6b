/*
 * broker.h - the caller's side of staxd: asks for perf events that this user may not open itself.
 *
 * One request at a time, answered within a time limit; one thread per struct broker. What comes
 * back is checked like any foreign input: a broker that is gone, slow, of another version or not a
 * broker at all is an error, never a wait or a stray descriptor. A connection that the broker
 * closed meanwhile (it does so after seconds without a request) is made again by itself. Of the
 * wire format (capture/staxd/protocol.h) callers need the enums only: kinds, flags, counters.
 */
#ifndef STAX_CAPTURE_BROKER_H
#define STAX_CAPTURE_BROKER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "capture/staxd/protocol.h"

enum { BROKER_TIMEOUT_MS = 2000 };

struct broker {
    int fd;          /* -1: not connected */
    int timeout_ms;  /* of each request, from asking to the whole answer */
    uint32_t serial; /* of the last request */
    char path[108];
};

/* One event (or one group: a cpu-clock event and counters) of one thread, on a range of CPUs. */
struct broker_want {
    enum broker_kind kind;
    uint32_t flags; /* enum broker_flag */
    pid_t pid;      /* the pidfd's process */
    pid_t tid;
    int cpu;              /* first CPU */
    size_t n_cpus;        /* from there on, any number */
    uint64_t period;      /* ns for BROKER_CPU_CLOCK, 0 for BROKER_DUMMY, else events */
    uint32_t stack_bytes; /* registers and so much of the user stack with each sample; 0: neither */
    size_t n_counters;    /* up to BROKER_COUNTERS_MAX, BROKER_CPU_CLOCK only */
    enum broker_counter counters[BROKER_COUNTERS_MAX];
};

/* The request that asks for it, on all its CPUs; n_counters within bounds. What the broker opens is
 * policy_build_attr() of this (capture/staxd/policy.h). */
void broker_request_of(const struct broker_want *want, struct broker_request *request);

/* Connects to the broker at path (BROKER_SOCKET). Errors: STAX_EUNREACHABLE (none there),
 * STAX_EPERMISSION (the socket is not for this user, or its owner is neither root nor we),
 * STAX_EBUSY (this user's connections are used up), STAX_EVERSION, STAX_ECORRUPT, STAX_EUSAGE (path
 * too long), STAX_ETIMEOUT. broker_close() in either case. */
int broker_open(struct broker *b, const char *path, struct err *e);

/* Opens the events of a thread. fds has room for n_cpus * (1 + n_counters): the events of CPU
 * cpu + n begin at fds[n * (1 + n_counters)], the leader first; -1 where a CPU is offline. They are
 * the caller's, O_CLOEXEC, and none is left open after an error. pidfd is borrowed.
 * Errors: STAX_ENOTFOUND (the target or thread is gone), STAX_EPERMISSION (refused by the policy,
 * the message says why), STAX_ELIMIT (descriptors), STAX_ECORRUPT (not a valid answer),
 * STAX_ETIMEOUT, STAX_EUNREACHABLE (it went away), those of broker_open(), STAX_ESYSTEM with the
 * kernel's errno in e->os_errno (EINVAL: this kernel does not know the combination; ENOENT,
 * EOPNOTSUPP: no such counter here). */
int broker_events(struct broker *b, int pidfd, const struct broker_want *want, int *fds,
                  struct err *e);

/* /proc/kallsyms opened by the broker, so that addresses can be read (unless kptr_restrict is 2).
 * The descriptor, which is the caller's, or an error as above. */
int broker_kallsyms(struct broker *b, struct err *e);

/* Disconnects. Zeroed structs (with fd -1) and NULL are accepted. */
void broker_close(struct broker *b);

#endif
