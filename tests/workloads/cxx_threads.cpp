/*
 * cxx_threads.cpp - a multi-threaded C++ program with the kind of names C++ programs have.
 *
 *   cxx_threads [SECONDS=3]
 *
 * Four threads work in a template method (half of each round), a lambda and an operator (a quarter
 * each). Prints {"template_ns":...,"lambda_ns":...,"operator_ns":...}.
 */
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace
{
std::int64_t clock_ns(clockid_t clock)
{
    timespec t{};
    clock_gettime(clock, &t);
    return std::int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
}
} // namespace

namespace shop::inventory
{
template <typename Key, typename Value> class Warehouse
{
  public:
    __attribute__((noinline)) std::uint64_t recount(std::uint64_t x, long n) const
    {
        for (long i = 0; i < n; i++) {
            x = x * 6364136223846793005u + (x >> 17) + sizeof(Key);
        }
        return x;
    }
    __attribute__((noinline)) std::uint64_t operator()(std::uint64_t x, long n) const
    {
        for (long i = 0; i < n; i++) {
            x = x * 2862933555777941757u + (x >> 19) + sizeof(Value);
        }
        return x;
    }
};
} // namespace shop::inventory

int main(int argc, char **argv)
{
    using Stock = shop::inventory::Warehouse<std::map<std::string, std::vector<int>>,
                                             std::vector<std::map<std::string, double>>>;
    const std::int64_t end =
        clock_ns(CLOCK_MONOTONIC) + std::int64_t((argc > 1 ? std::atof(argv[1]) : 3.0) * 1e9);
    std::atomic<std::int64_t> spent[3] = {};
    auto shuffle = [](std::uint64_t x, long n) __attribute__((noinline))
    {
        for (long i = 0; i < n; i++) {
            x = x * 3935559000370003845u + (x >> 23) + 1;
        }
        return x;
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&, t] {
            const Stock stock;
            std::uint64_t x = std::uint64_t(t) + 1;
            while (clock_ns(CLOCK_MONOTONIC) < end) {
                std::int64_t t0 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
                x = stock.recount(x, 400000);
                std::int64_t t1 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
                x = shuffle(x, 200000);
                std::int64_t t2 = clock_ns(CLOCK_THREAD_CPUTIME_ID);
                x = stock(x, 200000);
                spent[0] += t1 - t0;
                spent[1] += t2 - t1;
                spent[2] += clock_ns(CLOCK_THREAD_CPUTIME_ID) - t2;
            }
            if (x == 0) {
                std::puts("");
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    std::printf("{\"template_ns\":%lld,\"lambda_ns\":%lld,\"operator_ns\":%lld}\n",
                (long long)spent[0], (long long)spent[1], (long long)spent[2]);
    return 0;
}
