/*
 * runs.h - inside of the registry: its table of runs and what touches their files.
 * Callers hold the registry's lock unless said otherwise.
 */
#ifndef STAX_SERVER_RUNS_H
#define STAX_SERVER_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

enum run_state {
    RUN_ACTIVE,      /* being recorded, or just being finished */
    RUN_STOPPED,     /* complete */
    RUN_INTERRUPTED, /* its server died; repair is due or under way */
    RUN_UNREADABLE,  /* the file cannot be opened; note says why */
};

/* Of a stopped run that is ours: names and line tables that its end had no time for. */
enum run_names {
    RUN_NAMES_PENDING,    /* will be looked for, or are */
    RUN_NAMES_COMPLETE,   /* all were, as far as this machine has them */
    RUN_NAMES_INCOMPLETE, /* were not: no room, no time, files that do not answer */
};

struct run {
    int64_t id;
    char *path;
    enum run_state state;
    enum run_names names;
    bool is_archive;
    uint64_t generation;
    int n_holds;     /* copies under way: not to be removed */
    json_t *summary; /* the run document's "run" member as last known, plus n_lost; never NULL */
    char *note;      /* "" or what is wrong with it */
};

struct runs {
    struct run *items; /* ascending ids */
    size_t n, cap;
    int64_t next_id;
};

void runs_fini(struct runs *runs);
struct run *runs_find(struct runs *runs, int64_t id);
/* The newest run, or NULL. */
struct run *runs_newest(struct runs *runs);
/* "pending", ...; NULL where it does not apply: archives, runs that cannot be read. */
const char *run_names_text(const struct run *run);
/* Sets an id aside for a run that is added later. */
int64_t runs_take_id(struct runs *runs);
/* Adds a run under an id of runs_take_id(); path is copied. Valid until the next add or remove. */
struct run *runs_add(struct runs *runs, int64_t id, const char *path, enum run_state state);
void runs_remove(struct runs *runs, int64_t id);

/* How copies of archives are called in the data directory while they get new names. */
#define RUNS_COPY_PREFIX "symbolize-"

/* Adds every run-<id>.stax of a folder, reading each one's summary. Removes what a killed server
 * left beside them: reserves of space, side files without a run, and copies. dir_fd is borrowed. */
void runs_scan(struct runs *runs, const char *folder, int dir_fd);
/* Reads the summary from the file. Replaces summary, note and (from STOPPED) the state.
 * No lock is needed when the run is not in a table yet. */
void run_read_summary(struct run *run);

/* Bytes on disk of a run file with its WAL and reserve; 0 if gone. No lock needed. */
int64_t run_file_bytes(const char *path);
/* Removes a run file with all that belongs to it. No lock needed. */
void run_unlink(const char *path);

#endif
