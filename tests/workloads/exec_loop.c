/*
 * exec_loop.c - a process that replaces itself again and again.
 *
 *   exec_loop COUNT [by-thread]
 *
 * Burns a millisecond or two in exec_work, then executes itself with COUNT - 1. The last one prints
 * {"cpu_ns":...} of the whole chain: CPU time belongs to the process and survives exec.
 * by-thread: a second thread does it, which takes the main one's place and id; that one has been
 * sleeping, often and shortly.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "truth.h"

DEFINE_BURN(exec_work, 3935559000370003845u)

static void *execute(void *arguments)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len > 0) {
        path[len] = '\0';
        execv(path, arguments);
    }
    perror("exec_loop");
    exit(1);
}

static void *execute_later(void *arguments)
{
    usleep(3000);
    return execute(arguments);
}

static void sleep_shortly(char **arguments)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, execute_later, arguments) != 0) {
        exit(1);
    }
    for (;;) {
        usleep(100);
    }
}

int main(int argc, char **argv)
{
    long n = argc == 2 || argc == 3 ? strtol(argv[1], NULL, 10) : -1;
    bool is_by_thread = argc == 3 && strcmp(argv[2], "by-thread") == 0;
    if (n < 0 || (argc == 3 && !is_by_thread)) {
        fprintf(stderr, "usage: exec_loop COUNT [by-thread]\n");
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
    char count[32];
    snprintf(count, sizeof(count), "%ld", n - 1);
    char *arguments[] = {argv[0], count, is_by_thread ? argv[2] : NULL, NULL};
    if (is_by_thread) {
        sleep_shortly(arguments);
    }
    execute(arguments);
    return 1;
}
