/* Our own stack, as a sample would hold it: registers, a copy of the memory, the kernel's chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/proc.h"
#include "capture/unwinder.h"
#include "capture/wait_probe.h"

enum { COPY_BYTES = 256 << 10, PATIENCE_MS = 10000, MAX_CHAIN = 127 };
#if defined(__SANITIZE_ADDRESS__)
enum { HAS_SANITIZER = 1, FUNCTION_BYTES = 4000 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { HAS_SANITIZER = 1, FUNCTION_BYTES = 4000 };
#else
enum { HAS_SANITIZER = 0, FUNCTION_BYTES = 1000 };
#endif
#else
enum { HAS_SANITIZER = 0, FUNCTION_BYTES = 400 };
#endif

struct fixture {
    struct unwinder *unwinder;
    struct address_space *space;
};

/* What was to be seen in a sample. */
struct sampled {
    uint64_t regs[32];
    uint8_t copy[COPY_BYTES];
    size_t n_copied;
    uint64_t pc;
};

static struct unwinder_stack stack; /* large */
static struct fixture fixture;
static struct target_memory *memory;

static void map_ourselves(struct fixture *f)
{
    struct buf text = {0};
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    assert_int_equal(proc_read_maps(getpid(), &text), 0);
    while (proc_next_mapping(buf_str(&text), text.len, &at, &m, &n_bad)) {
        struct event_mapping body = {.head.ts = clock_monotonic_ns(),
                                     .pid = getpid(),
                                     .start = m.start,
                                     .size = m.end - m.start,
                                     .file_offset = m.file_offset,
                                     .device = m.device,
                                     .inode = m.inode};
        if (m.is_executable) {
            unwinder_map(f->unwinder, &f->space, &body, m.path, m.path_len);
        }
    }
    buf_free(&text);
}

static void open_fixture(struct fixture *f, bool reads_memory)
{
    struct unwinder_options options = {.arch = &unwind_x86_64,
                                       .max_table_bytes = 64 << 20,
                                       .memory = reads_memory ? memory : NULL};
    struct err e;
    *f = (struct fixture){0};
    assert_int_equal(unwinder_new(&f->unwinder, &options, &e), 0);
    map_ourselves(f);
}

static void wait_for_tables(struct fixture *f)
{
    struct cfi_cache_stats stats = {.n_pending = 1};
    int64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000LL;
    while (stats.n_pending && clock_monotonic_ns() < end) {
        struct pollfd p = {.fd = unwinder_fd(f->unwinder), .events = POLLIN};
        poll(&p, 1, 100);
        unwinder_collect(f->unwinder);
        unwinder_get_stats(f->unwinder, &stats);
    }
    assert_int_equal(stats.n_pending, 0);
}

static void close_fixture(struct fixture *f)
{
    address_space_unref(f->space);
    unwinder_free(f->unwinder);
}

static const uint8_t *stack_top; /* of this thread */

static void find_stack_top(void)
{
    pthread_attr_t attributes;
    void *base;
    size_t size;
    assert_int_equal(pthread_getattr_np(pthread_self(), &attributes), 0);
    pthread_attr_getstack(&attributes, &base, &size);
    pthread_attr_destroy(&attributes);
    stack_top = (const uint8_t *)base + size;
}

/* Registers and stack of a context whose frames still live. */
static void take(const ucontext_t *c, size_t n_bytes, struct sampled *s)
{
    static const int greg_of_dwarf[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                        REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                        REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    const greg_t *g = c->uc_mcontext.gregs;
    size_t n = (size_t)__builtin_popcountll(unwind_x86_64.perf_mask);
    for (size_t i = 0; i < n; i++) {
        s->regs[i] = (uint64_t)g[greg_of_dwarf[unwind_x86_64.perf_order[i]]];
    }
    s->pc = (uint64_t)g[REG_RIP];
    /* Up to where the stack may end. */
    const uint8_t *from = (const uint8_t *)(uintptr_t)g[REG_RSP];
    size_t n_there = (size_t)(stack_top - from);
    s->n_copied = n_bytes < n_there ? n_bytes : n_there;
    /* Not by memcpy(): sanitizers want nobody to look between variables. */
    struct iovec to = {s->copy, s->n_copied}, there = {(void *)(uintptr_t)from, s->n_copied};
    assert_int_equal(process_vm_readv(getpid(), &to, 1, &there, 1, 0), s->n_copied);
}

static struct record record_of(const struct sampled *s, const uint64_t *chain, size_t n_chain)
{
    return (struct record){
        .kind = RECORD_SAMPLE,
        .pid = getpid(),
        .tid = getpid(),
        .sample = {.ip = s->pc,
                   .chain = chain,
                   .n_chain = n_chain,
                   .user_regs = s->regs,
                   .n_user_regs = (size_t)__builtin_popcountll(unwind_x86_64.perf_mask),
                   .stack = s->copy,
                   .n_stack_bytes = s->n_copied}};
}

static bool unwind_it(struct fixture *f, const struct record *r, bool may_wait)
{
    return unwinder_sample(f->unwinder, MAX_CHAIN, f->space, r, may_wait, &stack);
}

/* Whether one of the addresses lies in a function (of no more than so many bytes). */
static bool is_in_stack(const void *function, size_t n_bytes)
{
    uint64_t start = (uint64_t)(uintptr_t)function;
    for (size_t i = 0; i < stack.n; i++) {
        if (stack.addresses[i] > start && stack.addresses[i] - start < n_bytes) {
            return true;
        }
    }
    return false;
}

typedef void (*with_context)(struct fixture *f, const ucontext_t *c);

static __attribute__((noinline)) void deeper(struct fixture *f, with_context then, int n)
{
    ucontext_t c;
    volatile char room[200] = {0};
    if (n) {
        deeper(f, then, n - 1);
    } else {
        getcontext(&c);
        then(f, &c);
    }
    (void)room[n];
}

static void check_whole(struct fixture *f, const ucontext_t *c)
{
    static struct sampled s;
    const uint64_t chain[] = {PERF_CONTEXT_USER, (uint64_t)c->uc_mcontext.gregs[REG_RIP]};
    take(c, COPY_BYTES, &s);
    struct record r = record_of(&s, chain, 2);
    /* Before the tables are there: it waits, or takes what the kernel found. */
    assert_false(unwind_it(f, &r, true));
    assert_true(unwind_it(f, &r, false));
    assert_int_equal(stack.end, EVENT_STACK_END_PENDING);
    wait_for_tables(f);
    assert_true(unwind_it(f, &r, true));
    assert_int_equal(stack.end, EVENT_STACK_END_ROOT);
    assert_false(stack.is_guessed);
    assert_int_equal(stack.addresses[0], s.pc);
    assert_true(stack.n > 23);
    assert_true(is_in_stack((const void *)deeper, FUNCTION_BYTES));
    /* The same, sampled in the kernel. */
    const uint64_t kernel[] = {PERF_CONTEXT_KERNEL, 0xffffffff81000010, 0xffffffff81000020,
                               PERF_CONTEXT_USER, s.pc};
    size_t n = stack.n;
    r = record_of(&s, kernel, 5);
    r.sample.ip = 0xffffffff81000010;
    r.sample.is_kernel = true;
    assert_true(unwind_it(f, &r, true));
    assert_int_equal(stack.n_kernel, 2);
    assert_int_equal(stack.n, n + 2);
    assert_int_equal(stack.addresses[1], 0xffffffff81000020);
    assert_int_equal(stack.addresses[2], s.pc);
}

static void test_whole_stack(void **state)
{
    (void)state;
    open_fixture(&fixture, false);
    deeper(&fixture, check_whole, 20);
    close_fixture(&fixture);
}

static void check_short(struct fixture *f, const ucontext_t *c)
{
    static struct sampled s;
    bool reads_memory = f != &fixture;
    take(c, 8192, &s);
    struct record r = record_of(&s, NULL, 0);
    wait_for_tables(f);
    assert_true(unwind_it(f, &r, true));
    if (reads_memory) {
        assert_int_equal(stack.end, EVENT_STACK_END_ROOT);
        assert_true(stack.is_guessed);
        assert_true(stack.n > 23);
    } else {
        assert_int_equal(stack.end, EVENT_STACK_END_EXHAUSTED);
        assert_true(stack.n > 2 && stack.n < 20);
    }
    /* Of a process that is gone nothing can be read. */
    r.pid = INT32_MAX;
    assert_true(unwind_it(f, &r, true));
    assert_int_equal(stack.end, EVENT_STACK_END_EXHAUSTED);
}

static void test_short_copy(void **state)
{
    (void)state;
    struct fixture reading;
    open_fixture(&fixture, false);
    deeper(&fixture, check_short, 20);
    close_fixture(&fixture);
    open_fixture(&reading, true);
    deeper(&reading, check_short, 20);
    close_fixture(&reading);
}

static volatile uint64_t interrupted_pc;
static struct sampled in_handler;

static void handle(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ucontext_t here;
    interrupted_pc = (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    getcontext(&here);
    take(&here, COPY_BYTES, &in_handler);
    struct record r = record_of(&in_handler, NULL, 0);
    assert_true(unwind_it(&fixture, &r, true));
}

/* The address that a signal interrupted is told as if it were a return address: its name is looked
 * up one byte before, which must be the instruction itself. */
static void test_signal_frame(void **state)
{
    (void)state;
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO}, old;
    open_fixture(&fixture, false);
    wait_for_tables(&fixture);
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
    assert_int_equal(stack.end, EVENT_STACK_END_ROOT);
    size_t n_found = 0;
    for (size_t i = 1; i < stack.n; i++) {
        n_found += stack.addresses[i] == interrupted_pc + 1;
        assert_int_not_equal(stack.addresses[i], interrupted_pc);
    }
    assert_int_equal(n_found, 1);
    close_fixture(&fixture);
}

/* Without registers there is the kernel's chain, complete unless it is as long as it may be. */
static void test_chain_only(void **state)
{
    (void)state;
    uint64_t chain[MAX_CHAIN + 1] = {PERF_CONTEXT_USER};
    for (size_t i = 1; i <= MAX_CHAIN; i++) {
        chain[i] = 0x1000 * i;
    }
    struct record r = {.kind = RECORD_SAMPLE, .sample = {.ip = 0x1000, .chain = chain}};
    r.sample.n_chain = 5;
    assert_true(unwinder_sample(NULL, MAX_CHAIN, NULL, &r, true, &stack));
    assert_int_equal(stack.n, 4);
    assert_int_equal(stack.end, EVENT_STACK_END_ROOT);
    r.sample.n_chain = MAX_CHAIN + 1;
    assert_true(unwinder_sample(NULL, MAX_CHAIN, NULL, &r, true, &stack));
    assert_int_equal(stack.n, MAX_CHAIN);
    assert_int_equal(stack.end, EVENT_STACK_END_KERNEL_LIMIT);
    /* A program of 32 bits has registers that mean something else. */
    open_fixture(&fixture, true);
    uint64_t regs[32] = {0};
    r.sample.user_regs = regs;
    r.sample.n_user_regs = (size_t)__builtin_popcountll(unwind_x86_64.perf_mask);
    r.sample.is_32_bit = true;
    r.sample.n_chain = 5;
    assert_true(unwind_it(&fixture, &r, true));
    assert_int_equal(stack.n, 4);
    close_fixture(&fixture);
}

static int pipe_fds[2];
static atomic_int parked_tid;
static const void *parked_root; /* where the thread's function returns to */

static __attribute__((noinline)) int wait_here(void)
{
    char byte;
    return (int)read(pipe_fds[0], &byte, 1);
}

static void *park(void *unused)
{
    (void)unused;
    parked_root = __builtin_return_address(0);
    parked_tid = (pid_t)syscall(SYS_gettid);
    int n = wait_here();
    return n == 1 ? &pipe_fds : NULL;
}

/* Below a frame that is larger than what is read at once. */
static __attribute__((noinline)) void *park_below(void *unused)
{
    volatile char large[3 * TARGET_MEMORY_BYTES_MAX];
    (void)unused;
    parked_root = __builtin_return_address(0);
    large[0] = 1;
    large[sizeof(large) - 1] = 1;
    parked_tid = (pid_t)syscall(SYS_gettid);
    return wait_here() == large[0] + large[sizeof(large) - 1] ? &pipe_fds : NULL;
}

static void on_signal(int number)
{
    (void)number;
    (void)wait_here();
}

/* On the stack of a signal, which a function of the thread's own stack got. */
static __attribute__((noinline)) void *park_in_signal(void *unused)
{
    (void)unused;
    static char bytes[1 << 20];
    stack_t of_signals = {.ss_sp = bytes, .ss_size = sizeof(bytes)};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    parked_root = __builtin_return_address(0);
    parked_tid = (pid_t)syscall(SYS_gettid);
    sigaltstack(&of_signals, NULL);
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    of_signals.ss_flags = SS_DISABLE;
    sigaltstack(&of_signals, NULL);
    return NULL;
}

/* The stack of a thread that waits in wait_here(), called by the function. */
static void check_parked(void *(*function)(void *))
{
    pthread_t thread;
    struct wait_place place = {.call.number = -1};
    parked_tid = 0;
    open_fixture(&fixture, true);
    wait_for_tables(&fixture);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    int64_t end = clock_monotonic_ns() + PATIENCE_MS * 1000000LL;
    bool is_parked = false;
    while (!is_parked && clock_monotonic_ns() < end) {
        is_parked = parked_tid && wait_probe_place(getpid(), parked_tid, &place) &&
                    place.call.number == SYS_read;
    }
    assert_true(is_parked);
    assert_int_equal(place.call.arguments[0], pipe_fds[0]);
    assert_int_equal(
        unwinder_parked(fixture.unwinder, fixture.space, getpid(), place.sp, place.pc, &stack),
        UNWINDER_DONE);
    assert_int_equal(stack.addresses[0], place.pc);
    if (HAS_SANITIZER) {
        goto out; /* its frames are larger than a frame is looked for without its register */
    }
    assert_int_equal(stack.end, EVENT_STACK_END_ROOT);
    assert_true(is_in_stack((const void *)wait_here, FUNCTION_BYTES));
    assert_true(is_in_stack((const char *)parked_root - 1, 2));
    assert_int_equal(
        unwinder_parked(fixture.unwinder, fixture.space, INT32_MAX, place.sp, place.pc, &stack),
        UNWINDER_UNREADABLE);
out:
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    pthread_join(thread, NULL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close_fixture(&fixture);
}

static void test_parked_thread(void **state)
{
    (void)state;
    check_parked(park);
}

static void test_parked_far_below(void **state)
{
    (void)state;
    check_parked(park_below);
}

static void test_parked_in_signal(void **state)
{
    (void)state;
    check_parked(park_in_signal);
}

/* Registers and stacks that are a target's invention: every stack ends, within the bound. */
static void test_hostile_stacks(void **state)
{
    (void)state;
    static struct sampled s;
    static const uint64_t evil[] = {
        0, 1, 8, UINT64_MAX, UINT64_MAX - 7, 1ull << 63, 0x7fffffffffff};
    unsigned seed = 4;
    open_fixture(&fixture, true);
    wait_for_tables(&fixture);
    for (int round = 0; round < 3000; round++) {
        uint64_t near = (uint64_t)(uintptr_t)(round % 2 ? (const void *)test_parked_thread
                                                        : (const void *)memcpy);
        for (size_t i = 0; i < 32; i++) {
            unsigned pick = (unsigned)rand_r(&seed);
            s.regs[i] = pick % 3 == 0   ? evil[pick / 3 % 7]
                        : pick % 3 == 1 ? near + pick % 512
                                        : (uint64_t)(uintptr_t)&s + pick % 4096;
        }
        s.n_copied = (unsigned)rand_r(&seed) % 512;
        for (size_t i = 0; i + 8 <= s.n_copied; i += 8) {
            uint64_t word = near + (unsigned)rand_r(&seed) % 1024;
            memcpy(s.copy + i, &word, sizeof(word));
        }
        s.pc = near;
        struct record r = record_of(&s, NULL, 0);
        assert_true(unwind_it(&fixture, &r, false));
        assert_in_range(stack.n, 1, UNWIND_MAX_FRAMES);
        assert_true(stack.end < EVENT_N_STACK_ENDS);
    }
    close_fixture(&fixture);
}

/* The words of the database are those of the unwinder. */
static void test_causes(void **state)
{
    (void)state;
    static const char *const causes[] = {
#define X(name, text) text,
        EVENT_STACK_ENDS(X)
#undef X
    };
#define X(name, wire) assert_string_equal(causes[EVENT_STACK_END_##name], wire);
    UNWIND_ENDS(X)
#undef X
}

int main(void)
{
    find_stack_top();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_stack),      cmocka_unit_test(test_short_copy),
        cmocka_unit_test(test_signal_frame),     cmocka_unit_test(test_chain_only),
        cmocka_unit_test(test_parked_thread),    cmocka_unit_test(test_parked_far_below),
        cmocka_unit_test(test_parked_in_signal), cmocka_unit_test(test_hostile_stacks),
        cmocka_unit_test(test_causes),
    };
    memory = target_memory_new();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    target_memory_free(memory);
    return rc;
}
