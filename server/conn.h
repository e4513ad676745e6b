/*
 * conn.h - inside of the transport: its connections, as transport.c, conn.c and ws.c share them.
 * Transport thread only.
 */
#ifndef STAX_SERVER_CONN_H
#define STAX_SERVER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/http.h"
#include "server/transport.h"

struct lws;
struct lws_context;
struct lws_vhost;

enum conn_state {
    CONN_HEAD,    /* reading a request's head, or idle between requests */
    CONN_BODY,    /* reading its body */
    CONN_WAITING, /* the answer is being made */
    CONN_SENDING, /* the answer is being written */
    CONN_DRAIN,   /* refused: sent everything, now discarding what the client still sends */
    CONN_WS,      /* a WebSocket */
};

struct ws_message {
    struct ws_message *next;
    int64_t subscription; /* 0: an answer */
    char *frame;          /* room for libwebsockets' header, then n_bytes of text; owned */
    size_t n_bytes, n_sent;
};

struct conn {
    struct conn *prev, *next;
    struct transport *transport;
    uint64_t id;
    struct lws *wsi;
    int fd; /* HTTP only; closed by libwebsockets together with wsi */
    bool is_unix;
    enum conn_state state;
    int64_t deadline_ns; /* when it is closed unless something happens; 0: never */
    struct buf in;       /* bytes not yet understood */
    struct http_head head;
    bool keep_alive, is_eof, is_rx_off;
    bool wants_write; /* to be polled for room once the running callbacks are over */
    struct buf out;
    size_t n_sent;
    /* WebSocket only */
    struct ws_message *first, *last;
    size_t n_queued_bytes;
    int n_in_flight; /* requests without an answer yet */
};

struct transport {
    struct server *server;
    struct listeners *listeners;
    const struct access_rules *rules;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct conn *conns;
    struct lws *listening[2]; /* Unix, TCP */
    uint64_t last_id;
    int patience_s;
    int n_unix, n_tcp;
    int signal_fd, spare_fd;
    struct conn *upgrading; /* handed to libwebsockets right now */
    bool is_accepting, is_done;
    bool has_writers; /* some connection has wants_write set */
};

/* HTTP side; all return false when the connection is to be closed. */
bool conn_readable(struct conn *c);
bool conn_writable(struct conn *c);
/* The answer to the request being worked on; text is borrowed, NULL: nothing to say. */
bool conn_answer(struct conn *c, const char *text, size_t n);
/* Sets when the connection is closed if nothing happens before. */
void conn_set_deadline(struct conn *c, int seconds);
/* The seconds a state may last. */
int conn_patience(const struct conn *c);
/* Frees the struct, not the descriptor. */
void conn_free(struct conn *c);
struct conn *conn_new(struct transport *t, bool is_unix);

/* Polls for room to write, or stops and resumes polling for bytes to read (transport.c). */
void conn_want_write(struct conn *c);
void conn_set_rx(struct conn *c, bool is_on);
/* Turns the checked request in c->head into a WebSocket; c is closed by its caller afterwards. */
bool transport_upgrade(struct conn *c);

/* WebSocket side (ws.c): queues a message (takes m's text); false: too much is waiting. */
bool ws_send(struct conn *c, struct out_message *m);
/* libwebsockets' callback, behind the transport's own. */
int ws_callback(struct conn *c, int reason, const void *bytes, size_t n);

#endif
