/*
 * outbox.h - finished answers on their way from any thread to the one that owns the sockets.
 */
#ifndef STAX_SERVER_OUTBOX_H
#define STAX_SERVER_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

struct outbox;

struct out_message {
    struct out_message *next;
    uint64_t conn; /* connection it is for */
    int64_t
        subscription; /* 0: the answer to a request; else an update, which a newer one replaces */
    char *text;       /* owned; NULL: a notification was carried out, nothing to say */
    size_t n_bytes;
};

/* wake is called after each post, on the posting thread. */
struct outbox *outbox_new(void (*wake)(void *ctx), void *ctx);
/* Frees what was never taken too. NULL is accepted. */
void outbox_free(struct outbox *o);

/* Takes text. */
void outbox_post(struct outbox *o, uint64_t conn, int64_t subscription, char *text, size_t n_bytes);
/* All messages in order, now the caller's. NULL: none. */
struct out_message *outbox_take(struct outbox *o);
void out_message_free(struct out_message *m);

#endif
