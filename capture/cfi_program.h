/*
 * cfi_program.h - runs the call frame instructions of one CIE or FDE (DWARF 5, 6.4.2, and the GNU
 * ones) and hands out each row they make.
 *
 * Programs are hostile: work is bounded by their length, nested saved states by a fixed number.
 * Any thread; nothing is kept.
 */
#ifndef STAX_CAPTURE_CFI_PROGRAM_H
#define STAX_CAPTURE_CFI_PROGRAM_H

#include "capture/cfi_bytes.h"
#include "capture/cfi_pool.h"

/* A .eh_frame or .debug_frame section in memory. */
struct cfi_section {
    const uint8_t *bytes;
    size_t n_bytes;
    uint64_t address; /* of its first byte, as an ELF virtual address */
    bool is_debug;    /* .debug_frame */
    bool is_open;     /* its end is not known: a terminator ends it */
};

/* What an FDE's program shares with its CIE. */
struct cfi_cie {
    uint64_t offset; /* of its length field in the section */
    uint64_t code_align;
    int64_t data_align;
    uint8_t encoding; /* of addresses, DW_EH_PE_* */
    bool has_augmentation, is_signal;
    struct cfi_state initial;
};

/* A row: from address on, state holds. False: enough. */
typedef bool cfi_row(void *ctx, uint64_t address, const struct cfi_state *state);

struct cfi_program {
    const struct unwind_arch *arch;
    const struct cfi_section *section; /* what addresses of DW_CFA_set_loc are relative to */
    const struct cfi_cie *cie;
    struct cfi_pool *pool; /* where expressions go */
    struct cfi_bytes bytes;
    uint64_t start, end; /* addresses it describes */
    cfi_row *row;
    void *ctx;
};

/* Runs an FDE's program; rows come in ascending order. False when the program is damaged: from
 * there on the last row has no CFA. */
bool cfi_program_run(const struct cfi_program *program);

/* Runs a CIE's program and leaves the state in cie->initial; row is not called. */
bool cfi_program_init_cie(const struct cfi_program *program, struct cfi_cie *cie);

/* An address as encoded in a section; false when it is cut off or relative to what a file cannot
 * tell. */
bool cfi_read_address(const struct cfi_section *section, unsigned encoding, struct cfi_bytes *b,
                      uint64_t *address);

#endif
