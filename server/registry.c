/* registry.c - see registry.h. */
#include "server/registry.h"

#include <assert.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/datadir.h"
#include "server/jobs.h"
#include "server/late.h"
#include "server/runs.h"

/* With less free space than this an active run pushes out the oldest ones before its bound is
 * reached. */
#define LEAST_FREE_BYTES ((int64_t)32 << 20)

struct registry {
    pthread_mutex_t lock; /* everything below but the constants */
    pthread_cond_t idle;  /* signalled when the active run is gone */
    struct runs runs;
    struct recording *recording; /* of the active run; NULL while it is being finished */
    int64_t active, selected;    /* run ids, 0: none */
    bool is_starting;            /* registry_start() is arming a target without the lock */
    bool is_repairing;           /* repair_all() is in line or runs */
    bool is_ending;              /* the end of the active run is being seen to */
    bool is_trimmed;             /* what the last run took, or its names, was given back */
    bool is_closing;
    int64_t n_removed;
    atomic_bool is_tick_waiting;
    struct jobs *upkeep;
    struct late late; /* held while a run is active, and from registry_shutdown() on */
    struct registry_options options;
    int64_t max_bytes;
};

static void changed(struct registry *r)
{
    r->options.changed(r->options.ctx);
}

static int64_t default_max_bytes(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) / 4 * sysconf(_SC_PAGE_SIZE);
}

static int64_t used_bytes_locked(struct registry *r)
{
    int64_t sum = 0;
    for (size_t i = 0; i < r->runs.n; i++) {
        if (!r->runs.items[i].is_archive) {
            sum += run_file_bytes(r->runs.items[i].path);
        }
    }
    return sum;
}

/* Less than all of it, so that the run does not have to go itself once it has stopped. */
static int64_t max_run_bytes(const struct registry *r)
{
    return r->max_bytes / 4 * 3;
}

/* A run has grown, and what that took can go back. */
static void names_changed(void *ctx)
{
    struct registry *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->is_trimmed = false;
    pthread_mutex_unlock(&r->lock);
    registry_tick(r);
    changed(r);
}

int registry_open(struct registry **out, const struct registry_options *options, struct err *e)
{
    if (options->max_bytes < 0 || (options->max_bytes > 0 && options->max_bytes < 1 << 20)) {
        return err_set(e, STAX_EUSAGE, "the bound for all runs must be at least 1 MiB");
    }
    struct registry *r = mem_new(1, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->idle, NULL);
    r->options = *options;
    runs_scan(&r->runs, options->datadir->path, options->datadir->fd);
    int64_t used = used_bytes_locked(r);
    int64_t room = (used + datadir_free_bytes(options->datadir)) / 10 * 9;
    r->max_bytes = options->max_bytes ? options->max_bytes : default_max_bytes();
    /* What there is fits, however little is left: a full file system is no reason to remove it. */
    room = room > used ? room : used;
    if (r->max_bytes > room && room > 0) {
        r->max_bytes = room;
    }
    r->late = (struct late){
        .lock = &r->lock,
        .runs = &r->runs,
        .servers = options->servers,
        .max_run_bytes = max_run_bytes(r),
        .dir_fd = options->datadir->fd,
        .changed = names_changed,
        .ctx = r,
    };
    late_init(&r->late);
    *out = r;
    return 0;
}

/* Repairs one interrupted run, whose summary says why it ended, and reads it anew. While another
 * program holds its lock it stays as it is. Upkeep thread, without the lock. */
static void repair(struct registry *r, int64_t id)
{
    char path[PATH_MAX + 64], reason[32];
    struct err e = {0};
    pthread_mutex_lock(&r->lock);
    const struct run *interrupted = runs_find(&r->runs, id);
    if (interrupted) {
        snprintf(path, sizeof(path), "%s", interrupted->path);
        snprintf(reason, sizeof(reason), "%s",
                 json_text_at(interrupted->summary, "stop_reason", "server_died"));
    }
    pthread_mutex_unlock(&r->lock);
    int rc = interrupted ? ingest_rebuild(path, reason, &e) : STAX_EBUSY;
    if (rc == STAX_EBUSY) {
        return;
    }
    struct run fresh = {.path = path, .summary = json_object(), .note = mem_strdup("")};
    run_read_summary(&fresh);
    if (rc) {
        fprintf(stderr, "stax-server: run %" PRId64 " could not be repaired: %s\n", id, e.msg);
    }
    pthread_mutex_lock(&r->lock);
    struct run *run = runs_find(&r->runs, id);
    if (run) {
        json_t *summary = run->summary;
        run->summary = fresh.summary;
        fresh.summary = summary;
        run->state = fresh.state == RUN_UNREADABLE ? RUN_UNREADABLE : RUN_STOPPED;
        free(run->note);
        run->note = mem_strdup(rc ? e.msg : fresh.note);
        run->generation++;
    }
    pthread_mutex_unlock(&r->lock);
    json_decref(fresh.summary);
    free(fresh.note);
    late_look(&r->late);
    changed(r);
}

/* The first one after a run, or 0. */
static int64_t next_interrupted_locked(const struct registry *r, int64_t after)
{
    for (size_t i = 0; i < r->runs.n && !r->is_closing; i++) {
        if (r->runs.items[i].state == RUN_INTERRUPTED && r->runs.items[i].id > after) {
            return r->runs.items[i].id;
        }
    }
    return 0;
}

/* One pass: a run that another program holds locked is tried again after a later tick. Only one
 * runs at a time, so that the other thread is free for the end of a run. */
static void repair_all(void *ctx, struct readers *readers)
{
    (void)readers;
    struct registry *r = ctx;
    int64_t id = 0;
    do {
        pthread_mutex_lock(&r->lock);
        id = next_interrupted_locked(r, id);
        r->is_repairing = id != 0;
        pthread_mutex_unlock(&r->lock);
        if (id) {
            repair(r, id);
        }
    } while (id);
}

void registry_begin(struct registry *r)
{
    /* Two threads: a long repair must not hold up the end of a run. */
    r->upkeep = jobs_new("upkeep", 2, 16, r);
    late_begin(&r->late);
    registry_tick(r);
}

void registry_shutdown(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    r->is_closing = true;
    late_hold_locked(&r->late);
    while (r->active || r->is_starting) {
        if (r->recording) {
            recording_stop(r->recording, EVENT_END_STOPPED);
        }
        pthread_cond_wait(&r->idle, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

void registry_close(struct registry *r)
{
    if (!r) {
        return;
    }
    /* Each may give the other something to do, which is not done any more. */
    jobs_stop(r->upkeep);
    late_fini(&r->late);
    jobs_free(r->upkeep);
    runs_fini(&r->runs);
    pthread_cond_destroy(&r->idle);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static int no_run(struct registry *r, int64_t run, struct err *e)
{
    if (run) {
        err_set(e, STAX_ENORUN, "there is no run %" PRId64, run);
        err_hint(e, "stax list shows the runs there are");
    } else if (r->runs.n == 0) {
        err_set(e, STAX_ENORUN, "nothing has been recorded yet");
        err_hint(e, "stax record -- COMMAND records one");
    } else {
        err_set(e, STAX_ENORUN, "no run is active");
        err_hint(e, "stax record -- COMMAND starts one");
    }
    return STAX_ENORUN;
}

static struct run *find_locked(struct registry *r, int64_t run)
{
    if (run) {
        return runs_find(&r->runs, run);
    }
    struct run *found = r->active ? runs_find(&r->runs, r->active) : NULL;
    if (!found && r->selected) {
        found = runs_find(&r->runs, r->selected);
    }
    return found ? found : runs_newest(&r->runs);
}

int registry_find(struct registry *r, int64_t run, struct run_info *info, struct err *e)
{
    memset(info, 0, sizeof(*info));
    pthread_mutex_lock(&r->lock);
    const struct run *found = find_locked(r, run);
    int rc = found ? 0 : no_run(r, run, e);
    if (found) {
        info->id = found->id;
        snprintf(info->path, sizeof(info->path), "%s", found->path);
        info->is_archive = found->is_archive;
        info->is_active = found->id == r->active;
        info->generation = found->generation;
    }
    pthread_mutex_unlock(&r->lock);
    struct stat st;
    if (rc == 0 && info->is_archive && stat(info->path, &st) == 0) {
        info->device = st.st_dev;
        info->inode = st.st_ino;
        info->size = (uint64_t)st.st_size;
        info->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    return rc;
}

int64_t registry_active(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    int64_t id = r->active;
    pthread_mutex_unlock(&r->lock);
    return id;
}

int64_t registry_selected(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    int64_t id = r->selected;
    pthread_mutex_unlock(&r->lock);
    return id;
}

/* Storage ended a run early: says so, and completes what could not even be written. */
static void note_failure(int64_t id, const struct err *failure, struct run *fresh)
{
    fprintf(stderr, "stax-server: run %" PRId64 " ended early: %s\n", id, failure->msg);
    if (fresh->state == RUN_INTERRUPTED) {
        json_object_set_new(fresh->summary, "stop_reason",
                            json_string(ingest_failure_reason(failure)));
        free(fresh->note);
        fresh->note = mem_strdup(failure->msg); /* a tick has it repaired */
    }
}

/* Ends a run whose last row is written: joins its threads and reads what became of it. */
static void reap(void *ctx, struct readers *readers)
{
    (void)readers;
    struct registry *r = ctx;
    pthread_mutex_lock(&r->lock);
    struct recording *recording = r->recording;
    struct run *run = runs_find(&r->runs, r->active);
    struct run fresh = {.summary = json_object(), .note = mem_strdup("")};
    assert(run);
    int64_t id = run->id;
    fresh.path = mem_strdup(run->path);
    r->recording = NULL;
    pthread_mutex_unlock(&r->lock);

    struct err failure = recording_failure(recording);
    recording_close(recording);
    run_read_summary(&fresh);

    pthread_mutex_lock(&r->lock);
    if (failure.code) {
        note_failure(id, &failure, &fresh);
    }
    run = runs_find(&r->runs, r->active);
    assert(run);
    json_decref(run->summary);
    free(run->note);
    run->summary = fresh.summary;
    run->note = fresh.note;
    run->state = fresh.state;
    r->active = 0;
    r->is_ending = false;
    r->is_trimmed = false;
    late_release_locked(&r->late);
    pthread_cond_broadcast(&r->idle);
    pthread_mutex_unlock(&r->lock);
    free(fresh.path);
    changed(r);
}

/* On the ingest thread. After the end of a run nothing more comes from it. */
static void committed(void *ctx, bool is_end)
{
    struct registry *r = ctx;
    if (is_end) {
        pthread_mutex_lock(&r->lock);
        bool is_first = r->active && !r->is_ending;
        r->is_ending = r->is_ending || is_first;
        pthread_mutex_unlock(&r->lock);
        if (is_first) {
            jobs_submit(r->upkeep, reap, r, true);
        }
    }
    changed(r);
}

static int begin_start(struct registry *r, int64_t *id, char *path, size_t size, struct err *e)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (r->is_closing) {
        rc = err_set(e, STAX_EBUSY, "the server is shutting down");
    } else if (r->active || r->is_starting) {
        rc = err_set(e, STAX_EBUSY, "another run is already active");
        err_hint(e, "stax stop ends it; stax wait waits for its end");
    } else {
        r->is_starting = true;
        late_hold_locked(&r->late); /* until it is over, or does not begin */
        *id = runs_take_id(&r->runs);
        snprintf(path, size, "%s/run-%" PRId64 ".stax", r->options.datadir->path, *id);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* Puts an armed recording into the table and lets it run. */
static int finish_start(struct registry *r, int64_t id, const char *path, const char *command,
                        struct recording *recording, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    struct run *run = runs_add(&r->runs, id, path, RUN_ACTIVE);
    json_object_set_new(run->summary, "state", json_string("recording"));
    json_object_set_new(run->summary, "command", json_clean_string(command));
    r->active = id;
    r->recording = recording;
    int rc = recording_start(recording, e);
    if (rc) {
        r->active = 0;
        r->recording = NULL;
        runs_remove(&r->runs, id);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static json_t *start_notes(struct registry *r, struct recording *recording)
{
    json_t *notes = json_array();
    struct recording_stats stats;
    recording_stats(recording, &stats);
    if (stats.capture.ring_bytes < 512 * 1024) {
        char text[160];
        snprintf(text, sizeof(text),
                 "the host grants rings of %" PRIu64 " KiB only: more samples may be lost "
                 "(sysctl kernel.perf_event_mlock_kb, ulimit -l)",
                 stats.capture.ring_bytes / 1024);
        json_array_append_new(notes, json_string(text));
    }
    if (r->options.datadir->warning[0]) {
        json_array_append_new(notes, json_string(r->options.datadir->warning));
    }
    return notes;
}

int registry_start(struct registry *r, const struct capture_options *capture, const char *command,
                   int64_t *id, json_t **notes, struct err *e)
{
    char path[PATH_MAX + 64];
    int rc = begin_start(r, id, path, sizeof(path), e);
    if (rc) {
        return rc;
    }
    struct recording_options options = {
        .id = *id,
        .path = path,
        .max_bytes = max_run_bytes(r),
        .servers = r->options.servers,
        .command = command,
        .capture = *capture,
        .committed = committed,
        .ctx = r,
    };
    struct recording *recording = NULL;
    rc = recording_open(&recording, &options, e);
    if (rc == 0) {
        *notes = start_notes(r, recording);
        rc = finish_start(r, *id, path, command, recording, e);
        if (rc) {
            json_decref(*notes);
            recording_close(recording);
        }
    }
    if (rc) {
        run_unlink(path);
    }
    pthread_mutex_lock(&r->lock);
    r->is_starting = false;
    if (rc) {
        late_release_locked(&r->late);
    }
    pthread_cond_broadcast(&r->idle);
    pthread_mutex_unlock(&r->lock);
    changed(r);
    return rc;
}

/* 0 when run (or 0) names the active run; else the error. */
static int check_active_locked(struct registry *r, int64_t run, struct err *e)
{
    if (r->active && (run == 0 || run == r->active)) {
        return 0;
    }
    if (run && runs_find(&r->runs, run)) {
        return err_set(e, STAX_ENORUN, "run %" PRId64 " is not being recorded", run);
    }
    return no_run(r, run, e);
}

int registry_stop(struct registry *r, int64_t run, int64_t *id, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    int rc = check_active_locked(r, run, e);
    *id = r->active;
    if (rc == 0 && r->recording) {
        recording_stop(r->recording, EVENT_END_STOPPED);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_set_paused(struct registry *r, int64_t run, bool is_paused, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    int rc = check_active_locked(r, run, e);
    if (rc == 0 && r->recording) {
        recording_set_paused(r->recording, is_paused);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_rename(struct registry *r, int64_t run, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    int rc = check_active_locked(r, run, e);
    if (rc == 0 && r->recording) {
        recording_rename(r->recording);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_is_paused(struct registry *r, int64_t run, bool *is_paused, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    int rc = check_active_locked(r, run, e);
    *is_paused = rc == 0 && r->recording && recording_is_paused(r->recording);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

bool registry_stats(struct registry *r, struct recording_stats *stats, int64_t *start_ts)
{
    pthread_mutex_lock(&r->lock);
    bool has_stats = r->recording != NULL;
    if (has_stats) {
        recording_stats(r->recording, stats);
        *start_ts = recording_start_ts(r->recording);
    }
    pthread_mutex_unlock(&r->lock);
    return has_stats;
}

json_t *registry_abilities(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    json_t *list = r->recording ? recording_abilities(r->recording) : NULL;
    pthread_mutex_unlock(&r->lock);
    return list;
}

int registry_select(struct registry *r, int64_t run, struct err *e)
{
    pthread_mutex_lock(&r->lock);
    int rc = runs_find(&r->runs, run) ? 0 : no_run(r, run, e);
    if (rc == 0) {
        r->selected = run;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int64_t registry_add_archive(struct registry *r, const char *path, json_t *run_member)
{
    pthread_mutex_lock(&r->lock);
    struct run *run = NULL;
    for (size_t i = 0; i < r->runs.n && !run; i++) {
        if (r->runs.items[i].is_archive && strcmp(r->runs.items[i].path, path) == 0) {
            run = &r->runs.items[i];
        }
    }
    if (!run) {
        run = runs_add(&r->runs, runs_take_id(&r->runs), path, RUN_STOPPED);
        run->is_archive = true;
    }
    json_decref(run->summary);
    run->summary = json_deep_copy(run_member);
    r->selected = run->id;
    int64_t id = run->id;
    pthread_mutex_unlock(&r->lock);
    changed(r);
    return id;
}

bool registry_is_inside(struct registry *r, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof(folder)) {
        return true;
    }
    snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    struct stat target, own;
    return stat(folder, &target) == 0 && fstat(r->options.datadir->fd, &own) == 0 &&
           target.st_dev == own.st_dev && target.st_ino == own.st_ino;
}

void registry_hold(struct registry *r, int64_t run, int by)
{
    pthread_mutex_lock(&r->lock);
    struct run *found = runs_find(&r->runs, run);
    if (found) {
        found->n_holds += by;
        if (found->n_holds == 0) {
            late_look(&r->late);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

bool registry_take_names(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    bool is_free = !r->late.is_taken;
    if (is_free) {
        r->late.is_taken = true;
        late_hold_locked(&r->late);
        is_free = late_wait_locked(&r->late);
        if (!is_free) {
            r->late.is_taken = false;
            late_release_locked(&r->late);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return is_free;
}

void registry_give_names(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    r->late.is_taken = false;
    late_release_locked(&r->late);
    pthread_mutex_unlock(&r->lock);
}

/* Takes a run out of the table, and its file unless somebody else's. */
static void remove_locked(struct registry *r, const struct run *run)
{
    if (!run->is_archive) {
        run_unlink(run->path);
    }
    if (r->selected == run->id) {
        r->selected = 0;
    }
    runs_remove(&r->runs, run->id);
}

int registry_remove(struct registry *r, int64_t run, struct err *e)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    late_hold_locked(&r->late);
    if (run == r->late.run) {
        late_wait_locked(&r->late);
    }
    const struct run *found = runs_find(&r->runs, run);
    if (!found) {
        rc = no_run(r, run, e);
    } else if (run == r->active) {
        rc = err_set(e, STAX_EBUSY, "run %" PRId64 " is being recorded", run);
        err_hint(e, "stax stop ends it");
    } else if (found->n_holds > 0 || found->state == RUN_INTERRUPTED) {
        rc = err_set(e, STAX_EBUSY, "run %" PRId64 " is being %s", run,
                     found->n_holds > 0 ? "copied" : "repaired");
        err_hint(e, "ask again in a moment");
    } else if (run == r->late.run) {
        rc = err_set(e, STAX_EBUSY, "names of run %" PRId64 " are being written", run);
        err_hint(e, "ask again in a moment");
    } else {
        remove_locked(r, found);
    }
    late_release_locked(&r->late);
    pthread_mutex_unlock(&r->lock);
    if (rc == 0) {
        r->options.refresh(r->options.ctx);
        changed(r);
    }
    return rc;
}

json_t *registry_list(struct registry *r)
{
    json_t *list = json_array();
    pthread_mutex_lock(&r->lock);
    for (size_t i = r->runs.n; i-- > 0;) {
        const struct run *run = &r->runs.items[i];
        json_t *item = json_deep_copy(run->summary);
        json_object_set_new(item, "id", json_integer(run->id));
        json_object_set_new(item, "path", json_clean_string(run->path));
        json_object_set_new(item, "size_bytes", json_integer(run_file_bytes(run->path)));
        json_object_set_new(item, "is_archive", json_boolean(run->is_archive));
        json_object_set_new(item, "is_active", json_boolean(run->id == r->active));
        json_object_set_new(item, "is_selected", json_boolean(run->id == r->selected));
        json_object_set_new(item, "note", json_clean_string(run->note));
        const char *names = run_names_text(run);
        if (names) {
            json_object_set_new(item, "names", json_string(names));
        }
        if (run->is_archive && access(run->path, F_OK) != 0) {
            json_object_set_new(item, "size_bytes", json_null());
            json_object_set_new(item, "note", json_string("its file is gone"));
        }
        if (run->state == RUN_UNREADABLE) {
            json_object_set_new(item, "state", json_string("unreadable"));
        }
        json_array_append_new(list, item);
    }
    pthread_mutex_unlock(&r->lock);
    return list;
}

void registry_space(struct registry *r, int64_t *used_bytes, int64_t *max_bytes, int64_t *n_removed)
{
    pthread_mutex_lock(&r->lock);
    *used_bytes = used_bytes_locked(r);
    *max_bytes = r->max_bytes;
    *n_removed = r->n_removed;
    pthread_mutex_unlock(&r->lock);
}

/* The oldest run that may go, or NULL. The newest one never goes: somebody has just recorded it. */
static struct run *oldest_removable(struct registry *r)
{
    struct run *oldest = NULL;
    bool has_newer = r->active != 0;
    for (size_t i = r->runs.n; i-- > 0;) {
        struct run *run = &r->runs.items[i];
        if (run->is_archive || run->id == r->active) {
            continue;
        }
        if (has_newer && run->n_holds == 0 && run->state != RUN_INTERRUPTED &&
            run->id != r->late.run) {
            oldest = run;
        }
        has_newer = true;
    }
    return oldest;
}

/* Has interrupted runs repaired, unless that is under way. */
static void repair_due_locked(struct registry *r)
{
    if (!r->is_repairing && next_interrupted_locked(r, 0)) {
        r->is_repairing = true;
        jobs_submit(r->upkeep, repair_all, r, true);
    }
}

/* Removes the oldest stopped runs until the bound holds; gives memory back when nothing is recorded
 * or completed. Upkeep thread. */
static void keep_bound(void *ctx, struct readers *readers)
{
    (void)readers;
    struct registry *r = ctx;
    bool has_removed = false;
    atomic_store(&r->is_tick_waiting, false);
    pthread_mutex_lock(&r->lock);
    bool is_to_trim = !r->is_trimmed && !r->active && !r->is_starting && !r->late.run;
    r->is_trimmed |= is_to_trim;
    repair_due_locked(r);
    int64_t used = used_bytes_locked(r);
    int64_t room = datadir_free_bytes(r->options.datadir);
    struct run *run;
    while ((used > r->max_bytes || (r->active && room < LEAST_FREE_BYTES)) &&
           (run = oldest_removable(r)) != NULL) {
        int64_t bytes = run_file_bytes(run->path);
        fprintf(stderr,
                "stax-server: removing run %" PRId64 " (%s, %" PRId64
                " KiB) to stay within %" PRId64 " MiB\n",
                run->id, json_text_at(run->summary, "command", "?"), bytes / 1024,
                r->max_bytes >> 20);
        remove_locked(r, run);
        r->n_removed++;
        used -= bytes;
        room += bytes;
        has_removed = true;
    }
    pthread_mutex_unlock(&r->lock);
    if (has_removed) {
        r->options.refresh(r->options.ctx);
        changed(r);
    }
    if (is_to_trim) {
        malloc_trim(0);
    }
}

void registry_tick(struct registry *r)
{
    if (!atomic_exchange(&r->is_tick_waiting, true)) {
        jobs_submit(r->upkeep, keep_bound, r, true);
    }
}
