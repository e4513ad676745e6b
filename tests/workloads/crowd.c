/*
 * crowd.c - many threads at once, each with a name and a little work.
 *
 *   crowd [--threads 2000] [--seconds 3] [--unit-ms 2]
 *
 * All threads live until the end. Each burns unit-ms of CPU in crowd_work, spread over the time.
 * Prints {"n_threads":N,"cpu_ns":sum of all threads}.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "truth.h"

DEFINE_BURN(crowd_work, 6364136223846793005u)

struct crowd {
    int64_t end_wall_ns;
    int64_t share_ns; /* CPU time each thread burns */
    atomic_int n_started;
    _Atomic int64_t cpu_ns;
};

static void *run(void *arg)
{
    struct crowd *crowd = arg;
    int index = atomic_fetch_add(&crowd->n_started, 1);
    char name[16];
    snprintf(name, sizeof(name), "crowd-%04d", index);
    prctl(PR_SET_NAME, name);
    /* A stable spread over the first 70 % of the time keeps the load of the CPUs even. */
    int64_t left = crowd->end_wall_ns - wall_ns();
    sleep_ns(left > 0 ? left / 10 * (index % 7) + left / 1000 * (index % 97) : 0);
    uint64_t x = (uint64_t)index;
    while (thread_cpu_ns() < crowd->share_ns) {
        x = crowd_work(x, UNIT_ITERATIONS);
    }
    left = crowd->end_wall_ns - wall_ns();
    sleep_ns(left > 0 ? left : 0);
    atomic_fetch_add(&crowd->cpu_ns, thread_cpu_ns());
    return x == 1 ? arg : NULL;
}

int main(int argc, char **argv)
{
    int n = (int)option(argc, argv, "--threads", 2000);
    struct crowd crowd = {0};
    crowd.end_wall_ns = wall_ns() + (int64_t)(option(argc, argv, "--seconds", 3) * 1e9);
    crowd.share_ns = (int64_t)(option(argc, argv, "--unit-ms", 2) * 1e6);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    pthread_t *threads = calloc((size_t)n, sizeof(*threads));
    for (int i = 0; i < n; i++) {
        if (pthread_create(&threads[i], &attr, run, &crowd) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("{\"n_threads\":%d,\"cpu_ns\":%lld}\n", n, (long long)crowd.cpu_ns);
    free(threads);
    return 0;
}
