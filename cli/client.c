/* client.c - see client.h. */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

enum {
    MAX_ANSWER_BYTES = 512 << 20,
    CONNECT_TIMEOUT_MS = 5000,
    PROBE_MS = 5000, /* after so long without an answer it is looked whether the server lives */
    VERSION_BYTES = 32
};

struct client {
    CURL *curl;
    struct curl_slist *headers;
    struct buf socket;
    struct buf answer;
    char why[CURL_ERROR_SIZE];
    int fd;             /* of the connection that curl opened last: there is one at a time */
    struct err refused; /* why the connection of this call is not used; code 0: it is */
    char version[VERSION_BYTES]; /* of the server that answered last, "": it did not say */
    pid_t peer;                  /* who answers, 0: not known */
    client_tick *tick;
    void *tick_ctx;
    bool is_patient, is_silent; /* this call asks whether the server lives; it did not answer */
    int64_t probed_ns;          /* CLOCK_MONOTONIC */
};

static void find_socket(struct buf *path)
{
    const char *socket = getenv("STAX_SERVER_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (socket && *socket) {
        buf_addstr(path, socket);
    } else if (runtime && *runtime) {
        buf_addf(path, "%s/stax-server.sock", runtime);
    } else {
        buf_addf(path, "/tmp/stax-server-%u.sock", (unsigned)getuid());
    }
}

static size_t take_bytes(char *bytes, size_t size, size_t n, void *ctx)
{
    struct client *c = ctx;
    if (c->answer.len + size * n > MAX_ANSWER_BYTES) {
        return 0;
    }
    buf_add(&c->answer, bytes, size * n);
    return size * n;
}

/* "Server: stax-server/1.2.3", which every answer has. */
static size_t take_header(char *bytes, size_t size, size_t n, void *ctx)
{
    static const char name[] = "Server: stax-server/";
    struct client *c = ctx;
    size_t n_bytes = size * n, n_name = sizeof name - 1;
    if (n_bytes > n_name && strncasecmp(bytes, name, n_name) == 0) {
        size_t n_version = n_bytes - n_name;
        n_version = n_version < VERSION_BYTES ? n_version : VERSION_BYTES - 1;
        memcpy(c->version, bytes + n_name, n_version);
        c->version[n_version] = '\0';
        c->version[strcspn(c->version, "\r\n \t")] = '\0';
    }
    return n_bytes;
}

/* Whether the server answers somebody else: what takes long there is not what hangs. */
static bool answers(void)
{
    struct client *other = NULL;
    int rc = client_open(&other, NULL);
    if (rc == 0) {
        rc = client_call(other, "status", NULL, PROBE_MS, NULL, NULL);
    }
    client_close(other);
    return rc != STAX_ETIMEOUT;
}

static int progress(void *ctx, curl_off_t n_down, curl_off_t down, curl_off_t n_up, curl_off_t up)
{
    struct client *c = ctx;
    (void)n_down, (void)down, (void)n_up, (void)up;
    if (c->tick) {
        c->tick(c->tick_ctx);
    }
    if (c->is_patient && clock_monotonic_ns() - c->probed_ns > PROBE_MS * 1000000LL) {
        c->is_silent = !answers();
        c->probed_ns = clock_monotonic_ns();
    }
    return c->is_silent;
}

/* The connection must not leak into a launched target. */
static curl_socket_t open_socket(void *ctx, curlsocktype type, struct curl_sockaddr *address)
{
    struct client *c = ctx;
    (void)type;
    c->fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return c->fd < 0 ? CURL_SOCKET_BAD : c->fd;
}

/* Before a request is sent: the socket may be in a folder where anybody can make one. */
static int check_peer(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct client *c = ctx;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    int rc = getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    c->peer = rc == 0 ? peer.pid : 0;
    if (rc < 0) {
        err_set_errno(&c->refused, errno, "cannot tell who answers on %.200s", buf_str(&c->socket));
    } else if (peer.uid != geteuid() && peer.uid != 0) {
        err_set(&c->refused, STAX_EPERMISSION, "the socket %.200s belongs to uid %u, not to you",
                buf_str(&c->socket), (unsigned)peer.uid);
        err_hint(&c->refused, "set STAX_SERVER_SOCKET to a path in a folder of your own, for the "
                              "server too");
    }
    return c->refused.code ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int client_open(struct client **out, struct err *e)
{
    struct client *c = mem_new(1, sizeof *c);
    *out = NULL;
    find_socket(&c->socket);
    struct sockaddr_un address;
    if (c->socket.len >= sizeof address.sun_path) {
        err_set(e, STAX_EUSAGE, "the socket path is too long (%zu bytes, at most %zu): %.200s",
                c->socket.len, sizeof address.sun_path - 1, buf_str(&c->socket));
        err_hint(e, "set STAX_SERVER_SOCKET to a shorter path, for the server too");
        client_close(c);
        return STAX_EUSAGE;
    }
    c->curl = curl_easy_init();
    if (!c->curl) {
        client_close(c);
        return err_set(e, STAX_EFAIL, "libcurl cannot start");
    }
    c->headers = curl_slist_append(NULL, "Content-Type: application/json");
    /* Without this curl asks for leave first (Expect: 100-continue) on larger bodies. */
    c->headers = curl_slist_append(c->headers, "Expect:");
    curl_easy_setopt(c->curl, CURLOPT_URL, "http://stax/rpc");
    curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, buf_str(&c->socket));
    curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(c->curl, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_PREREQFUNCTION, check_peer);
    curl_easy_setopt(c->curl, CURLOPT_PREREQDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->why);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    *out = c;
    return 0;
}

void client_close(struct client *c)
{
    if (!c) {
        return;
    }
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    buf_free(&c->socket);
    buf_free(&c->answer);
    free(c);
}

const char *client_socket(const struct client *c)
{
    return buf_str(&c->socket);
}

void client_set_tick(struct client *c, client_tick *tick, void *ctx)
{
    c->tick = tick;
    c->tick_ctx = ctx;
}

static int rpc_error(const json_t *error, struct err *e)
{
    const json_t *data = json_object_get(error, "data");
    const char *message = json_text_at(error, "message", "the server refused the call");
    int64_t code = json_int_at(error, "code", 0);
    if (json_is_object(data) && json_object_get(data, "code")) {
        enum stax_err wire = err_from_wire(json_text_at(data, "code", ""));
        err_set(e, wire ? wire : STAX_EFAIL, "%s", json_text_at(data, "message", message));
        err_hint(e, "%s", json_text_at(data, "hint", ""));
    } else {
        err_set(e, code == -32602 ? STAX_EUSAGE : STAX_EFAIL, "%s", message);
    }
    if (code == -32601) {
        e->code = STAX_EVERSION;
        err_hint(e,
                 "the running stax-server is of another version than this stax %s; "
                 "restart it",
                 STAX_VERSION);
    }
    return e->code;
}

int client_result(const char *body, size_t n_bytes, long http_status, json_t **result,
                  struct err *e)
{
    struct err ignored;
    e = e ? e : &ignored;
    *result = NULL;
    json_t *answer = json_loadb(body, n_bytes, JSON_ALLOW_NUL, NULL);
    const json_t *error = json_object_get(answer, "error");
    const json_t *value = json_object_get(answer, "result");
    int rc = STAX_EFAIL;
    if (json_is_object(error)) {
        rc = rpc_error(error, e);
    } else if (json_is_object(value)) {
        *result = json_incref((json_t *)value);
        rc = 0;
    } else if (http_status != 200) {
        rc = err_set(e, STAX_EFAIL, "the server answered HTTP status %ld", http_status);
    } else {
        rc = err_set(e, STAX_EVERSION, "what answers on the socket does not speak stax's protocol");
        err_hint(e, "stop it and start stax-server %s", STAX_VERSION);
    }
    json_decref(answer);
    return rc;
}

static int transport_error(const struct client *c, CURLcode code, const char *method, struct err *e)
{
    if (c->refused.code) {
        *(e ? e : &(struct err){0}) = c->refused;
        return c->refused.code;
    }
    if (c->is_silent || code == CURLE_OPERATION_TIMEDOUT) {
        err_set(e, STAX_ETIMEOUT, "stax-server did not answer '%s' in time", method);
        if (c->peer) {
            err_hint(e,
                     "it is stopped or hangs: kill -CONT %d lets it go on, kill -KILL %d ends it",
                     (int)c->peer, (int)c->peer);
        }
        return STAX_ETIMEOUT;
    }
    if (code == CURLE_WRITE_ERROR) {
        return err_set(e, STAX_ELIMIT, "the answer to '%s' is larger than 512 MiB", method);
    }
    if (code == CURLE_COULDNT_CONNECT) {
        err_set(e, STAX_EUNREACHABLE, "stax-server unreachable: nothing answers on %s",
                buf_str(&c->socket));
        err_hint(e, "start it with 'stax-server' or 'systemctl --user start stax-server'; "
                    "'stax record' starts it by itself");
    } else {
        err_set(e, STAX_EUNREACHABLE, "stax-server unreachable: the connection on %s broke (%s)",
                buf_str(&c->socket), c->why[0] ? c->why : curl_easy_strerror(code));
        err_hint(e, "runs stay on disk: start 'stax-server' again and 'stax list' shows them");
    }
    return STAX_EUNREACHABLE;
}

/* An answer of a server of another version may be incomplete, or mean something else: it is shown
 * with a warning, an error says so in its hint. */
static void compare_version(const struct client *c, json_t *result, struct err *e)
{
    char text[160];
    const char *version = c->version[0] ? c->version : "of an unknown version";
    if (strcmp(c->version, STAX_VERSION) == 0) {
        return;
    }
    snprintf(text, sizeof text,
             "stax-server %s answered, this is stax %s: stop that one (stax status names its pid) "
             "and start stax-server anew",
             version, STAX_VERSION);
    if (result) {
        json_t *warnings = json_object_get(result, "warnings");
        if (!json_is_array(warnings)) {
            warnings = json_array();
            json_object_set_new(result, "warnings", warnings);
        }
        json_array_insert_new(warnings, 0, json_clean_string(text));
    } else if (e && e->code != STAX_EVERSION) {
        struct err old = *e;
        err_hint(e, "%s%s%s", old.hint, old.hint[0] ? "; " : "", text);
    }
}

int client_call(struct client *c, const char *method, json_t *parameters, int64_t timeout_ms,
                json_t **document, struct err *e)
{
    json_t *call = json_object();
    json_object_set_new(call, "jsonrpc", json_string("2.0"));
    json_object_set_new(call, "id", json_integer(1));
    json_object_set_new(call, "method", json_string(method));
    json_object_set_new(call, "params", parameters ? parameters : json_object());
    char *body = json_dumps(call, JSON_COMPACT);
    json_decref(call);
    if (document) {
        *document = NULL;
    }
    if (!body) {
        return err_set(e, STAX_EUSAGE, "the arguments are not valid UTF-8");
    }
    buf_clear(&c->answer);
    c->why[0] = '\0';
    c->version[0] = '\0';
    c->refused = (struct err){0};
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? (long)timeout_ms : 0L);
    c->is_patient = timeout_ms == CLIENT_PATIENT;
    c->is_silent = false;
    c->probed_ns = clock_monotonic_ns();
    CURLcode code = curl_easy_perform(c->curl);
    free(body);
    if (code != CURLE_OK) {
        return transport_error(c, code, method, e);
    }
    long http_status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &http_status);
    json_t *result = NULL;
    int rc = client_result(buf_str(&c->answer), c->answer.len, http_status, &result, e);
    compare_version(c, result, e);
    if (rc == 0 && document) {
        *document = result;
    } else {
        json_decref(result);
    }
    return rc;
}
