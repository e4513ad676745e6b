/*
 * fd.h - descriptors and small files. Descriptors are O_CLOEXEC and start at -1. Any thread.
 */
#ifndef STAX_BASE_FD_H
#define STAX_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"

/* Closes *fd if it is not -1 and sets it to -1; errno is kept. */
void fd_close(int *fd);

/* Appends a file to out, at most limit bytes. Returns 0, or -errno (-EFBIG: the file is larger; out
 * then holds the first limit bytes). Works for /proc files, whose size is not known before. */
int fd_read_file(const char *path, size_t limit, struct buf *out);
int fd_read_all(int fd, size_t limit, struct buf *out);

/* Opens a regular file to be read, whatever its path may turn out to be: of anything else (a FIFO,
 * a device) nothing is opened, as opening alone may have effects or wait. What it is in *st.
 * Returns the descriptor, -errno, or -EINVAL: not a regular file. Any /proc/PID path will do. */
int fd_open_regular(const char *path, struct stat *st);

/* Reads a decimal integer from a small file such as a sysctl. Returns 0 or -errno. */
int fd_read_int(const char *path, int64_t *value);

/* Writes all n bytes, restarting after signals. Returns 0 or -errno. */
int fd_write_all(int fd, const void *bytes, size_t n);

/* A file in memory with these bytes, at its start; -1: there is no room for it. */
int fd_in_memory(const char *name, const struct buf *bytes);

/* CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME in nanoseconds. The first does not count while
 * the machine is suspended, the second does, the last may jump. */
int64_t clock_monotonic_ns(void);
int64_t clock_boottime_ns(void);
int64_t clock_realtime_ns(void);
/* CPU time of the calling thread, in nanoseconds. */
int64_t clock_thread_cpu_ns(void);

#endif
