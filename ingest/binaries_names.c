/*
 * binaries_names.c - names that come later than the frames they are for (binaries.h).
 */
#include "ingest/binaries.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/binaries_internal.h"

void binaries_adopt(struct binaries *b, const char *path, const char *kind, const char *build_id,
                    const char *names_from, const char *note, bool has_addresses)
{
    static const char *const kinds[] = {"main", "shared", "kernel", "module",
                                        "vdso", "jit",    "marker", "unknown"};
    enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    size_t k = 0;
    while (k + 1 < N_KINDS && strcmp(kinds[k], kind) != 0) {
        k++;
    }
    const char *slash = strrchr(path, '/');
    mem_reserve(&b->items, &b->cap_items, b->n_items + 1, sizeof(*b->items));
    b->items[b->n_items++] =
        (struct binary){.path = mem_strdup(path),
                        .name = mem_strdup(slash && slash[1] ? slash + 1 : path),
                        .kind = kinds[k],
                        .build_id = build_id[0] ? mem_strdup(build_id) : NULL,
                        .names_from = names_source_text(names_source_of(names_from)),
                        .has_addresses = has_addresses,
                        .old_note = note[0] ? mem_strdup(note) : NULL,
                        .is_loaded = true,
                        .fd = -1};
    b->items[b->n_items - 1].note = b->items[b->n_items - 1].old_note;
}

static uint32_t *inlined_slot(struct binaries *b, uint32_t binary, const char *linkage_name)
{
    struct buf key = {0};
    buf_addf(&key, "%u:%s", binary, linkage_name);
    uint32_t *id = strmap_put(&b->inlined, key.data, key.len);
    buf_free(&key);
    return id;
}

void binaries_adopt_symbol(struct binaries *b, uint32_t binary, uint32_t symbol,
                           uint64_t rel_address, const char *inlined)
{
    uint32_t *id = inlined ? inlined_slot(b, binary, inlined)
                           : map_put(&binaries_item(b, binary)->symbols, rel_address);
    *id = *id ? *id : symbol;
}

uint32_t binaries_symbol(struct binaries *b, const struct frame *frame)
{
    return binaries_symbol_at(b, frame->binary, binaries_tables(b, frame->binary),
                              frame->rel_address, 0);
}

uint32_t binaries_inlined(struct binaries *b, uint32_t binary, const char *linkage_name)
{
    uint32_t *id = inlined_slot(b, binary, linkage_name);
    if (!*id) {
        struct names_symbol found = {.linkage_name = linkage_name,
                                     .source = NAMES_DWARF,
                                     .language = names_language(linkage_name)};
        struct symbol_text text = binaries_text_of(binary, &found, 0);
        *id = intern_symbol(b->intern, &text);
    }
    return *id;
}

void binaries_rename(struct binaries *b, uint32_t binary, struct names *names,
                     enum names_source source)
{
    struct binary *bin = binaries_item(b, binary);
    struct map done = {0};
    for (size_t i = 0; i < b->intern->n_frames; i++) {
        const struct frame *f = &b->intern->frames[i];
        struct names_symbol found;
        if (f->binary != binary || map_get(&done, f->symbol) ||
            !names_find(names, f->rel_address, &found) || !found.linkage_name) {
            continue;
        }
        *map_put(&done, f->symbol) = 1;
        /* what begins elsewhere is another function: see binaries_symbol() */
        if (map_get(&bin->symbols, found.start) == f->symbol) {
            struct symbol_text text = binaries_text_of(binary, &found, 0);
            text.whole = binaries_whole_of(b, binary, names, &found, 0);
            intern_rename(b->intern, f->symbol, &text);
        }
    }
    map_free(&done);
    names_close(bin->names);
    bin->names = names;
    bin->names_from = names_source_text(source);
    bin->note = NULL;
    bin->is_changed = true;
    bin->is_renamed = true;
}
