/*
 * target.h - the table of the processes and threads of a target that are alive.
 *
 * Only bookkeeping: who is there, by pid and tid, with the names a fork hands on. Entries belong to
 * the table; a pointer is good until its entry is removed. Not shared between threads.
 */
#ifndef STAX_CAPTURE_TARGET_H
#define STAX_CAPTURE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "capture/address_space.h"
#include "capture/thread_counters.h"
#include "capture/waits.h"

enum { TARGET_NAME_BYTES = 16 }; /* as the kernel keeps names (TASK_COMM_LEN), not terminated */

struct target_name {
    char text[TARGET_NAME_BYTES];
    uint32_t len;
};

struct target_thread {
    int32_t tid;
    int32_t inner_tid; /* in its own pid namespace; 0: not asked for yet, -1: not known */
    int32_t source;  /* tid of the thread whose events are counted for this one; 0: not known yet */
    int64_t seen_ts; /* ns, when it was known to be alive first */
    int64_t missed_ts; /* ns, since when /proc has not had it; 0: it has */
    int64_t named_ts;  /* ns, when its name was last known for sure */
    struct target_name name;
    struct thread_waits waits;
    struct thread_counters counters;
    struct target_process *process;
    struct target_thread *next, *prev; /* of its process */
    uint32_t slot;
};

struct target_process {
    int32_t pid;
    uint32_t n_threads;
    struct target_thread *threads;
    struct target_name name; /* since its last exec */
    char *cmdline;           /* arguments separated by NUL, NULL: not known */
    size_t cmdline_len;
    int64_t seen_boot_ns;             /* CLOCK_BOOTTIME, when it was known to be alive first */
    int64_t gone_ts;                  /* ns, when /proc no longer had it; 0: it has */
    int64_t threads_ts;               /* ns, when its threads were last compared with /proc */
    int64_t maps_ts;                  /* ns, when its mappings were last read from /proc */
    int64_t exec_ts;                  /* ns, of its last exec; 0: none was seen */
    bool is_hidden;                   /* the kernel ended its events at that; it lives on */
    bool has_namespace, is_elsewhere; /* in another pid namespace than ours, once that is known */
    struct address_space *space; /* for unwinding; NULL: nothing is mapped, or nothing is unwound */
    uint32_t slot;
};

struct target {
    struct target_process **processes; /* by slot; NULL: free */
    struct target_thread **threads;
    size_t n_process_slots, cap_processes, n_thread_slots, cap_threads;
    size_t n_processes, n_threads; /* alive */
    struct map by_pid, by_tid;     /* slot + 1, or TARGET_REMOVED */
    uint32_t *free_processes, *free_threads;
    size_t n_free_processes, cap_free_processes, n_free_threads, cap_free_threads;
};

/* NULL: not there. */
struct target_process *target_process(const struct target *t, int32_t pid);
struct target_thread *target_thread(const struct target *t, int32_t tid);

/* Adds an entry that is not there. */
struct target_process *target_add_process(struct target *t, int32_t pid);
struct target_thread *target_add_thread(struct target *t, struct target_process *p, int32_t tid);

void target_remove_thread(struct target *t, struct target_thread *thread);
/* With its threads. */
void target_remove_process(struct target *t, struct target_process *p);

/* The first process at slot *slot or after; *slot moves past it. NULL: no more. */
struct target_process *target_next(const struct target *t, size_t *slot);

void target_set_name(struct target_name *name, const char *text, size_t len);
void target_set_cmdline(struct target_process *p, const char *text, size_t len);

/* An exec: nothing is mapped any more. */
void target_clear_space(struct target_process *p);

void target_clear(struct target *t);

#endif
