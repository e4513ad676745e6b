/*
 * lines.h - source lines and inlined functions of one binary, from its DWARF (4, 5, split, dwz,
 * compressed).
 *
 * DWARF is hostile: it is read into memory (no file is mapped, so one that shrinks raises nothing),
 * sections are judged before they are unpacked, and every walk has a budget of entries; what lies
 * beyond it has no lines. Of a unit only the list of functions is kept, of a function the inlined
 * calls, and only of those that were asked for. One thread at a time.
 */
#ifndef STAX_INGEST_LINES_H
#define STAX_INGEST_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct lines;

enum { LINES_MAX_DEPTH = 64 };

/* One function at an address. Texts are offsets into the buffer given to lines_find(). */
struct lines_row {
    uint32_t function;    /* linkage name, else name; 0: the function that was not inlined */
    uint32_t file;        /* 0: not known; absolute where the compiler said where it ran */
    uint32_t line;        /* 0: not known */
    const char *language; /* as symbol.language; static */
    bool is_static;       /* function: others may have its name */
    uint32_t declared;    /* ... which are declared elsewhere: file, line and column as text */
    uint64_t address;     /* of the function where it was not inlined, 0: nowhere */
};

/* Where the file is and its dwz alternate may be; borrowed for the call. */
struct lines_place {
    const char *path; /* of the file, for an alternate beside it; NULL: not known */
    const char *root; /* of the target, as in struct debug_wanted */
    int alt_fd;       /* what may be the alternate; -1: nothing known */
};

/* Takes fd, a file with DWARF, on success. path: as in struct lines_place.
 * Errors, with what is wrong: STAX_ECORRUPT (also compressed in a way that the libraries here do
 * not know), STAX_ELIMIT (larger than we read), STAX_ENOTFOUND (no DWARF). */
int lines_open(struct lines **out, int fd, const char *path, struct err *e);
int lines_open_at(struct lines **out, int fd, const struct lines_place *place, struct err *e);
/* NULL is accepted. */
void lines_close(struct lines *l);

/* The functions at an ELF virtual address, innermost first, the last one not inlined; texts are
 * appended to text, each with its NUL. Returns rows, 0 when nothing is known. */
size_t lines_find(struct lines *l, uint64_t address, struct lines_row rows[LINES_MAX_DEPTH],
                  struct buf *text);

/* From here on, code is of a line and of an inlined call. */
struct lines_span {
    uint64_t address;
    uint32_t file, line; /* as in struct lines_row */
    uint32_t call;       /* index + 1 in calls, 0: the function itself */
};

struct lines_inlined {
    uint32_t parent;               /* index + 1 of the call it is made in, 0: the function itself */
    uint32_t function, file, line; /* what is inlined, and where that is called */
};

/* The line table of a stretch of code: spans by address, each up to the next one. */
struct lines_table {
    struct lines_span *spans;
    size_t n_spans, cap_spans;
    struct lines_inlined *calls; /* parents before what they call */
    size_t n_calls, cap_calls;
    struct buf text; /* offset 0: none */
};

enum { LINES_TABLE_MAX = 1 << 20 }; /* spans of a table; what lies beyond is not known */

/* Fills an empty table with what lines_find() says of every address in [address, address + size).
 * False: nothing is known of any. The caller frees in either case. */
bool lines_read_table(struct lines *l, uint64_t address, uint64_t size, struct lines_table *t);
void lines_free_table(struct lines_table *t);

/* Whether a part that the compiler put into a file of its own (.dwo) was looked for in vain: its
 * lines are there, its inlined functions are not. */
bool lines_lacks_split(const struct lines *l);
/* The dwz alternate, a file that others share and without which what is inlined has no names. */
struct lines_alt {
    char *name;      /* as the file has it: a path, clean */
    char *build_id;  /* hex */
    const char *why; /* it is not used: "is missing", "is damaged", ...; static */
};
/* Borrowed; NULL: none is wanted, or it is there. */
const struct lines_alt *lines_missing_alt(const struct lines *l);
/* Whether units beyond some place could not be read. */
bool lines_is_damaged(const struct lines *l);
/* Memory held: sections read and what was built of them. */
size_t lines_bytes(const struct lines *l);

#endif
