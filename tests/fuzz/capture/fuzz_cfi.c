/*
 * fuzz_cfi.c - hostile CFI: sections, programs in well-formed entries, whole ELF files, unwinding
 * info of jitdumps; each table is then used to unwind a hostile stack.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/jit_cfi.h"
#include "capture/unwind.h"

enum {
    ADDRESS = 0x10000,
    CODE = 0x1000,
    CODE_BYTES = 0x1000,
    STACK = 0x7f0000001000,
    MAX_BYTES = 1 << 16,
    MODE_BYTES = 2,
};

/* The first byte of an input, of which the rest are modulo 4. Corpora are kept: what a byte means
 * stays, and a new mode takes one value only. */
enum { SECTION, DEBUG_SECTION, PROGRAMS, IMAGE, N_MODULO, UNWINDING_INFO = 0xff };

static enum unwind_found find_code(void *ctx, uint64_t pc, struct unwind_code *code)
{
    *code = (struct unwind_code){.start = 0, .end = 1 << 20, .bias = 0, .table = ctx};
    return pc < (1 << 20) ? UNWIND_CODE : UNWIND_NOT_CODE;
}

/* Registers and chain from the input, too: they are the target's. */
static void use(const struct cfi_table *t, const uint8_t *data, size_t n)
{
    static struct unwind_stack out;
    struct unwind_input in = {.arch = &unwind_x86_64,
                              .stack_address = STACK,
                              .stack = data,
                              .n_stack_bytes = n,
                              .find = find_code,
                              .ctx = (void *)(uintptr_t)t};
    uint64_t chain[8] = {CODE + 4, CODE + 8};
    for (unsigned reg = 0; reg < unwind_x86_64.n_regs; reg++) {
        unwind_regs_set(&in.regs, reg, STACK + reg * 16);
    }
    unwind_regs_set(&in.regs, unwind_x86_64.sp, STACK);
    memcpy(chain + 2, data, n < 40 ? n : 40);
    in.chain = chain;
    in.n_chain = 8;
    for (uint64_t pc = CODE; pc < CODE + 64; pc += 4) {
        unwind_regs_set(&in.regs, unwind_x86_64.pc, pc);
        unwind(&in, &out);
        if (out.n > UNWIND_MAX_FRAMES || out.end >= UNWIND_N_ENDS) {
            abort();
        }
    }
    in.regs.known &= ~(UINT64_C(1) << unwind_x86_64.fp);
    unwind(&in, &out);
}

static void put(uint8_t *bytes, size_t *n, uint64_t value, size_t n_value)
{
    memcpy(bytes + *n, &value, n_value);
    *n += n_value;
}

/* A CIE and an FDE over [CODE, CODE + CODE_BYTES) that hold the input as their programs. */
static size_t wrap(uint8_t *bytes, const uint8_t *program, size_t n_program, size_t n_cie_program)
{
    static const uint8_t cie[] = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1};
    size_t n = 0;
    put(bytes, &n, 4 + sizeof(cie) + n_cie_program, 4);
    put(bytes, &n, 0, 4);
    memcpy(bytes + n, cie, sizeof(cie));
    n += sizeof(cie);
    memcpy(bytes + n, program, n_cie_program);
    n += n_cie_program;
    put(bytes, &n, 13 + n_program - n_cie_program, 4);
    put(bytes, &n, n, 4);
    put(bytes, &n, CODE - (ADDRESS + n), 4);
    put(bytes, &n, CODE_BYTES, 4);
    put(bytes, &n, 0, 1);
    memcpy(bytes + n, program + n_cie_program, n_program - n_cie_program);
    return n + n_program - n_cie_program;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[MAX_BYTES + 256];
    if (size < MODE_BYTES || size > MAX_BYTES) {
        return 0;
    }
    unsigned mode = data[0] == UNWINDING_INFO ? UNWINDING_INFO : data[0] % N_MODULO;
    size_t n = size - MODE_BYTES;
    const uint8_t *rest = data + MODE_BYTES;
    struct cfi_table *t = NULL;
    if (mode == IMAGE) {
        t = cfi_table_from_image(&unwind_x86_64, rest, n, NULL);
    } else if (mode == UNWINDING_INFO) { /* of a jitdump, the header of any length */
        t = jit_cfi_table(&unwind_x86_64, rest, n, data[1], CODE, CODE_BYTES);
    } else {
        struct cfi_section section = {.bytes = rest,
                                      .n_bytes = n,
                                      .address = ADDRESS,
                                      .is_debug = mode == DEBUG_SECTION,
                                      .is_open = data[1] & 1};
        if (mode == PROGRAMS) {
            section.n_bytes = wrap(bytes, rest, n, n ? data[1] % n : 0);
            section.bytes = bytes;
        }
        t = cfi_table_from_sections(&unwind_x86_64, &section, 1, NULL, 0);
    }
    if (t) {
        use(t, rest, n);
        cfi_table_free(t);
    }
    return 0;
}
