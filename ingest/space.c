/* space.c - see space.h. */
#include "ingest/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAPPINGS_MAX = 65536 };

struct space *space_new(void)
{
    struct space *s = mem_new(1, sizeof(*s));
    s->n_refs = 1;
    return s;
}

struct space *space_ref(struct space *s)
{
    s->n_refs++;
    return s;
}

void space_unref(struct space *s)
{
    if (!s || --s->n_refs) {
        return;
    }
    map_free(&s->pcs);
    map_free(&s->returns);
    free(s->mappings);
    free(s);
}

static void make_own(struct space **s)
{
    if ((*s)->n_refs == 1) {
        return;
    }
    struct space *own = space_new();
    mem_reserve(&own->mappings, &own->cap_mappings, (*s)->n_mappings, sizeof(*own->mappings));
    if ((*s)->n_mappings) {
        memcpy(own->mappings, (*s)->mappings, (*s)->n_mappings * sizeof(*own->mappings));
    }
    own->n_mappings = (*s)->n_mappings;
    space_unref(*s);
    *s = own;
}

/* Index of the first mapping that ends after address. */
static size_t first_after(const struct space *s, uint64_t address)
{
    size_t lo = 0, hi = s->n_mappings;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->mappings[mid].end <= address) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void insert(struct space *s, size_t at, const struct space_mapping *m)
{
    mem_reserve(&s->mappings, &s->cap_mappings, s->n_mappings + 1, sizeof(*s->mappings));
    memmove(&s->mappings[at + 1], &s->mappings[at], (s->n_mappings - at) * sizeof(*s->mappings));
    s->mappings[at] = *m;
    s->n_mappings++;
}

static void cut_front(struct space_mapping *m, uint64_t start)
{
    m->file_offset += start - m->start;
    m->start = start;
}

int space_map(struct space **shared, const struct space_mapping *m)
{
    if (m->start >= m->end || (*shared)->n_mappings >= MAPPINGS_MAX) {
        return -1;
    }
    make_own(shared);
    struct space *s = *shared;
    mem_reserve(&s->mappings, &s->cap_mappings, s->n_mappings + 1, sizeof(*s->mappings));
    size_t at = first_after(s, m->start);
    if (at < s->n_mappings && s->mappings[at].start < m->start) {
        struct space_mapping tail = s->mappings[at];
        s->mappings[at].end = m->start;
        at++;
        if (tail.end > m->end) {
            cut_front(&tail, m->end);
            insert(s, at, &tail);
        }
    }
    size_t covered = at;
    while (covered < s->n_mappings && s->mappings[covered].end <= m->end) {
        covered++;
    }
    memmove(&s->mappings[at], &s->mappings[covered],
            (s->n_mappings - covered) * sizeof(*s->mappings));
    s->n_mappings -= covered - at;
    if (at < s->n_mappings && s->mappings[at].start < m->end) {
        cut_front(&s->mappings[at], m->end);
    }
    insert(s, at, m);
    map_clear(&s->pcs);
    map_clear(&s->returns);
    return 0;
}

const struct space_mapping *space_find(const struct space *s, uint64_t address)
{
    size_t at = first_after(s, address);
    return at < s->n_mappings && s->mappings[at].start <= address ? &s->mappings[at] : NULL;
}
