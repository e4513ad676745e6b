/* ws.c - one WebSocket connection: requests in, answers and updates out. See conn.h. */
#include <libwebsockets.h>

#include "server/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/watch.h"

/* A connection is not read from while this many of its requests, or this much of its answers, wait:
 * one client shall not fill the line of jobs, nor the memory. Past the bounds it is cut off. */
enum { PAUSE_IN_FLIGHT = 16, MAX_IN_FLIGHT = 64, FRAGMENT_BYTES = 65536 };
#define PAUSE_QUEUED_BYTES ((size_t)4 << 20)
#define MAX_QUEUED_BYTES   ((size_t)64 << 20)

static void update_rx(struct conn *c)
{
    conn_set_rx(c, c->n_in_flight < PAUSE_IN_FLIGHT && c->n_queued_bytes < PAUSE_QUEUED_BYTES);
}

/* An update that has not begun to leave is replaced by a newer one of the same subscription. */
static struct ws_message *find_unsent(struct conn *c, int64_t subscription)
{
    for (struct ws_message *m = c->first; m && subscription; m = m->next) {
        if (m->subscription == subscription && m->n_sent == 0) {
            return m;
        }
    }
    return NULL;
}

static void set_text(struct ws_message *m, const char *text, size_t n)
{
    free(m->frame);
    m->frame = mem_new(1, LWS_PRE + n);
    memcpy(m->frame + LWS_PRE, text, n);
    m->n_bytes = n;
}

bool ws_send(struct conn *c, struct out_message *out)
{
    if (out->subscription == 0 && c->n_in_flight > 0) {
        c->n_in_flight--;
    }
    if (!out->text) {
        update_rx(c);
        return true;
    }
    struct ws_message *m = find_unsent(c, out->subscription);
    if (m) {
        c->n_queued_bytes -= m->n_bytes;
    } else {
        m = mem_new(1, sizeof(*m));
        m->subscription = out->subscription;
        if (c->last) {
            c->last->next = m;
        } else {
            c->first = m;
        }
        c->last = m;
    }
    set_text(m, out->text, out->n_bytes);
    c->n_queued_bytes += m->n_bytes;
    update_rx(c);
    if (c->wsi) {
        lws_callback_on_writable(c->wsi);
    }
    /* One message may be larger than the bound: only what piles up behind others counts. */
    return c->n_queued_bytes <= MAX_QUEUED_BYTES || c->first == c->last;
}

/* Writes one fragment: libwebsockets allows one write for each time the socket has room. */
static int write_fragment(struct conn *c)
{
    struct ws_message *m = c->first;
    if (!m) {
        return 0;
    }
    size_t n = m->n_bytes - m->n_sent;
    bool is_last = n <= FRAGMENT_BYTES;
    n = is_last ? n : FRAGMENT_BYTES;
    int flags = lws_write_ws_flags(LWS_WRITE_TEXT, m->n_sent == 0, is_last);
    /* The header goes into the bytes in front: of the fragment before, sent already. */
    unsigned char *at = (unsigned char *)m->frame + LWS_PRE + m->n_sent;
    if (lws_write(c->wsi, at, n, (enum lws_write_protocol)flags) < (int)n) {
        return -1;
    }
    m->n_sent += n;
    if (is_last) {
        c->first = m->next;
        if (!c->first) {
            c->last = NULL;
        }
        c->n_queued_bytes -= m->n_bytes;
        if (m->subscription) {
            watch_sent(c->transport->server->watch, m->subscription);
        }
        free(m->frame);
        free(m);
        update_rx(c);
    }
    if (c->first) {
        lws_callback_on_writable(c->wsi);
    }
    return 0;
}

static int close_with(struct conn *c, enum lws_close_status status, const char *why)
{
    lws_close_reason(c->wsi, status, (unsigned char *)why, strlen(why));
    return -1;
}

static int receive(struct conn *c, const void *bytes, size_t n)
{
    if (lws_frame_is_binary(c->wsi)) {
        return close_with(c, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "text only");
    }
    if (c->in.len + n > HTTP_MAX_BODY_BYTES) {
        return close_with(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "at most 1 MiB");
    }
    buf_add(&c->in, bytes, n);
    if (!lws_is_final_fragment(c->wsi) || lws_remaining_packet_payload(c->wsi)) {
        return 0;
    }
    if (c->n_in_flight >= MAX_IN_FLIGHT) {
        return close_with(c, LWS_CLOSE_STATUS_POLICY_VIOLATION, "too many requests at once");
    }
    c->n_in_flight++;
    update_rx(c);
    server_request(c->transport->server, c->id, true, buf_str(&c->in), c->in.len);
    buf_clear(&c->in);
    return 0;
}

int ws_callback(struct conn *c, int reason, const void *bytes, size_t n)
{
    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        return receive(c, bytes, n);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_fragment(c);
    default:
        return 0;
    }
}
