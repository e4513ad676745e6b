/*
 * http.h - the HTTP/1.1 this server speaks: parsing a request head, writing a response head.
 *
 * Pure functions over bytes that come from strangers: strict, bounded, no allocation. Everything a
 * request may carry is in struct http_head; what does not fit or is not well-formed is refused with
 * a status, never cut silently. Any thread.
 */
#ifndef STAX_SERVER_HTTP_H
#define STAX_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HTTP_MAX_HEAD_BYTES 16384u
#define HTTP_MAX_BODY_BYTES (1024 * 1024)

struct http_head {
    char method[16];
    char path[256];         /* without the query string */
    char token[80];         /* Authorization: Bearer X, else ?token=X; "" if none */
    char host[256];         /* Host header, "" if none */
    char origin[256];       /* Origin header, "" if none */
    char upgrade[64];       /* Upgrade header, "" if none */
    char ws_key[64];        /* Sec-WebSocket-Key */
    int64_t content_length; /* -1: not given */
    int ws_version;         /* Sec-WebSocket-Version, 0 if none */
    bool has_origin;
    bool has_transfer_encoding;
    bool expects_continue; /* Expect: 100-continue */
    bool keep_alive;
    bool connection_upgrade; /* Connection: upgrade */
};

/* Parses the head at bytes[0..n). Returns 0 when more bytes are needed, 200 with *head and
 * *head_len (bytes up to and including the empty line) filled, or the status to refuse it with: 400
 * malformed, 431 too large, 505 not HTTP/1. */
int http_parse_head(const char *bytes, size_t n, struct http_head *head, size_t *head_len);

/* "Content Too Large" for 413, and so on. Static storage. */
const char *http_status_text(int status);

/* Appends a whole response. content_type NULL: no body (status 204). */
void http_add_response(struct buf *out, int status, const char *content_type, const void *body,
                       size_t n, bool keep_alive);

#endif
