/*
 * perf_map.h - reads /tmp/perf-PID.map: a line "START SIZE name" (hex) per function that a runtime
 * made. The text grows while it is read and may end anywhere; every byte is hostile. No files are
 * touched here.
 */
#ifndef STAX_INGEST_PERF_MAP_H
#define STAX_INGEST_PERF_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/jit_batch.h"

enum {
    PERF_MAP_LINE_MAX = 16 << 10, /* bytes; what is longer is left out */
    PERF_MAP_CODE_MAX = 4 << 20   /* bytes of a function; larger ones are left out */
};

struct perf_map {
    bool is_skipping; /* the rest of a line that is too long */
    uint64_t n_loads, n_bad;
    uint64_t n_large; /* of n_bad: more code than PERF_MAP_CODE_MAX */
};

/* Takes whole lines, as code that is there from ts on. Returns how many bytes were taken; the rest
 * is a line that is not there as a whole, to be fed again with more. */
size_t perf_map_feed(struct perf_map *m, const char *text, size_t n, int64_t ts,
                     struct jit_batch *batch);

#endif
