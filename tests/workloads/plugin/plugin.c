/* plugin.c - what plugins.c loads: one function that burns CPU, named BURN, behind one that calls
 * it. */
#include "../truth.h"

DEFINE_BURN(BURN, 6364136223846793005u)

uint64_t plugin_run(uint64_t x, long n);

uint64_t plugin_run(uint64_t x, long n)
{
    x = BURN(x, n);
    __asm__ volatile("" : "+r"(x)); /* a real call */
    return x;
}
