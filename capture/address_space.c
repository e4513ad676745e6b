/* address_space.c - see address_space.h. */
#include "capture/address_space.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct address_space {
    unsigned n_refs;
    struct address_mapping *mappings; /* by start, not overlapping */
    size_t n_mappings, cap_mappings;
    struct jit_dump *dumps[ADDRESS_SPACE_DUMPS_MAX];
    size_t n_dumps;
};

struct address_space *address_space_new(void)
{
    struct address_space *s = mem_new(1, sizeof(*s));
    s->n_refs = 1;
    return s;
}

struct address_space *address_space_ref(struct address_space *s)
{
    s->n_refs++;
    return s;
}

void address_space_unref(struct address_space *s)
{
    if (!s || --s->n_refs) {
        return;
    }
    for (size_t i = 0; i < s->n_mappings; i++) {
        cfi_binary_unref(s->mappings[i].binary);
    }
    for (size_t i = 0; i < s->n_dumps; i++) {
        jit_dump_unref(s->dumps[i]);
    }
    free(s->mappings);
    free(s);
}

static void make_own(struct address_space **s)
{
    if (!*s) {
        *s = address_space_new();
    }
    if ((*s)->n_refs == 1) {
        return;
    }
    struct address_space *own = address_space_new();
    mem_reserve(&own->mappings, &own->cap_mappings, (*s)->n_mappings, sizeof(*own->mappings));
    for (size_t i = 0; i < (*s)->n_mappings; i++) {
        own->mappings[i] = (*s)->mappings[i];
        if (own->mappings[i].binary) {
            cfi_binary_ref(own->mappings[i].binary);
        }
    }
    own->n_mappings = (*s)->n_mappings;
    for (size_t i = 0; i < (*s)->n_dumps; i++) {
        own->dumps[own->n_dumps++] = jit_dump_ref((*s)->dumps[i]);
    }
    address_space_unref(*s);
    *s = own;
}

/* Index of the first mapping that ends after address. */
static size_t first_after(const struct address_space *s, uint64_t address)
{
    size_t low = 0, high = s->n_mappings;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->mappings[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert(struct address_space *s, size_t at, const struct address_mapping *m)
{
    mem_reserve(&s->mappings, &s->cap_mappings, s->n_mappings + 1, sizeof(*s->mappings));
    memmove(&s->mappings[at + 1], &s->mappings[at], (s->n_mappings - at) * sizeof(*s->mappings));
    s->mappings[at] = *m;
    s->n_mappings++;
}

static void cut_front(struct address_mapping *m, uint64_t start)
{
    m->file_offset += start - m->start;
    m->start = start;
}

/* Cuts a hole where m goes; returns the index at which it goes. */
static size_t make_hole(struct address_space *s, const struct address_mapping *m)
{
    size_t at = first_after(s, m->start);
    if (at < s->n_mappings && s->mappings[at].start < m->start) {
        struct address_mapping tail = s->mappings[at];
        s->mappings[at].end = m->start;
        at++;
        if (tail.end > m->end) {
            cut_front(&tail, m->end);
            if (tail.binary) {
                cfi_binary_ref(tail.binary);
            }
            insert(s, at, &tail);
        }
    }
    size_t covered = at;
    while (covered < s->n_mappings && s->mappings[covered].end <= m->end) {
        cfi_binary_unref(s->mappings[covered++].binary);
    }
    if (covered > at) {
        memmove(&s->mappings[at], &s->mappings[covered],
                (s->n_mappings - covered) * sizeof(*s->mappings));
        s->n_mappings -= covered - at;
    }
    if (at < s->n_mappings && s->mappings[at].start < m->end) {
        cut_front(&s->mappings[at], m->end);
    }
    return at;
}

void address_space_map(struct address_space **shared, const struct address_mapping *m)
{
    if (m->start >= m->end || address_space_n_mappings(*shared) >= ADDRESS_SPACE_MAPPINGS_MAX) {
        cfi_binary_unref(m->binary);
        return;
    }
    make_own(shared);
    insert(*shared, make_hole(*shared, m), m);
}

enum unwind_found address_space_find(const struct address_space *s, uint64_t pc,
                                     struct unwind_code *code)
{
    size_t at = s ? first_after(s, pc) : 0;
    if (!s || at == s->n_mappings || s->mappings[at].start > pc) {
        return UNWIND_NOT_CODE;
    }
    const struct address_mapping *m = &s->mappings[at];
    *code = (struct unwind_code){.start = m->start, .end = m->end};
    if (!m->binary) {
        return UNWIND_CODE;
    }
    if (cfi_binary_is_pending(m->binary)) {
        return UNWIND_CODE_PENDING;
    }
    const struct cfi_table *table = cfi_binary_table(m->binary);
    /* Nothing of the file's code is mapped there: the mapping is of a file that it is no more. */
    if (table && cfi_table_bias(table, m->start, m->file_offset, &code->bias)) {
        code->table = table;
    }
    return UNWIND_CODE;
}

void address_space_add_dump(struct address_space **shared, struct jit_dump *d)
{
    make_own(shared);
    struct address_space *s = *shared;
    if (s->n_dumps < ADDRESS_SPACE_DUMPS_MAX) {
        s->dumps[s->n_dumps++] = d;
    } else {
        jit_dump_unref(d);
    }
}

bool address_space_has_dump(const struct address_space *s, uint64_t device, uint64_t inode)
{
    for (size_t i = 0; s && i < s->n_dumps; i++) {
        if (jit_dump_is_of(s->dumps[i], device, inode)) {
            return true;
        }
    }
    return false;
}

enum unwind_found address_space_find_jit(const struct address_space *s, uint64_t pc, int64_t ts,
                                         struct unwind_code *code)
{
    enum unwind_found found = UNWIND_NOT_CODE;
    for (size_t i = s ? s->n_dumps : 0; i > 0 && found == UNWIND_NOT_CODE; i--) {
        found = jit_dump_find(s->dumps[i - 1], pc, ts, code); /* its own before its parent's */
    }
    return found;
}

size_t address_space_n_mappings(const struct address_space *s)
{
    return s ? s->n_mappings : 0;
}

size_t address_space_n_dumps(const struct address_space *s)
{
    return s ? s->n_dumps : 0;
}
