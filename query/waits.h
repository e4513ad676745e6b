/*
 * waits.h - time off the CPU that a filter lets through, as pieces or added up over the call tree.
 *
 * Three things make up what a thread waited: single intervals (thread_state), sums of those that
 * were too many to keep (folded_state), and the interval that is still open (thread_sum), which
 * ends at run_row.now_ts. All are clipped to the range of the filter. One thread.
 */
#ifndef STAX_QUERY_WAITS_H
#define STAX_QUERY_WAITS_H

#include "query/reasons.h"
#include "query/view.h"

enum wait_kind { WAIT_SINGLE, WAIT_FOLDED, WAIT_OPEN };

struct wait_piece {
    enum wait_kind kind;
    int reason; /* reasons.h */
    int64_t id; /* thread_state.id of WAIT_SINGLE */
    int64_t utid;
    int64_t ts, dur;    /* ns, of the whole interval; of WAIT_FOLDED the bucket it is counted in */
    int64_t n;          /* intervals; those of WAIT_FOLDED are as cut as their time is */
    int64_t ns;         /* time inside the range */
    int64_t callsite;   /* 0: no stack */
    int64_t guessed_ns; /* of ns, whose reason is guessed; -1: not known. 0 where open */
};

typedef void wait_fn(void *context, const struct wait_piece *piece);

/* Calls fn for each piece of the threads that fold_threads() accepted; functions are not looked
 * at. */
int waits_each(struct query *q, const struct filter *filter, wait_fn *fn, void *context,
               struct err *e);
/* The longest finished single intervals of a reason in the whole run, the longest first; all that
 * are as long as the last of them come too. */
void waits_longest(struct query *q, int reason, size_t n, wait_fn *fn, void *context);

/* Sums of the finished intervals of a reason in the whole run. */
struct wait_total {
    int64_t n, ns, n_folded, folded_ns;
};
void waits_totals(struct query *q, struct wait_total totals[N_STATES]);

/* Of these the open ones alone. */
void waits_open(struct query *q, const struct filter *filter, wait_fn *fn, void *context);

/* The symbols that stand for reasons in the call tree; 0: nobody waited for that yet. */
struct wait_markers {
    uint32_t symbols[N_REASONS];
};

struct wait_markers waits_markers(struct query *q);

/* What a tree of waits does not say about them. */
struct waits_rest {
    uint64_t stackless_ns; /* no stack is known: they stand right below the process */
    uint64_t open_ns;      /* not in the tree yet: they have not ended */
};

/* Adds up blocked time over the call tree into q->fold, each stack ending in the marker of its
 * reason. reason: -1 for all. */
int waits_fold(struct query *q, const struct filter *filter, int reason, struct waits_rest *rest,
               struct err *e);
/* The same of the whole run and all reasons, from summaries: what fold.n and fold.ns would be. */
int waits_total(struct query *q, int64_t *n_waits, int64_t *off_cpu_ns, struct waits_rest *rest,
                struct err *e);

/* The view's parameters "off_cpu" and "reason" (which implies the former). *reason: -1 for all. */
int waits_asked(const struct params *p, bool *is_off_cpu, int *reason, struct err *e);

/* Members that documents of off-CPU time have beside those of their measure: "reason" (null: all),
 * "stackless_off_cpu_ns" and "open_off_cpu_ns". */
void waits_describe(json_t *data, int reason, const struct waits_rest *rest);

/* What everybody should know of an answer about waiting; off_cpu_ns: in the tree, if one is shown,
 * with its rest, else NULL. */
void waits_warnings(struct query *q, const struct params *p, bool is_empty, int64_t off_cpu_ns,
                    const struct waits_rest *rest);

/* Why the run has no off-CPU time, if the host withheld it. */
void waits_warn_unrecorded(struct query *q);

/* Whether the run lacks an ability, with a warning that begins with what it would have given. */
bool waits_warn_of_lack(struct query *q, const char *ability, const char *what);

/* The first thread_state.id of which a row may reach beyond from. */
int64_t waits_first_row(struct query *q, int64_t from);

/* Folded rows: the bucket of a moment, what share of a row's buckets lies in [from, to), and that
 * share of a number. */
int64_t waits_bucket(const struct query *q, int64_t ts);
double waits_bucket_part(const struct query *q, int64_t bucket, int64_t n_buckets, int64_t from,
                         int64_t to);
int64_t waits_cut(int64_t value, double part);

/* The moment a range begins and the first one after it, on the clock of ts. */
void waits_range(const struct query *q, const struct filter *filter, int64_t *from, int64_t *to);

#endif
