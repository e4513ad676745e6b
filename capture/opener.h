/*
 * opener.h - opens perf events on a thread: by itself, or where the host refuses that, by staxd.
 *
 * What is opened is the same either way: kinds, flags and attributes are those of the broker's
 * protocol. A broker that fails (gone, slow, of another version, not a broker at all) is not asked
 * again; what it said last is kept for the answer to "why not". One thread at a time.
 */
#ifndef STAX_CAPTURE_OPENER_H
#define STAX_CAPTURE_OPENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "capture/broker.h"
#include "capture/counter_event.h"
#include "capture/proc.h"

struct opener {
    const char *path;     /* the broker's socket, "" or NULL: none is asked; borrowed */
    struct broker broker; /* connected when it is needed first */
    bool is_tried;        /* broker_open() was called */
    bool is_off;          /* the broker failed */
    uint32_t refused;     /* kinds of events that only the broker may open, as bits */
    pid_t pid;            /* the process that pidfd names, 0: none */
    int pidfd;
    int64_t waited_ns; /* for the broker's answers */
    uint64_t n_asked;  /* requests to the broker */
    uint64_t n_granted;
    struct err refusal; /* why the broker did not open the last event it was asked for; code 0: it
                           did, or was never asked */
};

struct opener_want {
    struct broker_want event;            /* with pid and tid; CPUs and counters are filled in */
    const struct counter_list *counters; /* of the group, NULL: none. The broker opens no groups
                                            with counters that its protocol does not name */
    uint32_t wakeup_bytes; /* for the owner of a ring: its reader is woken when so much waits, at
                              half of the ring when the broker opens it; else 0 */
    bool is_own;           /* by ourselves alone: no broker opens it */
};

void opener_init(struct opener *o, const char *path);

/* Opens the events on all these CPUs: fds has room for cpus->n * (1 + counters->n), those of a CPU
 * together, the leader first, -1 where a CPU is offline. 0, or -errno with nothing open; -EACCES
 * or -EPERM: the host forbids it, and the broker did not help (o->refusal). Where no broker
 * answers it is what the kernel said to us, such as -ENOENT without tracefs. */
int opener_open(struct opener *o, const struct opener_want *want, const struct pid_list *cpus,
                int *fds);

/* The broker is not asked any more: it answers too slowly for what there is to open. */
void opener_give_up(struct opener *o);

/* Opens events on whole CPUs instead of a thread; want->event has no thread. By ourselves alone: 0,
 * or -errno with nothing open. fds as above. */
int opener_open_everywhere(const struct opener_want *want, const struct pid_list *cpus, int *fds);

/* The kernel's symbols with their addresses, wherever from: a descriptor of /proc/kallsyms that is
 * the caller's, or -errno (-EACCES: addresses are hidden). */
int opener_kallsyms(struct opener *o);

/* Reads a file of a tracepoint of the scheduler ("id", "format"). 0, or -errno: tracefs belongs to
 * root, and may not be mounted (-ENOENT). */
int opener_read_tracepoint(const char *name, const char *file, size_t max, struct buf *text);

/* Disconnects; events that were opened stay. A zeroed struct is accepted. */
void opener_close(struct opener *o);

#endif
