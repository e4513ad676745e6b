/* cfi_frames.c - the entries of .eh_frame and .debug_frame sections. */
#include "capture/cfi_frames.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Linkers merge CIEs to a handful; the largest browsers have about a million FDEs. */
enum {
    MAX_CIES = 1 << 16,
    MAX_FDES = 1 << 22,
    MAX_AUGMENTATION_BYTES = 16,
};

struct entry {
    uint64_t offset;        /* of the length field */
    uint64_t id_offset;     /* of the CIE id or pointer */
    struct cfi_bytes bytes; /* after the id */
    uint64_t id;
    bool is_64, is_end;
};

/* The next entry; false at the end of the section or of what makes sense. */
static bool next_entry(const struct cfi_section *s, struct cfi_bytes *b, struct entry *e)
{
    memset(e, 0, sizeof(*e));
    e->offset = (uint64_t)(b->at - s->bytes);
    uint64_t length = cfi_uint(b, 4);
    if (length == UINT32_MAX) {
        e->is_64 = true;
        length = cfi_uint(b, 8);
    }
    if (b->is_short) {
        return false;
    }
    if (!length) {
        e->is_end = true;
        return true;
    }
    e->id_offset = (uint64_t)(b->at - s->bytes);
    e->bytes = cfi_take(b, length);
    /* .eh_frame has a 4-byte pointer in 64-bit entries too. */
    e->id = cfi_uint(&e->bytes, e->is_64 && s->is_debug ? 8 : 4);
    return !b->is_short;
}

static bool is_cie(const struct cfi_section *s, const struct entry *e)
{
    if (s->is_debug) {
        return e->id == (e->is_64 ? UINT64_MAX : UINT32_MAX);
    }
    return e->id == 0;
}

/* The augmentation data of a "z" CIE. False when a letter is unknown: its meaning may change all.
 */
static bool read_augmentation(const char *letters, struct cfi_bytes *data, struct cfi_cie *cie)
{
    for (; *letters; letters++) {
        switch (*letters) {
        case 'R':
            cie->encoding = cfi_u8(data);
            break;
        case 'P': {
            unsigned encoding = cfi_u8(data);
            if (encoding != CFI_PE_OMIT) {
                cfi_encoded(data, encoding);
            }
            break;
        }
        case 'L':
            cfi_u8(data);
            break;
        case 'S':
            cie->is_signal = true;
            break;
        case 'B': /* aarch64: return addresses are signed with key B */
        case 'G':
            break;
        default:
            return false;
        }
    }
    return !data->is_short;
}

static bool read_cie(const struct cfi_frames *f, const struct cfi_section *s, struct entry *e,
                     struct cfi_cie *cie)
{
    char letters[MAX_AUGMENTATION_BYTES + 1] = "";
    struct cfi_bytes *b = &e->bytes;
    memset(cie, 0, sizeof(*cie));
    cie->offset = e->offset;
    cie->encoding = CFI_PE_ABSPTR;
    unsigned version = cfi_u8(b);
    if (version != 1 && version != 3 && version != 4) {
        return false;
    }
    for (size_t i = 0; (letters[i] = (char)cfi_u8(b)) != '\0'; i++) {
        if (i + 1 == MAX_AUGMENTATION_BYTES) {
            return false;
        }
    }
    if (version == 4 && (cfi_u8(b) != 8 || cfi_u8(b) != 0)) { /* address and segment size */
        return false;
    }
    cie->code_align = cfi_uleb(b);
    cie->data_align = cfi_sleb(b);
    uint64_t return_column = version == 1 ? cfi_u8(b) : cfi_uleb(b);
    if (letters[0] == 'z') {
        struct cfi_bytes data = cfi_take(b, cfi_uleb(b));
        cie->has_augmentation = true;
        if (!read_augmentation(letters + 1, &data, cie)) {
            return false;
        }
    } else if (letters[0]) {
        return false;
    }
    struct cfi_program program = {.arch = f->arch, .section = s, .pool = f->pool, .bytes = *b};
    return !b->is_short && return_column == f->arch->pc && cfi_program_init_cie(&program, cie);
}

static void add_cie(struct cfi_frames *f, const struct cfi_section *s, struct entry *e)
{
    struct cfi_cie cie;
    if (!read_cie(f, s, e, &cie)) {
        f->n_bad++;
        return;
    }
    if (f->n_cies == MAX_CIES) {
        f->is_cut = true;
        return;
    }
    mem_reserve(&f->cies, &f->cap_cies, f->n_cies + 1, sizeof(*f->cies));
    f->cies[f->n_cies++] = cie;
}

/* The CIE at an offset among those from index first on, which are in ascending order. */
static bool find_cie(const struct cfi_frames *f, size_t first, uint64_t offset, size_t *index)
{
    size_t low = first;
    size_t high = f->n_cies;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->cies[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return low < f->n_cies && f->cies[low].offset == offset;
}

static bool is_code(const struct cfi_frames *f, uint64_t start, uint64_t n)
{
    for (size_t i = 0; i < f->n_code; i++) {
        if (start >= f->code[i].start && start < f->code[i].end && n <= f->code[i].end - start) {
            return true;
        }
    }
    return !f->n_code;
}

void cfi_frames_add_fde(struct cfi_frames *f, const struct cfi_fde *fde)
{
    if (f->n_fdes == MAX_FDES) {
        f->is_cut = true;
        return;
    }
    mem_reserve(&f->fdes, &f->cap_fdes, f->n_fdes + 1, sizeof(*f->fdes));
    f->fdes[f->n_fdes++] = *fde;
}

uint32_t cfi_frames_add_cie(struct cfi_frames *f)
{
    struct cfi_cie cie = {.code_align = 1, .data_align = -8};
    cie.initial.cfa = CFI_CFA_REGISTER;
    cie.initial.cfa_reg = f->arch->sp;
    cie.initial.cfa_offset = f->arch->call_bytes;
    cie.initial.kind[f->arch->pc] = CFI_OFFSET;
    cie.initial.value[f->arch->pc] = -(int32_t)f->arch->call_bytes;
    mem_reserve(&f->cies, &f->cap_cies, f->n_cies + 1, sizeof(*f->cies));
    f->cies[f->n_cies] = cie;
    return (uint32_t)f->n_cies++;
}

static bool add_fde(struct cfi_frames *f, const struct cfi_section *s, size_t first_cie,
                    struct entry *e, uint32_t section)
{
    struct cfi_bytes *b = &e->bytes;
    size_t cie;
    /* .debug_frame has the CIE's offset, .eh_frame the distance back to it. */
    uint64_t offset = s->is_debug ? e->id : e->id_offset - e->id;
    if (b->is_short || !find_cie(f, first_cie, offset, &cie)) {
        return false;
    }
    uint64_t start;
    if (!cfi_read_address(s, f->cies[cie].encoding, b, &start)) {
        return false;
    }
    uint64_t n = cfi_encoded(b, f->cies[cie].encoding);
    if (f->cies[cie].has_augmentation) {
        cfi_take(b, cfi_uleb(b));
    }
    if (b->is_short || n > UINT32_MAX || start > UINT64_MAX - n) {
        return false;
    }
    /* Sections that the linker dropped leave entries for address 0 or nothing behind: no damage. */
    if (n && is_code(f, start, n)) {
        struct cfi_fde fde = {.start = start,
                              .n_code_bytes = (uint32_t)n,
                              .cie = (uint32_t)cie,
                              .program = b->at,
                              .n_program_bytes = (uint32_t)cfi_bytes_left(b),
                              .section = section};
        cfi_frames_add_fde(f, &fde);
    }
    return true;
}

void cfi_frames_add(struct cfi_frames *f, const struct cfi_section *section, uint32_t index)
{
    size_t first_cie = f->n_cies;
    /* CIEs first: in .debug_frame they may follow the FDEs that use them. */
    for (unsigned pass = 0; pass < 2; pass++) {
        struct cfi_bytes b = {.at = section->bytes, .end = section->bytes + section->n_bytes};
        struct entry e;
        while (b.at != b.end) {
            if (!next_entry(section, &b, &e)) {
                f->n_bad += pass;
                break;
            }
            if (e.is_end) {
                /* Elsewhere crtend.o's terminator may be followed by another object's entries. */
                if (section->is_open) {
                    break;
                }
                continue;
            }
            if (is_cie(section, &e)) {
                if (!pass) {
                    add_cie(f, section, &e);
                }
            } else if (pass && !add_fde(f, section, first_cie, &e, index)) {
                f->n_bad++;
            }
        }
    }
}

static int compare_fdes(const void *a, const void *b)
{
    const struct cfi_fde *x = a;
    const struct cfi_fde *y = b;
    if (x->start != y->start) {
        return x->start < y->start ? -1 : 1;
    }
    return (x->section > y->section) - (x->section < y->section);
}

void cfi_frames_sort(struct cfi_frames *f)
{
    for (size_t i = 1; i < f->n_fdes; i++) {
        if (compare_fdes(&f->fdes[i - 1], &f->fdes[i]) > 0) {
            qsort(f->fdes, f->n_fdes, sizeof(*f->fdes), compare_fdes);
            return;
        }
    }
}

void cfi_frames_fini(struct cfi_frames *f)
{
    free(f->cies);
    free(f->fdes);
    memset(f, 0, sizeof(*f));
}
