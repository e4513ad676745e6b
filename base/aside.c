/* aside.c - see aside.h. */
#include "base/aside.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

static const int64_t LOOK_NS = 10000000;   /* between two looks at a thread that does not answer */
static const int64_t START_NS = 500000000; /* a thread that is free has begun by then */

struct list {
    struct aside_job *first, **last;
};

struct aside {
    const char *name;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t has_job, is_done;
    unsigned n_users; /* the owner and the threads: the last one frees */
    bool is_stopping;
    struct list todo, done; /* done: late jobs */
    struct aside_job *running[ASIDE_THREADS_MAX];
    size_t n_threads, n_running, n_late;
    uint64_t n_left;
};

static void push(struct list *l, struct aside_job *job)
{
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
}

static void unlink_job(struct list *l, struct aside_job **at)
{
    struct aside_job *job = *at;
    *at = job->next;
    if (!job->next) {
        l->last = at;
    }
    job->next = NULL;
}

static void free_list(struct list *l)
{
    while (l->first) {
        struct aside_job *job = l->first;
        unlink_job(l, &l->first);
        job->free(job);
    }
}

/* With the lock: gives it up. The last one frees everything. */
static void leave(struct aside *a)
{
    bool is_last = --a->n_users == 0;
    pthread_mutex_unlock(&a->lock);
    if (is_last) {
        free_list(&a->todo);
        free_list(&a->done);
        pthread_cond_destroy(&a->has_job);
        pthread_cond_destroy(&a->is_done);
        pthread_mutex_destroy(&a->lock);
        free(a);
    }
}

/* ---- the threads ---- */

static bool is_held(const struct aside *a, uint64_t key)
{
    for (size_t i = 0; i < ASIDE_THREADS_MAX; i++) {
        if (a->running[i] && a->running[i]->key == key) {
            return true;
        }
    }
    return false;
}

/* The first whose like is not being done already. */
static struct aside_job *next_job(struct aside *a)
{
    for (struct aside_job **at = &a->todo.first; *at; at = &(*at)->next) {
        if (!is_held(a, (*at)->key)) {
            struct aside_job *job = *at;
            unlink_job(&a->todo, at);
            return job;
        }
    }
    return NULL;
}

static void run(struct aside *a, struct aside_job *job)
{
    size_t slot = 0;
    while (a->running[slot]) {
        slot++;
    }
    a->running[slot] = job;
    a->n_running++;
    job->tid = gettid();
    job->state = ASIDE_RUNNING;
    pthread_mutex_unlock(&a->lock);
    job->run(job);
    pthread_mutex_lock(&a->lock);
    a->running[slot] = NULL;
    a->n_running--;
    job->state = ASIDE_DONE;
    bool is_unwanted = job->is_dropped || (job->is_late && a->is_stopping);
    if (!is_unwanted && job->is_late) {
        push(&a->done, job);
    }
    pthread_cond_broadcast(&a->has_job); /* for what has the same key */
    pthread_cond_signal(&a->is_done);
    if (is_unwanted) {
        pthread_mutex_unlock(&a->lock);
        job->free(job);
        pthread_mutex_lock(&a->lock);
    }
}

static void *serve(void *ctx)
{
    struct aside *a = ctx;
    pthread_setname_np(pthread_self(), a->name);
    pthread_mutex_lock(&a->lock);
    while (!a->is_stopping) {
        struct aside_job *job = next_job(a);
        if (job) {
            run(a, job);
        } else {
            pthread_cond_wait(&a->has_job, &a->lock);
        }
    }
    leave(a);
    return NULL;
}

/* ---- the owner ---- */

/* With the lock: another thread, where all are busy. */
static void start_thread(struct aside *a)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, old;
    if (a->n_running < a->n_threads || a->n_threads == ASIDE_THREADS_MAX) {
        return;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* Signals are the business of the threads that were there before. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, &attr, serve, a) == 0) {
        a->n_threads++;
        a->n_users++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

struct aside *aside_new(const char *name)
{
    struct aside *a = mem_new(1, sizeof(*a));
    pthread_condattr_t monotonic;
    a->name = name;
    a->n_users = 1;
    a->todo.last = &a->todo.first;
    a->done.last = &a->done.first;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->has_job, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->is_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return a;
}

void aside_free(struct aside *a)
{
    if (a) {
        pthread_mutex_lock(&a->lock);
        a->is_stopping = true;
        pthread_cond_broadcast(&a->has_job);
        leave(a);
    }
}

/* Whether a thread waits for something and not for a CPU. */
static bool is_blocked(int tid)
{
    char path[64];
    struct buf stat = {0};
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    fd_read_file(path, 4096, &stat);
    const char *end = strrchr(buf_str(&stat), ')');
    bool is_running = end && strncmp(end, ") R", 3) == 0;
    buf_free(&stat);
    return !is_running;
}

/* With the lock: until the job is done or the time is over. */
static void wait_a_little(struct aside *a, const struct aside_job *job)
{
    int64_t until = clock_monotonic_ns() + LOOK_NS;
    struct timespec t = {until / 1000000000, until % 1000000000};
    while (job->state != ASIDE_DONE && pthread_cond_timedwait(&a->is_done, &a->lock, &t) == 0) {
    }
}

/* With the lock: waits as long as the job is not held up. */
static void wait_for(struct aside *a, const struct aside_job *job, int64_t patience_ns)
{
    int64_t blocked_ns = 0, start_ns = 0;
    while (job->state != ASIDE_DONE && blocked_ns < patience_ns && start_ns < START_NS) {
        bool was_running = job->state == ASIDE_RUNNING;
        wait_a_little(a, job);
        if (job->state != ASIDE_RUNNING || !was_running) {
            start_ns += LOOK_NS;
            continue;
        }
        int tid = job->tid;
        pthread_mutex_unlock(&a->lock);
        bool blocked = is_blocked(tid);
        pthread_mutex_lock(&a->lock);
        blocked_ns += blocked ? LOOK_NS : 0;
    }
}

static void drop_waiting(struct aside *a, struct aside_job *job)
{
    for (struct aside_job **at = &a->todo.first; *at; at = &(*at)->next) {
        if (*at == job) {
            unlink_job(&a->todo, at);
            return;
        }
    }
}

/* With the lock: what becomes of a job that is not done. */
static enum aside_answer leave_behind(struct aside *a, struct aside_job *job, bool is_wanted_late)
{
    a->n_left++;
    if (is_wanted_late && a->n_late < ASIDE_LATE_MAX) {
        job->is_late = true;
        a->n_late++;
        return ASIDE_LATE;
    }
    if (job->state == ASIDE_RUNNING) {
        job->is_dropped = true;
    } else {
        drop_waiting(a, job);
        job->free(job);
    }
    return ASIDE_REFUSED;
}

enum aside_answer aside_do(struct aside *a, struct aside_job *job, int64_t patience_ns,
                           bool is_wanted_late)
{
    enum aside_answer answer = ASIDE_ANSWERED;
    job->state = ASIDE_WAITING;
    pthread_mutex_lock(&a->lock);
    start_thread(a);
    push(&a->todo, job);
    pthread_cond_signal(&a->has_job);
    if (!is_held(a, job->key) && a->n_running < a->n_threads) {
        wait_for(a, job, patience_ns);
    }
    if (job->state != ASIDE_DONE) {
        answer = leave_behind(a, job, is_wanted_late);
    }
    pthread_mutex_unlock(&a->lock);
    return answer;
}

struct aside_job *aside_take(struct aside *a)
{
    pthread_mutex_lock(&a->lock);
    struct aside_job *job = a->done.first;
    if (job) {
        unlink_job(&a->done, &a->done.first);
        a->n_late--;
    }
    pthread_mutex_unlock(&a->lock);
    return job;
}

size_t aside_n_late(const struct aside *a)
{
    return a->n_late;
}

uint64_t aside_n_left(const struct aside *a)
{
    return a->n_left;
}
