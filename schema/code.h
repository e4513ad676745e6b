/*
 * code.h - the machine code of a run's functions: from table code, else from the files that the run
 * names, as long as they are still what was mapped.
 *
 * Code is stored when a run ends and when it is saved, the hottest functions first, up to
 * CODE_FUNCTION_MAX bytes a function and CODE_RUN_MAX a run. A struct code_reader borrows its
 * connection and keeps the files of the last few binaries open. One thread at a time.
 */
#ifndef STAX_SCHEMA_CODE_H
#define STAX_SCHEMA_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "schema/db.h"

enum { CODE_FUNCTION_MAX = 1 << 20, CODE_RUN_MAX = 64 << 20 };

/* A new descriptor of the very file that a binary (binary.id) was mapped from, or -1. */
typedef int code_opener(void *ctx, int64_t binary);

struct code {
    uint64_t rel_address; /* of the first byte */
    struct buf bytes;
    bool is_stored; /* from table code, not from a file */
    bool is_cut;    /* the function is longer than CODE_FUNCTION_MAX */
};

struct code_reader;

/* opener NULL: files are looked for below the roots of the processes that mapped them and at their
 * own path, and taken if the build id is the recorded one, or, without one, if the file is older
 * than its mapping. */
struct code_reader *code_reader_new(struct db *db, code_opener *opener, void *ctx);
/* Reads the kernel's code from elsewhere than this machine's own files; borrowed. */
struct kernel_files;
void code_reader_set_kernel(struct code_reader *r, const struct kernel_files *files);
/* For archives: a jitdump has no build id, so that a path alone would choose what is read. */
void code_reader_refuse_dumps(struct code_reader *r);
/* NULL is accepted. */
void code_reader_free(struct code_reader *r);

/* The code of a function; code->bytes is the caller's to free. with_files: files may be read, which
 * is only for runs of this machine. Errors: STAX_ENOTFOUND with the reason that there is no code,
 * STAX_ELIMIT (larger than CODE_FUNCTION_MAX and its extent is not known). */
int code_read(struct code_reader *r, int64_t symbol, bool with_files, struct code *code,
              struct err *e);

struct code_fill {
    bool without_dumps;           /* the caller's, see code_reader_refuse_dumps() */
    int64_t n_functions, n_bytes; /* stored now, of all times */
    int64_t n_missing;            /* functions with samples whose code could not be had */
    int64_t n_over;               /* ... or did not fit max_bytes */
};

/* Stores the code of every function with samples, of its own or of what it calls, that has none
 * yet, in a transaction of its own on a writer. max_bytes: for all of it, at most CODE_RUN_MAX. */
int code_fill(struct db *db, code_opener *opener, void *ctx, int64_t max_bytes,
              struct code_fill *fill, struct err *e);

/* What is stored already. */
void code_totals(struct db *db, int64_t *n_functions, int64_t *n_bytes);

/* The ELF virtual address of a file offset in a binary, from its file. False: not known. */
bool code_address_of_offset(struct code_reader *r, int64_t binary, uint64_t offset,
                            uint64_t *address);

#endif
