/* mem.c - see mem.h. */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

static void *checked(void *p, size_t size)
{
    if (!p && size != 0) {
        fputs("stax: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* A look-up in a large table misses the TLB as well as the cache; with huge pages only the latter.
 * A hint: where the host has none to give, nothing changes. */
static void ask_for_huge_pages(void *p, size_t bytes)
{
    enum { HUGE_PAGE_BYTES = 2 << 20, WORTH_BYTES = 4 << 20 };
    if (bytes >= WORTH_BYTES) {
        uintptr_t first = ((uintptr_t)p + HUGE_PAGE_BYTES - 1) & ~(uintptr_t)(HUGE_PAGE_BYTES - 1);
        uintptr_t end = ((uintptr_t)p + bytes) & ~(uintptr_t)(HUGE_PAGE_BYTES - 1);
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
    }
}

void *mem_new(size_t n, size_t size)
{
    void *p = checked(calloc(n ? n : 1, size ? size : 1), 1);
    ask_for_huge_pages(p, n * size);
    return p;
}

void *mem_grow(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        checked(NULL, 1);
    }
    return checked(realloc(p, bytes ? bytes : 1), 1);
}

char *mem_strdup(const char *s)
{
    return checked(strdup(s), 1);
}

char *mem_strndup(const char *s, size_t n)
{
    return checked(strndup(s, n), 1);
}

void mem_reserve(void *items, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) {
        return;
    }
    size_t n = *cap ? *cap : 16;
    while (n < need) {
        n *= 2;
    }
    void *p;
    memcpy(&p, items, sizeof(p));
    p = mem_grow(p, n, size);
    ask_for_huge_pages(p, n * size);
    memcpy(items, &p, sizeof(p));
    *cap = n;
}
