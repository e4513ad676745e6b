/*
 * reasons.h - why threads wait, by number, as rows and documents name it. Constant, any thread.
 */
#ifndef STAX_QUERY_REASONS_H
#define STAX_QUERY_REASONS_H

#include "base/err.h"

enum { REASON_IDLE, REASON_OTHER = 9, N_REASONS, REASON_RUNNABLE = N_REASONS, N_STATES };

struct reason {
    const char *name;   /* thread_state.reason; "runnable" for REASON_RUNNABLE */
    const char *key;    /* column of thread_sum and member of documents, ns */
    const char *marker; /* symbol below the stacks of such waits */
    const char *help;
};

/* In the order of thread_sum's columns, then REASON_RUNNABLE. */
extern const struct reason reasons[N_STATES];

/* The number of a thread_state row; REASON_OTHER for words that no run of ours holds. */
int reason_of(const char *state, const char *reason);

/* The number of a word a caller gave; STAX_EUSAGE lists the words. */
int reason_parse(const char *word, int *reason, struct err *e);

#endif
