/* wanting.c - see wanting.h. */
#include "capture/wanting.h"

#include <stdlib.h>

#include "base/mem.h"
#include "capture/target.h"

enum {
    PART = 4,               /* of the time, one part of so many */
    LOOKS_PER_DRAIN = 4096, /* threads that are considered */
};
static const int64_t SPENT_MAX_NS = 6000000; /* at once: the rings are not drained meanwhile */
static const int64_t YOUNG_NS = 10000000;    /* a wait that may end before it is looked at */
static const int64_t FRESH_NS = 250000000;   /* what /proc said need not be asked again */

size_t thread_list_add(struct thread_list *list, struct target_thread *t)
{
    mem_reserve(&list->items, &list->cap, list->n + 1, sizeof(struct target_thread *));
    list->items[list->n++] = t;
    return list->n;
}

void wanting_add(struct wanting *w, struct target_thread *t)
{
    if (!t->waits.wanting_at) {
        t->waits.wanting_at = thread_list_add(&w->list, t);
    }
}

void wanting_remove(struct wanting *w, struct target_thread *t)
{
    if (t->waits.wanting_at) {
        w->list.items[t->waits.wanting_at - 1] = NULL;
        t->waits.wanting_at = 0;
    }
}

/* Whether /proc could say why the thread waits, and it is worth asking. *is_done: it will not be
 * before its next wait. */
static bool is_worth_asking(const struct target_thread *t, int64_t now, bool *is_done)
{
    const struct thread_waits *w = &t->waits;
    const struct ledger *l = &w->ledger;
    *is_done = true;
    if (l->state == EVENT_STATE_BLOCKED && w->wants_parked) {
        return true;
    }
    if (l->state != EVENT_STATE_BLOCKED || (w->seen_ts >= l->since_ts && w->seen.is_known)) {
        return false;
    }
    if (now - l->since_ts < YOUNG_NS && w->last.is_known && now - w->seen_ts < FRESH_NS) {
        *is_done = false;
        return false;
    }
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct target_thread *left = *(struct target_thread *const *)a;
    const struct target_thread *right = *(struct target_thread *const *)b;
    int64_t l = left->waits.ledger.since_ts, r = right->waits.ledger.since_ts;
    return l < r ? -1 : l > r;
}

static void give_time(struct wanting *w, int64_t now)
{
    w->left_ns += w->ts ? (now - w->ts) / PART : SPENT_MAX_NS;
    w->left_ns = w->left_ns < SPENT_MAX_NS ? w->left_ns : SPENT_MAX_NS;
    w->ts = now;
}

size_t wanting_gather(struct wanting *w, int64_t now)
{
    struct thread_list *list = &w->list;
    /* Of more threads than are considered at once, others come next time. */
    size_t n = list->n, n_kept = 0, from = n > LOOKS_PER_DRAIN ? w->looked_at % n : 0;
    give_time(w, now);
    w->due.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct target_thread *t = list->items[i];
        bool is_done = false;
        if (!t) {
            continue;
        }
        if ((i + n - from) % n < LOOKS_PER_DRAIN && is_worth_asking(t, now, &is_done)) {
            thread_list_add(&w->due, t);
            is_done = false;
        }
        t->waits.wanting_at = 0;
        if (!is_done) {
            list->items[n_kept++] = t;
            t->waits.wanting_at = n_kept;
        }
    }
    list->n = n_kept;
    w->looked_at = from + LOOKS_PER_DRAIN;
    if (w->due.n) {
        qsort(w->due.items, w->due.n, sizeof(struct target_thread *), by_age);
    }
    return w->due.n;
}

bool wanting_has_time(const struct wanting *w)
{
    return w->left_ns > 0;
}

void wanting_spend(struct wanting *w, int64_t ns)
{
    w->left_ns -= ns;
    w->ts += ns; /* that time gives none */
}

void wanting_free(struct wanting *w)
{
    free(w->list.items);
    free(w->due.items);
}
