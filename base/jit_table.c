/* jit_table.c - see jit_table.h. */
#include "base/jit_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    PAGE_SHIFT = 12,
    LOOK_MAX = 1024 /* loads of a page that are looked at */
};

void jit_table_fini(struct jit_table *t)
{
    free(t->loads);
    free(t->links);
    free(t->times);
    map_free(&t->pages);
    map_free(&t->by_address);
    *t = (struct jit_table){0};
}

static uint64_t page_of(uint64_t address)
{
    return address >> PAGE_SHIFT;
}

/* The newest load of a page, then the one before it, ... */
struct walk {
    uint32_t link;
    int n;
};

static struct walk walk_page(const struct jit_table *t, uint64_t page)
{
    return (struct walk){.link = map_get(&t->pages, page)};
}

static struct jit_load *walk_next(const struct jit_table *t, struct walk *w)
{
    if (!w->link || w->n++ == LOOK_MAX) {
        return NULL;
    }
    const struct jit_link *link = &t->links[w->link - 1];
    w->link = link->next;
    return &t->loads[link->load - 1];
}

static bool is_overlapping(const struct jit_load *l, uint64_t start, uint64_t size)
{
    return l->start < start + size && start < l->start + l->size;
}

static bool is_in(const struct jit_load *l, uint64_t address)
{
    return address - l->start < l->size;
}

static void add_time(struct jit_table *t, int64_t ts)
{
    size_t at = t->n_times;
    while (at && t->times[at - 1] > ts && t->n_times - at < LOOK_MAX) {
        at--;
    }
    if (at && t->times[at - 1] == ts) {
        return;
    }
    if (at && t->times[at - 1] > ts) {
        t->is_disordered = true;
        return;
    }
    mem_reserve(&t->times, &t->cap_times, t->n_times + 1, sizeof(*t->times));
    memmove(&t->times[at + 1], &t->times[at], (t->n_times - at) * sizeof(*t->times));
    t->times[at] = ts;
    t->n_times++;
}

static void link_page(struct jit_table *t, uint64_t page, uint32_t load)
{
    uint32_t *first = map_put(&t->pages, page), at = *first, before = 0;
    /* by time: one that comes late goes behind the newer ones */
    for (int n = 0; at && n < LOOK_MAX; n++) {
        const struct jit_link *link = &t->links[at - 1];
        if (t->loads[link->load - 1].from_ts <= t->loads[load - 1].from_ts) {
            break;
        }
        before = at;
        at = link->next;
    }
    mem_reserve(&t->links, &t->cap_links, t->n_links + 1, sizeof(*t->links));
    t->links[t->n_links++] = (struct jit_link){.load = load, .next = at};
    if (before) {
        t->links[before - 1].next = (uint32_t)t->n_links;
    } else {
        *first = (uint32_t)t->n_links;
    }
}

/* Ends what load covers, and load itself where newer code covers it. Returns whether anything
 * ended. */
static bool end_covered(struct jit_table *t, struct jit_load *load)
{
    uint64_t last = page_of(load->start + load->size - 1);
    bool has_ended = false;
    for (uint64_t page = page_of(load->start); page <= last; page++) {
        struct walk w = walk_page(t, page);
        struct jit_load *other;
        while ((other = walk_next(t, &w)) != NULL) {
            if (!is_overlapping(other, load->start, load->size)) {
                continue;
            }
            if (other->from_ts > load->from_ts) {
                load->to_ts = other->from_ts < load->to_ts ? other->from_ts : load->to_ts;
            } else if (other->to_ts > load->from_ts) {
                other->to_ts = load->from_ts;
                has_ended = true;
            }
        }
    }
    return has_ended;
}

void jit_table_end(struct jit_table *t, uint64_t start, uint64_t size, int64_t ts)
{
    struct jit_load unknown = {.start = start, .size = size, .from_ts = ts, .to_ts = INT64_MAX};
    if (end_covered(t, &unknown)) {
        add_time(t, ts);
        t->version++;
    }
}

uint32_t jit_table_load(struct jit_table *t, const struct jit_load *load)
{
    uint64_t first = page_of(load->start),
             n_pages = page_of(load->start + load->size - 1) - first + 1;
    if (t->n_loads >= JIT_TABLE_LOADS_MAX || t->n_links + n_pages > JIT_TABLE_PAGES_MAX) {
        jit_table_end(t, load->start, load->size, load->from_ts);
        return 0;
    }
    struct jit_load own = *load;
    own.to_ts = INT64_MAX;
    end_covered(t, &own);
    mem_reserve(&t->loads, &t->cap_loads, t->n_loads + 1, sizeof(*t->loads));
    t->loads[t->n_loads++] = own;
    uint32_t id = (uint32_t)t->n_loads;
    if (!own.origin) {
        t->loads[id - 1].origin = id;
    }
    for (uint64_t i = 0; i < n_pages; i++) {
        link_page(t, first + i, id);
    }
    *map_put(&t->by_address, own.start) = id;
    add_time(t, own.from_ts);
    if (own.to_ts != INT64_MAX) {
        add_time(t, own.to_ts);
    }
    t->version++;
    return id;
}

uint32_t jit_table_move(struct jit_table *t, uint64_t from, uint64_t to, uint64_t size, int64_t ts)
{
    const struct jit_load *old = jit_table_find(t, from, ts);
    if (!old) { /* the times of a load and its move may be equal or in disorder */
        uint32_t id = map_get(&t->by_address, from);
        old = id ? &t->loads[id - 1] : NULL;
    }
    if (!old) {
        return 0;
    }
    struct jit_load moved = *old;
    size_t index = (size_t)(old - t->loads);
    moved.start = to;
    moved.size = size < old->size ? size : old->size;
    moved.from_ts = ts;
    uint32_t id = jit_table_load(t, &moved);
    if (id && t->loads[index].to_ts > ts) {
        t->loads[index].to_ts = ts;
    }
    return id;
}

struct jit_load *jit_table_find_any(const struct jit_table *t, uint64_t address, int64_t from_ts,
                                    int64_t to_ts)
{
    struct walk w = walk_page(t, page_of(address));
    struct jit_load *l;
    while ((l = walk_next(t, &w)) != NULL) {
        if (is_in(l, address) && l->from_ts <= to_ts && from_ts < l->to_ts) {
            return l;
        }
    }
    return NULL;
}

struct jit_load *jit_table_find(const struct jit_table *t, uint64_t address, int64_t ts)
{
    return jit_table_find_any(t, address, ts, ts);
}

int jit_table_generation(const struct jit_table *t, uint64_t start, uint64_t size)
{
    int generation = -1;
    uint64_t last = page_of(start + size - 1);
    for (uint64_t page = page_of(start); page <= last; page++) {
        struct walk w = walk_page(t, page);
        const struct jit_load *l;
        while ((l = walk_next(t, &w)) != NULL) {
            int own = (int)(l->rel_address >> 48);
            if (own > generation && is_overlapping(l, start, size)) {
                generation = own;
            }
        }
    }
    return generation;
}

void jit_table_segment(const struct jit_table *t, int64_t ts, int64_t *from_ts, int64_t *to_ts)
{
    if (t->is_disordered) {
        *from_ts = ts;
        *to_ts = ts + 1;
        return;
    }
    size_t lo = 0, hi = t->n_times; /* the first time after ts */
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (t->times[middle] <= ts) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    if (lo && t->times[lo - 1] > *from_ts) {
        *from_ts = t->times[lo - 1];
    }
    if (lo < t->n_times && t->times[lo] < *to_ts) {
        *to_ts = t->times[lo];
    }
}

size_t jit_table_bytes(const struct jit_table *t)
{
    return t->cap_loads * sizeof(*t->loads) + t->cap_links * sizeof(*t->links) +
           t->cap_times * sizeof(*t->times) + map_bytes(&t->pages) + map_bytes(&t->by_address);
}
