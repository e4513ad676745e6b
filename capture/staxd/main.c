/*
 * main.c - staxd: opens perf events for callers who may see their target, and passes them on.
 *
 * Started by systemd with a listening socket (staxd.socket), or by hand with a path of its own.
 * It is not in the path of any data, keeps nothing between requests, forks nothing, and allocates
 * nothing once its workers run. What it grants, and to whom, is in policy.c; docs/staxd.md says
 * what it defends against.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "capture/staxd/privilege.h"
#include "capture/staxd/serve.h"
#include "capture/staxd/slice.h"

enum {
    FIRST_INHERITED_FD = 3,
    BACKLOG = 4096,
    IDLE_EXIT_SECONDS = 60,
    MAX_MODE = 0777,
};

static const char usage[] =
    "usage: staxd [--socket PATH [--mode MODE]]\n"
    "\n"
    "Opens perf events for stax on behalf of users who may see the target; see docs/staxd.md.\n"
    "Without --socket it takes the listening socket that systemd passes.\n"
    "  --socket PATH  listen there (usually " BROKER_SOCKET ")\n"
    "  --mode MODE    permissions of that socket, octal (default 0666: every local user)\n"
    "  --version, --help\n";

static void say(const char *what, const char *why)
{
    fprintf(stderr, "staxd: %s%s%s\n", what, why ? ": " : "", why ? why : "");
}

static bool is_listening_seqpacket(int fd)
{
    int domain = 0, type = 0, is_listening = 0;
    socklen_t size = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) == 0 && is_listening;
}

/* The socket that systemd passes (sd_listen_fds(3)), -1 if there is none. */
static int inherited_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    if (!pid || !n || strtol(pid, NULL, 10) != getpid() || strcmp(n, "1") != 0) {
        say("no listening socket from systemd; --socket PATH makes one", NULL);
        return -1;
    }
    if (!is_listening_seqpacket(FIRST_INHERITED_FD)) {
        say("the inherited descriptor is not a listening SOCK_SEQPACKET socket", NULL);
        return -1;
    }
    fcntl(FIRST_INHERITED_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_INHERITED_FD, F_SETFL, 0); /* blocking: workers wait in accept */
    return FIRST_INHERITED_FD;
}

/* Removes a socket that nobody listens on any more. */
static bool remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0) {
        return errno == ENOENT;
    }
    if (!S_ISSOCK(st.st_mode)) {
        say(address->sun_path, "exists and is not a socket");
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_stale = fd >= 0 &&
                    connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                    errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    if (!is_stale) {
        say(address->sun_path, "another staxd listens there");
        return false;
    }
    return unlink(address->sun_path) == 0;
}

static int own_socket(const char *path, mode_t mode)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        say(path, "this path is too long for a socket");
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (!remove_stale(&address)) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    mode_t old = umask(0777);
    bool is_bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    umask(old);
    if (!is_bound || chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0) {
        say(path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

struct options {
    const char *path; /* NULL: inherited */
    mode_t mode;
};

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("staxd %s (protocol %d)\n", STAX_VERSION, BROKER_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc) {
            options->path = argv[++i];
        } else if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc) {
            unsigned long mode = strtoul(argv[++i], &end, 8);
            if (*end || mode > MAX_MODE) {
                fputs(usage, stderr);
                return 2;
            }
            options->mode = (mode_t)mode;
        } else {
            fputs(usage, stderr);
            return 2;
        }
    }
    return -1;
}

static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct options options = {NULL, 0666};
    struct server server;
    int status = parse(argc, argv, &options);
    if (status >= 0) {
        return status;
    }
    int listener = options.path ? own_socket(options.path, options.mode) : inherited_socket();
    if (listener < 0) {
        return 1;
    }
    raise_fd_limit();
    const char *missing = privilege_drop();
    if (missing) {
        say(missing, NULL);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    /* Each answer is waited for, thousands of them when a large program is attached to. */
    slice_shorten();
    server_init(&server, listener);
    int rc = server_start(&server);
    if (rc != 0) {
        say("cannot start its threads", strerror(rc));
        return 1;
    }
    do {
        sleep(1);
        server_hurry(&server);
        /* systemd keeps the socket and starts us again when somebody calls */
    } while (options.path || server_idle_seconds(&server) < IDLE_EXIT_SECONDS);
    _exit(0);
}
