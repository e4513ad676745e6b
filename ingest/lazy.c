/* lazy.c - see lazy.h. */
#include "ingest/lazy.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "capture/event.h"

enum {
    BIG_SHARE = 1000,  /* a change of at least 1/1000 of the run is big */
    CHUNK_ROWS = 1024, /* written between two looks at the clock */
};

/* What the rows summed up to before they are added up again. */
struct lazy_before {
    size_t n_rows, n_waits;
    struct sums *sums, *waits;
    uint64_t *counters;
};

static void free_before(struct lazy_before *b)
{
    if (b) {
        free(b->sums);
        free(b->waits);
        free(b->counters);
        free(b);
    }
}

void lazy_free(struct lazy_table *t)
{
    free_before(t->before);
    free(t->rows);
    free(t->counters);
    free(t->waits);
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

static void touch(struct lazy_table *t, uint32_t id, uint64_t n_samples)
{
    struct lazy_row *row = lazy_row(t, id);
    row->is_dirty = true;
    if (!row->is_queued) {
        row->is_queued = true;
        note_change(t, id, n_samples);
    }
}

static void add(struct sums *to, const struct sums *delta)
{
    to->n_self += delta->n_self;
    to->n_total += delta->n_total;
    to->self_ns += delta->self_ns;
    to->total_ns += delta->total_ns;
}

static void note_big(struct lazy_table *t, uint32_t id)
{
    struct lazy_row *row = lazy_row(t, id);
    if (!row->is_big) {
        row->is_big = true;
        mem_reserve(&t->big, &t->cap_big, t->n_big + 1, sizeof(*t->big));
        t->big[t->n_big++] = id;
    }
}

void lazy_add(struct lazy_table *t, uint32_t id, const struct sums *delta, uint64_t n_samples)
{
    struct lazy_row *row = lazy_row(t, id);
    add(&row->sums, delta);
    if (t->before) {
        return;
    }
    uint64_t n_unwritten = row->n_unwritten + delta->n_self + delta->n_total;
    row->n_unwritten = n_unwritten < UINT32_MAX ? (uint32_t)n_unwritten : UINT32_MAX;
    touch(t, id, n_samples);
    if (n_unwritten * BIG_SHARE >= n_samples) {
        note_big(t, id);
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

void lazy_add_waits(struct lazy_table *t, uint32_t id, const struct sums *delta, uint64_t n_samples)
{
    if (t->n_waits < t->n_rows) {
        mem_reserve(&t->waits, &t->cap_waits, t->n_rows, sizeof(*t->waits));
        memset(t->waits + t->n_waits, 0, (t->n_rows - t->n_waits) * sizeof(*t->waits));
        t->n_waits = t->n_rows;
    }
    add(&t->waits[id - 1], delta);
    if (!t->before) {
        touch(t, id, n_samples);
    }
}

static void *copy_of(const void *from, size_t n, size_t size)
{
    void *to = mem_new(n + 1, size);
    if (n) {
        memcpy(to, from, n * size);
    }
    return to;
}

void lazy_begin_again(struct lazy_table *t)
{
    size_t n_words = 2 * t->n_counters * t->n_rows;
    struct lazy_before *b = mem_new(1, sizeof(*b));
    *b = (struct lazy_before){.n_rows = t->n_rows,
                              .n_waits = t->n_waits,
                              .sums = mem_new(t->n_rows + 1, sizeof(*b->sums)),
                              .waits = copy_of(t->waits, t->n_waits, sizeof(*b->waits)),
                              .counters = copy_of(t->counters, n_words, sizeof(*b->counters))};
    for (size_t i = 0; i < t->n_rows; i++) {
        b->sums[i] = t->rows[i].sums;
        t->rows[i].sums = (struct sums){0};
    }
    if (t->n_waits) {
        memset(t->waits, 0, t->n_waits * sizeof(*t->waits));
    }
    if (n_words) {
        memset(t->counters, 0, n_words * sizeof(*t->counters));
    }
    t->before = b;
}

/* Whether row id is something else than it was. */
static bool is_other(const struct lazy_table *t, uint32_t id)
{
    static const struct sums none;
    static const uint64_t no_counters[2 * EVENT_COUNTERS_MAX];
    const struct lazy_before *b = t->before;
    size_t n_words = 2 * t->n_counters;
    const struct sums *sums = id <= b->n_rows ? &b->sums[id - 1] : &none;
    const struct sums *waits = id <= b->n_waits ? &b->waits[id - 1] : &none;
    const uint64_t *counters = id <= b->n_rows ? b->counters + (id - 1) * n_words : no_counters;
    return memcmp(sums, &lazy_row(t, id)->sums, sizeof(*sums)) != 0 ||
           memcmp(waits, lazy_waits(t, id), sizeof(*waits)) != 0 ||
           memcmp(counters, n_words ? lazy_counters(t, id) : no_counters,
                  n_words * sizeof(*counters)) != 0;
}

void lazy_end_again(struct lazy_table *t, uint64_t n_samples)
{
    for (uint32_t id = 1; id <= t->n_rows; id++) {
        if (is_other(t, id)) {
            touch(t, id, n_samples);
            note_big(t, id);
        }
    }
    free_before(t->before);
    t->before = NULL;
}

const struct sums *lazy_waits(const struct lazy_table *t, uint32_t id)
{
    static const struct sums none;
    return id <= t->n_waits ? &t->waits[id - 1] : &none;
}

void lazy_mark_written(struct lazy_table *t, uint32_t id)
{
    struct lazy_row *row = lazy_row(t, id);
    row->is_dirty = false;
    row->n_unwritten = 0;
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

/* In id order: neighbours share pages. */
static size_t write_chosen(struct lazy_table *t, size_t n, lazy_write *write, void *ctx)
{
    qsort(t->chosen, n, sizeof(*t->chosen), by_id);
    for (size_t i = 0; i < n; i++) {
        write(ctx, t->chosen[i], lazy_row(t, t->chosen[i]), lazy_waits(t, t->chosen[i]));
    }
    return n;
}

static size_t choose_big(struct lazy_table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_big; i++) {
        lazy_row(t, t->big[i])->is_big = false;
        choose(t, t->big[i], &n);
    }
    t->n_big = 0;
    return n;
}

static size_t choose_oldest(struct lazy_table *t, size_t most)
{
    size_t n = 0;
    while (n < most && t->first_change < t->n_changes) {
        uint32_t id = t->changes[t->first_change++].id;
        lazy_row(t, id)->is_queued = false;
        choose(t, id, &n);
    }
    if (t->first_change == t->n_changes) {
        t->first_change = t->n_changes = 0;
    }
    return n;
}

size_t lazy_flush(struct lazy_table *t, int64_t budget_ns, lazy_write *write, void *ctx)
{
    size_t waiting = t->n_changes - t->first_change;
    bool is_all = budget_ns == INT64_MAX;
    size_t most = is_all || waiting < CHUNK_ROWS ? waiting : CHUNK_ROWS;
    mem_reserve(&t->chosen, &t->cap_chosen, t->n_big + most + 1, sizeof(*t->chosen));
    size_t n = write_chosen(t, choose_big(t), write, ctx), n_more;
    int64_t end_ns = is_all ? INT64_MAX : clock_monotonic_ns() + budget_ns;
    do {
        n_more = write_chosen(t, choose_oldest(t, most), write, ctx);
        n += n_more;
    } while (n_more && clock_monotonic_ns() < end_ns);
    return n;
}

uint64_t lazy_clean_until(const struct lazy_table *t, uint64_t n_samples)
{
    return t->first_change < t->n_changes ? t->changes[t->first_change].since : n_samples;
}

size_t lazy_bytes(const struct lazy_table *t)
{
    return t->cap_rows * sizeof(*t->rows) + t->cap_waits * sizeof(*t->waits) +
           t->cap_counters * sizeof(*t->counters) + map_bytes(&t->index) +
           t->cap_changes * sizeof(*t->changes);
}
