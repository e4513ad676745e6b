/*
 * unwind_truth.cpp - runs code of all kinds one instruction at a time and writes, at each, its
 * registers, a copy of its stack and the frames that libgcc's unwinder finds (unwind_truth.h).
 * Built and run by test_unwind_truth.c with optimisation and without frame pointers.
 *
 *   unwind_truth OUTPUT    also writes OUTPUT.maps
 */
#include <alloca.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <stdexcept>
#include <string>

#include "unwind_truth.h"

namespace
{

enum { MAX_SEEN = 1 << 16, PER_PC = 2, MAX_STACK = 48 << 10, TRAP_FLAG = 0x100 };

FILE *output;
const char *case_name;
volatile bool is_stepping;
volatile int sink;
struct {
    uint64_t pc;
    int n;
} seen[MAX_SEEN];
uint64_t stack_top;
uint64_t libgcc_start, libgcc_end;

/* The unwinder itself, which is no truth about its own eh_return. */
int find_libgcc(dl_phdr_info *info, size_t, void *)
{
    for (int i = 0; strstr(info->dlpi_name, "libgcc_s") && i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            libgcc_start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            libgcc_end = libgcc_start + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 0;
}

/* Whether a pc of this case should be written once more. */
bool is_wanted(uint64_t pc)
{
    if (pc >= libgcc_start && pc < libgcc_end) {
        return false;
    }
    size_t at = (pc * 0x9e3779b97f4a7c15ull >> 40) % MAX_SEEN;
    while (seen[at].pc && seen[at].pc != pc) {
        at = (at + 1) % MAX_SEEN;
    }
    seen[at].pc = pc;
    return seen[at].n++ < PER_PC;
}

sigjmp_buf crash_target;
volatile sig_atomic_t is_collecting;

void on_crash(int)
{
    if (!is_collecting) {
        _exit(3);
    }
    is_collecting = 0;
    siglongjmp(crash_target, 1);
}

struct collector {
    truth *t;
    uint64_t from; /* frames before this pc are the handler's */
    bool is_on;
};

_Unwind_Reason_Code collect(_Unwind_Context *context, void *ctx)
{
    collector *c = static_cast<collector *>(ctx);
    uint64_t pc = _Unwind_GetIP(context);
    c->is_on |= pc == c->from;
    if (c->is_on && pc && c->t->n_frames < TRUTH_MAX_FRAMES) {
        c->t->frames[c->t->n_frames++] = pc;
    }
    return _URC_NO_REASON;
}

void write_truth(const ucontext_t *u)
{
    static const int order[TRUTH_N_REGS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                            REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                            REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    static truth t;
    memset(&t, 0, sizeof(t));
    snprintf(t.name, sizeof(t.name), "%s", case_name);
    for (int i = 0; i < TRUTH_N_REGS; i++) {
        t.regs[i] = static_cast<uint64_t>(u->uc_mcontext.gregs[order[i]]);
    }
    collector c = {&t, t.regs[16], false};
    /* GCC's CFI is wrong in places (the end of a function that realigns its stack). */
    if (sigsetjmp(crash_target, 1) != 0) {
        return;
    }
    is_collecting = 1;
    _Unwind_Backtrace(collect, &c);
    is_collecting = 0;
    uint64_t sp = t.regs[7];
    t.n_stack_bytes = stack_top - sp < MAX_STACK ? stack_top - sp : uint64_t{MAX_STACK};
    fwrite(&t, sizeof(t), 1, output);
    fwrite(reinterpret_cast<const void *>(sp), t.n_stack_bytes, 1, output);
}

void on_trap(int, siginfo_t *, void *context)
{
    ucontext_t *u = static_cast<ucontext_t *>(context);
    if (!is_stepping) {
        u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        return;
    }
    u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    if (is_wanted(static_cast<uint64_t>(u->uc_mcontext.gregs[REG_RIP]))) {
        write_truth(u);
    }
}

void step(const char *name, void (*work)())
{
    case_name = name;
    memset(seen, 0, sizeof(seen));
    is_stepping = true;
    raise(SIGTRAP);
    work();
    is_stepping = false;
}

/* Recursion with a frame of changing size and registers to save. */
[[gnu::noinline]] int deep(int n, int a, int b, int c)
{
    char *p = static_cast<char *>(alloca(static_cast<size_t>(n % 7) * 16 + 16));
    p[n % 16] = static_cast<char>(a);
    sink = p[0];
    if (n == 0) {
        return a + b + c;
    }
    return deep(n - 1, b + 1, c ^ a, a * 3) + a * b - c;
}

void work_deep()
{
    sink = deep(100, 1, 2, 3);
}

int compare(const void *a, const void *b)
{
    int x = *static_cast<const int *>(a);
    int y = *static_cast<const int *>(b);
    sink = deep(1, x, y, 0);
    return (x > y) - (x < y);
}

void work_qsort()
{
    int values[40];
    for (int i = 0; i < 40; i++) {
        values[i] = i * 7919 % 41;
    }
    qsort(values, 40, sizeof(*values), compare);
    sink = values[3];
}

/* Lazy binding: PLT stubs, the dynamic linker's resolver, the vDSO. */
void work_plt()
{
    timespec ts;
    char text[64];
    clock_gettime(CLOCK_MONOTONIC, &ts);
    snprintf(text, sizeof(text), "%ld %s %.3f", ts.tv_nsec, "x", 1.5);
    sink = static_cast<int>(strtol(text, nullptr, 10));
    free(malloc(100));
    setenv("TRUTH", "1", 1);
    std::string s = std::to_string(sink);
    sink = static_cast<int>(s.size());
}

/* The kernel's own code in each process. */
void work_vdso()
{
    timespec ts;
    for (int i = 0; i < 3; i++) {
        clock_gettime(CLOCK_MONOTONIC, &ts);
        clock_gettime(CLOCK_REALTIME, &ts);
        clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        clock_getres(CLOCK_MONOTONIC, &ts);
        sink = static_cast<int>(ts.tv_nsec + time(nullptr));
    }
}

/* Written by hand, as C libraries and codecs have it: the CFA moves to another register and back,
 * is behind a pointer, and what is saved is not where a compiler would put it. */
extern "C" int by_hand(int n);
extern "C" __attribute__((used)) int called_by_hand(int n);

extern "C" int called_by_hand(int n)
{
    return deep(n, 1, 2, 3);
}

__asm__(".text\n"
        ".type by_hand, @function\n"
        "by_hand:\n"
        ".cfi_startproc\n"
        "push %r12\n"
        ".cfi_adjust_cfa_offset 8\n"
        ".cfi_rel_offset %r12, 0\n"
        "mov %rsp, %r12\n"
        ".cfi_def_cfa_register %r12\n"
        "sub $120, %rsp\n"
        "and $-64, %rsp\n"
        "mov %rbx, 8(%rsp)\n"
        "lea 16(%r12), %rbx\n"
        "mov %rbx, (%rsp)\n"
        "mov 8(%rsp), %rbx\n"
        ".cfi_remember_state\n"
        /* CFA: what (rsp) points to */
        ".cfi_escape 0x0f, 3, 0x77, 0, 0x06\n"
        "call called_by_hand\n"
        "test %eax, %eax\n"
        "js 1f\n"
        ".cfi_restore_state\n"
        "mov %r12, %rsp\n"
        ".cfi_def_cfa_register %rsp\n"
        "pop %r12\n"
        ".cfi_adjust_cfa_offset -8\n"
        ".cfi_restore %r12\n"
        "ret\n"
        "1:\n"
        ".cfi_def_cfa %r12, 16\n"
        ".cfi_rel_offset %r12, 0\n"
        "xor %eax, %eax\n"
        "mov %r12, %rsp\n"
        "pop %r12\n"
        ".cfi_def_cfa %rsp, 8\n"
        ".cfi_restore %r12\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size by_hand, . - by_hand\n");

void work_assembly()
{
    sink = by_hand(3);
    sink = by_hand(0);
}

[[gnu::noinline, noreturn]] void throw_it(int n)
{
    throw std::runtime_error(std::string(static_cast<size_t>(n), 'x'));
}

[[maybe_unused, gnu::noinline]] int thrower(int n)
{
    std::string keep(50, 'y');
    if (n == 0) {
        throw_it(20);
    }
    return thrower(n - 1) + static_cast<int>(keep.size());
}

[[maybe_unused]] void work_exceptions()
{
    try {
        sink = thrower(3);
    } catch (const std::exception &e) {
        sink = e.what()[0];
    }
}

void on_signal(int)
{
    sink = deep(3, 1, 1, 1);
}

void work_signal()
{
    raise(SIGUSR1);
    sink = deep(2, 1, 1, 1);
}

jmp_buf *jump_target; /* on the stack, as the CFA while it is left */

[[gnu::noinline, noreturn]] void jump(int n)
{
    sink = deep(n, 1, 1, 1);
    longjmp(*jump_target, 1);
}

void work_jump()
{
    jmp_buf target;
    jump_target = &target;
    if (setjmp(target) == 0) {
        jump(2);
    }
}

/* Stack realignment: the CFA is behind a pointer. */
[[gnu::noinline]] int aligned(int n)
{
    alignas(64) volatile int big[64];
    char *p = static_cast<char *>(alloca(static_cast<size_t>(n) * 16));
    p[0] = 1;
    big[n] = p[0];
    return n ? aligned(n - 1) + big[n] : deep(1, big[0], 2, 3);
}

void work_aligned()
{
    sink = aligned(3);
}

void *thread_main(void *)
{
    pthread_attr_t attr;
    void *address;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &address, &size);
    pthread_attr_destroy(&attr);
    stack_top = reinterpret_cast<uint64_t>(address) + size;
    step("thread", work_deep);
    return nullptr;
}

void copy_maps(const char *path)
{
    std::string name = std::string(path) + ".maps";
    char bytes[4096];
    int from = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    FILE *to = fopen(name.c_str(), "w");
    for (ssize_t n; to && (n = read(from, bytes, sizeof(bytes))) > 0;) {
        fwrite(bytes, 1, static_cast<size_t>(n), to);
    }
    fclose(to);
    close(from);
}

/* The end of the main thread's stack: its strings. */
uint64_t find_stack_top(char **argv)
{
    char **p = argv;
    while (*p) {
        p++;
    }
    return reinterpret_cast<uint64_t>(p);
}

int nothing(_Unwind_Context *, void *)
{
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2 || !(output = fopen(argv[1], "wb"))) {
        return 2;
    }
    static char buffer[1 << 16];
    setvbuf(output, buffer, _IOFBF, sizeof(buffer));
    struct sigaction trap = {};
    trap.sa_sigaction = on_trap;
    trap.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGTRAP, &trap, nullptr);
    signal(SIGUSR1, on_signal);
    signal(SIGSEGV, on_crash);
    alarm(60);
    _Unwind_Backtrace(reinterpret_cast<_Unwind_Trace_Fn>(nothing), nullptr);
    dl_iterate_phdr(find_libgcc, nullptr);
    stack_top = find_stack_top(argv);
    step("plt", work_plt);
    step("vdso", work_vdso);
    step("assembly", work_assembly);
    step("deep", work_deep);
    step("qsort", work_qsort);
#ifndef WITHOUT_EXCEPTIONS /* statically linked, the unwinder's lock would be taken twice */
    step("exceptions", work_exceptions);
#endif
    step("signal", work_signal);
    step("longjmp", work_jump);
    step("aligned", work_aligned);
    pthread_t thread;
    pthread_create(&thread, nullptr, thread_main, nullptr);
    pthread_join(thread, nullptr);
    copy_maps(argv[1]);
    return fclose(output) == 0 ? 0 : 1;
}
