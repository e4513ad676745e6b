/* test_http.c - request heads as strangers send them, and the rules for who may ask. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/access.h"
#include "server/http.h"

static int parse(const char *text, struct http_head *head)
{
    size_t len = 0;
    int status = http_parse_head(text, strlen(text), head, &len);
    if (status == 200) {
        assert_int_equal(len, strlen(text));
    }
    return status;
}

static void test_reads_a_request(void **state)
{
    (void)state;
    struct http_head h;
    assert_int_equal(parse("POST /rpc?x=1&token=abc HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\n"
                           "Expect: 100-continue\r\nOrigin: http://a:1\r\n\r\n",
                           &h),
                     200);
    assert_string_equal(h.method, "POST");
    assert_string_equal(h.path, "/rpc");
    assert_string_equal(h.token, "abc");
    assert_string_equal(h.host, "a:1");
    assert_string_equal(h.origin, "http://a:1");
    assert_int_equal(h.content_length, 12);
    assert_true(h.keep_alive && h.expects_continue && h.has_origin);
}

static void test_reads_an_upgrade(void **state)
{
    (void)state;
    struct http_head h;
    assert_int_equal(
        parse("GET /ws HTTP/1.1\r\nconnection: keep-alive, Upgrade\r\nUPGRADE: websocket"
              "\r\nSec-WebSocket-Key:  k \r\nSec-WebSocket-Version: 13\r\n\r\n",
              &h),
        200);
    assert_true(h.connection_upgrade);
    assert_string_equal(h.upgrade, "websocket");
    assert_string_equal(h.ws_key, "k");
    assert_int_equal(h.ws_version, 13);
    assert_int_equal(h.content_length, -1);
}

static void test_connection_persistence(void **state)
{
    (void)state;
    struct http_head h;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &h), 200);
    assert_false(h.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h), 200);
    assert_true(h.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", &h), 200);
    assert_false(h.keep_alive);
}

static void test_waits_for_the_end_of_a_head(void **state)
{
    (void)state;
    static const char text[] = "POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    struct http_head h;
    size_t len = 0;
    for (size_t n = 0; n < strlen(text) - 2; n++) {
        assert_int_equal(http_parse_head(text, n, &h, &len), 0);
    }
    assert_int_equal(http_parse_head(text, strlen(text), &h, &len), 200);
    assert_int_equal(len, strlen(text) - 2);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"\x16\x03\x01 a TLS hello", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\nHost: c\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    };
    struct http_head h;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].text, &h), cases[i].status);
    }
}

static void test_refuses_a_head_without_end(void **state)
{
    (void)state;
    char *text = malloc(HTTP_MAX_HEAD_BYTES);
    struct http_head h;
    size_t len;
    memset(text, 'A', HTTP_MAX_HEAD_BYTES);
    assert_int_equal(http_parse_head(text, HTTP_MAX_HEAD_BYTES - 1, &h, &len), 0);
    assert_int_equal(http_parse_head(text, HTTP_MAX_HEAD_BYTES, &h, &len), 431);
    free(text);
}

static void test_writes_a_response(void **state)
{
    (void)state;
    struct buf out = {0};
    http_add_response(&out, 200, "application/json", "{}", 2, true);
    assert_non_null(strstr(buf_str(&out), "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(buf_str(&out), "Content-Length: 2\r\n"));
    assert_non_null(strstr(buf_str(&out), "\r\n\r\n{}"));
    buf_clear(&out);
    http_add_response(&out, 204, NULL, NULL, 0, false);
    assert_null(strstr(buf_str(&out), "Content-Length"));
    assert_non_null(strstr(buf_str(&out), "Connection: close"));
    buf_free(&out);
}

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int check_at(const char *local, const char *host, const char *origin, const char *token,
                    bool needs_token)
{
    struct access_rules rules = {.token = TOKEN, .port = 8080};
    struct http_head h = {.has_origin = origin != NULL};
    snprintf(h.host, sizeof(h.host), "%s", host);
    snprintf(h.origin, sizeof(h.origin), "%s", origin ? origin : "");
    snprintf(h.token, sizeof(h.token), "%s", token);
    struct err e;
    return access_check(&rules, local, &h, needs_token, &e);
}

static int check(const char *host, const char *origin, const char *token, bool needs_token)
{
    return check_at("127.0.0.1", host, origin, token, needs_token);
}

static void test_access(void **state)
{
    (void)state;
    assert_int_equal(check("127.0.0.1:8080", NULL, TOKEN, true), 0);
    assert_int_equal(check("LOCALHOST:8080", "http://localhost:8080", TOKEN, true), 0);
    assert_int_equal(check("[::1]:8080", NULL, TOKEN, true), 0);
    assert_int_equal(check("127.0.0.1:8080", NULL, "", false), 0);
    assert_int_equal(check("127.0.0.1:8080", NULL, "", true), 401);
    assert_int_equal(check("127.0.0.1:8080", NULL, "0123", true), 401);
    assert_int_equal(check("127.0.0.1:8080", NULL, TOKEN "0", true), 401);
    char wrong[] = TOKEN;
    wrong[63] = 'e';
    assert_int_equal(check("127.0.0.1:8080", NULL, wrong, true), 401);
    assert_int_equal(check("", NULL, TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1", NULL, TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1:8081", NULL, TOKEN, true), 403);
    assert_int_equal(check("evil.example:8080", "http://evil.example:8080", TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1:8080", "http://evil.example", TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1:8080", "null", TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1:8080", "https://127.0.0.1:8080", TOKEN, true), 403);
    assert_int_equal(check("127.0.0.1:8080", "", TOKEN, true), 403);
    /* Another address is ours only on a connection that came in on it. */
    assert_int_equal(check("192.0.2.1:8080", NULL, TOKEN, true), 403);
    assert_int_equal(check_at("192.0.2.1", "192.0.2.1:8080", NULL, TOKEN, true), 0);
    assert_int_equal(check_at("[2001:db8::1]", "[2001:DB8::1]:8080", NULL, TOKEN, true), 0);
    assert_int_equal(check_at("", ":8080", NULL, TOKEN, true), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_request),
        cmocka_unit_test(test_reads_an_upgrade),
        cmocka_unit_test(test_connection_persistence),
        cmocka_unit_test(test_waits_for_the_end_of_a_head),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_refuses_a_head_without_end),
        cmocka_unit_test(test_writes_a_response),
        cmocka_unit_test(test_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
