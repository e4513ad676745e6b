/*
 * map.h - hash maps for interning: u64 key -> u32 id, and bytes -> u32 id.
 *
 * Ids start at 1; 0 means "not there", which keeps a slot at 16 bytes and a lookup at one probe run
 * (open addressing, linear probing, load below 3/4). A zeroed struct is a valid empty map.
 * Not shared between threads.
 */
#ifndef STAX_BASE_MAP_H
#define STAX_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    uint32_t id; /* 0 = free */
};

struct map {
    struct map_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t n_used;
};

/* The id under key, or 0. */
uint32_t map_get(const struct map *m, uint64_t key);
/* Where the id of key is kept, created as 0 when absent: the caller must store a non-zero id before
 * the next call on this map. */
uint32_t *map_put(struct map *m, uint64_t key);
/* Asks for the memory that looking key up will read. */
void map_prefetch(const struct map *m, uint64_t key);
/* Forgets a key; absent is fine. */
void map_remove(struct map *m, uint64_t key);
void map_clear(struct map *m);
void map_free(struct map *m);
size_t map_bytes(const struct map *m);

static inline uint64_t map_pair(uint32_t hi, uint32_t lo)
{
    return (uint64_t)hi << 32 | lo;
}

/* Byte strings -> id. Keys are copied. */
struct strmap {
    struct strmap_slot *slots;
    size_t n_slots;
    size_t n_used;
};

uint32_t strmap_get(const struct strmap *m, const void *key, size_t len);
uint32_t *strmap_put(struct strmap *m, const void *key, size_t len);
void strmap_free(struct strmap *m);

#endif
