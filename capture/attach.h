/*
 * attach.h - opens events on every thread of a target while it goes on creating threads.
 *
 * Threads are listed and armed in passes until a pass finds none that could have been created
 * before its maker was armed. A thread that inherited events and got its own as well is no harm:
 * follow.h counts one source. Called once, by the thread that opens the run.
 */
#ifndef STAX_CAPTURE_ATTACH_H
#define STAX_CAPTURE_ATTACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
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
};

/* Arms the target and tells follow of it. Errors as capture_open(). */
int attach_all(const struct attach *a, struct err *e);
/* The same for a held child that has not executed its command yet. */
int attach_held(const struct attach *a, struct err *e);

#endif
