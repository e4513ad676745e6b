/* jobs.c - see jobs.h. */
#include "server/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/readers.h"

struct job {
    struct job *next;
    job_function *fn;
    void *ctx;
};

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, *last;
    size_t n_waiting, max_waiting;
    unsigned refresh; /* counts jobs_refresh() calls */
    bool is_ending;
    struct registry *registry;
    int n_threads;
    pthread_t *threads;
};

static struct job *take(struct jobs *j)
{
    struct job *job = j->first;
    if (job) {
        j->first = job->next;
        if (!j->first) {
            j->last = NULL;
        }
        j->n_waiting--;
    }
    return job;
}

static void *run(void *ctx)
{
    struct jobs *j = ctx;
    struct readers *readers = readers_new(j->registry);
    pthread_mutex_lock(&j->lock);
    unsigned refreshed = j->refresh;
    for (;;) {
        struct job *job;
        if (refreshed != j->refresh) {
            refreshed = j->refresh;
            pthread_mutex_unlock(&j->lock);
            readers_refresh(readers);
            pthread_mutex_lock(&j->lock);
        } else if ((job = take(j)) != NULL) {
            pthread_mutex_unlock(&j->lock);
            job->fn(job->ctx, readers);
            free(job);
            pthread_mutex_lock(&j->lock);
        } else if (j->is_ending) {
            break;
        } else {
            pthread_cond_wait(&j->changed, &j->lock);
        }
    }
    pthread_mutex_unlock(&j->lock);
    readers_free(readers);
    return NULL;
}

struct jobs *jobs_new(const char *name, int n_threads, size_t max_waiting,
                      struct registry *registry)
{
    struct jobs *j = mem_new(1, sizeof(*j));
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    j->max_waiting = max_waiting;
    j->registry = registry;
    j->threads = mem_new((size_t)n_threads, sizeof(*j->threads));
    for (int i = 0; i < n_threads; i++) {
        if (pthread_create(&j->threads[i], NULL, run, j) != 0) {
            break;
        }
        pthread_setname_np(j->threads[i], name);
        j->n_threads++;
    }
    if (j->n_threads == 0) {
        /* As with memory: a process that gets no thread at its start cannot do anything useful. */
        fputs("stax-server: cannot start threads\n", stderr);
        abort();
    }
    return j;
}

bool jobs_submit(struct jobs *j, job_function *fn, void *ctx, bool must_run)
{
    struct job *job = mem_new(1, sizeof(*job));
    *job = (struct job){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&j->lock);
    bool fits = must_run || (j->n_waiting < j->max_waiting && !j->is_ending);
    if (fits) {
        if (j->last) {
            j->last->next = job;
        } else {
            j->first = job;
        }
        j->last = job;
        j->n_waiting++;
        pthread_cond_signal(&j->changed);
    }
    pthread_mutex_unlock(&j->lock);
    if (!fits) {
        free(job);
    }
    return fits;
}

void jobs_refresh(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    j->refresh++;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

size_t jobs_waiting(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    size_t n = j->n_waiting;
    pthread_mutex_unlock(&j->lock);
    return n;
}

void jobs_stop(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    j->is_ending = true;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->n_threads; i++) {
        pthread_join(j->threads[i], NULL);
    }
    j->n_threads = 0;
}

void jobs_free(struct jobs *j)
{
    if (!j) {
        return;
    }
    jobs_stop(j);
    while (j->first) {
        free(take(j));
    }
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    free(j->threads);
    free(j);
}
