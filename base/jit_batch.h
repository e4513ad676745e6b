/*
 * jit_batch.h - what a runtime said about code it made: from the thread that reads its files to the
 * one that gives frames their names. Plain data.
 */
#ifndef STAX_BASE_JIT_BATCH_H
#define STAX_BASE_JIT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum jit_what { JIT_LOAD, JIT_MOVE };

/* How to unwind code: .eh_frame as if it lay behind the code, at the next multiple of 8, and
 * .eh_frame_hdr. */
struct jit_unwinding {
    uint64_t offset; /* in the file */
    size_t size;     /* bytes, 0: there is none */
    size_t header;   /* of them, .eh_frame_hdr; at the end */
};

/* Code at address from ts on, or code that moves there. */
struct jit_item {
    enum jit_what what;
    int64_t ts; /* CLOCK_MONOTONIC ns */
    uint64_t address, size;
    uint64_t offset;                /* load, jitdump: of the code in the file */
    uint64_t from;                  /* move: where it was */
    size_t name;                    /* load: in text */
    size_t first_line, n_lines;     /* load: in lines, by delta */
    struct jit_unwinding unwinding; /* load, jitdump */
};

/* From this byte of a function on, its code is of this line. */
struct jit_line {
    uint64_t delta;
    size_t file; /* in text */
    uint32_t line;
};

struct jit_batch {
    uint32_t source;  /* whose file it is; 0 while a parser is at work */
    char *path;       /* perf map: it was opened, as the target sees it; else NULL */
    const char *note; /* what is wrong with the file, or NULL; static */
    int64_t note_at;  /* ... at this file offset; -1: no place of it */
    struct jit_item *items;
    size_t n_items, cap_items;
    struct jit_line *lines;
    size_t n_lines, cap_lines;
    struct buf text; /* begins with a NUL */
    struct jit_batch *next;
};

/* What is said of a file with functions that are left out. */
extern const char jit_batch_too_large[];

void jit_batch_add(struct jit_batch *b, const struct jit_item *item);
void jit_batch_add_line(struct jit_batch *b, const struct jit_line *line);
/* Adds a string of len bytes; returns where it is. */
size_t jit_batch_text(struct jit_batch *b, const char *s, size_t len);
static inline const char *jit_batch_str(const struct jit_batch *b, size_t at)
{
    return at < b->text.len ? b->text.data + at : "";
}
size_t jit_batch_bytes(const struct jit_batch *b);
/* Frees what it holds, not itself. */
void jit_batch_fini(struct jit_batch *b);

#endif
