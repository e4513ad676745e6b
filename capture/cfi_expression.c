/* cfi_expression.c - evaluates the DWARF expressions that CFI uses. */
#include "capture/cfi_expression.h"

#include "capture/cfi_bytes.h"

/* The longest in real files are PLT entries: 11 steps, 3 deep. */
enum { MAX_DEPTH = 32, MAX_STEPS = 1024 };

enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S = 0x09,
    OP_CONST2U = 0x0a,
    OP_CONST2S = 0x0b,
    OP_CONST4U = 0x0c,
    OP_CONST4S = 0x0d,
    OP_CONST8U = 0x0e,
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_PICK = 0x15,
    OP_SWAP = 0x16,
    OP_ROT = 0x17,
    OP_ABS = 0x19,
    OP_AND = 0x1a,
    OP_DIV = 0x1b,
    OP_MINUS = 0x1c,
    OP_MOD = 0x1d,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_BRA = 0x28,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_SKIP = 0x2f,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

struct evaluation {
    const struct cfi_context *context;
    const uint8_t *start;
    struct cfi_bytes b;
    uint64_t stack[MAX_DEPTH];
    unsigned n;
    enum cfi_value state;
};

static void fail(struct evaluation *v, enum cfi_value why)
{
    if (v->state == CFI_VALUE_OK) {
        v->state = why;
    }
}

static void push(struct evaluation *v, uint64_t value)
{
    if (v->n == MAX_DEPTH) {
        fail(v, CFI_VALUE_BAD);
        return;
    }
    v->stack[v->n++] = value;
}

static uint64_t pop(struct evaluation *v)
{
    if (!v->n) {
        fail(v, CFI_VALUE_BAD);
        return 0;
    }
    return v->stack[--v->n];
}

/* The value depth places below the top. */
static uint64_t peek(struct evaluation *v, unsigned depth)
{
    if (depth >= v->n) {
        fail(v, CFI_VALUE_BAD);
        return 0;
    }
    return v->stack[v->n - 1 - depth];
}

static void push_register(struct evaluation *v, uint64_t reg, int64_t offset)
{
    if (reg >= v->context->arch->n_regs) {
        fail(v, CFI_VALUE_BAD);
        return;
    }
    if (!(v->context->regs->known >> reg & 1)) {
        fail(v, CFI_VALUE_UNKNOWN);
        return;
    }
    push(v, v->context->regs->value[reg] + (uint64_t)offset);
}

static void deref(struct evaluation *v, unsigned n)
{
    uint64_t address = pop(v);
    uint64_t value = 0;
    if (v->state != CFI_VALUE_OK) {
        return;
    }
    if (n == 0 || n > 8) {
        fail(v, CFI_VALUE_BAD);
    } else if (!v->context->read(v->context->ctx, address, n, &value)) {
        fail(v, CFI_VALUE_MEMORY);
    }
    push(v, value);
}

static void jump(struct evaluation *v, int64_t distance)
{
    int64_t to = (int64_t)(v->b.at - v->start) + distance;
    if (to < 0 || to > (int64_t)(v->b.end - v->start)) {
        fail(v, CFI_VALUE_BAD);
        return;
    }
    v->b.at = v->start + to;
}

static void push_constant(struct evaluation *v, unsigned op)
{
    switch (op) {
    case OP_CONSTU:
        push(v, cfi_uleb(&v->b));
        break;
    case OP_CONSTS:
        push(v, (uint64_t)cfi_sleb(&v->b));
        break;
    case OP_CONST1S:
    case OP_CONST2S:
    case OP_CONST4S:
    case OP_CONST8S:
        push(v, (uint64_t)cfi_sint(&v->b, (size_t)1 << ((op - OP_CONST1U) / 2)));
        break;
    case OP_ADDR:
        push(v, cfi_uint(&v->b, 8));
        break;
    default:
        push(v, cfi_uint(&v->b, (size_t)1 << ((op - OP_CONST1U) / 2)));
        break;
    }
}

static void shuffle(struct evaluation *v, unsigned op)
{
    uint64_t top = peek(v, 0);
    switch (op) {
    case OP_DUP:
        push(v, top);
        break;
    case OP_DROP:
        pop(v);
        break;
    case OP_OVER:
        push(v, peek(v, 1));
        break;
    case OP_PICK:
        push(v, peek(v, cfi_u8(&v->b)));
        break;
    default: { /* OP_SWAP, OP_ROT: the top goes one or two places down */
        unsigned depth = op == OP_SWAP ? 1 : 2;
        peek(v, depth);
        for (unsigned i = 0; v->state == CFI_VALUE_OK && i < depth; i++) {
            v->stack[v->n - 1 - i] = v->stack[v->n - 2 - i];
        }
        if (v->state == CFI_VALUE_OK) {
            v->stack[v->n - 1 - depth] = top;
        }
        break;
    }
    }
}

static void unary(struct evaluation *v, unsigned op)
{
    uint64_t a = pop(v);
    switch (op) {
    case OP_ABS:
        push(v, (int64_t)a < 0 ? 0 - a : a);
        break;
    case OP_NEG:
        push(v, 0 - a);
        break;
    case OP_NOT:
        push(v, ~a);
        break;
    default: /* OP_PLUS_UCONST */
        push(v, a + cfi_uleb(&v->b));
        break;
    }
}

static uint64_t divide(struct evaluation *v, uint64_t a, uint64_t b)
{
    if (!b || ((int64_t)a == INT64_MIN && (int64_t)b == -1)) {
        fail(v, CFI_VALUE_BAD);
        return 0;
    }
    return (uint64_t)((int64_t)a / (int64_t)b);
}

static bool compare(unsigned op, int64_t a, int64_t b)
{
    switch (op) {
    case OP_EQ:
        return a == b;
    case OP_GE:
        return a >= b;
    case OP_GT:
        return a > b;
    case OP_LE:
        return a <= b;
    case OP_LT:
        return a < b;
    default:
        return a != b;
    }
}

static void binary(struct evaluation *v, unsigned op)
{
    uint64_t b = pop(v);
    uint64_t a = pop(v);
    switch (op) {
    case OP_AND:
        push(v, a & b);
        break;
    case OP_DIV:
        push(v, divide(v, a, b));
        break;
    case OP_MINUS:
        push(v, a - b);
        break;
    case OP_MOD:
        if (!b) {
            fail(v, CFI_VALUE_BAD);
        }
        push(v, b ? a % b : 0);
        break;
    case OP_MUL:
        push(v, a * b);
        break;
    case OP_OR:
        push(v, a | b);
        break;
    case OP_PLUS:
        push(v, a + b);
        break;
    case OP_SHL:
        push(v, b < 64 ? a << b : 0);
        break;
    case OP_SHR:
        push(v, b < 64 ? a >> b : 0);
        break;
    case OP_SHRA:
        push(v, (uint64_t)((int64_t)a >> (b < 64 ? b : 63)));
        break;
    case OP_XOR:
        push(v, a ^ b);
        break;
    default:
        push(v, compare(op, (int64_t)a, (int64_t)b));
        break;
    }
}

static void branch(struct evaluation *v, unsigned op)
{
    int64_t distance = cfi_sint(&v->b, 2);
    if (!v->b.is_short && (op == OP_SKIP || pop(v))) {
        jump(v, distance);
    }
}

static void step(struct evaluation *v, unsigned op)
{
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push(v, op - OP_LIT0);
    } else if (op >= OP_BREG0 && op <= OP_BREG31) {
        push_register(v, op - OP_BREG0, cfi_sleb(&v->b));
    } else if (op == OP_BREGX) {
        uint64_t reg = cfi_uleb(&v->b);
        push_register(v, reg, cfi_sleb(&v->b));
    } else if (op == OP_DEREF || op == OP_DEREF_SIZE) {
        deref(v, op == OP_DEREF ? 8 : cfi_u8(&v->b));
    } else if (op == OP_ADDR || (op >= OP_CONST1U && op <= OP_CONSTS)) {
        push_constant(v, op);
    } else if (op >= OP_DUP && op <= OP_ROT) {
        shuffle(v, op);
    } else if (op == OP_ABS || op == OP_NEG || op == OP_NOT || op == OP_PLUS_UCONST) {
        unary(v, op);
    } else if (op == OP_BRA || op == OP_SKIP) {
        branch(v, op);
    } else if (op >= OP_AND && op <= OP_NE) {
        binary(v, op);
    } else if (op != OP_NOP) {
        fail(v, CFI_VALUE_BAD);
    }
}

enum cfi_value cfi_expression_eval(const struct cfi_context *context, const uint8_t *bytes,
                                   size_t n, const uint64_t *initial, uint64_t *value)
{
    struct evaluation v;
    v.context = context;
    v.start = bytes;
    v.b = (struct cfi_bytes){.at = bytes, .end = bytes + n};
    v.n = 0;
    v.state = CFI_VALUE_OK;
    if (initial) {
        push(&v, *initial);
    }
    for (unsigned steps = 0; v.b.at != v.b.end && v.state == CFI_VALUE_OK; steps++) {
        if (steps == MAX_STEPS) {
            return CFI_VALUE_BAD;
        }
        step(&v, *v.b.at++);
        if (v.b.is_short) {
            fail(&v, CFI_VALUE_BAD);
        }
    }
    *value = pop(&v);
    return v.state;
}
