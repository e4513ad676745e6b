/*
 * wait_probe.h - asks /proc what a thread that is blocked now waits for.
 *
 * Two small files per thread (syscall, wchan) and, for a futex, a few bytes of the target's memory.
 * What the host forbids (another user's process, Yama) is simply not known. Nothing is kept; any
 * thread that may use the memory given.
 */
#ifndef STAX_CAPTURE_WAIT_PROBE_H
#define STAX_CAPTURE_WAIT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/event.h"
#include "capture/futexes.h"
#include "capture/wait_reason.h"
#include "capture/target_memory.h"

/* A system call under way. */
struct wait_call {
    long number; /* -1: blocked outside of one (a page fault, a thread that never leaves the kernel)
                  */
    uint64_t arguments[6];
};

struct wait_seen {
    enum event_reason reason;
    enum event_reason_source from; /* EVENT_FROM_SYSCALL or EVENT_FROM_WCHAN */
    bool is_vague;           /* a futex; its reason is a guess, EVENT_REASON_OTHER: not even that */
    bool is_unlisted;        /* a kernel function was seen, that says nothing: EVENT_REASON_OTHER */
    struct futex_wait futex; /* whose surroundings were read for it; pid 0: none were */
};

/* What a number is to a process, for a caller who remembers what the two below said. */
typedef enum wait_thread (*wait_find_thread)(void *ctx, pid_t pid, uint32_t number);

/* False: the thread runs, is gone, or nothing is known. memory NULL: that is not read. */
bool wait_probe(struct target_memory *memory, wait_find_thread find, void *ctx, pid_t pid,
                pid_t tid, struct wait_seen *seen);

/* Where a thread is blocked, and in what; two that are equal are of the same wait, or of one just
 * like it. */
struct wait_place {
    struct wait_call call;
    uint64_t sp, pc;
};
/* False: it runs, is gone, may not be read, or has no place outside the kernel. */
bool wait_probe_place(pid_t pid, pid_t tid, struct wait_place *place);

/* Whether a number is the id of a living thread of the process, as we know it. */
bool wait_probe_is_thread(pid_t pid, uint32_t number);
/* Whether the process counts its threads in another pid namespace than we do; that stays so. */
bool wait_probe_is_elsewhere(pid_t pid);
/* The id of a thread in its own pid namespace, which it keeps; 0: not known. Reads one file. */
uint32_t wait_probe_inner_tid(pid_t pid, pid_t tid);

/* Whether the host lets us look into a process; pid 0: into one that is not ours. */
bool wait_probe_is_allowed(pid_t pid);

/* The parts of it that need no /proc. /proc/TID/syscall: number, six arguments, SP and PC, all hex
 * but the first; "running", or "-1", SP and PC outside of a system call. The kernel's own threads
 * in a process (of io_uring, since 5.12; of vhost, since 6.4) show the call that made them: they
 * have its registers, but SP and PC are 0 (copy_thread() in arch/x86/kernel/process.c; on arm64 all
 * are) and no call is under way. */
bool wait_parse_syscall(const char *text, struct wait_place *place);

#endif
