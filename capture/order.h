/*
 * order.h - puts the records of all CPUs in time order.
 *
 * Records are kept until nothing older can still arrive: the caller drains every ring and then
 * releases what is older than the time it took before that drain, less some slack. A record that
 * comes later still is released at the time order had reached by then, and counted.
 * Not shared between threads.
 */
#ifndef STAX_CAPTURE_ORDER_H
#define STAX_CAPTURE_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct order_entry {
    int64_t ts; /* equal ones keep their order of arrival */
    size_t at;  /* offset of the bytes in the arena */
    size_t size;
};

struct order {
    struct buf arena, spare;
    struct order_entry *entries;
    size_t n_entries, cap_entries;
    size_t n_sorted;          /* entries before this one are in order; those after it are new */
    size_t n_released;        /* entries before this one are released, in order */
    size_t n_forgotten;       /* ... and these of them counted as dead */
    size_t n_due;             /* entries before this one are due */
    size_t n_dead_bytes;      /* of the arena, whose records were forgotten */
    struct order_entry *tail; /* room for the new ones while they are merged */
    size_t cap_tail;
    int64_t reached_ts; /* nothing older is released any more */
    uint64_t n_late;    /* records that came too late, ever */
};

/* Keeps a copy of a record of size bytes (a multiple of 8) and time ts. */
void order_add(struct order *o, int64_t ts, const void *record, size_t size);
/* The same for a record that the caller writes at once into the room that is returned. */
void *order_room(struct order *o, int64_t ts, size_t size);

/* Makes due everything older than limit_ts, in time order; order_next() hands it out. Costs what is
 * new since the last call and what that goes between, not all that is kept. */
void order_release(struct order *o, int64_t limit_ts);
/* The next due record, aligned to 8, borrowed until the next order_add() or order_release(),
 * which may come before all that is due was handed out; its time (never going backwards) in *ts.
 * NULL: no more are due. */
const void *order_next(struct order *o, int64_t *ts, size_t *size);

/* Takes the record that order_next() gave last back: it comes first again, after the next
 * order_release(). */
void order_hand_back(struct order *o);

/* Bytes of all records that are kept, those included that were handed out since the last
 * order_release(). */
size_t order_bytes(const struct order *o);

void order_free(struct order *o);

#endif
