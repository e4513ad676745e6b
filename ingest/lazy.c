/* lazy.c - see lazy.h. */
#include "ingest/lazy.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BIG_SHARE = 1000 }; /* a change of at least 1/1000 of the run is big */

void lazy_free(struct lazy_table *t)
{
    free(t->rows);
    free(t->counters);
    free(t->changes);
    free(t->big);
    free(t->chosen);
    map_free(&t->index);
    *t = (struct lazy_table){0};
}

uint32_t lazy_id(struct lazy_table *t, uint32_t a, uint32_t b)
{
    uint32_t *id = map_put(&t->index, map_pair(a, b));
    if (!*id) {
        mem_reserve(&t->rows, &t->cap_rows, t->n_rows + 1, sizeof(*t->rows));
        t->rows[t->n_rows] = (struct lazy_row){.a = a, .b = b};
        if (t->n_counters) {
            size_t n_words = 2 * t->n_counters;
            mem_reserve(&t->counters, &t->cap_counters, (t->n_rows + 1) * n_words,
                        sizeof(*t->counters));
            memset(t->counters + t->n_rows * n_words, 0, n_words * sizeof(*t->counters));
        }
        *id = (uint32_t)++t->n_rows;
    }
    return *id;
}

static void note_change(struct lazy_table *t, uint32_t id, uint64_t n_samples)
{
    if (t->first_change > 4096 && t->first_change * 2 > t->n_changes) {
        t->n_changes -= t->first_change;
        memmove(t->changes, t->changes + t->first_change, t->n_changes * sizeof(*t->changes));
        t->first_change = 0;
    }
    mem_reserve(&t->changes, &t->cap_changes, t->n_changes + 1, sizeof(*t->changes));
    t->changes[t->n_changes++] = (struct lazy_change){.id = id, .since = n_samples};
}

void lazy_add(struct lazy_table *t, uint32_t id, const struct sums *delta, uint64_t n_samples)
{
    struct lazy_row *row = lazy_row(t, id);
    row->sums.n_self += delta->n_self;
    row->sums.n_total += delta->n_total;
    row->sums.self_ns += delta->self_ns;
    row->sums.total_ns += delta->total_ns;
    row->sums.n_self_waits += delta->n_self_waits;
    row->sums.n_waits += delta->n_waits;
    row->sums.self_off_ns += delta->self_off_ns;
    row->sums.total_off_ns += delta->total_off_ns;
    row->is_dirty = true;
    if (!row->is_queued) {
        row->is_queued = true;
        note_change(t, id, n_samples);
    }
    uint64_t unwritten = row->sums.n_self + row->sums.n_total - row->n_written;
    if (!row->is_big && unwritten * BIG_SHARE >= n_samples) {
        row->is_big = true;
        mem_reserve(&t->big, &t->cap_big, t->n_big + 1, sizeof(*t->big));
        t->big[t->n_big++] = id;
    }
}

void lazy_add_counters(struct lazy_table *t, uint32_t id, const uint64_t *self,
                       const uint64_t *total)
{
    size_t n = t->n_counters;
    uint64_t *sums = t->counters + (size_t)(id - 1) * 2 * n;
    for (size_t i = 0; i < n; i++) {
        sums[i] += self ? self[i] : 0;
        sums[n + i] += total ? total[i] : 0;
    }
}

void lazy_mark_written(struct lazy_table *t, uint32_t id)
{
    struct lazy_row *row = lazy_row(t, id);
    row->is_dirty = false;
    row->n_written = row->sums.n_self + row->sums.n_total;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void choose(struct lazy_table *t, uint32_t id, size_t *n)
{
    struct lazy_row *row = lazy_row(t, id);
    if (row->is_dirty) {
        lazy_mark_written(t, id);
        t->chosen[(*n)++] = id;
    }
}

size_t lazy_flush(struct lazy_table *t, size_t budget, lazy_write *write, void *ctx)
{
    size_t waiting = t->n_changes - t->first_change;
    size_t most = t->n_big + (budget < waiting ? budget : waiting), n = 0;
    mem_reserve(&t->chosen, &t->cap_chosen, most ? most : 1, sizeof(*t->chosen));
    for (size_t i = 0; i < t->n_big; i++) {
        lazy_row(t, t->big[i])->is_big = false;
        choose(t, t->big[i], &n);
    }
    t->n_big = 0;
    for (size_t taken = 0; taken < budget && t->first_change < t->n_changes;) {
        uint32_t id = t->changes[t->first_change++].id;
        lazy_row(t, id)->is_queued = false;
        size_t before = n;
        choose(t, id, &n);
        taken += n - before;
    }
    if (t->first_change == t->n_changes) {
        t->first_change = t->n_changes = 0;
    }
    qsort(t->chosen, n, sizeof(*t->chosen), by_id);
    for (size_t i = 0; i < n; i++) {
        write(ctx, t->chosen[i], lazy_row(t, t->chosen[i]));
    }
    return n;
}

uint64_t lazy_clean_until(const struct lazy_table *t, uint64_t n_samples)
{
    return t->first_change < t->n_changes ? t->changes[t->first_change].since : n_samples;
}

size_t lazy_bytes(const struct lazy_table *t)
{
    return t->cap_rows * sizeof(*t->rows) + map_bytes(&t->index) +
           t->cap_counters * sizeof(*t->counters) + t->cap_changes * sizeof(*t->changes);
}
