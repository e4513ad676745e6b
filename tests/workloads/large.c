/*
 * large.c - burns CPU, in a binary of 120 MB with the unwind information of 400,000 functions.
 *
 *   large [--seconds 3]   of CPU time
 *
 * Making its table takes a good part of a second, which samples of its first moments wait for.
 */
#include <stdlib.h>
#include <string.h>

#include "truth.h"

/* Functions that nobody calls, each with its CFI, and data that nobody reads. */
__asm__(".text\n"
        ".rept 400000\n"
        ".p2align 4\n"
        ".cfi_startproc\n"
        "push %rbx\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_offset %rbx, -16\n"
        "nop\n"
        "pop %rbx\n"
        ".cfi_adjust_cfa_offset -8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".endr\n"
        ".section .rodata\n"
        ".skip 100000000, 1\n"
        ".text\n");

DEFINE_BURN(burn_large, 6364136223846793005u)

static __attribute__((noinline)) void burn_below(int depth, int64_t until_ns)
{
    if (depth) {
        burn_below(depth - 1, until_ns);
    } else {
        while (thread_cpu_ns() < until_ns) {
            (void)burn_large((uint64_t)until_ns, UNIT_ITERATIONS);
        }
    }
    __asm__ volatile(""); /* the call is none in tail position */
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 3;
    burn_below(10, thread_cpu_ns() + (int64_t)(seconds * 1e9));
    return 0;
}
