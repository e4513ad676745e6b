/*
 * registry.h - every run this server knows: the active one, stopped ones, opened archives.
 *
 * Owns the data directory, finds runs again after a restart (interrupted ones are repaired in the
 * background), starts and ends the one active recording, completes the names of stopped runs while
 * none is active (late.h), and keeps all of them under a size bound
 * by removing the oldest stopped runs, never the newest. Any thread may call anything; values come
 * out as copies.
 */
#ifndef STAX_SERVER_REGISTRY_H
#define STAX_SERVER_REGISTRY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "server/recording.h"

struct registry;
struct datadir;

/* What a reader needs to know of a run. Two values with equal fields mean the same bytes, but for
 * what a live run adds. */
struct run_info {
    int64_t id;
    char path[PATH_MAX];
    bool is_archive;
    bool is_active;
    uint64_t generation; /* changes when the file was replaced or repaired */
    uint64_t device, inode, size;
    int64_t mtime_ns; /* these four: archives only, else 0 */
};

struct registry_options {
    struct datadir *datadir;            /* borrowed, must outlive the registry */
    struct debuginfod_servers *servers; /* borrowed, the same */
    int64_t max_bytes;                  /* bound over all runs; 0: a quarter of RAM */
    /* Called on any thread after data or runs changed; must be quick. */
    void (*changed)(void *ctx);
    /* Called on any thread when readers should let go of runs. */
    void (*refresh)(void *ctx);
    void *ctx;
};

/* Lists what the data directory holds; repairs begin with registry_begin(). */
int registry_open(struct registry **out, const struct registry_options *options, struct err *e);
/* Starts the thread for repairs, ends of runs and removals. */
void registry_begin(struct registry *r);
/* Refuses new runs, stops the active one and waits until everything of it is written. */
void registry_shutdown(struct registry *r);
/* After registry_shutdown() and when nobody asks any more. NULL is accepted. */
void registry_close(struct registry *r);

/* run 0: the active, else the selected, else the newest. Errors: STAX_ENORUN. */
int registry_find(struct registry *r, int64_t run, struct run_info *info, struct err *e);
/* 0: none. A run stays active until everything of it is written. */
int64_t registry_active(struct registry *r);
int64_t registry_selected(struct registry *r);

/* Starts a recording. *id and *notes (array of strings, new reference) say what was made of it.
 * Errors: STAX_EBUSY (another run is active), and those of recording_open(). */
int registry_start(struct registry *r, const struct capture_options *capture, const char *command,
                   int64_t *id, json_t **notes, struct err *e);
/* Asks the active run to end; run 0 or its id. Does not wait. Errors: STAX_ENORUN. */
int registry_stop(struct registry *r, int64_t run, int64_t *id, struct err *e);
/* Removes a stopped run and its file; of an opened archive only the entry. Errors: STAX_ENORUN,
 * STAX_EBUSY (it is being recorded, repaired or copied). */
int registry_remove(struct registry *r, int64_t run, struct err *e);
int registry_set_paused(struct registry *r, int64_t run, bool is_paused, struct err *e);
/* Has the active run look for its names once more. */
int registry_rename(struct registry *r, int64_t run, struct err *e);
int registry_is_paused(struct registry *r, int64_t run, bool *is_paused, struct err *e);
/* Figures of the active run; false when none is, or it is just being finished. */
bool registry_stats(struct registry *r, struct recording_stats *stats, int64_t *start_ts);
/* Abilities of the active run, or NULL. New reference. */
json_t *registry_abilities(struct registry *r);

int registry_select(struct registry *r, int64_t run, struct err *e);
/* Adds an archive that was opened and checked; returns its number (the same path keeps its number).
 */
int64_t registry_add_archive(struct registry *r, const char *path, json_t *run_member);
/* Whether writing to this path would hit the data directory itself. */
bool registry_is_inside(struct registry *r, const char *path);
/* Keeps a run from being removed while it is being copied. */
void registry_hold(struct registry *r, int64_t run, int by);

/* Before names of a stopped run are written: what does so in the background gives way, which is
 * waited for. False: another caller has them, or it did not give way in time. */
bool registry_take_names(struct registry *r);
/* After a true registry_take_names(). */
void registry_give_names(struct registry *r);

/* One object per run, newest first: {"id","path","is_archive","is_active","is_selected",
 * "size_bytes","names" (runs.h),"note", and the members of the run document as last known}. New
 * reference. */
json_t *registry_list(struct registry *r);
/* Bytes of all runs, the bound over them, and how many were removed to keep it. */
void registry_space(struct registry *r, int64_t *used_bytes, int64_t *max_bytes,
                    int64_t *n_removed);

/* Asks for a look at the size bound, and at runs that are to be repaired, in the background; about
 * once a second. */
void registry_tick(struct registry *r);

#endif
