/*
 * yama.c - runs a command as on a host whose kernel.yama.ptrace_scope is SCOPE, and which started
 * none of the programs that the command looks at.
 *
 *   yama SCOPE CMD...
 *
 * A seccomp filter sends every openat of the command, and of all it starts, to this process, which
 * answers EPERM to what Yama guards (/proc/PID/syscall, stack and mem; process_vm_readv), and hands
 * out the setting's own file, which this kernel may not have. It lives as long as they do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int install(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -1;
    }
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static void read_path(pid_t pid, uint64_t address, char path[256])
{
    struct iovec to = {path, 255};
    /* Up to the end of its page, in case that is the last one. */
    struct iovec from = {(void *)(uintptr_t)address, 4096 - address % 4096};
    from.iov_len = from.iov_len < 255 ? from.iov_len : 255;
    ssize_t n = process_vm_readv(pid, &to, 1, &from, 1, 0);
    path[n < 0 ? 0 : n] = '\0';
}

static bool is_guarded(const char *path)
{
    static const char *const names[] = {"/syscall", "/stack", "/mem"};
    size_t len = strlen(path);
    if (strncmp(path, "/proc/", 6) != 0 || path[6] < '0' || path[6] > '9') {
        return false;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i]);
        if (len > n && strcmp(path + len - n, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int make_setting(const char *scope)
{
    int fd = memfd_create("ptrace_scope", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, scope, strlen(scope)) < 0 || lseek(fd, 0, SEEK_SET) != 0)) {
        return -1;
    }
    return fd;
}

static void answer(int listener, const char *scope, const struct seccomp_notif *asked)
{
    struct seccomp_notif_resp response = {.id = asked->id,
                                          .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    char path[256];
    read_path((pid_t)asked->pid, asked->data.args[1], path);
    if (strcmp(path, "/proc/sys/kernel/yama/ptrace_scope") == 0) {
        struct seccomp_notif_addfd add = {.id = asked->id,
                                          .flags = SECCOMP_ADDFD_FLAG_SEND,
                                          .srcfd = (uint32_t)make_setting(scope),
                                          .newfd_flags = O_CLOEXEC};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) {
            perror("yama: addfd");
        }
        close((int)add.srcfd);
        return;
    }
    if (is_guarded(path)) {
        response.flags = 0;
        response.error = -EPERM;
    }
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response); /* it may be gone by now */
}

static int serve(int listener, const char *scope)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* meant for the command */
    for (;;) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        struct seccomp_notif asked = {0};
        if (poll(&p, 1, -1) < 0 && errno != EINTR) {
            return 1;
        }
        if (p.revents & POLLHUP) {
            return 0;
        }
        if (p.revents & POLLIN && ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0) {
            answer(listener, scope, &asked);
        }
    }
}

int main(int argc, char **argv)
{
    int numbers[2], listener = -1;
    if (argc < 3 || pipe2(numbers, O_CLOEXEC) != 0) {
        fprintf(stderr, "usage: yama SCOPE CMD...\n");
        return 2;
    }
    /* The command stays this process, so that its pid is the one that the caller knows. */
    pid_t self = getpid(), helper = fork();
    if (helper == 0) {

        (void)setsid();
        if (read(numbers[0], &listener, sizeof(listener)) != sizeof(listener)) {
            return 1;
        }
        int pidfd = (int)syscall(SYS_pidfd_open, self, 0);
        int own = (int)syscall(SYS_pidfd_getfd, pidfd, listener, 0);
        if (own < 0) {
            perror("yama: pidfd_getfd");
        }
        close(pidfd);
        close(numbers[0]);
        close(numbers[1]);
        return own < 0 ? 1 : serve(own, argv[1]);
    }
    listener = install();
    if (helper < 0 || listener < 0 ||
        write(numbers[1], &listener, sizeof(listener)) != sizeof(listener)) {
        perror("yama");
        return 127;
    }
    /* exec opens nothing by openat(2), and what the loader opens waits for the helper. */
    usleep(200000);
    execvp(argv[2], argv + 2);
    perror("yama");
    return 127;
}
