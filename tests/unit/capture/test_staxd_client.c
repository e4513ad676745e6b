/*
 * test_staxd_client.c - capture/broker.c against the broker's own workers, and against brokers that
 * are gone, slow, of another version, or lie. No descriptor may be left over by any of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "capture/broker.h"
#include "capture/opener.h"
#include "capture/staxd/serve.h"

enum { SHORT_MS = 100 };

static int listen_at(char *path, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(path, size, "/tmp/staxd-test-%d.sock", getpid());
    unlink(path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static size_t n_open_fds(void)
{
    size_t n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder)) {
        n++;
    }
    closedir(folder);
    return n;
}

/* A broker that answers one request, or not. */
struct fake {
    int listener;
    struct broker_answer greeting;
    size_t n_greeting; /* bytes of it; 0: none */
    bool is_silent;    /* takes the request and leaves it at that */
    struct broker_answer answer;
    size_t n_answer; /* bytes of it; 0: hangs up */
    size_t n_fds;    /* that come along */
    bool is_pipe;    /* those are pipes, not perf events */
    bool is_last;    /* opens the last CPU of each request, and takes more than one */
    int64_t serial_off;
};

static const struct broker_answer hello = {
    .magic = BROKER_MAGIC,
    .version = BROKER_VERSION,
    .size = sizeof(struct broker_answer),
};

static int some_fd(bool is_pipe)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_SW_DUMMY,
                                   .exclude_kernel = 1};
    int pipes[2];
    if (!is_pipe) {
        return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    }
    if (pipe(pipes) != 0) {
        return -1;
    }
    close(pipes[1]);
    return pipes[0];
}

static void send_bytes(int fd, const void *bytes, size_t n, const int *fds, size_t n_fds)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control;
    char padded[2 * sizeof(struct broker_answer)] = {0};
    memcpy(padded, bytes, n < sizeof(struct broker_answer) ? n : sizeof(struct broker_answer));
    struct iovec iov = {padded, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds) {
        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void answer_request(struct fake *f, int fd, const struct broker_request *request)
{
    int fds[16];
    for (size_t i = 0; i < f->n_fds; i++) {
        fds[i] = some_fd(f->is_pipe);
    }
    if (f->is_last) {
        memset(f->answer.opened, 0, sizeof(f->answer.opened));
        f->answer.opened[(request->n_cpus - 1) / 64] = UINT64_C(1) << (request->n_cpus - 1) % 64;
    }
    f->answer.serial = (uint32_t)(request->serial + f->serial_off);
    send_bytes(fd, &f->answer, f->n_answer, fds, f->n_fds);
    for (size_t i = 0; i < f->n_fds; i++) {
        close(fds[i]);
    }
}

static void *play(void *argument)
{
    struct fake *f = argument;
    struct broker_request request = {0};
    char byte;
    int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    if (f->n_greeting) {
        send_bytes(fd, &f->greeting, f->n_greeting, NULL, 0);
        do {
            if (recv(fd, &request, sizeof(request), 0) <= 0 || !f->n_answer || f->is_silent) {
                break;
            }
            answer_request(f, fd, &request);
        } while (f->is_last);
    }
    if (f->is_silent || f->n_answer) {
        (void)!recv(fd, &byte, 1, 0); /* until the caller is gone */
    }
    close(fd);
    return NULL;
}

static const struct broker_want want = {
    .kind = BROKER_DUMMY,
    .flags = BROKER_SIDEBAND,
    .pid = 1,
    .tid = 1,
    .n_cpus = 2,
};

/* What the caller makes of a fake; *e tells. Nothing may be left open. */
static int meet(struct fake *f, struct err *e)
{
    char path[64];
    struct broker b;
    pthread_t thread;
    int fds[2];
    *e = (struct err){0};
    size_t n_before = n_open_fds();
    f->listener = listen_at(path, sizeof(path));
    assert_int_equal(pthread_create(&thread, NULL, play, f), 0);
    int rc = broker_open(&b, path, e);
    if (rc == 0) {
        b.timeout_ms = SHORT_MS;
        /* A second connection, which the caller makes when the first is closed, finds nobody. */
        close(f->listener);
        f->listener = -1;
        rc = broker_events(&b, 0, &want, fds, e);
        if (rc == 0) {
            close(fds[0]);
            close(fds[1]);
        }
    }
    broker_close(&b);
    pthread_join(thread, NULL);
    if (f->listener >= 0) {
        close(f->listener);
    }
    unlink(path);
    assert_int_equal(n_open_fds(), n_before);
    return rc;
}

static struct fake honest(void)
{
    struct fake f = {.greeting = hello,
                     .n_greeting = sizeof(hello),
                     .answer = hello,
                     .n_answer = sizeof(hello),
                     .n_fds = 2};
    f.answer.n_fds = 2;
    f.answer.n_groups = 2;
    f.answer.opened[0] = 3;
    return f;
}

#define EXPECT(change, code)                                                                       \
    do {                                                                                           \
        struct fake f = honest();                                                                  \
        struct err e;                                                                              \
        change;                                                                                    \
        assert_int_equal(meet(&f, &e), (code));                                                    \
        assert_true((code) == 0 || e.msg[0]);                                                      \
    } while (0)

static void test_no_broker(void **state)
{
    (void)state;
    struct broker b;
    struct err e = {0};
    assert_int_equal(broker_open(&b, "/tmp/nothing/staxd.sock", &e), STAX_EUNREACHABLE);
    assert_non_null(strstr(e.hint, "stax setup"));
    broker_close(&b);
    char path[64];
    close(listen_at(path, sizeof(path))); /* the file of a broker that died */
    assert_int_equal(broker_open(&b, path, &e), STAX_EUNREACHABLE);
    unlink(path);
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[199] = '\0';
    assert_int_equal(broker_open(&b, longest, &e), STAX_EUSAGE);
    assert_int_equal(broker_open(&b, "", &e), STAX_EUSAGE);
    broker_close(NULL);
}

static void test_greetings(void **state)
{
    (void)state;
    EXPECT(f.greeting.version = 9, STAX_EVERSION);
    EXPECT(f.greeting.magic = 0, STAX_ECORRUPT);
    EXPECT(f.greeting.size = 8, STAX_ECORRUPT);
    EXPECT(f.greeting.serial = 8, STAX_ECORRUPT);
    EXPECT(f.greeting.n_fds = 1, STAX_ECORRUPT);
    EXPECT(f.greeting.status = BROKER_BUSY, STAX_EBUSY);
    EXPECT(f.n_greeting = 63, STAX_ECORRUPT);
    EXPECT(f.n_greeting = 65, STAX_ECORRUPT);
    EXPECT((f.n_greeting = 0, f.n_answer = 0), STAX_EUNREACHABLE);
    EXPECT((f.n_greeting = 0, f.is_silent = true), STAX_ETIMEOUT);
}

static void test_answers(void **state)
{
    (void)state;
    int probe = some_fd(false);
    if (probe < 0) {
        skip(); /* this host forbids perf events */
    }
    close(probe);
    EXPECT((void)0, 0);
    EXPECT(f.is_silent = true, STAX_ETIMEOUT);
    EXPECT(f.n_answer = 0, STAX_EUNREACHABLE);
    EXPECT(f.n_answer = 63, STAX_ECORRUPT);
    EXPECT(f.n_answer = 65, STAX_ECORRUPT);
    EXPECT(f.answer.version = 9, STAX_EVERSION);
    EXPECT(f.answer.magic = 2, STAX_ECORRUPT);
    EXPECT(f.answer.size = 2, STAX_ECORRUPT);
    EXPECT(f.serial_off = 1, STAX_ECORRUPT);
    EXPECT(f.n_fds = 1, STAX_ECORRUPT);
    EXPECT(f.n_fds = 0, STAX_ECORRUPT);
    EXPECT(f.n_fds = 16, STAX_ECORRUPT);
    EXPECT(f.is_pipe = true, STAX_ECORRUPT);
    EXPECT(f.answer.opened[0] = 5, STAX_ECORRUPT); /* a CPU that was not asked for */
    EXPECT(f.answer.opened[3] = 1, STAX_ECORRUPT);
    EXPECT(f.answer.n_groups = 1, STAX_ECORRUPT);
    EXPECT((f.answer.n_fds = f.n_fds = 0, f.answer.opened[0] = 0, f.answer.n_groups = 0),
           STAX_ECORRUPT);
    EXPECT(f.answer.status = BROKER_GONE, STAX_ECORRUPT); /* a refusal with descriptors */
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        uint32_t status;
        int os_errno;
        int code;
    } refusals[] = {
        {BROKER_BAD_VERSION, 0, STAX_EVERSION},
        {BROKER_BAD_MESSAGE, 0, STAX_EFAIL},
        {BROKER_BAD_FIELD, 0, STAX_EFAIL},
        {BROKER_BAD_BOUNDS, 0, STAX_EFAIL},
        {BROKER_BAD_DESCRIPTOR, 0, STAX_EFAIL},
        {BROKER_GONE, 0, STAX_ENOTFOUND},
        {BROKER_OTHER_NAMESPACE, 0, STAX_EPERMISSION},
        {BROKER_NOT_A_THREAD, 0, STAX_ENOTFOUND},
        {BROKER_OTHER_USER, 0, STAX_EPERMISSION},
        {BROKER_NOT_DUMPABLE, 0, STAX_EPERMISSION},
        {BROKER_OTHER_USERNS, 0, STAX_EPERMISSION},
        {BROKER_HAS_CAPABILITIES, 0, STAX_EPERMISSION},
        {BROKER_NO_TRACEFS, 0, STAX_ESYSTEM},
        {BROKER_CANNOT_OPEN, EINVAL, STAX_ESYSTEM},
        {BROKER_CANNOT_OPEN, ETOOMANYREFS, STAX_ELIMIT},
        {BROKER_BUSY, 0, STAX_EBUSY},
        {BROKER_STATUS_END, 0, STAX_EFAIL},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct fake f = honest();
        struct err e;
        f.n_fds = 0;
        f.answer = hello;
        f.answer.status = refusals[i].status;
        f.answer.os_errno = refusals[i].os_errno;
        assert_int_equal(meet(&f, &e), refusals[i].code);
        assert_int_equal(e.os_errno, refusals[i].os_errno);
    }
    /* all CPUs asked for are offline: nothing to open, and no error */
    struct fake f = honest();
    struct err e;
    f.n_fds = 0;
    f.answer = hello;
    f.answer.status = BROKER_CANNOT_OPEN;
    f.answer.os_errno = ENODEV;
    struct broker b;
    char path[64];
    pthread_t thread;
    int fds[2] = {7, 7};
    f.listener = listen_at(path, sizeof(path));
    pthread_create(&thread, NULL, play, &f);
    assert_int_equal(broker_open(&b, path, &e), 0);
    assert_int_equal(broker_events(&b, 0, &want, fds, &e), 0);
    assert_true(fds[0] == -1 && fds[1] == -1);
    broker_close(&b);
    pthread_join(thread, NULL);
    close(f.listener);
    unlink(path);
}

/* More CPUs than one message has descriptors for. */
static void test_many_cpus(void **state)
{
    (void)state;
    struct fake f = honest();
    struct err e = {0};
    struct broker b;
    char path[64];
    pthread_t thread;
    struct broker_want w = want;
    int fds[600];
    int probe = some_fd(false);
    if (probe < 0) {
        skip();
    }
    close(probe);
    f.is_last = true;
    f.n_fds = f.answer.n_fds = f.answer.n_groups = 1;
    w.n_cpus = 600;
    f.listener = listen_at(path, sizeof(path));
    assert_int_equal(pthread_create(&thread, NULL, play, &f), 0);
    assert_int_equal(broker_open(&b, path, &e), 0);
    assert_int_equal(broker_events(&b, 0, &w, fds, &e), 0);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(fds[i] >= 0, i == 252 || i == 505 || i == 599);
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    broker_close(&b);
    pthread_join(thread, NULL);
    close(f.listener);
    unlink(path);
}

/* The real workers, with the rights of whoever runs this. */
struct real {
    char path[64];
    struct server server;
};

static int start_real(void **state)
{
    struct real *r = calloc(1, sizeof(*r));
    server_init(&r->server, listen_at(r->path, sizeof(r->path)));
    r->server.idle_ms = 300;
    *state = r;
    return server_start(&r->server);
}

static int stop_real(void **state)
{
    struct real *r = *state;
    unlink(r->path);
    return 0; /* its workers end with the process, and use it until then */
}

static void test_events(void **state)
{
    struct real *r = *state;
    struct broker b;
    struct err e = {0};
    struct broker_want w = want;
    int fds[64], pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    w.pid = getpid();
    w.tid = (pid_t)syscall(SYS_gettid);
    int probe = some_fd(false);
    if (probe < 0) {
        skip();
    }
    close(probe);
    assert_int_equal(broker_open(&b, r->path, &e), 0);
    size_t n_before = n_open_fds();
    w.n_cpus = (size_t)sysconf(_SC_NPROCESSORS_CONF);
    if (w.n_cpus > 64) {
        skip();
    }
    assert_int_equal(broker_events(&b, pidfd, &w, fds, &e), 0);
    size_t n = 0;
    for (size_t i = 0; i < w.n_cpus; i++) {
        uint64_t id;
        if (fds[i] >= 0) {
            n++;
            assert_int_equal(ioctl(fds[i], PERF_EVENT_IOC_ID, &id), 0);
            close(fds[i]);
        }
    }
    assert_int_equal(n, sysconf(_SC_NPROCESSORS_ONLN));
    /* the worker of this process closes its own after it has answered */
    for (int i = 0; i < 200 && n_open_fds() != n_before; i++) {
        usleep(10000);
    }
    assert_int_equal(n_open_fds(), n_before);

    /* The broker hangs up on idle callers; the next request connects again by itself. */
    usleep(600000);
    assert_true(server_idle_seconds(&r->server) >= 0);
    w.kind = BROKER_CPU_CLOCK;
    w.period = 1000000;
    w.flags = BROKER_CALLCHAIN;
    w.n_cpus = 1;
    w.n_counters = 2;
    w.counters[0] = BROKER_TASK_CLOCK;
    w.counters[1] = BROKER_PAGE_FAULTS;
    assert_int_equal(broker_events(&b, pidfd, &w, fds, &e), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fds[i] >= 0);
        close(fds[i]);
    }
    w.pid = w.tid = 1;
    assert_int_equal(broker_events(&b, pidfd, &w, fds, &e), STAX_EPERMISSION);
    w.n_counters = 9;
    assert_int_equal(broker_events(&b, pidfd, &w, fds, &e), STAX_EUSAGE);
    int kallsyms = broker_kallsyms(&b, &e);
    assert_true(kallsyms >= 0);
    char byte;
    assert_int_equal(read(kallsyms, &byte, 1), 1);
    close(kallsyms);
    broker_close(&b);
    close(pidfd);
}

static void test_a_target_that_ended(void **state)
{
    struct real *r = *state;
    struct broker b;
    struct err e = {0};
    struct broker_want w = want;
    int fds[2];
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    waitpid(pid, NULL, 0);
    w.pid = w.tid = pid;
    assert_int_equal(broker_open(&b, r->path, &e), 0);
    assert_int_equal(broker_events(&b, pidfd, &w, fds, &e), STAX_ENOTFOUND);
    broker_close(&b);
    close(pidfd);
}

/* What a broker says of a thread that ends meanwhile is nothing that the host forbids. */
static int refused_about(pid_t pid)
{
    struct fake f = honest();
    char path[64];
    int fds[1], cpu = 0;
    pthread_t thread;
    struct opener o;
    const struct pid_list cpus = {&cpu, 1, 1};
    struct opener_want event = {.event = {.kind = BROKER_DUMMY, .pid = pid, .tid = pid}};
    f.n_fds = 0;
    f.answer.status = BROKER_OTHER_USERNS;
    f.answer.n_fds = f.answer.n_groups = 0;
    memset(f.answer.opened, 0, sizeof(f.answer.opened));
    f.listener = listen_at(path, sizeof(path));
    assert_int_equal(pthread_create(&thread, NULL, play, &f), 0);
    opener_init(&o, path);
    o.refused = UINT32_MAX; /* the kernel said no before */
    int rc = opener_open(&o, &event, &cpus, fds);
    assert_int_equal(fds[0], -1);
    assert_int_equal(o.refusal.code, rc == -EACCES ? STAX_EPERMISSION : 0);
    opener_close(&o);
    pthread_join(thread, NULL);
    close(f.listener);
    unlink(path);
    return rc;
}

static void test_refusals_of_threads_that_end(void **state)
{
    (void)state;
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(refused_about(pid), -EACCES);
    kill(pid, SIGKILL);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(refused_about(pid), -ESRCH);
    waitpid(pid, NULL, 0);
}

static void test_connections_of_one_user(void **state)
{
    struct real *r = *state;
    struct broker b[SERVE_WORKERS_PER_USER], more;
    struct err e = {0};
    usleep(100000); /* what earlier tests closed is noticed */
    for (size_t i = 0; i < SERVE_WORKERS_PER_USER; i++) {
        assert_int_equal(broker_open(&b[i], r->path, &e), 0);
    }
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(broker_open(&more, r->path, &e), STAX_EBUSY);
    }
    for (size_t i = 0; i < SERVE_WORKERS_PER_USER; i++) {
        broker_close(&b[i]);
    }
    usleep(100000);
    assert_int_equal(broker_open(&more, r->path, &e), 0);
    broker_close(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_broker),
        cmocka_unit_test(test_greetings),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_of_threads_that_end),
        cmocka_unit_test(test_many_cpus),
        cmocka_unit_test_setup_teardown(test_events, start_real, stop_real),
        cmocka_unit_test_setup_teardown(test_a_target_that_ended, start_real, stop_real),
        cmocka_unit_test_setup_teardown(test_connections_of_one_user, start_real, stop_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
