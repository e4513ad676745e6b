/*
 * waking.h - the raw data of the tracepoint sched:sched_waking: which thread is being woken, and in
 * what context.
 *
 * The event is bound to a thread and sampled when that thread is the one that wakes (what else the
 * kernel takes to it is told apart by the ids). Pure functions, any thread.
 */
#ifndef STAX_CAPTURE_WAKING_H
#define STAX_CAPTURE_WAKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAKING_TRACEPOINT "sched_waking"

struct waking {
    int32_t tid;       /* that is woken, as the host counts */
    int32_t waker_tid; /* that the CPU was running, as the host counts; 0: none */
    bool is_hard_irq;  /* in a hardware interrupt or NMI: the thread has nothing to do with it */
    bool is_soft_irq;  /* in a soft interrupt: the thread's own call, or one that came upon it */
};

/* Where the field "pid" lies. The second is what every kernel has had since 3.x, for who may not
 * read the format file: waking_parse() checks what can be checked. */
enum { WAKING_PID_UNKNOWN = 0, WAKING_PID_USUAL = 24 };

/* The offset of the field from the text of the tracepoint's format file, WAKING_PID_UNKNOWN if it
 * has none of 4 bytes. */
size_t waking_pid_offset(const char *format);

/* Takes the raw data of a sample apart. False: it is too short. */
bool waking_parse(const void *raw, size_t n_bytes, size_t pid_offset, struct waking *w);

#endif
