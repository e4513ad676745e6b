/*
 * aside.h - work that may hang (files of a mount that is gone, memory that never answers), done by
 * threads that nobody has to wait for.
 *
 * The owner waits a moment for each job; one that does not end in it is left to its thread, and
 * comes back later, or never. Threads are few: when all hang nothing is done any more. What has the
 * same key is done one after the other, so that one mount that hangs takes one thread. All
 * functions are for one thread, the owner's.
 */
#ifndef STAX_BASE_ASIDE_H
#define STAX_BASE_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASIDE_THREADS_MAX = 4, ASIDE_LATE_MAX = 4096 };

enum aside_state { ASIDE_NEW, ASIDE_WAITING, ASIDE_RUNNING, ASIDE_DONE };

/* The first member of whatever the work needs and brings. */
struct aside_job {
    void (*run)(struct aside_job *job);  /* on another thread; touches nothing but the job */
    void (*free)(struct aside_job *job); /* any thread */
    uint64_t key;                        /* what hangs together */
    /* of aside.c */
    enum aside_state state;
    bool is_late, is_dropped; /* nobody waits for it; nobody wants it any more */
    int tid;                  /* of the thread that runs it */
    struct aside_job *next;
};

enum aside_answer {
    ASIDE_ANSWERED, /* done: the job is the caller's again */
    ASIDE_LATE,     /* under way: aside_take() gives it back */
    ASIDE_REFUSED,  /* not done, or dropped: the job is gone */
};

struct aside;

/* name: of the threads; static, at most 15 characters. */
struct aside *aside_new(const char *name);
/* Waits for nothing: jobs that hang are freed by their threads when they come back. NULL is
 * accepted. */
void aside_free(struct aside *a);

/* Takes the job and waits until it is done or is held up for patience_ns; as long as it computes it
 * is waited for. What is behind another job that hangs is not waited for at all. is_wanted_late:
 * else a job that takes longer is dropped. */
enum aside_answer aside_do(struct aside *a, struct aside_job *job, int64_t patience_ns,
                           bool is_wanted_late);
/* A late job that is done, or NULL. */
struct aside_job *aside_take(struct aside *a);
/* Late jobs that are not taken yet. */
size_t aside_n_late(const struct aside *a);
/* How many jobs were not waited for to their end, ever. */
uint64_t aside_n_left(const struct aside *a);

#endif
