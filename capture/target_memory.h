/*
 * target_memory.h - reads the memory of target processes, and waits for none of them.
 *
 * A page of another process may be of a file on a mount that is gone, or be handed out by the
 * process itself (userfaultfd): reading it then hangs, and no signal but a fatal one ends that. So
 * a thread of its own reads, and whoever asks waits for some milliseconds. If the answer does not
 * come, the thread is left to it, the process is asked no more as long as that lasts, nor for some
 * time after, longer each time, and another thread takes over. They are few: when all hang nothing
 * is read. /proc/PID/cmdline is read here too, as that is memory of the process.
 *
 * All functions are for one thread at a time, which may be another one later.
 */
#ifndef STAX_CAPTURE_TARGET_MEMORY_H
#define STAX_CAPTURE_TARGET_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum { TARGET_MEMORY_BYTES_MAX = 64 << 10 }; /* of one read */

struct target_memory;

struct target_memory_stats {
    uint64_t n_hung; /* reads that were left behind, ever */
    size_t n_stuck;  /* threads that hang now */
};

struct target_memory *target_memory_new(void);
/* Threads that hang are left behind, and end when they come back. NULL is accepted. */
void target_memory_free(struct target_memory *m);

/* So many reads may stay unanswered until this is called again; then nothing is read. Whoever has
 * other work to do is so held up for no longer than one takes, some 35 ms. Without it as many may
 * as there are threads. */
void target_memory_allow(struct target_memory *m, size_t n_unanswered);

/* Reads up to n bytes (at most TARGET_MEMORY_BYTES_MAX) at an address; returns how many there are
 * before the first page that is not there. *is_refused: not even others of the process will be read
 * now (it is gone, not ours, or hangs). */
size_t target_memory_read(struct target_memory *m, pid_t pid, uint64_t address, void *to, size_t n,
                          bool *is_refused);

/* Appends the arguments of a process, at most limit bytes, as proc_read_cmdline() does. */
int target_memory_cmdline(struct target_memory *m, pid_t pid, size_t limit, struct buf *cmdline);

void target_memory_get_stats(const struct target_memory *m, struct target_memory_stats *stats);

#endif
