/*
 * disasm.h - machine code as instructions, by capstone. Bytes are hostile: whatever cannot be
 * decoded becomes an instruction named (bad), one byte long on x86-64 and up to four on aarch64, so
 * that every byte belongs to exactly one instruction. Pure, any thread; memory is bounded by the
 * number of bytes.
 */
#ifndef STAX_QUERY_DISASM_H
#define STAX_QUERY_DISASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum flow {
    FLOW_NEXT,   /* goes on with the next instruction */
    FLOW_JUMP,   /* always goes elsewhere */
    FLOW_BRANCH, /* may go elsewhere */
    FLOW_CALL,   /* comes back */
    FLOW_RETURN,
    FLOW_STOP, /* traps or halts; also what is not an instruction */
};

struct instruction {
    uint64_t address;
    uint64_t target; /* of jump, branch and call, with has_target */
    uint32_t text;   /* where in struct disasm.text: mnemonic, NUL, operands, NUL */
    uint16_t size;   /* bytes */
    uint8_t flow;    /* enum flow */
    bool has_target; /* false: indirect, or no transfer of control */
};

struct disasm {
    struct instruction *items; /* by address, without gaps */
    size_t n, cap;
    struct buf text;
};

/* arch as uname -m prints it; is_att: x86 operands source first, as GNU tools print them. A last
 * instruction that is cut off by the end is (bad). Errors: STAX_EUSAGE (an architecture that is not
 * disassembled). The caller frees in either case. */
int disasm_run(struct disasm *d, const char *arch, bool is_att, const void *bytes, size_t n,
               uint64_t address, struct err *e);
void disasm_free(struct disasm *d);

static inline const char *disasm_mnemonic(const struct disasm *d, const struct instruction *i)
{
    return d->text.data + i->text;
}

/* "" if there are none. */
const char *disasm_operands(const struct disasm *d, const struct instruction *i);

/* The instruction that holds an address, d->n if none does. */
size_t disasm_at(const struct disasm *d, uint64_t address);

/* "next", "jump", "branch", "call", "return", "stop". */
const char *flow_text(enum flow flow);

#endif
