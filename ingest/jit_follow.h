/*
 * jit_follow.h - the thread that reads what runtimes write about the code they make, while they
 * write it: jitdump files and perf maps.
 *
 * It looks for news about every 50 ms, holds what it has opened open (its process may end), and
 * stops reading while what it found has not been taken, so memory is bounded and files wait. All
 * functions are for one thread, the owner's.
 */
#ifndef STAX_INGEST_JIT_FOLLOW_H
#define STAX_INGEST_JIT_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/jit_batch.h"

struct jit_follow;

enum { JIT_FOLLOW_MAX = 4096 }; /* files at a time */

/* NULL: no thread can be started. */
struct jit_follow *jit_follow_new(void);
/* Ends what is under way, without waiting for it: a file system may be stuck. NULL is accepted. */
void jit_follow_free(struct jit_follow *f);

/* Follows a jitdump until its process is gone (pid 0: not known, to the end); takes fd. source: the
 * owner's number, given back with every batch. False: JIT_FOLLOW_MAX files are followed already. */
bool jit_follow_dump(struct jit_follow *f, uint32_t source, int fd, int32_t pid);
/* Looks for the perf map of a process, in the process's own /tmp, and follows it. It has to be a
 * regular file of the process's user or root, and written to since the process began. */
bool jit_follow_map(struct jit_follow *f, uint32_t source, int32_t pid);

/* The next batch, or NULL; free it with jit_batch_fini() and free(). */
struct jit_batch *jit_follow_take(struct jit_follow *f);
/* Asks for everything to be read to its end now, or waits for that up to timeout_ms. True: all was
 * read, and what was found is there to be taken. */
bool jit_follow_finish(struct jit_follow *f, int timeout_ms);

#endif
