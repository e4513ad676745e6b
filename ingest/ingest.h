/*
 * ingest.h - turns events into rows of a run database.
 *
 * One struct ingest owns the only writing connection of a run. It is driven either by
 * ingest_start() (a thread of its own that pops batches from a queue and commits about every 100 ms
 * until EVENT_END) or by hand with ingest_feed() and ingest_commit() (tests, benchmarks).
 */
#ifndef STAX_INGEST_INGEST_H
#define STAX_INGEST_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/queue.h"

/* A counter of a run; its place in the list is its slot. */
struct ingest_counter {
    const char *name; /* as perf spells it */
    const char *unit; /* what one count is */
};

/* What is known of a run when it begins. Strings are borrowed during ingest_open() only. */
struct ingest_run {
    int64_t id;
    int32_t pid;
    bool is_launched;
    bool has_children;
    const char *command;
    int64_t start_ts;      /* CLOCK_MONOTONIC ns */
    int64_t start_wall_ns; /* CLOCK_REALTIME ns */
    int64_t frequency_hz;
    int64_t period_ns;
    const char *stax_version;
    const struct ingest_counter *counters;
    size_t n_counters; /* at most EVENT_COUNTERS_MAX */
};

struct ingest_ability {
    const char *name;
    bool is_available;
    const char *reason;
    const char *unlock;
};

struct debuginfod_servers;

struct ingest_options {
    const char *path;     /* of the run file, must not exist */
    int64_t max_bytes;    /* file size from which old raw rows are folded; 0: no bound */
    int64_t max_folded;   /* rows of folded waits and wakeups, about; 0: default 200,000 */
    const char *kallsyms; /* NULL: /proc/kallsyms; "" : none (replays) */
    int kallsyms_fd;      /* the same, open already, in its place: taken. 0 or -1: none */
    bool with_debug_info; /* look for better names (late_names.h) while recording */
    struct debuginfod_servers *servers; /* to ask then, borrowed; NULL: none */
    bool without_files; /* never open binaries named by mappings (replays, fuzzers) */
    /* Called on the ingest thread after each commit, and once more with is_end. NULL: none. */
    void (*committed)(void *ctx, bool is_end);
    void *ctx;
};

struct ingest_stats {
    uint64_t n_samples;
    uint64_t n_commits;
    uint64_t n_rows_written;
    uint64_t n_pending;     /* samples not yet in slow summaries */
    int64_t last_commit_ns; /* duration of the last commit */
    int64_t max_commit_ns;
    int64_t total_commit_ns;
    int64_t data_ts;           /* newest committed event */
    uint64_t memory_bytes;     /* of the interning tables, estimated */
    uint64_t names_bytes;      /* ... of symbol tables; bounded */
    uint64_t debug_info_bytes; /* ... of lines; bounded */
    uint64_t n_dropped_names; /* how often a symbol table was given back to stay within the bound */
    int64_t cpu_time_ns;      /* of the ingest thread */
};

struct ingest;
struct db;

int ingest_open(struct ingest **out, const struct ingest_options *options,
                const struct ingest_run *run, const struct ingest_ability *abilities,
                size_t n_abilities, struct err *e);
/* Feeds one batch (borrowed). Malformed bytes are counted as loss, never an error. */
void ingest_feed(struct ingest *in, const void *batch, size_t n_bytes);
/* Writes what was fed in one transaction. Waits while another program holds the write lock: the
 * queue is bounded and counts what finds no room, and the end of a run waits for 10 s only. After a
 * failure (disk full) the run is ended: returns STAX_EFULL once, keeps what was committed before,
 * and ignores later events. */
int ingest_commit(struct ingest *in, struct err *e);
/* Ends the run: flushes all summaries exactly, sets state and stop_reason. Also done by EVENT_END.
 */
int ingest_finish(struct ingest *in, const char *stop_reason, int64_t end_ts, struct err *e);

/* Runs the loop on a thread of its own; in borrows the queue. on_full is called (any thread) when
 * storage ended the run early, so that capture can be stopped. */
int ingest_start(struct ingest *in, struct queue *queue, struct err *e);
/* Asks for names to be looked for once more, debug files that were not there too. Any thread. */
void ingest_rename(struct ingest *in);
/* Joins the thread if any and closes the file. NULL is accepted. */
void ingest_close(struct ingest *in);

void ingest_stats(struct ingest *in, struct ingest_stats *stats);
/* Why storage ended the run early; code 0: it did not. After the end. */
const struct err *ingest_failure(const struct ingest *in);
/* The run.stop_reason of such a failure. */
const char *ingest_failure_reason(const struct err *failure);

/* Recomputes every summary of a stopped run file from its facts and names, in one transaction.
 * A run that was interrupted (state recording) becomes stopped with the given reason. */
int ingest_rebuild(const char *path, const char *stop_reason_if_recording, struct err *e);
/* The same after names changed, in a transaction of the caller's: the call tree is made anew, with
 * inlined functions as frame_line has them, and run.n_renames counts. What was recorded before
 * run.raw_from_ts keeps the tree it has. */
int ingest_rebuild_names(struct db *db, struct err *e);

#endif
