/* serve.c - see serve.h. */
#include "capture/staxd/serve.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/staxd/grant.h"

enum { PATIENCE_MS = 50, STACK_BYTES = 256 << 10, NOTE_BYTES = 400, MINUTE_S = 60 };
#define NS_PER_MS 1000000L

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h of Linux 6.16 */
#endif

/* Room for the one descriptor that a request may carry: the kernel drops what has no room. */
union one_fd {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};
union many_fds {
    char bytes[CMSG_SPACE(BROKER_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

void server_init(struct server *server, int listener)
{
    memset(server, 0, sizeof(*server));
    server->listener = listener;
    server->idle_ms = SERVE_IDLE_MS;
    pthread_mutex_init(&server->lock, NULL);
    clock_gettime(CLOCK_MONOTONIC, &server->last_used);
}

/* A line on stderr, at most so many a minute: refusals cost a caller nothing. */
__attribute__((format(printf, 2, 3))) static void note(struct server *server, const char *fmt, ...)
{
    char text[NOTE_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&server->lock);
    unsigned n_left_out = 0;
    if (now.tv_sec / MINUTE_S != server->notes.minute) {
        server->notes.minute = now.tv_sec / MINUTE_S;
        server->notes.n_written = 0;
        n_left_out = server->notes.n_left_out;
        server->notes.n_left_out = 0;
    }
    bool is_due = server->notes.n_written < SERVE_NOTES_PER_MINUTE;
    server->notes.n_written += is_due;
    server->notes.n_left_out += !is_due;
    pthread_mutex_unlock(&server->lock);
    if (!is_due) {
        return;
    }
    int n = n_left_out ? snprintf(text, sizeof(text), "staxd: %u more refusals were not written\n",
                                  n_left_out)
                       : 0;
    n += snprintf(text + n, sizeof(text) - (size_t)n, "staxd: ");
    va_list args;
    va_start(args, fmt);
    n += vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
    va_end(args);
    if ((size_t)n < sizeof(text) - 1) {
        text[n++] = '\n';
        (void)!write(STDERR_FILENO, text, (size_t)n); /* not dprintf(): that allocates */
    }
}

static void be_patient(void)
{
    struct timespec patience = {.tv_nsec = PATIENCE_MS * NS_PER_MS};
    nanosleep(&patience, NULL);
}

/* Bytes of answers that the peer has not read, 0 when its end is closed. */
static int unread_bytes(int fd)
{
    int n = 0;
    return ioctl(fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

/* Waits for a request. is_holding: the last answer carried descriptors. While it is unread the
 * kernel holds them in our name, so this worker stays with them until they are taken or the peer's
 * socket is closed. False: the connection is over. */
static bool await_request(const struct server *server, int fd, bool is_holding)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, server->idle_ms);
        if (is_holding && unread_bytes(fd) > 0) {
            be_patient();
        } else if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        } else if (n > 0) {
            return true;
        }
    }
}

/* Takes the descriptors that came along. More than one, or none that fit, are counted as two. */
static void take_fds(struct msghdr *m, struct grant_message *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int))) {
            memcpy(&message->pidfd, CMSG_DATA(c), sizeof(int));
            message->n_fds = 1;
        }
    }
    if (m->msg_flags & MSG_CTRUNC) {
        message->n_fds = 2;
    }
}

/* False at the end of the connection. */
static bool receive(int fd, struct grant_message *message)
{
    union one_fd control;
    struct iovec iov = {&message->request, sizeof(message->request)};
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    memset(message, 0, sizeof(*message));
    message->pidfd = -1;
    /* With MSG_TRUNC the real length is returned, also of what did not fit. */
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    take_fds(&m, message);
    message->n_bytes = (size_t)n;
    return n > 0; /* an empty message reads like the end, and ends it */
}

static int send_answer(int fd, const struct broker_answer *answer, const int *fds)
{
    union many_fds control;
    struct iovec iov = {(void *)(uintptr_t)answer, sizeof(*answer)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (answer->n_fds) {
        size_t n_bytes = answer->n_fds * sizeof(int);
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n_bytes);
        memset(control.bytes, 0, m.msg_controllen);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_bytes);
        memcpy(CMSG_DATA(c), fds, n_bytes);
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void close_all(const int *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        close(fds[i]);
    }
}

/* Answers one message. False when the connection shall end; *is_holding: descriptors were sent. */
static bool answer_message(struct server *server, int fd, const struct policy_caller *caller,
                           const struct grant_message *message, bool *is_holding)
{
    struct broker_answer answer;
    int fds[BROKER_FDS_MAX];
    grant(caller, message, &answer, fds);
    int rc = send_answer(fd, &answer, fds);
    if (rc != 0 && answer.n_fds) { /* ETOOMANYREFS: say so */
        grant_revoke(&answer, fds, BROKER_CANNOT_OPEN, -rc);
        rc = send_answer(fd, &answer, fds);
    }
    *is_holding = rc == 0 && answer.n_fds;
    close_all(fds, answer.n_fds);
    /* In a crowd that comes and goes many are gone before they are answered for. */
    if (answer.status != BROKER_GRANTED && answer.status != BROKER_GONE) {
        note(server, "uid %u (pid %d) was refused events of pid %d, thread %d: %s (errno %d)",
             caller->uid, caller->pid, message->request.pid, message->request.tid,
             policy_status_text(answer.status), answer.os_errno);
    }
    return rc == 0 && answer.status != BROKER_BAD_MESSAGE && answer.status != BROKER_BAD_VERSION;
}

static int greet(int fd, enum broker_status status)
{
    struct broker_answer answer = {
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(answer),
        .status = status,
    };
    return send_answer(fd, &answer, NULL);
}

void serve_connection(struct server *server, int fd, const struct policy_caller *caller)
{
    struct grant_message message;
    bool is_holding = false;
    bool is_going_on = greet(fd, BROKER_GRANTED) == 0;
    while (is_going_on && await_request(server, fd, is_holding)) {
        is_holding = false;
        is_going_on =
            receive(fd, &message) &&
            (!message.n_bytes || answer_message(server, fd, caller, &message, &is_holding));
        if (message.pidfd >= 0) {
            close(message.pidfd);
        }
    }
    while (is_holding && unread_bytes(fd) > 0) {
        be_patient();
    }
}

/* A slot for a connection of this user, -1 when the user has enough. */
static int enter(struct server *server, uid_t uid)
{
    int free_slot = -1;
    unsigned n_of_user = 0;
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < SERVE_WORKERS; i++) {
        if (!server->slots[i].is_busy) {
            free_slot = i;
        } else if (server->slots[i].uid == uid) {
            n_of_user++;
        }
    }
    if (n_of_user >= SERVE_WORKERS_PER_USER) {
        free_slot = -1;
    }
    if (free_slot >= 0) {
        server->slots[free_slot].is_busy = true;
        server->slots[free_slot].uid = uid;
    }
    pthread_mutex_unlock(&server->lock);
    return free_slot;
}

static void leave(struct server *server, int slot)
{
    pthread_mutex_lock(&server->lock);
    server->slots[slot].is_busy = false;
    clock_gettime(CLOCK_MONOTONIC, &server->last_used);
    pthread_mutex_unlock(&server->lock);
}

long server_idle_seconds(struct server *server)
{
    struct timespec now;
    bool is_busy = false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&server->lock);
    for (int i = 0; i < SERVE_WORKERS; i++) {
        is_busy |= server->slots[i].is_busy;
    }
    long seconds = is_busy ? 0 : (long)(now.tv_sec - server->last_used.tv_sec);
    pthread_mutex_unlock(&server->lock);
    return seconds;
}

/* Says when a worker begins to close a refused connection, and that it has (is_closing false). */
static void set_closing(struct server *server, size_t worker, bool is_closing)
{
    struct timespec now = {0};
    if (is_closing) {
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    pthread_mutex_lock(&server->lock);
    server->closing[worker] = now;
    pthread_mutex_unlock(&server->lock);
}

void server_hurry(struct server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->n_started; i++) {
        if (server->closing[i].tv_sec && now.tv_sec - server->closing[i].tv_sec >= 1) {
            pthread_kill(server->workers[i], SIGURG);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* One accepted connection, to its end. The slot is kept until all is closed. */
static void attend(struct server *server, size_t worker, int fd)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    int slot = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof(peer)) {
        struct policy_caller caller = {peer.uid, peer.gid, peer.pid};
        slot = enter(server, caller.uid);
        if (slot >= 0) {
            int yes = 1;
            setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &yes, sizeof(yes));
            serve_connection(server, fd, &caller);
            close(fd);
            leave(server, slot);
            return;
        }
        greet(fd, BROKER_BUSY);
        note(server, "uid %u (pid %d) has %d connections already", caller.uid, caller.pid,
             SERVE_WORKERS_PER_USER);
    }
    set_closing(server, worker, true);
    close(fd);
    set_closing(server, worker, false);
}

static void *work(void *argument)
{
    struct server *server = argument;
    pthread_mutex_lock(&server->lock);
    size_t worker = server->n_started++;
    server->workers[worker] = pthread_self();
    pthread_mutex_unlock(&server->lock);
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            attend(server, worker, fd);
        } else if (errno != EINTR) {
            be_patient(); /* no descriptors left */
        }
    }
    return NULL;
}

static void interrupted(int number)
{
    (void)number;
}

int server_start(struct server *server)
{
    struct sigaction ignore = {.sa_handler = interrupted}; /* without SA_RESTART */
    pthread_attr_t attr;
    pthread_t thread;
    int no = 0;
    sigaction(SIGURG, &ignore, NULL);
    /* Linux 6.16: nobody can send descriptors before being admitted. Older kernels: an error. */
    setsockopt(server->listener, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
    int rc = pthread_attr_init(&attr);
    if (rc == 0) {
        rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    }
    if (rc == 0) {
        rc = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    }
    for (int i = 0; rc == 0 && i < SERVE_WORKERS; i++) {
        rc = pthread_create(&thread, &attr, work, server);
    }
    pthread_attr_destroy(&attr);
    return rc;
}
