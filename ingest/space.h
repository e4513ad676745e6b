/*
 * space.h - the executable mappings of one address space, and which frame each address means.
 *
 * A forked process shares its parent's space until either maps something (copy on write), so 5,000
 * forks cost 5,000 references. Reference counted; one thread.
 */
#ifndef STAX_INGEST_SPACE_H
#define STAX_INGEST_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

struct space_mapping {
    uint64_t start, end; /* virtual addresses, [start, end) */
    uint64_t file_offset;
    uint32_t binary; /* binary id */
};

struct space {
    unsigned n_refs;
    struct space_mapping *mappings; /* by start, not overlapping */
    size_t n_mappings, cap_mappings;
    struct map pcs;     /* sampled pc -> frame id, of this space */
    struct map returns; /* return address -> frame id */
};

struct space *space_new(void);
struct space *space_ref(struct space *s);
/* Drops a reference; NULL is accepted. */
void space_unref(struct space *s);

/* Adds a mapping, cutting away what it covers. Replaces *s by a copy of its own when it is shared.
 * More than 65,536 mappings: it is refused (returns -1), else 0. */
int space_map(struct space **s, const struct space_mapping *m);

/* The mapping that holds address, or NULL; borrowed until the next change. */
const struct space_mapping *space_find(const struct space *s, uint64_t address);

#endif
