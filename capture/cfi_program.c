/* cfi_program.c - runs call frame instructions. */
#include "capture/cfi_program.h"

#include <string.h>

enum { MAX_SAVED_STATES = 32 };

enum {
    CFA_ADVANCE_LOC = 0x40, /* with an operand in the low six bits, as the next two */
    CFA_OFFSET_SHORT = 0x80,
    CFA_RESTORE_SHORT = 0xc0,
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE_LOC1 = 0x02,
    CFA_ADVANCE_LOC2 = 0x03,
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_MIPS_ADVANCE_LOC8 = 0x1d,
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

struct machine {
    const struct cfi_program *program;
    struct cfi_bytes b;
    struct cfi_state now;
    uint64_t address;
    bool is_bad;
    unsigned n_saved;
    struct cfi_state saved[MAX_SAVED_STATES];
};

bool cfi_read_address(const struct cfi_section *section, unsigned encoding, struct cfi_bytes *b,
                      uint64_t *address)
{
    uint64_t here = section->address + (uint64_t)(b->at - section->bytes);
    uint64_t value = cfi_encoded(b, encoding);
    switch (encoding & CFI_PE_RELATIVE_MASK) {
    case CFI_PE_ABSPTR:
        *address = value;
        return !b->is_short;
    case CFI_PE_PCREL:
        *address = here + value;
        return !b->is_short;
    default:
        return false;
    }
}

/* The row that ends here, then the address of the next one. */
static void advance_to(struct machine *m, uint64_t address)
{
    if (address < m->address) {
        m->is_bad = true;
        return;
    }
    if (address > m->address && m->program->row &&
        !m->program->row(m->program->ctx, m->address, &m->now)) {
        m->is_bad = true;
    }
    m->address = address;
}

static void advance(struct machine *m, uint64_t delta)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(delta, m->program->cie->code_align, &bytes) ||
        bytes > UINT64_MAX - m->address) {
        m->is_bad = true;
        return;
    }
    advance_to(m, m->address + bytes);
}

/* Registers we do not follow (vector registers) are none of our business. */
static void set_register(struct machine *m, uint64_t reg, enum cfi_kind kind, int64_t value)
{
    if (reg >= m->program->arch->n_regs) {
        return;
    }
    if (value != (int32_t)value) {
        kind = CFI_UNDEFINED;
        value = 0;
    }
    m->now.kind[reg] = (uint8_t)kind;
    m->now.value[reg] = (int32_t)value;
}

static void set_factored(struct machine *m, uint64_t reg, enum cfi_kind kind, int64_t offset)
{
    int64_t value;
    if (__builtin_mul_overflow(offset, m->program->cie->data_align, &value)) {
        m->is_bad = true;
        return;
    }
    set_register(m, reg, kind, value);
}

static void restore_register(struct machine *m, uint64_t reg)
{
    if (reg < m->program->arch->n_regs) {
        m->now.kind[reg] = m->program->cie->initial.kind[reg];
        m->now.value[reg] = m->program->cie->initial.value[reg];
    }
}

static void set_cfa_register(struct machine *m, uint64_t reg)
{
    if (reg >= m->program->arch->n_regs) {
        m->is_bad = true;
        return;
    }
    m->now.cfa = CFI_CFA_REGISTER;
    m->now.cfa_reg = (uint8_t)reg;
}

static int32_t read_expression(struct machine *m)
{
    struct cfi_bytes e = cfi_take(&m->b, cfi_uleb(&m->b));
    if (m->b.is_short) {
        return -1;
    }
    return cfi_pool_expression(m->program->pool, e.at, cfi_bytes_left(&e));
}

static void set_expression(struct machine *m, enum cfi_kind kind)
{
    uint64_t reg = cfi_uleb(&m->b);
    int32_t expression = read_expression(m);
    set_register(m, reg, expression < 0 ? CFI_UNDEFINED : kind, expression < 0 ? 0 : expression);
}

static void set_cfa_expression(struct machine *m)
{
    int32_t expression = read_expression(m);
    m->now.cfa = expression < 0 ? CFI_CFA_NONE : CFI_CFA_EXPRESSION;
    m->now.cfa_reg = 0;
    m->now.cfa_offset = expression;
}

static void set_cfa_offset_factored(struct machine *m)
{
    if (__builtin_mul_overflow(cfi_sleb(&m->b), m->program->cie->data_align, &m->now.cfa_offset)) {
        m->is_bad = true;
    }
}

static void run_cfa(struct machine *m, unsigned op)
{
    bool is_change =
        op == CFA_DEF_CFA_REGISTER || op == CFA_DEF_CFA_OFFSET || op == CFA_DEF_CFA_OFFSET_SF;
    if (is_change && m->now.cfa != CFI_CFA_REGISTER) {
        m->is_bad = true;
        return;
    }
    switch (op) {
    case CFA_DEF_CFA:
        set_cfa_register(m, cfi_uleb(&m->b));
        m->now.cfa_offset = (int64_t)cfi_uleb(&m->b);
        break;
    case CFA_DEF_CFA_SF:
        set_cfa_register(m, cfi_uleb(&m->b));
        set_cfa_offset_factored(m);
        break;
    case CFA_DEF_CFA_REGISTER:
        set_cfa_register(m, cfi_uleb(&m->b));
        break;
    case CFA_DEF_CFA_OFFSET:
        m->now.cfa_offset = (int64_t)cfi_uleb(&m->b);
        break;
    case CFA_DEF_CFA_OFFSET_SF:
        set_cfa_offset_factored(m);
        break;
    default:
        set_cfa_expression(m);
        break;
    }
}

static void run_register(struct machine *m, unsigned op)
{
    if (op == CFA_EXPRESSION || op == CFA_VAL_EXPRESSION) {
        set_expression(m, op == CFA_EXPRESSION ? CFI_EXPRESSION : CFI_VAL_EXPRESSION);
        return;
    }
    uint64_t reg = cfi_uleb(&m->b);
    switch (op) {
    case CFA_RESTORE_EXTENDED:
        restore_register(m, reg);
        break;
    case CFA_UNDEFINED:
        set_register(m, reg, CFI_UNDEFINED, 0);
        break;
    case CFA_SAME_VALUE:
        set_register(m, reg, CFI_SAME, 0);
        break;
    case CFA_REGISTER: {
        uint64_t other = cfi_uleb(&m->b);
        bool is_known = other < m->program->arch->n_regs;
        set_register(m, reg, is_known ? CFI_REGISTER : CFI_UNDEFINED,
                     is_known ? (int64_t)other : 0);
        break;
    }
    case CFA_OFFSET_EXTENDED:
        set_factored(m, reg, CFI_OFFSET, (int64_t)cfi_uleb(&m->b));
        break;
    case CFA_OFFSET_EXTENDED_SF:
        set_factored(m, reg, CFI_OFFSET, cfi_sleb(&m->b));
        break;
    case CFA_VAL_OFFSET:
        set_factored(m, reg, CFI_VAL_OFFSET, (int64_t)cfi_uleb(&m->b));
        break;
    case CFA_VAL_OFFSET_SF:
        set_factored(m, reg, CFI_VAL_OFFSET, cfi_sleb(&m->b));
        break;
    default: { /* CFA_GNU_NEGATIVE_OFFSET_EXTENDED */
        uint64_t offset = cfi_uleb(&m->b);
        set_factored(m, reg, CFI_OFFSET, (int64_t)(0 - offset));
        break;
    }
    }
}

static void remember(struct machine *m)
{
    if (m->n_saved == MAX_SAVED_STATES) {
        m->is_bad = true;
        return;
    }
    m->saved[m->n_saved++] = m->now;
}

/* The CFA is part of the state, as GCC and LLVM have it. */
static void restore(struct machine *m)
{
    if (!m->n_saved) {
        m->is_bad = true;
        return;
    }
    m->now = m->saved[--m->n_saved];
}

static void run_location(struct machine *m, unsigned op)
{
    uint64_t address;
    switch (op) {
    case CFA_ADVANCE_LOC1:
        advance(m, cfi_uint(&m->b, 1));
        break;
    case CFA_ADVANCE_LOC2:
        advance(m, cfi_uint(&m->b, 2));
        break;
    case CFA_ADVANCE_LOC4:
        advance(m, cfi_uint(&m->b, 4));
        break;
    case CFA_MIPS_ADVANCE_LOC8:
        advance(m, cfi_uint(&m->b, 8));
        break;
    default: /* CFA_SET_LOC */
        if (!m->program->section ||
            !cfi_read_address(m->program->section, m->program->cie->encoding, &m->b, &address)) {
            m->is_bad = true;
            return;
        }
        advance_to(m, address);
        break;
    }
}

static void run_long(struct machine *m, unsigned op)
{
    switch (op) {
    case CFA_NOP:
        break;
    case CFA_SET_LOC:
    case CFA_ADVANCE_LOC1:
    case CFA_ADVANCE_LOC2:
    case CFA_ADVANCE_LOC4:
    case CFA_MIPS_ADVANCE_LOC8:
        run_location(m, op);
        break;
    case CFA_REMEMBER_STATE:
        remember(m);
        break;
    case CFA_RESTORE_STATE:
        restore(m);
        break;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_REGISTER:
    case CFA_DEF_CFA_OFFSET:
    case CFA_DEF_CFA_OFFSET_SF:
    case CFA_DEF_CFA_EXPRESSION:
        run_cfa(m, op);
        break;
    case CFA_GNU_ARGS_SIZE:
        cfi_uleb(&m->b);
        break;
    case CFA_OFFSET_EXTENDED:
    case CFA_RESTORE_EXTENDED:
    case CFA_UNDEFINED:
    case CFA_SAME_VALUE:
    case CFA_REGISTER:
    case CFA_EXPRESSION:
    case CFA_OFFSET_EXTENDED_SF:
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
    case CFA_VAL_EXPRESSION:
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
        run_register(m, op);
        break;
    default:
        m->is_bad = true;
        break;
    }
}

static void run(struct machine *m)
{
    while (m->b.at != m->b.end && !m->is_bad && !m->b.is_short && m->address < m->program->end) {
        unsigned op = *m->b.at++;
        switch (op & 0xc0) {
        case CFA_ADVANCE_LOC:
            advance(m, op & 0x3f);
            break;
        case CFA_OFFSET_SHORT:
            set_factored(m, op & 0x3f, CFI_OFFSET, (int64_t)cfi_uleb(&m->b));
            break;
        case CFA_RESTORE_SHORT:
            restore_register(m, op & 0x3f);
            break;
        default:
            run_long(m, op);
            break;
        }
    }
    m->is_bad |= m->b.is_short;
}

bool cfi_program_run(const struct cfi_program *program)
{
    struct machine m;
    m.program = program;
    m.b = program->bytes;
    m.now = program->cie->initial;
    m.address = program->start;
    m.is_bad = false;
    m.n_saved = 0;
    run(&m);
    if (m.is_bad) {
        m.now.cfa = CFI_CFA_NONE;
    }
    if (m.address < program->end) {
        program->row(program->ctx, m.address, &m.now);
    }
    return !m.is_bad;
}

bool cfi_program_init_cie(const struct cfi_program *program, struct cfi_cie *cie)
{
    struct machine m;
    struct cfi_program own = *program;
    own.cie = cie;
    own.row = NULL;
    own.start = 0;
    own.end = UINT64_MAX;
    memset(&m, 0, sizeof(m));
    m.program = &own;
    m.b = own.bytes;
    run(&m);
    cie->initial = m.now;
    return !m.is_bad;
}
