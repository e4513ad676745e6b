/*
 * readers.h - the open runs of one thread: a small cache of struct query, newest use first.
 *
 * Each worker thread owns one, so no query is ever shared and its statements and call tree stay
 * warm from request to request. Runs that were evicted and archives that changed on disk are
 * closed.
 */
#ifndef STAX_SERVER_READERS_H
#define STAX_SERVER_READERS_H

#include <stdint.h>

#include "base/err.h"
#include "query/query.h"
#include "server/registry.h"

struct readers;

struct readers *readers_new(struct registry *registry);
void readers_free(struct readers *r);

/* The query of a run: 0 means the active, else the selected, else the newest one. *q stays owned by
 * r and is valid until the next call. info may be NULL.
 * Errors: STAX_ENORUN, and those of query_open(). */
int readers_get(struct readers *r, int64_t run, struct query **q, struct run_info *info,
                struct err *e);

/* Closes what should not be held any more. */
void readers_refresh(struct readers *r);

#endif
