/*
 * truth.h - what the workloads share: burning CPU in a known function, and measuring it.
 *
 * A workload prints one JSON document on stdout with what it measured of itself; the live tests
 * compare recordings with that. Units are ns of CLOCK_THREAD_CPUTIME_ID unless a name says else.
 */
#ifndef STAX_TESTS_WORKLOADS_TRUTH_H
#define STAX_TESTS_WORKLOADS_TRUTH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Iterations of one unit of work: some 50 to 200 microseconds on today's machines. */
enum { UNIT_ITERATIONS = 100000 };

/* Defines a function that does nothing but burn n iterations. The multiplier makes the bodies
 * differ, so that no linker or compiler folds two of them into one symbol; the empty asm keeps a
 * call whose result nobody needs. */
#define DEFINE_BURN(name, multiplier)                                                              \
    __attribute__((noinline, noclone, used)) uint64_t name(uint64_t x, long n)                     \
    {                                                                                              \
        for (long i = 0; i < n; i++) {                                                             \
            x = x * (multiplier) + (x >> 17) + 1;                                                  \
        }                                                                                          \
        __asm__ volatile("" : "+r"(x));                                                            \
        return x;                                                                                  \
    }

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline int64_t wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline int current_tid(void)
{
    return (int)syscall(SYS_gettid);
}

static inline void sleep_ns(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

/* The number after --name, or fallback. Exits with 2 when it is no number. */
static inline double option(int argc, char **argv, const char *name, double fallback)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            char *end = NULL;
            double value = i + 1 < argc ? strtod(argv[i + 1], &end) : 0;
            if (!end || *end || end == argv[i + 1]) {
                fprintf(stderr, "%s wants a number\n", name);
                exit(2);
            }
            return value;
        }
    }
    return fallback;
}

#endif
