/*
 * compare_internal.h - a comparison while it is made, shared by the files of compare. Inside query/
 * only. One thread.
 */
#ifndef STAX_QUERY_COMPARE_INTERNAL_H
#define STAX_QUERY_COMPARE_INTERNAL_H

#include "query/compare.h"
#include "query/compare_match.h"

struct side {
    const json_t *document, *data;
    struct sampling sampling;
    double on_cpu_ns, off_cpu_ns, runnable_ns; /* of all threads */
    double n_samples;
    bool has_off_cpu;
    struct items functions, waits, threads;
};

struct difference {
    struct pair pair;
    struct change self, total; /* of threads: on the CPU, off the CPU */
    struct change runnable;    /* of threads */
};

struct comparing {
    const struct compare_options *options;
    struct side a, b;
    struct difference *functions, *waits, *threads;
    size_t n_functions, n_waits, n_threads;
    double z;        /* of the functions and threads together */
    size_t n_tested; /* ... differences */
    json_t *warnings;
};

/* compare.c */
extern const char *const compare_basis_words[N_BASES];
struct change compare_exact(const struct comparing *c, double a, double whole_a, double b,
                            double whole_b);
/* CPU time of all threads; blocked time of all threads. Shares are of the elapsed time. */
struct change compare_on_cpu(const struct comparing *c);
struct change compare_off_cpu(const struct comparing *c);
/* What the other run has of the same name stands for an item that is not there. */
const struct item *compare_item(const struct difference *d);

/* compare_document.c: fills data with everything but "fail_if". */
void compare_fill(const struct comparing *c, json_t *data);
/* One difference with its intervals of z deviations. New reference. */
json_t *compare_change(const struct comparing *c, const struct change *change, double z);

/* compare_conditions.c: checks options->fail_if and sets "fail_if" of data. */
int compare_conditions(const struct comparing *c, json_t *data, struct err *e);

#endif
