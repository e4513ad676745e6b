/*
 * view.h - what the files of the views share: the reader, the run's row, and the helpers that shape
 * their documents. Inside query/ only. One thread.
 */
#ifndef STAX_QUERY_VIEW_H
#define STAX_QUERY_VIEW_H

#include "query/counters.h"
#include "query/fold.h"
#include "query/params.h"
#include "query/query.h"
#include "schema/db.h"
#include "schema/sandbox.h"

struct run_row {
    struct fold_run fold;
    int64_t on_cpu_ns, elapsed_ns, end_ns; /* end_ns: where a range without end ends */
    int64_t now_ts;                        /* where intervals that are still open end */
    int64_t n_lost, n_truncated, n_unnamed, n_pending;
    bool has_off_cpu;
    int64_t frequency_hz;
    bool is_recording, is_cut_short; /* is_cut_short: it ended by a failure */
};

/* CPU time that no sample stands for, as of a state of the run: a sum over all threads there were.
 */
struct unsampled {
    int64_t data_ts, on_cpu_ns; /* of that state */
    int64_t read_ts;            /* when it was read; 0: never */
    int64_t ns;
    int64_t n_unseen; /* losses that may have held samples, of the document being made */
};

struct query {
    struct db *db;
    char *path;
    bool is_archive, is_migrated;
    int64_t timeout_ms;
    _Atomic(struct sandbox *) sandbox; /* opened by the first query_sql() */
    struct fold fold;
    struct run_row run;           /* of the snapshot being read */
    struct run_counters counters; /* likewise */
    struct unsampled unsampled;
    json_t *warnings; /* of the document being made; owned by it */
};

/* Fills data (an empty object). Called inside one snapshot with q->run current. */
typedef int view_fn(struct query *q, const struct params *p, json_t *data, struct err *e);

view_fn view_top, view_flamegraph, view_threads, view_timeline, view_neighbors, view_callers,
    view_callees, view_samples, view_intervals, view_symbols, view_wakers, view_total, view_profile,
    view_annotated, view_cfg;

/* How documents call what they add up: samples and on-CPU time, or waits and off-CPU time. */
struct measure {
    const char *n, *ns;
    const char *n_self, *self_ns;
    const char *n_total, *total_ns;
};

extern const struct measure measure_on_cpu, measure_off_cpu;

/* run.c: reads the run's row into q->run. STAX_ECORRUPT: the file has none. */
int run_read(struct query *q, struct err *e);
json_t *run_document(struct query *q);
json_t *run_quality(struct query *q);
/* What everybody should know of the answer: loss, abilities that would have shown more, emptiness.
 */
void run_warnings(struct query *q, bool shows_stacks, bool is_empty, const struct params *p);

void view_warn(struct query *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* fold_samples() for this view, with a warning where the range could not be met exactly. */
int view_fold(struct query *q, const struct params *p, bool with_nodes, struct err *e);

/* symbols_flag_matching() for this view, with a warning that names what was taken of several. */
int view_flag_function(struct query *q, const char *name, uint8_t *flags, struct err *e);

/* 100 * part / whole, to three decimals; 0 of nothing. */
json_t *view_pct(int64_t part, int64_t whole);
void view_set_int(json_t *object, const char *key, int64_t value);

/* Binds tid and pid of the filter, NULL where it has none. */
void view_bind_threads(struct stmt *s, int p_tid, int p_pid, const struct filter *filter);
/* Samples and time of the filter's threads, from summaries. */
void view_threads_total(struct query *q, const struct filter *filter, int64_t *n_samples,
                        int64_t *on_cpu_ns);

#endif
