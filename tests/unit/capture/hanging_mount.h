/*
 * hanging_mount.h - a file system that never answers, as a network mount whose server is gone: FUSE
 * without anybody behind it. Opening anything in it hangs until the mount ends.
 */
#ifndef STAX_TESTS_CAPTURE_HANGING_MOUNT_H
#define STAX_TESTS_CAPTURE_HANGING_MOUNT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/mount.h>

struct hanging_mount {
    const char *folder;
    int fd; /* closed: what hangs fails */
};

/* Mounts it over a folder. False: this host does not let us. */
static inline bool hanging_mount_open(struct hanging_mount *m, const char *folder)
{
    char options[128];
    m->folder = folder;
    m->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", m->fd,
             geteuid(), getegid());
    if (m->fd >= 0 && mount("hanging", folder, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        close(m->fd);
        m->fd = -1;
    }
    return m->fd >= 0;
}

static inline void hanging_mount_close(struct hanging_mount *m)
{
    close(m->fd);
    umount2(m->folder, MNT_DETACH);
}

#endif
