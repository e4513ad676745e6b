/*
 * refusal.h - what stands in the way of perf events, and what would help.
 *
 * Looks at the host's settings each time it is asked; nothing is kept. Any thread.
 */
#ifndef STAX_CAPTURE_REFUSAL_H
#define STAX_CAPTURE_REFUSAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* kernel.perf_event_paranoid, INT64_MIN: it cannot be read. */
int64_t refusal_paranoid(void);
/* Whether this process runs behind a seccomp filter. */
bool refusal_is_filtered(void);
/* Whether this process has CAP_PERFMON, or CAP_SYS_ADMIN, which stands for it, in effect. */
bool refusal_has_perfmon(void);

/* Why an event on a thread (0: of ourselves) could not be opened. broker: why staxd did not either
 * (code 0: it was not asked). Fills *e and returns its code. */
int refusal_explain(int os_errno, pid_t tid, const struct err *broker, struct err *e);

/* Why not even a ring of min_bytes per CPU could be mapped. */
int refusal_explain_ring(int os_errno, size_t min_bytes, struct err *e);

#endif
