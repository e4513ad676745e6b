/*
 * cfi_elf.h - what the CFI of an ELF file lies in: its sections, its code, its PLT.
 *
 * Hostile input: every size is checked against a bound and the file's end before it is allocated,
 * and the file is read, not mapped, as it may shrink meanwhile. Any thread.
 */
#ifndef STAX_CAPTURE_CFI_ELF_H
#define STAX_CAPTURE_CFI_ELF_H

#include "base/err.h"
#include "capture/cfi_frames.h"

enum { CFI_ELF_MAX_SECTIONS = 4, CFI_ELF_MAX_PLTS = 8, CFI_ELF_MAX_CODE = 64 };

struct cfi_plt {
    struct cfi_range range;
    bool is_lazy; /* entries that push an index: ".plt"; else each is one jump */
};

struct cfi_elf {
    struct cfi_section sections[CFI_ELF_MAX_SECTIONS]; /* bytes belong to this struct */
    size_t n_sections;
    struct cfi_plt plts[CFI_ELF_MAX_PLTS];
    size_t n_plts;
    struct cfi_range code[CFI_ELF_MAX_CODE]; /* executable segments */
    uint64_t code_offset[CFI_ELF_MAX_CODE];  /* where they begin in the file */
    size_t n_code;
};

/* Reads from fd, or from image if it is not NULL. 0 or an error as cfi_table_open() has it; elf
 * needs cfi_elf_fini() after success only. */
int cfi_elf_read(struct cfi_elf *elf, const struct unwind_arch *arch, int fd, const void *image,
                 size_t n, struct err *e);
void cfi_elf_fini(struct cfi_elf *elf);

#endif
