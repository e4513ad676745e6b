/*
 * debuginfod.h - debug files from the servers that DEBUGINFOD_URLS names, by libdebuginfod, which
 * keeps what it gets in a cache of its own.
 *
 * A server may be slow, dead or hostile. What it does not have, and what it did not deliver in
 * time, is not asked for again for some minutes; after failures in a row none is asked for a while.
 * Whether a file is of the right build is for whoever takes it to check.
 */
#ifndef STAX_INGEST_DEBUGINFOD_H
#define STAX_INGEST_DEBUGINFOD_H

#include <stdbool.h>
#include <stdint.h>

/* Puts the servers that files of /etc/debuginfod name into DEBUGINFOD_URLS when that is not set, as
 * a login shell would. Changes the environment: before any thread is started. */
void debuginfod_read_urls(void);
/* Whether any server is named. */
bool debuginfod_has_urls(void);

/* What is known of the servers; shared by all who ask them. Any thread. */
struct debuginfod_servers;

struct debuginfod_status {
    char build_id[80]; /* being asked for, "": nothing */
    char path[256];    /* of the binary */
    int64_t elapsed_ns;
    int64_t n_done_bytes, n_all_bytes; /* of the download; all 0: not known */
    int64_t n_found, n_not_found, n_failed;
    int64_t n_skipped;      /* not asked: the answer is known, or the servers rest */
    int64_t resting_ns;     /* for how long no server will be asked */
    char last_failure[128]; /* "": none */
};

/* Whoever makes or holds it frees it; the last one does. NULL is accepted and given back. */
struct debuginfod_servers *debuginfod_servers_new(void);
struct debuginfod_servers *debuginfod_servers_hold(struct debuginfod_servers *s);
void debuginfod_servers_free(struct debuginfod_servers *s);
void debuginfod_servers_status(struct debuginfod_servers *s, struct debuginfod_status *status);

struct debuginfod;

/* False: ends what is under way. */
typedef bool debuginfod_goes_on(void *ctx);

/* servers is borrowed. NULL when no client can be made. One thread at a time. */
struct debuginfod *debuginfod_open(struct debuginfod_servers *servers, debuginfod_goes_on *goes_on,
                                   void *ctx);
/* NULL is accepted. */
void debuginfod_close(struct debuginfod *d);
/* CLOCK_MONOTONIC ns after which nothing is waited for any more; 0: only the bounds of one file. */
void debuginfod_set_deadline(struct debuginfod *d, int64_t deadline_ns);
/* A descriptor of the debug file of a build (hex), the caller's, with its *debug_path (free()); -1:
 * no server has it, or none answered in time. path: of the binary, for people. */
int debuginfod_find(struct debuginfod *d, const char *build_id, const char *path,
                    char **debug_path);

/* What became of the last debuginfod_find() that gave nothing: "failed: Connection refused", "does
 * not have it", or, where the caller's time was over first, debuginfod_no_answer. Borrowed. */
const char *debuginfod_outcome(const struct debuginfod *d);
extern const char debuginfod_no_answer[];
/* For binary.note: "debuginfod at URL: outcome", which begins so, with the servers that are named,
 * without user names and passwords; free(). */
char *debuginfod_note(const char *outcome);
extern const char debuginfod_note_start[];

/* Says that a file it gave is of no use: it leaves the cache, and is not asked for again soon.
 * debug_path: as debuginfod_find() gave it. failure: "answered another build", ... Any thread. */
void debuginfod_refuse(struct debuginfod_servers *s, const char *build_id, const char *debug_path,
                       const char *failure);

#endif
