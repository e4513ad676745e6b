/* unwind_arch.c - processors the unwinder knows. */
#include "capture/unwind_arch.h"

#include <elf.h>
#include <string.h>

/* Perf counts ax bx cx dx si di bp sp ip flags cs ss ds es fs gs r8-r15 (asm/perf_regs.h), DWARF
 * rax rdx rcx rbx rsi rdi rbp rsp r8-r15 and the return address (System V ABI, figure 3.36). */
const struct unwind_arch unwind_x86_64 = {
    .name = "x86-64",
    .elf_machine = EM_X86_64,
    .n_regs = 17,
    .pc = 16,
    .sp = 7,
    .fp = 6,
    .call_bytes = 8,
    .perf_mask = 0xff01ff,
    .perf_order = {0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15},
    .arguments = {5, 4, 1, 10, 8, 9}, /* rdi rsi rdx r10 r8 r9: syscall(2) */
};

const struct unwind_arch *unwind_arch_of_host(void)
{
#ifdef __x86_64__
    return &unwind_x86_64;
#else
    return NULL;
#endif
}

void unwind_regs_set(struct unwind_regs *regs, unsigned reg, uint64_t value)
{
    regs->value[reg] = value;
    regs->known |= UINT64_C(1) << reg;
}

bool unwind_regs_from_perf(const struct unwind_arch *arch, const uint64_t *values, size_t n,
                           struct unwind_regs *regs)
{
    memset(regs, 0, sizeof(*regs));
    if (n != (size_t)__builtin_popcountll(arch->perf_mask)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        unwind_regs_set(regs, arch->perf_order[i], values[i]);
    }
    return true;
}

void unwind_regs_parked(const struct unwind_arch *arch, uint64_t sp, uint64_t pc,
                        struct unwind_regs *regs)
{
    memset(regs, 0, sizeof(*regs));
    unwind_regs_set(regs, arch->sp, sp);
    unwind_regs_set(regs, arch->pc, pc);
}
