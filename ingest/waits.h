/*
 * waits.h - events about off-CPU time to rows and sums. One thread.
 *
 * A blocked interval counts in the call tree at the marker of its reason below its stack; without a
 * stack below the process's name, so that the tree holds all blocked time that has ended.
 */
#ifndef STAX_INGEST_WAITS_H
#define STAX_INGEST_WAITS_H

#include "capture/event.h"
#include "ingest/binaries.h"
#include "ingest/store.h"
#include "ingest/tasks.h"

struct waits {
    struct binaries *binaries; /* all borrowed */
    struct tasks *tasks;
    struct store *store;
    int64_t start_ts; /* of the run */
};

void waits_take(struct waits *w, const struct event_off_cpu *o);
/* The wait that a thread is in, after the waits_take_time() that says so. */
void waits_take_open(struct waits *w, const struct event_off_cpu *o);
void waits_take_folded(struct waits *w, const struct event_off_cpu_folded *o);
/* A wakeup comes before the interval that it ended. */
void waits_take_wakeup(struct waits *w, const struct event_wakeup *o);
void waits_take_wakeups_folded(struct waits *w, const struct event_wakeups_folded *o);
void waits_take_time(struct waits *w, const struct event_thread_time *t);

/* The marker symbol's name, such as "[lock]". */
const char *waits_marker_name(enum event_reason reason);

#endif
