/*
 * bench_frames.c - unwinds a stopped process from given registers, for comparison with other
 * unwinders (tests/cli/unwind.sh).
 *
 *   bench_frames PID
 *
 * Reads lines of the 17 registers in DWARF's order (rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip) in
 * hexadecimal, and answers each with a line: how the stack ended, then the pcs, innermost first.
 * All memory is read from the process, which must not run meanwhile.
 */
#include <errno.h>
#include <sys/uio.h>

#include "tests/bench/bench.h"
#include "tests/unit/capture/unwind_space.h"

enum { LINE_BYTES = 1024 };

struct process {
    pid_t pid;
    struct space space;
};

static bool read_process(void *ctx, uint64_t address, void *to, size_t n)
{
    const struct process *p = ctx;
    struct iovec local = {to, n};
    struct iovec remote = {(void *)(uintptr_t)address, n}; // NOLINT
    return process_vm_readv(p->pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

static enum unwind_found find_code(void *ctx, uint64_t pc, struct unwind_code *code)
{
    struct process *p = ctx;
    return space_find(&p->space, pc, code);
}

static bool read_registers(char *line, struct unwind_regs *regs)
{
    char *at = line;
    for (unsigned i = 0; i < unwind_x86_64.n_regs; i++) {
        char *end;
        uint64_t value = strtoull(at, &end, 16);
        if (end == at) {
            return false;
        }
        unwind_regs_set(regs, i, value);
        at = end;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct process p = {.pid = argc == 2 ? (pid_t)atoi(argv[1]) : 0};
    static struct unwind_stack stack;
    char line[LINE_BYTES];
    if (p.pid <= 0) {
        fprintf(stderr, "usage: bench_frames PID\n");
        return 2;
    }
    while (fgets(line, sizeof(line), stdin)) {
        struct unwind_input in = {
            .arch = &unwind_x86_64, .find = find_code, .read = read_process, .ctx = &p};
        if (!read_registers(line, &in.regs)) {
            fprintf(stderr, "bench_frames: not 17 registers: %s", line);
            return 1;
        }
        space_load_process(&p.space, p.pid);
        in.stack_address = in.regs.value[unwind_x86_64.sp];
        unwind(&in, &stack);
        printf("%s", unwind_end_name(stack.end));
        for (uint32_t i = 0; i < stack.n; i++) {
            printf(" %llx", (unsigned long long)stack.pc[i]);
        }
        printf("\n");
        fflush(stdout);
    }
    space_free(&p.space);
    return 0;
}
