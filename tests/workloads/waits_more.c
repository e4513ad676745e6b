/*
 * waits_more.c - rarer kinds of waits, one thread each; see waiter.h.
 *
 * Disk files are made in $WAITS_DIR, else /var/tmp: TMPDIR may be memory, where nothing waits.
 */
#include <mqueue.h>
#include <signal.h>

#include <linux/io_uring.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "waiter.h"

enum { DISK_BYTES = 32 << 20, READ_BYTES = 1 << 20, SYNC_BYTES = 64 << 10, PAGE = 4096 };
static const long TMPFS_TYPE = 0x01021994, RAMFS_TYPE = 0x858458f6;

/* ---- disk: each wait is as long as the disk takes, for wait_ns in all ---- */

static void prepare_disk(struct waiter *w)
{
    const char *folder = getenv("WAITS_DIR");
    struct statfs fs;
    w->file = -1;
    snprintf(w->path, sizeof(w->path), "%s/stax-waits-XXXXXX", folder ? folder : "/var/tmp");
    if (statfs(folder ? folder : "/var/tmp", &fs) != 0 || fs.f_type == TMPFS_TYPE ||
        fs.f_type == RAMFS_TYPE || (w->file = mkostemp(w->path, O_CLOEXEC)) < 0) {
        w->skip = "no disk to write to";
        return;
    }
    static char bytes[READ_BYTES];
    memset(bytes, 'x', sizeof(bytes));
    for (int i = 0; i < DISK_BYTES / READ_BYTES; i++) {
        must(write(w->file, bytes, sizeof(bytes)) == sizeof(bytes), "write");
    }
    must(fsync(w->file) == 0, "fsync");
}

static void finish_disk(struct waiter *w)
{
    unlink(w->path);
}

static void prepare_direct(struct waiter *w)
{
    prepare_disk(w);
    if (w->skip) {
        return;
    }
    int fd = open(w->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        unlink(w->path);
        w->skip = "no O_DIRECT here";
        return;
    }
    w->file = fd;
    w->memory = mmap(NULL, READ_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(w->memory != MAP_FAILED, "mmap");
}

static void wait_direct(struct waiter *w)
{
    for (int64_t end = wall_ns() + w->settings->wait_ns; wall_ns() < end;) {
        off_t at = (off_t)(w->n_bytes++ % (DISK_BYTES / READ_BYTES)) * READ_BYTES;
        must(pread(w->file, w->memory, READ_BYTES, at) == READ_BYTES, "pread");
    }
}

static void wait_sync(struct waiter *w)
{
    static const char bytes[SYNC_BYTES];
    for (int64_t end = wall_ns() + w->settings->wait_ns; wall_ns() < end;) {
        off_t at = (off_t)(w->n_bytes++ % (DISK_BYTES / SYNC_BYTES)) * SYNC_BYTES;
        must(pwrite(w->file, bytes, sizeof(bytes), at) == sizeof(bytes), "pwrite");
        must(fsync(w->file) == 0, "fsync");
    }
}

static long major_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_majflt;
}

/* Throws the file's pages out of memory. */
static void forget_pages(struct waiter *w)
{
    madvise(w->memory, DISK_BYTES, MADV_DONTNEED);
    posix_fadvise(w->file, 0, DISK_BYTES, POSIX_FADV_DONTNEED);
}

static void touch_page(const struct waiter *w, size_t i)
{
    (void)((const volatile char *)w->memory)[i * 17 % (DISK_BYTES / PAGE) * PAGE];
}

static void prepare_fault(struct waiter *w)
{
    prepare_disk(w);
    if (w->skip) {
        return;
    }
    w->memory = mmap(NULL, DISK_BYTES, PROT_READ, MAP_SHARED, w->file, 0);
    must(w->memory != MAP_FAILED, "mmap");
    madvise(w->memory, DISK_BYTES, MADV_RANDOM);
    long before = major_faults();
    forget_pages(w);
    for (size_t i = 0; i < 64; i++) {
        touch_page(w, i);
    }
    if (major_faults() - before < 32) {
        unlink(w->path);
        w->skip = "pages stay in memory";
    }
}

static void wait_fault(struct waiter *w)
{
    forget_pages(w);
    for (int64_t end = wall_ns() + w->settings->wait_ns; wall_ns() < end;) {
        touch_page(w, w->n_bytes++);
    }
}

/* ---- what ends by itself ---- */

static void prepare_ring(struct waiter *w)
{
    struct io_uring_params params = {0};
    w->file = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (w->file < 0) {
        w->skip = errno == ENOSYS || errno == EPERM ? "no io_uring here" : "io_uring_setup fails";
    }
}

/* Waits for a completion that never comes, with a timeout. */
static void wait_ring(struct waiter *w)
{
    struct __kernel_timespec t = {.tv_nsec = w->settings->wait_ns};
    struct io_uring_getevents_arg argument = {.ts = (uint64_t)(uintptr_t)&t};
    syscall(SYS_io_uring_enter, w->file, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
            &argument, sizeof(argument));
}

static void prepare_timer(struct waiter *w)
{
    w->file = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    must(w->file >= 0, "timerfd_create");
}

static void wait_timer(struct waiter *w)
{
    struct itimerspec t = {.it_value.tv_nsec = w->settings->wait_ns};
    uint64_t n;
    must(timerfd_settime(w->file, 0, &t, NULL) == 0, "timerfd_settime");
    must(read(w->file, &n, sizeof(n)) == sizeof(n), "read");
}

/* ---- what a helper ends ---- */

static void prepare_full_pipe(struct waiter *w)
{
    static const char bytes[PAGE];
    must(pipe2(w->fds, O_CLOEXEC) == 0, "pipe2");
    must(fcntl(w->fds[1], F_SETFL, O_NONBLOCK) == 0, "fcntl");
    while (write(w->fds[1], bytes, sizeof(bytes)) > 0) {
    }
    must(fcntl(w->fds[1], F_SETFL, 0) == 0, "fcntl");
}

static void wait_write(struct waiter *w)
{
    static const char bytes[PAGE];
    must(write(w->fds[1], bytes, sizeof(bytes)) == sizeof(bytes), "write");
}

static void end_write(struct waiter *w)
{
    char bytes[PAGE];
    must(read(w->fds[0], bytes, sizeof(bytes)) == sizeof(bytes), "read");
}

static void prepare_full_queue(struct waiter *w)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
    snprintf(w->path, sizeof(w->path), "/stax-waits-more-%d", (int)getpid());
    w->file = mq_open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
    if (w->file == -1) {
        w->skip = "no POSIX message queues here";
        return;
    }
    mq_unlink(w->path);
    must(mq_send(w->file, "x", 1, 0) == 0, "mq_send");
}

static void wait_mq_send(struct waiter *w)
{
    must(mq_send(w->file, "x", 1, 0) == 0, "mq_send");
}

static void end_mq_send(struct waiter *w)
{
    char bytes[16];
    must(mq_receive(w->file, bytes, sizeof(bytes), NULL) >= 0, "mq_receive");
}

static void prepare_sysv_sem(struct waiter *w)
{
    w->file = semget(IPC_PRIVATE, 1, 0600);
    w->skip = w->file < 0 ? "no System V semaphores here" : NULL;
}

static void add_to_sem(struct waiter *w, short n)
{
    struct sembuf operation = {0, n, 0};
    must(semop(w->file, &operation, 1) == 0, "semop");
}

static void wait_sysv_sem(struct waiter *w)
{
    add_to_sem(w, -1);
}

static void end_sysv_sem(struct waiter *w)
{
    add_to_sem(w, 1);
}

static void finish_sysv_sem(struct waiter *w)
{
    semctl(w->file, 0, IPC_RMID);
}

static void prepare_sysv_msg(struct waiter *w)
{
    w->file = msgget(IPC_PRIVATE, 0600);
    w->skip = w->file < 0 ? "no System V message queues here" : NULL;
}

struct message {
    long type;
    char text[8];
};

static void wait_sysv_msg(struct waiter *w)
{
    struct message m;
    must(msgrcv(w->file, &m, sizeof(m.text), 0, 0) >= 0, "msgrcv");
}

static void end_sysv_msg(struct waiter *w)
{
    struct message m = {.type = 1};
    must(msgsnd(w->file, &m, sizeof(m.text), 0) == 0, "msgsnd");
}

static void finish_sysv_msg(struct waiter *w)
{
    msgctl(w->file, IPC_RMID, NULL);
}

static void connect_to(struct waiter *w)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address);
    must(getsockname(w->file, (struct sockaddr *)&address, &len) == 0, "getsockname");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, len) == 0, "connect");
    w->fds[1] = fd;
}

/* A listener with room for one, and that one: the next has to wait. */
static void prepare_backlog(struct waiter *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    w->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(w->file >= 0, "socket");
    must(bind(w->file, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0, "bind");
    must(listen(w->file, 0) == 0, "listen");
    connect_to(w);
}

static void wait_connect(struct waiter *w)
{
    connect_to(w);
}

static void end_connect(struct waiter *w)
{
    int fd = accept(w->file, NULL, NULL);
    must(fd >= 0, "accept");
    close(fd);
}

static void prepare_fifo(struct waiter *w)
{
    snprintf(w->path, sizeof(w->path), "/tmp/stax-waits-fifo-%d", (int)getpid());
    must(mkfifo(w->path, 0600) == 0, "mkfifo");
}

static void wait_fifo(struct waiter *w)
{
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    close(fd);
}

static void end_fifo(struct waiter *w)
{
    int fd = open(w->path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    close(fd);
}

static void finish_fifo(struct waiter *w)
{
    unlink(w->path);
}

static void wait_barrier(struct waiter *w)
{
    pthread_barrier_wait(&w->barrier);
}

static void prepare_pi(struct waiter *w)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    if (pthread_mutex_init(&w->mutex, &attr) != 0) {
        w->skip = "no priority inheriting mutexes here";
    }
}

static void hold_pi(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
}

static void end_pi(struct waiter *w)
{
    pthread_mutex_unlock(&w->mutex);
}

static void wait_pi(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static struct waiter waiters[] = {
    {"m-read", "ioR", prepare_direct, .wait = wait_direct, .finish = finish_disk},
    {"m-fsync", "ioW", prepare_disk, .wait = wait_sync, .finish = finish_disk},
    {"m-fault", "ioR", prepare_fault, .wait = wait_fault, .finish = finish_disk},
    {"m-io-uring", "ready", prepare_ring, .wait = wait_ring},
    {"m-timerfd", "sleep", prepare_timer, .wait = wait_timer},
    {"m-pipe-full", "ipc", prepare_full_pipe, .wait = wait_write, .end = end_write},
    {"m-mq-full", "ipc", prepare_full_queue, .wait = wait_mq_send, .end = end_mq_send},
    {"m-sysv-sem", "sem", prepare_sysv_sem, .wait = wait_sysv_sem, .end = end_sysv_sem,
     .finish = finish_sysv_sem},
    {"m-sysv-msg", "ipc", prepare_sysv_msg, .wait = wait_sysv_msg, .end = end_sysv_msg,
     .finish = finish_sysv_msg},
    {"m-connect", "conn", prepare_backlog, .wait = wait_connect, .end = end_connect},
    {"m-fifo", "conn", prepare_fifo, .wait = wait_fifo, .end = end_fifo, .finish = finish_fifo},
    {"m-barrier", "lock", NULL, .wait = wait_barrier, .end = wait_barrier},
    {"m-pi-mutex", "lock", prepare_pi, .hold = hold_pi, .wait = wait_pi, .end = end_pi},
};

int main(int argc, char **argv)
{
    return run_waiters(argc, argv, waiters, sizeof(waiters) / sizeof(waiters[0]));
}
