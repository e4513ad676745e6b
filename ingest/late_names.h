/*
 * late_names.h - brings what naming found into the run: better symbols, lines, inlined functions.
 *
 * Symbols are renamed and lines added while the run is recorded. What changes the shape of the call
 * tree (inlined functions, and addresses that turn out to belong to another function) waits for the
 * end of the run, when the tree is made anew (ingest_rebuild_names()). The ingest thread.
 */
#ifndef STAX_INGEST_LATE_NAMES_H
#define STAX_INGEST_LATE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "ingest/binaries.h"
#include "ingest/line_tables.h"
#include "ingest/store.h"

struct late_names {
    struct naming *naming; /* owned; NULL: nothing is looked for */
    struct binaries *binaries;
    struct store *store;
    struct line_tables tables;
    size_t n_asked;    /* frames up to this id were asked for */
    bool has_new_tree; /* the call tree would be another one */
};

void late_names_init(struct late_names *l, struct binaries *b, struct store *s);
void late_names_fini(struct late_names *l);

/* Before a commit: takes what was found and asks for frames that are new. True: there is something
 * to commit. */
bool late_names_step(struct late_names *l);
/* Everything is to be looked for once more. */
void late_names_retry(struct late_names *l);
/* At the end: waits up to timeout_ms (with_downloads: also for servers), takes everything, and
 * gives frames the symbols they would get now. Commit afterwards; if has_new_tree, rebuild then. */
void late_names_finish(struct late_names *l, int timeout_ms, bool with_downloads);

#endif
