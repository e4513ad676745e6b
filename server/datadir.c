/* datadir.c - see datadir.h. */
#include "server/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"

/* Docker gives 64 MB of /dev/shm by default: too little for a run worth recording. */
#define LEAST_SHM_BYTES ((int64_t)128 << 20)

static int check_folder(struct datadir *d, struct err *e)
{
    struct stat st;
    if (fstat(d->fd, &st) != 0) {
        return err_set_errno(e, errno, "cannot read the data directory %s", d->path);
    }
    if (st.st_uid != geteuid()) {
        err_set(e, STAX_EPERMISSION, "the data directory %s belongs to uid %u, not to us", d->path,
                (unsigned)st.st_uid);
        err_hint(e, "set STAX_DATA_DIR to a directory of your own");
        return STAX_EPERMISSION;
    }
    if (st.st_mode & 077) {
        err_set(e, STAX_EPERMISSION, "the data directory %s is open to other users (mode %03o)",
                d->path, (unsigned)(st.st_mode & 0777));
        err_hint(e, "chmod 700 '%s'", d->path);
        return STAX_EPERMISSION;
    }
    struct statfs fs;
    if (fstatfs(d->fd, &fs) != 0) {
        return err_set_errno(e, errno, "cannot read the file system of %s", d->path);
    }
    d->is_tmpfs = fs.f_type == TMPFS_MAGIC;
    return 0;
}

static int refuse_parent(const char *path, int os_errno, struct err *e)
{
    const char *slash = strrchr(path, '/');
    int n = slash > path ? (int)(slash - path) : 1;
    err_set_errno(e, os_errno, "cannot make the data directory %s", path);
    err_hint(e, "%s the folder %.*s, or set STAX_DATA_DIR to another path",
             os_errno == ENOENT ? "make" : "look at", n, path);
    return e ? e->code : STAX_ESYSTEM;
}

/* Opens or makes one folder and checks it. */
static int open_folder(struct datadir *d, const char *path, struct err *e)
{
    if (snprintf(d->path, sizeof(d->path), "%s", path) >= (int)sizeof(d->path) - 64) {
        return err_set(e, STAX_EUSAGE, "the path of the data directory is too long");
    }
    if (path[0] != '/') {
        return err_set(e, STAX_EUSAGE, "STAX_DATA_DIR must be an absolute path, not '%s'", path);
    }
    /* With a slash at its end a symlink would be followed. */
    size_t n = strlen(d->path);
    while (n > 1 && d->path[n - 1] == '/') {
        d->path[--n] = '\0';
    }
    path = d->path;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return refuse_parent(path, errno, e);
    }
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
        err_set(e, STAX_EPERMISSION, "the data directory %s is a symlink or no directory", path);
        err_hint(e, "remove it, or set STAX_DATA_DIR to a directory of your own");
        return STAX_EPERMISSION;
    }
    if (d->fd < 0) {
        return err_set_errno(e, errno, "cannot open the data directory %s", path);
    }
    int rc = check_folder(d, e);
    if (rc) {
        fd_close(&d->fd);
    }
    return rc;
}

/* Why /dev/shm cannot hold runs, or NULL. */
static const char *shm_problem(void)
{
    struct statfs fs;
    if (statfs("/dev/shm", &fs) != 0) {
        return "is missing";
    }
    if (fs.f_type != TMPFS_MAGIC) {
        return "is not a tmpfs";
    }
    if ((int64_t)fs.f_bavail * fs.f_bsize < LEAST_SHM_BYTES) {
        return "has less than 128 MiB free";
    }
    return NULL;
}

static int open_on_disk(struct datadir *d, const char *why, struct err *e)
{
    char path[PATH_MAX];
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int rc = STAX_EFAIL;
    if (state && state[0] == '/') {
        snprintf(path, sizeof(path), "%s/stax-runs", state);
        rc = open_folder(d, path, e);
    }
    if (rc && home && home[0] == '/') {
        snprintf(path, sizeof(path), "%s/.stax-runs", home);
        rc = open_folder(d, path, e);
    }
    if (rc) {
        snprintf(path, sizeof(path), "/var/tmp/stax-%u", (unsigned)geteuid());
        rc = open_folder(d, path, e);
    }
    if (rc == 0 && !d->is_tmpfs) {
        snprintf(d->warning, sizeof(d->warning),
                 "/dev/shm %s: runs are kept on disk, which is slower", why);
    }
    return rc;
}

static int take_lock(struct datadir *d, struct err *e)
{
    d->lock_fd = openat(d->fd, "server.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        return err_set_errno(e, errno, "cannot make %s/server.lock", d->path);
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        struct buf pid = {0};
        fd_read_all(d->lock_fd, 32, &pid);
        err_set(e, STAX_EBUSY, "another stax-server (pid %ld) owns the data directory %s",
                strtol(buf_str(&pid), NULL, 10), d->path);
        err_hint(e, "use that one, stop it, or set STAX_DATA_DIR to another directory");
        buf_free(&pid);
        return STAX_EBUSY;
    }
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    /* The number is only for the message above: on a full file system the lock still holds. */
    if (ftruncate(d->lock_fd, 0) == 0) {
        fd_write_all(d->lock_fd, pid, (size_t)n);
    }
    return 0;
}

int datadir_open(struct datadir *d, struct err *e)
{
    *d = (struct datadir){.fd = -1, .lock_fd = -1};
    const char *wanted = getenv("STAX_DATA_DIR");
    int rc;
    if (wanted && wanted[0]) {
        rc = open_folder(d, wanted, e);
    } else {
        const char *problem = shm_problem();
        char path[64];
        snprintf(path, sizeof(path), "/dev/shm/stax-%u", (unsigned)geteuid());
        rc = problem ? STAX_EFAIL : open_folder(d, path, e);
        if (problem || (rc && rc != STAX_EPERMISSION)) {
            rc = open_on_disk(d, problem ? problem : "cannot be used", e);
        }
    }
    if (rc == 0) {
        rc = take_lock(d, e);
    }
    if (rc) {
        datadir_close(d);
    }
    return rc;
}

void datadir_close(struct datadir *d)
{
    fd_close(&d->lock_fd);
    fd_close(&d->fd);
}

static bool read_token(const struct datadir *d, char out[65])
{
    int fd = openat(d->fd, "token", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct stat st;
    struct buf text = {0};
    bool is_sound = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                    !(st.st_mode & 077) && fd_read_all(fd, 65, &text) == 0 && text.len == 65 &&
                    strspn(buf_str(&text), "0123456789abcdef") == 64 && text.data[64] == '\n';
    if (is_sound) {
        memcpy(out, text.data, 64);
        out[64] = '\0';
    }
    buf_free(&text);
    close(fd);
    return is_sound;
}

int datadir_token(const struct datadir *d, char out[65], struct err *e)
{
    if (read_token(d, out)) {
        return 0;
    }
    unsigned char random[32];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return err_set_errno(e, errno, "cannot make a token");
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        snprintf(out + 2 * i, 3, "%02x", random[i]);
    }
    unlinkat(d->fd, "token", 0);
    int fd = openat(d->fd, "token", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_errno(e, errno, "cannot make %s/token", d->path);
    }
    int rc = fd_write_all(fd, out, 64);
    rc = rc ? rc : fd_write_all(fd, "\n", 1);
    close(fd);
    return rc ? err_set_errno(e, -rc, "cannot write %s/token", d->path) : 0;
}

int64_t datadir_free_bytes(const struct datadir *d)
{
    struct statfs fs;
    return fstatfs(d->fd, &fs) == 0 ? (int64_t)fs.f_bavail * fs.f_bsize : 0;
}
