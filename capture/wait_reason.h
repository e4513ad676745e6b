/*
 * wait_reason.h - why a thread waits: the one table from functions and system calls to reasons.
 *
 * Evidence, best first: kernel functions on the stack of the switch-out or in /proc/TID/wchan; the
 * system call and its arguments; the library function on the user stack, which alone tells mutexes,
 * semaphores and condition variables apart (all of them futexes). docs/off-cpu.md prints the table.
 * Pure functions, any thread, except that a struct wait_kernel is filled once and then only read.
 */
#ifndef STAX_CAPTURE_WAIT_REASON_H
#define STAX_CAPTURE_WAIT_REASON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/event.h"

enum wait_evidence {
    WAIT_KERNEL_FUNCTION,
    WAIT_SYSCALL, /* name without prefix, as in syscalls(2) */
    WAIT_USER_FUNCTION,
};

/* Which of several functions of one stack says it: the innermost, except for these. */
enum wait_rank {
    WAIT_PLAIN,
    WAIT_INNER, /* waiting for a page, whatever for: a function or call around it says it better */
    WAIT_OUTER, /* right around another function of the table, it is what that is part of */
};

/* A row of the table. Several names that mean the same are separated by spaces; a * stands for
 * anything, and is in those of user functions only. */
struct wait_row {
    enum wait_evidence evidence;
    enum event_reason reason;
    bool is_vague; /* a futex, whatever it is part of; the reason is EVENT_REASON_OTHER */
    enum wait_rank rank;
    const char *names;
    const char *what; /* for people */
};

/* The table, in the order in which it is matched. */
const struct wait_row *wait_rows(size_t *n);

/* The row that names a function or system call; NULL: none does. Compiler suffixes (.constprop.0,
 * .part.1, .isra.0, .cold) and symbol versions (@GLIBC) do not count. */
const struct wait_row *wait_row_of(enum wait_evidence evidence, const char *name);

/* The name of a system call of this machine, NULL if the table knows none by that number. */
const char *wait_syscall_name(long number);

/* What a number is to a process: no id of one of its living threads, one that we know it by too, or
 * only one within its own pid namespace, where ids are small and mean other things as well. */
enum wait_thread { WAIT_NO_THREAD, WAIT_THREAD, WAIT_INNER_THREAD };

/* The arguments of a futex wait, and what lies around the futex. */
enum { WAIT_FUTEX_BEFORE = 48, WAIT_FUTEX_BYTES = 72, WAIT_FUTEX_PRIVATE = 0x80 };
struct wait_futex {
    uint32_t operation, value; /* value: that the futex was expected to have */
    uint64_t address, sp;      /* sp: of the waiting thread */
    const uint8_t
        *words; /* WAIT_FUTEX_BYTES, WAIT_FUTEX_BEFORE of them before it; NULL: not known */
    enum wait_thread thread; /* what wait_futex_tid() is to the process */
};
/* The id of the thread for whose end this is the wait, if there is one of that id; 0: it cannot be.
 */
uint32_t wait_futex_tid(const struct wait_futex *futex);

/* What a futex wait is part of (glibc, musl, Go, Rust), as far as its arguments say. A guess is
 * what no other evidence must contradict: the same call may be part of something else. */
enum wait_certainty { WAIT_UNKNOWN, WAIT_GUESS, WAIT_CERTAIN };
enum wait_certainty wait_futex_reason(const struct wait_futex *futex, enum event_reason *reason);

/* Whether a guess that it is a lock is by a value that a count of events passes through, too:
 * Rust's Mutex is waited for at 2, its Condvar at however often it was notified. */
bool wait_futex_may_count(uint32_t operation, uint32_t value);

/* The kernel functions of the table by address, and those by which its system calls are entered. A
 * zeroed struct knows none. */
struct wait_range {
    uint64_t start, end;
    const struct wait_row *row; /* NULL: none of ours begins here */
    bool is_soft_irq_call;      /* by which a thread itself runs the soft interrupts that are due */
    bool is_futex_call;         /* the system call futex, and not one of its younger siblings */
};
struct wait_kernel {
    struct wait_range *ranges;
    size_t n, cap;
};

/* Fills it from the text of /proc/kallsyms, addresses ascending or not. */
void wait_kernel_read(struct wait_kernel *k, const char *text, size_t len);
void wait_kernel_free(struct wait_kernel *k);
/* Whether the thread of this kernel stack runs soft interrupts by its own call, as sending to the
 * machine itself does, and not because an interrupt came upon it. */
bool wait_kernel_is_soft_irq_call(const struct wait_kernel *k, const uint64_t *addresses, size_t n);
/* Whether the kernel stack is that of futex(2): the registers of its caller are its arguments. */
bool wait_kernel_is_futex_call(const struct wait_kernel *k, const uint64_t *addresses, size_t n);
/* The row of the innermost function of a kernel stack (callee first) that has one; one that
 * is WAIT_INNER counts if there is no other. NULL: none. */
const struct wait_row *wait_kernel_row(const struct wait_kernel *k, const uint64_t *addresses,
                                       size_t n);

#endif
