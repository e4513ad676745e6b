/* order.c - see order.h. */
#include "capture/order.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void *order_room(struct order *o, int64_t ts, size_t size)
{
    if (ts < o->reached_ts) {
        ts = o->reached_ts;
        o->n_late++;
    }
    mem_reserve(&o->entries, &o->cap_entries, o->n_entries + 1, sizeof(*o->entries));
    o->entries[o->n_entries++] = (struct order_entry){ts, o->arena.len, size};
    void *room = buf_room(&o->arena, size);
    buf_advance(&o->arena, size);
    return room;
}

void order_add(struct order *o, int64_t ts, const void *record, size_t size)
{
    memcpy(order_room(o, ts, size), record, size);
}

/* Forgets what was released. What stays moves to the front, and into the other arena, when less
 * than half is left, so that memory follows the records that are kept, not those of the run. */
static void compact(struct order *o)
{
    for (; o->n_forgotten < o->n_released; o->n_forgotten++) {
        o->n_dead_bytes += o->entries[o->n_forgotten].size;
    }
    if (o->n_released && o->n_released >= o->n_entries / 2) {
        o->n_entries -= o->n_released;
        o->n_sorted -= o->n_released;
        memmove(o->entries, o->entries + o->n_released, o->n_entries * sizeof(*o->entries));
        o->n_released = o->n_forgotten = 0;
    }
    if (!o->n_dead_bytes || o->n_dead_bytes < o->arena.len / 2) {
        return;
    }
    buf_clear(&o->spare);
    for (size_t i = o->n_released; i < o->n_entries; i++) {
        size_t at = o->spare.len;
        buf_add(&o->spare, o->arena.data + o->entries[i].at, o->entries[i].size);
        o->entries[i].at = at;
    }
    struct buf old = o->arena;
    o->arena = o->spare;
    o->spare = old;
    o->n_dead_bytes = 0;
}

/* Merges the n entries of newer, which arrived later, with the n_older that lie before the room for
 * them at the end of entries. Equal times keep their order of arrival. */
static void merge(struct order_entry *entries, size_t n_older, const struct order_entry *newer,
                  size_t n)
{
    size_t at = n_older + n;
    while (n) {
        bool is_older = n_older && entries[n_older - 1].ts > newer[n - 1].ts;
        entries[--at] = is_older ? entries[--n_older] : newer[--n];
    }
}

/* Each ring is in order but for a few records, and they come one ring after the other: what is in
 * order already costs one comparison. room: for half of them. */
static void sort_new(struct order_entry *entries, size_t n, struct order_entry *room)
{
    if (n < 2) {
        return;
    }
    size_t half = n / 2;
    sort_new(entries, half, room);
    sort_new(entries + half, n - half, room);
    if (entries[half - 1].ts > entries[half].ts) {
        memcpy(room, entries + half, (n - half) * sizeof(*room));
        merge(entries, half, room, n - half);
    }
}

/* Puts what is new in its place. Most of it belongs at the end, so it is merged from there. */
static void sort(struct order *o)
{
    size_t n = o->n_entries - o->n_sorted;
    if (!n) {
        return;
    }
    struct order_entry *newer = o->entries + o->n_sorted;
    mem_reserve(&o->tail, &o->cap_tail, n, sizeof(*o->tail));
    sort_new(newer, n, o->tail);
    if (o->n_sorted > o->n_released && newer[-1].ts > newer[0].ts) {
        memcpy(o->tail, newer, n * sizeof(*o->tail));
        merge(o->entries + o->n_released, o->n_sorted - o->n_released, o->tail, n);
    }
    o->n_sorted = o->n_entries;
}

void order_release(struct order *o, int64_t limit_ts)
{
    compact(o);
    sort(o);
    o->n_due = o->n_released;
    while (o->n_due < o->n_entries && o->entries[o->n_due].ts < limit_ts) {
        o->n_due++;
    }
    if (limit_ts > o->reached_ts) {
        o->reached_ts = limit_ts;
    }
}

const void *order_next(struct order *o, int64_t *ts, size_t *size)
{
    if (o->n_released >= o->n_due) {
        return NULL;
    }
    const struct order_entry *entry = &o->entries[o->n_released++];
    *ts = entry->ts;
    *size = entry->size;
    return o->arena.data + entry->at;
}

void order_hand_back(struct order *o)
{
    assert(o->n_released > o->n_forgotten);
    o->n_released--;
    o->n_due = o->n_released; /* nothing more before the next release */
}

size_t order_bytes(const struct order *o)
{
    return o->arena.len - o->n_dead_bytes;
}

void order_free(struct order *o)
{
    buf_free(&o->arena);
    buf_free(&o->spare);
    free(o->entries);
    free(o->tail);
    *o = (struct order){0};
}
