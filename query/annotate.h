/*
 * annotate.h - one function with its machine code and where in it the samples are. Inside query/
 * only. One thread.
 */
#ifndef STAX_QUERY_ANNOTATE_H
#define STAX_QUERY_ANNOTATE_H

#include "query/disasm.h"
#include "query/view.h"
#include "schema/code.h"

/* Samples, and what the run's counters counted in them, by slot. */
struct annotated_sum {
    int64_t n_samples, on_cpu_ns;
    int64_t counters[COUNTERS_MAX];
};

/* Samples at one address. Several have the same one where the same code had several addresses: what
 * was made at run time is known by its own address until its runtime has told of it. */
struct annotated_place {
    int64_t frame;
    uint64_t rel_address;
    struct annotated_sum sum;
    size_t instruction; /* that begins there or holds it; SIZE_MAX: none */
    bool is_start;      /* it begins there */
};

struct annotated {
    int64_t symbol, binary;
    int64_t n_matches;          /* functions that the target could mean */
    uint64_t rel_address, size; /* bytes; size 0: not known */
    uint64_t address;           /* made at run time: where it lay in memory; 0: other, not known */
    bool is_unplaced;           /* ... and that was not recorded */
    char arch[32];
    bool is_att;
    bool has_code;
    struct err no_code; /* why not */
    struct code code;
    struct disasm disasm;           /* at annotated_address() */
    struct annotated_place *places; /* by address */
    size_t n_places, cap_places;
    struct annotated_sum sum; /* of all places */
};

/* Where code is as instructions and their targets have it: in memory where that is known of code
 * made at run time, else in its binary. */
static inline uint64_t annotated_address(const struct annotated *a, uint64_t rel_address)
{
    return a->address ? a->address + (rel_address - a->rel_address) : rel_address;
}

/* The other way round. */
static inline uint64_t annotated_rel_address(const struct annotated *a, uint64_t address)
{
    return a->address ? a->rel_address + (address - a->address) : address;
}

/* Sums wrap instead of being undefined on files that lie. */
static inline void annotate_add(int64_t *sum, int64_t value)
{
    *sum = (int64_t)((uint64_t)*sum + (uint64_t)value);
}

static inline void annotate_add_sum(struct annotated_sum *to, const struct annotated_sum *sum)
{
    annotate_add(&to->n_samples, sum->n_samples);
    annotate_add(&to->on_cpu_ns, sum->on_cpu_ns);
    for (size_t i = 0; i < COUNTERS_MAX; i++) {
        annotate_add(&to->counters[i], sum->counters[i]);
    }
}

/* Finds the function (parameter "target"), its code, and the samples that the filter lets through.
 * Errors: STAX_EUSAGE, STAX_ENOTFOUND (no such function, with the hottest ones as a hint). The
 * caller frees in either case. */
int annotated_read(struct annotated *a, struct query *q, const struct params *p, struct err *e);
void annotated_free(struct annotated *a);

/* n_samples, on_cpu_ns, pct (of all_ns) and counters of an object. */
void annotate_set_sum(const struct query *q, json_t *o, const struct annotated_sum *sum,
                      int64_t all_ns);
/* "rel_address", and "address" of code made at run time. */
void annotate_set_address(const struct annotated *a, json_t *o, uint64_t rel_address);
/* Sums by instruction, of its start alone or of addresses inside it too; the caller frees. NULL
 * without code. */
struct annotated_sum *annotated_sums(const struct annotated *a, bool only_starts);

/* "function": who it is and how much it has, or null for symbol 0. New reference. */
json_t *annotated_function(struct query *q, const struct annotated *a);
/* arch, syntax, code_from, no_code_reason, is_cut of data. */
void annotated_describe(struct query *q, const struct annotated *a, json_t *data);
/* "instructions" and "elsewhere" with their samples, and "hottest". */
void annotated_instructions(struct query *q, const struct annotated *a, json_t *data);

/* A function that a text names, with the samples of its own code, whatever is inlined there; one
 * without code of its own with those of where it is inlined. */
struct annotate_match {
    int64_t symbol, n_samples, on_cpu_ns;
};

/* annotate_target.c: the functions that a text names, the best first. The caller frees *list. */
int annotate_find(struct query *q, struct code_reader *code, const char *target, int64_t limit,
                  struct annotate_match **list, size_t *n, int64_t *n_all, struct err *e);
/* STAX_ENOTFOUND with the hottest functions as a hint. */
int annotate_refuse(struct query *q, const char *target, struct err *e);

/* annotate_lines.c: "lines" of data: the source lines of the function and their samples; and
 * "file", "line" and "inlined" of instructions that have samples or are of another line than the
 * one before, where they are known. */
void annotate_lines(struct query *q, const struct annotated *a, json_t *data);

#endif
