/* test_rpc.c - requests as text, the code they are refused with, and the documentation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "server/docs.h"
#include "server/rpc.h"

static int setup(void **state)
{
    *state = methods_new();
    return 0;
}

static int teardown(void **state)
{
    methods_free(*state);
    return 0;
}

/* Parses and releases; returns the code. */
static int parse(const struct methods *m, const char *text, const char **method)
{
    struct rpc_request r;
    struct err e = {0};
    json_t *id;
    int code = rpc_parse(m, text, strlen(text), &r, &id, &e);
    if (code == 0) {
        *method = r.method->name;
        assert_true(json_is_object(r.parameters));
        rpc_request_fini(&r);
    } else {
        assert_true(e.msg[0]);
        json_decref(id);
    }
    return code;
}

static void test_accepts(void **state)
{
    const char *method = "";
    assert_int_equal(parse(*state, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}", &method),
                     0);
    assert_string_equal(method, "status");
    assert_int_equal(
        parse(*state, "{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"run\":3}}", &method),
        0);
    assert_string_equal(method, "top");
}

static void test_refuses(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"", RPC_PARSE_ERROR},
        {"{", RPC_PARSE_ERROR},
        {"{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\"}", RPC_PARSE_ERROR},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", RPC_PARSE_ERROR},
        {"[]", RPC_INVALID_REQUEST},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}]", RPC_INVALID_REQUEST},
        {"{}", RPC_INVALID_REQUEST},
        {"{\"jsonrpc\":\"1.0\",\"method\":\"status\"}", RPC_INVALID_REQUEST},
        {"{\"jsonrpc\":\"2.0\",\"method\":7}", RPC_INVALID_REQUEST},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"status\"}", RPC_INVALID_REQUEST},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"extra\":1}", RPC_INVALID_REQUEST},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"stats\"}", RPC_METHOD_NOT_FOUND},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":[1]}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"x\":1}}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"start_attach\"}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"limit\":\"ten\"}}",
         RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"limits\":1}}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"run\":0}}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"start_attach\",\"params\":{\"pid\":\"1\"}}",
         RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"start_attach\",\"params\":{\"pid\":0}}",
         RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"start_attach\",\"params\":{\"pid\":1,"
         "\"frequency_hz\":0}}",
         RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"run\":\"1\"}}", RPC_INVALID_PARAMS},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"top\",\"params\":{\"run\":0}}", RPC_INVALID_PARAMS},
    };
    const char *method = "";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(*state, cases[i].text, &method), cases[i].code);
    }
}

static void test_nearest_method_is_the_hint(void **state)
{
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"treads\"}";
    struct rpc_request r;
    struct err e = {0};
    json_t *id;
    assert_int_equal(rpc_parse(*state, text, strlen(text), &r, &id, &e), RPC_METHOD_NOT_FOUND);
    assert_non_null(strstr(e.hint, "'threads'"));
    assert_string_equal(json_string_value(id), "a");
    json_decref(id);
}

static void test_answers(void **state)
{
    (void)state;
    size_t n;
    json_t *id = json_integer(7);
    char *text = rpc_result_text(id, json_pack("{s:f}", "pct", 34.348), &n);
    assert_string_equal(text, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"pct\":34.348}}");
    assert_int_equal(n, strlen(text));
    free(text);
    struct err e;
    err_set(&e, STAX_ENORUN, "no %s", "run");
    err_hint(&e, "record one");
    text = rpc_error_text(id, RPC_FAILED, &e, &n);
    assert_string_equal(text,
                        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32000,\"message\":"
                        "\"no run\",\"data\":{\"code\":\"no_such_run\",\"message\":\"no run\","
                        "\"hint\":\"record one\"}}}");
    free(text);
    json_decref(id);
}

/* Every method has what the docs print, and its example passes its own check. */
static void test_table_is_complete(void **state)
{
    const struct method *m;
    size_t i = 0;
    for (; (m = methods_at(*state, i)) != NULL; i++) {
        assert_true(m->name && m->schema && m->help && m->result && m->example && m->handler);
        assert_ptr_equal(methods_find(*state, m->name), m);
        json_t *example = json_loads(m->example, 0, NULL);
        struct err e = {0};
        assert_true(json_is_object(example));
        if (parameters_check(m->parameters, example, &e) != 0) {
            fail_msg("%s: %s", m->name, e.msg);
        }
        json_decref(example);
    }
    assert_true(i > 15);
}

/* docs/rpc.md is what the table says. */
static void test_docs_are_current(void **state)
{
    struct buf wanted = {0};
    struct buf found = {0};
    docs_write(&wanted, *state);
    assert_int_equal(fd_read_file("docs/rpc.md", 1 << 20, &found), 0);
    if (strcmp(buf_str(&wanted), buf_str(&found)) != 0) {
        fail_msg("docs/rpc.md is old: stax-server --print-rpc-docs > docs/rpc.md");
    }
    buf_free(&wanted);
    buf_free(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_nearest_method_is_the_hint),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_table_is_complete),
        cmocka_unit_test(test_docs_are_current),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
