/* conn.c - one HTTP connection: reads requests, checks them, writes answers. See conn.h. */
#include "server/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/json.h"
#include "server/listen.h"

/* What a client may send ahead of its turn before reading stops. */
enum { READ_BYTES = 65536, MAX_AHEAD_BYTES = 65536 };

static const char plain_page[] =
    "stax-server: a live sampling profiler.\n"
    "\n"
    "POST /rpc takes JSON-RPC 2.0, /ws the same over WebSocket. Both want the token in the file\n"
    "\"token\" of the data directory: Authorization: Bearer TOKEN, or ?token=TOKEN.\n"
    "The methods are in docs/rpc.md; `stax-server --print-rpc-docs` prints them.\n";

struct conn *conn_new(struct transport *t, bool is_unix)
{
    struct conn *c = mem_new(1, sizeof(*c));
    c->transport = t;
    c->id = ++t->last_id;
    c->fd = -1;
    c->is_unix = is_unix;
    c->next = t->conns;
    if (c->next) {
        c->next->prev = c;
    }
    t->conns = c;
    *(is_unix ? &t->n_unix : &t->n_tcp) += 1;
    conn_set_deadline(c, conn_patience(c));
    return c;
}

void conn_free(struct conn *c)
{
    struct transport *t = c->transport;
    if (c->prev) {
        c->prev->next = c->next;
    } else {
        t->conns = c->next;
    }
    if (c->next) {
        c->next->prev = c->prev;
    }
    *(c->is_unix ? &t->n_unix : &t->n_tcp) -= 1;
    while (c->first) {
        struct ws_message *m = c->first;
        c->first = m->next;
        free(m->frame);
        free(m);
    }
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

void conn_set_deadline(struct conn *c, int seconds)
{
    c->deadline_ns = seconds ? clock_monotonic_ns() + (int64_t)seconds * 1000000000 : 0;
}

int conn_patience(const struct conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        return c->in.len ? 10 : 60; /* a slow head, an idle connection */
    case CONN_BODY:
    case CONN_SENDING:
        return c->transport->patience_s;
    case CONN_DRAIN:
        return 2;
    default:
        return 0;
    }
}

static void set_state(struct conn *c, enum conn_state state)
{
    c->state = state;
    conn_set_deadline(c, conn_patience(c));
}

static void consume(struct conn *c, size_t n)
{
    if (!n) {
        return;
    }
    memmove(c->in.data, c->in.data + n, c->in.len - n);
    c->in.len -= n;
    c->in.data[c->in.len] = '\0';
}

/* Everything of the answer is out. */
static bool sent(struct conn *c)
{
    buf_clear(&c->out);
    c->n_sent = 0;
    if (c->keep_alive) {
        set_state(c, CONN_HEAD);
        conn_set_rx(c, true);
        return true;
    }
    if (c->is_eof) {
        return false;
    }
    /* Closing with unread bytes would reset the connection under the answer. */
    shutdown(c->fd, SHUT_WR);
    buf_free(&c->in);
    set_state(c, CONN_DRAIN);
    conn_set_rx(c, true);
    return true;
}

/* Writes what fits; the rest when there is room again. */
static bool flush(struct conn *c)
{
    while (c->n_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->n_sent, c->out.len - c->n_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn_want_write(c);
            return true;
        }
        if (n < 0) {
            return false;
        }
        c->n_sent += (size_t)n;
        conn_set_deadline(c, conn_patience(c));
    }
    return c->state == CONN_SENDING ? sent(c) : true;
}

static bool respond(struct conn *c, int status, const char *type, const void *body, size_t n)
{
    http_add_response(&c->out, status, type, body, n, c->keep_alive);
    set_state(c, CONN_SENDING);
    return flush(c);
}

/* Answers with an error and ends the connection: what follows on it cannot be trusted to be a
 * request. */
static bool refuse(struct conn *c, int status, const struct err *e)
{
    json_t *document = json_of_err(e);
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    c->keep_alive = false;
    bool goes_on = respond(c, status, "application/json", text, strlen(text));
    free(text);
    return goes_on;
}

static bool refuse_with(struct conn *c, int status, const char *message, const char *hint)
{
    struct err e;
    err_set(&e, STAX_EUSAGE, "%s", message);
    err_hint(&e, "%s", hint);
    return refuse(c, status, &e);
}

static bool begin_upgrade(struct conn *c)
{
    const struct http_head *h = &c->head;
    if (strcasecmp(h->upgrade, "websocket") != 0 || !h->connection_upgrade || h->ws_version != 13 ||
        strlen(h->ws_key) != 24 ||
        strspn(h->ws_key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
            24) {
        return refuse_with(c, 426, "/ws is a WebSocket, version 13", "");
    }
    /* The new owner has a descriptor of its own; this one is closed. */
    if (!transport_upgrade(c)) {
        return refuse_with(c, 503, "no more connections are possible", "");
    }
    return false;
}

static bool begin_body(struct conn *c)
{
    const struct http_head *h = &c->head;
    if (h->has_transfer_encoding || h->content_length < 0) {
        return refuse_with(c, 411, "a request needs a Content-Length", "");
    }
    if (h->content_length > HTTP_MAX_BODY_BYTES) {
        return refuse_with(c, 413, "a request may have at most 1 MiB", "");
    }
    if (h->expects_continue && c->in.len < (size_t)h->content_length) {
        buf_addstr(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        if (!flush(c)) {
            return false;
        }
    }
    set_state(c, CONN_BODY);
    return true;
}

/* The head is complete: who asks, and for what? */
static bool route(struct conn *c)
{
    struct transport *t = c->transport;
    const struct http_head *h = &c->head;
    bool is_page = strcmp(h->path, "/") == 0;
    struct err e;
    c->keep_alive = h->keep_alive;
    if (!c->is_unix) {
        char local[LISTEN_HOST_BYTES];
        listen_local_host(c->fd, local);
        int status = access_check(t->rules, local, h, !is_page, &e);
        if (status) {
            return refuse(c, status, &e);
        }
    }
    bool is_get = strcmp(h->method, "GET") == 0;
    if (strcmp(h->path, "/ws") == 0 && is_get) {
        return begin_upgrade(c);
    }
    if (h->upgrade[0] && strcasecmp(h->upgrade, "h2c") != 0) {
        return refuse_with(c, 400, "only /ws can be upgraded, to a WebSocket", "");
    }
    if (strcmp(h->path, "/rpc") == 0) {
        return strcmp(h->method, "POST") == 0
                   ? begin_body(c)
                   : refuse_with(c, 405, "/rpc takes POST", "docs/rpc.md has examples");
    }
    if (is_page && is_get && h->content_length <= 0 && !h->has_transfer_encoding) {
        return respond(c, 200, "text/plain; charset=utf-8", plain_page, sizeof(plain_page) - 1);
    }
    return refuse_with(c, 404, "there is nothing at this path", "try POST /rpc");
}

static bool read_head(struct conn *c, bool *has_moved)
{
    size_t head_len = 0;
    int status = c->in.len ? http_parse_head(c->in.data, c->in.len, &c->head, &head_len) : 0;
    *has_moved = status == 200;
    if (status == 0) {
        return !c->is_eof;
    }
    if (status != 200) {
        return refuse_with(c, status, "this is not an HTTP/1.1 request the server understands", "");
    }
    consume(c, head_len);
    return route(c);
}

static bool read_body(struct conn *c)
{
    size_t n = (size_t)c->head.content_length;
    if (c->in.len < n) {
        return !c->is_eof;
    }
    /* The answer comes through the outbox, never at once; the parser copies what it keeps. */
    set_state(c, CONN_WAITING);
    server_request(c->transport->server, c->id, false, buf_str(&c->in), n);
    consume(c, n);
    return true;
}

/* Goes as far as the bytes at hand allow: a loop, because a client may send many requests ahead. */
static bool process(struct conn *c)
{
    bool has_moved = true;
    bool goes_on = true;
    while (goes_on && has_moved) {
        has_moved = false;
        if (c->state == CONN_HEAD) {
            goes_on = read_head(c, &has_moved);
        } else if (c->state == CONN_BODY) {
            goes_on = read_body(c);
        }
    }
    return goes_on;
}

bool conn_writable(struct conn *c)
{
    return flush(c) && process(c);
}

bool conn_answer(struct conn *c, const char *text, size_t n)
{
    return respond(c, text ? 200 : 204, text ? "application/json" : NULL, text, n) && process(c);
}

/* The client will send nothing more. */
static bool at_eof(struct conn *c)
{
    c->is_eof = true;
    conn_set_rx(c, false);
    if (c->state == CONN_WAITING || c->state == CONN_SENDING) {
        /* On TCP it is most likely gone; on a Unix socket that would be seen as a hang-up. */
        c->keep_alive = false;
        return c->is_unix || c->state == CONN_SENDING;
    }
    return false;
}

bool conn_readable(struct conn *c)
{
    char scratch[READ_BYTES];
    ssize_t n = recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }
    if (n == 0) {
        return at_eof(c);
    }
    if (c->state == CONN_DRAIN) {
        return true;
    }
    bool was_idle = c->state == CONN_HEAD && c->in.len == 0;
    buf_add(&c->in, scratch, (size_t)n);
    if (was_idle || c->state == CONN_BODY) {
        conn_set_deadline(c, conn_patience(c));
    }
    if ((c->state == CONN_WAITING || c->state == CONN_SENDING) && c->in.len > MAX_AHEAD_BYTES) {
        conn_set_rx(c, false);
    }
    return process(c);
}
