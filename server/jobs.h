/*
 * jobs.h - a few threads that run jobs from one bounded line.
 *
 * Each thread has a struct readers of its own (readers.h), handed to every job it runs. Any thread
 * may submit. Jobs that were accepted always run, also while the pool is being freed.
 */
#ifndef STAX_SERVER_JOBS_H
#define STAX_SERVER_JOBS_H

#include <stdbool.h>
#include <stddef.h>

struct jobs;
struct readers;
struct registry;

typedef void job_function(void *ctx, struct readers *readers);

/* max_waiting: jobs in line beyond those running. registry is borrowed for the threads' readers. */
struct jobs *jobs_new(const char *name, int n_threads, size_t max_waiting,
                      struct registry *registry);
/* False when the line is full or the pool ends; must_run ignores the bound, for the server's own
 * work. */
bool jobs_submit(struct jobs *j, job_function *fn, void *ctx, bool must_run);
/* Lets every thread drop readers of runs that are gone. */
void jobs_refresh(struct jobs *j);
size_t jobs_waiting(struct jobs *j);
/* Runs what is in line, then joins the threads; later jobs never run. */
void jobs_stop(struct jobs *j);
/* jobs_stop(), then frees. NULL is accepted. */
void jobs_free(struct jobs *j);

#endif
