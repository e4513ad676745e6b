/*
 * symbolize.h - names a stopped run once more, with what this machine has now; and completes one.
 *
 * The mapped files are looked for under their paths and taken when they are of the same build;
 * where one is gone, its debug file by build id does. What was recorded does not change: symbols,
 * frames' symbols and lines do, and the summaries follow (ingest_rebuild_names()). Any thread.
 */
#ifndef STAX_INGEST_SYMBOLIZE_H
#define STAX_INGEST_SYMBOLIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/debuginfod.h"

struct symbolize_stats {
    int64_t n_binaries;      /* files with frames */
    int64_t n_missing;       /* ... of which nothing of the same build is here */
    int64_t n_symbols_named; /* symbols that were named by what is here now */
    int64_t n_frames;        /* frames that turned out to belong to another function */
    int64_t n_lines;         /* rows of frame_line written */
    int64_t n_code;          /* functions whose machine code was added */
    bool is_complete;        /* false: time was over before everything was looked at */
};

struct symbolize_options {
    int timeout_ms;                     /* how long to wait for all of it */
    int servers_ms;                     /* ... when only servers are waited for; 0: as long */
    struct debuginfod_servers *servers; /* to ask, borrowed; NULL: none */
    debuginfod_goes_on *goes_on;        /* false: STAX_ECANCELLED, and nothing is changed */
    void *ctx;
    /* For archives, which travel without files: the code of functions that got names, and the
     * source of the lines that were found now, are stored where the files are here. */
    bool with_code;
};

/* path: a stopped run file of ours that nobody else writes. Errors: STAX_ECORRUPT, STAX_EFULL,
 * STAX_EUSAGE (it is being recorded), STAX_ECANCELLED. */
int ingest_symbolize(const char *path, const struct symbolize_options *options,
                     struct symbolize_stats *stats, struct err *e);

/* Does what the end of a run had no time for, and no more: names that were still being looked for
 * (as above), else line tables that are missing. *is_complete: nothing is left to look at; false
 * also when goes_on() ended it. Errors as above. */
int ingest_complete(const char *path, const struct symbolize_options *options, bool *is_complete,
                    struct err *e);

#endif
