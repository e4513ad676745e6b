/* run_file.c - see run_file.h. */
#include "ingest/run_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "ingest/debug_files.h"
#include "ingest/debuginfod.h"

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

static int open_debug_only(const struct run_file *f, struct names **names,
                           enum names_source *source, const char **note)
{
    struct debug_found found;
    if (!f->build_id) {
        return -1;
    }
    debug_files_find(&(struct debug_wanted){.path = f->path, .build_id = f->build_id}, &found);
    *source = NAMES_DEBUG_FILE;
    if (found.fd < 0 && f->debuginfod) {
        found.fd = debuginfod_find(f->debuginfod, f->build_id, f->path, &found.path);
        *source = NAMES_DEBUGINFOD;
    }
    if (found.fd >= 0 && !debug_files_is_build(found.fd, f->build_id)) {
        if (*source == NAMES_DEBUGINFOD) {
            debuginfod_refuse(f->servers, f->build_id, found.path);
            found.note = "debuginfod answered another build";
        }
        fd_close(&found.fd);
    }
    free(found.path);
    if (found.fd >= 0 && names_open_elf_debug(names, found.fd, found.fd, *source, NULL) != 0) {
        found.note = "separate debug file is damaged";
        fd_close(&found.fd);
    }
    *note = found.note;
    return found.fd;
}

int run_file_open(const struct run_file *f, struct names **names, enum names_source *source,
                  const char **note)
{
    int fd = open_mapped(f, names);
    *note = NULL;
    if (fd >= 0) {
        *source = names_best_source(*names);
        return fd;
    }
    return open_debug_only(f, names, source, note);
}
