/*
 * sleepers.c - many threads that wait all the time, none of them often.
 *
 *   sleepers [--threads 300] [--rounds 10] [--ms 60]
 *
 * Each thread sleeps and waits in vain for a semaphore in turns, so many ms each time. Prints
 * {"n_waits":N}.
 */
#include <pthread.h>
#include <semaphore.h>

#include "truth.h"

static int n_rounds = 10, wait_ms = 60;

__attribute__((noinline)) static void sleep_here(void)
{
    sleep_ns(wait_ms * INT64_C(1000000));
}

__attribute__((noinline)) static void wait_here(sem_t *never)
{
    int64_t end = clock_ns(CLOCK_REALTIME) + wait_ms * INT64_C(1000000);
    struct timespec at = {end / 1000000000, end % 1000000000};
    (void)sem_timedwait(never, &at);
}

static void *run(void *unused)
{
    (void)unused;
    sem_t never;
    sem_init(&never, 0, 0);
    for (int i = 0; i < n_rounds; i++) {
        sleep_here();
        wait_here(&never);
    }
    sem_destroy(&never);
    return NULL;
}

int main(int argc, char **argv)
{
    int n_threads = 300;
    for (int i = 1; i + 1 < argc; i += 2) {
        int *option = strcmp(argv[i], "--threads") == 0  ? &n_threads
                      : strcmp(argv[i], "--rounds") == 0 ? &n_rounds
                                                         : &wait_ms;
        *option = atoi(argv[i + 1]);
    }
    pthread_t *threads = calloc((size_t)n_threads, sizeof(*threads));
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (int i = 0; i < n_threads; i++) {
        if (pthread_create(&threads[i], &small, run, NULL) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("{\"n_waits\":%d}\n", n_threads * n_rounds * 2);
    free(threads);
    return 0;
}
