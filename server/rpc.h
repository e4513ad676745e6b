/*
 * rpc.h - JSON-RPC 2.0: a request's bytes to a method with parameters, and answers to bytes.
 * Pure functions over hostile input, any thread.
 */
#ifndef STAX_SERVER_RPC_H
#define STAX_SERVER_RPC_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "server/method.h"

enum rpc_code {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_FAILED = -32000,
};

struct rpc_request {
    const struct method *method;
    json_t *id;         /* owned; NULL: a notification, which gets no answer */
    json_t *parameters; /* owned; always an object */
};

/* Parses and checks one request. On success 0 and *out is to be released with rpc_request_fini().
 * Otherwise an enum rpc_code, *e, and *id (owned; json null when it could not be read). */
int rpc_parse(const struct methods *methods, const char *text, size_t n, struct rpc_request *out,
              json_t **id, struct err *e);
void rpc_request_fini(struct rpc_request *r);

/* Answers as text (free()), its length in *n. id is borrowed, result is taken. */
char *rpc_result_text(const json_t *id, json_t *result, size_t *n);
char *rpc_error_text(const json_t *id, int code, const struct err *e, size_t *n);
/* {"jsonrpc","method":"update","params":{"subscription","result"}}; result is borrowed. */
char *rpc_update_text(int64_t subscription, json_t *result, size_t *n);

/* The error code of a failed handler. */
int rpc_code_of(const struct err *e);

#endif
