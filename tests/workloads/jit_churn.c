/*
 * jit_churn.c - makes code at run time, says so in a jitdump, and knows what each piece burned.
 *
 *   jit_churn [--seconds 6] [--dir .] [--buffered 0] [--perf-map 0] [--generation-ms 500]
 *             [--fault none]
 *
 * Slots of memory: in slot A one function after the other is put at the same address
 * (gen_a0, gen_a1, ...), each for a while; the one in slot B (mover) moves to slot C half way; one
 * in slot D (steady) stays. All run in turn with shares of their own. Everything is written to
 * DIR/jit-PID.dump before it runs, or, with --buffered 1, only when the program ends; with
 * --perf-map 1 to /tmp/perf-PID.map instead (PID as the process sees it). Debug info names
 * churn.src, line 100 + generation for the loop; 1000 more for what is before, 2000 more for what
 * is behind it; in no order, and with a place outside of the function. Times are CPU time. Prints
 * {"functions":{name:ns}}.
 *
 * Faults of the dump: magic (it is none), tsc (it says that its times are of the CPU), realtime and
 * early (they are of another clock), size (code of generations larger than its record), record
 * (generation 1 is a record of nearly 2 GiB), cut (nothing is written from the middle of generation
 * 1's on; of a map: from the end of generation 0's line on).
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "truth.h"

enum { SLOT_BYTES = 4096, N_SLOTS = 4, MAX_GENERATIONS = 64, CODE_MAX = 256 };

struct function {
    char name[32];
    int64_t cpu_ns;
    size_t n_code, loop, end; /* loop, end: where these begin */
    uint8_t code[CODE_MAX];
    uint64_t index;
};

struct writer {
    FILE *file;
    bool is_map;
    const char *fault;
    bool is_cut;
    size_t n_left; /* bytes that are written still, if it is cut */
};

static bool has_fault(const struct writer *w, const char *name)
{
    return strcmp(w->fault, name) == 0;
}

static uint64_t time_of(const struct writer *w)
{
    if (has_fault(w, "realtime")) {
        return (uint64_t)clock_ns(CLOCK_REALTIME);
    }
    return (uint64_t)(has_fault(w, "early") ? clock_ns(CLOCK_PROCESS_CPUTIME_ID) : wall_ns());
}

static void put(struct writer *w, const void *bytes, size_t n)
{
    if (w->is_cut) {
        n = n < w->n_left ? n : w->n_left;
        w->n_left -= n;
    }
    if (fwrite(bytes, 1, n, w->file) != n) {
        perror("jit_churn: write");
        exit(1);
    }
}

static void put_u32(struct writer *w, uint32_t v)
{
    put(w, &v, sizeof(v));
}

static void put_u64(struct writer *w, uint64_t v)
{
    put(w, &v, sizeof(v));
}

static void put_record(struct writer *w, uint32_t id, size_t size)
{
    put_u32(w, id);
    put_u32(w, (uint32_t)size);
    put_u64(w, time_of(w));
}

static void open_dump(struct writer *w, const char *dir, bool is_buffered)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/jit-%d.dump", dir, (int)getpid());
    w->file = fopen(path, "w+");
    if (!w->file || setvbuf(w->file, malloc(16 << 20), _IOFBF, is_buffered ? 16 << 20 : 1 << 16)) {
        perror(path);
        exit(1);
    }
    put_u32(w, has_fault(w, "magic") ? 0x4a695445 : 0x4a695444);
    put_u32(w, 1);
    put_u32(w, 40);
#ifdef __aarch64__
    put_u32(w, 183);
#else
    put_u32(w, 62);
#endif
    put_u32(w, 0);
    put_u32(w, (uint32_t)getpid());
    put_u64(w, time_of(w));
    put_u64(w, has_fault(w, "tsc"));
    fflush(w->file);
    /* the marker by which profilers find it; it stays */
    if (mmap(NULL, SLOT_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(w->file), 0) ==
        MAP_FAILED) {
        perror("jit_churn: marker");
        exit(1);
    }
}

static void open_map(struct writer *w)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    w->file = fopen(path, "w");
    w->is_map = true;
    if (!w->file) {
        perror(path);
        exit(1);
    }
}

static void tell_lines(struct writer *w, const struct function *f, const uint8_t *at, uint32_t line)
{
    static const char source[] = "churn.src", same[] = "\xff";
    const struct {
        size_t delta;
        uint32_t line;
    } lines[] = {{f->end, line + 2000}, {f->loop, line}, {0, line + 1000}, {SLOT_BYTES, line + 1}};
    enum { N = sizeof(lines) / sizeof(lines[0]) };
    put_record(w, 2, 32 + N * 16 + sizeof(source) + (N - 1) * sizeof(same));
    put_u64(w, (uintptr_t)at);
    put_u64(w, N);
    for (int i = 0; i < N; i++) {
        put_u64(w, (uintptr_t)at + lines[i].delta);
        put_u32(w, lines[i].line);
        put_u32(w, 0);
        put(w, i ? same : source, i ? sizeof(same) : sizeof(source));
    }
}

static void tell_load(struct writer *w, const struct function *f, const uint8_t *at, uint32_t line,
                      bool is_buffered)
{
    size_t n_name = strlen(f->name) + 1;
    bool is_first = f->index == 1, is_generation = f->index < MAX_GENERATIONS;
    if (w->is_map) {
        if (!w->is_cut) {
            w->is_cut = f->index == 0 && has_fault(w, "cut");
            fprintf(w->file, "%lx %zx %s%s", (unsigned long)(uintptr_t)at, f->n_code, f->name,
                    w->is_cut ? "" : "\n");
        }
    } else {
        tell_lines(w, f, at, line);
        if (is_first && has_fault(w, "cut")) {
            w->is_cut = true;
            w->n_left = 40;
        }
        bool is_huge = is_first && has_fault(w, "record");
        put_record(w, 0, is_huge ? INT32_MAX : 56 + n_name + f->n_code);
        put_u32(w, (uint32_t)getpid());
        put_u32(w, (uint32_t)current_tid());
        put_u64(w, (uintptr_t)at);
        put_u64(w, (uintptr_t)at);
        put_u64(w, is_generation && has_fault(w, "size") ? f->n_code + 100 : f->n_code);
        put_u64(w, f->index);
        put(w, f->name, n_name);
        put(w, f->code, f->n_code);
    }
    if (!is_buffered) {
        fflush(w->file);
    }
}

static void tell_move(struct writer *w, const struct function *f, const uint8_t *from,
                      const uint8_t *to, bool is_buffered)
{
    if (w->is_map && w->is_cut) {
        return;
    }
    if (w->is_map) {
        fprintf(w->file, "%lx %zx %s\n", (unsigned long)(uintptr_t)to, f->n_code, f->name);
    } else {
        put_record(w, 1, 64);
        put_u32(w, (uint32_t)getpid());
        put_u32(w, (uint32_t)current_tid());
        put_u64(w, (uintptr_t)to);
        put_u64(w, (uintptr_t)from);
        put_u64(w, (uintptr_t)to);
        put_u64(w, f->n_code);
        put_u64(w, f->index);
    }
    if (!is_buffered) {
        fflush(w->file);
    }
}

/* A loop that counts its argument down to 0, with a frame pointer. */
static void make_code(struct function *f)
{
#if defined(__x86_64__)
    static const uint8_t code[] = {
        0x55,                         /* push rbp */
        0x48, 0x89, 0xe5,             /* mov rbp, rsp */
        0x48, 0x8d, 0x44, 0x07, 0x01, /* 1: lea rax, [rdi+rax+1] */
        0x48, 0xff, 0xcf,             /* dec rdi */
        0x75, 0xf6,                   /* jnz 1b */
        0x5d,                         /* pop rbp */
        0xc3                          /* ret */
    };
    f->loop = 4;
    f->end = 14;
#elif defined(__aarch64__)
    static const uint32_t code[] = {
        0xa9bf7bfd, /* stp x29, x30, [sp, #-16]! */
        0x910003fd, /* mov x29, sp */
        0x8b000021, /* 1: add x1, x1, x0 */
        0xf1000400, /* subs x0, x0, #1 */
        0x54ffffc1, /* b.ne 1b */
        0xa8c17bfd, /* ldp x29, x30, [sp], #16 */
        0xd65f03c0  /* ret */
    };
    f->loop = 8;
    f->end = 20;
#else
#error "no code for this architecture"
#endif
    memcpy(f->code, code, sizeof(code));
    f->n_code = sizeof(code);
}

static void place(uint8_t *slot, const struct function *f)
{
    memcpy(slot, f->code, f->n_code);
    __builtin___clear_cache((char *)slot, (char *)slot + f->n_code);
}

static void run(struct function *f, const uint8_t *slot, int units)
{
    long (*code)(long);
    memcpy(&code, &slot, sizeof(code));
    int64_t before = thread_cpu_ns();
    code((long)units * UNIT_ITERATIONS);
    f->cpu_ns += thread_cpu_ns() - before;
}

static struct function make(const char *name, uint64_t index)
{
    struct function f = {.index = index};
    snprintf(f.name, sizeof(f.name), "%s", name);
    make_code(&f);
    return f;
}

static const char *text_option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return fallback;
}

int main(int argc, char **argv)
{
    static struct function generations[MAX_GENERATIONS];
    int64_t seconds = (int64_t)(option(argc, argv, "--seconds", 6) * 1e9), start = thread_cpu_ns();
    int64_t generation_ns = (int64_t)(option(argc, argv, "--generation-ms", 500) * 1e6);
    bool is_buffered = option(argc, argv, "--buffered", 0) != 0;
    struct writer w = {.fault = text_option(argc, argv, "--fault", "none")};
    if (option(argc, argv, "--perf-map", 0) != 0) {
        open_map(&w);
    } else {
        open_dump(&w, text_option(argc, argv, "--dir", "."), is_buffered);
    }
    uint8_t *slots = mmap(NULL, (size_t)SLOT_BYTES * N_SLOTS, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) {
        perror("jit_churn: mmap");
        return 1;
    }
    uint8_t *a = slots, *b = slots + SLOT_BYTES, *c = b + SLOT_BYTES, *d = c + SLOT_BYTES;
    struct function mover = make("mover", 1000), steady = make("steady", 1001);
    tell_load(&w, &mover, b, 50, is_buffered);
    place(b, &mover);
    tell_load(&w, &steady, d, 51, is_buffered);
    place(d, &steady);
    int n = 0;
    bool has_moved = false;
    for (int64_t now = start; now - start < seconds; now = thread_cpu_ns()) {
        int due = (int)((now - start) / generation_ns) + 1;
        if (due > n && n < MAX_GENERATIONS) {
            char name[32];
            snprintf(name, sizeof(name), "gen_a%d", n);
            generations[n] = make(name, (uint64_t)n);
            tell_load(&w, &generations[n], a, 100 + (uint32_t)n, is_buffered);
            place(a, &generations[n]);
            n++;
        }
        if (!has_moved && now - start > seconds / 2) {
            tell_move(&w, &mover, b, c, is_buffered);
            place(c, &mover);
            memset(b, 0xcc, SLOT_BYTES);
            has_moved = true;
        }
        run(&generations[n - 1], a, 4 + n % 3);
        run(&mover, has_moved ? c : b, 2);
        run(&steady, d, 1);
    }
    printf("{\"functions\":{\"mover\":%lld,\"steady\":%lld", (long long)mover.cpu_ns,
           (long long)steady.cpu_ns);
    for (int i = 0; i < n; i++) {
        printf(",\"%s\":%lld", generations[i].name, (long long)generations[i].cpu_ns);
    }
    printf("}}\n");
    fclose(w.file);
    return 0;
}
