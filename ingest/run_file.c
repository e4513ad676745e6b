/* run_file.c - see run_file.h. */
#include "ingest/run_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ingest/debug_files.h"
#include "ingest/debuginfod.h"
#include "ingest/file_reader.h"

static int open_mapped(const struct run_file *f, struct names **names)
{
    struct stat st;
    int fd = debug_files_open(f->path);
    if (fd < 0 || names_open_elf(names, fd, NULL) != 0) {
        fd_close(&fd);
        return -1;
    }
    const char *id = names_build_id(*names);
    bool is_same = f->build_id && id && strcmp(f->build_id, id) == 0;
    if (!f->build_id && !id && fstat(fd, &st) == 0) {
        is_same = (int64_t)st.st_mtim.tv_sec < f->start_wall_ns / 1000000000;
    }
    if (!is_same) {
        names_close(*names);
        *names = NULL;
        fd_close(&fd);
    }
    return fd;
}

static void set_note(struct debug_found *found, char *note)
{
    free(found->note);
    found->note = note;
}

/* Takes found, which is of the right build or refused. */
static int take_debug(const struct run_file *f, struct debug_found *found, enum names_source source,
                      struct names **names)
{
    char *failure = found->fd >= 0 ? debug_files_refusal(found->fd, f->build_id) : NULL;
    if (failure && source == NAMES_DEBUGINFOD) {
        struct buf note = {0};
        debuginfod_refuse(f->servers, f->build_id, found->path, failure);
        buf_addf(&note, "debuginfod %s", failure);
        set_note(found, buf_take(&note));
    }
    if (failure) {
        fd_close(&found->fd);
    }
    free(failure);
    free(found->path);
    if (found->fd >= 0 && names_open_elf_debug(names, found->fd, found->fd, source, NULL) != 0) {
        set_note(found, mem_strdup("separate debug file is there but damaged"));
        fd_close(&found->fd);
    }
    return found->fd;
}

/* What can be had without a server. */
static int open_here(const struct run_file *f, struct names **names, enum names_source *source,
                     char **note)
{
    struct debug_found found;
    int fd = open_mapped(f, names);
    *note = NULL;
    if (fd >= 0) {
        *source = names_best_source(*names);
        return fd;
    }
    if (!f->build_id) {
        return -1;
    }
    debug_files_find(&(struct debug_wanted){.path = f->path, .build_id = f->build_id}, &found);
    *source = NAMES_DEBUG_FILE;
    fd = take_debug(f, &found, *source, names);
    *note = found.note;
    return fd;
}

static int ask_servers(const struct run_file *f, struct names **names, enum names_source *source,
                       char **note)
{
    struct debug_found found = {.note = *note}; /* goes on unless there is news */
    found.fd = debuginfod_find(f->debuginfod, f->build_id, f->path, &found.path);
    *source = NAMES_DEBUGINFOD;
    int fd = take_debug(f, &found, *source, names);
    *note = found.note;
    return fd;
}

/* ---- files that may hang ---- */

static const int64_t PATIENCE_NS = 1000000000;

struct opening {
    struct aside_job job;
    char *path, *build_id;
    int64_t start_wall_ns;
    struct names *names;
    enum names_source source;
    char *note;
    int fd;
};

static void run_opening(struct aside_job *job)
{
    struct opening *o = (struct opening *)job;
    const struct run_file file = {
        .path = o->path, .build_id = o->build_id, .start_wall_ns = o->start_wall_ns};
    o->fd = open_here(&file, &o->names, &o->source, &o->note);
}

static void free_opening(struct aside_job *job)
{
    struct opening *o = (struct opening *)job;
    fd_close(&o->fd);
    names_close(o->names);
    free(o->note);
    free(o->path);
    free(o->build_id);
    free(o);
}

/* Of the folder, which is of one mount as a rule. */
static uint64_t key_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *p = path; p < slash; p++) {
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    }
    return hash;
}

static int open_aside(const struct run_file *f, struct names **names, enum names_source *source,
                      char **note)
{
    struct opening *o = mem_new(1, sizeof(*o));
    *o = (struct opening){.job = {.run = run_opening, .free = free_opening, .key = key_of(f->path)},
                          .path = mem_strdup(f->path),
                          .build_id = f->build_id ? mem_strdup(f->build_id) : NULL,
                          .start_wall_ns = f->start_wall_ns,
                          .fd = -1};
    if (aside_do(f->aside, &o->job, PATIENCE_NS, false) != ASIDE_ANSWERED) {
        *note = mem_strdup(file_reader_hangs);
        return -1;
    }
    int fd = o->fd;
    *names = o->names;
    *source = o->source;
    *note = o->note;
    o->names = NULL;
    o->note = NULL;
    o->fd = -1;
    free_opening(&o->job);
    return fd;
}

int run_file_open(const struct run_file *f, struct names **names, enum names_source *source,
                  char **note)
{
    int fd = open_aside(f, names, source, note);
    return fd < 0 && f->build_id && f->debuginfod ? ask_servers(f, names, source, note) : fd;
}
