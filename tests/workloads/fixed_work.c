/*
 * fixed_work.c - the same work every time, for measuring what recording costs.
 *
 *   fixed_work [--units 20000] [--threads 2] [--depth 20]
 *
 * Each thread does all units, called through depth frames. Prints {"wall_ns":...,"cpu_ns":...}.
 */
#include <pthread.h>

#include "truth.h"

DEFINE_BURN(fixed_leaf, 6364136223846793005u)

struct work {
    long n_units;
    int depth;
    int64_t cpu_ns;
};

__attribute__((noinline, noclone)) uint64_t descend(uint64_t x, int depth, long n_units)
{
    if (depth > 0) {
        return descend(x, depth - 1, n_units) + 1;
    }
    for (long i = 0; i < n_units; i++) {
        x = fixed_leaf(x, UNIT_ITERATIONS);
    }
    return x;
}

static void *run(void *arg)
{
    struct work *w = arg;
    uint64_t x = descend(1, w->depth, w->n_units);
    w->cpu_ns = thread_cpu_ns();
    return x == 0 ? arg : NULL;
}

int main(int argc, char **argv)
{
    enum { MAX_THREADS = 256 };
    int n = (int)option(argc, argv, "--threads", 2);
    if (n < 1 || n > MAX_THREADS) {
        return 2;
    }
    struct work works[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    int64_t start = wall_ns(), cpu_ns = 0;
    for (int i = 0; i < n; i++) {
        works[i] = (struct work){(long)option(argc, argv, "--units", 20000),
                                 (int)option(argc, argv, "--depth", 20), 0};
        if (pthread_create(&threads[i], NULL, run, &works[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        cpu_ns += works[i].cpu_ns;
    }
    printf("{\"wall_ns\":%lld,\"cpu_ns\":%lld}\n", (long long)(wall_ns() - start),
           (long long)cpu_ns);
    return 0;
}
