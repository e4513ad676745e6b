/*
 * listen.h - the listening sockets: inherited from a service manager, or made here.
 *
 * A live socket of another server is never replaced; a stale one is. Descriptors are close-on-exec
 * and non-blocking. One thread.
 */
#ifndef STAX_SERVER_LISTEN_H
#define STAX_SERVER_LISTEN_H

#include <stdbool.h>

#include "base/err.h"

struct listeners {
    int unix_fd; /* -1: none */
    int tcp_fd;  /* -1: none */
    int lock_fd; /* holds PATH.lock for as long as we serve the path; -1 */
    char unix_path[256];
    bool is_inherited; /* the path belongs to the service manager: not to be unlinked */
    char tcp_host[128];
    int tcp_port;
    char note[512]; /* what is not as asked for, "" if nothing */
};

/* Where clients look: $STAX_SERVER_SOCKET, else $XDG_RUNTIME_DIR/stax-server.sock, else
 * /tmp/stax-server-<uid>.sock. STAX_EUSAGE: too long for a socket address. */
int listen_socket_path(char *out, unsigned long size, struct err *e);

/* bind_to: HOST:PORT or PORT of the TCP socket, NULL for 127.0.0.1:8080, "off" for none. When the
 * port is taken, one of the next 20 is used and note says so. Errors: STAX_EBUSY (another server
 * answers on the path), STAX_EUSAGE, STAX_EPERMISSION. */
int listen_open(struct listeners *l, const char *bind_to, struct err *e);
void listen_close(struct listeners *l);
/* Removes the socket's path if it is ours; the descriptors stay. */
void listen_unlink(struct listeners *l);

/* Parses HOST:PORT, [HOST]:PORT or PORT (host 127.0.0.1 then). */
bool listen_parse_address(const char *text, char *host, unsigned long size, int *port);

enum { LISTEN_HOST_BYTES = 64 };
/* The address of ours that an accepted TCP connection came in on, as a Host header names it: in
 * brackets if it is one of IPv6, "" if it cannot be told. */
void listen_local_host(int fd, char out[LISTEN_HOST_BYTES]);

/* Whether the peer of an accepted Unix connection runs as our user. */
bool listen_is_peer_trusted(int fd);

#endif
