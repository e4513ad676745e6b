/*
 * frame_bytes.h - .eh_frame sections written by hand, for tests.
 */
#ifndef STAX_TESTS_FRAME_BYTES_H
#define STAX_TESTS_FRAME_BYTES_H

#include <stdint.h>
#include <string.h>

#include "capture/cfi_table.h"

enum { FRAME_BYTES = 4096, FRAME_ADDRESS = 0x10000 };

struct frame_bytes {
    uint8_t bytes[FRAME_BYTES];
    size_t n;
    size_t cie; /* offset of the last one */
};

static inline void frame_put(struct frame_bytes *f, uint64_t value, size_t n)
{
    memcpy(f->bytes + f->n, &value, n);
    f->n += n;
}

/* Pads the entry that began at start and writes its length. */
static inline void frame_end(struct frame_bytes *f, size_t start)
{
    while ((f->n - start) % 8 != 4) {
        f->bytes[f->n++] = 0;
    }
    uint32_t length = (uint32_t)(f->n - start - 4);
    memcpy(f->bytes + start, &length, 4);
    frame_put(f, 0, 4);
    f->n -= 4;
}

/* A CIE as GCC writes it: "zR" or, for a signal frame, "zRS"; CFA is rsp + 8. */
static inline void frame_cie(struct frame_bytes *f, const char *augmentation)
{
    static const uint8_t start_state[] = {0x0c, 7, 8, 0x80 | 16, 1};
    f->cie = f->n;
    frame_put(f, 0, 4);
    frame_put(f, 0, 4);
    frame_put(f, 1, 1);
    memcpy(f->bytes + f->n, augmentation, strlen(augmentation) + 1);
    f->n += strlen(augmentation) + 1;
    frame_put(f, 1, 1);    /* code alignment */
    frame_put(f, 0x78, 1); /* data alignment -8 */
    frame_put(f, 16, 1);   /* return address column */
    frame_put(f, 1, 1);    /* augmentation data: */
    frame_put(f, 0x1b, 1); /* pcrel, sdata4 */
    memcpy(f->bytes + f->n, start_state, sizeof(start_state));
    f->n += sizeof(start_state);
    frame_end(f, f->cie);
}

static inline void frame_fde(struct frame_bytes *f, uint64_t start, uint32_t n_code,
                             const void *program, size_t n_program)
{
    size_t at = f->n;
    frame_put(f, 0, 4);
    frame_put(f, f->n - f->cie, 4);
    frame_put(f, start - (FRAME_ADDRESS + f->n), 4);
    frame_put(f, n_code, 4);
    frame_put(f, 0, 1);
    memcpy(f->bytes + f->n, program, n_program);
    f->n += n_program;
    frame_end(f, at);
}

static inline struct cfi_table *frame_table(const struct frame_bytes *f)
{
    struct cfi_section section = {.bytes = f->bytes, .n_bytes = f->n, .address = FRAME_ADDRESS};
    return cfi_table_from_sections(&unwind_x86_64, &section, 1, NULL, 0);
}

#endif
