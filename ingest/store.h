/*
 * store.h - the rows of a run: buffers what a commit will write, and writes it.
 *
 * Owns the only writing connection of the run file. One thread.
 */
#ifndef STAX_INGEST_STORE_H
#define STAX_INGEST_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/event.h"
#include "ingest/binaries.h"
#include "ingest/ingest.h"
#include "ingest/intern.h"
#include "ingest/tasks.h"

enum { BUCKET_NS = 100000000 }; /* time_bucket: 100 ms */

struct sample_row {
    int64_t ts;
    int64_t on_cpu_ns;
    uint32_t utid, cpu, callsite, frame;
};

struct mapping_row {
    int64_t ts;
    uint64_t start, size, file_offset;
    uint32_t upid, binary;
};

struct loss_row {
    int64_t ts;
    int64_t cpu; /* -1: not known */
    uint32_t kind;
    uint64_t n;
};

struct bucket_row {
    uint32_t utid;
    struct bucket sums;
};

/* An off-CPU interval; enums of capture/event.h. */
struct state_row {
    int64_t ts, dur_ns;
    uint32_t utid, callsite; /* callsite 0: runnable */
    uint8_t state, reason, reason_from, stack_from;
    uint8_t waker;                       /* enum event_waker, STORE_NO_WAKER: not known */
    uint32_t waker_utid, waker_callsite; /* 0: none */
};

enum { STORE_NO_WAKER = EVENT_N_WAKERS };

/* A wakeup that ended a wait of dur_ns. */
struct wakeup_row {
    int64_t ts, dur_ns;
    uint32_t utid, waker_utid, waker_callsite; /* 0: none */
    int32_t waker_tid;
    uint8_t waker;
};

/* Wakeups without rows of their own. */
struct folded_wakeup_row {
    int64_t bucket, dur_ns;
    uint64_t n;
    uint32_t utid, waker_utid; /* waker_utid 0: not a thread of the target */
    uint8_t waker;
};

/* Intervals without rows of their own. */
struct folded_row {
    int64_t bucket, dur_ns;
    uint64_t n;
    uint32_t utid, callsite;
    uint8_t state, reason;
    int64_t guessed_ns; /* of dur_ns, whose reason is guessed */
};

/* Off-CPU intervals of a reason, since the last commit. */
struct wait_sum {
    uint64_t n, n_folded;
    int64_t dur_ns, folded_ns;
};

/* Off-CPU time in a bucket, to be added to what it has. */
struct off_cpu_row {
    int64_t bucket, runnable_ns, blocked_ns;
    uint32_t utid;
};

/* One function at a frame; file is owned, or NULL. */
struct line_row {
    uint32_t frame, depth, symbol, line;
    bool is_last; /* the outermost, frame.symbol as it is then: rows beyond it that the frame had go
                   */
    char *file;
};

/* The counts of the run row. */
struct run_counts {
    int64_t data_ts;   /* newest event */
    int64_t sample_ts; /* newest sample row; later ones are after it */
    int64_t on_cpu_ns;
    uint64_t n_lost, n_truncated, n_unnamed, n_moved;
    int64_t max_moved_ns;
    struct counter_count {
        uint64_t n_attributed;
        bool has_ended; /* the others are known */
        uint64_t n_counted, enabled_ns, running_ns;
    } counters[EVENT_COUNTERS_MAX]; /* of the rows of counter */
};

/* How many stacks ended in one way. */
struct stack_end_counts {
    uint64_t n_samples, n_guessed_samples, n_waits, n_guessed_waits;
    bool is_changed;
};

struct store {
    struct db *db;
    struct sample_row *samples;
    size_t n_samples, cap_samples;
    size_t n_counters;         /* of each sample */
    uint64_t *sample_counters; /* beside samples, n_counters each */
    size_t cap_sample_counters;
    struct mapping_row *mappings;
    size_t n_mappings, cap_mappings;
    struct loss_row *losses;
    size_t n_losses, cap_losses;
    struct bucket_row *buckets; /* that were left behind since the last commit */
    size_t n_buckets, cap_buckets;
    struct state_row *states;
    size_t n_states, cap_states;
    struct folded_row *folded;
    size_t n_folded, cap_folded;
    struct line_row *lines;
    size_t n_lines, cap_lines;
    uint32_t *moved_frames; /* whose symbol is another one than the row says */
    size_t n_moved_frames, cap_moved_frames;
    struct wait_sum wait_sums[EVENT_N_REASONS + 1]; /* by reason, then runnable ones */
    struct wakeup_row *wakeups;
    size_t n_wakeups, cap_wakeups;
    struct folded_wakeup_row *folded_wakeups;
    size_t n_folded_wakeups, cap_folded_wakeups;
    struct off_cpu_row *off_cpu;
    size_t n_off_cpu, cap_off_cpu;
    bool has_off_cpu;     /* run.has_off_cpu */
    int64_t committed_ts; /* counts.data_ts of the last commit that succeeded */
    struct run_counts counts;
    struct stack_end_counts stack_ends[EVENT_N_STACK_ENDS];
    uint64_t n_rows;        /* written so far */
    int64_t next_rename_ns; /* CLOCK_MONOTONIC: names wait until then; 0: they do not */
    bool has_new_names;     /* were written, and run.n_renames does not count it yet */
    uint32_t n_snapshots;
    uint64_t snapshot_samples; /* run samples in the last snapshot */
};

int store_create(struct store *s, const char *path, const struct ingest_run *run,
                 const struct ingest_ability *abilities, size_t n_abilities, struct err *e);
void store_fini(struct store *s);
/* Gives up the connection; nothing can be written any more. */
void store_close(struct store *s);

/* counters: n_counters of them, NULL if the sample has none. */
void store_add_sample(struct store *s, const struct sample_row *row, const uint64_t *counters);
void store_add_mapping(struct store *s, const struct mapping_row *row);
void store_add_loss(struct store *s, int64_t ts, int64_t cpu, uint32_t kind, uint64_t n);
void store_add_bucket(struct store *s, uint32_t utid, const struct bucket *sums);

/* Takes file. */
void store_add_line(struct store *s, const struct line_row *row);
/* A frame whose row may be written already is now what in->frames says. */
void store_move_frame(struct store *s, uint32_t frame);
void store_add_state(struct store *s, const struct state_row *row);
void store_add_folded(struct store *s, const struct folded_row *row);
void store_add_wakeup(struct store *s, const struct wakeup_row *row);
void store_add_folded_wakeup(struct store *s, const struct folded_wakeup_row *row);
/* Spreads an interval over time buckets; start_ts: of the run. Long ones are left out. */
void store_add_off_cpu(struct store *s, int64_t start_ts, const struct state_row *row);

/* Writes everything buffered and due in one transaction. is_final: also every late summary row and
 * a last snapshot. Returns 0, or STAX_EFULL / STAX_ESYSTEM with nothing of this commit written. */
int store_commit(struct store *s, struct intern *in, struct binaries *b, struct tasks *t,
                 bool is_final, struct err *e);
/* Counts the stack of a sample or of a wait by its end (enum event_stack_end). */
void store_count_stack(struct store *s, unsigned end, bool is_guessed, bool is_wait);
/* Sets state stopped. */
int store_end(struct store *s, const char *stop_reason, int64_t end_ts, struct err *e);
/* The same after a failure, which is kept with the run; an open transaction is given up. */
int store_end_failed(struct store *s, const char *stop_reason, int64_t end_ts,
                     const struct err *failure, struct err *e);

/* Says why names are not what they could be, in a row of ability. */
void store_lack_names(struct store *s, const char *reason);
/* The reason that goes away when somebody looks longer. */
extern const char store_names_cut_off[];

/* Drops sample rows up to the oldest usable snapshot, at most limit of them. Returns whether rows
 * were dropped. */
bool store_drop_raw(struct store *s, const struct intern *in, size_t limit);
/* Adds up old rows of folded waits and wakeups when there are more than max: their time stays
 * exact, the moment it is of gets coarser the older it is. One transaction. */
void store_widen_folded(struct store *s, int64_t max);
/* Bytes of the file that hold data; pages given back count no more. */
int64_t store_used_bytes(struct store *s);

/* Whether enough samples came since the last snapshot that filters would read too many rows. */
bool store_is_snapshot_due(const struct store *s, const struct intern *in);
/* Writes a snapshot of all stacks as of ts. */
void store_snapshot(struct store *s, const struct intern *in, int64_t ts);
/* The summary rows that are due, or all of them. */
void store_sums(struct store *s, struct intern *in, bool all);
/* Off-CPU time by bucket that was added since the last time. */
void store_off_cpu(struct store *s);
/* Writes what was added to wait_sum. */
void store_wait_sums(struct store *s);
/* Names alone: new and renamed symbols, moved frames, lines, and changed binaries. */
void store_names(struct store *s, struct intern *in, struct binaries *b);
/* New symbols, frames, callsites, nodes and stacks. */
void store_identities(struct store *s, struct intern *in);

#endif
