/*
 * ingest_internal.h - what ingest.c holds, for it and for tests that play the part of what brings
 * names. The ingest thread, stats aside.
 */
#ifndef STAX_INGEST_INGEST_INTERNAL_H
#define STAX_INGEST_INGEST_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "capture/event.h"
#include "ingest/binaries.h"
#include "ingest/ingest.h"
#include "ingest/intern.h"
#include "ingest/jit.h"
#include "ingest/late_names.h"
#include "ingest/store.h"
#include "ingest/tasks.h"
#include "ingest/waits.h"

struct ingest {
    struct intern intern;
    struct binaries binaries;
    struct tasks tasks;
    struct store store;
    struct waits waits;
    struct late_names late_names;
    struct jit jit;
    atomic_bool is_renaming; /* names shall be looked for once more */
    char *path, *reserve_path;
    int64_t start_ts, last_ts, max_bytes, max_folded;
    uint64_t n_commits;
    bool has_data;   /* something to commit */
    bool has_failed; /* storage gave up: events are ignored */
    bool has_ended;
    struct err failure;    /* what storage said when it gave up */
    int64_t lock_ns;       /* CLOCK_MONOTONIC, since when somebody else holds the lock; 0: nobody */
    int64_t lock_asked_ns; /* ... when it was asked for last */
    bool is_lock_said;
    int64_t patience_ns;    /* ... until when the end of the run waits for it; 0: it does not yet */
    const char *end_reason; /* set by EVENT_END */
    int64_t end_ts;
    void (*committed)(void *ctx, bool is_end);
    void *ctx;
    struct queue *queue;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t stats_lock;
    struct ingest_stats stats;
};

#endif
