/*
 * cfi_expression.h - evaluates the DWARF expressions that CFI uses (DWARF 5, 2.5).
 *
 * Hostile input: the stack, the number of steps and the memory it may ask for are bounded. Any
 * thread; nothing is kept.
 */
#ifndef STAX_CAPTURE_CFI_EXPRESSION_H
#define STAX_CAPTURE_CFI_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/unwind_arch.h"

enum cfi_value {
    CFI_VALUE_OK,
    CFI_VALUE_BAD,     /* damaged, endless, or an operation CFI does not use */
    CFI_VALUE_UNKNOWN, /* needs a register whose value is not known */
    CFI_VALUE_MEMORY,  /* read() said no */
};

struct cfi_context {
    const struct unwind_arch *arch;
    const struct unwind_regs *regs;
    /* n <= 8 little-endian bytes of the target's memory, zero-extended. */
    bool (*read)(void *ctx, uint64_t address, size_t n, uint64_t *value);
    void *ctx;
};

/* initial is pushed first when not NULL (the CFA, for rules of registers). */
enum cfi_value cfi_expression_eval(const struct cfi_context *context, const uint8_t *bytes,
                                   size_t n, const uint64_t *initial, uint64_t *value);

#endif
