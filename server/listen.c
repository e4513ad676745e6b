/* listen.c - see listen.h. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

enum { BACKLOG = 512, PORTS_TRIED = 20, FIRST_INHERITED_FD = 3 };

int listen_socket_path(char *out, unsigned long size, struct err *e)
{
    const char *own = getenv("STAX_SERVER_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[4096];
    if (own && own[0]) {
        snprintf(path, sizeof(path), "%s", own);
    } else if (runtime && runtime[0]) {
        snprintf(path, sizeof(path), "%s/stax-server.sock", runtime);
    } else {
        snprintf(path, sizeof(path), "/tmp/stax-server-%u.sock", (unsigned)geteuid());
    }
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path) || strlen(path) >= size) {
        err_set(e, STAX_EUSAGE, "the socket path is too long (%zu bytes, at most %zu): %.200s",
                strlen(path), sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path);
        err_hint(e, "set STAX_SERVER_SOCKET to a shorter path");
        return STAX_EUSAGE;
    }
    memcpy(out, path, strlen(path) + 1);
    return 0;
}

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

/* Whether somebody accepts connections on the path. */
static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    /* EAGAIN: its backlog is full, so somebody is there. */
    bool answered = rc == 0 || errno == EAGAIN;
    close(fd);
    return answered;
}

static int busy(const struct listeners *l, struct err *e)
{
    err_set(e, STAX_EBUSY, "another stax-server answers on %s", l->unix_path);
    err_hint(e, "use that one, or set STAX_SERVER_SOCKET to another path");
    return STAX_EBUSY;
}

/* The folder of the socket cannot hold one. */
static int refuse_folder(const char *path, int os_errno, struct err *e)
{
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) : 0;
    const char *variable = getenv("STAX_SERVER_SOCKET");
    err_set_errno(e, os_errno, "cannot make the socket %s", path);
    err_hint(e, "%s the folder %.*s%s, or set STAX_SERVER_SOCKET to a path in another one",
             os_errno == ENOENT ? "make" : "look at", n ? n : 1,
             n       ? path
             : slash ? "/"
                     : ".",
             !(variable && variable[0]) && getenv("XDG_RUNTIME_DIR") ? " ($XDG_RUNTIME_DIR)" : "");
    return e ? e->code : STAX_ESYSTEM;
}

/* Two servers that start at once must not unlink each other's socket. */
static int lock_path(struct listeners *l, struct err *e)
{
    char path[sizeof(l->unix_path) + 8];
    snprintf(path, sizeof(path), "%s.lock", l->unix_path);
    l->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (l->lock_fd < 0) {
        return refuse_folder(l->unix_path, errno, e);
    }
    return flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : busy(l, e);
}

static int open_unix(struct listeners *l, struct err *e)
{
    int rc = lock_path(l, e);
    if (rc) {
        return rc;
    }
    struct sockaddr_un address = unix_address(l->unix_path);
    struct stat st;
    if (lstat(l->unix_path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) {
            return err_set(e, STAX_EUSAGE, "%s is there and is no socket", l->unix_path);
        }
        if (is_answered(&address)) {
            return busy(l, e);
        }
        if (unlink(l->unix_path) != 0) {
            return err_set_errno(e, errno, "cannot replace the stale socket %s", l->unix_path);
        }
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177);
    rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    int bind_errno = errno;
    umask(old);
    if (rc != 0 || listen(fd, BACKLOG) != 0) {
        fd_close(&fd);
        return err_set_errno(e, rc ? bind_errno : errno, "cannot listen on %s", l->unix_path);
    }
    l->unix_fd = fd;
    return 0;
}

bool listen_parse_address(const char *text, char *host, unsigned long size, int *port)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon ? colon + 1 : text;
    const char *from = colon ? text : "127.0.0.1";
    size_t n = colon ? (size_t)(colon - text) : strlen(from);
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    if (n == 9 && memcmp(from, "localhost", 9) == 0) {
        from = "127.0.0.1";
    }
    char *end;
    long number = strtol(digits, &end, 10);
    if (n == 0 || n >= size || end == digits || *end || number < 0 || number > 65535) {
        return false;
    }
    memcpy(host, from, n);
    host[n] = '\0';
    *port = (int)number;
    return true;
}

/* Returns a bound, listening socket, or -1 with errno. */
static int bind_tcp(const char *host, int port)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    socklen_t size = sizeof(*v4);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        size = sizeof(*v6);
    } else {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&storage, size) != 0 || listen(fd, BACKLOG) != 0) {
        fd_close(&fd);
    }
    return fd;
}

static int bound_port(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof(storage);
    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) {
        return 0;
    }
    return storage.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&storage)->sin6_port)
                                         : ntohs(((struct sockaddr_in *)&storage)->sin_port);
}

static int open_tcp(struct listeners *l, const char *bind_to, struct err *e)
{
    int wanted;
    if (!listen_parse_address(bind_to, l->tcp_host, sizeof(l->tcp_host), &wanted)) {
        err_set(e, STAX_EUSAGE, "STAX_SERVER_WS_BIND is no address: '%.100s'", bind_to);
        err_hint(e, "use HOST:PORT with a numeric host, a port alone, or 'off'");
        return STAX_EUSAGE;
    }
    int port = wanted;
    for (; port <= wanted + PORTS_TRIED && port <= 65535; port++) {
        l->tcp_fd = bind_tcp(l->tcp_host, port);
        if (l->tcp_fd >= 0 || errno != EADDRINUSE) {
            break;
        }
    }
    if (l->tcp_fd < 0) {
        err_set_errno(e, errno, "cannot listen on %s:%d", l->tcp_host, wanted);
        err_hint(e, "set STAX_SERVER_WS_BIND to another HOST:PORT, or to 'off'");
        return e ? e->code : STAX_ESYSTEM;
    }
    l->tcp_port = bound_port(l->tcp_fd);
    bool has_moved = wanted && l->tcp_port != wanted;
    int n = 0;
    if (has_moved) {
        n = snprintf(l->note, sizeof(l->note), "port %d is taken, using %d", wanted, l->tcp_port);
    }
    if (strncmp(l->tcp_host, "127.", 4) != 0 && strcmp(l->tcp_host, "::1") != 0) {
        snprintf(l->note + n, sizeof(l->note) - (size_t)n,
                 "%slistening on %s: other machines can reach it, and the token travels in clear",
                 has_moved ? "; " : "", l->tcp_host);
    }
    return 0;
}

/* Takes over the sockets of LISTEN_FDS (the protocol of sd_listen_fds(3)). */
static void inherit(struct listeners *l)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    bool is_ours = pid && count && strtol(pid, NULL, 10) == (long)getpid();
    long n = is_ours ? strtol(count, NULL, 10) : 0;
    for (int fd = FIRST_INHERITED_FD; fd < FIRST_INHERITED_FD + n && n < 16; fd++) {
        struct sockaddr_storage storage = {0};
        socklen_t size = sizeof(storage);
        int accepts = 0;
        socklen_t accepts_size = sizeof(accepts);
        if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0 ||
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &accepts_size) != 0 || !accepts) {
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        if (storage.ss_family == AF_UNIX && l->unix_fd < 0) {
            l->unix_fd = fd;
            l->is_inherited = true;
            snprintf(l->unix_path, sizeof(l->unix_path), "%s",
                     ((struct sockaddr_un *)&storage)->sun_path);
        } else if (l->tcp_fd < 0 && storage.ss_family != AF_UNIX) {
            bool is_v6 = storage.ss_family == AF_INET6;
            l->tcp_fd = fd;
            l->tcp_port = bound_port(fd);
            inet_ntop(storage.ss_family,
                      is_v6 ? (void *)&((struct sockaddr_in6 *)&storage)->sin6_addr
                            : (void *)&((struct sockaddr_in *)&storage)->sin_addr,
                      l->tcp_host, sizeof(l->tcp_host));
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

int listen_open(struct listeners *l, const char *bind_to, struct err *e)
{
    *l = (struct listeners){.unix_fd = -1, .tcp_fd = -1, .lock_fd = -1};
    int rc = 0;
    inherit(l);
    if (l->unix_fd < 0) {
        rc = listen_socket_path(l->unix_path, sizeof(l->unix_path), e);
        rc = rc ? rc : open_unix(l, e);
    }
    const char *address = bind_to && bind_to[0] ? bind_to : "127.0.0.1:8080";
    if (rc == 0 && l->tcp_fd < 0 && strcmp(address, "off") != 0) {
        rc = open_tcp(l, address, e);
    }
    if (rc) {
        listen_close(l);
    }
    return rc;
}

void listen_unlink(struct listeners *l)
{
    if (l->unix_fd >= 0 && !l->is_inherited) {
        unlink(l->unix_path);
    }
}

void listen_close(struct listeners *l)
{
    listen_unlink(l);
    fd_close(&l->unix_fd);
    fd_close(&l->tcp_fd);
    fd_close(&l->lock_fd);
}

void listen_local_host(int fd, char out[LISTEN_HOST_BYTES])
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof(storage);
    char text[INET6_ADDRSTRLEN] = "";
    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) {
        return;
    }
    if (storage.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&storage)->sin_addr, text, sizeof(text));
        snprintf(out, LISTEN_HOST_BYTES, "%s", text);
    } else if (storage.ss_family == AF_INET6) {
        const struct in6_addr *address = &((struct sockaddr_in6 *)&storage)->sin6_addr;
        bool is_v4 = IN6_IS_ADDR_V4MAPPED(address);
        inet_ntop(is_v4 ? AF_INET : AF_INET6, address->s6_addr + (is_v4 ? 12 : 0), text,
                  sizeof(text));
        snprintf(out, LISTEN_HOST_BYTES, is_v4 ? "%s" : "[%s]", text);
    }
}

bool listen_is_peer_trusted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}
