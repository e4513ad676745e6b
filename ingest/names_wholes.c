/*
 * names_wholes.c - which function of a table a part or a clone belongs to (names_find_whole()).
 *
 * Tables are told apart by hashes of names only; that is enough to find functions that are compared
 * by their names then.
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "ingest/names_internal.h"

#define SEVERAL UINT32_MAX

struct names_wholes {
    struct map clones; /* hash of the name without suffixes -> first function + 1, or SEVERAL */
    struct map plain;  /* the same of functions without suffix, where clones has the name */
};

/* FNV-1a, then mixed: map wants all bits to matter. */
static uint64_t hash_of(const char *name, size_t len, uint16_t module)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ module;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    return h ? h : 1;
}

struct key {
    const char *name;
    size_t len, plain_len;
    uint16_t module;
};

static bool key_of(const struct names *n, uint32_t function, struct key *key)
{
    const struct names_function *f = &n->functions[function];
    if (f->name == NAMES_NO_NAME) {
        return false;
    }
    key->name = n->strings.data + f->name;
    key->len = strlen(key->name);
    key->plain_len = key->len;
    key->module = f->module;
    if (memchr(key->name, '.', key->len)) {
        key->plain_len = names_length_without_suffixes(key->name, key->len, false);
    }
    return true;
}

static bool is_same_plain(const struct names *n, uint32_t function, const struct key *key)
{
    struct key other;
    return key_of(n, function, &other) && other.module == key->module &&
           other.plain_len == key->plain_len && memcmp(other.name, key->name, key->plain_len) == 0;
}

static void add_clones(struct names *n, struct names_wholes *w)
{
    struct map whole_names = {0};
    struct key key;
    for (uint32_t i = 0; i < n->n_functions; i++) {
        if (!key_of(n, i, &key) || key.plain_len == key.len) {
            continue;
        }
        uint32_t *first = map_put(&w->clones, hash_of(key.name, key.plain_len, key.module));
        *first = *first ? *first : i + 1;
        /* One file has no two clones of one name: these are of two files. */
        uint32_t *same = map_put(&whole_names, hash_of(key.name, key.len, key.module));
        if (*same || (*first != SEVERAL && !is_same_plain(n, *first - 1, &key))) {
            *first = SEVERAL;
        }
        *same = 1;
    }
    map_free(&whole_names);
}

static void add_plain(struct names *n, struct names_wholes *w)
{
    struct key key;
    for (uint32_t i = 0; i < n->n_functions && w->clones.n_used; i++) {
        if (!key_of(n, i, &key) || key.plain_len != key.len) {
            continue;
        }
        uint64_t hash = hash_of(key.name, key.len, key.module);
        if (map_get(&w->clones, hash)) {
            uint32_t *plain = map_put(&w->plain, hash);
            *plain = *plain ? SEVERAL : i + 1;
        }
    }
}

bool names_find_whole(struct names *n, const struct names_symbol *part, struct names_symbol *whole)
{
    const char *name = part->linkage_name;
    if (n->is_go || !name || !strchr(name, '.')) {
        return false;
    }
    struct key key = {.name = name, .len = strlen(name)};
    key.plain_len = names_length_without_suffixes(name, key.len, false);
    if (key.plain_len == key.len) {
        return false;
    }
    for (size_t i = 0; i < n->n_modules && part->module; i++) {
        key.module = strcmp(n->modules[i], part->module) == 0 ? (uint16_t)(i + 1) : key.module;
    }
    if (!n->wholes) {
        n->wholes = mem_new(1, sizeof(*n->wholes));
        add_clones(n, n->wholes);
        add_plain(n, n->wholes);
    }
    uint64_t hash = hash_of(name, key.plain_len, key.module);
    uint32_t clone = map_get(&n->wholes->clones, hash);
    uint32_t plain = map_get(&n->wholes->plain, hash);
    uint32_t found = plain ? plain : clone;
    if (!clone || clone == SEVERAL || plain == SEVERAL || !is_same_plain(n, found - 1, &key)) {
        return false;
    }
    *whole = names_symbol_of(n, found - 1);
    return whole->start != part->start;
}

void names_free_wholes(struct names_wholes *w)
{
    if (w) {
        map_free(&w->clones);
        map_free(&w->plain);
        free(w);
    }
}

size_t names_wholes_bytes(const struct names_wholes *w)
{
    return w ? sizeof(*w) + map_bytes(&w->clones) + map_bytes(&w->plain) : 0;
}
