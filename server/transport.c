/* transport.c - see transport.h. */
#include <libwebsockets.h>

#include "server/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* Strangers can only fill their own share of the connections. */
enum { MAX_UNIX = 1200, MAX_TCP = 400, MAX_LWS_FDS = 2048, ACCEPTS_A_TURN = 64, TICK_US = 500000 };

struct service {
    struct transport t; /* first: the context's user pointer is both */
    lws_sorted_usec_list_t tick, upgrade;
    lws_retry_bo_t liveness; /* of WebSockets */
    bool is_ticking_server;
    int n_ticks;
};

static struct transport *transport_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* Not at once: for raw files libwebsockets stops polling for room after the callback that says
 * there is some, which would undo what that callback asked for. */
void conn_want_write(struct conn *c)
{
    c->wants_write = true;
    c->transport->has_writers = true;
}

static void poll_writers(struct transport *t)
{
    if (!t->has_writers) {
        return;
    }
    t->has_writers = false;
    for (struct conn *c = t->conns; c; c = c->next) {
        if (c->wants_write && c->wsi) {
            lws_callback_on_writable(c->wsi);
        }
        c->wants_write = false;
    }
}

/* One turn of the event loop; false: it failed. */
static bool turn(struct transport *t)
{
    bool is_fine = lws_service(t->context, 0) >= 0;
    poll_writers(t);
    return is_fine;
}

void conn_set_rx(struct conn *c, bool is_on)
{
    if (c->wsi && c->is_rx_off == is_on) {
        c->is_rx_off = !is_on;
        lws_rx_flow_control(c->wsi, is_on);
    }
}

/* Closes a connection from outside its own callback. */
static void kill_conn(struct conn *c)
{
    c->deadline_ns = 0;
    if (c->wsi) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
}

static struct lws *adopt_file(struct transport *t, int fd, const char *protocol, void *opaque)
{
    lws_adopt_desc_t info = {0};
    info.vh = t->vhost;
    info.type = LWS_ADOPT_RAW_FILE_DESC;
    info.fd.filefd = fd;
    info.vh_prot_name = protocol;
    info.opaque = opaque;
    return lws_adopt_descriptor_vhost_via_info(&info);
}

/* A last word to somebody who is not served. The buffers of a fresh socket have room for it. */
static void turn_away(int fd, int status, const char *message)
{
    struct buf out = {0};
    struct err e;
    err_set(&e, status == 403 ? STAX_EPERMISSION : STAX_EBUSY, "%s", message);
    json_t *document = json_of_err(&e);
    char *text = json_dumps(document, JSON_COMPACT);
    http_add_response(&out, status, "application/json", text, strlen(text), false);
    ssize_t sent = send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* best effort: the connection is closed either way */
    free(text);
    json_decref(document);
    buf_free(&out);
    close(fd);
}

static void welcome(struct transport *t, int fd, bool is_unix)
{
    if (is_unix && !listen_is_peer_trusted(fd)) {
        turn_away(fd, 403, "this server belongs to another user");
        return;
    }
    if (is_unix ? t->n_unix >= MAX_UNIX : t->n_tcp >= MAX_TCP) {
        turn_away(fd, 503, "too many connections");
        return;
    }
    struct conn *c = conn_new(t, is_unix);
    c->fd = fd;
    c->wsi = adopt_file(t, fd, "conn", c);
    if (!c->wsi) {
        conn_free(c);
        close(fd);
    }
}

static void accept_some(struct transport *t, int listening, bool is_unix)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            welcome(t, fd, is_unix);
        } else if ((errno == EMFILE || errno == ENFILE) && t->spare_fd >= 0) {
            /* Give the descriptor kept for this moment to the client, and take it back. */
            fd_close(&t->spare_fd);
            fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd >= 0) {
                turn_away(fd, 503, "the server is out of descriptors");
            }
            t->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static int on_listen(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t n)
{
    (void)user;
    (void)in;
    (void)n;
    struct transport *t = transport_of(wsi);
    if (reason == LWS_CALLBACK_RAW_RX_FILE && t->is_accepting) {
        bool is_unix = wsi == t->listening[0];
        accept_some(t, is_unix ? t->listeners->unix_fd : t->listeners->tcp_fd, is_unix);
    }
    return 0;
}

static int on_signal(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t n)
{
    (void)user;
    (void)in;
    (void)n;
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        struct transport *t = transport_of(wsi);
        struct signalfd_siginfo info;
        if (read(t->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            t->is_done = true;
        }
    }
    return 0;
}

static int on_conn(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t n)
{
    (void)user;
    (void)in;
    (void)n;
    struct conn *c = lws_get_opaque_user_data(wsi);
    if (!c) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        c->wsi = wsi;
        return conn_readable(c) ? 0 : -1;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        return conn_writable(c) ? 0 : -1;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        lws_set_opaque_user_data(wsi, NULL);
        server_forget(c->transport->server, c->id);
        conn_free(c);
        return 0;
    default:
        return 0;
    }
}

static int on_ws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
    (void)user;
    struct conn *c = lws_get_opaque_user_data(wsi);
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED: {
        struct transport *t = transport_of(wsi);
        if (!c && t->upgrading) {
            lws_set_opaque_user_data(wsi, t->upgrading);
            t->upgrading->wsi = wsi;
        }
        return 0;
    }
    case LWS_CALLBACK_WSI_DESTROY:
        /* The first protocol hears this of every wsi. HTTP connections have let go before. */
        if (c && c->state == CONN_WS) {
            struct transport *t = c->transport;
            lws_set_opaque_user_data(wsi, NULL);
            server_forget(t->server, c->id);
            if (t->upgrading == c) {
                t->upgrading = NULL;
            }
            conn_free(c);
        }
        return 0;
    case LWS_CALLBACK_HTTP:
        /* Only checked upgrade requests come here. */
        return -1;
    default:
        return c && c->state == CONN_WS ? ws_callback(c, reason, in, n) : 0;
    }
}

static const struct lws_protocols protocols[] = {
    {"ws", on_ws, 0, 65536, 0, NULL, 65536}, {"listen", on_listen, 0, 0, 0, NULL, 0},
    {"signal", on_signal, 0, 0, 0, NULL, 0}, {"conn", on_conn, 0, 0, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* libwebsockets sees a request of our own making: nothing that the client wrote but its key. */
static void adopt_ws(struct transport *t, struct conn *c)
{
    struct buf request = {0};
    buf_addf(&request,
             "GET /ws HTTP/1.1\r\nHost: stax\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
             c->head.ws_key);
    buf_add(&request, buf_str(&c->in), c->in.len);
    buf_clear(&c->in);
    int fd = c->fd;
    c->fd = -1;
    t->upgrading = c;
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(t->vhost, fd, request.data, request.len);
    if (wsi) {
        c->wsi = wsi;
        lws_set_opaque_user_data(wsi, c);
    } else if (t->upgrading) {
        conn_free(c); /* closed before it had a callback that knows the connection */
    }
    t->upgrading = NULL;
    buf_free(&request);
}

static void on_upgrade(lws_sorted_usec_list_t *sul)
{
    struct service *s = lws_container_of(sul, struct service, upgrade);
    struct conn *next;
    for (struct conn *c = s->t.conns; c; c = next) {
        next = c->next;
        if (c->state == CONN_WS && !c->wsi && c->fd >= 0) {
            adopt_ws(&s->t, c);
        }
    }
}

bool transport_upgrade(struct conn *c)
{
    struct service *s = (struct service *)c->transport;
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return false;
    }
    struct conn *ws = conn_new(c->transport, c->is_unix);
    ws->state = CONN_WS;
    ws->deadline_ns = 0;
    ws->head = c->head;
    ws->fd = fd;
    buf_add(&ws->in, buf_str(&c->in), c->in.len);
    /* Not from inside this callback: adopting runs the event loop's own handlers at once. */
    lws_sul_schedule(s->t.context, 0, &s->upgrade, on_upgrade, 1);
    return true;
}

static void on_tick(lws_sorted_usec_list_t *sul)
{
    struct service *s = lws_container_of(sul, struct service, tick);
    int64_t now_ns = clock_monotonic_ns();
    for (struct conn *c = s->t.conns; c; c = c->next) {
        if (c->deadline_ns && c->deadline_ns <= now_ns) {
            kill_conn(c);
        }
        if (c->state == CONN_WS && c->wsi && c->is_rx_off) {
            /* We do not read, so its answers to pings cannot be seen: no reason to hang up. */
            lws_validity_confirmed(c->wsi);
        }
    }
    if (s->is_ticking_server) {
        server_tick(s->t.server);
        if (++s->n_ticks % 2 == 0) {
            registry_tick(s->t.server->registry);
        }
    }
    lws_sul_schedule(s->t.context, 0, &s->tick, on_tick, TICK_US);
}

static bool open_context(struct transport *t)
{
    struct service *s = (struct service *)t;
    s->liveness.secs_since_valid_ping = (uint16_t)t->patience_s;
    s->liveness.secs_since_valid_hangup = (uint16_t)(t->patience_s + (t->patience_s + 1) / 2);
    lws_set_log_level(0, NULL);
    struct lws_context_creation_info info = {0};
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.fd_limit_per_thread = MAX_LWS_FDS;
    info.user = t;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    t->context = lws_create_context(&info);
    if (!t->context) {
        return false;
    }
    struct lws_context_creation_info vhost = {0};
    vhost.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    vhost.protocols = protocols;
    vhost.vhost_name = "stax";
    vhost.retry_and_idle_policy = &s->liveness;
    vhost.keepalive_timeout = 60;
    t->vhost = lws_create_vhost(t->context, &vhost);
    return t->vhost != NULL;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct transport *transport_new(struct listeners *listeners, const struct access_rules *rules,
                                int patience_s, struct err *e)
{
    struct service *s = mem_new(1, sizeof(*s));
    struct transport *t = &s->t;
    t->patience_s = patience_s;
    t->listeners = listeners;
    t->rules = rules;
    t->signal_fd = open_signals();
    t->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (t->signal_fd < 0 || !open_context(t)) {
        err_set(e, STAX_ESYSTEM, "the event loop cannot be set up");
        transport_free(t);
        return NULL;
    }
    return t;
}

void transport_wake(struct transport *t)
{
    lws_cancel_service(t->context);
}

static struct conn *find_conn(struct transport *t, uint64_t id)
{
    for (struct conn *c = t->conns; c; c = c->next) {
        if (c->id == id) {
            return c;
        }
    }
    return NULL;
}

/* Hands answers to the connections they belong to. */
static void deliver(struct transport *t)
{
    struct out_message *m = outbox_take(t->server->outbox);
    while (m) {
        struct out_message *next = m->next;
        struct conn *c = find_conn(t, m->conn);
        bool goes_on = true;
        if (c && c->state == CONN_WS) {
            goes_on = ws_send(c, m);
        } else if (c && c->state == CONN_WAITING) {
            goes_on = conn_answer(c, m->text, m->n_bytes);
        }
        if (!goes_on) {
            kill_conn(c);
        }
        out_message_free(m);
        m = next;
    }
}

int transport_run(struct transport *t, struct server *server, struct err *e)
{
    struct service *s = (struct service *)t;
    t->server = server;
    t->listening[0] = adopt_file(t, t->listeners->unix_fd, "listen", NULL);
    if (t->listeners->tcp_fd >= 0) {
        t->listening[1] = adopt_file(t, t->listeners->tcp_fd, "listen", NULL);
    }
    if (!t->listening[0] || !adopt_file(t, t->signal_fd, "signal", NULL)) {
        return err_set(e, STAX_ESYSTEM, "the event loop cannot take the sockets");
    }
    t->is_accepting = true;
    s->is_ticking_server = true;
    lws_sul_schedule(t->context, 0, &s->tick, on_tick, TICK_US);
    int rc = 0;
    while (!t->is_done && rc == 0) {
        if (!turn(t)) {
            rc = err_set(e, STAX_ESYSTEM, "the event loop failed");
        }
        deliver(t);
        poll_writers(t);
    }
    t->is_accepting = false;
    s->is_ticking_server = false;
    return rc;
}

static bool has_unsent(const struct transport *t)
{
    for (const struct conn *c = t->conns; c; c = c->next) {
        if (c->state == CONN_SENDING || (c->state == CONN_WS && c->first)) {
            return true;
        }
    }
    return false;
}

void transport_flush(struct transport *t)
{
    int64_t until_ns = clock_monotonic_ns() + (int64_t)1000000000;
    deliver(t);
    poll_writers(t);
    while (has_unsent(t) && clock_monotonic_ns() < until_ns) {
        if (!turn(t)) {
            return;
        }
    }
}

void transport_free(struct transport *t)
{
    if (!t) {
        return;
    }
    bool was_running = t->listening[0] != NULL;
    if (t->context) {
        /* Closes the adopted descriptors too, the listening ones among them. */
        lws_context_destroy(t->context);
    }
    while (t->conns) {
        fd_close(&t->conns->fd);
        conn_free(t->conns);
    }
    if (was_running) {
        t->signal_fd = -1;
        listen_unlink(t->listeners);
        t->listeners->unix_fd = -1;
        t->listeners->tcp_fd = -1;
    }
    fd_close(&t->signal_fd);
    fd_close(&t->spare_fd);
    free(t);
}
