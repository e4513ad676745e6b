/*
 * places.h - threads and stacks of single waits and wakeups, as members of documents. One thread;
 * inside a view, after fold_prepare().
 */
#ifndef STAX_QUERY_PLACES_H
#define STAX_QUERY_PLACES_H

#include "query/view.h"

/* The tree node of a callsite that has functions below the process; 0: it has none. */
uint32_t place_node(struct query *q, int64_t callsite);
/* The innermost function outside the kernel, where every wait ends in the scheduler; null for node
 * 0. */
json_t *place_function(struct query *q, uint32_t node);
/* Adds that function, the names of the stack (the process first, the innermost function last; null
 * for node 0), and how many of them follow on the function. */
struct place_keys {
    const char *function, *stack, *n_inner;
};
extern const struct place_keys place_of_wait, place_of_waker;
void place_add_stack(struct query *q, json_t *o, const struct place_keys *keys, uint32_t node);
/* Adds utid, tid, pid, thread and process. */
void place_add_thread(struct query *q, json_t *o, int64_t utid);
/* Adds waker (kind), waker_utid, waker_tid, waker_thread and waker_process; all null where kind is
 * "", the last four for utid 0. */
void place_add_waker(struct query *q, json_t *o, const char *kind, int64_t utid);

#endif
