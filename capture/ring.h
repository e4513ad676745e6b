/*
 * ring.h - the reading end of one perf ring: records out, room back to the kernel.
 *
 * The kernel writes records at data_head, we read up to it and say so in data_tail; it never waits
 * for us. A drain is ring_begin(), ring_next() until NULL, ring_end(). One thread at a time.
 */
#ifndef STAX_CAPTURE_RING_H
#define STAX_CAPTURE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct perf_event_mmap_page;

struct ring {
    struct perf_event_mmap_page *page; /* NULL: not mapped */
    const unsigned char *data;
    size_t data_bytes;   /* a power of two */
    size_t mapped_bytes; /* 0: memory of someone else */
    uint64_t head, tail; /* of the drain under way */
    bool is_bad;         /* the drain met bytes that are no record and skipped to the head */
    uint64_t *straight;  /* copy of a record that wraps around the end */
};

/* Maps the ring of an event: data_bytes (power of two, whole pages) and the control page.
 * 0 or -errno (-EPERM: beyond the locked memory this user may have). */
int ring_map(struct ring *r, int fd, size_t data_bytes);
/* A ring over memory that the caller keeps (tests, fuzzers). */
void ring_init_memory(struct ring *r, struct perf_event_mmap_page *page, const void *data,
                      size_t data_bytes);
/* Zeroed rings are accepted. */
void ring_unmap(struct ring *r);

/* Starts a drain; returns the bytes that wait. */
size_t ring_begin(struct ring *r);
/* The next record, whole, aligned to 8 and valid until the next call; NULL at the end. */
const void *ring_next(struct ring *r, size_t *size);
/* Gives what was read back to the kernel. */
void ring_end(struct ring *r);

#endif
