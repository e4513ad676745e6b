/* mem.h - allocation that aborts instead of failing (STYLE: out of memory aborts, except staxd). */
#ifndef STAX_BASE_MEM_H
#define STAX_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory for n objects of size bytes; free() releases it. */
void *mem_new(size_t n, size_t size);

/* realloc() for n objects of size bytes; new bytes are undefined. */
void *mem_grow(void *p, size_t n, size_t size);

/* strdup()/strndup() that cannot fail. */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);

/* Grows *items (capacity *cap objects of size bytes) until it holds at least need; doubles. Blocks
 * of several MB, as mem_new() gives them too, ask for huge pages: what is this large here is looked
 * up at random. */
void mem_reserve(void *items, size_t *cap, size_t need, size_t size);

#endif
