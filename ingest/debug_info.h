/*
 * debug_info.h - all that names one mapped file beyond its own symbol table: its separate debug
 * file, wherever that came from, and its lines.
 *
 * Holds descriptors; lines are read when an address asks for them and can be dropped again. One
 * thread at a time.
 */
#ifndef STAX_INGEST_DEBUG_INFO_H
#define STAX_INGEST_DEBUG_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ingest/lines.h"
#include "ingest/names.h"

struct debug_info {
    int fd;         /* of the mapped file, -1: gone */
    char *path;     /* as the target sees it */
    char *root;     /* of the target, or "" */
    char *build_id; /* or NULL */
    char *link;     /* .gnu_debuglink, or NULL */
    uint32_t link_crc;
    bool has_symtab, has_debug_info; /* of the mapped file */

    int debug_fd; /* the separate file, -1: none */
    char *debug_path;
    char *note;          /* why a separate file was refused, or NULL */
    bool is_downloading; /* servers are being asked */
    char *alt_build_id;  /* of the dwz alternate that its lines lack, NULL: none */
    int alt_fd;          /* of the alternate, from a server; -1: none */
    bool is_alt_asked;   /* servers are being asked, or were */
    struct lines *lines;
    bool has_no_lines; /* looked for in vain, */
    char *lines_error; /* ... because it cannot be read; or NULL */
    bool is_lack_told; /* by debug_info_lack() */
    uint64_t used;     /* for whoever drops lines: when they were last asked for */
};

/* Takes fd (-1: the file is gone); names: of that file, borrowed for the call. */
void debug_info_init(struct debug_info *d, int fd, const struct names *names, const char *path,
                     const char *root);
void debug_info_fini(struct debug_info *d);

/* Whether a separate file could add anything. */
bool debug_info_is_wanting(const struct debug_info *d);
/* Looks for the separate file on this machine. Returns better names (caller's), or NULL. */
struct names *debug_info_search(struct debug_info *d);
/* Takes a separate file that a server answered (fd, path copied); the same. *refused: why it is not
 * used, as debug_files_refusal() (free()), or NULL. */
struct names *debug_info_take(struct debug_info *d, int debug_fd, const char *path,
                              enum names_source source, char **refused);
/* Takes the dwz alternate that is missing from a server; lines are read anew when they are asked
 * for. Returns why it is not used (free()), or NULL. */
char *debug_info_take_alt(struct debug_info *d, int alt_fd);
/* Looks for a dwz alternate that was missing once more. Whether it is there now. */
bool debug_info_search_alt(struct debug_info *d);

/* lines_find() of whichever file has DWARF. */
size_t debug_info_find(struct debug_info *d, uint64_t address,
                       struct lines_row rows[LINES_MAX_DEPTH], struct buf *text);
/* lines_read_table(), likewise. */
bool debug_info_table(struct debug_info *d, uint64_t address, uint64_t size,
                      struct lines_table *table);
/* What was found to be missing of the lines since it was asked last (free()), or NULL. */
char *debug_info_lack(struct debug_info *d);
size_t debug_info_bytes(const struct debug_info *d);
void debug_info_drop_lines(struct debug_info *d);

#endif
