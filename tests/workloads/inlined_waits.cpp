/*
 * inlined_waits.cpp - waits in vain for a semaphore whose functions are all inlined: 60 times 50
 * ms. Prints {"n_waits":N}. Built with debug information, the only place that names them.
 */
#include <chrono>
#include <cstdio>
#include <semaphore>

int main()
{
    std::binary_semaphore never(0);
    int n = 0;
    for (; n < 60; n++) {
        (void)never.try_acquire_for(std::chrono::milliseconds(50));
    }
    std::printf("{\"n_waits\":%d}\n", n);
}
