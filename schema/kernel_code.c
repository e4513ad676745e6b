/* kernel_code.c - see kernel_code.h. */
#include "schema/kernel_code.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/elf_code.h"
#include "base/fd.h"
#include "base/mem.h"

enum { MAX_NOTES = 64 << 10, KALLSYMS_HEAD = 1 << 20 };

struct kernel_code {
    struct elf_code *elf;
    uint64_t base; /* address of _text there */
    bool is_live;
};

static const char *const vmlinux_here[] = {
    "/usr/lib/debug/boot/vmlinux-%s",
    "/usr/lib/debug/lib/modules/%s/vmlinux",
    "/lib/modules/%s/build/vmlinux",
    "/lib/modules/%s/vmlinux",
    "/boot/vmlinux-%s",
    NULL,
};
const struct kernel_files kernel_files_here = {"/proc/kcore", "/proc/kallsyms", "/sys/kernel/notes",
                                               vmlinux_here};

void kernel_code_build_id(const uint8_t *notes, size_t n, struct buf *out)
{
    for (size_t at = 0; n - at >= 12;) {
        uint32_t head[3]; /* size of name, of description, type */
        memcpy(head, notes + at, sizeof(head));
        size_t name = at + sizeof(head);
        if (head[0] > MAX_NOTES || head[1] > MAX_NOTES) {
            return;
        }
        size_t description = name + ((head[0] + 3) & ~3u);
        size_t next = description + ((head[1] + 3) & ~3u);
        if (next > n) {
            return;
        }
        if (head[2] == 3 && head[0] == 4 && memcmp(notes + name, "GNU", 4) == 0) {
            for (size_t i = 0; i < head[1] && i < 64; i++) {
                buf_addf(out, "%02x", notes[description + i]);
            }
            return;
        }
        at = next;
    }
}

static bool is_running(const struct kernel_files *files, const char *build_id)
{
    struct buf notes = {0}, id = {0};
    bool is_same = false;

    if (build_id[0] && fd_read_file(files->notes, MAX_NOTES, &notes) == 0) {
        kernel_code_build_id((const uint8_t *)notes.data, notes.len, &id);
        is_same = strcmp(buf_str(&id), build_id) == 0;
    }
    buf_free(&notes);
    buf_free(&id);
    return is_same;
}

/* Where _text of the running kernel is, 0: hidden. It is one of the first of a sorted list. */
static uint64_t running_base(const char *kallsyms)
{
    char *text = mem_new(KALLSYMS_HEAD + 1, 1), *line = text, *end;
    int fd = open(kallsyms, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = 0;
    uint64_t base = 0, stext = 0;

    while (fd >= 0 && n < KALLSYMS_HEAD && (got = read(fd, text + n, KALLSYMS_HEAD - n)) > 0) {
        n += (size_t)got;
    }
    fd_close(&fd);
    for (; !base && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        char *name;
        *end = '\0';
        uint64_t address = strtoull(line, &name, 16);
        base = strcmp(name, " T _text") == 0 || strcmp(name, " t _text") == 0 ? address : 0;
        if (!stext && strcmp(name, " T _stext") == 0) {
            stext = address;
        }
    }
    free(text);
    return base ? base : stext;
}

static int open_elf(struct elf_code **out, const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        int number = fd < 0 ? errno : EINVAL;
        fd_close(&fd);
        return err_set_errno(e, number, "cannot read %s", path);
    }
    return elf_code_open(out, fd, 0, e);
}

static int open_kcore(struct kernel_code *k, const struct kernel_files *files, const char *build_id,
                      struct err *e)
{
    if (!is_running(files, build_id)) {
        return err_set(e, STAX_ENOTFOUND, "the kernel that runs here is not the recorded one");
    }
    int rc = open_elf(&k->elf, files->kcore, e);
    if (rc < 0) {
        return rc;
    }
    k->base = running_base(files->kallsyms);
    if (!k->base) {
        elf_code_close(k->elf);
        k->elf = NULL;
        return err_set(e, STAX_ENOTFOUND, "kallsyms hides where the kernel is");
    }
    k->is_live = true;
    return 0;
}

/* The first that is of the build; *path is its name or that of the first candidate. */
static bool open_vmlinux(struct kernel_code *k, const struct kernel_files *files,
                         const char *build_id, const char *release, struct buf *path)
{
    for (size_t i = 0; build_id[0] && files->vmlinux[i]; i++) {
        const char *form = files->vmlinux[i], *hole = strstr(form, "%s");
        buf_clear(path);
        buf_add(path, form, hole ? (size_t)(hole - form) : strlen(form));
        buf_addf(path, "%s%s", hole ? release : "", hole ? hole + 2 : "");
        if (open_elf(&k->elf, buf_str(path), NULL) < 0) {
            continue;
        }
        if (strcmp(elf_code_build_id(k->elf), build_id) == 0 &&
            elf_code_first_address(k->elf, &k->base)) {
            return true;
        }
        elf_code_close(k->elf);
        k->elf = NULL;
    }
    return false;
}

int kernel_code_open(struct kernel_code **out, const struct kernel_files *files,
                     const char *build_id, const char *release, struct err *e)
{
    struct kernel_code *k = mem_new(1, sizeof(*k));
    struct buf path = {0};
    struct err why = {0};
    int rc = 0;

    /* A release is part of paths. */
    bool is_plain = release[0] && !strchr(release, '/');
    if (open_kcore(k, files, build_id, &why) < 0 &&
        !(is_plain && open_vmlinux(k, files, build_id, release, &path))) {
        rc = err_set(e, STAX_ENOTFOUND,
                     "the kernel's code cannot be read: %s; and there is no vmlinux of its build",
                     why.msg);
        err_hint(e,
                 "run stax-server as root where /proc/kcore exists, or install the kernel's debug "
                 "package (linux-image-%s-dbg)",
                 is_plain ? release : "RELEASE");
        kernel_code_close(k);
        k = NULL;
    }
    buf_free(&path);
    *out = k;
    return rc;
}

void kernel_code_close(struct kernel_code *k)
{
    if (k) {
        elf_code_close(k->elf);
        free(k);
    }
}

bool kernel_code_is_live(const struct kernel_code *k)
{
    return k->is_live;
}

int kernel_code_read(const struct kernel_code *k, uint64_t rel_address, size_t n, struct buf *out,
                     struct err *e)
{
    return elf_code_read(k->elf, k->base + rel_address, n, out, e);
}
