/* fuzz_rpc.c - request bytes: the HTTP head and the JSON-RPC body behind it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/http.h"
#include "server/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_body(const struct methods *methods, const char *text, size_t n)
{
    struct rpc_request r;
    struct err e = {0};
    json_t *id = NULL;
    size_t n_out = 0;
    int code = rpc_parse(methods, text, n, &r, &id, &e);
    if (code == 0) {
        assert(r.method && json_is_object(r.parameters));
        if (r.id) {
            free(rpc_result_text(r.id, json_incref(r.parameters), &n_out));
        }
        rpc_request_fini(&r);
        return;
    }
    assert(e.msg[0] && id);
    char *answer = rpc_error_text(id, code, &e, &n_out);
    json_t *parsed = json_loadb(answer, n_out, 0, NULL);
    assert(parsed);
    json_decref(parsed);
    json_decref(id);
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct methods *methods = methods_new();
    const char *text = (const char *)data;
    struct http_head head;
    size_t len = 0;
    if (http_parse_head(text, size, &head, &len) == 200) {
        assert(len <= size && memchr(head.host, 0, sizeof(head.host)));
        fuzz_body(methods, text + len, size - len);
    }
    fuzz_body(methods, text, size);
    methods_free(methods);
    return 0;
}
