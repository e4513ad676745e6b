/* cfi_table.c - how to unwind any address of one binary, compiled for fast look-up. */
#include "capture/cfi_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/cfi_elf.h"

enum {
    MAX_ROWS = 1 << 23, /* libLLVM has a million */
    MIN_SHIFT = 8,
    ROWS_PER_BUCKET = 8,
    PAGE_BYTES = 4096,
    PLT_ENTRY_BYTES = 16,
    PLT_PUSH_BYTES = 6, /* of the first entry's push */
};

struct row {
    uint32_t start; /* from the table's base */
    uint32_t rule;
};

/* An executable segment; in the file its first page is mapped whole. */
struct segment {
    uint64_t offset, address, n_bytes;
};

struct cfi_table {
    uint64_t base; /* address of the first row */
    struct row *rows;
    size_t n_rows, cap_rows;
    uint32_t *index; /* for each 2^shift bytes of code, the row that covers the first of them */
    size_t n_index;
    unsigned shift;
    struct cfi_pool pool;
    struct segment *segments;
    size_t n_segments;
    struct cfi_table_stats stats;
};

/* While rows are made. */
struct builder {
    struct cfi_table *t;
    const struct unwind_arch *arch;
    uint64_t covered; /* rows up to here are final */
    bool is_signal;   /* of the FDE under way */
};

static bool add_row(struct builder *b, uint64_t address, uint32_t rule)
{
    struct cfi_table *t = b->t;
    uint64_t start = address - t->base;
    if (start > UINT32_MAX || t->n_rows == MAX_ROWS) {
        t->stats.is_cut = true;
        return false;
    }
    if (t->n_rows && t->rows[t->n_rows - 1].start == start) {
        t->n_rows--; /* an empty row */
    }
    if (t->n_rows && t->rows[t->n_rows - 1].rule == rule) {
        return true;
    }
    mem_reserve(&t->rows, &t->cap_rows, t->n_rows + 1, sizeof(*t->rows));
    t->rows[t->n_rows++] = (struct row){(uint32_t)start, rule};
    return true;
}

static bool take_row(void *ctx, uint64_t address, const struct cfi_state *state)
{
    struct builder *b = ctx;
    uint32_t rule = cfi_pool_rule(&b->t->pool, b->arch, state, b->is_signal);
    b->t->stats.n_missing_rows += rule == 0;
    return add_row(b, address < b->covered ? b->covered : address, rule) && !b->t->pool.is_full;
}

static void add_function(struct builder *b, const struct cfi_frames *f, const struct cfi_fde *fde,
                         const struct cfi_section *sections)
{
    const struct cfi_cie *cie = &f->cies[fde->cie];
    uint64_t end = fde->start + fde->n_code_bytes;
    if (end <= b->covered) {
        return;
    }
    if (fde->start > b->covered) {
        add_row(b, b->covered, 0);
        b->covered = fde->start;
    }
    b->is_signal = cie->is_signal;
    struct cfi_program program = {
        .arch = b->arch,
        .section = sections ? &sections[fde->section] : NULL,
        .cie = cie,
        .pool = &b->t->pool,
        .bytes = {.at = fde->program, .end = fde->program + fde->n_program_bytes},
        .start = fde->start,
        .end = end,
        .row = take_row,
        .ctx = b,
    };
    b->t->stats.n_bad += !cfi_program_run(&program);
    b->covered = end;
    b->t->stats.n_fdes++;
}

/* Buckets of about ROWS_PER_BUCKET rows, so that a look-up touches two or three cache lines. */
static void make_index(struct cfi_table *t)
{
    if (!t->n_rows) {
        return;
    }
    uint32_t last = t->rows[t->n_rows - 1].start;
    t->shift = MIN_SHIFT;
    while (t->shift < 31 && last >> t->shift > t->n_rows / ROWS_PER_BUCKET) {
        t->shift++;
    }
    t->n_index = ((size_t)last >> t->shift) + 2;
    t->index = mem_new(t->n_index, sizeof(*t->index));
    size_t row = 0;
    for (size_t i = 0; i < t->n_index; i++) {
        uint64_t start = (uint64_t)i << t->shift;
        while (row + 1 < t->n_rows && t->rows[row + 1].start <= start) {
            row++;
        }
        t->index[i] = (uint32_t)row;
    }
}

static void build(struct cfi_table *t, struct cfi_frames *f, const struct cfi_section *sections)
{
    cfi_frames_sort(f);
    if (f->n_fdes) {
        t->base = f->fdes[0].start;
    }
    struct builder b = {.t = t, .arch = f->arch, .covered = t->base};
    for (size_t i = 0; i < f->n_fdes && !t->stats.is_cut && !t->pool.is_full; i++) {
        add_function(&b, f, &f->fdes[i], sections);
    }
    if (f->n_fdes) {
        add_row(&b, b.covered, 0);
    }
    t->stats.n_bad += f->n_bad;
    t->stats.is_cut |= f->is_cut || t->pool.is_full;
    cfi_frames_fini(f);
    if (t->n_rows) {
        t->rows = mem_grow(t->rows, t->n_rows, sizeof(*t->rows));
        t->cap_rows = t->n_rows;
    }
    make_index(t);
    cfi_pool_seal(&t->pool);
    t->stats.n_rows = t->n_rows;
    t->stats.n_rules_bytes = cfi_pool_bytes(&t->pool);
    t->stats.n_bytes = sizeof(*t) + t->n_rows * sizeof(*t->rows) + t->n_index * sizeof(*t->index) +
                       t->n_segments * sizeof(*t->segments) + t->stats.n_rules_bytes;
}

static struct cfi_table *new_table(const struct unwind_arch *arch, struct cfi_frames *f,
                                   const struct cfi_range *code, size_t n_code)
{
    struct cfi_table *t = mem_new(1, sizeof(*t));
    cfi_pool_init(&t->pool);
    *f = (struct cfi_frames){.arch = arch, .pool = &t->pool, .code = code, .n_code = n_code};
    return t;
}

/* What GNU ld writes as CFI for .plt: an entry pushes its index between bytes 6 and 11, so past
 * that the CFA is 16 instead of 8 above rsp; the first entry pushes at its start. */
static const uint8_t plt_program[] = {
    0x0e,
    0x10,                  /* def_cfa_offset 16 */
    0x40 | PLT_PUSH_BYTES, /* advance_loc 6 */
    0x0e,
    0x18,                         /* def_cfa_offset 24 */
    0x40 | (PLT_ENTRY_BYTES - 6), /* advance_loc 10 */
    0x0f,
    0x0b, /* def_cfa_expression */
    0x77,
    0x08,
    0x80,
    0x00, /* breg7 8, breg16 0 */
    0x3f,
    0x1a,
    0x3b,
    0x2a,
    0x33,
    0x24,
    0x22, /* lit15 and lit11 ge lit3 shl plus */
};

static void add_plts(struct cfi_frames *f, const struct cfi_elf *elf)
{
    uint32_t cie = elf->n_plts ? cfi_frames_add_cie(f) : 0;
    for (size_t i = 0; i < elf->n_plts; i++) {
        const struct cfi_plt *plt = &elf->plts[i];
        struct cfi_fde fde = {.start = plt->range.start,
                              .n_code_bytes = (uint32_t)(plt->range.end - plt->range.start),
                              .cie = cie,
                              .program = plt_program,
                              .n_program_bytes = plt->is_lazy ? sizeof(plt_program) : 0,
                              .section = CFI_ELF_MAX_SECTIONS};
        cfi_frames_add_fde(f, &fde);
    }
}

static void keep_segments(struct cfi_table *t, const struct cfi_elf *elf)
{
    t->segments = mem_new(elf->n_code, sizeof(*t->segments));
    t->n_segments = elf->n_code;
    for (size_t i = 0; i < elf->n_code; i++) {
        t->segments[i] = (struct segment){elf->code_offset[i], elf->code[i].start,
                                          elf->code[i].end - elf->code[i].start};
    }
}

static struct cfi_table *table_of_elf(const struct unwind_arch *arch, int fd, const void *image,
                                      size_t n, struct err *e)
{
    struct cfi_elf elf;
    struct cfi_frames f;
    if (cfi_elf_read(&elf, arch, fd, image, n, e) != 0) {
        return NULL;
    }
    /* A section of its own for what is made here: programs without addresses of a section. */
    struct cfi_section sections[CFI_ELF_MAX_SECTIONS + 1] = {0};
    memcpy(sections, elf.sections, elf.n_sections * sizeof(*sections));
    struct cfi_table *t = new_table(arch, &f, elf.code, elf.n_code);
    keep_segments(t, &elf);
    for (size_t i = 0; i < elf.n_sections; i++) {
        cfi_frames_add(&f, &elf.sections[i], (uint32_t)i);
    }
    add_plts(&f, &elf);
    build(t, &f, sections);
    cfi_elf_fini(&elf);
    return t;
}

struct cfi_table *cfi_table_open(const struct unwind_arch *arch, int fd, struct err *e)
{
    return table_of_elf(arch, fd, NULL, 0, e);
}

struct cfi_table *cfi_table_from_image(const struct unwind_arch *arch, const void *image, size_t n,
                                       struct err *e)
{
    return table_of_elf(arch, -1, image, n, e);
}

struct cfi_table *cfi_table_from_sections(const struct unwind_arch *arch,
                                          const struct cfi_section *sections, size_t n_sections,
                                          const struct cfi_range *code, size_t n_code)
{
    struct cfi_frames f;
    struct cfi_table *t = new_table(arch, &f, code, n_code);
    for (size_t i = 0; i < n_sections; i++) {
        cfi_frames_add(&f, &sections[i], (uint32_t)i);
    }
    build(t, &f, sections);
    return t;
}

bool cfi_table_bias(const struct cfi_table *t, uint64_t start, uint64_t file_offset, uint64_t *bias)
{
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct segment *s = &t->segments[i];
        uint64_t first = s->offset & ~(uint64_t)(PAGE_BYTES - 1);
        if (file_offset >= first && file_offset - first < s->n_bytes + (s->offset - first)) {
            *bias = start - (s->address - s->offset + file_offset);
            return true;
        }
    }
    return false;
}

void cfi_table_free(struct cfi_table *t)
{
    if (t) {
        free(t->rows);
        free(t->index);
        free(t->segments);
        cfi_pool_fini(&t->pool);
        free(t);
    }
}

const uint32_t *cfi_table_find(const struct cfi_table *t, uint64_t address)
{
    uint64_t start = address - t->base;
    if (!t->n_rows || address < t->base) {
        return NULL;
    }
    size_t bucket = start >> t->shift;
    if (bucket + 1 >= t->n_index) {
        return NULL; /* past the last row, which has no CFI */
    }
    size_t low = t->index[bucket];
    size_t high = t->index[bucket + 1];
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (t->rows[middle].start <= start) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    uint32_t rule = t->rows[low].rule;
    return rule ? t->pool.words + rule : NULL;
}

const uint8_t *cfi_table_expression(const struct cfi_table *t, int32_t offset, size_t *n)
{
    return cfi_pool_expression_at(&t->pool, offset, n);
}

void cfi_table_get_stats(const struct cfi_table *t, struct cfi_table_stats *stats)
{
    *stats = t->stats;
}
