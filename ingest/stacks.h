/*
 * stacks.h - from the addresses of a stack to its callsite and frame. One thread.
 */
#ifndef STAX_INGEST_STACKS_H
#define STAX_INGEST_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/binaries.h"
#include "ingest/tasks.h"

/* Addresses as in struct event_sample; at least 1. */
struct stack_text {
    const uint64_t *addresses;
    uint16_t n_kernel, n_addresses;
};

/* The callsite of the process's name, from which all its stacks start. */
uint32_t stacks_process_root(struct binaries *b, struct process *p);
/* The callsite of a stack's callers, taken at ts. A caller in no mapping is no caller: code without
 * frame pointers left something else there. What lies beyond it is cut off and marked as what
 * capture knows to be truncated: *is_cut says that on entry, and is set when this stack was cut
 * here. */
uint32_t stacks_callers(struct binaries *b, struct thread *th, struct process *p, int64_t ts,
                        bool *is_cut, const struct stack_text *s);
/* How it ends (enum event_stack_end): as capture says (end), unless it was cut off here. */
unsigned stacks_end(unsigned end, bool is_cut);
/* The frame of its innermost address; after stacks_callers(). */
uint32_t stacks_leaf(struct binaries *b, struct process *p, const struct stack_text *s);

#endif
