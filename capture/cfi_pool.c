/* cfi_pool.c - the distinct unwind rules of a binary, each kept once. */
#include "capture/cfi_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Bounds for hostile files. The largest real binaries stay under a hundredth of them. */
enum {
    MAX_WORDS = 1 << 20,
    MAX_BYTES = 4 << 20, /* an offset must fit the 23 bits of a save */
    MAX_PROBES = 64,     /* so that keys made to collide cost memory instead of time */
    MAX_SAVE_VALUE = (1 << 22) - 1,
};

void cfi_pool_init(struct cfi_pool *p)
{
    memset(p, 0, sizeof(*p));
    mem_reserve(&p->words, &p->cap_words, 1024, sizeof(*p->words));
    p->words[0] = p->words[1] = 0; /* CFI_CFA_NONE */
    p->n_words = 2;
}

void cfi_pool_seal(struct cfi_pool *p)
{
    free(p->rules.slots);
    free(p->expressions.slots);
    memset(&p->rules, 0, sizeof(p->rules));
    memset(&p->expressions, 0, sizeof(p->expressions));
    p->words = mem_grow(p->words, p->n_words, sizeof(*p->words));
    p->cap_words = p->n_words;
    if (p->n_bytes) {
        p->bytes = mem_grow(p->bytes, p->n_bytes, 1);
        p->cap_bytes = p->n_bytes;
    }
}

void cfi_pool_fini(struct cfi_pool *p)
{
    free(p->words);
    free(p->bytes);
    free(p->rules.slots);
    free(p->expressions.slots);
    memset(p, 0, sizeof(*p));
}

size_t cfi_pool_bytes(const struct cfi_pool *p)
{
    return p->cap_words * sizeof(*p->words) + p->cap_bytes;
}

static uint32_t hash_bytes(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t h = n;
    while (n) {
        uint64_t v = 0;
        size_t part = n < 8 ? n : 8;
        memcpy(&v, at, part);
        h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
        at += part;
        n -= part;
    }
    return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static void slots_grow(struct cfi_slots *s)
{
    struct cfi_slots old = *s;
    s->cap = old.cap ? old.cap * 2 : 256;
    s->slots = mem_new(s->cap, sizeof(*s->slots));
    for (size_t i = 0; i < old.cap; i++) {
        size_t at = old.slots[i].hash & (s->cap - 1);
        if (!old.slots[i].offset) {
            continue;
        }
        for (unsigned probe = 0; probe < MAX_PROBES; probe++, at = (at + 1) & (s->cap - 1)) {
            if (!s->slots[at].offset) {
                s->slots[at] = old.slots[i];
                break;
            }
        }
    }
    free(old.slots);
}

typedef bool is_same(const struct cfi_pool *p, uint32_t offset, const void *key, size_t n);

/* The slot of a key: one that holds it (offset not 0), a free one, or NULL when all near are taken.
 */
static struct cfi_slot *slots_find(const struct cfi_pool *p, struct cfi_slots *s, is_same *same,
                                   const void *key, size_t n)
{
    if (s->n * 2 >= s->cap) {
        slots_grow(s);
    }
    uint32_t hash = hash_bytes(key, n);
    size_t at = hash & (s->cap - 1);
    for (unsigned probe = 0; probe < MAX_PROBES; probe++, at = (at + 1) & (s->cap - 1)) {
        struct cfi_slot *slot = &s->slots[at];
        if (!slot->offset) {
            slot->hash = hash;
            return slot;
        }
        if (slot->hash == hash && same(p, slot->offset, key, n)) {
            return slot;
        }
    }
    return NULL;
}

static bool is_same_rule(const struct cfi_pool *p, uint32_t offset, const void *key, size_t n)
{
    const uint32_t *rule = p->words + offset;
    return (2 + cfi_rule_n_saves(rule)) * sizeof(*rule) == n && memcmp(rule, key, n) == 0;
}

static uint32_t add_rule(struct cfi_pool *p, const uint32_t *words, size_t n)
{
    if (p->is_full) {
        return 0;
    }
    struct cfi_slot *slot = slots_find(p, &p->rules, is_same_rule, words, n * sizeof(*words));
    if (slot && slot->offset) {
        return slot->offset;
    }
    if (p->n_words + n > MAX_WORDS) {
        p->is_full = true;
        return 0;
    }
    uint32_t offset = (uint32_t)p->n_words;
    mem_reserve(&p->words, &p->cap_words, p->n_words + n, sizeof(*p->words));
    memcpy(p->words + offset, words, n * sizeof(*words));
    p->n_words += n;
    if (slot) {
        slot->offset = offset;
        p->rules.n++;
    }
    return offset;
}

uint32_t cfi_pool_rule(struct cfi_pool *p, const struct unwind_arch *arch,
                       const struct cfi_state *state, bool is_signal)
{
    if (state->cfa == CFI_CFA_NONE || state->cfa_offset != (int32_t)state->cfa_offset) {
        return 0;
    }
    uint32_t words[CFI_RULE_MAX_WORDS];
    uint32_t n = 0;
    for (unsigned reg = 0; reg < arch->n_regs; reg++) {
        int32_t value = state->value[reg];
        if (state->kind[reg] == CFI_SAME) {
            continue;
        }
        if (value > MAX_SAVE_VALUE || value < -MAX_SAVE_VALUE) {
            return 0;
        }
        words[2 + n++] = reg | (uint32_t)state->kind[reg] << 6 | (uint32_t)value << 9;
    }
    words[0] = state->cfa_reg | (uint32_t)state->cfa << 6 | (is_signal ? CFI_IS_SIGNAL : 0) |
               (state->kind[arch->pc] == CFI_UNDEFINED ? CFI_IS_ROOT : 0) | n << 16;
    words[1] = (uint32_t)state->cfa_offset;
    return add_rule(p, words, 2 + n);
}

const uint8_t *cfi_pool_expression_at(const struct cfi_pool *p, int32_t offset, size_t *n)
{
    if (offset < 0 || (size_t)offset + 2 > p->n_bytes) {
        return NULL;
    }
    *n = p->bytes[offset] | (size_t)p->bytes[offset + 1] << 8;
    return *n <= p->n_bytes - (size_t)offset - 2 ? p->bytes + offset + 2 : NULL;
}

static bool is_same_expression(const struct cfi_pool *p, uint32_t offset, const void *key, size_t n)
{
    size_t length = 0;
    const uint8_t *bytes = cfi_pool_expression_at(p, (int32_t)offset - 1, &length);
    return bytes && length == n && memcmp(bytes, key, n) == 0;
}

int32_t cfi_pool_expression(struct cfi_pool *p, const uint8_t *bytes, size_t n)
{
    if (!n || n > CFI_MAX_EXPRESSION_BYTES || p->is_full) {
        return -1;
    }
    /* Slots hold offset + 1, as 0 means free. */
    struct cfi_slot *slot = slots_find(p, &p->expressions, is_same_expression, bytes, n);
    if (slot && slot->offset) {
        return (int32_t)slot->offset - 1;
    }
    if (p->n_bytes + n + 2 > MAX_BYTES) {
        p->is_full = true;
        return -1;
    }
    size_t offset = p->n_bytes;
    mem_reserve(&p->bytes, &p->cap_bytes, offset + n + 2, 1);
    p->bytes[offset] = (uint8_t)n;
    p->bytes[offset + 1] = (uint8_t)(n >> 8);
    memcpy(p->bytes + offset + 2, bytes, n);
    p->n_bytes += n + 2;
    if (slot) {
        slot->offset = (uint32_t)offset + 1;
        p->expressions.n++;
    }
    return (int32_t)offset;
}
