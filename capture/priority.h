/*
 * priority.h - getting a thread onto a CPU in time.
 *
 * A ring fills in milliseconds when the target switches a million times a second, and such a target
 * can keep an ordinary thread off the CPU for a second. So a thread that drains rings asks for a
 * short slice, which anybody may (since 6.12; it is woken earlier, and gets no more CPU time for
 * it), and for real-time priority, which is granted to root. Without that it must be in the
 * target's session where the kernel shares CPUs out by session (cli/autostart.c): a short slice is
 * of no use there. Each call is about the calling thread.
 */
#ifndef STAX_CAPTURE_PRIORITY_H
#define STAX_CAPTURE_PRIORITY_H

#include "capture/staxd/slice.h"

/* Asks for it; what is refused is done without. *before (NULL: not wanted): what there was;
 * size 0: not known. */
void priority_raise(struct slice_attributes *before);
void priority_restore(const struct slice_attributes *before);

#endif
