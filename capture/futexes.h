/*
 * futexes.h - what the memory around futexes has said, by their addresses and by their arguments.
 *
 * The memory of a target is read for a wait that lasts, not at a switch. What it said then holds
 * for the next wait for that futex (a condition variable, say, whose arguments are those of a
 * semaphore), and is the best guess for one at another address with the same arguments. A table of
 * fixed size, where one futex takes the place of another; memory may be used anew, so nothing of it
 * is certain. Zeroed it is empty. One thread.
 */
#ifndef STAX_CAPTURE_FUTEXES_H
#define STAX_CAPTURE_FUTEXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/event.h"

enum { FUTEXES = 1024 };

/* A wait for a futex: a process, and arguments of its call. */
struct futex_wait {
    uint64_t address;
    int32_t pid;
    uint32_t operation, value;
};

struct futexes {
    struct futex_known {
        struct futex_wait wait;
        uint32_t value; /* that was waited for last */
        bool is_known;
        bool is_count;  /* by address: it was waited for with several values */
        uint8_t reason; /* enum event_reason */
    } known[FUTEXES];
};

void futexes_note(struct futexes *f, const struct futex_wait *wait, enum event_reason reason);
/* Whether that futex has been waited for with another value, as with a count of events, and not
 * with a lock whose waiters all wait for one state. */
bool futexes_is_count(const struct futexes *f, const struct futex_wait *wait);
/* A process has another program now: what its futexes were is no longer so. */
void futexes_forget(struct futexes *f, int32_t pid);
/* What was noted of that futex, else (*is_other) of the last one with the same operation and value;
 * false: nothing. */
bool futexes_find(const struct futexes *f, const struct futex_wait *wait, enum event_reason *reason,
                  bool *is_other);

#endif
