/*
 * tasks.h - the processes and threads of a run, by the ids the kernel reuses and by those that
 * last. One thread.
 */
#ifndef STAX_INGEST_TASKS_H
#define STAX_INGEST_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "capture/event.h"
#include "ingest/space.h"

struct jit_space;

/* Code that it made at run time (jit.h). */
struct process_jit {
    struct jit_space *space; /* its own, or its parent's at the fork; NULL: none is known */
    int64_t fork_ts;         /* from then on the parent's code is no longer this one's */
    int64_t ts;              /* of the stack that is looked at */
    int64_t from_ts, to_ts;  /* addresses mean the same in [from, to) */
    uint32_t version;        /* ... as of this version of space */
};

struct process {
    uint32_t upid;
    int32_t pid;
    uint32_t parent_upid;     /* 0: none */
    char *name;               /* clean text */
    char *cmdline;            /* clean text, or NULL */
    int64_t start_ts, end_ts; /* end_ts 0: alive */
    struct space *space;      /* NULL after its end */
    uint32_t version; /* of its mappings: raised whenever an address may mean something else */
    uint32_t root;    /* callsite of the process's name, 0: not made since the last exec */
    struct process_jit jit;
    bool has_file; /* a file was mapped since the last exec */
    bool is_changed;
};

/* What a thread gained in one 100 ms bucket. */
struct bucket {
    int64_t bucket; /* (ts - start) / 100 ms, -1: none yet */
    uint64_t n_samples;
    int64_t on_cpu_ns;
};

/* The stack a thread was last sampled in, root first, with what its levels were interned to. */
struct last_stack {
    uint32_t root;    /* callsite it starts from */
    uint32_t version; /* of the process's mappings then */
    uint32_t entry;   /* level at which the kernel was entered, a pc; UINT32_MAX: none */
    uint32_t n;
    uint32_t cap;
    uint32_t n_cut; /* levels up to the last that was no caller; 0: none */
    uint64_t *addresses;
    uint32_t *callsites;
};

/* A thread's ledger beside its samples: see thread_sum. */
struct thread_time {
    bool is_known;     /* capture told of it */
    int64_t on_cpu_ns; /* exact, up to open_ts */
    int64_t runnable_ns, unknown_ns;
    int64_t reasons_ns[EVENT_N_REASONS];
    int64_t guessed_ns; /* of these */
    uint64_t n_switches;
    int64_t open_ts;
    uint8_t open_state, open_reason;
    uint8_t open_reason_from, open_stack_from; /* of the wait that it is in, once it is long */
    uint32_t open_callsite;                    /* 0: not told yet */
    bool has_ended;
};

/* What woke a thread last. */
struct last_wakeup {
    int64_t ts; /* ns; 0: nothing */
    uint32_t waker_utid, waker_callsite;
    uint8_t waker; /* enum event_waker */
};

struct thread {
    uint32_t upid;
    int32_t tid;
    char *name; /* clean text */
    int64_t start_ts, end_ts;
    uint64_t n_samples;
    int64_t on_cpu_ns;
    uint64_t counters[EVENT_COUNTERS_MAX]; /* of its samples, by slot */
    struct bucket bucket;
    struct last_stack last;
    uint32_t sample_callsite, sample_frame; /* of its last sample, 0: none */
    struct thread_time time;
    uint32_t wait_callsites[EVENT_N_REASONS]; /* where it last waited with a stack, 0: nowhere */
    struct last_wakeup wakeup;                /* ended the wait that is told next */
    /* What the function on its stack said of its last futex, + 1, by the guess: 0: nothing yet. */
    uint8_t futex_reasons[EVENT_N_REASONS];
    bool is_changed;   /* name, start or end */
    bool has_new_sums; /* stands in tasks.touched */
};

struct tasks {
    struct process *processes; /* upid is index + 1 */
    size_t n_processes, processes_written, cap_processes;
    struct thread *threads; /* utid is index + 1 */
    size_t n_threads, threads_written, cap_threads;
    uint32_t *changed_processes; /* rows to be written again */
    size_t n_changed_processes, cap_changed_processes;
    uint32_t *changed_threads;
    size_t n_changed_threads, cap_changed_threads;
    struct map by_pid; /* pid -> upid */
    struct map by_tid; /* (pid, tid) -> utid */
    uint32_t *touched; /* threads with news since the last commit */
    size_t n_touched, cap_touched;
};

void tasks_free(struct tasks *t);

static inline struct process *tasks_process(const struct tasks *t, uint32_t upid)
{
    return &t->processes[upid - 1];
}
static inline struct thread *tasks_thread(const struct tasks *t, uint32_t utid)
{
    return &t->threads[utid - 1];
}

/* The thread's sums are to be written by the next commit. */
void tasks_touch(struct tasks *t, uint32_t utid);

/* A process appears; its space is its parent's when that is known. Returns its upid. */
uint32_t tasks_start_process(struct tasks *t, int64_t ts, int32_t pid, int32_t parent_pid,
                             const char *name, size_t name_len, const char *cmdline,
                             size_t cmdline_len);
void tasks_end_process(struct tasks *t, int64_t ts, int32_t pid);
void tasks_exec(struct tasks *t, int64_t ts, int32_t pid, const char *name, size_t name_len,
                const char *cmdline, size_t cmdline_len);
/* The upid of a pid, made up when no start was seen. */
uint32_t tasks_upid(struct tasks *t, int64_t ts, int32_t pid);

uint32_t tasks_start_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid, const char *name,
                            size_t name_len);
/* The thread begins at another time than was known. */
void tasks_start_later(struct tasks *t, uint32_t utid, int64_t ts);
void tasks_end_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid);
void tasks_name_thread(struct tasks *t, int64_t ts, int32_t pid, int32_t tid, const char *name,
                       size_t name_len);
/* The utid of a (pid, tid), made up when no start was seen. */
uint32_t tasks_utid(struct tasks *t, int64_t ts, int32_t pid, int32_t tid);

#endif
