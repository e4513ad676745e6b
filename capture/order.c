/* order.c - see order.h. */
#include "capture/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void order_add(struct order *o, int64_t ts, const void *record, size_t size)
{
    if (ts < o->reached_ts) {
        ts = o->reached_ts;
        o->n_late++;
    }
    mem_reserve(&o->entries, &o->cap_entries, o->n_entries + 1, sizeof(*o->entries));
    o->entries[o->n_entries++] = (struct order_entry){ts, o->seq++, o->arena.len, size};
    buf_add(&o->arena, record, size);
}

static int compare(const void *left, const void *right)
{
    const struct order_entry *a = left, *b = right;
    if (a->ts != b->ts) {
        return a->ts < b->ts ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Forgets what was released: what stays moves into the other arena, so that memory follows the
 * records of one drain, not those of the run. */
static void compact(struct order *o)
{
    if (!o->n_released) {
        return;
    }
    buf_clear(&o->spare);
    size_t n = 0;
    for (size_t i = o->n_released; i < o->n_entries; i++) {
        struct order_entry entry = o->entries[i];
        size_t at = o->spare.len;
        buf_add(&o->spare, o->arena.data + entry.at, entry.size);
        entry.at = at;
        o->entries[n++] = entry;
    }
    struct buf old = o->arena;
    o->arena = o->spare;
    o->spare = old;
    o->n_entries = n;
    o->n_released = 0;
}

void order_release(struct order *o, int64_t limit_ts)
{
    compact(o);
    if (o->n_entries) {
        qsort(o->entries, o->n_entries, sizeof(*o->entries), compare);
    }
    o->n_due = 0;
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

void order_free(struct order *o)
{
    buf_free(&o->arena);
    buf_free(&o->spare);
    free(o->entries);
    *o = (struct order){0};
}
