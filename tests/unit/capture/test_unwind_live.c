/*
 * Unwinding samples of real programs as perf delivers them: how many stacks reach the thread's
 * root, and how fast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "capture/ring.h"
#include "capture/unwind_space.h"

enum { MAX_SAMPLES = 20000, MAX_CHAIN = 256, RING_BYTES = 8 << 20, HZ = 1000 };

/* Bounds of one recording, from the environment when somebody measures by hand. */
struct limits {
    uint32_t stack_bytes;
    int64_t duration_ns;
    bool is_live; /* read what the copy lacks from the process */
};

struct tally {
    struct space space;
    struct limits limits;
    pid_t pid;
    size_t n, n_ends[UNWIND_N_ENDS], n_marked, n_frames;
    int64_t unwind_ns;
    const char *name;
    const char *source; /* to be deleted afterwards */
};

static long env(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static int open_sampling(pid_t pid, uint32_t stack_bytes)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = 1000000000 / HZ,
        .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER |
                       PERF_SAMPLE_STACK_USER,
        .sample_regs_user = unwind_x86_64.perf_mask,
        .sample_stack_user = stack_bytes,
        .exclude_callchain_kernel = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .disabled = 1,
        .enable_on_exec = 1,
        .watermark = 1,
        .wakeup_watermark = RING_BYTES / 4,
    };
    return (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool read_process(void *ctx, uint64_t address, void *to, size_t n)
{
    struct tally *t = (struct tally *)ctx;
    struct iovec local = {to, n};
    struct iovec remote = {(void *)(uintptr_t)address, n};
    return process_vm_readv(t->pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

static enum unwind_found find_code(void *ctx, uint64_t pc, struct unwind_code *code)
{
    struct tally *t = ctx;
    return space_find(&t->space, pc, code);
}

static void count(struct tally *t, const struct unwind_input *in)
{
    static struct unwind_stack out;
    int64_t start = clock_monotonic_ns();
    unwind(in, &out);
    t->unwind_ns += clock_monotonic_ns() - start;
    t->n++;
    t->n_ends[out.end]++;
    t->n_frames += out.n;
    t->n_marked += out.n_marked > 0;
    if (getenv("UNWIND_VERBOSE") && out.end != UNWIND_ROOT) {
        printf("%s at %llx after %u frames, sp %llx, copy %llx+%zx\n", unwind_end_name(out.end),
               (unsigned long long)out.pc[out.n - 1], out.n, (unsigned long long)out.sp[out.n - 1],
               (unsigned long long)in->stack_address, in->n_stack_bytes);
    }
}

/* The record: tid, chain, ABI and registers, stack. */
static void take_sample(struct tally *t, const uint64_t *at)
{
    struct unwind_input in = {.arch = &unwind_x86_64, .find = find_code, .ctx = t, .read = NULL};
    uint64_t chain[MAX_CHAIN];
    size_t n_chain = 0;
    at += 2; /* header, tid */
    uint64_t n = *at++;
    for (; n; n--, at++) {
        if (*at < PERF_CONTEXT_MAX && n_chain < MAX_CHAIN) {
            chain[n_chain++] = *at;
        }
    }
    uint64_t abi = *at++;
    size_t n_regs = (size_t)__builtin_popcountll(unwind_x86_64.perf_mask);
    if (abi != PERF_SAMPLE_REGS_ABI_64 ||
        !unwind_regs_from_perf(&unwind_x86_64, at, n_regs, &in.regs)) {
        return;
    }
    at += n_regs;
    size_t n_bytes = *at++;
    in.stack = (const uint8_t *)at;
    in.n_stack_bytes = n_bytes ? at[n_bytes / 8] : 0;
    in.stack_address = in.regs.value[unwind_x86_64.sp];
    in.chain = chain;
    in.n_chain = n_chain;
    in.read = t->limits.is_live ? read_process : NULL;
    struct unwind_code code;
    /* What was sampled before an exec has no mappings any more. */
    if (space_find(&t->space, in.regs.value[unwind_x86_64.pc], &code) == UNWIND_CODE) {
        count(t, &in);
    }
}

static void drain(struct tally *t, struct ring *ring)
{
    const void *record;
    size_t size;
    ring_begin(ring);
    space_load_process(&t->space, t->pid); /* after: what was sampled is mapped */
    while ((record = ring_next(ring, &size))) {
        const struct perf_event_header *header = record;
        if (header->type == PERF_RECORD_SAMPLE && t->n < MAX_SAMPLES) {
            take_sample(t, record);
        }
    }
    ring_end(ring);
}

static pid_t start(char *const argv[], int hold)
{
    pid_t pid = fork();
    if (pid) {
        return pid;
    }
    char byte;
    int null = open("/dev/null", O_RDWR);
    if (read(hold, &byte, 1) == 1) {
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], argv);
    }
    _exit(127);
}

/* Samples a command; false when this host does not allow that. */
static bool record(struct tally *t, char *const argv[])
{
    int hold[2];
    struct ring ring = {0};
    assert_int_equal(pipe(hold), 0);
    t->pid = start(argv, hold[0]);
    int fd = open_sampling(t->pid, t->limits.stack_bytes);
    bool is_recording = fd >= 0 && ring_map(&ring, fd, RING_BYTES) == 0;
    if (is_recording) {
        int64_t end = clock_monotonic_ns() + t->limits.duration_ns;
        assert_int_equal(write(hold[1], "x", 1), 1);
        while (clock_monotonic_ns() < end && waitpid(t->pid, NULL, WNOHANG) == 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            poll(&p, 1, 20);
            drain(t, &ring);
        }
    }
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
    ring_unmap(&ring);
    fd_close(&fd);
    close(hold[0]);
    close(hold[1]);
    return is_recording;
}

static void report(const struct tally *t)
{
    double n = t->n ? (double)t->n : 1;
    printf(
        "%s: %zu stacks, %.2f %% reach the root, %.2f %% with marked frames, %.1f frames, %.0f k "
        "stacks/s;",
        t->name, t->n, 100 * (double)t->n_ends[UNWIND_ROOT] / n, 100 * (double)t->n_marked / n,
        (double)t->n_frames / n, 1e6 * n / (double)(t->unwind_ns ? t->unwind_ns : 1));
    for (unsigned end = 1; end < UNWIND_N_ENDS; end++) {
        if (t->n_ends[end]) {
            printf(" %s %zu", unwind_end_name(end), t->n_ends[end]);
        }
    }
    printf("\n");
}

static void init(struct tally *t, const char *name)
{
    memset(t, 0, sizeof(*t));
    t->name = name;
    t->limits.stack_bytes = (uint32_t)env("UNWIND_STACK", (64 << 10) - 8);
    t->limits.duration_ns = env("UNWIND_MS", 4000) * 1000000;
    t->limits.is_live = env("UNWIND_LIVE", 0);
}

static void check(struct tally *t, char *const argv[])
{
    bool is_recorded = record(t, argv);
    if (t->source) {
        unlink(t->source);
    }
    if (!is_recorded) {
        printf("%s: perf_event_open is forbidden here\n", t->name);
        space_free(&t->space);
        skip();
    }
    report(t);
    space_free(&t->space);
    assert_true(t->n > 100);
    assert_true(t->n_ends[UNWIND_ROOT] * 100 >= t->n * 99);
}

static void test_python(void **state)
{
    (void)state;
    struct tally t;
    char *argv[] = {(char *)"/usr/bin/python3", (char *)"-c",
                    (char *)"import re, json\n"
                            "def f(n): return sorted((n,), key=lambda x: f(n-1) if n else 0)\n"
                            "while True:\n"
                            "  for i in range(10): f(i)\n"
                            "  json.loads(json.dumps([{'a': i} for i in range(1000)]))\n"
                            "  re.sub('a+b', 'c', 'aaab' * 1000)\n",
                    NULL};
    init(&t, "python3");
    check(&t, argv);
}

/* Whether a program is there; its name when gcc knows it better. */
static bool find_compiler(char *path, size_t n)
{
    FILE *pipe = popen("gcc -print-prog-name=cc1", "r");
    bool is_there = pipe && fgets(path, (int)n, pipe);
    if (pipe) {
        pclose(pipe);
    }
    path[is_there ? strcspn(path, "\n") : 0] = '\0';
    return is_there && path[0] == '/';
}

static void write_source(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 4000; i++) {
        fprintf(f,
                "static int f%d(int *a, int n)\n{\n    int s = %d;\n"
                "    for (int i = 0; i < n; i++) {\n        for (int j = i; j < n; j += %d) {\n"
                "            s += a[i] * a[j] ^ (s >> %d);\n            if (s %% 7 == 3) {\n"
                "                a[j] = s;\n            }\n        }\n    }\n    return s;\n}\n"
                "int g%d(int *a, int n)\n{\n    return f%d(a, n) + f%d(a + 1, n - 1);\n}\n",
                i, i, i % 5 + 1, i % 11, i, i, i);
    }
    fclose(f);
}

static void test_compiler(void **state)
{
    (void)state;
    struct tally t;
    char path[512];
    char source[] = "/tmp/stax-unwind-XXXXXX";
    if (!find_compiler(path, sizeof(path))) {
        skip();
    }
    int fd = mkstemp(source);
    assert_true(fd >= 0);
    fd_close(&fd);
    write_source(source);
    char *argv[] = {path,         (char *)"-quiet",    (char *)"-O2", source,
                    (char *)"-o", (char *)"/dev/null", NULL};
    init(&t, "cc1");
    t.source = source;
    check(&t, argv);
}

/* By hand: UNWIND_COMMAND="node x.js" */
static void test_command(void **state)
{
    (void)state;
    struct tally t;
    const char *command = getenv("UNWIND_COMMAND");
    if (!command) {
        return;
    }
    char script[1024];
    snprintf(script, sizeof(script), "exec %s", command);
    char *argv[] = {(char *)"sh", (char *)"-c", script, NULL};
    init(&t, command);
    record(&t, argv);
    report(&t);
    space_free(&t.space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_compiler),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests_name("unwind_live", tests, NULL, NULL);
}
