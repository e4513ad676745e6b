/*
 * wanting.h - the threads of which /proc may know why they wait, and in what order it is asked.
 *
 * Asking costs tens of microseconds a thread, and thousands may begin to wait each second: a part
 * of the time is spent on it and no more, on those first that have waited longest. So long waits
 * are looked at, whatever number of short ones there is beside them.
 *
 * For follow*.c only, on its thread; threads are borrowed and taken out before they go.
 */
#ifndef STAX_CAPTURE_WANTING_H
#define STAX_CAPTURE_WANTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target_thread;

struct thread_list {
    struct target_thread **items; /* NULL: it is gone */
    size_t n, cap;
};

/* Returns its place + 1. */
size_t thread_list_add(struct thread_list *list, struct target_thread *t);

struct wanting {
    struct thread_list list;
    struct thread_list due; /* those of them that are to be asked about now, the longest first */
    size_t looked_at;       /* the first that was not considered for it */
    int64_t ts;             /* ns, up to when time was given and spent; 0: not yet */
    int64_t left_ns;        /* may be spent; below 0: too much was */
};

/* Nothing when it is in there already. */
void wanting_add(struct wanting *w, struct target_thread *t);
void wanting_remove(struct wanting *w, struct target_thread *t);

/* Fills due, drops those whom it is no use to ask before their next wait, and gives the time since
 * the last call its part. Returns how many are due. now: CLOCK_MONOTONIC ns. */
size_t wanting_gather(struct wanting *w, int64_t now);
/* Whether there is time for one more; and that it took so many ns of CPU time. On a busy host the
 * time without a CPU is most of what passes, and asking less would not make that less. */
bool wanting_has_time(const struct wanting *w);
void wanting_spend(struct wanting *w, int64_t ns);

void wanting_free(struct wanting *w);

#endif
