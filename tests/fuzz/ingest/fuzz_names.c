/* Any bytes as an ELF image (in memory and as a file) and as a kernel symbol table. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void look_up(struct names *n)
{
    struct names_symbol s;
    uint64_t address;
    for (uint64_t a = 0; a < 0x4000; a += 7) {
        if (names_find(n, a, &s) && (a < s.start || a - s.start >= s.size)) {
            abort();
        }
        names_address_of_offset(n, a, &address);
    }
    names_find(n, UINT64_MAX, &s);
    names_address_of_offset(n, UINT64_MAX, &address);
    if (names_bytes(n) > 64 << 20) {
        abort();
    }
    names_close(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct names *n = NULL;
    if (names_open_elf_image(&n, data, n_bytes, NULL) == 0) {
        look_up(n);
    }
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, data, n_bytes) != 0) {
        abort();
    }
    if (names_open_elf(&n, fd, NULL) == 0) {
        look_up(n);
    }
    lseek(fd, 0, SEEK_SET);
    if (names_open_kallsyms(&n, fd, NULL) == 0) {
        look_up(n);
    }
    close(fd);
    return 0;
}
