/*
 * cfi_pool.h - the distinct unwind rules of a binary, each kept once.
 *
 * Neighbouring functions are unwound alike: a large binary has a hundred rows to each distinct
 * rule, so rows hold an offset into this pool. A rule is 2 + n_saves words:
 *   word 0   bits 0-5 CFA register, 6-7 enum cfi_cfa, 8 signal frame, 9 end of stack (the return
 *            address is undefined), 16-21 n_saves
 *   word 1   CFA offset (signed bytes), or the offset of the CFA expression
 *   others   how the caller's registers are found: bits 0-5 register, 6-8 enum cfi_kind,
 *            9-31 signed value
 * A register without a word keeps its value; SP without a word becomes the CFA.
 * Offset 0 is the rule "no CFI". A built pool is read-only and may be read by any thread.
 */
#ifndef STAX_CAPTURE_CFI_POOL_H
#define STAX_CAPTURE_CFI_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/unwind_arch.h"

enum cfi_cfa {
    CFI_CFA_NONE,
    CFI_CFA_REGISTER,
    CFI_CFA_EXPRESSION,
};

enum cfi_kind {
    CFI_SAME,           /* keeps its value (also: no rule given) */
    CFI_UNDEFINED,      /* lost */
    CFI_OFFSET,         /* saved at CFA + value */
    CFI_VAL_OFFSET,     /* is CFA + value */
    CFI_REGISTER,       /* is in register value */
    CFI_EXPRESSION,     /* saved at the address that expression value gives */
    CFI_VAL_EXPRESSION, /* is what expression value gives */
};

/* The rule of one row while it is made. */
struct cfi_state {
    int64_t cfa_offset; /* of an expression: its offset in the pool */
    uint8_t cfa;        /* enum cfi_cfa */
    uint8_t cfa_reg;
    uint8_t kind[UNWIND_MAX_REGS]; /* enum cfi_kind */
    int32_t value[UNWIND_MAX_REGS];
};

enum {
    CFI_IS_SIGNAL = 1 << 8,
    CFI_IS_ROOT = 1 << 9,
    CFI_RULE_MAX_WORDS = 2 + UNWIND_MAX_REGS,
    CFI_MAX_EXPRESSION_BYTES = 1024,
};

struct cfi_slot {
    uint32_t hash, offset;
};

struct cfi_slots {
    struct cfi_slot *slots;
    size_t n, cap; /* cap: 0 or a power of two */
};

struct cfi_pool {
    uint32_t *words;
    size_t n_words, cap_words;
    uint8_t *bytes; /* expressions: two bytes of length, then the expression */
    size_t n_bytes, cap_bytes;
    struct cfi_slots rules, expressions; /* only while the pool is made */
    bool is_full;                        /* something did not fit */
};

void cfi_pool_init(struct cfi_pool *p);
/* Gives back what only building needs. */
void cfi_pool_seal(struct cfi_pool *p);
void cfi_pool_fini(struct cfi_pool *p);
size_t cfi_pool_bytes(const struct cfi_pool *p);

/* The offset of a rule, added if it is new; 0 ("no CFI") when it has no CFA or cannot be written
 * down. */
uint32_t cfi_pool_rule(struct cfi_pool *p, const struct unwind_arch *arch,
                       const struct cfi_state *state, bool is_signal);
/* The offset of an expression, added if it is new; -1 when it is too long or the pool full. */
int32_t cfi_pool_expression(struct cfi_pool *p, const uint8_t *bytes, size_t n);
/* Its bytes; borrowed from the pool. NULL for an offset that is none. */
const uint8_t *cfi_pool_expression_at(const struct cfi_pool *p, int32_t offset, size_t *n);

static inline enum cfi_cfa cfi_rule_cfa(const uint32_t *rule)
{
    return (enum cfi_cfa)((rule[0] >> 6) & 3);
}
static inline unsigned cfi_rule_cfa_reg(const uint32_t *rule)
{
    return rule[0] & 63;
}
static inline int32_t cfi_rule_cfa_offset(const uint32_t *rule)
{
    return (int32_t)rule[1];
}
static inline unsigned cfi_rule_n_saves(const uint32_t *rule)
{
    return (rule[0] >> 16) & 63;
}
static inline unsigned cfi_save_reg(uint32_t save)
{
    return save & 63;
}
static inline enum cfi_kind cfi_save_kind(uint32_t save)
{
    return (enum cfi_kind)((save >> 6) & 7);
}
static inline int32_t cfi_save_value(uint32_t save)
{
    return (int32_t)save >> 9;
}

#endif
