/*
 * bench.h - what the benchmark programs share. Each prints one JSON document on stdout.
 */
#ifndef STAX_TESTS_BENCH_BENCH_H
#define STAX_TESTS_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void sleep_until_ns(int64_t monotonic_ns)
{
    struct timespec t = {monotonic_ns / 1000000000, monotonic_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Prints the error and exits with 1. */
static inline void die(const char *what, const struct err *e)
{
    fprintf(stderr, "%s: %s%s%s\n", what, e->msg, e->hint[0] ? "; " : "", e->hint);
    exit(1);
}

/* The text after --name, or fallback; its value as a number. */
static inline const char *option_text(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return fallback;
}

static inline int64_t option_int(int argc, char **argv, const char *name, int64_t fallback)
{
    const char *text = option_text(argc, argv, name, NULL);
    return text ? strtoll(text, NULL, 10) : fallback;
}

/* A small generator of its own: the same numbers everywhere, always. */
static inline uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The value below which percent of all n values lie; sorts values. 0 if n is 0. */
static inline int64_t percentile(int64_t *values, size_t n, double percent)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), compare_int64);
    size_t at = (size_t)((double)n * percent / 100);
    return values[at < n ? at : n - 1];
}

#endif
