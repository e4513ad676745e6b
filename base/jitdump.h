/*
 * jitdump.h - reads a jitdump file, in which a program that makes code at run time says what it
 * made.
 *
 * The format is that of tools/perf/Documentation/jitdump-specification.txt in the kernel's source.
 * The file grows while it is read and may end anywhere; every byte of it is hostile. No files are
 * touched here: the caller reads jitdump_want() bytes at d->at and feeds them. One thread.
 */
#ifndef STAX_BASE_JITDUMP_H
#define STAX_BASE_JITDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/jit_batch.h"

enum {
    JITDUMP_NAME_MAX = 16 << 10,     /* bytes of a function's name; longer ones are cut */
    JITDUMP_DEBUG_MAX = 4 << 20,     /* bytes of a debug info record; larger ones are left out */
    JITDUMP_CODE_MAX = 4 << 20,      /* bytes of a function; larger ones are left out */
    JITDUMP_UNWINDING_MAX = 1 << 20, /* bytes of unwinding info; of larger ones nothing is told */
};

/* How far in the future a record may lie for its reader. */
#define JITDUMP_LATE_NS INT64_C(1000000000)

struct jitdump {
    uint64_t at; /* file offset of the next byte to feed */
    bool has_header, is_swapped;
    bool has_elf_offset; /* addresses in debug info lie 0x40 too high, as perf inject wants them */
    const char
        *refusal; /* why the file cannot be read (any further, from at), NULL: it can; static */
    const char *fault; /* what is wrong with the first record that was left out, or NULL; static */
    uint64_t fault_at; /* file offset of that record */
    const char *doubt; /* why what was taken may be wrong, or NULL; static */
    uint64_t doubt_at;
    size_t want;        /* bytes that are needed to get on */
    uint64_t record_at; /* of the record before at */
    /* The owner's: CLOCK_MONOTONIC times between which code can have been made, 0: any. The first
     * is that of a process, and counts if the header has its pid as it sees itself: a child may
     * follow what its parent wrote before it was there. */
    int64_t earliest_ts, latest_ts;
    uint32_t owner_pid;
    /* Debug info waits for the load it belongs to. */
    bool has_debug;
    uint64_t debug_address, debug_at; /* debug_at: file offset of the record */
    size_t first_line, n_lines;       /* in the batch's lines */
    uint64_t n_loads, n_moves, n_debug, n_bad;
    uint64_t n_large; /* of n_bad: more code than JITDUMP_CODE_MAX */
    /* So does unwinding info, of which only the place is kept. */
    struct jit_unwinding unwinding;
    uint64_t n_unwinding; /* loads that have it */
};

/* How many bytes to read at d->at before feeding; fewer are fine at the end of the file. */
size_t jitdump_want(const struct jitdump *d);
/* Takes bytes from d->at on and moves d->at past what was taken (also past bytes that need not be
 * read). What was found is added to batch. False: nothing could be taken, more bytes are needed, or
 * the file is refused. */
bool jitdump_feed(struct jitdump *d, const uint8_t *bytes, size_t n, struct jit_batch *batch);
/* Nothing more is written: n bytes at d->at are what is left of a file of n_file_bytes. Says in
 * refusal or fault what is missing. */
void jitdump_end(struct jitdump *d, const uint8_t *bytes, size_t n, uint64_t n_file_bytes);
/* Before batch goes elsewhere: debug info whose load was not there yet is to be read again. */
void jitdump_settle(struct jitdump *d, struct jit_batch *batch);

#endif
