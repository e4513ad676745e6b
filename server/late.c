/* late.c - see late.h. */
#include "server/late.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ingest/symbolize.h"
#include "server/jobs.h"

enum {
    NICE = 19,
    TIMEOUT_MS = 120000, /* for one run */
    WAIT_S = 10,         /* until it has given way: a call tree is written to its end */
};
/* Line tables may take so much: what a run and the disk must have left. */
#define ROOM_BYTES ((int64_t)64 << 20)

struct look {
    struct late *late;
    char *path;
    atomic_bool is_interrupted; /* stays: it is not to go on when nobody holds it any more */
};

void late_init(struct late *l)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->has_stopped, &attr);
    pthread_condattr_destroy(&attr);
}

void late_begin(struct late *l)
{
    l->jobs = jobs_new("late-names", 1, 0, NULL);
    late_look(l);
}

void late_fini(struct late *l)
{
    jobs_free(l->jobs);
    pthread_cond_destroy(&l->has_stopped);
}

static bool goes_on(void *ctx)
{
    struct look *look = ctx;
    pthread_mutex_lock(look->late->lock);
    if (look->late->n_holds) {
        atomic_store(&look->is_interrupted, true);
    }
    pthread_mutex_unlock(look->late->lock);
    return !atomic_load(&look->is_interrupted);
}

static bool has_room(const struct late *l, const char *path)
{
    struct statvfs fs;
    return run_file_bytes(path) + ROOM_BYTES < l->max_run_bytes && fstatvfs(l->dir_fd, &fs) == 0 &&
           (int64_t)(fs.f_bavail * fs.f_frsize) > ROOM_BYTES;
}

static enum run_names complete(struct look *look, int64_t id)
{
    const struct symbolize_options options = {
        .timeout_ms = TIMEOUT_MS,
        .servers = look->late->servers,
        .goes_on = goes_on,
        .ctx = look,
    };
    struct err e = {0};
    bool is_complete = false;
    if (!has_room(look->late, look->path)) {
        return RUN_NAMES_INCOMPLETE;
    }
    int rc = ingest_complete(look->path, &options, &is_complete, &e);
    if (atomic_load(&look->is_interrupted) && !is_complete) {
        return RUN_NAMES_PENDING;
    }
    if (rc) {
        fprintf(stderr, "stax-server: names of run %" PRId64 " could not be completed: %s\n", id,
                e.msg);
    }
    return rc == 0 && is_complete ? RUN_NAMES_COMPLETE : RUN_NAMES_INCOMPLETE;
}

/* The newest that may be completed now, or NULL. */
static struct run *next_locked(const struct late *l)
{
    for (size_t i = l->n_holds ? 0 : l->runs->n; i-- > 0;) {
        struct run *run = &l->runs->items[i];
        if (run->state == RUN_STOPPED && run->names == RUN_NAMES_PENDING && !run->is_archive &&
            run->n_holds == 0) {
            return run;
        }
    }
    return NULL;
}

static void look_for_all(void *ctx, struct readers *readers)
{
    (void)readers;
    struct late *l = ctx;
    struct run *run;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE); /* of this thread */
    pthread_mutex_lock(l->lock);
    while ((run = next_locked(l)) != NULL) {
        int64_t id = run->id;
        struct look look = {.late = l, .path = mem_strdup(run->path)};
        l->run = id;
        pthread_mutex_unlock(l->lock);
        enum run_names names = complete(&look, id);
        free(look.path);
        pthread_mutex_lock(l->lock);
        run = runs_find(l->runs, id);
        if (run) {
            run->names = names;
        }
        l->run = 0;
        pthread_cond_broadcast(&l->has_stopped);
        pthread_mutex_unlock(l->lock);
        l->changed(l->ctx);
        pthread_mutex_lock(l->lock);
    }
    pthread_mutex_unlock(l->lock);
}

void late_look(struct late *l)
{
    jobs_submit(l->jobs, look_for_all, l, true);
}

void late_hold_locked(struct late *l)
{
    l->n_holds++;
}

void late_release_locked(struct late *l)
{
    if (--l->n_holds == 0) {
        late_look(l);
    }
}

bool late_wait_locked(struct late *l)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    while (l->run && pthread_cond_timedwait(&l->has_stopped, l->lock, &until) != ETIMEDOUT) {
    }
    return l->run == 0;
}
