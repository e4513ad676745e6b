/*
 * jit_frameless.c - code made at run time that keeps no frame pointers (x86-64 only).
 *
 *   jit_frameless [--seconds 3] [--dir .] [--unwinding 1]
 *
 * main() calls jit_outer, that calls hop(), that calls jit_inner, which burns and calls burn().
 * Both pieces of code save registers, make room on the stack and keep a number in the register of
 * frame pointers. DIR/jit-PID.dump tells of them and, with --unwinding 1, how to unwind them.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "truth.h"

#if !defined(__x86_64__)
int main(void)
{
    fprintf(stderr, "jit_frameless: no code for this architecture\n");
    return 77;
}
#else

enum { SLOT_BYTES = 4096, HEADER_BYTES = 20 };

struct bytes {
    uint8_t data[512];
    size_t n;
};

static void put(struct bytes *b, const void *from, size_t n)
{
    memcpy(b->data + b->n, from, n);
    b->n += n;
}

static void put_uint(struct bytes *b, uint64_t v, size_t n)
{
    put(b, &v, n);
}

/* void (*)(void (*call)(void *), void *argument) */
static const uint8_t code[] = {
    0x55,                                     /* push rbp */
    0x53,                                     /* push rbx */
    0x48, 0x83, 0xec, 0x28,                   /* sub rsp, 40 */
    0x48, 0xc7, 0xc5, 0x01, 0x00, 0x00, 0x00, /* mov rbp, 1 */
    0x48, 0xc7, 0xc1, 0x40, 0x42, 0x0f, 0x00, /* mov rcx, 1000000 */
    0x48, 0xff, 0xc9,                         /* 1: dec rcx */
    0x75, 0xfb,                               /* jnz 1b */
    0x48, 0x89, 0xf8,                         /* mov rax, rdi */
    0x48, 0x89, 0xf7,                         /* mov rdi, rsi */
    0xff, 0xd0,                               /* call rax */
    0x48, 0x83, 0xc4, 0x28,                   /* add rsp, 40 */
    0x5b,                                     /* pop rbx */
    0x5d,                                     /* pop rbp */
    0xc3                                      /* ret */
};

/* .eh_frame as if it lay behind the code, then an empty .eh_frame_hdr. */
static void put_unwinding(struct bytes *b)
{
    static const uint8_t cie[] = {
        0x14, 0,    0,  0,    0,    0, 0, 0, 1, 'z', 'R', 0, /* length 20, CIE, version 1 */
        1,    0x78, 16, 1,    0x1b,                          /* 1, -8, rip, pcrel sdata4 */
        0x0c, 7,    8,  0x90, 1,    0, 0                     /* CFA is rsp + 8, rip below */
    };
    static const uint8_t program[] = {
        0x41,      0x0e, 16, 0x86, 2, /* after push rbp */
        0x41,      0x0e, 24, 0x83, 3, /* after push rbx */
        0x44,      0x0e, 64,          /* after sub */
        0x40 | 31, 0x0e, 24,          /* after add */
        0x41,      0x0e, 16, 0xc3,    /* after pop rbx */
        0x41,      0x0e, 8,  0xc6     /* after pop rbp */
    };
    size_t start = b->n;
    put(b, cie, sizeof(cie));
    put_uint(b, 4 + 4 + 4 + 1 + sizeof(program) + 2, 4); /* 39 and its pad of 2 */
    put_uint(b, b->n - start, 4);
    size_t behind = (sizeof(code) + 7) / 8 * 8 + (b->n - start);
    put_uint(b, (uint32_t) - (int64_t)behind, 4);
    put_uint(b, sizeof(code), 4);
    put_uint(b, 0, 1);
    put(b, program, sizeof(program));
    put_uint(b, 0, 2);
    put_uint(b, 0, 4); /* the end */
    static const uint8_t header[HEADER_BYTES] = {1, 0xff, 0xff, 0xff};
    put(b, header, sizeof(header));
}

static void put_record(struct bytes *b, uint32_t id, size_t size)
{
    put_uint(b, id, 4);
    put_uint(b, size, 4);
    put_uint(b, (uint64_t)wall_ns(), 8);
}

static void tell(FILE *dump, const char *name, const uint8_t *at, bool with_unwinding)
{
    struct bytes b = {0}, unwinding = {0};
    if (with_unwinding) {
        put_unwinding(&unwinding);
        put_record(&b, 4, 40 + unwinding.n);
        put_uint(&b, unwinding.n, 8);
        put_uint(&b, HEADER_BYTES, 8);
        put_uint(&b, 0, 8);
        put(&b, unwinding.data, unwinding.n);
    }
    put_record(&b, 0, 56 + strlen(name) + 1 + sizeof(code));
    put_uint(&b, (uint32_t)getpid(), 4);
    put_uint(&b, (uint32_t)current_tid(), 4);
    put_uint(&b, (uintptr_t)at, 8);
    put_uint(&b, (uintptr_t)at, 8);
    put_uint(&b, sizeof(code), 8);
    put_uint(&b, (uintptr_t)at, 8);
    put(&b, name, strlen(name) + 1);
    put(&b, code, sizeof(code));
    if (fwrite(b.data, 1, b.n, dump) != b.n || fflush(dump) != 0) {
        perror("jit_frameless: write");
        exit(1);
    }
}

static FILE *open_dump(const char *dir)
{
    char path[4096];
    struct bytes b = {0};
    snprintf(path, sizeof(path), "%s/jit-%d.dump", dir, (int)getpid());
    FILE *dump = fopen(path, "w+");
    if (!dump ||
        mmap(NULL, SLOT_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(dump), 0) == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    put_uint(&b, 0x4a695444, 4);
    put_uint(&b, 1, 4);
    put_uint(&b, 40, 4);
    put_uint(&b, 62, 4);
    put_uint(&b, 0, 4);
    put_uint(&b, (uint32_t)getpid(), 4);
    put_uint(&b, (uint64_t)wall_ns(), 8);
    put_uint(&b, 0, 8);
    fwrite(b.data, 1, b.n, dump);
    return dump;
}

typedef void made_code(void (*call)(void *), void *argument);

struct made {
    made_code *outer, *inner;
};

static volatile uint64_t sink;

__attribute__((noinline)) static void burn(void *argument)
{
    (void)argument;
    for (int i = 0; i < 1000000; i++) {
        sink += (uint64_t)i;
    }
}

__attribute__((noinline)) static void hop(void *argument)
{
    const struct made *m = argument;
    m->inner(burn, NULL);
    sink++;
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
    int64_t seconds = (int64_t)(option(argc, argv, "--seconds", 3) * 1e9), start = thread_cpu_ns();
    bool with_unwinding = option(argc, argv, "--unwinding", 1) != 0;
    FILE *dump = open_dump(text_option(argc, argv, "--dir", "."));
    uint8_t *slots = mmap(NULL, (size_t)SLOT_BYTES * 2, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) {
        perror("jit_frameless: mmap");
        return 1;
    }
    uint8_t *outer = slots, *inner = slots + SLOT_BYTES;
    memcpy(outer, code, sizeof(code));
    memcpy(inner, code, sizeof(code));
    tell(dump, "jit_outer", outer, with_unwinding);
    tell(dump, "jit_inner", inner, with_unwinding);
    struct made m;
    memcpy(&m.outer, &outer, sizeof(outer));
    memcpy(&m.inner, &inner, sizeof(inner));
    while (thread_cpu_ns() - start < seconds) {
        m.outer(hop, &m);
    }
    fclose(dump);
    return 0;
}
#endif
