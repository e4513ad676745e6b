/*
 * transport.h - the sockets: HTTP and WebSocket on the Unix socket and on TCP, by libwebsockets.
 *
 * One thread runs it and owns every connection. HTTP is read and written here (http.h) on
 * descriptors that libwebsockets only polls; a checked WebSocket request is handed to it and
 * becomes its own.
 */
#ifndef STAX_SERVER_TRANSPORT_H
#define STAX_SERVER_TRANSPORT_H

#include "base/err.h"
#include "server/access.h"
#include "server/listen.h"
#include "server/server.h"

struct transport;

#define TRANSPORT_PATIENCE_S     30
#define TRANSPORT_PATIENCE_S_MAX 3600

/* listeners are borrowed; SIGTERM and SIGINT must be blocked in all threads: they arrive here.
 * patience_s: how long a client may take none of its answer or give none of its body, and how long
 * a WebSocket may be silent before it is asked for a sign of life (half as long again later it is
 * closed); usually TRANSPORT_PATIENCE_S. */
struct transport *transport_new(struct listeners *listeners, const struct access_rules *rules,
                                int patience_s, struct err *e);
/* Any thread: there are answers in the outbox. May be called before transport_run(). */
void transport_wake(struct transport *t);
/* Serves until a signal asks to end. Returns 0, or an error when the event loop fails. */
int transport_run(struct transport *t, struct server *server, struct err *e);
/* Sends what the outbox still holds, for at most a second. */
void transport_flush(struct transport *t);
void transport_free(struct transport *t);

#endif
