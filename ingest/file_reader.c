/* file_reader.c - see file_reader.h. */
#include "ingest/file_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* A disk may take so long, and a network; symbol tables are read piece by piece. */
static const int64_t PATIENCE_NS = 30000000, TABLES_PATIENCE_NS = 200000000;
#define MEMORY_KEY ((uint64_t)1 << 63)

const char file_reader_hangs[] = "file could not be read: the mount does not answer";
const char file_reader_memory_hangs[] =
    "deleted, and the memory of its process could not be read: it does not answer";

void file_job_free(struct file_job *j)
{
    if (j) {
        fd_close(&j->fd);
        names_close(j->names);
        free(j->path);
        free(j->open_path);
        free(j);
    }
}

static void free_job(struct aside_job *job)
{
    file_job_free((struct file_job *)job);
}

/* ---- the steps ---- */

static void note_look(struct file_job *j, const struct stat *st)
{
    j->has_look = true;
    j->n_bytes = st->st_size;
    j->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void look(struct file_job *j)
{
    struct buf path = {0};
    struct stat st;
    buf_addf(&path, "/proc/%d/root%s", j->pid, j->path);
    int rc = stat(buf_str(&path), &st);
    rc = rc != 0 ? stat(j->path, &st) : 0;
    if (rc == 0 && st.st_ino == j->inode) {
        note_look(j, &st);
    }
    buf_free(&path);
}

/* The kernel's link to the program of a process, which its user may follow, also when the file was
 * deleted or replaced. Any library may have its inode's number on another device. */
static int open_program(struct file_job *j, const char *path)
{
    struct stat st = {0};
    int fd = fd_open_regular(path, &st);
    uint64_t device = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev);
    if (fd >= 0 && (st.st_ino != j->inode || device != j->job.key)) {
        fd_close(&fd);
    } else if (fd >= 0) {
        note_look(j, &st);
    }
    return fd >= 0 ? fd : -1;
}

/* Opens path as a regular file that is the mapped one; -1 with *note saying why not. Inodes decide:
 * overlay and btrfs mounts report devices that stat(2) does not. */
static int open_same(struct file_job *j, const char *path, const char **note)
{
    struct stat st;
    int fd = fd_open_regular(path, &st);
    if (fd < 0) {
        *note = fd == -EACCES || fd == -EPERM || fd == -EINVAL ? "unreadable" : "deleted";
        return -1;
    }
    if (j->inode && st.st_ino != j->inode) {
        *note = "replaced";
        fd_close(&fd);
    } else {
        note_look(j, &st);
    }
    return fd;
}

/* Tries the target's own root, the kernel's links to the very file (of mapped files for privileged
 * users only), and the plain path. */
static void open_mapped(struct file_job *j)
{
    enum { IN_ROOT, MAPPED, PROGRAM, PLAIN, N_TRIES };
    struct buf tries[N_TRIES] = {{0}};
    buf_addf(&tries[IN_ROOT], "/proc/%d/root%s", j->pid, j->path);
    buf_addf(&tries[MAPPED], "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, j->pid, j->start,
             j->start + j->size);
    buf_addstr(&tries[PLAIN], j->path);
    buf_addf(&tries[PROGRAM], "/proc/%d/exe", j->pid);
    const char *why = NULL;
    for (int i = 0; i < N_TRIES && j->fd < 0; i++) {
        const char *reason = why;
        j->fd = i == PROGRAM ? open_program(j, buf_str(&tries[i]))
                             : open_same(j, buf_str(&tries[i]), &reason);
        if (j->fd >= 0) {
            j->open_path = mem_strdup(buf_str(&tries[i]));
        }
        /* "replaced" and "unreadable" say more than that a path is not there */
        why = !why || (reason && strcmp(why, "deleted") == 0) ? reason : why;
    }
    j->note = j->fd < 0 ? why : NULL;
    for (int i = 0; i < N_TRIES; i++) {
        buf_free(&tries[i]);
    }
}

static void read_tables(struct file_job *j)
{
    struct stat st;
    if (j->fd < 0 && j->open_path) {
        j->fd = open_same(j, j->open_path, &j->note);
    }
    if (j->fd < 0) {
        return;
    }
    if (fstat(j->fd, &st) == 0) {
        note_look(j, &st);
    }
    if (names_open_elf(&j->names, j->fd, NULL) != 0) {
        j->note = "not a readable ELF file";
    }
}

static void check(struct file_job *j)
{
    struct stat st;
    char byte;
    if (fstat(j->fd, &st) == 0 && pread(j->fd, &byte, 1, 0) == 1) {
        note_look(j, &st);
    }
}

static void run(struct aside_job *job)
{
    struct file_job *j = (struct file_job *)job;
    switch (j->step) {
    case FILE_LOOK:
        look(j);
        break;
    case FILE_OPEN:
        open_mapped(j);
        break;
    case FILE_MEMORY:
        if (names_open_memory(&j->names, j->pid, j->start, j->inode, NULL) != 0) {
            j->names = NULL;
        }
        break;
    case FILE_TABLES:
        read_tables(j);
        break;
    case FILE_CHECK:
        check(j);
        break;
    }
}

/* ---- asking ---- */

static struct file_job *new_job(enum file_step step, uint32_t binary)
{
    struct file_job *j = mem_new(1, sizeof(*j));
    j->job.run = run;
    j->job.free = free_job;
    j->step = step;
    j->binary = binary;
    j->fd = -1;
    return j;
}

struct file_job *file_job_of_mapping(enum file_step step, uint32_t binary,
                                     const struct event_mapping *m, const char *path)
{
    struct file_job *j = new_job(step, binary);
    j->job.key = m->device & ~MEMORY_KEY; /* a mount hangs as a whole, */
    j->pid = (int)m->pid;
    j->start = m->start;
    j->size = m->size;
    j->inode = m->inode;
    j->path = mem_strdup(path);
    return j;
}

struct file_job *file_job_memory(const struct file_job *opened)
{
    struct file_job *j = new_job(FILE_MEMORY, opened->binary);
    j->job.key = MEMORY_KEY | (uint32_t)opened->pid; /* ... and so does a process */
    j->pid = opened->pid;
    j->start = opened->start;
    j->inode = opened->inode;
    return j;
}

struct file_job *file_job_of_file(enum file_step step, uint32_t binary, int fd,
                                  const char *open_path, uint64_t device, uint64_t inode)
{
    struct file_job *j = new_job(step, binary);
    j->job.key = device & ~MEMORY_KEY;
    j->inode = inode;
    j->fd = fd;
    j->open_path = open_path ? mem_strdup(open_path) : NULL;
    return j;
}

/* A path that the kernel can walk without asking anybody (O_PATH), -1 with errno EAGAIN where it
 * would have to, or never can. */
static int walk_now(int at, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
    int fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
    if (fd < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
        errno = EAGAIN; /* before Linux 5.12, or in a sandbox */
    }
    return fd;
}

bool file_reader_look_now(struct file_job *j)
{
    char root[32];
    struct statx st;
    snprintf(root, sizeof(root), "/proc/%d/root", j->pid);
    int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = at >= 0 ? walk_now(at, j->path + strspn(j->path, "/")) : -1;
    if (fd < 0 && (at < 0 || errno != EAGAIN)) {
        fd = walk_now(AT_FDCWD, j->path);
    }
    bool is_known = fd >= 0 || errno != EAGAIN;
    if (fd >= 0 &&
        statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_SIZE | STATX_MTIME,
              &st) == 0 &&
        st.stx_ino == j->inode) {
        j->has_look = true;
        j->n_bytes = (int64_t)st.stx_size;
        j->mtime_ns = st.stx_mtime.tv_sec * 1000000000 + st.stx_mtime.tv_nsec;
    }
    fd_close(&fd);
    fd_close(&at);
    return is_known;
}

enum aside_answer file_reader_do(struct aside *a, struct file_job *j, bool is_wanted_late)
{
    int64_t patience_ns = j->step == FILE_TABLES ? TABLES_PATIENCE_NS : PATIENCE_NS;
    return aside_do(a, &j->job, patience_ns, is_wanted_late);
}
