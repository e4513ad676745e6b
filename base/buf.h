/*
 * buf.h - a growable byte buffer that is also a C string.
 *
 * Invariant: data is NULL or has data[len] == '\0'. A zeroed struct is a valid empty buffer.
 * Lifecycle: zero it, add, then buf_free() or buf_take(). Not shared between threads.
 */
#ifndef STAX_BASE_BUF_H
#define STAX_BASE_BUF_H

#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

/* Makes room for n more bytes and returns where they go; buf_advance() accounts for them. */
char *buf_room(struct buf *b, size_t n);
void buf_advance(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_addstr(struct buf *b, const char *s);
void buf_addch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Empties, keeps the memory. */
void buf_clear(struct buf *b);
/* Releases; b is a valid empty buffer again. NULL is accepted. */
void buf_free(struct buf *b);
/* The text, never NULL; borrowed until the next change. */
const char *buf_str(const struct buf *b);
/* Hands the bytes to the caller (free()), b is empty again. Never NULL. */
char *buf_take(struct buf *b);

#endif
