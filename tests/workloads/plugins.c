/*
 * plugins.c - loads two libraries in turns, each to where the other was, and burns CPU in them.
 *
 *   plugins [--seconds 3]   of CPU time
 *
 * A turn in plugin_alpha.so (beside this program) is twice as long as one in plugin_omega.so.
 * Prints
 * {"functions":{name:ns},"n_turns":N,"n_same_place":N}.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>

#include "truth.h"

enum { UNITS = 20 };

typedef uint64_t (*run_function)(uint64_t x, long n);

struct plugin {
    char path[PATH_MAX];
    int64_t cpu_ns;
};

/* One turn; returns where its code lay. */
static void *take_turn(struct plugin *p, int n_units)
{
    void *handle = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
    union {
        void *address;
        run_function function;
    } run = {.address = handle ? dlsym(handle, "plugin_run") : NULL};
    if (!run.address) {
        fprintf(stderr, "plugins: %s\n", dlerror());
        exit(1);
    }
    int64_t before = thread_cpu_ns();
    for (int i = 0; i < n_units; i++) {
        (void)run.function((uint64_t)i, UNIT_ITERATIONS);
    }
    p->cpu_ns += thread_cpu_ns() - before;
    dlclose(handle);
    return run.address;
}

int main(int argc, char **argv)
{
    static struct plugin plugins[2];
    char self[PATH_MAX] = "";
    double seconds = argc > 2 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 3;
    long n_turns = 0, n_same_place = 0;
    void *last = NULL;
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
        return 1;
    }
    const char *folder = dirname(self);
    snprintf(plugins[0].path, sizeof(plugins[0].path), "%.4000s/plugin_alpha.so", folder);
    snprintf(plugins[1].path, sizeof(plugins[1].path), "%.4000s/plugin_omega.so", folder);
    while ((double)thread_cpu_ns() < seconds * 1e9) {
        for (int i = 0; i < 2; i++) {
            void *at = take_turn(&plugins[i], UNITS << (i == 0));
            n_same_place += at == last;
            last = at;
            n_turns++;
        }
    }
    printf("{\"functions\":{\"burn_alpha\":%lld,\"burn_omega\":%lld},\"n_turns\":%ld,"
           "\"n_same_place\":%ld}\n",
           (long long)plugins[0].cpu_ns, (long long)plugins[1].cpu_ns, n_turns, n_same_place);
    return 0;
}
