/*
 * attach.h - opens events on every thread of a target while it goes on creating threads.
 *
 * Threads are listed and armed in passes until a pass finds none that could have been created
 * before its maker was armed. A thread that inherited events and got its own as well does no harm
 * to the account (follow.h counts one source), but it hands both on: so the records of forks, which
 * come in meanwhile, say who needs none. Called once, by the thread that opens the run.
 */
#ifndef STAX_CAPTURE_ATTACH_H
#define STAX_CAPTURE_ATTACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/map.h"
#include "capture/events.h"
#include "capture/follow.h"

struct attach {
    pid_t pid;
    bool with_children;
    struct events *events;
    struct follow *follow;
    int64_t ts; /* ns, of the events told about what was found */
    /* Called now and then, so that rings do not fill up while thousands of threads are armed. */
    void (*drain)(void *ctx);
    void *ctx;
    struct map armed; /* tid -> when it had all of its events, us after ts; see attach_see() */
};

/* Arms the target and tells follow of it. Errors as capture_open(). */
int attach_all(struct attach *a, struct err *e);
/* The same for a held child that has not executed its command yet. */
int attach_held(struct attach *a, struct err *e);
/* To be called with each record that drain() finds. */
void attach_see(struct attach *a, const struct record *r);
void attach_free(struct attach *a);

#endif
