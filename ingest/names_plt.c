/*
 * names_plt.c - names for the stubs through which a binary calls other libraries.
 *
 * A stub jumps through a slot of the GOT, and the relocation of that slot names the function; the
 * layout of the section (.plt, .plt.sec, .plt.got, with and without IBT) does not matter then. Of a
 * slot for which the program chooses a function when it is loaded (STT_GNU_IFUNC), the relocation
 * gives the address of what chooses, which has a symbol with the function's name.
 * System V ABI, AMD64 supplement, "Procedure Linkage Table".
 */
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/names_reader_internal.h"

enum {
    MAX_PLT_BYTES = 16 << 20,
    MAX_SLOTS = 1 << 20,
    MAX_TABLE_BYTES = 64 << 20,
    MAX_NAME_BYTES = 16 << 10,
    MAX_MADE_BYTES = 16 << 20, /* of all names of stubs of a file */
    STUB_BYTES = 16,
    SHORT_STUB_BYTES = 8
};

struct slot {
    uint64_t address;
    const char *name;  /* NULL: none */
    uint64_t resolver; /* what chooses the function when the program is loaded, 0: nothing does */
};

struct slots {
    struct slot *items;
    size_t n, cap;
};

/* The symbols that relocations refer to; no symbols: they refer to none that we read. */
struct symbols {
    Elf_Data *symbols, *strings;
};

static struct symbols read_symbols(const struct names_reader *r, uint32_t link)
{
    struct symbols s = {0};
    const struct names_section *dynsym = link < r->n_sections ? &r->sections[link] : NULL;
    if (!dynsym || dynsym->type != SHT_DYNSYM || dynsym->link >= r->n_sections ||
        dynsym->entry_size != sizeof(Elf64_Sym)) {
        return s;
    }
    const struct names_section *names = &r->sections[dynsym->link];
    s.symbols = names_read_chunk(r, dynsym->offset, dynsym->size - dynsym->size % sizeof(Elf64_Sym),
                                 MAX_TABLE_BYTES, ELF_T_SYM);
    s.strings = names_read_chunk(r, names->offset, names->size, MAX_TABLE_BYTES, ELF_T_BYTE);
    return s;
}

static const char *symbol_name(const struct symbols *s, uint64_t index)
{
    GElf_Sym sym;
    if (!s->symbols || !s->strings || !index || index > INT32_MAX ||
        !gelf_getsym(s->symbols, (int)index, &sym) || sym.st_name >= s->strings->d_size) {
        return NULL;
    }
    const char *name = (const char *)s->strings->d_buf + sym.st_name;
    size_t room = s->strings->d_size - sym.st_name;
    size_t len = strnlen(name, room < MAX_NAME_BYTES ? room : MAX_NAME_BYTES);
    return len && len < room && len < MAX_NAME_BYTES ? name : NULL;
}

/* Those of .rela.plt without a name are kept: stubs push their number. */
static void add_slots(const struct names_reader *r, const struct names_section *s,
                      struct slots *slots)
{
    if (s->entry_size != sizeof(Elf64_Rela)) {
        return;
    }
    Elf_Data *relocations = names_read_chunk(r, s->offset, s->size - s->size % s->entry_size,
                                             MAX_TABLE_BYTES, ELF_T_RELA);
    const struct symbols symbols = read_symbols(r, s->link);
    size_t n = relocations ? relocations->d_size / sizeof(Elf64_Rela) : 0;
    for (size_t i = 0; i < n && slots->n < MAX_SLOTS; i++) {
        GElf_Rela rela;
        if (!gelf_getrela(relocations, (int)i, &rela)) {
            break;
        }
        struct slot slot = {.address = rela.r_offset};
        if (GELF_R_TYPE(rela.r_info) == R_X86_64_IRELATIVE) {
            slot.resolver = (uint64_t)rela.r_addend;
        } else {
            slot.name = symbol_name(&symbols, GELF_R_SYM(rela.r_info));
        }
        if (slot.name || slot.resolver || s->role == NAMES_ROLE_RELA_PLT) {
            mem_reserve(&slots->items, &slots->cap, slots->n + 1, sizeof(*slots->items));
            slots->items[slots->n++] = slot;
        }
    }
}

/* cos rather than __cos, although that may be global and cos weak: as a dynamic program calls it.
 */
static bool is_better(const struct names_entry *a, const struct names_entry *b)
{
    size_t a_prefix = strspn(a->name, "_"), b_prefix = strspn(b->name, "_");
    return a_prefix != b_prefix ? a_prefix < b_prefix : names_compare(a, b) < 0;
}

/* Slots that are filled by a resolver get the name of the function that it chooses; symbols are
 * read before. */
static void name_chosen(const struct names_builder *b, struct slots *slots)
{
    struct map best = {0}; /* address -> index in b->entries + 1 */
    for (size_t i = 0; i < b->n_entries; i++) {
        const struct names_entry *e = &b->entries[i];
        if (!e->is_ifunc || !e->start) {
            continue;
        }
        uint32_t *known = map_put(&best, e->start);
        if (!*known || is_better(e, &b->entries[*known - 1])) {
            *known = (uint32_t)i + 1;
        }
    }
    for (size_t i = 0; i < slots->n; i++) {
        struct slot *s = &slots->items[i];
        uint32_t entry = s->resolver ? map_get(&best, s->resolver) : 0;
        if (entry) {
            s->name = b->entries[entry - 1].name;
        }
    }
    map_free(&best);
}

static int by_address(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return (x->address > y->address) - (x->address < y->address);
}

static const struct slot *find_slot(const struct slots *slots, uint64_t address)
{
    const struct slot key = {.address = address};
    return slots->n ? bsearch(&key, slots->items, slots->n, sizeof(key), by_address) : NULL;
}

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t v;
    memcpy(&v, bytes, sizeof(v));
    return v;
}

/* The slot that the stub of n bytes at address uses; NULL: it is none. by_index: the relocations of
 * .rela.plt in their order, whose number a stub may push instead. */
static const struct slot *slot_of_stub(const struct slots *slots, const struct slots *by_index,
                                       const uint8_t *code, size_t n, uint64_t address)
{
    static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    size_t at = n >= 4 && memcmp(code, endbr64, 4) == 0 ? 4 : 0;
    at += at < n && code[at] == 0xf2; /* bnd */
    if (at + 6 <= n && code[at] == 0xff && code[at + 1] == 0x25) {
        uint64_t next = address + at + 6;
        return find_slot(slots, next + (uint64_t)(int64_t)(int32_t)u32_at(code + at + 2));
    }
    if (at + 5 <= n && code[at] == 0x68 && u32_at(code + at + 1) < by_index->n) {
        return &by_index->items[u32_at(code + at + 1)];
    }
    return NULL;
}

static void add_stub(struct names_reader *r, uint64_t start, uint64_t size, const char *function)
{
    struct names_builder *b = r->b;
    struct buf name = {0};
    size_t n_bytes = strlen(function) + sizeof("@plt");
    if (n_bytes > MAX_MADE_BYTES - b->made_bytes) {
        return; /* no linker makes so many, or names so long */
    }
    b->made_bytes += n_bytes;
    b->name_budget += n_bytes;
    buf_addf(&name, "%s@plt", function);
    mem_reserve(&b->made, &b->cap_made, b->n_made + 1, sizeof(*b->made));
    b->made[b->n_made] = buf_take(&name);
    struct names_entry e = {.start = start,
                            .size = size,
                            .name = b->made[b->n_made++],
                            .limit = names_executable_end(r->n, start),
                            .source = NAMES_PLT,
                            .rank = NAMES_RANK_LOCAL};
    if (e.limit) {
        names_add(b, &e);
    }
}

/* Stubs that only jump. Programs without dynamic linking have them without saying so. */
static bool is_short(const struct names_section *plt, const uint8_t *bytes, size_t n_bytes)
{
    static const uint8_t jump[] = {0xff, 0x25};
    return plt->entry_size == SHORT_STUB_BYTES ||
           (n_bytes >= STUB_BYTES && memcmp(bytes, jump, sizeof(jump)) == 0 &&
            memcmp(bytes + SHORT_STUB_BYTES, jump, sizeof(jump)) == 0);
}

void names_add_plt(struct names_reader *r, const struct names_section *plt)
{
    struct slots slots = {0}, by_index = {0};
    if (r->machine != EM_X86_64) {
        return;
    }
    Elf_Data *code = names_read_chunk(r, plt->offset, plt->size, MAX_PLT_BYTES, ELF_T_BYTE);
    for (size_t i = 0; code && i < r->n_sections; i++) {
        const struct names_section *s = &r->sections[i];
        if (s->role == NAMES_ROLE_RELA_PLT) {
            add_slots(r, s, &slots);
            add_slots(r, s, &by_index);
        } else if (s->role == NAMES_ROLE_RELA_DYN) {
            add_slots(r, s, &slots);
        }
    }
    if (slots.n) {
        const uint8_t *bytes = code->d_buf;
        name_chosen(r->b, &slots);
        name_chosen(r->b, &by_index);
        qsort(slots.items, slots.n, sizeof(*slots.items), by_address);
        size_t step = is_short(plt, bytes, code->d_size) ? SHORT_STUB_BYTES : STUB_BYTES;
        for (size_t at = 0; at + 8 <= code->d_size; at += step) {
            size_t left = code->d_size - at;
            size_t n = left < step ? left : step;
            const struct slot *slot =
                slot_of_stub(&slots, &by_index, bytes + at, n, plt->address + at);
            if (slot && slot->name) {
                add_stub(r, plt->address + at, n, slot->name);
            }
        }
    }
    free(slots.items);
    free(by_index.items);
}
