/*
 * unwind.h - from registers and memory of a thread to the return addresses of its callers.
 *
 * Frames are unwound by their binary's CFI (cfi_table.h). Where there is none (JIT code,
 * hand-written assembly) the frame pointer is followed if what it gives is plausible, and the frame
 * is marked. All memory comes from a copy of the stack; what lies outside it (a deeper stack, an
 * alternate signal stack) may be read from the target if the caller allows it, which is later than
 * the sample was taken, so that those frames are marked too, and kept only if
 * they lead to the root.
 *
 * Nothing is trusted: registers, stack and tables may be the target's invention. The work is
 * bounded by UNWIND_MAX_FRAMES and the bounds of cfi_expression.h. No allocation, no state: any
 * thread, as long as the tables live.
 */
#ifndef STAX_CAPTURE_UNWIND_H
#define STAX_CAPTURE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/cfi_table.h"
#include "capture/unwind_arch.h"

enum { UNWIND_MAX_FRAMES = 1024 };

/* How a stack ended; everything but the first is an unfinished stack. X(name, wire name). */
#define UNWIND_ENDS(X)                                                                             \
    X(ROOT, "root")                         /* the thread's first function */                      \
    X(EXHAUSTED, "stack_copy_exhausted")    /* the stack goes on beyond the copy */                \
    X(NO_CFI, "no_cfi")                     /* code without CFI nor a plausible frame pointer */   \
    X(BAD_CFA, "bad_cfa")                   /* the frame does not advance, or lies elsewhere */    \
    X(TOO_DEEP, "too_deep")                 /* more than UNWIND_MAX_FRAMES */                      \
    X(BAD_MEMORY, "bad_memory")             /* a rule needs memory that could not be read */       \
    X(BAD_PC, "bad_return_address")         /* a return address that is no code */                 \
    X(UNKNOWN_REGISTER, "unknown_register") /* a rule needs a register nobody knows */             \
    X(PENDING, "pending")                   /* find() said that the table is not ready */

enum unwind_end {
#define X(name, wire) UNWIND_##name,
    UNWIND_ENDS(X)
#undef X
        UNWIND_N_ENDS
};

/* The wire name of an enum unwind_end. Static storage. */
const char *unwind_end_name(enum unwind_end end);

/* What is known about the code around a pc. */
struct unwind_code {
    uint64_t start, end;           /* the mapping, so that its neighbours need no look-up */
    uint64_t bias;                 /* pc - bias is an ELF virtual address of table */
    const struct cfi_table *table; /* NULL: code without CFI (JIT) */
};

enum unwind_found {
    UNWIND_NOT_CODE, /* no executable mapping */
    UNWIND_CODE,
    UNWIND_CODE_PENDING, /* its table is being made: stop, the caller will try again */
};

struct unwind_input {
    const struct unwind_arch *arch;
    struct unwind_regs regs;

    /* The copy of the stack, usually from SP on. Borrowed. */
    uint64_t stack_address;
    const uint8_t *stack;
    size_t n_stack_bytes;

    /* Fills *code for an address. Must answer the same for the same address during one call. */
    enum unwind_found (*find)(void *ctx, uint64_t pc, struct unwind_code *code);
    /* n bytes of the target's memory outside the copy; NULL: there is only the copy. Of a running
     * thread it is right only within the life of the outer frames: in a few microseconds. */
    bool (*read)(void *ctx, uint64_t address, void *to, size_t n);
    void *ctx;

    /* The kernel's frame-pointer chain of the same moment, the sampled pc first; n_chain 0: none.
     * It continues a stack whose copy ended, if both agree up to there. Borrowed. */
    const uint64_t *chain;
    size_t n_chain;
};

/* How a frame was found, and what its address is. */
enum {
    UNWIND_IS_EXACT = 1,   /* the pc itself (sampled, or interrupted by a signal): not a return
                            * address, so names are looked up at it, not one byte before */
    UNWIND_BY_FP = 2,      /* by a frame pointer, without CFI */
    UNWIND_BY_GUESS = 4,   /* by what stood at the top of the stack or looked like a frame */
    UNWIND_BY_CHAIN = 8,   /* from the kernel's chain */
    UNWIND_FROM_LIVE = 16, /* with memory read after the sample */
    UNWIND_AFTER_GAP = 32, /* frames may be missing between the one before and this */
};

struct unwind_stack {
    enum unwind_end end;
    uint32_t n;
    uint32_t n_marked;              /* frames with a flag other than UNWIND_IS_EXACT */
    uint64_t pc[UNWIND_MAX_FRAMES]; /* sampled pc, then return addresses, callers last */
    uint8_t flags[UNWIND_MAX_FRAMES];
    uint64_t sp[UNWIND_MAX_FRAMES]; /* at that pc; 0 where unknown (UNWIND_BY_CHAIN) */
};

/* Unwinds. out needs no initialisation; it holds what was found whatever the end. */
void unwind(const struct unwind_input *in, struct unwind_stack *out);

#endif
