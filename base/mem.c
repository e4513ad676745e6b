/* mem.c - see mem.h. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t size)
{
    if (!p && size != 0) {
        fputs("stax: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_new(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1), 1);
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
    memcpy(items, &p, sizeof(p));
    *cap = n;
}
