/*
 * binaries_files.c - the files of binaries: opened when they are mapped, read when an address asks
 * (binaries.h). What does not answer at once is taken when it does: until then its addresses are
 * offsets in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ingest/binaries_internal.h"
#include "ingest/file_reader.h"
#include "ingest/naming.h"

enum {
    CODE_FDS_MAX = 256, /* descriptors kept for files whose code is read at the end of the run, */
    FDS_MAX = 256,      /* ... for files whose tables were not needed yet, */
    DUMP_FDS_MAX = 1024 /* ... and for jitdumps, to the end of the run */
};

static uint32_t id_of(const struct binaries *b, const struct binary *bin)
{
    return (uint32_t)(bin - b->items) + 1;
}

static void take_names(struct binary *bin, struct names *names)
{
    bin->names = names;
    bin->has_addresses = true;
    bin->names_from = names_source_text(names_best_source(names));
    if (names_build_id(names)) {
        bin->build_id = mem_strdup(names_build_id(names));
    }
    if (names_best_source(names) < NAMES_DYNSYM) {
        bin->note = "stripped";
    } else if (names_best_source(names) == NAMES_DYNSYM) {
        bin->note = "stripped to its dynamic symbols";
    }
}

/* Every process of this kernel maps the same vDSO: ours is read. */
static void load_vdso(struct binary *bin)
{
    unsigned long image = getauxval(AT_SYSINFO_EHDR);
    struct buf maps = {0};
    fd_read_file("/proc/self/maps", 1 << 24, &maps);
    char start[32];
    snprintf(start, sizeof(start), "\n%lx-", image);
    const char *line = image ? strstr(buf_str(&maps), start) : NULL;
    unsigned long end = line ? strtoul(line + strlen(start), NULL, 16) : 0;
    struct names *names;
    if (end > image && names_open_elf_image(&names, (const void *)image, end - image, NULL) == 0) {
        take_names(bin, names);
    }
    buf_free(&maps);
}

/* Hands the file (takes fd) over to whoever looks for its debug file and lines. */
static void ask_better_names(struct binaries *b, struct binary *bin, int fd)
{
    static const char middle[] = "/root/";
    const char *end = bin->open_path ? strstr(bin->open_path, middle) : NULL;
    bool is_in_root = end && strncmp(bin->open_path, "/proc/", 6) == 0;
    char *root = mem_strndup(bin->open_path, is_in_root ? (size_t)(end - bin->open_path) + 5 : 0);
    naming_add_file(b->naming, (uint32_t)(bin - b->items) + 1, fd, bin->names, bin->path, root);
    bin->is_asked = true;
    free(root);
}

/* ---- what a step brought ---- */

/* A file that is gone: what its process has in memory says which build it is, and where in it an
 * address lies, so that a debug file can name it. */
static void take_memory(struct binaries *b, struct binary *bin, struct file_job *j)
{
    const char *note = bin->note;
    if (!j->names) {
        return;
    }
    struct names *names = j->names;
    j->names = NULL;
    take_names(bin, names);
    bin->note = note;
    bin->is_changed = true;
    if (b->naming && bin->build_id) {
        char root[32];
        snprintf(root, sizeof(root), "/proc/%d/root", j->pid);
        naming_add_file(b->naming, id_of(b, bin), -1, names, bin->path, root);
        bin->is_asked = true;
    }
}

static void leave_unread(struct binary *bin, enum aside_answer answer, const char *note)
{
    bin->is_loaded = true; /* as far as it goes for now */
    bin->is_late = answer == ASIDE_LATE;
    bin->is_changed = true;
    bin->note = note;
}

static void ask_memory(struct binaries *b, struct binary *bin, const struct file_job *opened)
{
    struct file_job *j = file_job_memory(opened);
    enum aside_answer answer = file_reader_do(b->aside, j, true);
    if (answer == ASIDE_ANSWERED) {
        take_memory(b, bin, j);
        file_job_free(j);
    } else {
        leave_unread(bin, answer, file_reader_memory_hangs);
    }
}

static void take_opened(struct binaries *b, struct binary *bin, struct file_job *j)
{
    if (j->fd < 0) {
        bin->is_loaded = true;
        bin->note = j->note;
        ask_memory(b, bin, j);
        return;
    }
    bin->note = NULL;
    bin->open_path = j->open_path;
    j->open_path = NULL;
    /* a jitdump is read while it grows: its descriptor is never given back for others */
    size_t *n_fds = bin->is_dump ? &b->n_dump_fds : &b->n_fds;
    if (*n_fds < (bin->is_dump ? DUMP_FDS_MAX : FDS_MAX)) {
        ++*n_fds;
        bin->fd = j->fd;
        j->fd = -1;
    }
}

/* The descriptor is kept for the machine code at the end of the run while there is room. */
static void take_tables(struct binaries *b, struct binary *bin, struct file_job *j)
{
    bin->note = j->note;
    if (j->names) {
        take_names(bin, j->names);
        j->names = NULL;
        int copy = b->naming ? fcntl(j->fd, F_DUPFD_CLOEXEC, 3) : -1;
        if (copy >= 0) {
            ask_better_names(b, bin, copy);
        }
    }
    if (j->fd >= 0 && j->has_look && b->n_code_fds < CODE_FDS_MAX) {
        bin->fd = j->fd;
        j->fd = -1;
        bin->code_bytes = j->n_bytes;
        bin->code_mtime_ns = j->mtime_ns;
        b->n_code_fds++;
    }
}

/* ---- asking ---- */

static char *path_of(const struct event_mapping *m)
{
    static const char deleted[] = " (deleted)";
    char *path = mem_strndup(m->path, m->path_len);
    size_t len = strlen(path), n_deleted = sizeof(deleted) - 1;
    if (len > n_deleted && strcmp(path + len - n_deleted, deleted) == 0) {
        path[len - n_deleted] = '\0';
    }
    return path;
}

void binaries_open_file(struct binaries *b, struct binary *bin, const struct event_mapping *m)
{
    char *path = path_of(m);
    if (path[0] != '/') {
        bin->is_loaded = true;
        bin->note = "not a file";
        free(path);
        return;
    }
    bin->device = m->device;
    bin->inode = m->inode;
    struct file_job *j = file_job_of_mapping(FILE_OPEN, id_of(b, bin), m, path);
    enum aside_answer answer = file_reader_do(b->aside, j, true);
    if (answer == ASIDE_ANSWERED) {
        take_opened(b, bin, j);
        file_job_free(j);
    } else {
        leave_unread(bin, answer, file_reader_hangs);
    }
    free(path);
}

void binaries_load(struct binaries *b, struct binary *bin)
{
    bin->is_loaded = true;
    bin->is_changed = true;
    if (strcmp(bin->kind, "vdso") == 0) {
        if (!b->without_files) {
            load_vdso(bin);
        }
        return;
    }
    struct file_job *j = file_job_of_file(FILE_TABLES, id_of(b, bin), bin->fd, bin->open_path,
                                          bin->device, bin->inode);
    b->n_fds -= bin->fd >= 0;
    bin->fd = -1;
    enum aside_answer answer = file_reader_do(b->aside, j, true);
    if (answer == ASIDE_ANSWERED) {
        take_tables(b, bin, j);
        file_job_free(j);
    } else {
        leave_unread(bin, answer, file_reader_hangs);
    }
}

static void add_identity(struct buf *identity, const struct file_job *j)
{
    if (j->has_look) {
        buf_addf(identity, "%" PRId64 ":%" PRId64 ":", j->n_bytes, j->mtime_ns);
    }
}

void binaries_add_generation(struct binaries *b, struct buf *identity,
                             const struct event_mapping *m)
{
    char *path = mem_strndup(m->path, m->path_len);
    struct file_job *j = file_job_of_mapping(FILE_LOOK, 0, m, path);
    free(path);
    if (file_reader_look_now(j) || file_reader_do(b->aside, j, false) == ASIDE_ANSWERED) {
        add_identity(identity, j);
        file_job_free(j);
    }
}

int binaries_open_code(const struct binaries *b, uint32_t binary)
{
    const struct binary *bin = binary && binary <= b->n_items ? binaries_item(b, binary) : NULL;
    if (bin && bin->is_dump && bin->fd >= 0) {
        return fcntl(bin->fd, F_DUPFD_CLOEXEC, 3);
    }
    int copy = bin && bin->fd >= 0 && bin->is_loaded ? fcntl(bin->fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (copy < 0) {
        return -1;
    }
    struct file_job *j = file_job_of_file(FILE_CHECK, binary, copy, NULL, bin->device, bin->inode);
    int fd = -1;
    if (file_reader_do(b->aside, j, false) == ASIDE_ANSWERED) {
        if (j->has_look && j->n_bytes == bin->code_bytes && j->mtime_ns == bin->code_mtime_ns) {
            fd = j->fd;
            j->fd = -1;
        }
        file_job_free(j);
    }
    return fd;
}

struct names *binaries_read_again(struct binaries *b, uint32_t binary)
{
    struct binary *bin = binaries_item(b, binary);
    struct names *names = NULL;
    int fd = binaries_open_code(b, binary);
    if (fd < 0) {
        return NULL;
    }
    struct file_job *j = file_job_of_file(FILE_TABLES, binary, fd, NULL, bin->device, bin->inode);
    if (file_reader_do(b->aside, j, false) == ASIDE_ANSWERED) {
        names = j->names;
        j->names = NULL;
        file_job_free(j);
    }
    return names;
}

/* ---- late ---- */

/* The same file mapped again is this binary, now that it can be told from others. */
static void add_late_identity(struct binaries *b, const struct binary *bin,
                              const struct file_job *j)
{
    struct buf identity = {0};
    buf_addf(&identity, "%" PRIx64 ":%" PRIx64 ":", bin->device, bin->inode);
    add_identity(&identity, j);
    buf_addstr(&identity, j->path);
    uint32_t *id = strmap_put(&b->by_identity, identity.data, identity.len);
    *id = *id ? *id : j->binary;
    buf_free(&identity);
}

/* Where the file is known to lie now, its frames follow. */
static void take_late_names(struct binaries *b, struct binary *bin, struct file_job *j)
{
    if (b->intern->is_frozen && bin->frames.n_used && j->names) {
        bin->note = "file was read too late: rows were given up to stay within a bound";
        return;
    }
    if (j->step == FILE_MEMORY) {
        bin->note = "deleted";
        take_memory(b, bin, j);
    } else {
        take_tables(b, bin, j);
    }
    if (bin->names) {
        binaries_readdress(b, j->binary);
        bin->is_asking_again = bin->is_asked;
        bin->asked_again = 0;
    }
}

static void take_late_file(struct binaries *b, struct binary *bin, struct file_job *j)
{
    add_late_identity(b, bin, j);
    if (bin->is_dump || bin->is_memory) {
        return; /* nobody follows what is written there any more */
    }
    bin->is_loaded = false;
    take_opened(b, bin, j);
    if (bin->is_loaded || !bin->frames.n_used) {
        return;
    }
    binaries_load(b, bin); /* the mount answers: this is waited for, as ever */
    if (bin->names && !bin->is_late) {
        binaries_readdress(b, j->binary);
        bin->is_asking_again = bin->is_asked;
        bin->asked_again = 0;
    }
}

bool binaries_take_late(struct binaries *b)
{
    bool has_any = false;
    struct aside_job *job;
    while (b->aside && (job = aside_take(b->aside)) != NULL) {
        struct file_job *j = (struct file_job *)job;
        struct binary *bin = binaries_item(b, j->binary);
        bin->is_late = false;
        bin->is_changed = true;
        if (j->step == FILE_OPEN) {
            take_late_file(b, bin, j);
        } else {
            take_late_names(b, bin, j);
        }
        file_job_free(j);
        has_any = true;
    }
    return has_any;
}
