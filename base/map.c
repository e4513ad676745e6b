/* map.c - see map.h. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct strmap_slot {
    char *key;
    size_t len;
    uint64_t hash;
    uint32_t id;
};

/* Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

uint32_t map_get(const struct map *m, uint64_t key)
{
    if (!m->n_slots) {
        return 0;
    }
    size_t mask = m->n_slots - 1;
    for (size_t i = mix(key) & mask; m->slots[i].id; i = (i + 1) & mask) {
        if (m->slots[i].key == key) {
            return m->slots[i].id;
        }
    }
    return 0;
}

static void map_rehash(struct map *m)
{
    size_t n = m->n_slots ? m->n_slots * 2 : 64;
    struct map_slot *slots = mem_new(n, sizeof(*slots));
    for (size_t i = 0; i < m->n_slots; i++) {
        if (m->slots[i].id) {
            size_t at = mix(m->slots[i].key) & (n - 1);
            while (slots[at].id) {
                at = (at + 1) & (n - 1);
            }
            slots[at] = m->slots[i];
        }
    }
    free(m->slots);
    m->slots = slots;
    m->n_slots = n;
}

uint32_t *map_put(struct map *m, uint64_t key)
{
    if ((m->n_used + 1) * 4 > m->n_slots * 3) {
        map_rehash(m);
    }
    size_t mask = m->n_slots - 1;
    size_t i = mix(key) & mask;
    while (m->slots[i].id) {
        if (m->slots[i].key == key) {
            return &m->slots[i].id;
        }
        i = (i + 1) & mask;
    }
    m->slots[i].key = key;
    m->n_used++;
    return &m->slots[i].id;
}

void map_prefetch(const struct map *m, uint64_t key)
{
    if (m->n_slots) {
        __builtin_prefetch(&m->slots[mix(key) & (m->n_slots - 1)]);
    }
}

void map_remove(struct map *m, uint64_t key)
{
    if (!m->n_slots) {
        return;
    }
    size_t mask = m->n_slots - 1, hole = mix(key) & mask;
    while (m->slots[hole].id && m->slots[hole].key != key) {
        hole = (hole + 1) & mask;
    }
    if (!m->slots[hole].id) {
        return;
    }
    /* What follows without a gap moves up if its probe run began at or before the hole. */
    for (size_t i = (hole + 1) & mask; m->slots[i].id; i = (i + 1) & mask) {
        size_t home = mix(m->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->n_used--;
}

void map_clear(struct map *m)
{
    if (m->n_slots) {
        memset(m->slots, 0, m->n_slots * sizeof(*m->slots));
    }
    m->n_used = 0;
}

void map_free(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

size_t map_bytes(const struct map *m)
{
    return m->n_slots * sizeof(*m->slots);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_bytes(const void *key, size_t len)
{
    const unsigned char *p = key;
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ p[i]) * 0x100000001b3ULL;
    }
    return mix(h);
}

static struct strmap_slot *strmap_find(const struct strmap *m, const void *key, size_t len,
                                       uint64_t hash)
{
    size_t mask = m->n_slots - 1;
    size_t i = hash & mask;
    while (m->slots[i].key) {
        struct strmap_slot *s = &m->slots[i];
        if (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0) {
            break;
        }
        i = (i + 1) & mask;
    }
    return &m->slots[i];
}

uint32_t strmap_get(const struct strmap *m, const void *key, size_t len)
{
    return m->n_slots ? strmap_find(m, key, len, hash_bytes(key, len))->id : 0;
}

static void strmap_rehash(struct strmap *m)
{
    struct strmap grown = {.n_slots = m->n_slots ? m->n_slots * 2 : 64, .n_used = m->n_used};
    grown.slots = mem_new(grown.n_slots, sizeof(*grown.slots));
    for (size_t i = 0; i < m->n_slots; i++) {
        const struct strmap_slot *s = &m->slots[i];
        if (s->key) {
            *strmap_find(&grown, s->key, s->len, s->hash) = *s;
        }
    }
    free(m->slots);
    *m = grown;
}

uint32_t *strmap_put(struct strmap *m, const void *key, size_t len)
{
    if ((m->n_used + 1) * 4 > m->n_slots * 3) {
        strmap_rehash(m);
    }
    uint64_t hash = hash_bytes(key, len);
    struct strmap_slot *s = strmap_find(m, key, len, hash);
    if (!s->key) {
        s->key = mem_new(len + 1, 1);
        memcpy(s->key, key, len);
        s->len = len;
        s->hash = hash;
        m->n_used++;
    }
    return &s->id;
}

void strmap_free(struct strmap *m)
{
    for (size_t i = 0; i < m->n_slots; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct strmap){0};
}
