/*
 * serve.h - one connection from its first request to its end, on a thread of its own.
 *
 * A fixed number of workers accept from one listening socket, so that a caller who is slow, or
 * whose descriptors are slow to close, holds up nobody but itself; a user can hold a few of them
 * only. Nothing is allocated once the workers run. There is no end to it but the process's.
 */
#ifndef STAX_CAPTURE_STAXD_SERVE_H
#define STAX_CAPTURE_STAXD_SERVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "capture/staxd/policy.h"

enum {
    SERVE_WORKERS = 32,
    SERVE_WORKERS_PER_USER = 4,
    SERVE_IDLE_MS = 5000, /* a connection that asks nothing for so long is closed */
    SERVE_NOTES_PER_MINUTE = 20,
};

struct server {
    int listener;
    int idle_ms;                      /* SERVE_IDLE_MS */
    pthread_t workers[SERVE_WORKERS]; /* detached */
    pthread_mutex_t lock;             /* of all that follows */
    struct {
        bool is_busy;
        uid_t uid;
    } slots[SERVE_WORKERS];
    struct timespec closing[SERVE_WORKERS]; /* per worker: since when it closes a refused
                                               connection, 0 while it does not */
    unsigned n_started;
    struct timespec last_used; /* CLOCK_MONOTONIC */
    struct {
        time_t minute; /* of what was counted */
        unsigned n_written, n_left_out;
    } notes;
};

/* Prepares a server on a listening SOCK_SEQPACKET socket (borrowed). */
void server_init(struct server *server, int listener);

/* Starts the workers, each with a small stack. 0 or an errno value. */
int server_start(struct server *server);

/* How long no connection has been open, in seconds; 0 while there is one. */
long server_idle_seconds(struct server *server);

/* Interrupts workers that have been closing a refused connection for long. A message that was never
 * read may hold a descriptor that is slow to close (SO_LINGER), and closing the connection closes
 * that too, on behalf of a user who holds no slot. To be called about once a second. */
void server_hurry(struct server *server);

/* Serves the connection until the peer is gone, idle, or breaks the protocol. Closes nothing. */
void serve_connection(struct server *server, int fd, const struct policy_caller *caller);

#endif
