/*
 * main.c - stax-server: owns every run of one user, answers on its sockets until it is told to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/debuginfod.h"
#include "server/docs.h"
#include "server/transport.h"

static const char usage[] =
    "stax-server - keeps and answers for the runs of one user\n"
    "\n"
    "usage: stax-server [--print-rpc-docs | --help | --version]\n"
    "\n"
    "Started by `stax record` when needed, by a service manager (LISTEN_FDS), or by hand. It "
    "serves\n"
    "until SIGTERM or SIGINT, which end the active run cleanly.\n"
    "\n"
    "environment:\n"
    "  STAX_SERVER_SOCKET   Unix socket; else $XDG_RUNTIME_DIR/stax-server.sock, else\n"
    "                       /tmp/stax-server-<uid>.sock\n"
    "  STAX_SERVER_WS_BIND  HOST:PORT of HTTP and WebSocket, 127.0.0.1:8080 by default; off: none\n"
    "  STAX_DATA_DIR        where runs are kept; else /dev/shm/stax-<uid>\n"
    "  STAX_CLIENT_TIMEOUT_S  seconds after which a client that does not read its answer, or does\n"
    "                       not answer on its WebSocket, is cut off; 30 by default\n"
    "  STAX_MAX_BYTES       bound for all runs together; a quarter of the memory by default\n";

/* Everything main() opens. */
struct program {
    struct server server;
    struct listeners listeners;
    struct access_rules rules;
    struct transport *transport;
};

static void say(const struct err *e)
{
    fprintf(stderr, "stax-server: %s\n", e->msg);
    if (e->hint[0]) {
        fprintf(stderr, "  %s\n", e->hint);
    }
}

/* Exit codes as stax has them: 5 the host's permissions forbid it, 2 wrong usage, 1 anything else.
 */
static int exit_code(const struct err *e)
{
    return e->code == STAX_EPERMISSION ? 5 : e->code == STAX_EUSAGE ? 2 : 1;
}

static int print_docs(void)
{
    struct methods *methods = methods_new();
    struct buf out = {0};
    docs_write(&out, methods);
    int rc = fd_write_all(STDOUT_FILENO, out.data, out.len);
    buf_free(&out);
    methods_free(methods);
    return rc ? 1 : 0;
}

static int read_max_bytes(int64_t *max_bytes, struct err *e)
{
    const char *text = getenv("STAX_MAX_BYTES");
    *max_bytes = 0;
    if (!text || !text[0]) {
        return 0;
    }
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < 1 << 20) {
        err_set(e, STAX_EUSAGE, "STAX_MAX_BYTES must be a number of bytes, at least 1048576");
        return STAX_EUSAGE;
    }
    *max_bytes = value;
    return 0;
}

static int read_patience(int *patience_s, struct err *e)
{
    const char *text = getenv("STAX_CLIENT_TIMEOUT_S");
    *patience_s = TRANSPORT_PATIENCE_S;
    if (!text || !text[0]) {
        return 0;
    }
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > TRANSPORT_PATIENCE_S_MAX) {
        return err_set(e, STAX_EUSAGE, "STAX_CLIENT_TIMEOUT_S must be seconds from 1 to %d",
                       TRANSPORT_PATIENCE_S_MAX);
    }
    *patience_s = (int)value;
    return 0;
}

/* Attaching to a target takes threads times CPUs descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Signals arrive through a descriptor; threads inherit this mask. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit (ulimit -f) is an error of the write */
}

static void wake(void *ctx)
{
    struct program *p = ctx;
    transport_wake(p->transport);
}

static void set_addresses(struct program *p)
{
    struct server_addresses *a = &p->server.addresses;
    snprintf(a->socket, sizeof(a->socket), "%s", p->listeners.unix_path);
    snprintf(a->note, sizeof(a->note), "%s", p->listeners.note);
    if (p->listeners.tcp_fd >= 0) {
        bool is_v6 = strchr(p->listeners.tcp_host, ':') != NULL;
        snprintf(a->http, sizeof(a->http), is_v6 ? "http://[%s]:%d" : "http://%s:%d",
                 p->listeners.tcp_host, p->listeners.tcp_port);
    }
}

static void greet(const struct program *p)
{
    const struct server *s = &p->server;
    fprintf(stderr, "stax-server %s (pid %d): %s%s%s, runs in %s\n", STAX_VERSION, (int)getpid(),
            s->addresses.socket, s->addresses.http[0] ? ", " : "", s->addresses.http,
            s->datadir.path);
    if (p->listeners.note[0]) {
        fprintf(stderr, "stax-server: %s\n", p->listeners.note);
    }
    if (s->datadir.warning[0]) {
        fprintf(stderr, "stax-server: %s\n", s->datadir.warning);
    }
}

/* Opens in the order in which things depend on each other, serves, closes in reverse. */
static int serve(struct program *p, struct err *e)
{
    int64_t max_bytes;
    int patience_s;
    int rc = read_max_bytes(&max_bytes, e);
    rc = rc ? rc : read_patience(&patience_s, e);
    rc = rc ? rc : listen_open(&p->listeners, getenv("STAX_SERVER_WS_BIND"), e);
    if (rc) {
        return rc;
    }
    p->transport = transport_new(&p->listeners, &p->rules, patience_s, e);
    rc = p->transport ? server_open(&p->server, max_bytes, wake, p, e) : e->code;
    if (rc) {
        transport_free(p->transport);
        listen_close(&p->listeners);
        return rc;
    }
    p->rules.port = p->listeners.tcp_port;
    set_addresses(p);
    rc = datadir_token(&p->server.datadir, p->rules.token, e);
    if (rc == 0) {
        greet(p);
        rc = transport_run(p->transport, &p->server, e);
    }
    server_shutdown(&p->server);
    if (rc == 0) {
        transport_flush(p->transport);
    }
    transport_free(p->transport);
    listen_close(&p->listeners);
    server_close(&p->server);
    return rc;
}

/* glibc lets threads allocate from one arena when they are more than 8 for each CPU. The one that
 * drains the rings would wait for a niced one then, which holds the lock of theirs and gets no CPU
 * beside a busy target: for half a second, in which records are lost. And glibc keeps up to 64 MB
 * at the end of each arena, once something large was freed, unless told how much; and from then on
 * it must be told what is large enough to be mapped singly, too, which batches need not be. */
static void set_up_malloc(void)
{
    enum { ARENAS_MAX = 4096, LARGE_BYTES = 1 << 22, KEPT_BYTES = 1 << 22 };
    (void)mallopt(M_ARENA_MAX, ARENAS_MAX);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print-rpc-docs") == 0) {
        return print_docs();
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("stax-server %s\n", STAX_VERSION);
        return 0;
    }
    if (argc != 1) {
        fputs(usage, stderr);
        return 2;
    }
    set_up_malloc();
    json_object_seed(0); /* before there are threads */
    debuginfod_read_urls();
    raise_descriptor_limit();
    block_signals();
    struct program *p = calloc(1, sizeof(*p));
    struct err e = {0};
    int rc = p ? serve(p, &e) : err_set(&e, STAX_ESYSTEM, "out of memory");
    free(p);
    if (rc) {
        say(&e);
        return exit_code(&e);
    }
    return 0;
}
