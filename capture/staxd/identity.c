/* identity.c - see identity.h. */
#include "capture/staxd/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 80, STATUS_BYTES = 8192, LINK_BYTES = 64, SMALL_BYTES = 512 };

static ssize_t read_all(int fd, char *text, size_t size)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, text + n, size - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        n += (size_t)got;
        if (n == size) {
            return -EFBIG;
        }
        if (got == 0) {
            text[n] = '\0';
            return (ssize_t)n;
        }
    }
}

ssize_t identity_read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -errno;
    }
    ssize_t n = read_all(fd, text, size);
    close(fd);
    return n;
}

/* What follows "KEY:" at the start of a line, else NULL. The kernel escapes line ends in names. */
static const char *find_line(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; *line;) {
        if (strncmp(line, key, n) == 0 && line[n] == ':') {
            return line + n + 1;
        }
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return NULL;
}

/* Decimal numbers separated by blanks within one line; false unless there are n of at most max. */
static bool parse_numbers(const char *s, long long max, long long *values, size_t n)
{
    for (size_t i = 0; s && i < n; i++) {
        char *end;
        s += strspn(s, " \t");
        if ((*s < '0' || *s > '9') && *s != '-') {
            return false;
        }
        errno = 0;
        values[i] = strtoll(s, &end, 10);
        if (errno || end == s || values[i] > max || values[i] < -1) {
            return false;
        }
        s = end;
    }
    return s && strchr(" \t\n", *s);
}

bool identity_parse_fdinfo(const char *text, pid_t *pid)
{
    long long value;
    if (!parse_numbers(find_line(text, "Pid"), INT32_MAX, &value, 1)) {
        return false;
    }
    *pid = (pid_t)value;
    return true;
}

bool identity_parse_status(const char *text, struct policy_target *target)
{
    long long tgid, tid, uid[4], gid[4];
    if (!parse_numbers(find_line(text, "Tgid"), INT32_MAX, &tgid, 1) ||
        !parse_numbers(find_line(text, "Pid"), INT32_MAX, &tid, 1) ||
        !parse_numbers(find_line(text, "Uid"), UINT32_MAX - 1, uid, 4) ||
        !parse_numbers(find_line(text, "Gid"), UINT32_MAX - 1, gid, 4)) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        if (uid[i] < 0 || gid[i] < 0) {
            return false;
        }
        target->uid[i] = (uid_t)uid[i];
        target->gid[i] = (gid_t)gid[i];
    }
    const char *capabilities = find_line(text, "CapPrm");
    if (!capabilities) {
        return false;
    }
    char *end;
    capabilities += strspn(capabilities, " \t");
    errno = 0;
    target->capabilities = strtoull(capabilities, &end, 16);
    target->is_ending = !find_line(text, "VmSize");
    target->tgid = (pid_t)tgid;
    target->tid = (pid_t)tid;
    return !errno && end - capabilities == 16 && *end == '\n';
}

bool identity_is_host_map(const char *text)
{
    long long map[3];
    return parse_numbers(text, UINT32_MAX, map, 3) && map[0] == 0 && map[1] == 0 &&
           map[2] == UINT32_MAX;
}

enum broker_status identity_of_pidfd(int pidfd, pid_t *pid)
{
    char path[PATH_BYTES], link[LINK_BYTES], text[SMALL_BYTES];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pidfd);
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    if (n < 0) {
        return BROKER_BAD_DESCRIPTOR;
    }
    link[n] = '\0';
    /* "pidfd:[INODE]" since Linux 6.9. No path looks like either: paths begin with '/'. */
    if (strcmp(link, "anon_inode:[pidfd]") != 0 && strncmp(link, "pidfd:[", 7) != 0) {
        return BROKER_BAD_DESCRIPTOR;
    }
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    if (identity_read_file(path, text, sizeof(text)) < 0 || !identity_parse_fdinfo(text, pid)) {
        return BROKER_BAD_DESCRIPTOR;
    }
    if (*pid <= 0) {
        return *pid < 0 ? BROKER_GONE : BROKER_OTHER_NAMESPACE;
    }
    return BROKER_GRANTED;
}

enum broker_status identity_is_alive(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0 ? BROKER_GRANTED : BROKER_GONE;
}

/* Why pid has no such thread: it is one of another process, or of none. */
static enum broker_status explain_absence(pid_t tid)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/proc/%d", tid);
    return access(path, F_OK) == 0 ? BROKER_NOT_A_THREAD : BROKER_GONE;
}

enum broker_status identity_read(pid_t pid, pid_t tid, struct policy_target *target)
{
    char path[PATH_BYTES], text[STATUS_BYTES], map[SMALL_BYTES];
    struct stat owner;
    *target = (struct policy_target){0};
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return explain_absence(tid);
    }
    /* The owner of these files is the task's user while it is dumpable and root while it is not
     * (proc(5), "/proc/PID"): the only place where the kernel shows it. */
    ssize_t n = fstat(fd, &owner) == 0 ? read_all(fd, text, sizeof(text)) : -errno;
    close(fd);
    if (n == -ESRCH) {
        return BROKER_GONE;
    }
    if (n < 0 || !identity_parse_status(text, target) || target->tid != tid) {
        return BROKER_OTHER_USER;
    }
    target->owner_uid = owner.st_uid;
    target->owner_gid = owner.st_gid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/uid_map", pid, tid);
    if (identity_read_file(path, map, sizeof(map)) > 0) {
        target->is_host_userns = identity_is_host_map(map);
    } else {
        snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
        return access(path, F_OK) == 0 ? BROKER_GRANTED : explain_absence(tid);
    }
    return BROKER_GRANTED;
}
