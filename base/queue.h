/*
 * queue.h - a bounded queue of heap blocks between two threads.
 *
 * The bound is in bytes. The producer never waits: a push past the bound is refused and the
 * producer counts what it dropped; queue_push_forced() ignores the bound for the few blocks that
 * must arrive. Any thread may call anything. A popped block belongs to the caller (free()).
 */
#ifndef STAX_BASE_QUEUE_H
#define STAX_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t max_bytes);
/* Frees the queue and the blocks still in it. NULL is accepted. */
void queue_free(struct queue *q);

/* Takes block (heap, n bytes) when it fits and returns true; else false and block stays the
 * caller's. */
bool queue_push(struct queue *q, void *block, size_t n);
void queue_push_forced(struct queue *q, void *block, size_t n);

/* Waits up to timeout_ms for a block; NULL when none came. *n is its size. */
void *queue_pop(struct queue *q, int timeout_ms, size_t *n);

/* Whether is_it says so of the newest block that waits; it is called with the queue locked. */
bool queue_newest_is(struct queue *q, bool (*is_it)(const void *block, size_t n));

/* Bytes waiting now, and the most there ever were. */
size_t queue_bytes(struct queue *q);
size_t queue_peak_bytes(struct queue *q);
size_t queue_max_bytes(const struct queue *q);

#endif
