/*
 * run_file.h - the files that a stopped run names, as far as this machine still has what was
 * recorded: build ids say so; a file without one is believed when it is older than the run. Any
 * thread.
 */
#ifndef STAX_INGEST_RUN_FILE_H
#define STAX_INGEST_RUN_FILE_H

#include <stdint.h>

#include "ingest/names.h"

struct debuginfod;

struct run_file {
    const char *path;
    const char *build_id; /* or NULL */
    int64_t start_wall_ns;
};

/* The mapped file, else its debug file alone, which has symbols, segments and DWARF; the latter
 * also from servers (NULL: none are asked). Returns its descriptor and *names, both the caller's,
 * and how good the names are; -1: nothing of the same build is here. */
int run_file_open(const struct run_file *f, struct debuginfod *servers, struct names **names,
                  enum names_source *source);

#endif
