/*
 * estimate.h - what two runs measured of one thing, how they differ, and how sure that is.
 *
 * On-CPU time per function is estimated from samples. For n samples of weight w the estimate is
 * S = sum w, and as their number varies like that of a Poisson process, Var S = E[n] E[w^2]
 * (compound Poisson; W. Feller, An Introduction to Probability Theory, vol. 1, XII.2), estimated by
 *
 *     Var S = S^2 / n (1 + v)      v: squared coefficient of variation of the run's sample weights
 *
 * A run without a sample of the function counts as if one had been seen in it. The variance of a
 * difference is the sum of both; of a share p = S / T it is Var(S) / T^2 (1 - p), since a sample
 * that is not here is elsewhere. The interval is z sqrt(Var), the normal approximation, with z such
 * that all m differences of a comparison hold together: 2 (1 - Phi(z)) = (1 - confidence) / m
 * (Bonferroni). Below MIN_SAMPLES on both sides together nothing is said.
 *
 * It covers sampling, not what differs between two runs of one program: for that, run both more
 * often. Pure functions, any thread.
 */
#ifndef STAX_QUERY_ESTIMATE_H
#define STAX_QUERY_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

enum { MIN_SAMPLES = 10 };

/* What is compared: time, time for each second of the run, or percent of a whole. */
enum basis { BY_TIME, BY_RATE, BY_SHARE, N_BASES };

/* One side's measurement. */
struct amount {
    double ns;
    double n_samples; /* it was estimated from; negative: it is exact */
};

/* One run: what its measurements have in common. */
struct sampling {
    double elapsed_ns; /* the rate is per second of this */
    double mean_ns;    /* weight of a sample, 0 if there are none */
    double variation;  /* v above */
};

struct value {
    double a, b, delta; /* ns; ns per second; percent */
    double deviation;   /* of delta, one standard deviation */
};

struct change {
    struct value by[N_BASES];
    double n_a, n_b; /* samples; negative: exact */
};

/* whole: what the share is of, ns on each side; 0 makes shares of 0. */
struct change change_of(const struct sampling *sampling_a, struct amount a, double whole_a,
                        const struct sampling *sampling_b, struct amount b, double whole_b);

bool change_is_exact(const struct change *c);
/* Whether there are enough samples to say anything. True if exact. */
bool change_is_enough(const struct change *c);
/* Not exact, enough samples, and the difference is beyond z deviations. */
bool change_is_significant(const struct change *c, enum basis by, double z);
/* How far the difference reaches beyond its interval; negative: within it. */
double change_beyond(const struct change *c, enum basis by, double z);
/* 100 (b - a) / a; infinite if only a is 0. */
double value_change_pct(const struct value *v);

/* z for n_tests simultaneous two-sided intervals of this confidence, 0 < confidence_pct < 100. */
double estimate_z(double confidence_pct, size_t n_tests);

#endif
