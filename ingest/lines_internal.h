/*
 * lines_internal.h - what the parts of lines share: lines.c opens and answers, lines_alt.c finds
 * the dwz alternate, lines_units.c knows which unit, function and inlined calls an address is in,
 * lines_origins.c which function a call is of, lines_names.c and lines_types.c what that is called.
 */
#ifndef STAX_INGEST_LINES_INTERNAL_H
#define STAX_INGEST_LINES_INTERNAL_H

#include "ingest/lines.h"

#include <elfutils/libdw.h>
#include <stdbool.h>

#include "base/map.h"

enum {
    LINES_MAX_UNITS = 1 << 20,
    LINES_MAX_RANGES = 1 << 22,     /* of all units */
    LINES_MAX_DIE_RANGES = 1 << 14, /* of one entry */
    LINES_MAX_UNIT_DIES = 16 << 20, /* entries looked at while a unit is indexed */
    LINES_MAX_FUNCTION_DIES = 1 << 20,
    LINES_MAX_NESTING = 256,
    LINES_MAX_ORIGINS = 8 /* entries that lead from one to the next */
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
    uint64_t low; /* where it begins */
    bool is_read;
    struct lines_call *calls;
    size_t n_calls, cap_calls;
    struct lines_ranges ranges; /* of calls, in the order they were met: inner after outer */
};

/* A function that is inlined in a unit. */
struct lines_origin {
    uint32_t name, declared; /* in lines.origin_text */
    bool is_static;
    uint64_t address; /* as in struct lines_row */
};

struct lines_unit {
    Dwarf_Die die;   /* with the line table */
    Dwarf_Die inner; /* with the functions: the split unit where there is one */
    bool is_read;
    const char *language; /* NULL: not looked at yet */
    struct lines_function *functions;
    size_t n_functions, cap_functions;
    struct lines_ranges ranges; /* of functions */
    struct map out_of_line;     /* entry of what it is an instance of -> function + 1 */
    struct map origins;         /* entry of what is inlined -> index in lines.origins + 1 */
};

struct lines {
    int fd, alt_fd;
    void *elf, *alt_elf; /* Elf */
    Dwarf *dwarf, *alt;
    struct lines_alt wanted_alt; /* build_id NULL: it has none */
    bool has_alt;
    struct lines_unit *units;
    size_t n_units, cap_units;
    struct lines_ranges ranges; /* of units */
    size_t n_bytes;
    bool has_all_units; /* all were read */
    bool lacks_split;   /* some unit's other half is missing */
    bool is_damaged;    /* units beyond some place were not read */
    struct lines_origin *origins;
    size_t n_origins, cap_origins;
    struct buf origin_text;
    /* Entries have no way to what they are in: what was found of it. */
    struct map parent_of; /* entry -> index in parents + 1 */
    Dwarf_Die *parents;
    size_t n_parents, cap_parents;
    uint64_t passed_bytes, n_members; /* spent on names; bounded */
    struct map has_types;             /* entry of a unit -> 1, 2: it has none */
    void **padded;                    /* sections that did not end a string; see pad_strings() */
    size_t n_padded, cap_padded;
};

/* The DWARF of fd, which is the main file's or its alternate's. */
int lines_open_dwarf(struct lines *l, int fd, void **elf, Dwarf **dwarf, struct err *e);
/* Finds the dwz alternate, if the file has one. */
void lines_open_alt(struct lines *l, const struct lines_place *place);
/* What a unit is written in, as symbol.language. */
const char *lines_language(struct lines_unit *u);
/* The word for a DW_LANG_*; "": none is known. */
const char *lines_language_of(uint64_t code);
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
/* Reads the functions of every unit. */
void lines_read_all_units(struct lines *l);
/* What is inlined by a call; borrowed until the next call. */
const struct lines_origin *lines_origin_of(struct lines *l, struct lines_unit *u,
                                           const struct lines_call *call);
/* The entry that an attribute of die refers to. */
bool lines_refer(Dwarf_Die *die, unsigned name, Dwarf_Die *to);
/* The entry that die is a child of. */
bool lines_find_parent(struct lines *l, Dwarf_Die *die, Dwarf_Die *parent);
void lines_free_origins(struct lines *l);
/* Appends the name of a C++ function as the demangler would print it. False: it has none. */
bool lines_make_name(struct lines *l, Dwarf_Die *function, struct buf *out);
/* Of an inlined call: what is inlined, in *what, and where that is called; texts are appended. */
struct lines_row lines_describe_call(struct lines *l, struct lines_unit *u,
                                     const struct lines_call *call, struct buf *text,
                                     struct lines_row *what);
uint32_t lines_keep_file(const struct lines_unit *u, struct buf *text, const char *file);
/* Index of the innermost inlined call at address, LINES_NO_CALL. */
uint32_t lines_find_call(struct lines *l, struct lines_function *f, uint64_t address);

#endif
