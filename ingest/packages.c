/* packages.c - see packages.h. */
#include "ingest/packages.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    MAX_ROOTS = 16,      /* of containers; of more of them nothing is known */
    MAX_LISTS = 20000,   /* packages of all roots */
    MAX_PATHS = 1 << 20, /* of all roots: together at most 64 MiB */
    MAX_LIST_BYTES = 16 << 20,
    MAX_READ_BYTES = 512 << 20, /* of the lists of all roots */
    MAX_NAME_BYTES = 256
};

struct root {
    char *path;
    dev_t device; /* of the lists' directory: processes of one container share it */
    ino_t inode;
    struct map owners; /* hash of a path -> index into names + 1 */
};

struct packages {
    struct root roots[MAX_ROOTS];
    size_t n_roots;
    char **names;
    size_t n_names, cap_names;
    size_t n_paths, n_read; /* bytes */
};

struct packages *packages_new(void)
{
    return mem_new(1, sizeof(struct packages));
}

void packages_free(struct packages *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->n_roots; i++) {
        free(p->roots[i].path);
        map_free(&p->roots[i].owners);
    }
    for (size_t i = 0; i < p->n_names; i++) {
        free(p->names[i]);
    }
    free(p->names);
    free(p);
}

size_t packages_bytes(const struct packages *p)
{
    size_t n = p ? sizeof(*p) + p->cap_names * sizeof(*p->names) : 0;
    for (size_t i = 0; p && i < p->n_roots; i++) {
        n += map_bytes(&p->roots[i].owners);
    }
    return n;
}

/* Of a path without "/usr": dpkg lists /lib/x.so where the file is /usr/lib/x.so by now. */
static uint64_t hash_of(const char *path, size_t len)
{
    static const char usr[] = "/usr/";
    if (len > sizeof(usr) && memcmp(path, usr, sizeof(usr) - 1) == 0) {
        path += sizeof(usr) - 2;
        len -= sizeof(usr) - 2;
    }
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (uint8_t)path[i]) * UINT64_C(0x100000001b3);
    }
    h ^= h >> 32;
    return h ? h : 1;
}

static bool is_of_interest(const char *path, size_t len)
{
    static const char *const others[] = {"/usr/share/", "/etc/", "/usr/include/"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        size_t n = strlen(others[i]);
        if (len >= n && memcmp(path, others[i], n) == 0) {
            return false;
        }
    }
    return len > 1;
}

/* Opens a regular file without following a link, and without waking what is no file. */
static int open_regular_at(int directory, const char *file)
{
    struct stat st;
    char self[32];
    int fd = -1, at = openat(directory, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (at >= 0 && fstat(at, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MAX_LIST_BYTES) {
        snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
        fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    fd_close(&at);
    return fd;
}

/* Links on the way lead nowhere outside of the root. */
static int open_lists(const char *path)
{
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                                 .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int root = open(path[0] ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd =
        root < 0 ? -1 : (int)syscall(SYS_openat2, root, "var/lib/dpkg/info", &how, sizeof(how));
    fd_close(&root);
    return fd;
}

static void read_list(struct packages *p, struct root *r, int directory, const char *file,
                      size_t name_len)
{
    struct buf text = {0}, name = {0};
    int fd = open_regular_at(directory, file);
    if (fd >= 0) {
        fd_read_all(fd, MAX_LIST_BYTES, &text);
        p->n_read += text.len;
    }
    fd_close(&fd);
    text_clean(&name, file, name_len);
    mem_reserve(&p->names, &p->cap_names, p->n_names + 1, sizeof(*p->names));
    p->names[p->n_names++] = buf_take(&name);
    const char *at = buf_str(&text), *end = at + text.len;
    while (at < end && p->n_paths < MAX_PATHS) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = line_end ? (size_t)(line_end - at) : (size_t)(end - at);
        if (is_of_interest(at, len)) {
            uint32_t *owner = map_put(&r->owners, hash_of(at, len));
            p->n_paths += *owner == 0;
            *owner = *owner ? *owner : (uint32_t)p->n_names;
        }
        at += len + 1;
    }
    buf_free(&text);
}

static void read_lists(struct packages *p, struct root *r, int fd)
{
    static const char ending[] = ".list";
    DIR *d = fdopendir(fd);
    const struct dirent *entry;
    while (d && (entry = readdir(d)) && p->n_names < MAX_LISTS && p->n_read < MAX_READ_BYTES) {
        size_t len = strlen(entry->d_name), n_ending = sizeof(ending) - 1;
        if (len > n_ending && len < MAX_NAME_BYTES &&
            strcmp(entry->d_name + len - n_ending, ending) == 0) {
            size_t name_len = strcspn(entry->d_name, ":"); /* libc6:amd64.list */
            name_len = name_len < len - n_ending ? name_len : len - n_ending;
            read_list(p, r, dirfd(d), entry->d_name, name_len);
        }
    }
    if (d) {
        closedir(d);
    } else {
        close(fd);
    }
}

static struct root *root_of(struct packages *p, const char *path)
{
    for (size_t i = 0; i < p->n_roots; i++) {
        if (strcmp(p->roots[i].path, path) == 0) {
            return &p->roots[i];
        }
    }
    struct stat st = {0};
    int fd = open_lists(path);
    if (fd >= 0 && fstat(fd, &st) != 0) {
        fd_close(&fd);
    }
    for (size_t i = 0; i < p->n_roots && fd >= 0; i++) {
        if (p->roots[i].device == st.st_dev && p->roots[i].inode == st.st_ino) {
            fd_close(&fd);
            return &p->roots[i];
        }
    }
    if (p->n_roots == MAX_ROOTS) {
        fd_close(&fd);
        return NULL;
    }
    struct root *r = &p->roots[p->n_roots++];
    *r = (struct root){.path = mem_strdup(path), .device = st.st_dev, .inode = st.st_ino};
    if (fd >= 0) {
        read_lists(p, r, fd);
    }
    return r;
}

const char *packages_owner(struct packages *p, const char *root, const char *path)
{
    struct root *r = path[0] == '/' ? root_of(p, root) : NULL;
    uint32_t owner = r ? map_get(&r->owners, hash_of(path, strlen(path))) : 0;
    return owner ? p->names[owner - 1] : NULL;
}
