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

/* Static functions apart: a global one of that name is another. */
static uint32_t *inlined_slot(struct binaries *b, uint32_t binary, const char *linkage_name,
                              bool is_static)
{
    struct buf key = {0};
    buf_addf(&key, "%u:%d:%s", binary, is_static, linkage_name);
    uint32_t *id = strmap_put(&b->inlined, key.data, key.len);
    buf_free(&key);
    return id;
}

static void put_if_none(uint32_t *id, uint32_t symbol)
{
    *id = *id ? *id : symbol;
}

void binaries_adopt_symbol(struct binaries *b, uint32_t binary, uint32_t symbol,
                           uint64_t rel_address, const char *inlined)
{
    if (!inlined) {
        put_if_none(map_put(&binaries_item(b, binary)->symbols, rel_address), symbol);
        return;
    }
    for (int is_static = 0; is_static < 2; is_static++) { /* its row does not tell */
        put_if_none(inlined_slot(b, binary, inlined, is_static), symbol);
    }
}

uint32_t binaries_symbol(struct binaries *b, const struct frame *frame)
{
    return binaries_symbol_at(b, frame->binary, binaries_tables(b, frame->binary),
                              frame->rel_address, 0);
}

uint32_t binaries_inlined(struct binaries *b, uint32_t binary, const char *linkage_name,
                          bool is_static)
{
    uint32_t *id = inlined_slot(b, binary, linkage_name, is_static);
    if (!*id) {
        struct names_symbol found = {.linkage_name = linkage_name,
                                     .source = NAMES_DWARF,
                                     .language = names_language(linkage_name)};
        struct symbol_text text = binaries_text_of(binary, &found, 0);
        *id = intern_symbol(b->intern, &text);
        *map_put(&b->inlined_only, *id) = 1;
    }
    return *id;
}

void binaries_note_called(struct binaries *b, uint32_t binary, uint32_t symbol,
                          const struct names_symbol *found)
{
    for (int is_static = 0; b->naming && is_static <= !found->is_global; is_static++) {
        put_if_none(inlined_slot(b, binary, found->linkage_name, is_static), symbol);
    }
}

/* What is only inlined and may be the function that was found; 0: nothing, or either of two. A
 * local symbol may be a static function or one that was hidden; a global one is no static one. */
static uint32_t inlined_only(struct binaries *b, uint32_t binary, const struct names_symbol *found)
{
    uint32_t only = 0;
    for (int is_static = 0; b->naming && is_static <= !found->is_global; is_static++) {
        uint32_t id = *inlined_slot(b, binary, found->linkage_name, is_static);
        if (!id || id == only) {
            continue;
        }
        if (only || map_get(&b->inlined_only, id) != 1) {
            return 0;
        }
        only = id;
    }
    return only;
}

uint32_t binaries_called_symbol(struct binaries *b, uint32_t binary, struct names *names,
                                const struct names_symbol *found, uint64_t base)
{
    struct symbol_text text = binaries_text_of(binary, found, base);
    text.whole = binaries_whole_of(b, binary, names, found, base);
    uint32_t id = inlined_only(b, binary, found);
    if (id) {
        *map_put(&b->inlined_only, id) = 2;
        intern_rename(b->intern, id, &text);
    } else {
        id = intern_symbol(b->intern, &text);
    }
    binaries_note_called(b, binary, id, found);
    return id;
}

/* Whether a frame's symbol begins where the table says its function does: then it is that one, and
 * gets its name. What begins elsewhere is another function. */
static bool is_to_rename(const struct binary *bin, uint32_t symbol,
                         const struct names_symbol *found)
{
    return found->linkage_name && symbol != bin->overflow_symbol &&
           map_get(&bin->symbols, found->start) == symbol;
}

/* changed: gets the symbols that count for another function now. */
static void rename_symbols(struct binaries *b, uint32_t binary, struct names *names,
                           struct map *changed)
{
    const struct binary *bin = binaries_item(b, binary);
    struct map done = {0};
    for (size_t i = 0; i < bin->frames.n_slots; i++) {
        uint32_t id = bin->frames.slots[i].id;
        struct names_symbol found;
        if (!id) {
            continue;
        }
        const struct frame *f = &b->intern->frames[id - 1];
        if (!map_get(&done, f->symbol) && names_find(names, f->rel_address, &found) &&
            is_to_rename(bin, f->symbol, &found)) {
            struct symbol_text text = binaries_text_of(binary, &found, 0);
            uint32_t symbol = f->symbol;
            *map_put(&done, symbol) = 1;
            text.whole = binaries_whole_of(b, binary, names, &found, 0);
            if (intern_rename(b->intern, symbol, &text)) {
                *map_put(changed, symbol) = 1;
            }
            binaries_note_called(b, binary, symbol, &found);
        }
    }
    map_free(&done);
}

/* Frames that lie in another function by the new tables, or count for another one. */
static void move_frames(struct binaries *b, uint32_t binary, const struct map *changed)
{
    struct binary *bin = binaries_item(b, binary);
    for (size_t i = 0; i < bin->frames.n_slots; i++) {
        uint32_t id = bin->frames.slots[i].id;
        if (id) {
            const struct frame f = b->intern->frames[id - 1];
            if (map_get(changed, f.symbol)) {
                intern_touch_frame(b->intern, id);
            }
            intern_move_frame(b->intern, id, binaries_symbol(b, &f));
        }
    }
}

void binaries_readdress(struct binaries *b, uint32_t binary)
{
    struct binary *bin = binaries_item(b, binary);
    struct map frames = {0}, none = {0};
    for (size_t i = 0; i < bin->frames.n_slots; i++) {
        uint32_t id = bin->frames.slots[i].id;
        if (id) {
            struct frame *f = &b->intern->frames[id - 1];
            names_address_of_offset(bin->names, f->rel_address, &f->rel_address);
            uint32_t *at = map_put(&frames, f->rel_address);
            *at = *at ? *at : id;
        }
    }
    /* Functions that stood for offsets have no frame from the next relayout on. */
    map_free(&bin->symbols);
    bin->overflow_symbol = 0;
    bin->n_unnamed = 0;
    move_frames(b, binary, &none); /* all of them, also two that are at one address now */
    map_free(&bin->frames);
    bin->frames = frames;
}

void binaries_rename(struct binaries *b, uint32_t binary, struct names *names,
                     enum names_source source)
{
    struct binary *bin = binaries_item(b, binary);
    struct map changed = {0};
    rename_symbols(b, binary, names, &changed);
    names_close(bin->names);
    bin->names = names;
    bin->names_from = names_source_text(source);
    bin->note = NULL;
    bin->is_changed = true;
    bin->is_renamed = true;
    if (!b->intern->is_frozen) {
        move_frames(b, binary, &changed);
    }
    map_free(&changed);
}
