/*
 * names_plt.c - names for the stubs through which a binary calls other libraries.
 *
 * A stub jumps through a slot of the GOT, and the relocation of that slot names the function; the
 * layout of the section (.plt, .plt.sec, .plt.got, with and without IBT) does not matter then.
 * System V ABI, AMD64 supplement, "Procedure Linkage Table".
 */
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ingest/names_reader_internal.h"

enum {
    MAX_PLT_BYTES = 16 << 20,
    MAX_SLOTS = 1 << 20,
    MAX_TABLE_BYTES = 64 << 20,
    MAX_NAME_BYTES = 16 << 10,
    MAX_MADE_BYTES = 16 << 20, /* of all names of stubs of a file */
    STUB_BYTES = 16
};

struct slot {
    uint64_t address;
    const char *name;
};

struct slots {
    struct slot *items;
    size_t n, cap;
};

static void add_slots(const struct names_reader *r, const struct names_section *s,
                      struct slots *slots)
{
    if (s->link >= r->n_sections || r->sections[s->link].type != SHT_DYNSYM ||
        s->entry_size != sizeof(Elf64_Rela)) {
        return;
    }
    const struct names_section *dynsym = &r->sections[s->link];
    if (dynsym->link >= r->n_sections || dynsym->entry_size != sizeof(Elf64_Sym)) {
        return;
    }
    const struct names_section *names = &r->sections[dynsym->link];
    Elf_Data *relocations = names_read_chunk(r, s->offset, s->size - s->size % s->entry_size,
                                             MAX_TABLE_BYTES, ELF_T_RELA);
    Elf_Data *symbols =
        names_read_chunk(r, dynsym->offset, dynsym->size - dynsym->size % dynsym->entry_size,
                         MAX_TABLE_BYTES, ELF_T_SYM);
    Elf_Data *strings =
        names_read_chunk(r, names->offset, names->size, MAX_TABLE_BYTES, ELF_T_BYTE);
    if (!relocations || !symbols || !strings) {
        return;
    }
    size_t n = relocations->d_size / sizeof(Elf64_Rela);
    for (size_t i = 0; i < n && slots->n < MAX_SLOTS; i++) {
        GElf_Rela rela;
        GElf_Sym sym;
        if (!gelf_getrela(relocations, (int)i, &rela) || !GELF_R_SYM(rela.r_info) ||
            GELF_R_SYM(rela.r_info) > INT32_MAX ||
            !gelf_getsym(symbols, (int)GELF_R_SYM(rela.r_info), &sym) ||
            sym.st_name >= strings->d_size) {
            continue;
        }
        const char *name = (const char *)strings->d_buf + sym.st_name;
        size_t room = strings->d_size - sym.st_name;
        size_t len = strnlen(name, room < MAX_NAME_BYTES ? room : MAX_NAME_BYTES);
        if (!len || len == room || len == MAX_NAME_BYTES) {
            continue;
        }
        mem_reserve(&slots->items, &slots->cap, slots->n + 1, sizeof(*slots->items));
        slots->items[slots->n++] = (struct slot){rela.r_offset, name};
    }
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
        qsort(slots.items, slots.n, sizeof(*slots.items), by_address);
        size_t step = plt->entry_size == 8 ? 8 : STUB_BYTES;
        for (size_t at = 0; at + 8 <= code->d_size; at += step) {
            size_t left = code->d_size - at;
            size_t n = left < step ? left : step;
            const struct slot *slot = slot_of_stub(
                &slots, &by_index, (const uint8_t *)code->d_buf + at, n, plt->address + at);
            if (slot) {
                add_stub(r, plt->address + at, n, slot->name);
            }
        }
    }
    free(slots.items);
    free(by_index.items);
}
