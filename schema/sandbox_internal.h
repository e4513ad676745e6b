/*
 * sandbox_internal.h - what bounds one query inside SQLite, where its progress handler does not
 * look: while a statement is prepared, and inside one call of a function.
 *
 * One thread at a time uses a watch.
 */
#ifndef STAX_SCHEMA_SANDBOX_INTERNAL_H
#define STAX_SCHEMA_SANDBOX_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

/* The longest string or blob of a query, in bytes. */
enum { SANDBOX_VALUE_BYTES = 1 << 20 };

struct sandbox_watch {
    bool (*must_stop)(void *ctx); /* whether the query is cancelled or past its deadline */
    void *ctx;
    int64_t max_bytes; /* of memory that SQLite may take on top of what it had */
    int64_t bytes;     /* taken so far */
    uint64_t n_calls;
    bool is_over_memory; /* an allocation was refused for its size */
    bool is_stopped;     /* ... because the query must stop */
};

/* Between the two, allocations of SQLite on this thread count against the watch, and fail when it
 * says so: the call under way then returns SQLITE_NOMEM. */
void sandbox_watch_begin(struct sandbox_watch *w);
void sandbox_watch_end(void);

/* Replaces the functions of SQLite whose time grows with the product of two lengths. Each call
 * looks at the watch, which must outlive the connection. Returns an SQLite result. */
int sandbox_functions_add(sqlite3 *handle, struct sandbox_watch *w);

#endif
