/*
 * address_space.h - which code lies where in a process, for unwinding its stacks.
 *
 * Executable mappings by address, each with its binary's unwind table, and the jitdumps of the
 * process. The kernel tells of mappings
 * but not of their removal, so what a new one overlaps is cut away. A forked process shares its
 * parent's space until either maps something. Reference counted; for the thread that owns the
 * cfi_cache.
 */
#ifndef STAX_CAPTURE_ADDRESS_SPACE_H
#define STAX_CAPTURE_ADDRESS_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "capture/cfi_cache.h"
#include "capture/jit_cfi.h"
#include "capture/unwind.h"

enum { ADDRESS_SPACE_MAPPINGS_MAX = 65536, ADDRESS_SPACE_DUMPS_MAX = 8 };

struct address_space;

struct address_mapping {
    uint64_t start, end;       /* virtual addresses, [start, end) */
    uint64_t file_offset;      /* of start, bytes */
    struct cfi_binary *binary; /* NULL: code of no file */
};

struct address_space *address_space_new(void);
struct address_space *address_space_ref(struct address_space *s);
/* NULL is accepted. */
void address_space_unref(struct address_space *s);

/* Adds a mapping and takes its binary's reference over. *s is made when it is NULL, and replaced by
 * a copy of its own when it is shared. What makes no sense or is one too many is left out. */
void address_space_map(struct address_space **s, const struct address_mapping *m);

/* What unwind() asks (struct unwind_input). s may be NULL. Borrowed until the next change. */
enum unwind_found address_space_find(const struct address_space *s, uint64_t pc,
                                     struct unwind_code *code);

/* Adds a jitdump and takes its reference over; one too many is left out. */
void address_space_add_dump(struct address_space **s, struct jit_dump *d);
bool address_space_has_dump(const struct address_space *s, uint64_t device, uint64_t inode);
/* What its jitdumps say of code at a time (jit_dump_find()). */
enum unwind_found address_space_find_jit(const struct address_space *s, uint64_t pc, int64_t ts,
                                         struct unwind_code *code);

size_t address_space_n_dumps(const struct address_space *s);
size_t address_space_n_mappings(const struct address_space *s);

#endif
