/* queue.c - see queue.h. */
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct block {
    struct block *next;
    void *data;
    size_t n_bytes;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    struct block *first, *last;
    size_t n_bytes, peak_bytes, max_bytes;
};

struct queue *queue_new(size_t max_bytes)
{
    struct queue *q = mem_new(1, sizeof(*q));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->arrived, &attr);
    pthread_condattr_destroy(&attr);
    q->max_bytes = max_bytes;
    return q;
}

void queue_free(struct queue *q)
{
    if (!q) {
        return;
    }
    while (q->first) {
        struct block *b = q->first;
        q->first = b->next;
        free(b->data);
        free(b);
    }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->arrived);
    free(q);
}

static bool push(struct queue *q, void *data, size_t n, bool forced)
{
    struct block *b = mem_new(1, sizeof(*b));
    b->data = data;
    b->n_bytes = n;
    pthread_mutex_lock(&q->lock);
    bool fits = forced || q->n_bytes + n <= q->max_bytes;
    if (fits) {
        if (q->last) {
            q->last->next = b;
        } else {
            q->first = b;
        }
        q->last = b;
        q->n_bytes += n;
        if (q->n_bytes > q->peak_bytes) {
            q->peak_bytes = q->n_bytes;
        }
        pthread_cond_signal(&q->arrived);
    }
    pthread_mutex_unlock(&q->lock);
    if (!fits) {
        free(b);
    }
    return fits;
}

bool queue_push(struct queue *q, void *block, size_t n)
{
    return push(q, block, n, false);
}

void queue_push_forced(struct queue *q, void *block, size_t n)
{
    push(q, block, n, true);
}

void *queue_pop(struct queue *q, int timeout_ms, size_t *n)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&q->lock);
    int rc = 0;
    while (!q->first && rc == 0) {
        rc = pthread_cond_timedwait(&q->arrived, &q->lock, &until);
    }
    struct block *b = q->first;
    void *data = NULL;
    if (b) {
        q->first = b->next;
        if (!q->first) {
            q->last = NULL;
        }
        q->n_bytes -= b->n_bytes;
        data = b->data;
        *n = b->n_bytes;
    }
    pthread_mutex_unlock(&q->lock);
    free(b);
    return data;
}

bool queue_newest_is(struct queue *q, bool (*is_it)(const void *block, size_t n))
{
    pthread_mutex_lock(&q->lock);
    bool is_so = q->last && is_it(q->last->data, q->last->n_bytes);
    pthread_mutex_unlock(&q->lock);
    return is_so;
}

static size_t read_locked(struct queue *q, const size_t *field)
{
    pthread_mutex_lock(&q->lock);
    size_t v = *field;
    pthread_mutex_unlock(&q->lock);
    return v;
}

size_t queue_bytes(struct queue *q)
{
    return read_locked(q, &q->n_bytes);
}

size_t queue_peak_bytes(struct queue *q)
{
    return read_locked(q, &q->peak_bytes);
}

size_t queue_max_bytes(const struct queue *q)
{
    return q->max_bytes;
}
