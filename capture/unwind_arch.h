/*
 * unwind_arch.h - what the unwinder knows about a processor, in one table.
 *
 * Registers are named by their DWARF numbers everywhere in the unwinder; this table says how many
 * there are, which of them are special and in which order perf delivers them. Constant data, any
 * thread.
 */
#ifndef STAX_CAPTURE_UNWIND_ARCH_H
#define STAX_CAPTURE_UNWIND_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most registers any processor below has: the size of a register file. */
enum { UNWIND_MAX_REGS = 17 };

struct unwind_arch {
    const char *name;
    uint16_t elf_machine;   /* EM_* */
    uint8_t n_regs;         /* DWARF numbers 0 to n_regs - 1 are followed */
    uint8_t pc, sp, fp;     /* pc is also the return address column of CFI */
    uint8_t call_bytes;     /* what a call pushes: how far SP lies below the CFA on entry */
    uint64_t perf_mask;     /* perf_event_attr.sample_regs_user */
    uint8_t perf_order[32]; /* DWARF number of each register of a sample, in perf's order */
    uint8_t arguments[6];   /* of a system call under way, DWARF numbers */
};

extern const struct unwind_arch unwind_x86_64;

/* Of the processor this runs on; NULL: stacks cannot be unwound there. */
const struct unwind_arch *unwind_arch_of_host(void);

/* Values of registers, and which of them are known (bit n: DWARF register n). */
struct unwind_regs {
    uint64_t value[UNWIND_MAX_REGS];
    uint64_t known;
};

/* Sets one register. */
void unwind_regs_set(struct unwind_regs *regs, unsigned reg, uint64_t value);

/* All registers of a sample as PERF_SAMPLE_REGS_USER gives them under arch->perf_mask, without the
 * leading ABI word. False when n is not their number (a 32-bit task, no user registers). */
bool unwind_regs_from_perf(const struct unwind_arch *arch, const uint64_t *values, size_t n,
                           struct unwind_regs *regs);

/* Of a parked thread, of which only these two are known (/proc/PID/task/TID/syscall). */
void unwind_regs_parked(const struct unwind_arch *arch, uint64_t sp, uint64_t pc,
                        struct unwind_regs *regs);

#endif
