/*
 * lines_internal.h - what the parts of lines share: lines.c opens and answers, lines_units.c knows
 * which unit, function and inlined calls an address is in.
 */
#ifndef STAX_INGEST_LINES_INTERNAL_H
#define STAX_INGEST_LINES_INTERNAL_H

#include "ingest/lines.h"

#include <elfutils/libdw.h>
#include <stdbool.h>

enum {
    LINES_MAX_UNITS = 1 << 20,
    LINES_MAX_RANGES = 1 << 22,     /* of all units */
    LINES_MAX_DIE_RANGES = 1 << 14, /* of one entry */
    LINES_MAX_UNIT_DIES = 16 << 20, /* entries looked at while a unit is indexed */
    LINES_MAX_FUNCTION_DIES = 1 << 20,
    LINES_MAX_NESTING = 256
};

/* [low, high) belongs to item (index). */
struct lines_range {
    uint64_t low, high;
    uint32_t item;
};

struct lines_ranges {
    struct lines_range *items;
    size_t n, cap;
    bool is_sorted;
};

/* An inlined call. Parents have smaller indexes; NO_CALL: the function itself. */
struct lines_call {
    Dwarf_Die die;
    uint32_t parent;
};
#define LINES_NO_CALL UINT32_MAX

struct lines_function {
    Dwarf_Die die;
    bool is_read;
    struct lines_call *calls;
    size_t n_calls, cap_calls;
    struct lines_ranges ranges; /* of calls, in the order they were met: inner after outer */
};

struct lines_unit {
    Dwarf_Die die;   /* with the line table */
    Dwarf_Die inner; /* with the functions: the split unit where there is one */
    bool is_read;
    const char *language; /* NULL: not looked at yet */
    struct lines_function *functions;
    size_t n_functions, cap_functions;
    struct lines_ranges ranges; /* of functions */
};

struct lines {
    int fd, alt_fd;
    void *elf, *alt_elf; /* Elf */
    Dwarf *dwarf, *alt;
    struct lines_unit *units;
    size_t n_units, cap_units;
    struct lines_ranges ranges; /* of units */
    size_t n_bytes;
    void **padded; /* sections that did not end a string; see pad_strings() */
    size_t n_padded, cap_padded;
};

/* What a unit is written in, as symbol.language. */
const char *lines_language(struct lines_unit *u);
void lines_read_units(struct lines *l);
void lines_free_units(struct lines *l);
/* The unit and the function at address; function NULL: none. */
struct lines_unit *lines_find_unit(struct lines *l, uint64_t address);
struct lines_function *lines_find_function(struct lines *l, struct lines_unit *u, uint64_t address);
/* Up to where lines_find_unit() and lines_find_function() say the same as at address; u NULL: no
 * unit is there. */
uint64_t lines_same_until(struct lines *l, struct lines_unit *u, uint64_t address);
/* Reads the inlined calls of a function. */
void lines_read_calls(struct lines *l, struct lines_function *f);
/* Of an inlined call: texts are appended to text. */
struct lines_row lines_describe_call(const struct lines_unit *u, const struct lines_call *call,
                                     struct buf *text, uint32_t *function);
uint32_t lines_keep_file(const struct lines_unit *u, struct buf *text, const char *file);
/* Index of the innermost inlined call at address, LINES_NO_CALL. */
uint32_t lines_find_call(struct lines *l, struct lines_function *f, uint64_t address);

#endif
