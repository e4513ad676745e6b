/*
 * run_file.h - the files that a stopped run names, as far as this machine still has what was
 * recorded: build ids say so; a file without one is believed when it is older than the run.
 * Files are opened and read aside: one on a mount that hangs counts as missing. Any thread.
 */
#ifndef STAX_INGEST_RUN_FILE_H
#define STAX_INGEST_RUN_FILE_H

#include <stdint.h>

#include "base/aside.h"
#include "ingest/names.h"

struct debuginfod;
struct debuginfod_servers;

struct run_file {
    const char *path;
    const char *build_id; /* or NULL */
    int64_t start_wall_ns;
    struct aside *aside;                /* borrowed: the caller's threads for it */
    struct debuginfod *debuginfod;      /* asked for debug files; NULL: no server is asked */
    struct debuginfod_servers *servers; /* ... told of answers that are refused */
};

/* The mapped file, else its debug file alone, which has symbols, segments and DWARF; the latter
 * also from debuginfod. Returns its descriptor and *names, both the caller's, and how good the
 * names are; -1: nothing of the same build is here. *note: what was refused, free(); NULL: nothing.
 */
int run_file_open(const struct run_file *f, struct names **names, enum names_source *source,
                  char **note);

#endif
