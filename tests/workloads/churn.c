/*
 * churn.c - many threads at any time, none of which stays: each makes its successor and ends.
 *
 *   churn [--threads 2000] [--life-ms 2000] [--unit-us 500] [--seconds 20]
 *
 * Each thread burns unit-us of CPU in churn_work somewhere in its life. Ends early, as at its time,
 * when stdin is closed. Prints {"n_created":N,"threads":[[tid,start_ns,end_ns,cpu_ns],...]} with
 * CLOCK_MONOTONIC times as each thread saw them itself.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "truth.h"

DEFINE_BURN(churn_work, 6364136223846793005u)

enum { LIVES_MAX = 1000000, BURN_ITERATIONS = 2000 };

struct life {
    int tid;
    int64_t start_ns, end_ns, cpu_ns;
};

struct churn {
    int64_t life_ns, unit_ns;
    pthread_attr_t attr;
    atomic_bool is_ending;
    atomic_int n_lives, n_alive;
    struct life *lives;
};

static void *run(void *arg);

static void make_one(struct churn *c)
{
    pthread_t thread;
    atomic_fetch_add(&c->n_alive, 1);
    if (pthread_create(&thread, &c->attr, run, c) != 0) {
        perror("pthread_create");
        exit(1);
    }
}

static void *run(void *arg)
{
    struct churn *c = arg;
    int index = atomic_fetch_add(&c->n_lives, 1);
    struct life *life = &c->lives[index < LIVES_MAX ? index : LIVES_MAX - 1];
    life->tid = current_tid();
    life->start_ns = wall_ns();
    int64_t before_ns = c->life_ns / 10 * (index % 10);
    sleep_ns(before_ns);
    for (uint64_t x = (uint64_t)index; thread_cpu_ns() < c->unit_ns;) {
        x = churn_work(x, BURN_ITERATIONS);
    }
    sleep_ns(c->life_ns - before_ns);
    if (!atomic_load(&c->is_ending) && index < LIVES_MAX) {
        make_one(c);
    }
    life->cpu_ns = thread_cpu_ns();
    life->end_ns = wall_ns();
    atomic_fetch_sub(&c->n_alive, 1);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct churn c;
    int n = (int)option(argc, argv, "--threads", 2000);
    int64_t end_ns = wall_ns() + (int64_t)(option(argc, argv, "--seconds", 20) * 1e9);
    c.life_ns = (int64_t)(option(argc, argv, "--life-ms", 2000) * 1e6);
    c.unit_ns = (int64_t)(option(argc, argv, "--unit-us", 500) * 1e3);
    c.lives = calloc(LIVES_MAX, sizeof(*c.lives));
    pthread_attr_init(&c.attr);
    pthread_attr_setstacksize(&c.attr, 65536);
    pthread_attr_setdetachstate(&c.attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < n; i++) {
        make_one(&c);
        sleep_ns(c.life_ns / n); /* spread over a life, as their successors then are */
    }
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (wall_ns() < end_ns && poll(&input, 1, 50) == 0) {
    }
    atomic_store(&c.is_ending, true);
    while (atomic_load(&c.n_alive) > 0) {
        sleep_ns(10000000);
    }
    printf("{\"n_created\":%d,\"threads\":[", c.n_lives);
    for (int i = 0; i < c.n_lives; i++) {
        const struct life *l = &c.lives[i];
        printf("%s[%d,%lld,%lld,%lld]", i ? "," : "", l->tid, (long long)l->start_ns,
               (long long)l->end_ns, (long long)l->cpu_ns);
    }
    printf("]}\n");
    free(c.lives);
    return 0;
}
