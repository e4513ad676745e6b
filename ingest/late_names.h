/*
 * late_names.h - brings what naming found into the run: better symbols, lines, inlined functions.
 *
 * Symbols are renamed and lines added as they come. What changes the shape of the call tree
 * (inlined functions, and addresses that turn out to belong to another function) waits for the next
 * relayout (intern.h), which is made when enough of the run is concerned, and once at the end. The
 * ingest thread.
 */
#ifndef STAX_INGEST_LATE_NAMES_H
#define STAX_INGEST_LATE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "ingest/binaries.h"
#include "ingest/debuginfod.h"
#include "ingest/line_tables.h"
#include "ingest/store.h"

struct late_names {
    struct naming *naming; /* owned; NULL: nothing is looked for */
    struct binaries *binaries;
    struct store *store;
    struct line_tables tables;
    size_t n_asked;                /* frames up to this id were asked for */
    struct naming_result *current; /* taken in part: */
    size_t n_rows_taken, n_tables_taken;
    struct line_row *waiting; /* lines of stale frames */
    size_t n_waiting, cap_waiting;
    bool has_renames; /* since samples without names were counted */
    bool is_left_out; /* names came that the call tree could not follow */
    bool is_cut_off;  /* names were still being looked for at the end */
    bool is_end_only; /* no relayout before the end: snapshots are needed by dropped rows soon */
    int64_t last_share_ns, last_relayout_ns, relayout_took_ns; /* CLOCK_MONOTONIC */
};

/* with_naming: something is looked for, too. servers: of debuginfod; NULL: none is asked. */
void late_names_init(struct late_names *l, struct binaries *b, struct store *s, bool with_naming,
                     struct debuginfod_servers *servers);
void late_names_fini(struct late_names *l);

/* Before a commit: takes some of what was found, asks for frames that are new, and makes a relayout
 * if one is due; one that would hold up the queue is left to the end. True: there is something to
 * commit. */
bool late_names_step(struct late_names *l);
/* A relayout, if any frame is stale. */
bool late_names_relayout(struct late_names *l);
/* Everything is to be looked for once more. */
void late_names_retry(struct late_names *l);
/* At the end: takes what is there, for up to timeout_ms what is still under way (with_downloads:
 * also from servers), and makes a last relayout. Commit afterwards. */
void late_names_finish(struct late_names *l, int timeout_ms, bool with_downloads);
/* Takes rows of a result from number first on, those of at most max frames or so; returns how far
 * it came. For tests beside late_names_step(). */
size_t late_names_take_rows(struct late_names *l, const struct naming_result *r, size_t first,
                            size_t max);

#endif
