/* Any bytes as the core of a kernel, as its notes and as its list of symbols. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "schema/kernel_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const char *const vmlinux[] = {NULL};
    char path[64];
    struct buf id = {0}, out = {0};
    struct kernel_code *k = NULL;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || fd_write_all(fd, data, n_bytes) != 0) {
        abort();
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    kernel_code_build_id(data, n_bytes, &id);
    const struct kernel_files files = {path, path, path, vmlinux};
    if (kernel_code_open(&k, &files, buf_str(&id), "6.1.0", NULL) == 0) {
        kernel_code_read(k, 0x10, 256, &out, NULL);
        if (out.len > 256) {
            abort();
        }
    }
    kernel_code_close(k);
    buf_free(&id);
    buf_free(&out);
    fd_close(&fd);
    return 0;
}
