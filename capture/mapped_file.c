/* mapped_file.c - see mapped_file.h. */
#include "capture/mapped_file.h"

#include <inttypes.h>

#include "base/buf.h"
#include "base/fd.h"

/* Opens path if it is the mapped file. Inodes decide: overlay and btrfs mounts report devices that
 * stat(2) does not. */
static int open_same(const char *path, uint64_t inode, struct stat *st)
{
    int fd = fd_open_regular(path, st);
    if (fd >= 0 && st->st_ino != inode) {
        fd_close(&fd);
    }
    return fd;
}

/* By the target's own root; by the kernel's links to the very file, which work for deleted ones,
 * but map_files for privileged users only; and, when the process is gone, by its plain path. */
int mapped_file_open(const struct mapped_file *f, struct stat *st)
{
    struct buf path = {0};
    int fd = -1;
    for (int i = 0; i < 4 && fd < 0; i++) {
        buf_clear(&path);
        switch (i) {
        case 0:
            buf_addf(&path, "/proc/%d/root%s", f->pid, f->path);
            break;
        case 1:
            buf_addf(&path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, f->pid, f->start, f->end);
            break;
        case 2:
            buf_addf(&path, "/proc/%d/exe", f->pid);
            break;
        default:
            buf_addstr(&path, f->path);
            break;
        }
        fd = open_same(buf_str(&path), f->inode, st);
    }
    buf_free(&path);
    return fd;
}
