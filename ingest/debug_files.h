/*
 * debug_files.h - the separate file that holds the symbols and DWARF of a stripped binary.
 *
 * Looked for under the target's own root first, then under ours: by build id in the debug
 * directories (STAX_DEBUG_DIRS, separated by colons; default /usr/lib/debug), then by the name in
 * .gnu_debuglink beside the binary, in .debug/ beside it, and under the debug directories. A file
 * of another build is refused: build ids decide where both have one, else the link's CRC; so is one
 * that is cut off. Any thread; may take as long as the disk takes.
 */
#ifndef STAX_INGEST_DEBUG_FILES_H
#define STAX_INGEST_DEBUG_FILES_H

#include <stdbool.h>
#include <stdint.h>

struct debug_wanted {
    const char *root;     /* of the target, "/proc/PID/root"; NULL or "": only ours */
    const char *path;     /* of the binary as the target sees it; NULL: not known */
    const char *build_id; /* hex, or NULL */
    const char *link;     /* .gnu_debuglink, or NULL */
    uint32_t link_crc;
};

struct debug_found {
    int fd;     /* -1: none; the caller's */
    char *path; /* of it; free() */
    char *note; /* why a file that was there is not used, or NULL; free() */
};

void debug_files_find(const struct debug_wanted *wanted, struct debug_found *found);

/* Whether an open file has this build id (hex). */
bool debug_files_is_build(int fd, const char *build_id);
/* Why what a server answered is not used (free()), "answered another build", "answered a damaged
 * file (...)"; NULL: nothing is wrong with it. */
char *debug_files_refusal(int fd, const char *build_id);

/* Opens a regular file for reading, never waiting for a FIFO or a device; -1. */
int debug_files_open(const char *path);

#endif
