/* fd.c - see fd.h. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>

void fd_close(int *fd)
{
    if (*fd != -1) {
        int saved = errno;
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

int fd_read_all(int fd, size_t limit, struct buf *out)
{
    size_t total = 0;
    for (;;) {
        size_t want = limit - total < 65536 ? limit - total : 65536;
        char *at = buf_room(out, want + 1);
        ssize_t n = read(fd, at, want ? want : 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return 0;
        }
        if (!want) {
            return -EFBIG;
        }
        buf_advance(out, (size_t)n);
        total += (size_t)n;
    }
}

int fd_read_file(const char *path, size_t limit, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = fd_read_all(fd, limit, out);
    close(fd);
    return rc;
}

int fd_open_regular(const char *path, struct stat *st)
{
    char self[32];
    int rc = -EINVAL;
    int at = open(path, O_PATH | O_CLOEXEC);
    if (at < 0) {
        return -errno;
    }
    if (fstat(at, st) != 0) {
        rc = -errno;
    } else if (S_ISREG(st->st_mode)) {
        /* The kernel's link leads to the very file that was looked at. */
        snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
        rc = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        rc = rc < 0 ? -errno : rc;
    }
    close(at);
    return rc;
}

int fd_read_int(const char *path, int64_t *value)
{
    struct buf text = {0};
    int rc = fd_read_file(path, 64, &text);
    if (rc == 0) {
        char *end;
        errno = 0;
        long long v = strtoll(buf_str(&text), &end, 10);
        if (errno || end == buf_str(&text)) {
            rc = -EINVAL;
        } else {
            *value = v;
        }
    }
    buf_free(&text);
    return rc;
}

int fd_write_all(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w < 0) {
            return -errno;
        }
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int fd_in_memory(const char *name, const struct buf *bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 &&
        (fd_write_all(fd, buf_str(bytes), bytes->len) != 0 || lseek(fd, 0, SEEK_SET) != 0)) {
        fd_close(&fd);
    }
    return fd;
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_boottime_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}
