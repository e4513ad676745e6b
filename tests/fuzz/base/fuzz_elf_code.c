/* Any bytes as an ELF file that code is read from. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/elf_code.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct elf_code *c = NULL;
    struct buf out = {0};
    uint64_t address = 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || fd_write_all(fd, data, n_bytes) != 0) {
        abort();
    }
    if (elf_code_open(&c, fd, 0, NULL) == 0) {
        for (uint64_t offset = 0; offset < 0x4000; offset += 61) {
            if (elf_code_address_of_offset(c, offset, &address)) {
                buf_clear(&out);
                elf_code_read(c, address, 4096, &out, NULL);
                if (out.len > 4096) {
                    abort();
                }
            }
        }
        elf_code_close(c);
    }
    buf_free(&out);
    return 0;
}
