/*
 * The unwinder on stacks made by hand: how each end comes about, and what continues where CFI or
 * the copy of the stack ends. Then on our own: a signal handler on another stack, a parked thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unwind.h>

#include "capture/frame_bytes.h"
#include "capture/unwind_space.h"

/*
 * Code of the tests, all of it 0x100 bytes long:
 *   LEAF   CFA rsp+8          CALLER  CFA rsp+16, rbx saved     FRAMED  CFA rbp+16, rbp saved
 *   ROOT   the thread's first LOOP    CFA rsp+0 (does not advance)
 *   NO_CFI, JIT: code that no FDE describes, JIT without any table
 */
enum {
    LEAF = 0x1000,
    CALLER = 0x2000,
    FRAMED = 0x3000,
    ROOT = 0x4000,
    LOOP = 0x5000,
    FAR = 0x6000,
    NO_CFI = 0x7000,
    PENDING = 0x18000,
    JIT = 0x20000,
    CODE_END = 0x30000,
    SP = 0x700000,
    RBX = 3,
    RBP = 6,
    RSP = 7,
    RIP = 16,
    MAX_WORDS = 64,
};

struct fixture {
    struct cfi_table *table;
    uint64_t stack[MAX_WORDS];
    uint64_t more[MAX_WORDS]; /* what lies beyond the copy */
    bool is_more_readable;
    uint64_t sigreturn; /* where the code that returns from a signal is; 0: nowhere */
    size_t n_code_reads;
    struct unwind_input in;
    struct unwind_stack out;
};

static enum unwind_found find_code(void *ctx, uint64_t pc, struct unwind_code *code)
{
    const struct fixture *f = ctx;
    if (pc >= PENDING && pc < JIT) {
        return UNWIND_CODE_PENDING;
    }
    if (pc < LEAF || pc >= CODE_END) {
        return UNWIND_NOT_CODE;
    }
    *code = pc < JIT ? (struct unwind_code){LEAF, PENDING, 0, f->table}
                     : (struct unwind_code){JIT, CODE_END, 0, NULL};
    return UNWIND_CODE;
}

static bool read_more(void *ctx, uint64_t address, void *to, size_t n)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    struct fixture *f = ctx;
    uint64_t start = SP + f->in.n_stack_bytes;
    f->n_code_reads += address >= LEAF && address < CODE_END;
    if (f->sigreturn && address == f->sigreturn && n <= sizeof(code)) {
        memcpy(to, code, n);
        return true;
    }
    if (address < start || address + n > start + sizeof(f->more)) {
        return false;
    }
    memcpy(to, (const char *)f->more + (address - start), n);
    return true;
}

static int set_up(void **state)
{
    static const uint8_t caller[] = {0x0e, 16, 0x83, 2};
    static const uint8_t framed[] = {0x0c, 6, 16, 0x86, 2};
    static const uint8_t root[] = {0x07, 16};
    static const uint8_t loop[] = {0x0e, 0};
    static const uint8_t far[] = {0x0f, 3, 0x73, 0, 0x06}; /* CFA is what rbx points to */
    struct fixture *f = mem_new(1, sizeof(*f));
    struct frame_bytes b = {0};
    frame_cie(&b, "zR");
    frame_fde(&b, LEAF, 0x100, "", 0);
    frame_fde(&b, CALLER, 0x100, caller, sizeof(caller));
    frame_fde(&b, FRAMED, 0x100, framed, sizeof(framed));
    frame_fde(&b, ROOT, 0x100, root, sizeof(root));
    frame_fde(&b, LOOP, 0x100, loop, sizeof(loop));
    frame_fde(&b, FAR, 0x100, far, sizeof(far));
    f->table = frame_table(&b);
    f->in = (struct unwind_input){.arch = &unwind_x86_64,
                                  .stack_address = SP,
                                  .stack = (const uint8_t *)f->stack,
                                  .find = find_code,
                                  .ctx = f};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cfi_table_free(f->table);
    free(f);
    return 0;
}

/* Unwinds from a pc with n words of stack. */
static void run(struct fixture *f, uint64_t pc, const uint64_t *words, size_t n)
{
    if (n) {
        memcpy(f->stack, words, n * sizeof(*words));
    }
    f->in.n_stack_bytes = n * sizeof(*words);
    unwind_regs_set(&f->in.regs, RSP, SP);
    unwind_regs_set(&f->in.regs, RIP, pc);
    f->in.read = f->is_more_readable ? read_more : NULL;
    unwind(&f->in, &f->out);
}

#define WORDS(...) (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8

/* The frames found, and the end. */
static void expect(const struct fixture *f, enum unwind_end end, const uint64_t *pcs, size_t n)
{
    assert_string_equal(unwind_end_name(f->out.end), unwind_end_name(end));
    assert_int_equal(f->out.n, n);
    assert_memory_equal(f->out.pc, pcs, n * sizeof(*pcs));
}

static void test_ends(void **state)
{
    struct fixture *f = *state;
    run(f, LEAF + 4, WORDS(CALLER + 8, 7, ROOT + 9));
    expect(f, UNWIND_ROOT, WORDS(LEAF + 4, CALLER + 8, ROOT + 9));
    assert_int_equal(f->out.flags[0], UNWIND_IS_EXACT);
    assert_int_equal(f->out.flags[1], 0);
    assert_int_equal(f->out.sp[1], SP + 8);
    assert_int_equal(f->out.n_marked, 0);

    run(f, LEAF, WORDS(CALLER + 8, 7, 0)); /* a return address of 0 */
    expect(f, UNWIND_ROOT, WORDS(LEAF, CALLER + 8));

    run(f, LEAF, WORDS(CALLER + 8, 7));
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF, CALLER + 8));
    run(f, LEAF, NULL, 0);
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF));

    run(f, LEAF, WORDS(LOOP + 8, LOOP + 8, LOOP + 8));
    expect(f, UNWIND_BAD_CFA, WORDS(LEAF, LOOP + 8));

    run(f, LEAF, WORDS(0xdead0000));
    expect(f, UNWIND_BAD_PC, WORDS(LEAF)); /* what is no code is no frame */

    run(f, LEAF, WORDS(PENDING + 1));
    expect(f, UNWIND_PENDING, WORDS(LEAF, PENDING + 1));

    /* The byte before a return address decides: here the call ended the function before. */
    run(f, LEAF, WORDS(CALLER + 0x100, 7, ROOT + 1));
    expect(f, UNWIND_ROOT, WORDS(LEAF, CALLER + 0x100, ROOT + 1));
}

static void test_registers(void **state)
{
    struct fixture *f = *state;
    run(f, FRAMED + 1, WORDS(1, 2, 3));
    expect(f, UNWIND_UNKNOWN_REGISTER, WORDS(FRAMED + 1));

    unwind_regs_set(&f->in.regs, RBP, SP + 8);
    run(f, FRAMED + 1, WORDS(1, SP + 32, FRAMED + 2, 4, 0, ROOT + 1));
    expect(f, UNWIND_ROOT, WORDS(FRAMED + 1, FRAMED + 2, ROOT + 1));

    unwind_regs_set(&f->in.regs, RBP, SP + 3);
    run(f, FRAMED + 1, WORDS(1, 2, 3));
    expect(f, UNWIND_BAD_CFA, WORDS(FRAMED + 1));

    unwind_regs_set(&f->in.regs, RBP, SP - 800);
    run(f, FRAMED + 1, WORDS(1, 2, 3));
    expect(f, UNWIND_BAD_CFA, WORDS(FRAMED + 1));

    unwind_regs_set(&f->in.regs, RBP, SP + ((uint64_t)1 << 40));
    run(f, FRAMED + 1, WORDS(1, 2, 3));
    expect(f, UNWIND_BAD_MEMORY, WORDS(FRAMED + 1));

    unwind_regs_set(&f->in.regs, RBX, 64);
    run(f, FAR, WORDS(1, 2, 3));
    expect(f, UNWIND_BAD_MEMORY, WORDS(FAR));

    unwind_regs_set(&f->in.regs, RBX, SP + 16); /* rbx restored by CALLER leads to ROOT */
    run(f, CALLER, WORDS(SP + 16, FAR + 1, SP + 32, ROOT + 1, 5));
    expect(f, UNWIND_ROOT, WORDS(CALLER, FAR + 1, ROOT + 1));
}

static void test_too_deep(void **state)
{
    struct fixture *f = *state;
    enum { N = 1100 };
    static uint64_t deep[N];
    for (size_t i = 0; i < N; i++) {
        deep[i] = LEAF + 8;
    }
    f->in.stack = (const uint8_t *)deep;
    f->in.n_stack_bytes = sizeof(deep);
    unwind_regs_set(&f->in.regs, RSP, SP);
    unwind_regs_set(&f->in.regs, RIP, LEAF);
    unwind(&f->in, &f->out);
    assert_int_equal(f->out.end, UNWIND_TOO_DEEP);
    assert_int_equal(f->out.n, UNWIND_MAX_FRAMES);
}

static void test_without_cfi(void **state)
{
    struct fixture *f = *state;
    /* JIT code with frame pointers, called by native code */
    unwind_regs_set(&f->in.regs, RBP, SP + 8);
    run(f, JIT + 4, WORDS(1, SP + 32, JIT + 8, 4, 0, CALLER + 1, 6, ROOT + 1));
    expect(f, UNWIND_ROOT, WORDS(JIT + 4, JIT + 8, CALLER + 1, ROOT + 1));
    assert_int_equal(f->out.flags[1], UNWIND_BY_FP);
    assert_int_equal(f->out.flags[3], 0);
    assert_int_equal(f->out.n_marked, 2);

    /* a frame pointer that leads to no code */
    unwind_regs_set(&f->in.regs, RBP, SP + 8);
    run(f, JIT + 4, WORDS(1, SP + 32, 3, 4, 5));
    expect(f, UNWIND_NO_CFI, WORDS(JIT + 4));

    /* assembly that has pushed nothing */
    unwind_regs_set(&f->in.regs, RBP, 1);
    run(f, NO_CFI + 4, WORDS(CALLER + 1, 2, ROOT + 1));
    expect(f, UNWIND_ROOT, WORDS(NO_CFI + 4, CALLER + 1, ROOT + 1));
    assert_int_equal(f->out.flags[1], UNWIND_BY_GUESS);

    /* a call through a null pointer */
    run(f, 0, WORDS(CALLER + 1, 2, ROOT + 1));
    expect(f, UNWIND_ROOT, WORDS(0, CALLER + 1, ROOT + 1));

    /* the first function of a thread without CFI (musl, Go) */
    unwind_regs_set(&f->in.regs, RBP, 0);
    run(f, LEAF, WORDS(NO_CFI + 4, 1, 2));
    expect(f, UNWIND_ROOT, WORDS(LEAF, NO_CFI + 4));
    /* but not where 0 is just a value */
    run(f, NO_CFI + 4, WORDS(1, 2));
    expect(f, UNWIND_NO_CFI, WORDS(NO_CFI + 4));
}

static void test_chain(void **state)
{
    struct fixture *f = *state;
    unwind_regs_set(&f->in.regs, RBP, SP + 16);
    const uint64_t chain[] = {LEAF, FRAMED + 2, FRAMED + 3, ROOT + 1};
    f->in.chain = chain;
    f->in.n_chain = 4;
    const uint64_t words[] = {FRAMED + 1, 5, SP + 64, FRAMED + 2};
    run(f, LEAF, words, 4);
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF, FRAMED + 1, FRAMED + 2, FRAMED + 3, ROOT + 1));
    assert_int_equal(f->out.flags[2], 0);
    assert_int_equal(f->out.flags[3], UNWIND_BY_CHAIN);
    assert_int_equal(f->out.sp[3], 0);
    assert_int_equal(f->out.n_marked, 2);

    /* the last frame has no frame pointer of its own: what the chain gives is further out */
    const uint64_t gap[] = {FRAMED + 1, 5, SP + 64, CALLER + 2};
    const uint64_t gap_chain[] = {LEAF, CALLER + 2, FRAMED + 3, ROOT + 1};
    f->in.chain = gap_chain;
    run(f, LEAF, gap, 4);
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF, FRAMED + 1, CALLER + 2, FRAMED + 3, ROOT + 1));
    assert_int_equal(f->out.flags[3], UNWIND_BY_CHAIN | UNWIND_AFTER_GAP);

    /* a chain of another moment is not believed */
    const uint64_t other[] = {LEAF, FRAMED + 7, FRAMED + 3, ROOT + 1};
    f->in.chain = other;
    run(f, LEAF, words, 4);
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF, FRAMED + 1, FRAMED + 2));
}

static void test_live_memory(void **state)
{
    struct fixture *f = *state;
    f->is_more_readable = true;
    f->more[0] = 7;
    f->more[1] = ROOT + 1;
    run(f, LEAF, WORDS(CALLER + 1));
    expect(f, UNWIND_ROOT, WORDS(LEAF, CALLER + 1, ROOT + 1));
    assert_int_equal(f->out.flags[2], UNWIND_FROM_LIVE);
    /* memory that has changed meanwhile does not lead to the root: nothing of it is kept */
    f->more[1] = CALLER + 3;
    f->more[3] = 0xdead0000;
    run(f, LEAF, WORDS(CALLER + 1));
    expect(f, UNWIND_EXHAUSTED, WORDS(LEAF, CALLER + 1));
}

/* Unwinding ourselves. */
static bool read_self(void *ctx, uint64_t address, void *to, size_t n)
{
    (void)ctx;
    struct iovec local = {to, n};
    struct iovec remote = {(void *)(uintptr_t)address, n};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n;
}

struct trace {
    uint64_t pc[UNWIND_MAX_FRAMES];
    size_t n;
};

static _Unwind_Reason_Code collect(struct _Unwind_Context *context, void *ctx)
{
    struct trace *t = ctx;
    uint64_t pc = _Unwind_GetIP(context);
    if (pc && t->n < UNWIND_MAX_FRAMES) {
        t->pc[t->n++] = pc;
    }
    return _URC_NO_REASON;
}

static struct unwind_stack handler_stack;
static struct trace handler_trace;
static struct space own_space;

/* A C library without CFI for it (musl, Go) returns from a signal: known by its code, which is read
 * only where the stack holds what the kernel would have put there. */
static void test_return_from_signal(void **state)
{
    struct fixture *f = *state;
    enum { RESTORER = JIT + 0x40, CONTEXT = 6, INTERRUPTED_SP = SP + 30 * 8 };
    uint64_t words[40] = {RESTORER};
    words[CONTEXT + 15] = INTERRUPTED_SP;
    words[CONTEXT + 16] = CALLER + 0x10;
    words[31] = ROOT + 0x10;
    f->is_more_readable = true;
    f->sigreturn = RESTORER;
    run(f, LEAF + 0x10, words, 40);
    expect(f, UNWIND_ROOT, WORDS(LEAF + 0x10, RESTORER, CALLER + 0x10, ROOT + 0x10));
    assert_int_equal(f->out.flags[2], UNWIND_IS_EXACT);
    /* The same code over what no program's registers can be. */
    words[CONTEXT + 16] = PENDING - 0x10000000;
    run(f, LEAF + 0x10, words, 40);
    assert_int_not_equal(f->out.end, UNWIND_ROOT);
    words[CONTEXT + 16] = CALLER + 0x10;
    words[CONTEXT + 15] = UINT64_MAX - 7;
    run(f, LEAF + 0x10, words, 40);
    assert_int_not_equal(f->out.end, UNWIND_ROOT);
}

/* The frames of a JIT, which has no CFI, cost no read of the target's memory each. */
static void test_jit_reads_nothing(void **state)
{
    struct fixture *f = *state;
    f->is_more_readable = true;
    unwind_regs_set(&f->in.regs, RBP, SP + 16);
    run(f, JIT + 0x10, WORDS(1, 2, SP + 40, JIT + 0x20, 7, 0, JIT + 0x30, 8, 9, 10, 11, 12, 13));
    expect(f, UNWIND_ROOT, WORDS(JIT + 0x10, JIT + 0x20, JIT + 0x30));
    assert_int_equal(f->n_code_reads, 0);
}

static void on_signal(int number)
{
    (void)number;
    static const uint8_t order[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16};
    ucontext_t here;
    struct unwind_input in = {
        .arch = &unwind_x86_64, .find = space_find, .read = read_self, .ctx = &own_space};
    getcontext(&here);
    for (unsigned i = 0; i < sizeof(order); i++) {
        unwind_regs_set(&in.regs, order[i], (uint64_t)here.uc_mcontext.gregs[i]);
    }
    unwind(&in, &handler_stack);
    handler_trace.n = 0;
    _Unwind_Backtrace(collect, &handler_trace);
}

static void test_signal_on_another_stack(void **state)
{
    (void)state;
    enum { STACK_BYTES = 256 << 10 };
    stack_t other = {.ss_sp = mem_new(1, STACK_BYTES), .ss_size = STACK_BYTES};
    stack_t before;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    struct sigaction action_before;
    space_load_process(&own_space, getpid());
    assert_int_equal(sigaltstack(&other, &before), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, &action_before), 0);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &action_before, NULL);
    other.ss_flags = SS_DISABLE;
    sigaltstack(&other, NULL);
    free(other.ss_sp);
    space_free(&own_space);
    assert_int_equal(handler_stack.end, UNWIND_ROOT);
    assert_true(handler_trace.n > 5);
    assert_int_equal(handler_stack.n, handler_trace.n);
    assert_memory_equal(handler_stack.pc + 1, handler_trace.pc + 1,
                        (handler_trace.n - 1) * sizeof(uint64_t));
    size_t n_exact = 0;
    for (size_t i = 0; i < handler_stack.n; i++) {
        n_exact += handler_stack.flags[i] & UNWIND_IS_EXACT;
    }
    assert_int_equal(n_exact, 2); /* the first, and where the signal struck */
}

struct parked {
    struct trace trace;
    int pipe[2];
    _Atomic pid_t tid;
};

static __attribute__((noinline)) int wait_deep(struct parked *p, int depth)
{
    char byte;
    volatile char keep[64];
    keep[depth] = 1;
    if (depth) {
        return wait_deep(p, depth - 1) + keep[depth];
    }
    _Unwind_Backtrace(collect, &p->trace);
    p->tid = (pid_t)syscall(SYS_gettid);
    return (int)syscall(SYS_read, p->pipe[0], &byte, 1) + keep[0];
}

static void *park(void *arg)
{
    wait_deep(arg, 10);
    return NULL;
}

/* SP and PC of a thread that waits in the kernel. */
static bool read_parked(pid_t tid, uint64_t *sp, uint64_t *pc)
{
    char path[64];
    struct buf text = {0};
    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    bool is_parked = fd_read_file(path, 4096, &text) == 0 && strncmp(buf_str(&text), "0 ", 2) == 0;
    char *word = is_parked ? strrchr(text.data, ' ') : NULL;
    if (word) {
        *pc = strtoull(word, NULL, 16);
        *word = '\0';
        word = strrchr(text.data, ' ');
        *sp = word ? strtoull(word, NULL, 16) : 0;
    }
    buf_free(&text);
    return word != NULL;
}

static void test_parked_thread(void **state)
{
    (void)state;
    static struct parked p;
    static struct unwind_stack out;
    static uint8_t stack[4096];
    pthread_t thread;
    struct unwind_input in = {
        .arch = &unwind_x86_64, .find = space_find, .ctx = &own_space, .stack = stack};
    uint64_t sp = 0;
    uint64_t pc = 0;
    assert_int_equal(pipe(p.pipe), 0);
    pthread_create(&thread, NULL, park, &p);
    for (int i = 0; i < 1000 && !(p.tid && read_parked(p.tid, &sp, &pc)); i++) {
        usleep(1000);
    }
    bool is_parked = sp && pc;
    if (is_parked) {
        space_load_process(&own_space, getpid());
        unwind_regs_parked(&unwind_x86_64, sp, pc, &in.regs);
        read_self(NULL, sp, stack, sizeof(stack));
        in.stack_address = sp;
        in.n_stack_bytes = sizeof(stack);
        in.read = read_self;
        unwind(&in, &out);
        space_free(&own_space);
    }
    assert_int_equal(write(p.pipe[1], "x", 1), 1);
    pthread_join(thread, NULL);
    close(p.pipe[0]);
    close(p.pipe[1]);
    if (!is_parked) {
        printf("/proc/self/task/TID/syscall is not readable here\n");
        skip();
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
    /* Remains of earlier calls in its large frames may be taken for frames, but not unsaid. */
    if (out.n_marked || out.end == UNWIND_UNKNOWN_REGISTER) {
        skip();
    }
#endif
    assert_int_equal(out.end, UNWIND_ROOT);
    /* syscall() instead of _Unwind_Backtrace(), the callers of both are the same. */
    assert_true(out.n > p.trace.n);
    assert_memory_equal(out.pc + out.n - p.trace.n + 1, p.trace.pc + 1,
                        (p.trace.n - 1) * sizeof(uint64_t));
}

static void test_perf_registers(void **state)
{
    (void)state;
    struct unwind_regs regs;
    uint64_t values[32];
    for (uint64_t i = 0; i < 32; i++) {
        values[i] = 100 + i;
    }
    assert_false(unwind_regs_from_perf(&unwind_x86_64, values, 16, &regs));
    assert_true(unwind_regs_from_perf(&unwind_x86_64, values, 17, &regs));
    assert_int_equal(regs.value[0], 100); /* ax */
    assert_int_equal(regs.value[3], 101); /* bx is rbx, DWARF 3 */
    assert_int_equal(regs.value[RBP], 106);
    assert_int_equal(regs.value[RSP], 107);
    assert_int_equal(regs.value[RIP], 108);
    assert_int_equal(regs.value[15], 116); /* r15 */
    assert_int_equal(regs.known, 0x1ffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_deep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_cfi, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_live_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_return_from_signal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_jit_reads_nothing, set_up, tear_down),
        cmocka_unit_test(test_signal_on_another_stack),
        cmocka_unit_test(test_parked_thread),
        cmocka_unit_test(test_perf_registers),
    };
    return cmocka_run_group_tests_name("unwind", tests, NULL, NULL);
}
