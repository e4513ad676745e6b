/* sandbox_watch.c - the memory of a query; see sandbox_internal.h.
 *
 * SQLite 3.40 looks at nothing while it prepares a statement, and a statement of one kilobyte can
 * expand to gigabytes there (tables of WITH that name each other twice). What it does need for that
 * is memory, so that is where it is stopped. */
#include "schema/sandbox_internal.h"

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    LOOK_EVERY = 64,        /* small allocations between two looks at the clock */
    LOOK_FROM_BYTES = 65536 /* larger ones look each time: filling them takes a while */
};

/* The query that this thread is running; SQLite gives its allocator no context. */
static _Thread_local struct sandbox_watch *current;

void sandbox_watch_begin(struct sandbox_watch *w)
{
    current = w;
}

void sandbox_watch_end(void)
{
    current = NULL;
}

static bool may_take(int n)
{
    struct sandbox_watch *w = current;
    if (!w) {
        return true;
    }
    if (w->bytes + n > w->max_bytes) {
        w->is_over_memory = true;
    } else if ((++w->n_calls % LOOK_EVERY == 0 || n >= LOOK_FROM_BYTES) && w->must_stop(w->ctx)) {
        w->is_stopped = true;
    }
    return !w->is_over_memory && !w->is_stopped;
}

static int size_of(void *memory)
{
    return (int)malloc_usable_size(memory);
}

static void count(int64_t n)
{
    if (current) {
        current->bytes += n;
    }
}

static void *take(int n)
{
    void *memory = may_take(n) ? malloc((size_t)n) : NULL;
    count(memory ? size_of(memory) : 0);
    return memory;
}

static void give_back(void *memory)
{
    count(memory ? -size_of(memory) : 0);
    free(memory);
}

static void *resize(void *memory, int n)
{
    int before = size_of(memory);
    void *resized = n <= before || may_take(n - before) ? realloc(memory, (size_t)n) : NULL;
    count(resized ? size_of(resized) - before : 0);
    return resized;
}

static int round_up(int n)
{
    return (n + 7) & ~7;
}

static int start(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void shut_down(void *ctx)
{
    (void)ctx;
}

/* SQLite takes an allocator only before its first use, and that may be anybody's. */
__attribute__((constructor)) static void install(void)
{
    static const sqlite3_mem_methods methods = {
        .xMalloc = take,
        .xFree = give_back,
        .xRealloc = resize,
        .xSize = size_of,
        .xRoundup = round_up,
        .xInit = start,
        .xShutdown = shut_down,
    };
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) {
        abort(); /* queries would not be bounded */
    }
}
