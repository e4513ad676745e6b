/* broker.c - see broker.h. */
#include "capture/broker.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

enum { NS_PER_MS = 1000000, MS_PER_S = 1000, US_PER_MS = 1000, LINK_BYTES = 64 };

/* An answer with what came along. */
struct reply {
    struct broker_answer answer;
    int fds[BROKER_FDS_MAX];
    size_t n_fds;
};

static void close_fds(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fd_close(&fds[i]);
    }
}

void broker_close(struct broker *b)
{
    if (b) {
        fd_close(&b->fd);
    }
}

static int explain_connect(const struct broker *b, int os_errno, struct err *e)
{
    switch (os_errno) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTSOCK:
    case EPROTOTYPE:
        err_set(e, STAX_EUNREACHABLE, "no staxd listens on %s", b->path);
        err_hint(e, "sudo stax setup installs and starts it");
        return STAX_EUNREACHABLE;
    case EACCES:
    case EPERM:
        err_set(e, STAX_EPERMISSION, "the socket of staxd, %s, is not open to this user", b->path);
        err_hint(e, "join the socket's group, or sudo stax setup without --group");
        return STAX_EPERMISSION;
    case EAGAIN:
        return err_set(e, STAX_ETIMEOUT, "staxd at %s does not take connections", b->path);
    default:
        return err_set_errno(e, os_errno, "cannot connect to staxd at %s", b->path);
    }
}

/* Only root's broker, or one of our own for tests, is believed. */
static int check_owner(const struct broker *b, struct err *e)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(b->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return err_set_errno(e, errno, "cannot tell who listens on %s", b->path);
    }
    if (peer.uid != 0 && peer.uid != geteuid()) {
        return err_set(e, STAX_EPERMISSION, "the socket %s belongs to uid %u, not to root", b->path,
                       peer.uid);
    }
    return 0;
}

/* 0, or -errno. */
static int send_request(const struct broker *b, const struct broker_request *request, int pidfd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {(void *)(uintptr_t)request, sizeof(*request)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pidfd >= 0) {
        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
    }
    return sendmsg(b->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Collects the descriptors of a message, whatever it is: they are open already. */
static void take_fds(struct msghdr *m, struct reply *reply)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (reply->n_fds < BROKER_FDS_MAX) {
                reply->fds[reply->n_fds++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* 0; -errno, where -EPIPE says that the broker closed the connection and -EBADMSG that the message
 * is not an answer in form. Descriptors in *reply are the caller's in any case. */
static int receive(const struct broker *b, struct reply *reply)
{
    union {
        char bytes[CMSG_SPACE(BROKER_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {&reply->answer, sizeof(reply->answer)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int64_t end = clock_monotonic_ns() + (int64_t)b->timeout_ms * NS_PER_MS;
    for (;;) {
        int64_t left = (end - clock_monotonic_ns() + NS_PER_MS - 1) / NS_PER_MS;
        struct pollfd p = {.fd = b->fd, .events = POLLIN};
        int n = left > 0 ? poll(&p, 1, left < INT_MAX ? (int)left : INT_MAX) : 0;
        if (n == 0) {
            return -ETIMEDOUT;
        }
        if (n > 0) {
            break;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
    ssize_t n = recvmsg(b->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0) {
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    take_fds(&m, reply);
    if (n == 0 && reply->n_fds == 0) {
        return -EPIPE;
    }
    bool is_cut = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    return n == sizeof(reply->answer) && !is_cut ? 0 : -EBADMSG;
}

static int explain_version(const struct broker *b, unsigned version, struct err *e)
{
    err_set(e, STAX_EVERSION, "staxd at %s speaks version %u of the protocol, this stax %d",
            b->path, version, BROKER_VERSION);
    err_hint(e, "sudo stax setup installs the staxd that belongs to this stax");
    return STAX_EVERSION;
}

static int explain_open(const struct broker_request *request, int os_errno, struct err *e)
{
    if (os_errno == EMFILE || os_errno == ENFILE || os_errno == ETOOMANYREFS) {
        err_set(e, STAX_ELIMIT, "staxd has no descriptors left for thread %d: %s", request->tid,
                strerror(os_errno));
        err_hint(e, "raise LimitNOFILE= of staxd.service");
    } else {
        /* EACCES of the broker is no question of this user's rights */
        err_set(e, STAX_ESYSTEM, "staxd could not open the events of thread %d: %s", request->tid,
                strerror(os_errno));
    }
    if (e) {
        e->os_errno = os_errno;
    }
    return os_errno == EMFILE || os_errno == ENFILE || os_errno == ETOOMANYREFS ? STAX_ELIMIT
                                                                                : STAX_ESYSTEM;
}

/* What a refusal means to the user. */
static int explain(const struct broker *b, const struct broker_request *request,
                   const struct broker_answer *answer, struct err *e)
{
    switch (answer->status) {
    case BROKER_BAD_VERSION:
        return explain_version(b, answer->version, e);
    case BROKER_GONE:
    case BROKER_NOT_A_THREAD:
        return err_set(e, STAX_ENOTFOUND, "thread %d is gone", request->tid);
    case BROKER_OTHER_NAMESPACE:
        err_set(e, STAX_EPERMISSION, "staxd sees process %d under another pid", request->pid);
        err_hint(e, "run stax-server in the host's pid namespace to use staxd");
        return STAX_EPERMISSION;
    case BROKER_OTHER_USER:
        err_set(e, STAX_EPERMISSION,
                "staxd gives no events of process %d: its user and group ids are not all ours",
                request->pid);
        err_hint(e, "record it as its own user or as root");
        return STAX_EPERMISSION;
    case BROKER_NOT_DUMPABLE:
    case BROKER_OTHER_USERNS:
    case BROKER_HAS_CAPABILITIES:
        err_set(e, STAX_EPERMISSION, "staxd gives no events of process %d: %s", request->pid,
                answer->status == BROKER_NOT_DUMPABLE
                    ? "it is not dumpable (setuid, unreadable, or hidden by itself)"
                : answer->status == BROKER_OTHER_USERNS ? "it lives in a user namespace of its own"
                                                        : "it has capabilities");
        err_hint(e, "record it as root");
        return STAX_EPERMISSION;
    case BROKER_NO_TRACEFS:
        err_set(e, STAX_ESYSTEM, "tracefs is not mounted where staxd looks for it");
        err_hint(e, "sudo mount -t tracefs nodev /sys/kernel/tracing");
        return STAX_ESYSTEM;
    case BROKER_CANNOT_OPEN:
        return explain_open(request, answer->os_errno, e);
    case BROKER_BUSY:
        return err_set(e, STAX_EBUSY, "staxd serves as many connections of this user as it may");
    default:
        return err_set(e, STAX_EFAIL, "staxd refused the request as malformed (status %u)",
                       answer->status);
    }
}

static int explain_receive(const struct broker *b, int os_errno, struct err *e)
{
    switch (os_errno) {
    case ETIMEDOUT:
    case EAGAIN:
        return err_set(e, STAX_ETIMEOUT, "staxd at %s did not answer within %d ms", b->path,
                       b->timeout_ms);
    case EBADMSG:
        return err_set(e, STAX_ECORRUPT, "what answers on %s is not a staxd", b->path);
    case EPIPE:
    case ECONNRESET:
        return err_set(e, STAX_EUNREACHABLE, "staxd at %s closed the connection", b->path);
    default:
        return err_set_errno(e, os_errno, "cannot talk to staxd at %s", b->path);
    }
}

/* The broker speaks first: its version, and whether we are admitted. */
static int read_greeting(struct broker *b, struct err *e)
{
    const struct broker_request nothing = {0};
    struct reply reply = {.n_fds = 0};
    int rc = receive(b, &reply);
    size_t n_fds = reply.n_fds;
    close_fds(reply.fds, reply.n_fds);
    if (rc != 0) {
        return explain_receive(b, -rc, e);
    }
    const struct broker_answer *answer = &reply.answer;
    if (answer->magic == BROKER_MAGIC && answer->version != BROKER_VERSION) {
        return explain_version(b, answer->version, e);
    }
    if (answer->magic != BROKER_MAGIC || answer->size != sizeof(*answer) || answer->serial != 0 ||
        n_fds != 0 || answer->n_fds != 0) {
        return explain_receive(b, EBADMSG, e);
    }
    return answer->status == BROKER_GRANTED ? 0 : explain(b, &nothing, answer, e);
}

static int reconnect(struct broker *b, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* connect() on a full backlog waits for the time that SO_SNDTIMEO gives it */
    struct timeval limit = {.tv_sec = b->timeout_ms / MS_PER_S,
                            .tv_usec = b->timeout_ms % MS_PER_S * US_PER_MS};
    broker_close(b);
    memcpy(address.sun_path, b->path, sizeof(b->path));
    b->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (b->fd < 0) {
        return err_set_errno(e, errno, "cannot make a socket");
    }
    int rc = STAX_EFAIL;
    if (setsockopt(b->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
        connect(b->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        rc = explain_connect(b, errno, e);
    } else {
        rc = check_owner(b, e);
    }
    if (rc == 0) {
        rc = read_greeting(b, e);
    }
    if (rc != 0) {
        broker_close(b);
    }
    return rc;
}

int broker_open(struct broker *b, const char *path, struct err *e)
{
    *b = (struct broker){.fd = -1, .timeout_ms = BROKER_TIMEOUT_MS};
    if (!*path || strlen(path) >= sizeof(b->path)) {
        return err_set(e, STAX_EUSAGE, "'%s' cannot be the path of a socket (1 to %zu bytes)", path,
                       sizeof(b->path) - 1);
    }
    memcpy(b->path, path, strlen(path) + 1);
    return reconnect(b, e);
}

static bool is_perf_event(int fd)
{
    char path[LINK_BYTES], link[LINK_BYTES];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    link[n > 0 ? n : 0] = '\0';
    return strcmp(link, "anon_inode:[perf_event]") == 0;
}

/* Whether an answer that grants says what came with it, and that is what was asked for. */
static bool is_sound(const struct broker_request *request, const struct reply *reply)
{
    const struct broker_answer *answer = &reply->answer;
    if (answer->n_fds != reply->n_fds) {
        return false;
    }
    if (answer->status != BROKER_GRANTED || request->op == BROKER_KALLSYMS) {
        return answer->n_fds == (answer->status == BROKER_GRANTED);
    }
    size_t n_opened = 0;
    for (size_t i = 0; i < BROKER_OPENED_WORDS * 64; i++) {
        bool is_open = answer->opened[i / 64] >> i % 64 & 1;
        if (is_open && i >= request->n_cpus) {
            return false;
        }
        n_opened += is_open;
    }
    if (!n_opened || n_opened != answer->n_groups ||
        answer->n_fds != n_opened * (1 + request->n_counters)) {
        return false;
    }
    for (size_t i = 0; i < reply->n_fds; i++) {
        if (!is_perf_event(reply->fds[i])) {
            return false;
        }
    }
    return true;
}

static int check_reply(const struct broker *b, const struct broker_request *request,
                       const struct reply *reply, struct err *e)
{
    const struct broker_answer *answer = &reply->answer;
    if (answer->magic == BROKER_MAGIC && answer->version != BROKER_VERSION) {
        return explain_version(b, answer->version, e);
    }
    bool has_serial = answer->serial == request->serial ||
                      (answer->serial == 0 && answer->status != BROKER_GRANTED);
    if (answer->magic != BROKER_MAGIC || answer->size != sizeof(*answer) || !has_serial ||
        !is_sound(request, reply)) {
        return err_set(e, STAX_ECORRUPT, "what answers on %s is not a staxd", b->path);
    }
    return answer->status == BROKER_GRANTED ? 0 : explain(b, request, answer, e);
}

/* One request and its answer. Without success no descriptor is left open. */
static int ask(struct broker *b, struct broker_request *request, int pidfd, struct reply *reply,
               struct err *e)
{
    request->magic = BROKER_MAGIC;
    request->version = BROKER_VERSION;
    request->size = sizeof(*request);
    request->serial = ++b->serial ? b->serial : ++b->serial;
    bool is_fresh = b->fd < 0;
    int rc;
    for (;;) {
        rc = b->fd < 0 ? reconnect(b, e) : 0;
        if (rc != 0) {
            return rc;
        }
        reply->n_fds = 0;
        rc = send_request(b, request, pidfd);
        rc = rc == 0 ? receive(b, reply) : rc;
        if (rc != -EPIPE || is_fresh) {
            break;
        }
        close_fds(reply->fds, reply->n_fds);
        broker_close(b); /* closed while it was idle, or restarted: once more */
        is_fresh = true;
    }
    rc = rc == 0 ? check_reply(b, request, reply, e) : explain_receive(b, -rc, e);
    if (rc != 0) {
        close_fds(reply->fds, reply->n_fds);
    }
    /* After these a late answer could be taken for that of the next request. */
    if (rc == STAX_ETIMEOUT || rc == STAX_ECORRUPT || rc == STAX_EUNREACHABLE ||
        rc == STAX_EVERSION || rc == STAX_EFAIL) {
        broker_close(b);
    }
    return rc;
}

void broker_request_of(const struct broker_want *want, struct broker_request *request)
{
    *request = (struct broker_request){
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(*request),
        .op = BROKER_EVENTS,
        .kind = want->kind,
        .flags = want->flags,
        .pid = want->pid,
        .tid = want->tid,
        .cpu = (uint32_t)want->cpu,
        .n_cpus = (uint32_t)want->n_cpus,
        .period = want->period,
        .stack_bytes = want->stack_bytes,
        .n_counters = (uint32_t)want->n_counters,
    };
    for (size_t i = 0; i < want->n_counters; i++) {
        request->counters[i] = (uint16_t)want->counters[i];
    }
}

/* The events of as many CPUs as one message carries. */
static int ask_events(struct broker *b, int pidfd, const struct broker_want *want, size_t at,
                      size_t n, int *fds, struct err *e)
{
    size_t per_cpu = 1 + want->n_counters;
    struct reply reply = {.n_fds = 0};
    struct broker_request request;
    broker_request_of(want, &request);
    request.cpu += (uint32_t)at;
    request.n_cpus = (uint32_t)n;
    int rc = ask(b, &request, pidfd, &reply, e);
    if (rc == STAX_ESYSTEM && reply.answer.status == BROKER_CANNOT_OPEN &&
        (reply.answer.os_errno == ENODEV || reply.answer.os_errno == ENXIO)) {
        return 0; /* all of them are offline */
    }
    const int *next = reply.fds;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (reply.answer.opened[i / 64] >> i % 64 & 1) {
            memcpy(fds + (at + i) * per_cpu, next, per_cpu * sizeof(int));
            next += per_cpu;
        }
    }
    return rc;
}

int broker_events(struct broker *b, int pidfd, const struct broker_want *want, int *fds,
                  struct err *e)
{
    if (want->n_counters > BROKER_COUNTERS_MAX || want->cpu < 0 || pidfd < 0) {
        return err_set(e, STAX_EUSAGE,
                       "a request for staxd wants a pidfd, a CPU and up to %d counters",
                       BROKER_COUNTERS_MAX);
    }
    size_t per_cpu = 1 + want->n_counters;
    size_t at_once = BROKER_FDS_MAX / per_cpu;
    size_t n_fds = want->n_cpus * per_cpu;
    for (size_t i = 0; i < n_fds; i++) {
        fds[i] = -1;
    }
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < want->n_cpus; at += at_once) {
        size_t n = want->n_cpus - at < at_once ? want->n_cpus - at : at_once;
        rc = ask_events(b, pidfd, want, at, n, fds, e);
    }
    if (rc != 0) {
        close_fds(fds, n_fds);
    }
    return rc;
}

int broker_kallsyms(struct broker *b, struct err *e)
{
    struct reply reply = {.n_fds = 0};
    struct broker_request request = {.op = BROKER_KALLSYMS};
    int rc = ask(b, &request, -1, &reply, e);
    return rc == 0 ? reply.fds[0] : rc;
}
