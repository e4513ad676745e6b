/*
 * waiter.h - what programs share in which each thread waits in one way only, and measures itself.
 *
 *   PROGRAM [--rounds N=20] [--wait-ms MS=60] [--work-ms MS=8]
 *
 * Every thread takes turns: it burns CPU for a while and then waits, in one way only, for something
 * that lasts --wait-ms. run_waiters() prints one JSON document: per thread the reason its waits
 * belong to, its CPU time, and the wall time that passed in the waiting calls without the CPU time
 * used in them; how much of that it may have been waiting for a CPU instead (delay_ns, an upper
 * bound) the kernel says. Helper threads, named help-*, end the waits of those that cannot end by
 * themselves. What the host cannot do is named with why ("skip").
 */
#ifndef STAX_TESTS_WORKLOADS_WAITER_H
#define STAX_TESTS_WORKLOADS_WAITER_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "truth.h"

DEFINE_BURN(burn_between_waits, 6364136223846793005u)

struct settings {
    long rounds;
    int64_t wait_ns, work_ns;
};

struct waiter {
    const char *name, *reason;
    void (*prepare)(struct waiter *w);
    void (*hold)(struct waiter *w); /* by the helper, before the thread waits for it */
    void (*wait)(struct waiter *w); /* blocks until ended, or for wait_ns */
    void (*end)(struct waiter *w);  /* by the helper; NULL: it ends by itself */
    void (*finish)(struct waiter *w);
    const char *skip; /* why it cannot be done here, NULL: it can; set by prepare */
    const struct settings *settings;
    pthread_t thread, helper;
    pthread_barrier_t turn; /* both begin a round together */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    sem_t sem;
    int fds[2];
    int file;
    uint32_t futex;
    bool is_signalled;
    void *memory;
    size_t n_bytes;
    char path[64];
    int tid;
    int64_t cpu_ns, start_ns, end_ns, wait_wall_ns, barrier_ns, delay_ns;
    int schedstat;
};

static inline void must(bool is_good, const char *what)
{
    if (!is_good) {
        perror(what);
        exit(1);
    }
}

static inline void burn(int64_t ns)
{
    uint64_t x = 1;
    for (int64_t end = thread_cpu_ns() + ns; thread_cpu_ns() < end;) {
        x = burn_between_waits(x, UNIT_ITERATIONS / 4);
    }
}

static inline void *help(void *arg)
{
    struct waiter *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "help-%.10s", w->name);
    pthread_setname_np(pthread_self(), name);
    for (long i = 0; i < w->settings->rounds; i++) {
        if (w->hold) {
            w->hold(w);
        }
        pthread_barrier_wait(&w->turn);
        sleep_ns(w->settings->wait_ns);
        w->end(w);
        pthread_barrier_wait(&w->turn);
    }
    return NULL;
}

/* Wall time without the CPU time in it. */
static inline int64_t off_cpu_ns(void)
{
    return wall_ns() - thread_cpu_ns();
}

/* How long the thread has waited for a CPU so far, also after it was woken. */
static inline int64_t delay_ns(const struct waiter *w)
{
    char text[128];
    ssize_t n = pread(w->schedstat, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    char *rest;
    strtoll(text, &rest, 10);
    return strtoll(rest, NULL, 10);
}

/* Meets the helper; that is a wait for a lock as well. */
static inline void meet(struct waiter *w)
{
    if (w->end) {
        int64_t delay = delay_ns(w), before = off_cpu_ns();
        pthread_barrier_wait(&w->turn);
        w->barrier_ns += off_cpu_ns() - before;
        w->delay_ns += delay_ns(w) - delay;
    }
}

static inline void *run(void *arg)
{
    struct waiter *w = arg;
    pthread_setname_np(pthread_self(), w->name);
    w->tid = current_tid();
    w->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    w->start_ns = wall_ns();
    for (long i = 0; i < w->settings->rounds; i++) {
        burn(w->settings->work_ns);
        meet(w);
        int64_t delay = delay_ns(w), before = off_cpu_ns();
        w->wait(w);
        w->wait_wall_ns += off_cpu_ns() - before;
        w->delay_ns += delay_ns(w) - delay;
        meet(w);
    }
    w->cpu_ns = thread_cpu_ns();
    w->end_ns = wall_ns();
    return NULL;
}

static inline void start_waiter(struct waiter *w, const struct settings *settings)
{
    w->settings = settings;
    pthread_barrier_init(&w->turn, NULL, 2);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    pthread_rwlock_init(&w->rwlock, NULL);
    pthread_barrier_init(&w->barrier, NULL, 2);
    sem_init(&w->sem, 0, 0);
    if (w->prepare) {
        w->prepare(w);
    }
    if (w->skip) {
        return;
    }
    must(pthread_create(&w->thread, NULL, run, w) == 0, "pthread_create");
    if (w->end) {
        must(pthread_create(&w->helper, NULL, help, w) == 0, "pthread_create");
    }
}

static inline void end_waiter(struct waiter *w)
{
    if (w->skip) {
        printf("{\"name\":\"%s\",\"reason\":\"%s\",\"skip\":\"%s\"}", w->name, w->reason, w->skip);
        return;
    }
    pthread_join(w->thread, NULL);
    if (w->end) {
        pthread_join(w->helper, NULL);
    }
    if (w->finish) {
        w->finish(w);
    }
    printf("{\"name\":\"%s\",\"tid\":%d,\"reason\":\"%s\",\"cpu_ns\":%lld,\"wait_ns\":%lld,"
           "\"barrier_ns\":%lld,\"delay_ns\":%lld,\"wall_ns\":%lld}",
           w->name, w->tid, w->reason, (long long)w->cpu_ns, (long long)w->wait_wall_ns,
           (long long)w->barrier_ns, (long long)w->delay_ns, (long long)(w->end_ns - w->start_ns));
}

static inline int run_waiters(int argc, char **argv, struct waiter *waiters, int n)
{
    struct settings settings = {.rounds = (long)option(argc, argv, "--rounds", 20),
                                .wait_ns = (int64_t)(option(argc, argv, "--wait-ms", 60) * 1e6),
                                .work_ns = (int64_t)(option(argc, argv, "--work-ms", 8) * 1e6)};
    for (int i = 0; i < n; i++) {
        start_waiter(&waiters[i], &settings);
    }
    printf("{\"threads\":[");
    for (int i = 0; i < n; i++) {
        fputs(i ? "," : "", stdout);
        end_waiter(&waiters[i]);
    }
    printf("]}\n");
    return 0;
}

#endif
