/*
 * unwinder.h - the whole stacks of a recording: samples and parked threads, with the tables of all
 * binaries and the address spaces they lie in.
 *
 * What lies beyond the copy of a stack is read from the target's memory while it lives; such a
 * stack is marked as guessed, and kept only if it leads to the root (unwind.h). One per recording,
 * for its one thread.
 */
#ifndef STAX_CAPTURE_UNWINDER_H
#define STAX_CAPTURE_UNWINDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/address_space.h"
#include "capture/event.h"
#include "capture/record.h"
#include "capture/target_memory.h"

struct unwinder_options {
    const struct unwind_arch *arch;
    size_t max_table_bytes;       /* of all tables */
    struct target_memory *memory; /* borrowed; NULL: of no target any is read */
};

struct unwinder;

/* STAX_ESYSTEM and *e. */
int unwinder_new(struct unwinder **out, const struct unwinder_options *options, struct err *e);
/* After the last address space was dropped. NULL is accepted. */
void unwinder_free(struct unwinder *u);

/* A process mapped code; its table is asked for. m as in an event, with the path's own words. */
void unwinder_map(struct unwinder *u, struct address_space **space, const struct event_mapping *m,
                  const char *path, size_t path_len);

enum { UNWINDER_ADDRESSES_MAX = RECORD_BYTES_MAX / 8 };

struct unwinder_stack {
    enum event_stack_end end;
    bool is_guessed; /* frames found without CFI, or in memory read later */
    bool is_chain;   /* not unwound: the kernel's chain of frame pointers */
    size_t n, n_kernel;
    /* As in event_sample. A caller's address is one byte behind where it goes on, as if it were a
     * return address, also where a signal interrupted it. */
    uint64_t addresses[UNWINDER_ADDRESSES_MAX];
};

/* The stack of a sample: by its registers and copy, else the chain that the kernel walked. u NULL:
 * that alone, of which at most max_chain addresses are complete. False, with may_wait: a table is
 * still being made, ask again. */
bool unwinder_sample(struct unwinder *u, size_t max_chain, const struct address_space *space,
                     const struct record *r, bool may_wait, struct unwinder_stack *out);

enum unwinder_answer {
    UNWINDER_DONE,
    UNWINDER_PENDING, /* a table is still being made: ask again */
    UNWINDER_UNREADABLE,
};

/* The stack of a thread that is blocked at pc with its stack pointer at sp, from its memory. */
enum unwinder_answer unwinder_parked(struct unwinder *u, const struct address_space *space,
                                     int32_t pid, uint64_t sp, uint64_t pc,
                                     struct unwinder_stack *out);

/* Whether an address on a stack is in a thread's first function, by its CFI. */
bool unwinder_is_root(struct unwinder *u, const struct address_space *space, int64_t ts,
                      uint64_t address);

/* Takes over tables made since. */
void unwinder_collect(struct unwinder *u);
/* Polls as readable when there is something to collect. */
int unwinder_fd(const struct unwinder *u);

void unwinder_get_stats(const struct unwinder *u, struct cfi_cache_stats *stats);

#endif
