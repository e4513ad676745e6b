/* Any bytes as code of either architecture: every byte belongs to one instruction. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "query/disasm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1) {
        return 0;
    }
    const char *arch = data[0] & 1 ? "x86_64" : "aarch64";
    uint64_t start = data[0] & 2 ? 0x1000 : UINT64_MAX - 64, covered = 0;
    struct disasm d;

    if (disasm_run(&d, arch, data[0] & 4, data + 1, n_bytes - 1, start, NULL) != 0) {
        abort();
    }
    for (size_t i = 0; i < d.n; i++) {
        const struct instruction *in = &d.items[i];
        if (in->address != start + covered || in->size == 0 || !disasm_mnemonic(&d, in)[0]) {
            abort();
        }
        (void)disasm_operands(&d, in);
        covered += in->size;
    }
    if (covered != n_bytes - 1) {
        abort();
    }
    disasm_free(&d);
    return 0;
}
