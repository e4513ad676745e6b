/*
 * late.h - inside of the registry: completes names and line tables of stopped runs, one at a time,
 * while nothing is recorded.
 *
 * A thread at nice 19 does it, newest run first. It gives way to recordings, to callers that want
 * to write names themselves, to removals, and to the server's end; what was interrupted stays
 * pending and is begun anew. Functions ending in _locked want the registry's lock.
 */
#ifndef STAX_SERVER_LATE_H
#define STAX_SERVER_LATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/runs.h"

struct debuginfod_servers;
struct jobs;

struct late {
    struct jobs *jobs;                  /* one thread; NULL until late_begin() */
    pthread_mutex_t *lock;              /* the registry's, borrowed; of all that follows */
    pthread_cond_t has_stopped;         /* run became 0 */
    struct runs *runs;                  /* borrowed */
    struct debuginfod_servers *servers; /* borrowed */
    int64_t max_run_bytes;              /* bound of one run's file */
    int dir_fd;                         /* of the data directory, borrowed */
    int64_t run;                        /* that is being completed; 0: none */
    unsigned n_holds;                   /* while there are any nothing is begun or gone on with */
    bool is_taken;                      /* by the one caller of late_take() */
    void (*changed)(void *ctx);         /* after each run, without the lock */
    void *ctx;
};

/* The borrowed members and the callback are set; the others are zero. */
void late_init(struct late *l);
void late_begin(struct late *l);
/* Joins the thread. Nothing holds it up: late_hold_locked() first. */
void late_fini(struct late *l);

/* Interrupts, and keeps it from beginning until late_release_locked(). Waits for nothing. */
void late_hold_locked(struct late *l);
void late_release_locked(struct late *l);
/* After late_hold_locked(): waits until nothing is under way, some seconds at most. */
bool late_wait_locked(struct late *l);
/* A run has become one to complete. */
void late_look(struct late *l);

#endif
