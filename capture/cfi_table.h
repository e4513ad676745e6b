/*
 * cfi_table.h - how to unwind any address of one binary, compiled for fast look-up.
 *
 * Made once per binary from .eh_frame and .debug_frame by a parser of our own instead of libdw:
 * the file is hostile, and libdw neither bounds its work on damaged sections nor runs without
 * mapping the file, where a truncated file kills the reader by SIGBUS. Here every loop is bounded
 * by the bytes read, every table by a limit, and each damaged entry costs only itself. Work is
 * linear in the section: 0.1 s for a binary of 110 MB, so build away from the capture thread.
 *
 * A table is a sorted array of rows (8 bytes: start address, offset of a rule), an index over it
 * and the distinct rules (cfi_pool.h). Addresses are ELF virtual addresses. PLT sections that the
 * linker left without CFI (lld) get the rules their fixed layout gives. Compressed .debug_frame is
 * not read: what has one has .eh_frame or frame pointers (Go).
 *
 * A built table never changes: any number of threads may read it. The builder owns it.
 */
#ifndef STAX_CAPTURE_CFI_TABLE_H
#define STAX_CAPTURE_CFI_TABLE_H

#include "base/err.h"
#include "capture/cfi_frames.h"

struct cfi_table;

struct cfi_table_stats {
    size_t n_rows;
    size_t n_bytes;        /* all memory of the table */
    size_t n_fdes;         /* described functions */
    size_t n_bad;          /* entries that made no sense and were left out */
    size_t n_rules_bytes;  /* of it: rules and expressions */
    size_t n_missing_rows; /* rows whose rule could not be written down: no CFI there */
    bool is_cut;           /* a bound was reached: a part has no CFI */
};

/* Of a file, read with pread() (the offset of fd stays). A binary without CFI gives an empty table,
 * which tells code without CFI from code of no known binary. NULL and *e: no ELF file
 * (STAX_ECORRUPT), of another processor (STAX_EVERSION), or unreadable. */
struct cfi_table *cfi_table_open(const struct unwind_arch *arch, int fd, struct err *e);

/* The same of a file's bytes in memory (the vDSO), which are not kept. */
struct cfi_table *cfi_table_from_image(const struct unwind_arch *arch, const void *image, size_t n,
                                       struct err *e);

/* Of sections in memory, which are not kept. code (n_code 0: anything) limits what they may
 * describe. Never NULL. */
struct cfi_table *cfi_table_from_sections(const struct unwind_arch *arch,
                                          const struct cfi_section *sections, size_t n_sections,
                                          const struct cfi_range *code, size_t n_code);

/* What a mapping of the file adds to its ELF virtual addresses: start is where file_offset is
 * mapped. False when no executable segment of the file is mapped there, or the table is of no file.
 */
bool cfi_table_bias(const struct cfi_table *t, uint64_t start, uint64_t file_offset,
                    uint64_t *bias);

/* NULL is accepted. */
void cfi_table_free(struct cfi_table *t);

/* The rule for an address (cfi_pool.h), NULL where there is no CFI. Borrowed from the table. */
const uint32_t *cfi_table_find(const struct cfi_table *t, uint64_t address);
/* The expression that an offset in a rule names; borrowed, NULL if there is none. */
const uint8_t *cfi_table_expression(const struct cfi_table *t, int32_t offset, size_t *n);

void cfi_table_get_stats(const struct cfi_table *t, struct cfi_table_stats *stats);

#endif
