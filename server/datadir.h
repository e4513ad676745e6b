/*
 * datadir.h - the folder that holds the runs: found, made, checked, and owned by one server.
 *
 * $STAX_DATA_DIR, else /dev/shm/stax-<uid>, else (no usable /dev/shm) a folder on disk with a
 * warning. It must be ours alone: a real directory, our uid, no access for others. One thread.
 */
#ifndef STAX_SERVER_DATADIR_H
#define STAX_SERVER_DATADIR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct datadir {
    char path[PATH_MAX];
    int fd;      /* the directory; -1 when closed */
    int lock_fd; /* holds the lock that says which server owns it; -1 */
    bool is_tmpfs;
    char warning[512]; /* why this is not the place one would expect; "" if nothing */
};

/* Errors: STAX_EPERMISSION (not ours, open to others, a symlink), STAX_EBUSY (another server owns
 * it), STAX_ENOTFOUND, STAX_EFULL. */
int datadir_open(struct datadir *d, struct err *e);
void datadir_close(struct datadir *d);

/* The token of the TCP transport: read from the file "token", made if it is not there or not sound.
 * out: 64 hex characters and a NUL. */
int datadir_token(const struct datadir *d, char out[65], struct err *e);

/* Bytes free for this user on its file system. */
int64_t datadir_free_bytes(const struct datadir *d);

#endif
