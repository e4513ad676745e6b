/*
 * store_internal.h - what the files of the store share: store.c buffers and commits, store_rows.c
 * writes facts and names, store_sums.c summaries. Inside ingest/store*.c only. One thread.
 */
#ifndef STAX_INGEST_STORE_INTERNAL_H
#define STAX_INGEST_STORE_INTERNAL_H

#include "capture/event.h"
#include "ingest/store.h"
#include "schema/db.h"

/* How the tables spell the enums of event.h. */
extern const char *const store_state_texts[EVENT_N_STATES];
extern const char *const store_reason_texts[EVENT_N_REASONS];
extern const char *const store_reason_source_texts[EVENT_N_REASON_SOURCES];
extern const char *const store_stack_source_texts[EVENT_N_STACK_SOURCES];

/* Runs a statement that writes one row, and counts it. */
static inline void store_run_row(struct store *s, struct stmt *st)
{
    stmt_run(st);
    s->n_rows++;
}

/* 0 is NULL. */
static inline void store_bind_id(struct stmt *st, int parameter, uint32_t id)
{
    if (id) {
        stmt_bind_int(st, parameter, id);
    } else {
        stmt_bind_null(st, parameter);
    }
}

static inline void store_bind_ts(struct stmt *st, int parameter, int64_t ts)
{
    if (ts) {
        stmt_bind_int(st, parameter, ts);
    } else {
        stmt_bind_null(st, parameter);
    }
}

/* Binds n counters to the first n of EVENT_COUNTERS_MAX parameters, NULL to the others. */
static inline void store_bind_counters(struct stmt *st, int first, const uint64_t *counters,
                                       size_t n)
{
    for (int i = 0; i < EVENT_COUNTERS_MAX; i++) {
        if ((size_t)i < n) {
            stmt_bind_int(st, first + i, (int64_t)counters[i]);
        } else {
            stmt_bind_null(st, first + i);
        }
    }
}

/* Everything buffered in the store, and processes, threads and binaries that are new or changed. */
void store_facts(struct store *s, struct binaries *b, struct tasks *t);
/* Sums of the threads that ran since the last commit, and their time buckets. */
void store_thread_sums(struct store *s, struct tasks *t);
/* Tree nodes that are new, with what they sum up to so far, and those that came to life or died. */
void store_new_nodes(struct store *s, struct intern *in);
/* After a relayout: gives up the rows of stacks and snapshots, which have the old shape. */
void store_new_layout(struct store *s, struct intern *in);
/* A snapshot if one is due; is_final: if any sample came since the last. */
void store_due_snapshot(struct store *s, const struct intern *in, bool is_final);

#endif
