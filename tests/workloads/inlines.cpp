// Spends its time in functions that the compiler inlines: outer() calls middle(), middle() calls
// Ring::step() and a lambda, none of which is a function of its own in the binary.
//
//   inlines SECONDS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace shapes
{

struct Ring {
    uint64_t state;
    __attribute__((always_inline)) inline uint64_t step(uint64_t by)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state + by;
    }
};

template <typename T>
__attribute__((always_inline)) inline uint64_t middle(T &ring, uint64_t rounds)
{
    uint64_t sum = 0;
    auto mix = [&sum](uint64_t value) __attribute__((always_inline))
    {
        for (int i = 0; i < 4; i++) {
            sum = sum * 31 + (value >> i);
        }
    };
    for (uint64_t i = 0; i < rounds; i++) {
        mix(ring.step(i));
    }
    return sum;
}

__attribute__((noinline)) uint64_t outer(Ring &ring)
{
    return middle(ring, 100000);
}

} // namespace shapes

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    shapes::Ring ring{88172645463325252ULL};
    uint64_t sum = 0;
    timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        sum += shapes::outer(ring);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec + 1e-9 * (now.tv_nsec - start.tv_nsec) < seconds);
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
