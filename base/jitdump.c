/* jitdump.c - see jitdump.h. */
#include "base/jitdump.h"

#include <string.h>

enum {
    MAGIC = 0x4a695444, /* "JiTD" in the byte order of who wrote it */
    VERSION = 1,
    FLAG_ARCH_TIMESTAMP = 1,
    HEADER_BYTES = 40, /* the file's; may be more, it says */
    HEADER_MAX = 1 << 16,
    RECORD_MAX = 256 << 20, /* more than any runtime has room for code */
    RECORD_BYTES = 16,      /* what every record begins with: id, size, time */
    LOAD_BYTES = RECORD_BYTES + 40,
    MOVE_BYTES = RECORD_BYTES + 48,
    DEBUG_BYTES = RECORD_BYTES + 16,
    UNWINDING_BYTES = RECORD_BYTES + 24,
    DEBUG_ENTRY_BYTES = 16, /* without the file's name */
    FILE_NAME_MAX = 4096,
    ELF_OFFSET = 0x40, /* of the code in the ELF file that perf inject makes */
    READ_BYTES = 64 << 10
};

enum { RECORD_LOAD, RECORD_MOVE, RECORD_DEBUG_INFO, RECORD_CLOSE, RECORD_UNWINDING_INFO };

static uint32_t read_u32(const struct jitdump *d, const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return d->is_swapped ? __builtin_bswap32(v) : v;
}

static uint64_t read_u64(const struct jitdump *d, const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return d->is_swapped ? __builtin_bswap64(v) : v;
}

size_t jitdump_want(const struct jitdump *d)
{
    return d->want > READ_BYTES ? d->want : READ_BYTES;
}

static bool need(struct jitdump *d, size_t n_bytes)
{
    d->want = n_bytes;
    return false;
}

static bool refuse(struct jitdump *d, const char *why)
{
    d->refusal = why;
    return false;
}

/* A record is left out: of several, the first is told. */
static void fault(struct jitdump *d, const char *what)
{
    d->n_bad++;
    if (!d->fault) {
        d->fault = what;
        d->fault_at = d->at;
    }
}

static const char other_clock[] =
    "a jitdump with times that are not of CLOCK_MONOTONIC, as those of "
    "samples are: a record's lies in the future";
static const char too_early[] =
    "its times lie before its process began, so they are not of CLOCK_MONOTONIC: code that was "
    "replaced may have the name of what came later";
static const char too_short[] = "a record is too short for what it tells: its code has no name";
static const char no_room[] = "the code of a function does not fit into its record: it has no name";
static const char no_place[] = "a record tells of code where none can be";

/* What a record tells has happened, and not before there was a process. */
static bool check_time(struct jitdump *d, uint64_t ts)
{
    if (d->latest_ts && ts > (uint64_t)d->latest_ts) {
        return refuse(d, other_clock);
    }
    if (d->earliest_ts > 0 && ts < (uint64_t)d->earliest_ts && !d->doubt) {
        d->doubt = too_early;
        d->doubt_at = d->at;
    }
    return true;
}

static bool take_header(struct jitdump *d, const uint8_t *bytes, size_t n)
{
    uint32_t magic;
    if (n < HEADER_BYTES) {
        return need(d, HEADER_BYTES);
    }
    memcpy(&magic, bytes, sizeof(magic));
    d->is_swapped = magic == __builtin_bswap32(MAGIC);
    if (magic != MAGIC && !d->is_swapped) {
        return refuse(d, "not a jitdump");
    }
    if (read_u32(d, bytes + 4) != VERSION) {
        return refuse(d, "a jitdump of another version");
    }
    uint32_t size = read_u32(d, bytes + 8);
    if (size < HEADER_BYTES || size > HEADER_MAX) {
        return refuse(d, "a corrupt jitdump: its header has a size that cannot be");
    }
    if (read_u64(d, bytes + 32) & FLAG_ARCH_TIMESTAMP) {
        return refuse(d, "a jitdump with times of the CPU, which are not those of the samples");
    }
    d->earliest_ts = read_u32(d, bytes + 20) == d->owner_pid ? d->earliest_ts : 0;
    d->has_header = true;
    d->at += size;
    return true;
}

/* Lines wait in the batch for the load; without one they are nobody's. */
static void drop_debug(struct jitdump *d)
{
    d->has_debug = false;
    d->n_lines = 0;
}

static void shift_lines(struct jitdump *d, struct jit_batch *batch, uint64_t by)
{
    size_t kept = d->first_line;
    for (size_t i = 0; i < d->n_lines; i++) {
        struct jit_line line = batch->lines[d->first_line + i];
        if (line.delta >= by) {
            line.delta -= by;
            batch->lines[kept++] = line;
        }
    }
    d->n_lines = kept - d->first_line;
    batch->n_lines = kept;
}

/* perf inject puts code 0x40 bytes into an ELF file, and V8 writes the addresses of its lines as if
 * it had; others write where the code is. Once a function's lines begin exactly there, or lie
 * behind its end, all of the file are taken so. */
static void fix_lines(struct jitdump *d, struct jit_batch *batch, uint64_t code_size)
{
    if (d->n_lines == 0) {
        return;
    }
    const struct jit_line *lines = batch->lines + d->first_line;
    uint64_t first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < d->n_lines; i++) {
        first = lines[i].delta < first ? lines[i].delta : first;
        last = lines[i].delta > last ? lines[i].delta : last;
    }
    if (first == ELF_OFFSET || (first >= ELF_OFFSET && last >= code_size)) {
        d->has_elf_offset = true;
    }
    if (d->has_elf_offset) {
        shift_lines(d, batch, ELF_OFFSET);
    }
}

static bool take_load(struct jitdump *d, const uint8_t *bytes, size_t n, uint32_t size,
                      struct jit_batch *batch)
{
    if (size < LOAD_BYTES + 1) {
        d->unwinding = (struct jit_unwinding){0};
        fault(d, too_short);
        d->at += size;
        return true;
    }
    if (n >= LOAD_BYTES && !check_time(d, read_u64(d, bytes + 8))) {
        return false;
    }
    size_t room = size - LOAD_BYTES;
    size_t n_name_max = room < JITDUMP_NAME_MAX ? room : JITDUMP_NAME_MAX;
    if (n < LOAD_BYTES + n_name_max && n < size &&
        (n <= LOAD_BYTES || !memchr(bytes + LOAD_BYTES, '\0', n - LOAD_BYTES))) {
        return need(d, LOAD_BYTES + n_name_max);
    }
    const char *name = (const char *)bytes + LOAD_BYTES;
    size_t len = strnlen(name, n - LOAD_BYTES < n_name_max ? n - LOAD_BYTES : n_name_max);
    uint64_t code_size = read_u64(d, bytes + 40), address = read_u64(d, bytes + 32);
    /* the code ends the record, whatever follows the name */
    bool has_room = code_size < room && len < room - code_size + 1;
    if (has_room && code_size > 0 && code_size <= JITDUMP_CODE_MAX &&
        address + code_size > address) {
        struct jit_item item = {.what = JIT_LOAD,
                                .ts = (int64_t)read_u64(d, bytes + 8),
                                .address = address,
                                .size = code_size,
                                .offset = d->at + size - code_size,
                                .name = jit_batch_text(batch, name, len)};
        if (d->has_debug && d->debug_address == address) {
            fix_lines(d, batch, code_size);
            item.first_line = d->first_line;
            item.n_lines = d->n_lines;
        }
        item.unwinding = d->unwinding;
        d->n_unwinding += d->unwinding.size > 0;
        jit_batch_add(batch, &item);
        d->n_loads++;
    } else if (code_size == 0) { /* nothing that could be sampled */
        d->n_bad++;
    } else {
        const char *what = code_size > JITDUMP_CODE_MAX ? jit_batch_too_large : no_place;
        d->n_large += code_size > JITDUMP_CODE_MAX;
        fault(d, has_room ? what : no_room);
    }
    drop_debug(d);
    d->unwinding = (struct jit_unwinding){0};
    d->at += size;
    return true;
}

static bool take_move(struct jitdump *d, const uint8_t *bytes, size_t n, uint32_t size,
                      struct jit_batch *batch)
{
    if (size >= MOVE_BYTES && n < MOVE_BYTES) {
        return need(d, MOVE_BYTES);
    }
    if (size < MOVE_BYTES) {
        fault(d, too_short);
        d->at += size;
        return true;
    }
    if (!check_time(d, read_u64(d, bytes + 8))) {
        return false;
    }
    struct jit_item item = {.what = JIT_MOVE,
                            .ts = (int64_t)read_u64(d, bytes + 8),
                            .from = read_u64(d, bytes + 32),
                            .address = read_u64(d, bytes + 40),
                            .size = read_u64(d, bytes + 48)};
    if (item.size && item.size <= JITDUMP_CODE_MAX && item.address + item.size > item.address) {
        jit_batch_add(batch, &item);
        d->n_moves++;
    } else {
        d->n_large += item.size > JITDUMP_CODE_MAX;
        fault(d, item.size > JITDUMP_CODE_MAX ? jit_batch_too_large : no_place);
    }
    d->at += size;
    return true;
}

/* The entries of a debug info record that is there as a whole. */
static void read_lines(struct jitdump *d, const uint8_t *bytes, uint32_t size,
                       struct jit_batch *batch)
{
    uint64_t n = read_u64(d, bytes + RECORD_BYTES + 8);
    size_t at = DEBUG_BYTES, file = 0;
    for (uint64_t i = 0; i < n && size - at > DEBUG_ENTRY_BYTES; i++) {
        const char *name = (const char *)bytes + at + DEBUG_ENTRY_BYTES;
        size_t room = size - at - DEBUG_ENTRY_BYTES, len = strnlen(name, room);
        if (len == room || len > FILE_NAME_MAX) {
            d->n_bad++;
            return;
        }
        /* one byte 0xff: the same file as the entry before */
        bool is_same = len == 1 && (uint8_t)name[0] == 0xff;
        if (!is_same && (!file || strcmp(jit_batch_str(batch, file), name) != 0)) {
            file = jit_batch_text(batch, name, len);
        }
        uint64_t address = read_u64(d, bytes + at);
        uint32_t line = read_u32(d, bytes + at + 8);
        if (file && address >= d->debug_address && line && line <= INT32_MAX) {
            jit_batch_add_line(batch, &(struct jit_line){.delta = address - d->debug_address,
                                                         .file = file,
                                                         .line = line});
        }
        at += DEBUG_ENTRY_BYTES + len + 1;
    }
}

static bool take_debug_info(struct jitdump *d, const uint8_t *bytes, size_t n, uint32_t size,
                            struct jit_batch *batch)
{
    drop_debug(d);
    if (size < DEBUG_BYTES || size > JITDUMP_DEBUG_MAX) {
        d->n_bad++;
        d->at += size;
        return true;
    }
    if (n < size) {
        return need(d, size);
    }
    d->has_debug = true;
    d->debug_at = d->at;
    d->debug_address = read_u64(d, bytes + RECORD_BYTES);
    d->first_line = batch->n_lines;
    read_lines(d, bytes, size, batch);
    d->n_lines = batch->n_lines - d->first_line;
    d->n_debug++;
    d->at += size;
    return true;
}

/* V8, whose code has frame pointers, writes a header with nothing behind it. */
static bool take_unwinding_info(struct jitdump *d, const uint8_t *bytes, size_t n, uint32_t size)
{
    if (size >= UNWINDING_BYTES && n < UNWINDING_BYTES) {
        return need(d, UNWINDING_BYTES);
    }
    d->unwinding = (struct jit_unwinding){0};
    if (size >= UNWINDING_BYTES) {
        uint64_t all = read_u64(d, bytes + RECORD_BYTES);
        uint64_t header = read_u64(d, bytes + RECORD_BYTES + 8);
        if (all > header && all <= size - UNWINDING_BYTES && all <= JITDUMP_UNWINDING_MAX) {
            d->unwinding = (struct jit_unwinding){
                .offset = d->at + UNWINDING_BYTES, .size = all, .header = header};
        }
    }
    d->at += size;
    return true;
}

static bool take_record(struct jitdump *d, const uint8_t *bytes, size_t n, uint32_t size,
                        struct jit_batch *batch)
{
    switch (read_u32(d, bytes)) {
    case RECORD_LOAD:
        return take_load(d, bytes, n, size, batch);
    case RECORD_MOVE:
        return take_move(d, bytes, n, size, batch);
    case RECORD_DEBUG_INFO:
        return take_debug_info(d, bytes, n, size, batch);
    case RECORD_UNWINDING_INFO:
        return take_unwinding_info(d, bytes, n, size);
    default: /* also RECORD_CLOSE: what comes after it is of a runtime that began anew */
        break;
    }
    d->at += size;
    return true;
}

bool jitdump_feed(struct jitdump *d, const uint8_t *bytes, size_t n, struct jit_batch *batch)
{
    d->want = 0;
    if (d->refusal) {
        return false;
    }
    if (!d->has_header) {
        return take_header(d, bytes, n);
    }
    if (n < RECORD_BYTES) {
        return need(d, RECORD_BYTES);
    }
    uint32_t size = read_u32(d, bytes + 4);
    if (size == 0) { /* room that was made and not written to yet */
        return need(d, RECORD_BYTES);
    }
    if (size < RECORD_BYTES || size > RECORD_MAX) {
        return refuse(d, "a corrupt jitdump: a record has a size that cannot be, and what follows "
                         "it is lost");
    }
    uint64_t first = d->at;
    if (!take_record(d, bytes, n, size, batch)) {
        return false;
    }
    d->record_at = first;
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

void jitdump_end(struct jitdump *d, const uint8_t *bytes, size_t n, uint64_t n_file_bytes)
{
    if (d->refusal) {
        return;
    }
    if (!d->has_header) {
        refuse(d, "it ends within its header");
    } else if (d->at > n_file_bytes + JITDUMP_CODE_MAX && !d->fault) {
        d->fault = "a record reaches far past the end of the file: what follows it is lost";
        d->fault_at = d->record_at;
    } else if ((d->at > n_file_bytes || !is_zero(bytes, n)) && !d->fault) {
        d->fault = "it ends within a record: what had not been written yet is missing";
        d->fault_at = d->at > n_file_bytes ? d->record_at : d->at;
    }
}

void jitdump_settle(struct jitdump *d, struct jit_batch *batch)
{
    if (d->has_debug) {
        d->at = d->debug_at;
        batch->n_lines = d->first_line;
        d->n_debug--;
        drop_debug(d);
    }
}
