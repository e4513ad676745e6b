/* outbox.c - see outbox.h. */
#include "server/outbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct outbox {
    pthread_mutex_t lock;
    struct out_message *first, *last;
    void (*wake)(void *ctx);
    void *ctx;
};

struct outbox *outbox_new(void (*wake)(void *ctx), void *ctx)
{
    struct outbox *o = mem_new(1, sizeof(*o));
    pthread_mutex_init(&o->lock, NULL);
    o->wake = wake;
    o->ctx = ctx;
    return o;
}

void out_message_free(struct out_message *m)
{
    if (m) {
        free(m->text);
        free(m);
    }
}

void outbox_free(struct outbox *o)
{
    if (!o) {
        return;
    }
    while (o->first) {
        struct out_message *m = o->first;
        o->first = m->next;
        out_message_free(m);
    }
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void outbox_post(struct outbox *o, uint64_t conn, int64_t subscription, char *text, size_t n_bytes)
{
    struct out_message *m = mem_new(1, sizeof(*m));
    *m = (struct out_message){
        .conn = conn, .subscription = subscription, .text = text, .n_bytes = n_bytes};
    pthread_mutex_lock(&o->lock);
    if (o->last) {
        o->last->next = m;
    } else {
        o->first = m;
    }
    o->last = m;
    pthread_mutex_unlock(&o->lock);
    o->wake(o->ctx);
}

struct out_message *outbox_take(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    struct out_message *first = o->first;
    o->first = o->last = NULL;
    pthread_mutex_unlock(&o->lock);
    return first;
}
