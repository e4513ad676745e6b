/* rpc.c - see rpc.h. */
#include "server/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

static int bad_request(struct err *e, const char *what)
{
    err_set(e, STAX_EUSAGE, "not a JSON-RPC 2.0 request: %s", what);
    err_hint(e, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"params\":{}}");
    return RPC_INVALID_REQUEST;
}

static int find_method(const struct methods *methods, const char *name, const struct method **out,
                       struct err *e)
{
    *out = methods_find(methods, name);
    if (*out) {
        return 0;
    }
    struct buf clean = {0};
    text_clean(&clean, name, strnlen(name, 64));
    err_set(e, STAX_EUSAGE, "there is no method '%s'", buf_str(&clean));
    err_hint(e, "did you mean '%s'?", methods_nearest(methods, name));
    buf_free(&clean);
    return RPC_METHOD_NOT_FOUND;
}

static int check_parameters(const struct method *method, const json_t *given, struct err *e)
{
    if (given && !json_is_object(given)) {
        err_set(e, STAX_EUSAGE, "params must be an object: parameters have names here");
        return RPC_INVALID_PARAMS;
    }
    if (method->is_view) {
        return check_view_parameters(method, given, e) ? RPC_INVALID_PARAMS : 0;
    }
    return parameters_check(method->parameters, given, e) ? RPC_INVALID_PARAMS : 0;
}

static int parse_object(const struct methods *methods, const json_t *request,
                        struct rpc_request *out, json_t **id, struct err *e)
{
    const json_t *given_id = json_object_get(request, "id");
    if (given_id && !json_is_string(given_id) && !json_is_number(given_id) &&
        !json_is_null(given_id)) {
        return bad_request(e, "id must be a number, a string or null");
    }
    if (given_id) {
        json_decref(*id);
        *id = json_copy((json_t *)given_id);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)request, key, value)
    {
        if (strcmp(key, "jsonrpc") && strcmp(key, "id") && strcmp(key, "method") &&
            strcmp(key, "params")) {
            return bad_request(e, "unknown member");
        }
    }
    if (strcmp(json_text_at(request, "jsonrpc", ""), "2.0") != 0) {
        return bad_request(e, "\"jsonrpc\" must be \"2.0\"");
    }
    if (!json_is_string(json_object_get(request, "method"))) {
        return bad_request(e, "\"method\" must be a string");
    }
    const struct method *method;
    int rc = find_method(methods, json_text_at(request, "method", ""), &method, e);
    const json_t *given = json_object_get(request, "params");
    rc = rc ? rc : check_parameters(method, given, e);
    if (rc == 0) {
        out->method = method;
        out->id = given_id ? json_incref(*id) : NULL;
        out->parameters = given ? json_deep_copy(given) : json_object();
    }
    return rc;
}

int rpc_parse(const struct methods *methods, const char *text, size_t n, struct rpc_request *out,
              json_t **id, struct err *e)
{
    *out = (struct rpc_request){0};
    *id = json_null();
    json_error_t error;
    json_t *request = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!request) {
        struct buf clean = {0};
        text_clean(&clean, error.text, strlen(error.text));
        err_set(e, STAX_EUSAGE, "not JSON: %s (line %d, column %d)", buf_str(&clean), error.line,
                error.column);
        buf_free(&clean);
        return RPC_PARSE_ERROR;
    }
    int rc;
    if (json_is_object(request)) {
        rc = parse_object(methods, request, out, id, e);
    } else {
        rc = bad_request(e, json_is_array(request) ? "batches are not supported" : "not an object");
    }
    json_decref(request);
    if (rc == 0) {
        json_decref(*id);
        *id = NULL;
    }
    return rc;
}

void rpc_request_fini(struct rpc_request *r)
{
    json_decref(r->id);
    json_decref(r->parameters);
    *r = (struct rpc_request){0};
}

static char *dump(json_t *message, size_t *n)
{
    char *text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(message);
    if (!text) {
        abort(); /* only for lack of memory: we made the value ourselves */
    }
    *n = strlen(text);
    return text;
}

char *rpc_result_text(const json_t *id, json_t *result, size_t *n)
{
    return dump(json_pack("{s:s,s:O,s:o}", "jsonrpc", "2.0", "id", id, "result", result), n);
}

char *rpc_error_text(const json_t *id, int code, const struct err *e, size_t *n)
{
    json_t *document = json_of_err(e);
    json_t *error = json_object_get(document, "error");
    json_t *message =
        json_pack("{s:s,s:O,s:{s:i,s:O,s:O}}", "jsonrpc", "2.0", "id", id, "error", "code", code,
                  "message", json_object_get(error, "message"), "data", error);
    json_decref(document);
    return dump(message, n);
}

char *rpc_update_text(int64_t subscription, json_t *result, size_t *n)
{
    return dump(json_pack("{s:s,s:s,s:{s:I,s:O}}", "jsonrpc", "2.0", "method", "update", "params",
                          "subscription", (json_int_t)subscription, "result", result),
                n);
}

int rpc_code_of(const struct err *e)
{
    return e->code == STAX_EUSAGE ? RPC_INVALID_PARAMS : RPC_FAILED;
}
