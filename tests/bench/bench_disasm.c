/*
 * bench_disasm.c - disassembles code of an ELF file as stax annotate does:
 *
 *     bench_disasm FILE ARCH START SIZE [OFFSET]
 *
 * START is an ELF virtual address in hexadecimal, SIZE bytes; with OFFSET the code is read from
 * there in the file and START is only what its addresses begin with.
 *
 * Prints "address size mnemonic operands" a line, and on stderr how long it took.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/elf_code.h"
#include "base/fd.h"
#include "query/disasm.h"

static void print(const struct disasm *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct instruction *in = &d->items[i];
        printf("%" PRIx64 " %u %s %s\n", in->address, (unsigned)in->size, disasm_mnemonic(d, in),
               disasm_operands(d, in));
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct elf_code *elf = NULL;
    struct buf code = {0};
    struct disasm d = {0};

    if (argc < 5) {
        fprintf(stderr, "usage: bench_disasm FILE ARCH START SIZE [OFFSET]\n");
        return 2;
    }
    uint64_t start = strtoull(argv[3], NULL, 16);
    size_t n = strtoull(argv[4], NULL, 10);
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC), rc = 0;
    if (argc > 5) {
        ssize_t got = pread(fd, buf_room(&code, n), n, (off_t)strtoll(argv[5], NULL, 10));
        buf_advance(&code, got > 0 ? (size_t)got : 0);
        fd_close(&fd);
    } else {
        rc = elf_code_open(&elf, fd, 0, &e);
        rc = rc ? rc : elf_code_read(elf, start, n, &code, &e);
    }
    int64_t began = clock_monotonic_ns();
    rc = rc ? rc : disasm_run(&d, argv[2], false, code.data, code.len, start, &e);
    int64_t took = clock_monotonic_ns() - began;
    if (rc) {
        fprintf(stderr, "bench_disasm: %s\n", e.msg);
    } else {
        print(&d);
        fprintf(stderr, "%zu instructions in %.1f ms\n", d.n, (double)took / 1e6);
    }
    disasm_free(&d);
    buf_free(&code);
    elf_code_close(elf);
    return rc != 0;
}
