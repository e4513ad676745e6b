/* disasm.c - see disasm.h. */
#include "query/disasm.h"

#include <stdlib.h>
#include <string.h>

#include <capstone/capstone.h>

#include "base/mem.h"

const char *flow_text(enum flow flow)
{
    static const char *const texts[] = {"next", "jump", "branch", "call", "return", "stop"};
    return texts[flow];
}

void disasm_free(struct disasm *d)
{
    free(d->items);
    buf_free(&d->text);
    *d = (struct disasm){0};
}

const char *disasm_operands(const struct disasm *d, const struct instruction *i)
{
    const char *mnemonic = disasm_mnemonic(d, i);
    return mnemonic + strlen(mnemonic) + 1;
}

size_t disasm_at(const struct disasm *d, uint64_t address)
{
    size_t low = 0, high = d->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct instruction *i = &d->items[middle];
        if (address - i->address < i->size && address >= i->address) {
            return middle;
        }
        if (i->address > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return d->n;
}

static void add(struct disasm *d, struct instruction item, const char *mnemonic,
                const char *operands)
{
    item.text = (uint32_t)d->text.len;
    buf_add(&d->text, mnemonic, strlen(mnemonic) + 1);
    buf_add(&d->text, operands, strlen(operands) + 1);
    mem_reserve(&d->items, &d->cap, d->n + 1, sizeof(*d->items));
    d->items[d->n++] = item;
}

static bool is_in_group(const cs_insn *insn, uint8_t group)
{
    for (uint8_t i = 0; i < insn->detail->groups_count; i++) {
        if (insn->detail->groups[i] == group) {
            return true;
        }
    }
    return false;
}

static void classify_x86(struct instruction *item, const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;

    if (insn->id == X86_INS_CALL || insn->id == X86_INS_LCALL) {
        item->flow = FLOW_CALL;
    } else if (insn->id == X86_INS_JMP || insn->id == X86_INS_LJMP) {
        item->flow = FLOW_JUMP;
    } else if (is_in_group(insn, X86_GRP_RET) || is_in_group(insn, X86_GRP_IRET)) {
        item->flow = FLOW_RETURN;
    } else if (is_in_group(insn, X86_GRP_JUMP)) {
        item->flow = FLOW_BRANCH;
    } else if (insn->id == X86_INS_UD2 || insn->id == X86_INS_HLT || insn->id == X86_INS_UD0) {
        item->flow = FLOW_STOP;
    }
    bool is_transfer =
        item->flow == FLOW_CALL || item->flow == FLOW_JUMP || item->flow == FLOW_BRANCH;
    if (is_transfer && x->op_count == 1 && x->operands[0].type == X86_OP_IMM) {
        item->has_target = true;
        item->target = (uint64_t)x->operands[0].imm;
    }
}

static void classify_arm64(struct instruction *item, const cs_insn *insn)
{
    const cs_arm64 *a = &insn->detail->arm64;
    bool has_condition = a->cc != ARM64_CC_INVALID && a->cc != ARM64_CC_AL;

    switch (insn->id) {
    case ARM64_INS_B:
        item->flow = has_condition ? FLOW_BRANCH : FLOW_JUMP;
        break;
    case ARM64_INS_CBZ:
    case ARM64_INS_CBNZ:
    case ARM64_INS_TBZ:
    case ARM64_INS_TBNZ:
        item->flow = FLOW_BRANCH;
        break;
    case ARM64_INS_BL:
    case ARM64_INS_BLR:
        item->flow = FLOW_CALL;
        break;
    case ARM64_INS_BR:
        item->flow = FLOW_JUMP;
        break;
    case ARM64_INS_RET:
    case ARM64_INS_ERET:
        item->flow = FLOW_RETURN;
        break;
    case ARM64_INS_BRK:
    case ARM64_INS_HLT:
        item->flow = FLOW_STOP;
        break;
    default:
        return;
    }
    if (item->flow <= FLOW_CALL && a->op_count > 0 &&
        a->operands[a->op_count - 1].type == ARM64_OP_IMM) {
        item->has_target = true;
        item->target = (uint64_t)a->operands[a->op_count - 1].imm;
    }
}

/* Debian's capstone 4 knows neither: hints of aarch64 that are everywhere in new code. */
static const char *hint_of(uint32_t word)
{
    switch (word) {
    case 0xd503241f:
        return "bti";
    case 0xd503245f:
        return "bti c";
    case 0xd503249f:
        return "bti j";
    case 0xd50324df:
        return "bti jc";
    default:
        return NULL;
    }
}

static void add_hint(struct disasm *d, struct instruction item, const char *hint)
{
    const char *space = strchr(hint, ' ');

    add(d, item, "bti", space ? space + 1 : "");
}

static void add_bad(struct disasm *d, bool is_x86, const uint8_t *bytes, size_t left,
                    uint64_t address)
{
    char operands[32];
    size_t size = is_x86 ? 1 : left < 4 ? left : 4;
    struct buf text = {0};

    for (size_t i = 0; i < size; i++) {
        buf_addf(&text, i ? " %02x" : "%02x", bytes[i]);
    }
    snprintf(operands, sizeof(operands), "%s", buf_str(&text));
    buf_free(&text);
    add(d, (struct instruction){.address = address, .size = (uint16_t)size, .flow = FLOW_STOP},
        "(bad)", operands);
}

/* Bytes that a ModRM operand takes after the opcode; 0: cut off. Intel SDM vol. 2, 2.1.5. */
static size_t operand_size(const uint8_t *modrm, size_t left)
{
    if (left < 1) {
        return 0;
    }
    uint8_t mod = modrm[0] >> 6, rm = modrm[0] & 7;
    size_t size = 1;
    if (mod == 3) {
        return size;
    }
    if (rm == 4) {
        if (left < 2) {
            return 0;
        }
        size += 1 + (mod == 0 && (modrm[1] & 7) == 5 ? 4 : 0);
    }
    size += mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
    return size <= left ? size : 0;
}

/* The size of an instruction with a VEX or EVEX prefix, 0 if these are not the bytes of one.
 * Debian's capstone 4 knows few of AVX-512, which memcpy and strlen are made of; their sizes follow
 * from the encoding alone. Intel SDM vol. 2, 2.3 and 2.7, and the opcode maps of its appendix A. */
static size_t vector_size(const uint8_t *bytes, size_t left)
{
    size_t prefix = left > 1 && bytes[0] == 0x62   ? 4
                    : left > 1 && bytes[0] == 0xc4 ? 3
                    : left > 1 && bytes[0] == 0xc5 ? 2
                                                   : 0;
    if (!prefix || left < prefix + 2) {
        return 0;
    }
    unsigned map = prefix == 4 ? bytes[1] & 7 : prefix == 3 ? bytes[1] & 31 : 1;
    bool is_evex = prefix == 4;
    if (map == 0 || map == 4 || map > 6 || (is_evex && (bytes[1] & 8)) ||
        (is_evex && !(bytes[2] & 4)) || (!is_evex && map > 3)) {
        return 0;
    }
    uint8_t opcode = bytes[prefix];
    if (map == 1 && opcode == 0x77) {
        return prefix + 1; /* VZEROUPPER has no operand */
    }
    size_t operand = operand_size(bytes + prefix + 1, left - prefix - 1);
    bool has_immediate =
        map == 3 || (map == 1 && ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
                                  (opcode >= 0xc4 && opcode <= 0xc6)));
    size_t size = prefix + 1 + operand + has_immediate;
    return operand && size <= left ? size : 0;
}

static void add_vector(struct disasm *d, const uint8_t *bytes, size_t size, uint64_t address)
{
    struct buf text = {0};

    for (size_t i = 0; i < size; i++) {
        buf_addf(&text, i ? " %02x" : "%02x", bytes[i]);
    }
    add(d, (struct instruction){.address = address, .size = (uint16_t)size}, "(vector)",
        buf_str(&text));
    buf_free(&text);
}

/* Others that Debian's capstone 4 does not know. */
static const char *system_name(const uint8_t *bytes, size_t left)
{
    if (left < 3 || bytes[0] != 0x0f || bytes[1] != 0x01) {
        return NULL;
    }
    return bytes[2] == 0xee   ? "rdpkru"
           : bytes[2] == 0xef ? "wrpkru"
           : bytes[2] == 0xe8 ? "serialize"
                              : NULL;
}

/* What capstone could not decode. Returns its size. */
static size_t add_undecoded(struct disasm *d, bool is_x86, const uint8_t *bytes, size_t left,
                            uint64_t address)
{
    const char *name = is_x86 ? system_name(bytes, left) : NULL;
    size_t size = is_x86 ? vector_size(bytes, left) : 0;

    if (name) {
        add(d, (struct instruction){.address = address, .size = 3}, name, "");
    } else if (size) {
        add_vector(d, bytes, size, address);
    } else {
        add_bad(d, is_x86, bytes, left, address);
    }
    return d->items[d->n - 1].size;
}

static void decode(struct disasm *d, csh handle, cs_insn *insn, bool is_x86, const uint8_t *bytes,
                   size_t n, uint64_t start)
{
    const uint8_t *at = bytes;
    size_t left = n;

    while (left > 0) {
        uint64_t address = start + (uint64_t)(at - bytes), next = address;
        const uint8_t *before = at;
        uint32_t word = 0;
        memcpy(&word, at, left < 4 ? left : 4);
        const char *hint = !is_x86 && left >= 4 ? hint_of(word) : NULL;
        if (hint) {
            add_hint(d, (struct instruction){.address = address, .size = 4}, hint);
            at += 4;
            left -= 4;
        } else if (cs_disasm_iter(handle, &at, &left, &next, insn) && at > before) {
            struct instruction item = {.address = address, .size = (uint16_t)(at - before)};
            if (is_x86) {
                classify_x86(&item, insn);
            } else {
                classify_arm64(&item, insn);
            }
            add(d, item, insn->mnemonic, insn->op_str);
        } else {
            size_t rest = n - (size_t)(before - bytes);
            at = before + add_undecoded(d, is_x86, before, rest, address);
            left = n - (size_t)(at - bytes);
        }
    }
}

int disasm_run(struct disasm *d, const char *arch, bool is_att, const void *bytes, size_t n,
               uint64_t address, struct err *e)
{
    csh handle;
    bool is_x86 = strcmp(arch, "x86_64") == 0;

    *d = (struct disasm){0};
    if (!is_x86 && strcmp(arch, "aarch64") != 0) {
        return err_set(e, STAX_EUSAGE, "code for %s is not disassembled, only x86_64 and aarch64",
                       arch);
    }
    cs_err rc = is_x86 ? cs_open(CS_ARCH_X86, CS_MODE_64, &handle)
                       : cs_open(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, &handle);
    if (rc != CS_ERR_OK) {
        return err_set(e, STAX_EFAIL, "this capstone cannot disassemble %s: %s", arch,
                       cs_strerror(rc));
    }
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    if (is_att && is_x86) {
        cs_option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    }
    cs_insn *insn = cs_malloc(handle);
    decode(d, handle, insn, is_x86, bytes, n, address);
    cs_free(insn, 1);
    cs_close(&handle);
    return 0;
}
