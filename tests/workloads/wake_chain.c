/*
 * wake_chain.c - a thread that wakes a second one, which wakes a third, a known number of times.
 *
 *   wake_chain [--rounds N=200] [--period-ms MS=5] [--storm PAIRS=0 [--batch 1] [--settle-ms MS=0]]
 *
 * "chain-a" sleeps for a period and posts a semaphore; "chain-b" waits for that and writes into a
 * pipe; "chain-c" reads from it. Each counts how often it blocked in its wait (the kernel's count
 * of its voluntary switches) and how long it was off the CPU there. --storm adds pairs of threads,
 * "storm-0", ..., that pass a byte to and fro as fast as they can: n_storm times in wall_ns, which
 * begin after the time to settle. A round trip costs much less where the thread that is woken
 * preempts its waker, and whether it does is decided by what else runs: with --batch it never does.
 * It prints one JSON document: how often all threads left a CPU (n_switches), and per thread of the
 * chain its tid, that of its waker (0: a timer), n_blocked and off_cpu_ns.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>

#include <sys/resource.h>

#include "truth.h"

struct link {
    const char *name;
    pthread_t thread;
    int tid;
    uint64_t n_blocked;
    int64_t off_cpu_ns;
};

struct chain {
    long rounds;
    int64_t period_ns;
    sem_t sem;
    int pipe[2];
    struct link a, b, c;
};

struct storm {
    pthread_t ping, pong;
    int there[2], back[2];
    bool is_batch;
    bool is_over; /* written by main, read by ping */
    uint64_t n;   /* written by ping, read by main */
};

/* What a wait adds to a link: between before() and after(). */
struct moment {
    int64_t wall_ns, cpu_ns;
    long n_switches;
};

static struct moment now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct moment){wall_ns(), thread_cpu_ns(), usage.ru_nvcsw};
}

static void add_wait(struct link *l, const struct moment *before)
{
    struct moment after = now();
    l->n_blocked += (uint64_t)(after.n_switches - before->n_switches);
    l->off_cpu_ns += after.wall_ns - before->wall_ns - (after.cpu_ns - before->cpu_ns);
}

static void begin(struct link *l)
{
    pthread_setname_np(pthread_self(), l->name);
    l->tid = current_tid();
}

__attribute__((noinline, noclone)) void wake_b(struct chain *chain)
{
    sem_post(&chain->sem);
    __asm__ volatile("");
}

__attribute__((noinline, noclone)) void wake_c(struct chain *chain)
{
    char byte = 1;
    ssize_t n = write(chain->pipe[1], &byte, 1);
    __asm__ volatile("" : "+r"(n));
}

static void *run_a(void *arg)
{
    struct chain *chain = arg;
    begin(&chain->a);
    for (long i = 0; i < chain->rounds; i++) {
        struct moment before = now();
        sleep_ns(chain->period_ns);
        add_wait(&chain->a, &before);
        wake_b(chain);
    }
    return NULL;
}

static void *run_b(void *arg)
{
    struct chain *chain = arg;
    begin(&chain->b);
    for (long i = 0; i < chain->rounds; i++) {
        struct moment before = now();
        sem_wait(&chain->sem);
        add_wait(&chain->b, &before);
        wake_c(chain);
    }
    return NULL;
}

static void *run_c(void *arg)
{
    struct chain *chain = arg;
    begin(&chain->c);
    for (long i = 0; i < chain->rounds; i++) {
        char byte;
        struct moment before = now();
        ssize_t n = read(chain->pipe[0], &byte, 1);
        add_wait(&chain->c, &before);
        if (n != 1) {
            perror("read");
            exit(1);
        }
    }
    return NULL;
}

/* The kernel lets no thread of this policy preempt another when it is woken (in
 * kernel/sched/fair.c: "Batch and idle tasks do not preempt"). */
static void never_preempt(void)
{
    struct sched_param none = {0};
    int os_errno = pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    if (os_errno != 0) {
        fprintf(stderr, "SCHED_BATCH: %s\n", strerror(os_errno));
        exit(1);
    }
}

static void *run_ping(void *arg)
{
    struct storm *s = arg;
    char byte = 1;
    if (s->is_batch) {
        never_preempt();
    }
    while (!__atomic_load_n(&s->is_over, __ATOMIC_RELAXED) && write(s->there[1], &byte, 1) == 1 &&
           read(s->back[0], &byte, 1) == 1) {
        __atomic_store_n(&s->n, s->n + 1, __ATOMIC_RELAXED);
    }
    close(s->there[1]);
    return NULL;
}

static void *run_pong(void *arg)
{
    struct storm *s = arg;
    char byte;
    if (s->is_batch) {
        never_preempt();
    }
    while (read(s->there[0], &byte, 1) == 1 && write(s->back[1], &byte, 1) == 1) {
    }
    return NULL;
}

static void start_storm(struct storm *s, int i)
{
    char name[16];
    if (pipe(s->there) != 0 || pipe(s->back) != 0 ||
        pthread_create(&s->ping, NULL, run_ping, s) != 0 ||
        pthread_create(&s->pong, NULL, run_pong, s) != 0) {
        perror("storm");
        exit(1);
    }
    snprintf(name, sizeof(name), "storm-%d", i);
    pthread_setname_np(s->ping, name);
    pthread_setname_np(s->pong, name);
}

static void print_link(const struct link *l, int waker_tid, const char *end)
{
    printf("{\"name\":\"%s\",\"tid\":%d,\"waker_tid\":%d,\"n_blocked\":%llu,\"off_cpu_ns\":%lld}%s",
           l->name, l->tid, waker_tid, (unsigned long long)l->n_blocked, (long long)l->off_cpu_ns,
           end);
}

int main(int argc, char **argv)
{
    struct chain chain = {.rounds = (long)option(argc, argv, "--rounds", 200),
                          .period_ns = (int64_t)(option(argc, argv, "--period-ms", 5) * 1e6),
                          .a.name = "chain-a",
                          .b.name = "chain-b",
                          .c.name = "chain-c"};
    int n_storms = (int)option(argc, argv, "--storm", 0);
    struct storm storms[16] = {0};
    uint64_t n = 0;
    if (n_storms < 0 || n_storms > 16 || sem_init(&chain.sem, 0, 0) != 0 || pipe(chain.pipe) != 0) {
        fprintf(stderr, "wake_chain: cannot start\n");
        return 2;
    }
    for (int i = 0; i < n_storms; i++) {
        storms[i].is_batch = option(argc, argv, "--batch", 0) > 0;
        start_storm(&storms[i], i);
    }
    if (pthread_create(&chain.c.thread, NULL, run_c, &chain) != 0 ||
        pthread_create(&chain.b.thread, NULL, run_b, &chain) != 0 ||
        pthread_create(&chain.a.thread, NULL, run_a, &chain) != 0) {
        perror("pthread_create");
        return 1;
    }
    usleep((useconds_t)(option(argc, argv, "--settle-ms", 0) * 1e3));
    for (int i = 0; i < n_storms; i++) {
        n -= __atomic_load_n(&storms[i].n, __ATOMIC_RELAXED);
    }
    int64_t start_ns = wall_ns();
    pthread_join(chain.a.thread, NULL);
    pthread_join(chain.b.thread, NULL);
    pthread_join(chain.c.thread, NULL);
    for (int i = 0; i < n_storms; i++) {
        __atomic_store_n(&storms[i].is_over, true, __ATOMIC_RELAXED);
        pthread_join(storms[i].ping, NULL);
        pthread_join(storms[i].pong, NULL);
        n += storms[i].n;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"rounds\":%ld,\"n_storm\":%llu,\"wall_ns\":%lld,\"n_switches\":%ld,\"threads\":[",
           chain.rounds, (unsigned long long)n, (long long)(wall_ns() - start_ns),
           usage.ru_nvcsw + usage.ru_nivcsw);
    print_link(&chain.a, 0, ",");
    print_link(&chain.b, chain.a.tid, ",");
    print_link(&chain.c, chain.b.tid, "]}\n");
    return 0;
}
