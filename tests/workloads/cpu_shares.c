/*
 * cpu_shares.c - threads that burn CPU in named functions by fixed shares, and measure the shares.
 *
 *   cpu_shares [--seconds 5] [--threads 3] [--duty 0.9] [--late SECONDS]
 *
 * Per round a thread burns 5 units in burn_alpha and 1 in burn_gamma (both called by path_left),
 * then 3 in burn_beta and 1 in burn_gamma (called by path_right): self 50/30/20 %, total 60/40 %.
 * Thread 0 works that part of the time, each other one half of the one before it. With --late,
 * thread 0 spends its time after that moment in burn_late alone. Prints
 * {"functions":{name:ns},"paths":{...},"threads":[...]}.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "truth.h"

DEFINE_BURN(burn_alpha, 6364136223846793005u)
DEFINE_BURN(burn_beta, 2862933555777941757u)
DEFINE_BURN(burn_gamma, 3935559000370003845u)
DEFINE_BURN(burn_late, 4768777513237032717u)

enum function { ALPHA, BETA, GAMMA, LATE, N_FUNCTIONS };
enum path { LEFT, RIGHT, N_PATHS };
enum { MAX_THREADS = 64, PERIOD_NS = 20000000 };

static const char *const function_names[N_FUNCTIONS] = {"burn_alpha", "burn_beta", "burn_gamma",
                                                        "burn_late"};
static const char *const path_names[N_PATHS] = {"path_left", "path_right"};

struct worker {
    pthread_t thread;
    int index;
    int tid;
    double duty; /* part of the wall time this thread wants to run */
    int64_t end_wall_ns;
    int64_t late_wall_ns; /* INT64_MAX: never */
    int64_t function_ns[N_FUNCTIONS];
    int64_t path_ns[N_PATHS];
    int64_t cpu_ns;
    uint64_t x; /* keeps the work alive */
};

static void burn(struct worker *w, enum function f, uint64_t (*fn)(uint64_t, long), int units)
{
    int64_t before = thread_cpu_ns();
    w->x = fn(w->x, (long)units * UNIT_ITERATIONS);
    w->function_ns[f] += thread_cpu_ns() - before;
}

__attribute__((noinline, noclone)) void path_left(struct worker *w)
{
    int64_t before = thread_cpu_ns();
    burn(w, ALPHA, burn_alpha, 5);
    burn(w, GAMMA, burn_gamma, 1);
    w->path_ns[LEFT] += thread_cpu_ns() - before;
}

__attribute__((noinline, noclone)) void path_right(struct worker *w)
{
    int64_t before = thread_cpu_ns();
    burn(w, BETA, burn_beta, 3);
    burn(w, GAMMA, burn_gamma, 1);
    w->path_ns[RIGHT] += thread_cpu_ns() - before;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "share-%d", w->index);
    prctl(PR_SET_NAME, name);
    w->tid = current_tid();
    int64_t start = wall_ns();
    for (int64_t now = start; now < w->end_wall_ns; now = wall_ns()) {
        if (now >= w->late_wall_ns) {
            burn(w, LATE, burn_late, 4);
        } else {
            path_left(w);
            path_right(w);
        }
        int64_t earned = (int64_t)((double)(wall_ns() - start) * w->duty);
        if (thread_cpu_ns() > earned) {
            sleep_ns(PERIOD_NS);
        }
    }
    w->cpu_ns = thread_cpu_ns();
    return NULL;
}

static void print_truth(const struct worker *workers, int n)
{
    printf("{\"pid\":%d,\"functions\":{", (int)getpid());
    for (int f = 0; f < N_FUNCTIONS; f++) {
        int64_t ns = 0;
        for (int i = 0; i < n; i++) {
            ns += workers[i].function_ns[f];
        }
        printf("%s\"%s\":%lld", f ? "," : "", function_names[f], (long long)ns);
    }
    printf("},\"paths\":{");
    for (int p = 0; p < N_PATHS; p++) {
        int64_t ns = 0;
        for (int i = 0; i < n; i++) {
            ns += workers[i].path_ns[p];
        }
        printf("%s\"%s\":%lld", p ? "," : "", path_names[p], (long long)ns);
    }
    printf("},\"threads\":[");
    for (int i = 0; i < n; i++) {
        printf("%s{\"tid\":%d,\"name\":\"share-%d\",\"cpu_ns\":%lld}", i ? "," : "", workers[i].tid,
               i, (long long)workers[i].cpu_ns);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    double seconds = option(argc, argv, "--seconds", 5);
    double duty = option(argc, argv, "--duty", 0.9);
    double late = option(argc, argv, "--late", 0);
    int n = (int)option(argc, argv, "--threads", 3);
    if (n < 1 || n > MAX_THREADS) {
        fprintf(stderr, "--threads: 1 to %d\n", MAX_THREADS);
        return 2;
    }
    struct worker *workers = calloc((size_t)n, sizeof(*workers));
    int64_t start = wall_ns();
    for (int i = 0; i < n; i++) {
        struct worker *w = &workers[i];
        w->index = i;
        w->x = (uint64_t)i + 1;
        w->duty = duty / (1 << (i < 6 ? i : 6));
        w->end_wall_ns = start + (int64_t)(seconds * 1e9);
        w->late_wall_ns = late > 0 && i == 0 ? start + (int64_t)(late * 1e9) : INT64_MAX;
        if (pthread_create(&w->thread, NULL, run, w) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    print_truth(workers, n);
    free(workers);
    return 0;
}
