/*
 * mapped_file.h - the very file that a process has mapped, opened to be read.
 */
#ifndef STAX_CAPTURE_MAPPED_FILE_H
#define STAX_CAPTURE_MAPPED_FILE_H

#include <stdint.h>
#include <sys/stat.h>

struct mapped_file {
    int32_t pid;         /* that maps it */
    uint64_t start, end; /* where */
    uint64_t inode;
    const char *path; /* in the root of the process */
};

/* A descriptor of the regular file, with *st; -1: it cannot be opened, or is another by now. May
 * hang with its file system. */
int mapped_file_open(const struct mapped_file *f, struct stat *st);

#endif
