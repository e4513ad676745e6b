/* readers.c - see readers.h. */
#include "server/readers.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Runs one thread keeps open: enough for a comparison beside a live view. */
enum { READERS_MAX = 4, READER_TIMEOUT_MS = 30000 };

struct reader {
    struct query *query;
    struct run_info info;
};

struct readers {
    struct registry *registry;
    struct reader items[READERS_MAX]; /* newest use first */
    int n;
};

struct readers *readers_new(struct registry *registry)
{
    struct readers *r = mem_new(1, sizeof(*r));
    r->registry = registry;
    return r;
}

static void drop(struct readers *r, int at)
{
    query_close(r->items[at].query);
    memmove(&r->items[at], &r->items[at + 1], (size_t)(r->n - at - 1) * sizeof(r->items[0]));
    r->n--;
}

void readers_free(struct readers *r)
{
    if (!r) {
        return;
    }
    while (r->n) {
        drop(r, r->n - 1);
    }
    free(r);
}

static bool is_same_file(const struct run_info *a, const struct run_info *b)
{
    return a->id == b->id && a->generation == b->generation && a->device == b->device &&
           a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

/* Moves an item to the front. */
static struct reader *touch(struct readers *r, int at)
{
    struct reader found = r->items[at];
    memmove(&r->items[1], &r->items[0], (size_t)at * sizeof(r->items[0]));
    r->items[0] = found;
    return &r->items[0];
}

int readers_get(struct readers *r, int64_t run, struct query **q, struct run_info *info,
                struct err *e)
{
    struct run_info wanted;
    int rc = registry_find(r->registry, run, &wanted, e);
    if (rc) {
        readers_refresh(r); /* it may have been removed under us */
        return rc;
    }
    struct reader *reader = NULL;
    for (int i = 0; i < r->n && !reader; i++) {
        if (r->items[i].info.id == wanted.id) {
            if (is_same_file(&r->items[i].info, &wanted)) {
                reader = touch(r, i);
            } else {
                drop(r, i);
            }
        }
    }
    if (!reader) {
        struct query *opened = NULL;
        rc = query_open(&opened, wanted.path, wanted.is_archive, e);
        if (rc) {
            return rc;
        }
        if (r->n == READERS_MAX) {
            drop(r, r->n - 1);
        }
        r->items[r->n] = (struct reader){.query = opened, .info = wanted};
        reader = touch(r, r->n++);
    }
    query_set_timeout_ms(reader->query, READER_TIMEOUT_MS);
    *q = reader->query;
    if (info) {
        *info = wanted;
    }
    return 0;
}

void readers_refresh(struct readers *r)
{
    for (int i = r->n - 1; i >= 0; i--) {
        struct run_info now;
        if (registry_find(r->registry, r->items[i].info.id, &now, NULL) != 0 ||
            !is_same_file(&r->items[i].info, &now)) {
            drop(r, i);
        }
    }
}
