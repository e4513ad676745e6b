/*
 * jit_cfi.h - how to unwind code that programs make at run time, from the unwinding info of
 * jitdumps.
 *
 * A process that maps a file jit-*.dump tells in it of the code it makes. A thread reads the file
 * and makes a table of each load's .eh_frame; the owner keeps what lay where at which time. A stack
 * needs what was written before it was sampled, so code is pending until the dump was read after
 * that, for some seconds at most; dumps without
 * unwinding info hold nothing up once they told of code.
 *
 * Memory is bounded: tables of code that was replaced go first, then further ones are dropped and
 * counted; a dump that hangs (a dead network mount) is given up. All functions are for the one
 * thread that owns the jit_cfi.
 */
#ifndef STAX_CAPTURE_JIT_CFI_H
#define STAX_CAPTURE_JIT_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/cfi_cache.h"
#include "capture/unwind.h"

struct jit_cfi;
struct jit_dump;

enum { JIT_CFI_DUMPS_MAX = 256 }; /* followed at a time */

struct jit_cfi_stats {
    size_t n_bytes;     /* of all tables */
    size_t n_tables;    /* that are kept */
    uint64_t n_dropped; /* without room, ever */
    size_t n_pending;   /* dumps that are to be read */
};

/* max_bytes: of all tables. STAX_ESYSTEM and *e: no thread or descriptor. */
int jit_cfi_new(struct jit_cfi **out, const struct unwind_arch *arch, size_t max_bytes,
                struct err *e);
/* Every reference must have been dropped. NULL is accepted. */
void jit_cfi_free(struct jit_cfi *j);

/* Whether a mapping is the mark of a jitdump. */
bool jit_cfi_is_dump(const struct cfi_file *file);
/* Follows it, with a reference for the caller; NULL: JIT_CFI_DUMPS_MAX are followed already. */
struct jit_dump *jit_cfi_follow(struct jit_cfi *j, const struct cfi_file *file);
struct jit_dump *jit_dump_ref(struct jit_dump *d);
/* NULL is accepted. */
void jit_dump_unref(struct jit_dump *d);
bool jit_dump_is_of(const struct jit_dump *d, uint64_t device, uint64_t inode);

/* What the dump says of the code at pc as of ts (ns, CLOCK_MONOTONIC). UNWIND_CODE and *code: how
 * to unwind it; UNWIND_NOT_CODE: it does not say. Borrowed until the next jit_cfi_collect(). */
enum unwind_found jit_dump_find(struct jit_dump *d, uint64_t pc, int64_t ts,
                                struct unwind_code *code);

/* Takes over what was read since, for some milliseconds at most. */
void jit_cfi_collect(struct jit_cfi *j);
/* Polls as readable when there is something to collect. Owned by j. */
int jit_cfi_fd(const struct jit_cfi *j);
void jit_cfi_get_stats(const struct jit_cfi *j, struct jit_cfi_stats *stats);

/* The table of the unwinding info of code at an address; NULL: it makes no sense. Any thread. */
struct cfi_table *jit_cfi_table(const struct unwind_arch *arch, const uint8_t *info, size_t n,
                                size_t n_header, uint64_t address, uint64_t n_code);

#endif
