/*
 * cfi_frames.h - the entries of .eh_frame and .debug_frame sections: which code they describe and
 * where its program lies (LSB "Exception Frames", DWARF 5 6.4.1).
 *
 * Each CIE is run once and only where the sequence of entries puts it, so work is linear in the
 * section's size whatever its pointers say. One thread; programs are borrowed from the sections.
 */
#ifndef STAX_CAPTURE_CFI_FRAMES_H
#define STAX_CAPTURE_CFI_FRAMES_H

#include "capture/cfi_program.h"

struct cfi_range {
    uint64_t start, end;
};

struct cfi_fde {
    uint64_t start;
    uint32_t n_code_bytes;
    uint32_t cie; /* index */
    const uint8_t *program;
    uint32_t n_program_bytes;
    uint32_t section; /* index: where two describe the same code, the first wins */
};

struct cfi_frames {
    const struct unwind_arch *arch;
    struct cfi_pool *pool;
    const struct cfi_range *code; /* FDEs of anything else are left out; n_code 0: no limit */
    size_t n_code;

    struct cfi_cie *cies;
    size_t n_cies, cap_cies;
    struct cfi_fde *fdes;
    size_t n_fdes, cap_fdes;
    size_t n_bad; /* entries that make no sense */
    bool is_cut;  /* a bound was reached */
};

/* Adds a section's entries. index numbers sections, in the order they are added. */
void cfi_frames_add(struct cfi_frames *f, const struct cfi_section *section, uint32_t index);
/* Adds code that no section describes; cie from cfi_frames_add_cie(). */
void cfi_frames_add_fde(struct cfi_frames *f, const struct cfi_fde *fde);
/* A CIE of our own (x86-64: CFA is rsp + 8, the return address just below); its index. */
uint32_t cfi_frames_add_cie(struct cfi_frames *f);
/* By start address, then section. */
void cfi_frames_sort(struct cfi_frames *f);
void cfi_frames_fini(struct cfi_frames *f);

#endif
