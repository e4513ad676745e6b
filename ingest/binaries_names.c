/*
 * binaries_names.c - names that come later than the frames they are for (binaries.h).
 */
#include "ingest/binaries.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/binaries_internal.h"
#include "ingest/debuginfod.h"

/* What servers said once. */
static void forget_server_note(struct binary *bin)
{
    char *server = bin->own_note ? strstr(bin->own_note, debuginfod_note_start) : NULL;
    if (server == bin->own_note && server) {
        binaries_set_note(bin, NULL);
    } else if (server && server - bin->own_note >= 2 && strncmp(server - 2, "; ", 2) == 0) {
        *(server - 2) = '\0';
        bin->is_changed = true;
    }
}

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
                        .own_note = note[0] ? mem_strdup(note) : NULL,
                        .is_loaded = true,
                        .fd = -1};
    struct binary *bin = &b->items[b->n_items - 1];
    bin->note = bin->own_note;
    forget_server_note(bin);
}

void binaries_set_server_note(struct binary *bin, char *note)
{
    free(bin->server_note);
    bin->server_note = note;
    bin->is_changed = true;
}

void binaries_set_note(struct binary *bin, char *note)
{
    free(bin->own_note);
    bin->note = bin->own_note = note;
    bin->has_lack = false;
    bin->is_changed = true;
}

/* ---- inlined functions ---- */

/* Of a symbol that was known as inlined first: it still is; it is called, too; an earlier run knew
 * it and what it is called by now may be another. */
enum inlined_state { INLINED_ONLY = 1, INLINED_CALLED = 2, INLINED_OLD = 3 };

/* What an inlined function is known by. */
enum slot_kind {
    SLOT_NAME = 'n',    /* its linkage name: one that any file may call */
    SLOT_STATIC = 's',  /* name and place of one that only its file can call */
    SLOT_ADDRESS = 'a', /* where it begins: one that is called too */
    /* Of rows of an earlier run, which tell no more than the name: */
    SLOT_OLD = 'o',    /* name and number -> symbol */
    SLOT_N_OLD = 'c',  /* how many there are */
    SLOT_N_TAKEN = 't' /* ... and which have a function again */
};

struct slot {
    enum slot_kind kind;
    uint64_t number;
    const char *name, *place; /* NULL: none */
};

static void add_key(struct buf *key, uint32_t binary, const struct slot *s)
{
    buf_addf(key, "%u%c%" PRIx64 ":%s\n%s", binary, (char)s->kind, s->number,
             s->name ? s->name : "", s->place ? s->place : "");
}

static uint32_t get_slot(const struct binaries *b, uint32_t binary, const struct slot *s)
{
    struct buf key = {0};
    add_key(&key, binary, s);
    uint32_t id = strmap_get(&b->inlined, key.data, key.len);
    buf_free(&key);
    return id;
}

static void set_slot(struct binaries *b, uint32_t binary, const struct slot *s, uint32_t id)
{
    struct buf key = {0};
    add_key(&key, binary, s);
    *strmap_put(&b->inlined, key.data, key.len) = id;
    buf_free(&key);
}

/* The function of that name is symbol, unless that is known already. */
static void name_if_none(struct binaries *b, uint32_t binary, const char *name, uint32_t symbol)
{
    const struct slot s = {.kind = SLOT_NAME, .name = name};
    uint32_t known = get_slot(b, binary, &s);
    if (!known || map_get(&b->inlined_only, known) == INLINED_OLD) {
        set_slot(b, binary, &s, symbol);
    }
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
    const struct slot count = {.kind = SLOT_N_OLD, .name = inlined};
    uint32_t n_old = get_slot(b, binary, &count) + 1;
    set_slot(b, binary, &count, n_old);
    set_slot(b, binary, &(struct slot){.kind = SLOT_OLD, .name = inlined, .number = n_old}, symbol);
    name_if_none(b, binary, inlined, symbol);
    *map_put(&b->inlined_only, symbol) = INLINED_OLD;
}

uint32_t binaries_symbol(struct binaries *b, const struct frame *frame)
{
    return binaries_symbol_at(b, frame->binary, binaries_tables(b, frame->binary),
                              frame->rel_address, 0);
}

/* The function that begins where an inlined one does that is called too. What others may call is
 * known by its name instead, unless a linker hid it. */
static bool find_called(struct binaries *b, uint32_t binary, const struct inlined_function *f,
                        struct names_symbol *found)
{
    struct names_symbol whole;
    struct names *names = f->address ? binaries_tables(b, binary) : NULL;
    if (!names || !names_find(names, f->address, found) || found->start != f->address ||
        !found->linkage_name || (!f->is_static && found->is_global)) {
        return false;
    }
    if (names_find_whole(names, found, &whole) && whole.linkage_name) {
        *found = whole;
    }
    return true;
}

/* The next symbol of an earlier run by that name: all frames are told what is inlined there anew.
 */
static uint32_t take_old(struct binaries *b, uint32_t binary, const char *linkage_name)
{
    const struct slot taken = {.kind = SLOT_N_TAKEN, .name = linkage_name};
    struct slot old = {.kind = SLOT_OLD, .name = linkage_name};
    old.number = get_slot(b, binary, &taken) + 1;
    uint32_t id = get_slot(b, binary, &old);
    if (id) {
        set_slot(b, binary, &taken, (uint32_t)old.number);
    }
    return id;
}

static uint32_t new_inlined(struct binaries *b, uint32_t binary, const char *linkage_name)
{
    struct names_symbol found = {.linkage_name = linkage_name,
                                 .source = NAMES_DWARF,
                                 .language = names_language(linkage_name)};
    struct symbol_text text = binaries_text_of(binary, &found, 0);
    uint32_t id = intern_symbol(b->intern, &text);
    *map_put(&b->inlined_only, id) = INLINED_ONLY;
    return id;
}

/* The symbol that begins at the address of a function that is called, too; 0: none does yet. */
static uint32_t symbol_of_called(struct binaries *b, uint32_t binary, uint64_t start)
{
    const struct binary *bin = binaries_item(b, binary);
    const struct slot address = {.kind = SLOT_ADDRESS, .number = start};
    uint32_t id = map_get(&bin->symbols, start);
    return id && id != bin->overflow_symbol ? id : get_slot(b, binary, &address);
}

/* A static one of a header is one function where it is inlined, and that of the first file that
 * also has it out of line, if one does. */
uint32_t binaries_inlined(struct binaries *b, uint32_t binary, const struct inlined_function *f)
{
    struct names_symbol found = {.linkage_name = f->linkage_name};
    struct slot known = {.kind = SLOT_NAME, .name = f->linkage_name};
    if (f->is_static) {
        known.kind = SLOT_STATIC;
        known.place = f->declared;
    }
    uint32_t id = f->is_static ? get_slot(b, binary, &known) : 0;
    if (id) {
        return id;
    }
    bool is_called = find_called(b, binary, f, &found);
    if (is_called) {
        id = symbol_of_called(b, binary, found.start);
    } else {
        id = get_slot(b, binary, &known);
    }
    if (!id) {
        id = is_called || f->is_static ? take_old(b, binary, found.linkage_name) : 0;
        id = id ? id : new_inlined(b, binary, found.linkage_name);
        if (is_called) {
            set_slot(b, binary, &(struct slot){.kind = SLOT_ADDRESS, .number = found.start}, id);
        }
    }
    if (f->is_static || !is_called) {
        set_slot(b, binary, &known, id);
    }
    return id;
}

/* A local symbol of a plain name is most likely another than what is inlined by that name: one that
 * only its own file can call. Mangled ones may be what a linker hid. */
static bool is_by_name(const struct names_symbol *found)
{
    return found->is_global || names_language(found->linkage_name)[0];
}

void binaries_note_called(struct binaries *b, uint32_t binary, uint32_t symbol,
                          const struct names_symbol *found)
{
    if (b->naming && is_by_name(found)) {
        name_if_none(b, binary, found->linkage_name, symbol);
    }
}

/* What is only inlined and is the function that was found; 0: nothing. */
static uint32_t inlined_only(struct binaries *b, uint32_t binary, const struct names_symbol *found)
{
    const struct slot address = {.kind = SLOT_ADDRESS, .number = found->start};
    const struct slot name = {.kind = SLOT_NAME, .name = found->linkage_name};
    if (!b->naming) {
        return 0;
    }
    uint32_t id = get_slot(b, binary, &address);
    if (map_get(&b->inlined_only, id) != INLINED_ONLY) {
        id = is_by_name(found) ? get_slot(b, binary, &name) : 0;
    }
    return map_get(&b->inlined_only, id) == INLINED_ONLY ? id : 0;
}

uint32_t binaries_called_symbol(struct binaries *b, uint32_t binary, struct names *names,
                                const struct names_symbol *found, uint64_t base)
{
    struct symbol_text text = binaries_text_of(binary, found, base);
    text.whole = binaries_whole_of(b, binary, names, found, base);
    uint32_t id = inlined_only(b, binary, found);
    if (id) {
        *map_put(&b->inlined_only, id) = INLINED_CALLED;
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
    binaries_set_server_note(bin, NULL);
    bin->is_changed = true;
    bin->is_renamed = true;
    if (!b->intern->is_frozen) {
        move_frames(b, binary, &changed);
    }
    map_free(&changed);
}
