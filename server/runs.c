/* runs.c - see runs.h. */
#include "server/runs.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "query/query.h"
#include "schema/db.h"

static void run_fini(struct run *run)
{
    free(run->path);
    free(run->note);
    json_decref(run->summary);
}

void runs_fini(struct runs *runs)
{
    for (size_t i = 0; i < runs->n; i++) {
        run_fini(&runs->items[i]);
    }
    free(runs->items);
    *runs = (struct runs){0};
}

struct run *runs_find(struct runs *runs, int64_t id)
{
    for (size_t i = 0; i < runs->n; i++) {
        if (runs->items[i].id == id) {
            return &runs->items[i];
        }
    }
    return NULL;
}

struct run *runs_newest(struct runs *runs)
{
    return runs->n ? &runs->items[runs->n - 1] : NULL;
}

const char *run_names_text(const struct run *run)
{
    static const char *const texts[] = {
        [RUN_NAMES_PENDING] = "pending",
        [RUN_NAMES_COMPLETE] = "complete",
        [RUN_NAMES_INCOMPLETE] = "incomplete",
    };
    return run->is_archive || run->state == RUN_UNREADABLE ? NULL : texts[run->names];
}

int64_t runs_take_id(struct runs *runs)
{
    return runs->next_id++;
}

struct run *runs_add(struct runs *runs, int64_t id, const char *path, enum run_state state)
{
    mem_reserve(&runs->items, &runs->cap, runs->n + 1, sizeof(runs->items[0]));
    size_t at = runs->n;
    while (at > 0 && runs->items[at - 1].id > id) {
        at--;
    }
    memmove(&runs->items[at + 1], &runs->items[at], (runs->n - at) * sizeof(runs->items[0]));
    runs->n++;
    runs->items[at] = (struct run){
        .id = id,
        .path = mem_strdup(path),
        .state = state,
        .summary = json_object(),
        .note = mem_strdup(""),
    };
    if (runs->next_id <= id) {
        runs->next_id = id + 1;
    }
    return &runs->items[at];
}

void runs_remove(struct runs *runs, int64_t id)
{
    struct run *run = runs_find(runs, id);
    if (run) {
        run_fini(run);
        size_t at = (size_t)(run - runs->items);
        memmove(run, run + 1, (runs->n - at - 1) * sizeof(*run));
        runs->n--;
    }
}

/* What lies beside a run file, after its name. */
static const char *const side_files[] = {"-wal", "-shm", "-journal", "-reserve"};
enum { N_SIDE_FILES = sizeof(side_files) / sizeof(side_files[0]) };

/* The number in "run-<id>.stax" and what follows it, or 0 for any other name. */
static int64_t id_of_name(const char *name, const char **rest)
{
    int64_t id = 0;
    int end = 0;
    if (strlen(name) > 40 || sscanf(name, "run-%18" SCNd64 ".stax%n", &id, &end) != 1 || !end ||
        id <= 0) {
        return 0;
    }
    char again[64];
    snprintf(again, sizeof(again), "run-%" PRId64 ".stax", id);
    *rest = name + end;
    return strncmp(name, again, strlen(again)) == 0 && (size_t)end == strlen(again) ? id : 0;
}

/* Removes a file beside a run that nobody will come back for: no run is active while we scan. */
static void remove_orphan(int dir_fd, int64_t id, const char *name, const char *suffix)
{
    char run[64];
    snprintf(run, sizeof(run), "run-%" PRId64 ".stax", id);
    for (size_t i = 0; i < N_SIDE_FILES; i++) {
        if (strcmp(suffix, side_files[i]) == 0 &&
            (strcmp(suffix, "-reserve") == 0 ||
             faccessat(dir_fd, run, F_OK, AT_SYMLINK_NOFOLLOW) != 0)) {
            unlinkat(dir_fd, name, 0);
        }
    }
}

void runs_scan(struct runs *runs, const char *folder, int dir_fd)
{
    if (runs->next_id < 1) {
        runs->next_id = 1;
    }
    int fd = dup(dir_fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    rewinddir(dir);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        const char *rest;
        int64_t id = id_of_name(entry->d_name, &rest);
        if (strncmp(entry->d_name, RUNS_COPY_PREFIX, strlen(RUNS_COPY_PREFIX)) == 0) {
            unlinkat(dir_fd, entry->d_name, 0);
        } else if (id && rest[0]) {
            remove_orphan(dir_fd, id, entry->d_name, rest);
        } else if (id) {
            char path[PATH_MAX + 300];
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            run_read_summary(runs_add(runs, id, path, RUN_STOPPED));
        }
    }
    closedir(dir);
}

static void set_note(struct run *run, const char *text)
{
    free(run->note);
    run->note = mem_strdup(text);
}

void run_read_summary(struct run *run)
{
    struct query *q = NULL;
    struct err e;
    if (query_open(&q, run->path, run->is_archive, &e) != 0) {
        run->state = RUN_UNREADABLE;
        set_note(run, e.msg);
        return;
    }
    json_t *summary = query_run(q);
    int64_t n_lost = query_n_lost(q);
    query_close(q);
    if (json_is_object(summary)) {
        json_object_set_new(summary, "n_lost", json_integer(n_lost));
        json_decref(run->summary);
        run->summary = summary;
        if (!run->is_archive && strcmp(json_text_at(summary, "state", ""), "recording") == 0) {
            run->state = RUN_INTERRUPTED;
            json_object_set_new(summary, "state", json_string("stopped"));
            json_object_set_new(summary, "stop_reason", json_string("server_died"));
            set_note(run, "its server died; the summaries are being rebuilt");
        } else {
            run->state = RUN_STOPPED;
            set_note(run, "");
        }
    } else {
        json_decref(summary);
        run->state = RUN_UNREADABLE;
        set_note(run, "the run cannot be read");
    }
}

int64_t run_file_bytes(const char *path)
{
    char reserve[PATH_MAX + 16];
    snprintf(reserve, sizeof(reserve), "%s-reserve", path);
    return db_file_bytes(path) + db_wal_bytes(path) + db_file_bytes(reserve);
}

void run_unlink(const char *path)
{
    unlink(path);
    for (size_t i = 0; i < N_SIDE_FILES; i++) {
        char name[PATH_MAX + 16];
        snprintf(name, sizeof(name), "%s%s", path, side_files[i]);
        unlink(name);
    }
}
