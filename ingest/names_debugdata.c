/*
 * names_debugdata.c - the symbols that distributions leave in a stripped binary: .gnu_debugdata, an
 * ELF file of its own with .symtab, packed by xz ("mini debug info").
 *
 * The section is hostile: what unpacking may take and give is bounded.
 */
#include <lzma.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ingest/names_reader_internal.h"

enum {
    MAX_PACKED_BYTES = 64 << 20,
    MAX_BYTES = 256 << 20,
    MAX_LZMA_BYTES = 128 << 20, /* memory of the decoder: its dictionary */
    STEP_BYTES = 1 << 20
};

/* False: damaged or too large. */
static bool unpack(struct buf *out, const uint8_t *packed, size_t n_packed)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream, MAX_LZMA_BYTES, 0) != LZMA_OK) {
        return false;
    }
    stream.next_in = packed;
    stream.avail_in = n_packed;
    lzma_ret rc = LZMA_OK;
    while (rc == LZMA_OK && out->len < MAX_BYTES) {
        stream.next_out = (uint8_t *)buf_room(out, STEP_BYTES);
        stream.avail_out = STEP_BYTES;
        rc = lzma_code(&stream, LZMA_FINISH);
        buf_advance(out, STEP_BYTES - stream.avail_out);
    }
    lzma_end(&stream);
    return rc == LZMA_STREAM_END;
}

void names_add_debugdata(struct names_reader *r, const struct names_section *s)
{
    Elf_Data *packed = names_read_chunk(r, s->offset, s->size, MAX_PACKED_BYTES, ELF_T_BYTE);
    struct buf image = {0};
    if (!packed || r->inner) {
        return;
    }
    if (unpack(&image, packed->d_buf, packed->d_size)) {
        r->inner = mem_new(1, sizeof(*r->inner));
        *r->inner = (struct names_reader){.fd = -1,
                                          .image = (const uint8_t *)image.data,
                                          .n_bytes = image.len,
                                          .is_separate = true,
                                          .symtab_source = NAMES_DEBUGDATA,
                                          .n = r->n,
                                          .b = r->b};
        names_reader_open(r->inner, NULL);
        r->inner->image = NULL; /* it has a copy */
    }
    buf_free(&image);
}
