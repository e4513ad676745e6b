/*
 * lines_namer.h - what makes the name of a C++ function: lines_names.c functions, classes and
 * lambdas, lines_types.c types.
 */
#ifndef STAX_INGEST_LINES_NAMER_H
#define STAX_INGEST_LINES_NAMER_H

#include <stdbool.h>

#include "base/buf.h"
#include "ingest/lines_internal.h"

enum {
    NAMER_MAX_DEPTH = 48,        /* of names in names */
    NAMER_MAX_MEMBERS = 1 << 16, /* entries looked at for a name */
};

struct namer {
    struct lines *l;
    struct buf *out;
    unsigned depth;
    unsigned n_members;
    bool is_over; /* what was made is no name */
};

/* False, from then on: more than a name has. */
bool namer_is_within(struct namer *n);

bool namer_type_of(Dwarf_Die *die, Dwarf_Die *type);
bool namer_has_flag(Dwarf_Die *die, unsigned name);
const char *namer_own_name(Dwarf_Die *die);
/* A type without const, volatile and typedefs. */
void namer_strip(Dwarf_Die *type);
bool namer_is_class(int tag);
/* The operator() of a closure: a class without a name that has one. */
bool namer_find_call(struct namer *n, Dwarf_Die *die, Dwarf_Die *call);

/* A namespace or type with what is around it. */
void namer_add_qualified(struct namer *n, Dwarf_Die *die);
/* A type; inner: what stands around the name of what is of that type, if it had one. */
void namer_add_type(struct namer *n, Dwarf_Die *die, const char *inner);
/* "(int, ...)" of a function or a type of one; with_object: and const, volatile, & of the object it
 * is called for. */
void namer_add_parameters(struct namer *n, Dwarf_Die *die, bool with_object);

#endif
