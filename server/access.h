/*
 * access.h - who may ask: the rules for a request by the transport it came in on.
 *
 * A connection on the Unix socket has shown the server's own uid (SO_PEERCRED) and may ask
 * anything. TCP can be reached by every user of the machine and by every page in the user's
 * browser: a request needs an allowed Host (against DNS rebinding), no foreign Origin (against
 * other pages), and the token. Pure functions, any thread.
 */
#ifndef STAX_SERVER_ACCESS_H
#define STAX_SERVER_ACCESS_H

#include <stdbool.h>

#include "base/err.h"
#include "server/http.h"

#define ACCESS_TOKEN_CHARS 64

struct access_rules {
    char token[ACCESS_TOKEN_CHARS + 1];
    int port;
};

/* 0 when the request may go on, else the HTTP status to refuse it with and *e saying why.
 * local: the address of ours the connection came in on, as a Host names it. needs_token is false
 * only for pages that hold nothing of the user's. */
int access_check(const struct access_rules *rules, const char *local, const struct http_head *head,
                 bool needs_token, struct err *e);

#endif
