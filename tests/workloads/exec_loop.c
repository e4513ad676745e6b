/*
 * exec_loop.c - a process that replaces itself again and again.
 *
 *   exec_loop COUNT
 *
 * Burns a millisecond or two in exec_work, then executes itself with COUNT - 1. The last one prints
 * {"cpu_ns":...} of the whole chain: CPU time belongs to the process and survives exec.
 */
#include <sys/resource.h>

#include "truth.h"

DEFINE_BURN(exec_work, 3935559000370003845u)

int main(int argc, char **argv)
{
    long n = argc == 2 ? strtol(argv[1], NULL, 10) : -1;
    if (n < 0) {
        fprintf(stderr, "usage: exec_loop COUNT\n");
        return 2;
    }
    uint64_t x = exec_work((uint64_t)n, 20L * UNIT_ITERATIONS);
    if (n == 0) {
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        long long ns = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000LL +
                       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000LL;
        printf("{\"cpu_ns\":%lld}\n", ns);
        return x == 0;
    }
    char count[32], path[4096];
    snprintf(count, sizeof(count), "%ld", n - 1);
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len > 0) {
        path[len] = '\0';
        execv(path, (char *[]){path, count, NULL});
    }
    perror("exec_loop");
    return 1;
}
