/*
 * cfi_cache.h - the unwind tables of the binaries a target maps, made once and shared.
 *
 * A binary is known by device and inode. Its table is compiled on a thread of the cache, since that
 * takes up to half a second; until then it is pending, but never for longer than some seconds: of a
 * file that hangs (a dead network mount) stacks go without, and other files get another thread. A
 * file is opened through the root of a process that maps it, and taken only if it is a regular file
 * with the mapped inode. An inode can be given to another file once nobody maps it, so a binary
 * that is mapped anew is looked at again, and its table made anew when size or times have changed.
 *
 * Memory is bounded: tables that no process maps go first, oldest use first; a table that finds no
 * room is dropped and counted, and asked for again when it is mapped anew and others were freed or
 * some seconds have passed. Binaries that nobody maps any more are forgotten in the end.
 * All functions are for the one thread that owns the cache, which alone changes it; the cache's
 * threads only get files to read and hand back tables. Tables are borrowed until the next
 * cfi_cache_get() or cfi_cache_collect().
 */
#ifndef STAX_CAPTURE_CFI_CACHE_H
#define STAX_CAPTURE_CFI_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/cfi_table.h"

struct cfi_cache;
struct cfi_binary;

/* A mapped file, as its mapping names it. */
struct cfi_file {
    int32_t pid;         /* that maps it */
    uint64_t start, end; /* where */
    uint64_t device;     /* major << 32 | minor */
    uint64_t inode;
    const char *path; /* in the root of the process; not terminated */
    size_t path_len;
    int64_t ts; /* ns, CLOCK_MONOTONIC, when it was mapped */
};

struct cfi_cache_stats {
    size_t n_binaries; /* with a table */
    size_t n_bytes;    /* of all tables */
    size_t n_known;    /* binaries, with a table or not */
    size_t n_pending;
    uint64_t n_made;     /* tables, ever */
    uint64_t n_unread;   /* files that could not be read or are no ELF files, ever */
    uint64_t n_dropped;  /* tables without room, ever */
    int64_t max_make_ns; /* the longest it took to make one */
};

/* max_bytes: of all tables. STAX_ESYSTEM and *e: no thread or descriptor. */
int cfi_cache_new(struct cfi_cache **cache, const struct unwind_arch *arch, size_t max_bytes,
                  struct err *e);
/* Every reference must have been dropped. NULL is accepted. */
void cfi_cache_free(struct cfi_cache *c);

/* The binary of a mapping, with a reference for the caller; its table is asked for. NULL: no file.
 */
struct cfi_binary *cfi_cache_get(struct cfi_cache *c, const struct cfi_file *file);
/* The vDSO, the same in all processes of this kernel; with a reference. */
struct cfi_binary *cfi_cache_vdso(struct cfi_cache *c);
struct cfi_binary *cfi_binary_ref(struct cfi_binary *b);
/* NULL is accepted. */
void cfi_binary_unref(struct cfi_binary *b);

/* Whether the table may come yet; cfi_binary_table() is NULL then. */
bool cfi_binary_is_pending(const struct cfi_binary *b);
/* NULL: there is none. */
const struct cfi_table *cfi_binary_table(const struct cfi_binary *b);

/* Takes over what was made since; cheap when that is nothing. */
void cfi_cache_collect(struct cfi_cache *c);
/* A descriptor that polls as readable when there is something to collect. Owned by the cache. */
int cfi_cache_fd(const struct cfi_cache *c);

void cfi_cache_get_stats(const struct cfi_cache *c, struct cfi_cache_stats *stats);

#endif
