/* waits.c - the common kinds of waits, one thread each; see waiter.h. */
#include <mqueue.h>
#include <poll.h>
#include <signal.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "waiter.h"

enum { FUTEX_WAIT_PRIVATE = 0x80, FUTEX_WAKE_PRIVATE = 0x81 };

/* ---- what ends by itself ---- */

static void wait_sleep(struct waiter *w)
{
    sleep_ns(w->settings->wait_ns);
}

static void wait_poll(struct waiter *w)
{
    poll(NULL, 0, (int)(w->settings->wait_ns / 1000000));
}

static void wait_select(struct waiter *w)
{
    struct timeval t = {0, w->settings->wait_ns / 1000};
    select(0, NULL, NULL, NULL, &t);
}

static void prepare_epoll(struct waiter *w)
{
    w->file = epoll_create1(EPOLL_CLOEXEC);
    must(w->file >= 0, "epoll_create1");
}

static void wait_epoll(struct waiter *w)
{
    struct epoll_event event;
    epoll_wait(w->file, &event, 1, (int)(w->settings->wait_ns / 1000000));
}

static void wait_child(struct waiter *w)
{
    pid_t pid = vfork();
    if (pid == 0) {
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        sleep_ns(w->settings->wait_ns);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void *sleep_once(void *arg)
{
    struct waiter *w = arg;
    pthread_setname_np(pthread_self(), "help-joined");
    sleep_ns(w->settings->wait_ns);
    return NULL;
}

static void wait_join(struct waiter *w)
{
    pthread_t thread;
    must(pthread_create(&thread, NULL, sleep_once, w) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void wait_signal(struct waiter *w)
{
    sigset_t set;
    struct timespec t = {0, w->settings->wait_ns};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigtimedwait(&set, NULL, &t);
}

/* ---- what a helper ends ---- */

static void wait_cond(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->is_signalled) {
        pthread_cond_wait(&w->cond, &w->mutex);
    }
    w->is_signalled = false;
    pthread_mutex_unlock(&w->mutex);
}

static void end_cond(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    w->is_signalled = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static void wait_semaphore(struct waiter *w)
{
    while (sem_wait(&w->sem) != 0) {
    }
}

static void end_semaphore(struct waiter *w)
{
    sem_post(&w->sem);
}

static void prepare_pipe(struct waiter *w)
{
    must(pipe2(w->fds, O_CLOEXEC) == 0, "pipe2");
}

static void prepare_socket(struct waiter *w)
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->fds) == 0, "socketpair");
}

static void prepare_full_socket(struct waiter *w)
{
    char bytes[4096] = {0};
    prepare_socket(w);
    while (send(w->fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void wait_read(struct waiter *w)
{
    char ch;
    must(read(w->fds[0], &ch, 1) == 1, "read");
}

static void end_read(struct waiter *w)
{
    must(write(w->fds[1], "x", 1) == 1, "write");
}

static void wait_send(struct waiter *w)
{
    char bytes[4096] = {0};
    must(write(w->fds[0], bytes, sizeof(bytes)) > 0, "write");
    while (send(w->fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void end_send(struct waiter *w)
{
    char bytes[4096];
    while (recv(w->fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void prepare_event(struct waiter *w)
{
    w->fds[0] = w->fds[1] = eventfd(0, EFD_CLOEXEC);
    must(w->fds[0] >= 0, "eventfd");
}

static void wait_event(struct waiter *w)
{
    eventfd_t value;
    must(eventfd_read(w->fds[0], &value) == 0, "eventfd_read");
}

static void end_event(struct waiter *w)
{
    must(eventfd_write(w->fds[1], 1) == 0, "eventfd_write");
}

static void prepare_queue(struct waiter *w)
{
    char name[64];
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 16};
    snprintf(name, sizeof(name), "/stax-waits-%d", (int)getpid());
    w->file = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
    must(w->file != -1, "mq_open");
    mq_unlink(name);
}

static void wait_queue(struct waiter *w)
{
    char bytes[16];
    must(mq_receive(w->file, bytes, sizeof(bytes), NULL) >= 0, "mq_receive");
}

static void end_queue(struct waiter *w)
{
    must(mq_send(w->file, "x", 1, 0) == 0, "mq_send");
}

static void prepare_listener(struct waiter *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    w->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(w->file >= 0, "socket");
    /* No path: the kernel picks an abstract name. */
    must(bind(w->file, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0, "bind");
    must(listen(w->file, 4) == 0, "listen");
}

static void wait_accept(struct waiter *w)
{
    int fd = accept(w->file, NULL, NULL);
    must(fd >= 0, "accept");
    close(fd);
}

static void end_accept(struct waiter *w)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address);
    must(getsockname(w->file, (struct sockaddr *)&address, &len) == 0, "getsockname");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, len) == 0, "connect");
    close(fd);
}

static void wait_futex(struct waiter *w)
{
    while (__atomic_load_n(&w->futex, __ATOMIC_SEQ_CST) == 2) {
        syscall(SYS_futex, &w->futex, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    }
    __atomic_store_n(&w->futex, 2, __ATOMIC_SEQ_CST);
}

static void end_futex(struct waiter *w)
{
    __atomic_store_n(&w->futex, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &w->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- what the helper holds while the thread waits for it ---- */

static void hold_mutex(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
}

static void end_mutex(struct waiter *w)
{
    pthread_mutex_unlock(&w->mutex);
}

static void wait_mutex(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void hold_rwlock(struct waiter *w)
{
    pthread_rwlock_wrlock(&w->rwlock);
}

static void end_rwlock(struct waiter *w)
{
    pthread_rwlock_unlock(&w->rwlock);
}

static void wait_rwlock(struct waiter *w)
{
    pthread_rwlock_rdlock(&w->rwlock);
    pthread_rwlock_unlock(&w->rwlock);
}

static void prepare_file(struct waiter *w)
{
    char path[] = "/tmp/stax-waits-XXXXXX";
    w->fds[0] = mkostemp(path, O_CLOEXEC);
    w->fds[1] = open(path, O_RDWR | O_CLOEXEC);
    unlink(path);
    must(w->fds[0] >= 0 && w->fds[1] >= 0, "a file");
}

static void hold_file(struct waiter *w)
{
    must(flock(w->fds[1], LOCK_EX) == 0, "flock");
}

static void end_file(struct waiter *w)
{
    must(flock(w->fds[1], LOCK_UN) == 0, "flock");
}

static void wait_file(struct waiter *w)
{
    must(flock(w->fds[0], LOCK_EX) == 0, "flock");
    must(flock(w->fds[0], LOCK_UN) == 0, "flock");
}

static struct waiter waiters[] = {
    {.name = "w-sleep", .reason = "sleep", .wait = wait_sleep},
    {.name = "w-poll", .reason = "ready", .wait = wait_poll},
    {.name = "w-select", .reason = "ready", .wait = wait_select},
    {.name = "w-epoll", .reason = "ready", .wait = wait_epoll, .prepare = prepare_epoll},
    {.name = "w-child", .reason = "ipc", .wait = wait_child},
    {.name = "w-join", .reason = "ipc", .wait = wait_join},
    {.name = "w-signal", .reason = "idle", .wait = wait_signal},
    {.name = "w-cond", .reason = "idle", .wait = wait_cond, .end = end_cond},
    {.name = "w-sem", .reason = "sem", .wait = wait_semaphore, .end = end_semaphore},
    {.name = "w-mutex", .reason = "lock", .wait = wait_mutex, .end = end_mutex, .hold = hold_mutex},
    {.name = "w-rwlock",
     .reason = "lock",
     .wait = wait_rwlock,
     .end = end_rwlock,
     .hold = hold_rwlock},
    {.name = "w-flock",
     .reason = "lock",
     .wait = wait_file,
     .end = end_file,
     .hold = hold_file,
     .prepare = prepare_file},
    {.name = "w-futex", .reason = "lock", .wait = wait_futex, .end = end_futex, .futex = 2},
    {.name = "w-pipe",
     .reason = "ipc",
     .wait = wait_read,
     .end = end_read,
     .prepare = prepare_pipe},
    {.name = "w-recv",
     .reason = "ioR",
     .wait = wait_read,
     .end = end_read,
     .prepare = prepare_socket},
    {.name = "w-send",
     .reason = "ioW",
     .wait = wait_send,
     .end = end_send,
     .prepare = prepare_full_socket},
    {.name = "w-eventfd",
     .reason = "ipc",
     .wait = wait_event,
     .end = end_event,
     .prepare = prepare_event},
    {.name = "w-mqueue",
     .reason = "ipc",
     .wait = wait_queue,
     .end = end_queue,
     .prepare = prepare_queue},
    {.name = "w-accept",
     .reason = "conn",
     .wait = wait_accept,
     .end = end_accept,
     .prepare = prepare_listener},
};

int main(int argc, char **argv)
{
    return run_waiters(argc, argv, waiters, sizeof(waiters) / sizeof(waiters[0]));
}
