/*
 * client.h - calls to stax-server: JSON-RPC 2.0 over HTTP on its Unix socket (DESIGN §6).
 *
 * One call at a time, one thread. Errors: STAX_EUNREACHABLE when nothing answers (with the socket
 * tried and how to start a server), STAX_EPERMISSION when another user (but root) answers,
 * STAX_EUSAGE when the socket's path is unusable, else what the server answered.
 */
#ifndef STAX_CLI_CLIENT_H
#define STAX_CLI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct client;

int client_open(struct client **out, struct err *e);
/* NULL is accepted. */
void client_close(struct client *c);
/* Where the server is expected. Borrowed. */
const char *client_socket(const struct client *c);

enum {
    CLIENT_PATIENT = 0,  /* as long as the server answers others meanwhile */
    CLIENT_FOREVER = -1, /* as long as it takes */
};

/* Calls a method. Takes parameters (NULL: none). timeout_ms may be CLIENT_PATIENT or
 * CLIENT_FOREVER. The caller owns *document; document may be NULL when only success matters.
 * STAX_ETIMEOUT: the server did not answer in time. */
int client_call(struct client *c, const char *method, json_t *parameters, int64_t timeout_ms,
                json_t **document, struct err *e);

/* Called about once a second while a call is under way; tick NULL: nothing. */
typedef void client_tick(void *ctx);
void client_set_tick(struct client *c, client_tick *tick, void *ctx);

/* The result of a JSON-RPC answer: 0 and a new reference, or the error it carries. http_status is
 * that of the answer. */
int client_result(const char *body, size_t n_bytes, long http_status, json_t **result,
                  struct err *e);

#endif
