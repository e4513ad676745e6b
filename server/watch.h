/*
 * watch.h - the thread that waits on behalf of clients: long polls and subscriptions.
 *
 * After each commit it looks at what they wait for, one after the other, with readers of its own,
 * so any number of waiting clients holds up no worker. SQL conditions are checked elsewhere
 * (condition.h). A subscription is answered at most four
 * times a second, only when its data changed, and not while its last update is still unsent.
 */
#ifndef STAX_SERVER_WATCH_H
#define STAX_SERVER_WATCH_H

#include <stdint.h>

#include "server/server.h"

enum wait_kind {
    WAIT_STOPPED, /* until the run is not active any more */
    WAIT_SAMPLES, /* ... or has number samples */
    WAIT_ELAPSED, /* ... or has run for number ns */
    WAIT_SYMBOL,  /* ... or a function whose name contains text was sampled */
    WAIT_SQL,     /* ... or the first value of the query text is true */
    WAIT_STOP,    /* as WAIT_STOPPED, and the answer is the run's summary */
};

struct wait {
    enum wait_kind kind;
    int64_t run;
    int64_t number;
    const char *text;    /* borrowed from the call's parameters */
    int64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
};

struct watch *watch_new(struct server *s);
/* Joins the thread and answers what still waits: the runs are over, or the server is. */
void watch_stop(struct watch *w);
/* watch_stop(), then frees. NULL is accepted. */
void watch_free(struct watch *w);

/* Something changed: data was committed, a run began or ended. Any thread, quick. */
void watch_notify(struct watch *w);

/* Runs were removed or replaced: lets go of them. Any thread, quick. */
void watch_refresh(struct watch *w);

/* Takes the call and answers it when the wait is over. */
void watch_wait(struct watch *w, struct call *c, const struct wait *wait);

/* Makes a subscription of the call's connection to a view; returns its number (> 0), or 0 when the
 * connection has too many. Pushing begins with watch_sent(). parameters is borrowed. */
int64_t watch_subscribe(struct watch *w, const struct call *c, const struct method *view,
                        const json_t *parameters);
/* False: the connection has no such subscription. */
bool watch_unsubscribe(struct watch *w, uint64_t conn, int64_t subscription);
/* The connection is ready for an update of a subscription: the last one has left. */
void watch_sent(struct watch *w, int64_t subscription);
/* The connection is gone. */
void watch_forget(struct watch *w, uint64_t conn);

#endif
