/* names_eh_frame.c - function extents from .eh_frame, for code that no symbol covers. */
#include <string.h>

#include "ingest/names_internal.h"

/* DW_EH_PE_*: low four bits the format, the next three what the value is relative to. */
enum {
    PE_ABSPTR = 0x00,
    PE_ULEB128 = 0x01,
    PE_UDATA2 = 0x02,
    PE_UDATA4 = 0x03,
    PE_UDATA8 = 0x04,
    PE_SLEB128 = 0x09,
    PE_SDATA2 = 0x0a,
    PE_SDATA4 = 0x0b,
    PE_SDATA8 = 0x0c,
    PE_PCREL = 0x10,
    PE_OMIT = 0xff,
    MAX_AUGMENTATION = 16
};

static bool read_bytes(const uint8_t **at, const uint8_t *end, void *to, size_t n)
{
    if ((size_t)(end - *at) < n) {
        return false;
    }
    memcpy(to, *at, n);
    *at += n;
    return true;
}

static bool read_leb128(const uint8_t **at, const uint8_t *end, bool is_signed, uint64_t *value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; *at < end && shift < 70; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64) {
            v |= (uint64_t)(byte & 0x7f) << shift;
        }
        if (!(byte & 0x80)) {
            if (is_signed && (byte & 0x40) && shift + 7 < 64) {
                v |= ~UINT64_C(0) << (shift + 7);
            }
            *value = v;
            return true;
        }
    }
    return false;
}

static bool read_fixed(const uint8_t **at, const uint8_t *end, size_t n, bool is_signed,
                       uint64_t *value)
{
    uint64_t v = 0; /* both ends are little-endian: checked when the file is opened */
    if (!read_bytes(at, end, &v, n)) {
        return false;
    }
    if (is_signed && n < 8 && v >> (n * 8 - 1)) {
        v |= ~UINT64_C(0) << (n * 8);
    }
    *value = v;
    return true;
}

bool names_eh_pointer(const uint8_t **at, const uint8_t *end, uint8_t encoding, uint64_t address,
                      unsigned address_bytes, uint64_t *value)
{
    bool is_read = false;
    switch (encoding & 0x0f) {
    case PE_ABSPTR:
        is_read = read_fixed(at, end, address_bytes, false, value);
        break;
    case PE_ULEB128:
    case PE_SLEB128:
        is_read = read_leb128(at, end, (encoding & 0x0f) == PE_SLEB128, value);
        break;
    case PE_UDATA2:
    case PE_SDATA2:
        is_read = read_fixed(at, end, 2, (encoding & 0x0f) == PE_SDATA2, value);
        break;
    case PE_UDATA4:
    case PE_SDATA4:
        is_read = read_fixed(at, end, 4, (encoding & 0x0f) == PE_SDATA4, value);
        break;
    case PE_UDATA8:
    case PE_SDATA8:
        is_read = read_fixed(at, end, 8, false, value);
        break;
    default:
        return false;
    }
    if ((encoding & 0xf0) == PE_PCREL) {
        *value += address;
    } else if (encoding & 0xf0) {
        return false;
    }
    if (address_bytes == 4) {
        *value &= UINT32_MAX;
    }
    return is_read;
}

struct walk {
    const uint8_t *bytes;
    size_t n_bytes;
    uint64_t address;
    unsigned address_bytes;
    size_t cie; /* offset of the CIE whose encoding is known */
    bool has_cie;
    uint8_t encoding; /* PE_OMIT: a CIE that is not understood */
};

/* Splits off the record at offset: its body (after the length) and end. False at the terminator or
 * where the contents end. */
static bool read_record(const struct walk *w, size_t offset, const uint8_t **body,
                        const uint8_t **end)
{
    const uint8_t *at = w->bytes + offset;
    const uint8_t *limit = w->bytes + w->n_bytes;
    uint64_t length = 0;
    if (!read_fixed(&at, limit, 4, false, &length) || !length) {
        return false;
    }
    if (length == UINT32_MAX && !read_fixed(&at, limit, 8, false, &length)) {
        return false;
    }
    if (length < 4 || length > (uint64_t)(limit - at)) {
        return false;
    }
    *body = at;
    *end = at + length;
    return true;
}

/* The pointer encoding named by the augmentation data ("zPLR" and the like). */
static uint8_t augmentation_encoding(const struct walk *w, const char *augmentation,
                                     const uint8_t *at, const uint8_t *end)
{
    uint64_t ignored;
    if (!read_leb128(&at, end, false, &ignored)) {
        return PE_OMIT;
    }
    for (const char *c = augmentation + 1; *c; c++) {
        if (*c == 'S' || *c == 'B') {
            continue;
        }
        if (at >= end) {
            return PE_OMIT;
        }
        uint8_t encoding = *at++;
        if (*c == 'R') {
            return encoding;
        }
        /* The personality's own value does not matter, only how long it is. */
        if (*c == 'P' &&
            !names_eh_pointer(&at, end, encoding & 0x0f, 0, w->address_bytes, &ignored)) {
            return PE_OMIT;
        }
        if (*c != 'P' && *c != 'L') {
            return PE_OMIT;
        }
    }
    return PE_ABSPTR;
}

/* The encoding of the addresses in the FDEs of a CIE. */
static uint8_t cie_encoding(const struct walk *w, size_t offset)
{
    const uint8_t *at;
    const uint8_t *end;
    uint32_t id;
    uint8_t version;
    uint64_t ignored;
    if (!read_record(w, offset, &at, &end) || !read_bytes(&at, end, &id, 4) || id ||
        !read_bytes(&at, end, &version, 1) || (version != 1 && version != 3 && version != 4)) {
        return PE_OMIT;
    }
    char augmentation[MAX_AUGMENTATION];
    size_t len = strnlen((const char *)at, (size_t)(end - at));
    if (len == (size_t)(end - at) || len >= sizeof(augmentation)) {
        return PE_OMIT;
    }
    memcpy(augmentation, at, len + 1);
    at += len + 1;
    if (version == 4) { /* address and segment selector sizes */
        uint16_t sizes;
        if (!read_bytes(&at, end, &sizes, 2)) {
            return PE_OMIT;
        }
    }
    /* Code and data alignment, return address register (one byte in version 1). */
    if (!read_leb128(&at, end, false, &ignored) || !read_leb128(&at, end, true, &ignored) ||
        !(version == 1 ? read_fixed(&at, end, 1, false, &ignored)
                       : read_leb128(&at, end, false, &ignored))) {
        return PE_OMIT;
    }
    if (!augmentation[0]) {
        return PE_ABSPTR;
    }
    return augmentation[0] == 'z' ? augmentation_encoding(w, augmentation, at, end) : PE_OMIT;
}

static bool read_extent(struct walk *w, const uint8_t *at, const uint8_t *end, uint64_t *start,
                        uint64_t *size)
{
    size_t id_offset = (size_t)(at - w->bytes);
    uint32_t id;
    if (!read_bytes(&at, end, &id, 4) || !id || id > id_offset) {
        return false;
    }
    size_t cie = id_offset - id;
    if (!w->has_cie || cie != w->cie) {
        w->has_cie = true;
        w->cie = cie;
        w->encoding = cie_encoding(w, cie);
    }
    if (w->encoding == PE_OMIT) {
        return false;
    }
    uint64_t address = w->address + (uint64_t)(at - w->bytes);
    return names_eh_pointer(&at, end, w->encoding, address, w->address_bytes, start) &&
           names_eh_pointer(&at, end, w->encoding & 0x0f, 0, w->address_bytes, size);
}

void names_add_eh_frame(const struct names *n, struct names_builder *b, const uint8_t *bytes,
                        size_t n_bytes, uint64_t address, unsigned address_bytes)
{
    struct walk w = {
        .bytes = bytes, .n_bytes = n_bytes, .address = address, .address_bytes = address_bytes};
    const uint8_t *body;
    const uint8_t *end = bytes;
    while (read_record(&w, (size_t)(end - bytes), &body, &end)) {
        struct names_entry e = {.source = NAMES_EH_FRAME, .rank = NAMES_RANK_EXTENT};
        if (!read_extent(&w, body, end, &e.start, &e.size) || !e.size) {
            continue;
        }
        e.limit = names_executable_end(n, e.start);
        if (e.limit) {
            names_add(b, &e);
        }
    }
}
