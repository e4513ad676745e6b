/*
 * debuginfod.h - debug files from the servers that DEBUGINFOD_URLS and /etc/debuginfod name (files
 * *.urls).
 *
 * A client asks one file at a time and gives up after a limit, however slowly a server answers. The
 * library keeps what it got, and for ten minutes what no server had, in
 * $DEBUGINFOD_CACHE_PATH or ~/.cache/debuginfod_client. One thread at a time.
 */
#ifndef STAX_INGEST_DEBUGINFOD_H
#define STAX_INGEST_DEBUGINFOD_H

#include <stdatomic.h>
#include <stdbool.h>

/* Puts the servers that files of /etc/debuginfod name into DEBUGINFOD_URLS when that is not set, as
 * a login shell would. Changes the environment: before any thread is started. */
void debuginfod_read_urls(void);
/* Whether any server is named. */
bool debuginfod_has_urls(void);

struct debuginfod;

/* is_stopping: ends what is under way; borrowed. NULL when no client can be made. */
struct debuginfod *debuginfod_open(const atomic_bool *is_stopping);
/* NULL is accepted. */
void debuginfod_close(struct debuginfod *d);
/* A descriptor of the debug file of a build (hex), the caller's, with its *path (free()); -1: no
 * server has it, or none answered in time. */
int debuginfod_find(struct debuginfod *d, const char *build_id, char **path);

#endif
