/*
 * omitted.cpp - C++ as it is shipped: optimised, without frame pointers.
 *
 *   omitted [--seconds S=3] [--threads N=1] [--signals] [--vanish delete|replace] [--deep N=30]
 *
 * Burns S seconds of CPU in each thread, below main() in the first and below worker() in the
 * others: through recursion, virtual calls, callbacks of the C library (qsort), exceptions and,
 * with --signals, in a handler that interrupts all that. --vanish deletes its own file first, or
 * puts another in its place.
 */
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/time.h>
#include <unistd.h>

namespace
{

volatile unsigned long sink;

/* CPU time of this thread, s: a busy machine makes it last longer, not shorter. */
double now()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

__attribute__((noinline)) void burn_a_little(unsigned long n)
{
    unsigned long x = n | 1;
    for (unsigned long i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
    }
    sink = sink + x;
}

int compare(const void *a, const void *b)
{
    burn_a_little(20);
    return *static_cast<const int *>(a) - *static_cast<const int *>(b);
}

struct Shape {
    virtual ~Shape() = default;
    virtual void draw(int depth) = 0;
};

struct Leaf : Shape {
    void draw(int) override
    {
        int numbers[200];
        for (int i = 0; i < 200; i++) {
            numbers[i] = (i * 7919) % 211;
        }
        qsort(numbers, 200, sizeof(numbers[0]), compare);
        sink = sink + static_cast<unsigned long>(numbers[3]);
    }
};

struct Branch : Shape {
    std::unique_ptr<Shape> inner;
    char room[64] = {};
    void draw(int depth) override
    {
        room[depth % 64]++;
        burn_a_little(100);
        inner->draw(depth + 1);
        sink = sink + static_cast<unsigned long>(room[depth % 64]);
    }
};

__attribute__((noinline)) void throw_something(int n)
{
    burn_a_little(1000);
    if (n % 3 == 0) {
        throw std::runtime_error("number " + std::to_string(n));
    }
}

__attribute__((noinline)) void strings_and_maps()
{
    std::map<std::string, std::vector<int>> m;
    for (int i = 0; i < 300; i++) {
        m["key " + std::to_string(i * 31 % 97)].push_back(i);
    }
    for (auto &entry : m) {
        std::sort(entry.second.begin(), entry.second.end(), [](int a, int b) {
            burn_a_little(10);
            return a > b;
        });
    }
    sink = sink + m.size();
}

__attribute__((noinline)) void work(double seconds, int deep)
{
    std::unique_ptr<Shape> shape = std::make_unique<Leaf>();
    for (int i = 0; i < deep; i++) {
        auto branch = std::make_unique<Branch>();
        branch->inner = std::move(shape);
        shape = std::move(branch);
    }
    double end = now() + seconds;
    for (int i = 0; now() < end; i++) {
        shape->draw(0);
        strings_and_maps();
        try {
            throw_something(i);
        } catch (const std::runtime_error &e) {
            sink = sink + strlen(e.what());
        }
    }
}

void worker(double seconds, int deep)
{
    work(seconds, deep);
    sink = sink + 1; /* no tail call */
}

void handler(int)
{
    burn_a_little(300000);
    sink = sink + 1; /* no tail call */
}

void vanish(const char *how)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    unlink(path);
    if (strcmp(how, "replace") == 0) {
        FILE *f = fopen(path, "w");
        if (f) {
            fputs("something else entirely\n", f);
            fclose(f);
        }
    }
}

} // namespace

int main(int argc, char **argv)
{
    double seconds = 3;
    int n_threads = 1;
    int deep = 30;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--signals") == 0) {
            struct itimerval every = {{0, 2000}, {0, 2000}};
            signal(SIGVTALRM, handler);
            setitimer(ITIMER_VIRTUAL, &every, nullptr);
        } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = atof(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--threads") == 0) {
            n_threads = atoi(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--deep") == 0) {
            deep = atoi(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--vanish") == 0) {
            vanish(argv[++i]);
        } else {
            fprintf(stderr, "omitted: what is %s?\n", argv[i]);
            return 2;
        }
    }
    std::vector<std::thread> threads;
    for (int i = 1; i < n_threads; i++) {
        threads.emplace_back(worker, seconds, deep);
    }
    work(seconds, deep);
    for (auto &t : threads) {
        t.join();
    }
    printf("%lu\n", sink);
    return 0;
}
