/* http.c - see http.h. */
#include "server/http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A run of bytes inside the head. */
struct span {
    const char *at;
    size_t n;
};

static bool is_token_char(unsigned char c)
{
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool span_is(struct span s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.at, word, s.n) == 0;
}

static struct span trimmed(struct span s)
{
    while (s.n && (s.at[0] == ' ' || s.at[0] == '\t')) {
        s.at++;
        s.n--;
    }
    while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t')) {
        s.n--;
    }
    return s;
}

/* Copies a value that must fit; false when it does not. */
static bool keep(char *out, size_t size, struct span s)
{
    if (s.n >= size) {
        return false;
    }
    memcpy(out, s.at, s.n);
    out[s.n] = '\0';
    return true;
}

/* Whether a comma-separated list holds a word. */
static bool list_has(struct span s, const char *word)
{
    while (s.n) {
        const char *comma = memchr(s.at, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.at) : s.n;
        if (span_is(trimmed((struct span){s.at, n}), word)) {
            return true;
        }
        s.at += n + (comma ? 1 : 0);
        s.n -= n + (comma ? 1 : 0);
    }
    return false;
}

static bool parse_number(struct span s, int64_t max, int64_t *value)
{
    int64_t v = 0;
    if (s.n == 0 || s.n > 18) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') {
            return false;
        }
        v = v * 10 + (s.at[i] - '0');
    }
    *value = v;
    return v <= max;
}

/* The token parameter of a query string; other parameters are nobody's business. */
static bool parse_query(struct span q, struct http_head *head)
{
    while (q.n) {
        const char *amp = memchr(q.at, '&', q.n);
        size_t n = amp ? (size_t)(amp - q.at) : q.n;
        if (n > 6 && memcmp(q.at, "token=", 6) == 0 &&
            !keep(head->token, sizeof(head->token), (struct span){q.at + 6, n - 6})) {
            return false;
        }
        q.at += n + (amp ? 1 : 0);
        q.n -= n + (amp ? 1 : 0);
    }
    return true;
}

static int parse_request_line(struct span line, struct http_head *head)
{
    const char *end = line.at + line.n;
    const char *space = memchr(line.at, ' ', line.n);
    if (!space || !keep(head->method, sizeof(head->method),
                        (struct span){line.at, (size_t)(space - line.at)})) {
        return 400;
    }
    const char *target = space + 1;
    const char *last = memchr(target, ' ', (size_t)(end - target));
    if (!last || *target != '/') {
        return 400;
    }
    if (end - last != 9 || memcmp(last + 1, "HTTP/1.", 7) != 0) {
        return 505;
    }
    head->keep_alive = last[8] != '0';
    struct span path = {target, (size_t)(last - target)};
    const char *question = memchr(path.at, '?', path.n);
    if (question) {
        struct span query = {question + 1, (size_t)(last - question - 1)};
        path.n = (size_t)(question - target);
        if (!parse_query(query, head)) {
            return 400;
        }
    }
    return keep(head->path, sizeof(head->path), path) ? 200 : 431;
}

static int parse_connection(struct span value, struct http_head *head)
{
    if (list_has(value, "close")) {
        head->keep_alive = false;
    } else if (list_has(value, "keep-alive")) {
        head->keep_alive = true;
    }
    head->connection_upgrade = head->connection_upgrade || list_has(value, "upgrade");
    return 200;
}

/* A value that may occur once only and must fit. */
static int keep_once(char *out, size_t size, struct span value)
{
    return !out[0] && keep(out, size, value) ? 200 : 400;
}

static int parse_field(struct span name, struct span value, struct http_head *head)
{
    int64_t number = 0;
    if (span_is(name, "host")) {
        return keep_once(head->host, sizeof(head->host), value);
    }
    if (span_is(name, "content-length")) {
        if (head->content_length != -1 || !parse_number(value, INT64_MAX, &number)) {
            return 400;
        }
        head->content_length = number;
    } else if (span_is(name, "transfer-encoding")) {
        head->has_transfer_encoding = true;
    } else if (span_is(name, "origin")) {
        head->has_origin = true;
        return keep_once(head->origin, sizeof(head->origin), value);
    } else if (span_is(name, "authorization")) {
        if (value.n > 7 && strncasecmp(value.at, "bearer ", 7) == 0) {
            struct span token = trimmed((struct span){value.at + 7, value.n - 7});
            return keep(head->token, sizeof(head->token), token) ? 200 : 400;
        }
    } else if (span_is(name, "connection")) {
        return parse_connection(value, head);
    } else if (span_is(name, "upgrade")) {
        return keep_once(head->upgrade, sizeof(head->upgrade), value);
    } else if (span_is(name, "expect")) {
        head->expects_continue = span_is(value, "100-continue");
    } else if (span_is(name, "sec-websocket-key")) {
        return keep_once(head->ws_key, sizeof(head->ws_key), value);
    } else if (span_is(name, "sec-websocket-version")) {
        if (!parse_number(value, 255, &number)) {
            return 400;
        }
        head->ws_version = (int)number;
    }
    return 200;
}

static int parse_line(struct span line, struct http_head *head)
{
    const char *colon = memchr(line.at, ':', line.n);
    if (!colon || colon == line.at) {
        return 400;
    }
    struct span name = {line.at, (size_t)(colon - line.at)};
    for (size_t i = 0; i < name.n; i++) {
        if (!is_token_char((unsigned char)name.at[i])) {
            return 400;
        }
    }
    struct span value = trimmed((struct span){colon + 1, line.n - name.n - 1});
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return 400;
        }
    }
    return parse_field(name, value, head);
}

int http_parse_head(const char *bytes, size_t n, struct http_head *head, size_t *head_len)
{
    size_t window = n < HTTP_MAX_HEAD_BYTES ? n : HTTP_MAX_HEAD_BYTES;
    const char *end = window ? memmem(bytes, window, "\r\n\r\n", 4) : NULL;
    if (!end) {
        /* Answer garbage at once instead of waiting for an end that never comes. */
        if (n && !isupper((unsigned char)bytes[0])) {
            return 400;
        }
        return n >= HTTP_MAX_HEAD_BYTES ? 431 : 0;
    }
    memset(head, 0, sizeof(*head));
    head->content_length = -1;
    *head_len = (size_t)(end - bytes) + 4;
    const char *at = bytes;
    bool is_first = true;
    while (at < end + 2) {
        const char *eol = memmem(at, (size_t)(end + 2 - at), "\r\n", 2);
        struct span line = {at, (size_t)(eol - at)};
        int status = is_first ? parse_request_line(line, head) : parse_line(line, head);
        if (status != 200) {
            return status;
        }
        is_first = false;
        at = eol + 2;
    }
    return 200;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return "Error";
}

void http_add_response(struct buf *out, int status, const char *content_type, const void *body,
                       size_t n, bool keep_alive)
{
    buf_addf(out, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    if (content_type) {
        buf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, n);
    }
    if (status == 401) {
        buf_addstr(out, "WWW-Authenticate: Bearer\r\n");
    }
    buf_addf(out,
             "Server: stax-server/" STAX_VERSION "\r\n"
             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
             "Connection: %s\r\n\r\n",
             keep_alive ? "keep-alive" : "close");
    if (content_type) {
        buf_add(out, body, n);
    }
}
