/*
 * ring_file.h - recorded rings: raw records as the kernel wrote them, in the order in which they
 * were drained, with all that is needed to take them apart. Written by tests/bench/bench_ring.c,
 * replayed by tests/unit/capture/test_rings.c. Little endian, everything aligned to 8.
 *
 * File: struct ring_file_head, its sources, then struct ring_file_entry with bytes behind each.
 */
#ifndef STAX_TESTS_CAPTURE_RING_FILE_H
#define STAX_TESTS_CAPTURE_RING_FILE_H

#include <stdint.h>

#include "capture/events.h"

#define RING_FILE_MAGIC "staxring"

struct ring_file_format {
    uint64_t has_counters, has_raw, has_stack; /* as struct record_format */
    uint64_t read_format, user_regs;
};

struct ring_file_head {
    char magic[8];
    int64_t pid;      /* of the launched target, held until events were there */
    int64_t start_ts; /* ns, before anything was recorded */
    int64_t period_ns;
    uint64_t waking_pid_offset;
    struct ring_file_format formats[EVENTS_N_KINDS];
    uint64_t n_sources;
};

struct ring_file_source {
    uint64_t id, source; /* as events.sources */
};

/* Values of ring_file_entry.ring that are no ring. */
enum {
    RING_FILE_DRAINED = 0xfffffffe, /* int64_t: nothing older than this follows */
    RING_FILE_NAMES = 0xffffffff,   /* lines of /proc/kallsyms, those that stacks need; first */
};

struct ring_file_entry {
    uint32_t ring;    /* index of its CPU */
    uint32_t n_bytes; /* that follow, and then zeros up to a multiple of 8 */
};

#endif
