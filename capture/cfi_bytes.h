/*
 * cfi_bytes.h - reading hostile DWARF bytes.
 *
 * An error sticks: reading past the end gives 0 and sets is_short, so a run of reads is checked
 * once. Little-endian only, as every processor of unwind_arch.h is. Any thread; bytes are borrowed.
 */
#ifndef STAX_CAPTURE_CFI_BYTES_H
#define STAX_CAPTURE_CFI_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cfi_bytes {
    const uint8_t *at, *end;
    bool is_short;
};

/* DW_EH_PE_*: low four bits the format, the next three what the value is relative to. */
enum {
    CFI_PE_ABSPTR = 0x00,
    CFI_PE_PCREL = 0x10,
    CFI_PE_RELATIVE_MASK = 0xf0,
    CFI_PE_OMIT = 0xff,
};

static inline size_t cfi_bytes_left(const struct cfi_bytes *b)
{
    return (size_t)(b->end - b->at);
}

/* One byte. */
uint8_t cfi_u8(struct cfi_bytes *b);
/* An unsigned integer of n <= 8 bytes. */
uint64_t cfi_uint(struct cfi_bytes *b, size_t n);
/* The same, its sign extended. */
int64_t cfi_sint(struct cfi_bytes *b, size_t n);
/* LEB128; bits beyond the 64th are dropped. */
uint64_t cfi_uleb(struct cfi_bytes *b);
int64_t cfi_sleb(struct cfi_bytes *b);
/* The next n bytes as a reader of their own, which b moves past. */
struct cfi_bytes cfi_take(struct cfi_bytes *b, uint64_t n);
/* A value of an encoding's format only (its low four bits). Sets is_short for unknown formats. */
uint64_t cfi_encoded(struct cfi_bytes *b, unsigned encoding);

#endif
