/* unwind.c - from registers and memory of a thread to the return addresses of its callers. */
#include "capture/unwind.h"

#include <string.h>

#include "capture/cfi_expression.h"

/* How far beyond a copy its stack may reasonably go on, and how far a guess looks for a frame. */
enum { MAX_STACK_BYTES = 64 << 20, MAX_GUESS_WORDS = 64, WORD = 8 };

/* What steps return instead of an end: there is a caller. */
enum { GO_ON = UNWIND_N_ENDS };

/* PLT stubs, signal frames and some assembly have one each. */
enum { MAX_EXPRESSIONS = 512 };

struct walk {
    const struct unwind_input *in;
    struct unwind_stack *out;
    struct unwind_regs regs; /* of the frame under way */
    struct unwind_code code; /* of the last look-up; end 0: none */
    bool is_exact;           /* the pc is no return address */
    uint32_t n_sound;        /* frames before one was guessed; 0: none was */
    bool is_live;            /* memory outside the copy may be read */
    uint8_t flags;           /* how the next frame was found */
    uint32_t n_expressions;  /* evaluated; each may take long, so they are few in all */
};

const char *unwind_end_name(enum unwind_end end)
{
    static const char *const names[] = {
#define X(name, wire) wire,
        UNWIND_ENDS(X)
#undef X
    };
    return (unsigned)end < UNWIND_N_ENDS ? names[end] : "unknown";
}

static bool is_known(const struct unwind_regs *regs, unsigned reg)
{
    return regs->known >> reg & 1;
}

static enum unwind_found find_code(struct walk *w, uint64_t pc)
{
    if (pc >= w->code.start && pc < w->code.end) {
        return UNWIND_CODE;
    }
    struct unwind_code code = {0};
    enum unwind_found found = w->in->find(w->in->ctx, pc, &code);
    if (found == UNWIND_CODE) {
        w->code = code;
    }
    return found;
}

/* The rule for an address of the mapping that find_code() found. */
static const uint32_t *find_rule(const struct walk *w, uint64_t pc)
{
    return w->code.table ? cfi_table_find(w->code.table, pc - w->code.bias) : NULL;
}

static bool is_in_copy(const struct walk *w, uint64_t address, size_t n)
{
    const struct unwind_input *in = w->in;
    uint64_t offset = address - in->stack_address;
    return address >= in->stack_address && in->n_stack_bytes >= n &&
           offset <= in->n_stack_bytes - n;
}

static bool read_memory(void *ctx, uint64_t address, size_t n, uint64_t *value)
{
    struct walk *w = ctx;
    *value = 0;
    if (is_in_copy(w, address, n)) {
        memcpy(value, w->in->stack + (address - w->in->stack_address), n);
        return true;
    }
    if (w->is_live && w->in->read(w->in->ctx, address, value, n)) {
        w->flags |= UNWIND_FROM_LIVE;
        return true;
    }
    *value = 0;
    return false;
}

/* Why an address could not be read. */
static enum unwind_end blame(const struct walk *w, uint64_t address)
{
    uint64_t end = w->in->stack_address + w->in->n_stack_bytes;
    return address + WORD > end && address - (end - WORD) < MAX_STACK_BYTES ? UNWIND_EXHAUSTED
                                                                            : UNWIND_BAD_MEMORY;
}

static unsigned eval(struct walk *w, int32_t expression, const uint64_t *cfa, uint64_t *value)
{
    size_t n = 0;
    const uint8_t *bytes = cfi_table_expression(w->code.table, expression, &n);
    struct cfi_context context = {
        .arch = w->in->arch, .regs = &w->regs, .read = read_memory, .ctx = w};
    if (!bytes) {
        return UNWIND_NO_CFI;
    }
    if (++w->n_expressions > MAX_EXPRESSIONS) {
        return UNWIND_BAD_CFA;
    }
    switch (cfi_expression_eval(&context, bytes, n, cfa, value)) {
    case CFI_VALUE_OK:
        return GO_ON;
    case CFI_VALUE_UNKNOWN:
        return UNWIND_UNKNOWN_REGISTER;
    case CFI_VALUE_MEMORY:
        return UNWIND_BAD_MEMORY;
    default:
        return UNWIND_NO_CFI;
    }
}

static unsigned find_cfa(struct walk *w, const uint32_t *rule, uint64_t *cfa)
{
    const struct unwind_arch *arch = w->in->arch;
    if (cfi_rule_cfa(rule) == CFI_CFA_EXPRESSION) {
        unsigned end = eval(w, cfi_rule_cfa_offset(rule), NULL, cfa);
        if (end != GO_ON) {
            return end;
        }
    } else {
        unsigned reg = cfi_rule_cfa_reg(rule);
        if (!is_known(&w->regs, reg)) {
            return UNWIND_UNKNOWN_REGISTER;
        }
        *cfa = w->regs.value[reg] + (uint64_t)(int64_t)cfi_rule_cfa_offset(rule);
    }
    /* A signal handler may run on another stack, so its frame may lead anywhere. Code that runs may
     * have nothing on the stack yet (longjmp on its way out). */
    uint64_t sp = w->regs.value[arch->sp];
    bool is_forward = *cfa > sp || (*cfa == sp && w->out->n == 1) || (rule[0] & CFI_IS_SIGNAL);
    return is_forward && *cfa % WORD == 0 ? GO_ON : UNWIND_BAD_CFA;
}

/* A sampled function on its way out has popped the frame that its CFI still names: what was saved
 * there, below SP and so not in the copy, is back in its register. */
static bool is_below_stack(const struct walk *w, uint64_t address)
{
    return w->out->n == 1 && address < w->regs.value[w->in->arch->sp];
}

/* The caller's value of one register. */
static unsigned restore(struct walk *w, uint32_t save, uint64_t cfa, struct unwind_regs *caller)
{
    unsigned reg = cfi_save_reg(save);
    int32_t offset = cfi_save_value(save);
    uint64_t value = cfa + (uint64_t)(int64_t)offset; /* or where it is saved */
    enum cfi_kind kind = cfi_save_kind(save);
    unsigned end = GO_ON;
    switch (kind) {
    case CFI_VAL_OFFSET:
        break;
    case CFI_REGISTER:
        if (!is_known(&w->regs, (unsigned)offset)) {
            caller->known &= ~(UINT64_C(1) << reg);
            return GO_ON;
        }
        value = w->regs.value[offset];
        break;
    case CFI_EXPRESSION:
    case CFI_VAL_EXPRESSION:
        end = eval(w, offset, &cfa, &value);
        break;
    case CFI_OFFSET:
        break;
    default:
        caller->known &= ~(UINT64_C(1) << reg);
        return GO_ON;
    }
    uint64_t address = value;
    if (end == GO_ON && (kind == CFI_OFFSET || kind == CFI_EXPRESSION) &&
        !read_memory(w, address, WORD, &value)) {
        if (is_below_stack(w, address) && reg != w->in->arch->pc) {
            return GO_ON;
        }
        end = blame(w, address);
    }
    if (end == GO_ON) {
        unwind_regs_set(caller, reg, value);
        return end;
    }
    /* A register that is lost matters only if a later rule needs it; the return address does now.
     */
    caller->known &= ~(UINT64_C(1) << reg);
    return reg == w->in->arch->pc ? end : GO_ON;
}

static unsigned apply(struct walk *w, const uint32_t *rule)
{
    const struct unwind_arch *arch = w->in->arch;
    uint64_t cfa;
    unsigned end = find_cfa(w, rule, &cfa);
    if (end != GO_ON) {
        return end;
    }
    struct unwind_regs caller = w->regs;
    caller.known &= ~(UINT64_C(1) << arch->pc);
    unwind_regs_set(&caller, arch->sp, cfa);
    unsigned n = cfi_rule_n_saves(rule);
    for (unsigned i = 0; i < n; i++) {
        end = restore(w, rule[2 + i], cfa, &caller);
        if (end != GO_ON) {
            return end;
        }
    }
    if (!is_known(&caller, arch->pc)) {
        return UNWIND_UNKNOWN_REGISTER;
    }
    w->regs = caller;
    w->is_exact = rule[0] & CFI_IS_SIGNAL;
    return GO_ON;
}

/* Whether an address is what a call leaves behind: code follows it, of a known function if is_known
 * is asked for. */
static bool is_return_address(struct walk *w, uint64_t pc, bool is_function)
{
    struct unwind_code here = w->code;
    bool is_good = pc && find_code(w, pc - 1) == UNWIND_CODE;
    is_good = is_good && (!is_function || find_rule(w, pc - 1));
    w->code = here;
    return is_good;
}

static void go_to_caller(struct walk *w, uint64_t pc, uint64_t sp, uint8_t flags)
{
    unwind_regs_set(&w->regs, w->in->arch->pc, pc);
    unwind_regs_set(&w->regs, w->in->arch->sp, sp);
    w->flags |= flags;
    w->is_exact = false;
}

/* Without frame pointers in the way of a call, JIT code and assembly keep no register but these. */
static void forget_saved(struct walk *w)
{
    const struct unwind_arch *arch = w->in->arch;
    w->regs.known &= UINT64_C(1) << arch->fp | UINT64_C(1) << arch->sp | UINT64_C(1) << arch->pc;
}

static bool is_plausible_frame(const struct walk *w, uint64_t fp)
{
    uint64_t sp = w->regs.value[w->in->arch->sp];
    return fp % WORD == 0 && fp >= sp && fp - sp < MAX_STACK_BYTES;
}

static bool follow_frame_pointer(struct walk *w, uint64_t fp, uint8_t flags)
{
    const struct unwind_arch *arch = w->in->arch;
    uint64_t next;
    uint64_t pc;
    if (!is_plausible_frame(w, fp) || !read_memory(w, fp, WORD, &next) ||
        !read_memory(w, fp + WORD, WORD, &pc) || !is_return_address(w, pc, false)) {
        return false;
    }
    forget_saved(w);
    unwind_regs_set(&w->regs, arch->fp, next);
    go_to_caller(w, pc, fp + 2 * WORD, flags);
    return true;
}

/* Whether there is memory at an address, near enough to be of the same stack. */
static bool is_stack(struct walk *w, uint64_t address)
{
    uint64_t word;
    uint8_t flags = w->flags;
    bool is_there =
        is_in_copy(w, address, WORD) ||
        (address - w->in->stack_address < MAX_STACK_BYTES && read_memory(w, address, WORD, &word));
    w->flags = flags;
    return is_there;
}

/* Whether a signal's handler returns there: what it saved is the frame pointer of whatever was
 * interrupted, on another stack, or no such pointer. */
static bool is_signal_return(struct walk *w, uint64_t pc)
{
    struct unwind_code here = w->code;
    const uint32_t *rule = pc && find_code(w, pc - 1) == UNWIND_CODE ? find_rule(w, pc - 1) : NULL;
    bool is_return = rule && rule[0] & CFI_IS_SIGNAL;
    w->code = here;
    return is_return;
}

/* A function that keeps its frame pointer in a thread whose registers nobody knows: the first pair
 * above SP that looks like a saved frame pointer and a return address is taken for its frame. It
 * may be the remains of an earlier call, so what it leads to is kept only if that is the root. */
static bool guess_frame(struct walk *w)
{
    uint64_t sp = w->regs.value[w->in->arch->sp];
    for (unsigned i = 0; i < MAX_GUESS_WORDS; i++) {
        uint64_t at = sp + i * WORD;
        uint64_t next;
        uint64_t pc;
        if (!is_in_copy(w, at, 2 * WORD)) {
            return false;
        }
        read_memory(w, at, WORD, &next);
        read_memory(w, at + WORD, WORD, &pc);
        bool is_frame = next == 0 || (next > at && next % WORD == 0 && is_stack(w, next));
        if ((is_frame || is_signal_return(w, pc)) && is_return_address(w, pc, true)) {
            w->n_sound = w->n_sound ? w->n_sound : w->out->n;
            return follow_frame_pointer(w, at, UNWIND_BY_GUESS);
        }
    }
    return false;
}

/* Whether the registers that the kernel would have saved at `at` are those of a program: code is
 * read from the target only then, as most code without CFI is a JIT's. */
static bool is_signal_context(struct walk *w, uint64_t at)
{
    enum { RSP_INDEX = 15, RIP_INDEX = 16, ADDRESS_BITS = 56 };
    uint64_t sp;
    uint64_t pc;
    struct unwind_code here = w->code;
    uint8_t flags = w->flags;
    bool is_good = read_memory(w, at + RSP_INDEX * WORD, WORD, &sp) &&
                   read_memory(w, at + RIP_INDEX * WORD, WORD, &pc) && sp != 0 &&
                   sp >> ADDRESS_BITS == 0 && find_code(w, pc) != UNWIND_NOT_CODE;
    w->code = here;
    w->flags = flags;
    return is_good;
}

/* Return from a signal where the C library has no CFI for it (musl, Go): mov $15,%rax; syscall.
 * At SP lies the frame that the kernel made, with the registers in the order of its sigcontext. */
static bool return_from_signal(struct walk *w)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    static const uint8_t order[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16};
    enum { GREGS_OFFSET = 40 };
    const struct unwind_arch *arch = w->in->arch;
    uint8_t bytes[sizeof(code)];
    uint64_t at = w->regs.value[arch->sp] + GREGS_OFFSET;
    if (arch != &unwind_x86_64 || !w->in->read || !is_signal_context(w, at) ||
        !w->in->read(w->in->ctx, w->regs.value[arch->pc], bytes, sizeof(bytes)) ||
        memcmp(bytes, code, sizeof(code)) != 0) {
        return false;
    }
    struct unwind_regs caller = {0};
    for (size_t i = 0; i < sizeof(order); i++, at += WORD) {
        uint64_t value;
        if (!read_memory(w, at, WORD, &value)) {
            return false;
        }
        unwind_regs_set(&caller, order[i], value);
    }
    w->regs = caller;
    w->is_exact = true;
    return true;
}

static void emit(struct walk *w, uint64_t pc, uint64_t sp, uint8_t flags)
{
    struct unwind_stack *out = w->out;
    out->pc[out->n] = pc;
    out->sp[out->n] = sp;
    out->flags[out->n] = flags;
    out->n++;
}

/* Walks the frame pointers as the kernel did, checking each step against its chain. On agreement
 * up to the end of the copy: the place in the chain of what lies beyond it and, in *fp, the frame
 * pointer that leads there. */
static size_t match_chain(struct walk *w, uint64_t *fp)
{
    const struct unwind_input *in = w->in;
    const struct unwind_arch *arch = in->arch;
    uint64_t at = in->regs.value[arch->fp];
    if (!in->n_chain || in->chain[0] != in->regs.value[arch->pc] ||
        !is_known(&in->regs, arch->fp)) {
        return 0;
    }
    for (size_t i = 1; i < in->n_chain; i++) {
        uint64_t next;
        uint64_t pc;
        if (!is_in_copy(w, at, 2 * WORD)) {
            *fp = at;
            return i;
        }
        memcpy(&next, in->stack + (at - in->stack_address), WORD);
        memcpy(&pc, in->stack + (at - in->stack_address) + WORD, WORD);
        if (pc != in->chain[i]) {
            return 0;
        }
        at = next;
    }
    return 0;
}

/* The copy ended in the frame under way: its caller and the rest from the kernel's chain. */
static void continue_by_chain(struct walk *w, const uint32_t *rule)
{
    const struct unwind_arch *arch = w->in->arch;
    uint64_t fp = 0;
    size_t i = match_chain(w, &fp);
    if (!i || !is_known(&w->regs, arch->fp) || w->regs.value[arch->fp] != fp) {
        return;
    }
    /* The frame pointer is this frame's own, or of one further out that is found now. */
    bool is_own =
        !rule || (cfi_rule_cfa(rule) == CFI_CFA_REGISTER && cfi_rule_cfa_reg(rule) == arch->fp &&
                  cfi_rule_cfa_offset(rule) == 2 * WORD);
    uint8_t flags = UNWIND_BY_CHAIN | (is_own ? 0 : UNWIND_AFTER_GAP);
    for (; i < w->in->n_chain && w->out->n < UNWIND_MAX_FRAMES; i++) {
        emit(w, w->in->chain[i], 0, flags);
        flags = UNWIND_BY_CHAIN;
    }
}

/* A frame without CFI. */
static unsigned step_without_cfi(struct walk *w, bool is_code)
{
    const struct unwind_arch *arch = w->in->arch;
    bool is_leaf = w->out->n == 1;
    uint64_t sp = w->regs.value[arch->sp];
    uint64_t fp = w->regs.value[arch->fp];
    uint64_t pc;
    if (return_from_signal(w)) {
        return GO_ON;
    }
    /* Assembly without a frame, or a jump to nowhere: only the call itself is on the stack. */
    if (is_leaf && (!is_code || w->code.table) && read_memory(w, sp, WORD, &pc) &&
        is_return_address(w, pc, true)) {
        go_to_caller(w, pc, sp + arch->call_bytes, UNWIND_BY_GUESS);
        return GO_ON;
    }
    if (!is_code) {
        w->out->n -= !is_leaf; /* not a place anybody could have returned to */
        return UNWIND_BAD_PC;
    }
    if (!is_known(&w->regs, arch->fp)) {
        return UNWIND_NO_CFI;
    }
    /* The ABI clears the frame pointer of a thread's first function. Only of code that called:
     * assembly that computes may have any value there. */
    if (fp == 0 && !w->is_exact) {
        return UNWIND_ROOT;
    }
    if (follow_frame_pointer(w, fp, UNWIND_BY_FP)) {
        return GO_ON;
    }
    if (is_plausible_frame(w, fp) && !is_in_copy(w, fp, 2 * WORD)) {
        continue_by_chain(w, NULL);
        return UNWIND_EXHAUSTED;
    }
    return UNWIND_NO_CFI;
}

/* To the caller of the frame under way. */
static unsigned step(struct walk *w)
{
    const struct unwind_arch *arch = w->in->arch;
    uint64_t pc = w->regs.value[arch->pc] - (w->is_exact ? 0 : 1);
    enum unwind_found found = find_code(w, pc);
    if (found == UNWIND_CODE_PENDING) {
        return UNWIND_PENDING;
    }
    const uint32_t *rule = found == UNWIND_CODE ? find_rule(w, pc) : NULL;
    if (!rule) {
        return step_without_cfi(w, found == UNWIND_CODE);
    }
    if (rule[0] & CFI_IS_ROOT) {
        return UNWIND_ROOT;
    }
    unsigned end = apply(w, rule);
    if (end == UNWIND_UNKNOWN_REGISTER && cfi_rule_cfa(rule) == CFI_CFA_REGISTER &&
        cfi_rule_cfa_reg(rule) == arch->fp && guess_frame(w)) {
        return GO_ON;
    }
    if (end == UNWIND_EXHAUSTED) {
        continue_by_chain(w, rule);
    }
    return end;
}

static void walk(const struct unwind_input *in, struct unwind_stack *out, bool is_live)
{
    struct walk w = {.in = in, .out = out, .regs = in->regs, .is_exact = true, .is_live = is_live};
    const struct unwind_arch *arch = in->arch;
    unsigned end;
    out->n = 0;
    out->n_marked = 0;
    do {
        uint64_t pc = w.regs.value[arch->pc];
        if (pc == 0 && out->n) {
            end = UNWIND_ROOT;
        } else if (out->n == UNWIND_MAX_FRAMES) {
            end = UNWIND_TOO_DEEP;
        } else {
            emit(&w, pc, w.regs.value[arch->sp], w.flags | (w.is_exact ? UNWIND_IS_EXACT : 0));
            w.flags = 0;
            end = step(&w);
        }
    } while (end == GO_ON);
    if (end != UNWIND_ROOT && w.n_sound) { /* the guess was wrong */
        end = UNWIND_UNKNOWN_REGISTER;
        out->n = w.n_sound;
    }
    out->end = (enum unwind_end)end;
    for (uint32_t i = 0; i < out->n; i++) {
        out->n_marked += (out->flags[i] & ~UNWIND_IS_EXACT) != 0;
    }
}

void unwind(const struct unwind_input *in, struct unwind_stack *out)
{
    out->n = 0;
    out->n_marked = 0;
    out->end = UNWIND_UNKNOWN_REGISTER;
    if (!is_known(&in->regs, in->arch->pc) || !is_known(&in->regs, in->arch->sp)) {
        return;
    }
    walk(in, out, false);
    bool lacks_memory = out->end == UNWIND_EXHAUSTED || out->end == UNWIND_BAD_MEMORY ||
                        out->end == UNWIND_UNKNOWN_REGISTER; /* a guess may have, too */
    if (in->read && lacks_memory) {
        /* Memory may have changed since: a stack that does not come to its root is not believed. */
        walk(in, out, true);
        if (out->end != UNWIND_ROOT) {
            walk(in, out, false);
        }
    }
}
