/*
 * unwind_truth.h - what unwind_truth.cpp writes and test_unwind_truth.c reads: registers and stack
 * of a moment, and the frames that libgcc found at it.
 */
#ifndef STAX_TESTS_UNWIND_TRUTH_H
#define STAX_TESTS_UNWIND_TRUTH_H

#include <stdint.h>

enum { TRUTH_MAX_FRAMES = 512, TRUTH_N_REGS = 17, TRUTH_CASE_BYTES = 24 };

struct truth {
    char name[TRUTH_CASE_BYTES];
    uint64_t regs[TRUTH_N_REGS]; /* by DWARF number */
    uint64_t n_frames;
    uint64_t frames[TRUTH_MAX_FRAMES]; /* the pc itself, then return addresses */
    uint64_t n_stack_bytes;            /* which follow, from SP on */
};

#endif
