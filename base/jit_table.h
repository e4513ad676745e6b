/*
 * jit_table.h - the code that one process made at run time: what lay at an address at a time.
 *
 * A load is code at an address from a time on. It ends when other code is loaded over any part of
 * it, or when it moves. Loads come in about the order of their times, each may come late. Bounded:
 * JIT_TABLE_LOADS_MAX loads, and only the newest thousand of a page are looked at. One thread.
 */
#ifndef STAX_BASE_JIT_TABLE_H
#define STAX_BASE_JIT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

enum { JIT_TABLE_LOADS_MAX = 1 << 20, JIT_TABLE_PAGES_MAX = 1 << 22 };

struct jit_load {
    uint64_t start, size;
    int64_t from_ts, to_ts; /* [from, to) */
    uint64_t rel_address;   /* of its first byte, see frame.rel_address */
    uint32_t origin;        /* the load (index + 1) that this one moved from, itself if none */
    uint32_t source;        /* the file that told of it */
    uint32_t symbol;        /* 0: not made yet; the origin's counts */
    size_t name;            /* the owner's; the origin's counts */
    size_t first_line, n_lines;
};

/* A load in a page, newest first. */
struct jit_link {
    uint32_t load, next; /* index + 1 */
};

struct jit_table {
    struct jit_load *loads;
    size_t n_loads, cap_loads;
    struct jit_link *links;
    size_t n_links, cap_links;
    struct map pages;      /* page -> link (index + 1) */
    struct map by_address; /* start -> the newest load there (index + 1) */
    int64_t *times;        /* at which answers change, ascending */
    size_t n_times, cap_times;
    bool is_disordered; /* times came in no order: what is in times is not all */
    uint32_t version;   /* raised with every change */
};

void jit_table_fini(struct jit_table *t);

/* Adds a load (ends are worked out here). Returns its index + 1; 0: there are too many, but what it
 * lies over has ended. */
uint32_t jit_table_load(struct jit_table *t, const struct jit_load *load);
/* What lies in a range ends at ts: by code that is not known. */
void jit_table_end(struct jit_table *t, uint64_t start, uint64_t size, int64_t ts);
/* Code of size bytes at from is at to from ts on. Returns the index + 1 of the new load; 0: nothing
 * was known at from, or too many. */
uint32_t jit_table_move(struct jit_table *t, uint64_t from, uint64_t to, uint64_t size, int64_t ts);

/* The load that held address at ts; NULL: none. Borrowed until the next change. */
struct jit_load *jit_table_find(const struct jit_table *t, uint64_t address, int64_t ts);
/* A load that held address at any time of [from_ts, to_ts], the newest; NULL: none. */
struct jit_load *jit_table_find_any(const struct jit_table *t, uint64_t address, int64_t from_ts,
                                    int64_t to_ts);
/* The highest rel_address >> 48 of loads that overlap a range, -1: none does. */
int jit_table_generation(const struct jit_table *t, uint64_t start, uint64_t size);
/* Narrows [*from_ts, *to_ts) around ts to where the table's answers are the same. */
void jit_table_segment(const struct jit_table *t, int64_t ts, int64_t *from_ts, int64_t *to_ts);
size_t jit_table_bytes(const struct jit_table *t);

#endif
