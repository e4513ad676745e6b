/*
 * faults.c - threads that touch a known number of pages in one function, spin in another, and give
 * up their CPU a known number of times; what the kernel counted for them is their truth.
 *
 *   faults [--pages N] [--threads N] [--rounds N]
 *
 * Each round touches and works on N fresh pages of one mapping, spins as long as that took, and
 * sleeps once. Prints {"threads": [{tid, n_minor_faults, n_switches, cpu_ns}], ...}: what each
 * thread measured of itself by getrusage(2) from its first round to its last, and the process as a
 * whole.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "truth.h"

enum { MAX_THREADS = 64, PAGE_ITERATIONS = 5000 };

static long n_pages, n_rounds;

struct measured {
    pthread_t thread;
    int tid;
    long n_minor_faults, n_switches;
    int64_t cpu_ns;
};

DEFINE_BURN(spin_calmly, 6364136223846793005u)
DEFINE_BURN(work_on_page, 2862933555777941757u)

__attribute__((noinline, noclone, used)) void touch_pages(char *memory, long page_bytes)
{
    for (long i = 0; i < n_pages; i++) {
        memory[i * page_bytes] = 1;
        /* Most of the time is user code's, so that samples without the kernel see it as well. */
        work_on_page(1, PAGE_ITERATIONS);
    }
    __asm__ volatile("" ::: "memory");
}

static void round_of(long page_bytes)
{
    size_t n_bytes = (size_t)(n_pages * page_bytes);
    int64_t began = thread_cpu_ns();
    char *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        exit(2);
    }
    madvise(memory, n_bytes, MADV_NOHUGEPAGE); /* one fault a page */
    touch_pages(memory, page_bytes);
    munmap(memory, n_bytes);
    int64_t until = 2 * thread_cpu_ns() - began;
    while (thread_cpu_ns() < until) {
        spin_calmly(1, UNIT_ITERATIONS / 10);
    }
    sleep_ns(1000000);
}

static void *run(void *arg)
{
    struct measured *m = arg;
    long page_bytes = sysconf(_SC_PAGESIZE);
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    for (long i = 0; i < n_rounds; i++) {
        round_of(page_bytes);
    }
    getrusage(RUSAGE_THREAD, &after);
    m->tid = current_tid();
    m->n_minor_faults = after.ru_minflt - before.ru_minflt;
    m->n_switches = after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw;
    m->cpu_ns = thread_cpu_ns();
    return NULL;
}

int main(int argc, char **argv)
{
    static struct measured threads[MAX_THREADS];
    n_pages = (long)option(argc, argv, "--pages", 2000);
    n_rounds = (long)option(argc, argv, "--rounds", 60);
    long n_threads = (long)option(argc, argv, "--threads", 3);
    if (n_pages < 1 || n_rounds < 1 || n_threads < 1 || n_threads > MAX_THREADS) {
        return 2;
    }
    for (long i = 0; i < n_threads; i++) {
        if (pthread_create(&threads[i].thread, NULL, run, &threads[i]) != 0) {
            return 2;
        }
    }
    for (long i = 0; i < n_threads; i++) {
        pthread_join(threads[i].thread, NULL);
    }
    struct rusage all;
    getrusage(RUSAGE_SELF, &all);
    printf("{\"n_minor_faults\": %ld, \"n_switches\": %ld, \"threads\": [", all.ru_minflt,
           all.ru_nvcsw + all.ru_nivcsw);
    for (long i = 0; i < n_threads; i++) {
        const struct measured *m = &threads[i];
        printf("%s{\"tid\": %d, \"n_minor_faults\": %ld, \"n_switches\": %ld, \"cpu_ns\": %lld}",
               i ? ", " : "", m->tid, m->n_minor_faults, m->n_switches, (long long)m->cpu_ns);
    }
    puts("]}");
    return 0;
}
