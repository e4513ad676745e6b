/* cfi_bytes.c - reading hostile DWARF bytes. */
#include "capture/cfi_bytes.h"

#include <string.h>

uint8_t cfi_u8(struct cfi_bytes *b)
{
    if (b->at == b->end) {
        b->is_short = true;
        return 0;
    }
    return *b->at++;
}

uint64_t cfi_uint(struct cfi_bytes *b, size_t n)
{
    uint64_t v = 0;
    if (cfi_bytes_left(b) < n) {
        b->is_short = true;
        b->at = b->end;
        return 0;
    }
    memcpy(&v, b->at, n);
    b->at += n;
    return v;
}

int64_t cfi_sint(struct cfi_bytes *b, size_t n)
{
    uint64_t v = cfi_uint(b, n);
    if (n < 8 && (v >> (n * 8 - 1)) & 1) {
        v |= ~UINT64_C(0) << (n * 8);
    }
    return (int64_t)v;
}

static uint64_t read_leb(struct cfi_bytes *b, bool is_signed)
{
    uint64_t v = 0;
    unsigned shift = 0;
    for (;;) {
        if (b->at == b->end) {
            b->is_short = true;
            return 0;
        }
        uint8_t byte = *b->at++;
        if (shift < 64) {
            v |= (uint64_t)(byte & 0x7f) << shift;
            shift += 7;
        }
        if (!(byte & 0x80)) {
            if (is_signed && (byte & 0x40) && shift < 64) {
                v |= ~UINT64_C(0) << shift;
            }
            return v;
        }
    }
}

uint64_t cfi_uleb(struct cfi_bytes *b)
{
    return read_leb(b, false);
}

int64_t cfi_sleb(struct cfi_bytes *b)
{
    return (int64_t)read_leb(b, true);
}

struct cfi_bytes cfi_take(struct cfi_bytes *b, uint64_t n)
{
    struct cfi_bytes part = {.at = b->at, .end = b->end};
    if (n > cfi_bytes_left(b)) {
        part.is_short = b->is_short = true;
        part.at = b->at = b->end;
        return part;
    }
    part.end = b->at = b->at + n;
    return part;
}

uint64_t cfi_encoded(struct cfi_bytes *b, unsigned encoding)
{
    switch (encoding & 0x0f) {
    case 0x00: /* absptr */
    case 0x04: /* udata8 */
    case 0x0c: /* sdata8 */
        return cfi_uint(b, 8);
    case 0x01:
        return cfi_uleb(b);
    case 0x02:
        return cfi_uint(b, 2);
    case 0x03:
        return cfi_uint(b, 4);
    case 0x09:
        return (uint64_t)cfi_sleb(b);
    case 0x0a:
        return (uint64_t)cfi_sint(b, 2);
    case 0x0b:
        return (uint64_t)cfi_sint(b, 4);
    default:
        b->is_short = true;
        return 0;
    }
}
