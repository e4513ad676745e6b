/*
 * recording.h - the one active run: capture, the queue behind it, and ingest.
 *
 * recording_open() arms the target and makes the run file; recording_start() lets both threads run.
 * stop, pause and stats may be called from any thread while it is open.
 */
#ifndef STAX_SERVER_RECORDING_H
#define STAX_SERVER_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "capture/capture.h"
#include "ingest/ingest.h"

struct recording_options {
    int64_t id;
    const char *path;                   /* of the run file; must not exist */
    int64_t max_bytes;                  /* bound for that file */
    struct debuginfod_servers *servers; /* borrowed */
    const char *command;                /* for people; "" if not known: read from the target */
    struct capture_options capture;
    /* As in ingest.h: called on the ingest thread after each commit. */
    void (*committed)(void *ctx, bool is_end);
    void *ctx;
};

struct recording_stats {
    struct capture_stats capture;
    struct ingest_stats ingest;
    uint64_t queue_bytes, queue_peak_bytes, queue_max_bytes;
};

struct recording;

/* Errors of capture_open() and ingest_open(); nothing is left behind. */
int recording_open(struct recording **out, const struct recording_options *options, struct err *e);
int recording_start(struct recording *r, struct err *e);
void recording_stop(struct recording *r, enum event_end_reason reason);
void recording_set_paused(struct recording *r, bool is_paused);
/* Has ingest look for names once more. */
void recording_rename(struct recording *r);
bool recording_is_paused(struct recording *r);
void recording_stats(struct recording *r, struct recording_stats *stats);
/* Why storage ended it early; code 0: it did not. After the end. */
struct err recording_failure(const struct recording *r);
/* [{"name","is_available","reason","unlock"}], new reference. */
json_t *recording_abilities(const struct recording *r);
int64_t recording_start_ts(const struct recording *r);
/* Ends capture, waits until everything is written, closes. NULL is accepted. */
void recording_close(struct recording *r);

#endif
