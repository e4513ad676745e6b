/*
 * forks.c - a process that forks many children, a few alive at a time.
 *
 *   forks [--count 5000] [--unit-us 500]
 *
 * Each child burns unit-us of CPU in child_work and exits. Prints
 * {"n_forks":N,"children_cpu_ns":...} with the children's CPU time as the kernel accounted it.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "truth.h"

DEFINE_BURN(child_work, 2862933555777941757u)

enum { MAX_ALIVE = 4 };

static int child(int64_t share_ns)
{
    uint64_t x = 1;
    while (thread_cpu_ns() < share_ns) {
        x = child_work(x, UNIT_ITERATIONS / 10);
    }
    return x == 0;
}

int main(int argc, char **argv)
{
    int n = (int)option(argc, argv, "--count", 5000);
    int64_t share_ns = (int64_t)(option(argc, argv, "--unit-us", 500) * 1000);
    int n_alive = 0;
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            _exit(child(share_ns));
        }
        if (++n_alive >= MAX_ALIVE && wait(NULL) > 0) {
            n_alive--;
        }
    }
    while (wait(NULL) > 0) {
    }
    struct rusage use;
    getrusage(RUSAGE_CHILDREN, &use);
    long long ns = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000LL +
                   (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000LL;
    printf("{\"n_forks\":%d,\"children_cpu_ns\":%lld}\n", n, ns);
    return 0;
}
