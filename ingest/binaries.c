/* binaries.c - see binaries.h. */
#include "ingest/binaries.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/binaries_internal.h"
#include "ingest/naming.h"
#include "schema/kernel_code.h"

#define MAX_TABLE_BYTES ((size_t)256 << 20)
enum {
    CODE_FDS_MAX = 256,  /* ... and of files whose code is read at the end of the run */
    FDS_MAX = 256,       /* descriptors kept open for files whose tables were not needed yet */
    DUMP_FDS_MAX = 1024, /* ... and for jitdumps, to the end of the run */
    UNNAMED_MAX = 20000  /* distinct unnamed addresses of one binary that get a symbol each */
};

void binaries_init(struct binaries *b, struct intern *intern, const char *kallsyms,
                   bool without_files)
{
    *b = (struct binaries){.intern = intern,
                           .kallsyms = kallsyms ? kallsyms : "/proc/kallsyms",
                           .kallsyms_fd = -1,
                           .max_table_bytes = MAX_TABLE_BYTES,
                           .without_files = without_files};
}

void binaries_fini(struct binaries *b)
{
    for (size_t i = 0; i < b->n_items; i++) {
        struct binary *bin = &b->items[i];
        free(bin->path);
        free(bin->name);
        free(bin->build_id);
        free(bin->open_path);
        free(bin->package);
        free(bin->old_note);
        fd_close(&bin->fd);
        names_close(bin->names);
        map_free(&bin->frames);
        map_free(&bin->symbols);
    }
    free(b->items);
    strmap_free(&b->by_identity);
    strmap_free(&b->markers);
    strmap_free(&b->inlined);
    map_free(&b->inlined_only);
    names_close(b->kernel_names);
    fd_close(&b->kallsyms_fd);
    map_free(&b->kernel_pcs);
    map_free(&b->kernel_returns);
}

/* Registers a binary under an identity; returns its id, with *is_new set when it was not there. */
static uint32_t binary_id(struct binaries *b, const char *identity, size_t identity_len,
                          const char *path, size_t path_len, const char *kind, bool *is_new)
{
    uint32_t *id = strmap_put(&b->by_identity, identity, identity_len);
    *is_new = *id == 0;
    if (*id) {
        return *id;
    }
    mem_reserve(&b->items, &b->cap_items, b->n_items + 1, sizeof(*b->items));
    struct buf clean = {0};
    text_clean(&clean, path, path_len);
    const char *slash = strrchr(buf_str(&clean), '/');
    const char *name = slash && slash[1] ? slash + 1 : buf_str(&clean);
    b->items[b->n_items] = (struct binary){.name = mem_strdup(name),
                                           .path = buf_take(&clean),
                                           .kind = kind,
                                           .names_from = "none",
                                           .fd = -1};
    *id = (uint32_t)++b->n_items;
    return *id;
}

static uint32_t special_binary(struct binaries *b, const char *name, const char *kind)
{
    bool is_new;
    uint32_t id = binary_id(b, name, strlen(name), name, strlen(name), kind, &is_new);
    if (is_new) {
        binaries_item(b, id)->is_loaded = true;
    }
    return id;
}

uint32_t binaries_of_process(struct binaries *b, uint64_t owner, const char *path)
{
    struct buf identity = {0};
    bool is_new;
    buf_addf(&identity, "process %" PRIu64 ":%s", owner, path);
    uint32_t id = binary_id(b, identity.data, identity.len, path, strlen(path), "jit", &is_new);
    buf_free(&identity);
    if (is_new) {
        binaries_item(b, id)->is_loaded = true;
        binaries_item(b, id)->is_memory = true;
    }
    return id;
}

uint32_t binaries_unknown(struct binaries *b)
{
    if (!b->unknown) {
        b->unknown = special_binary(b, "[unknown]", "unknown");
    }
    return b->unknown;
}

/* Opens path as a regular file that is the mapped one; -1 with *note saying why not. Inodes decide:
 * overlay and btrfs mounts report devices that stat(2) does not. */
static int open_same(const char *path, uint64_t inode, const char **note)
{
    struct stat st;
    int fd = fd_open_regular(path, &st);
    if (fd < 0) {
        *note = fd == -EACCES || fd == -EPERM || fd == -EINVAL ? "unreadable" : "deleted";
        return -1;
    }
    if (inode && st.st_ino != inode) {
        *note = "replaced";
        fd_close(&fd);
    }
    return fd;
}

/* Tries the target's own root, the kernel's link to the very file, and the plain path. */
static int open_mapped(const struct event_mapping *m, const char *path, char **open_path,
                       const char **note)
{
    struct buf tries[3] = {{0}, {0}, {0}};
    buf_addf(&tries[0], "/proc/%d/root%s", m->pid, path);
    buf_addf(&tries[1], "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, m->pid, m->start,
             m->start + m->size);
    buf_addstr(&tries[2], path);
    int fd = -1;
    const char *why = NULL;
    for (int i = 0; i < 3 && fd < 0; i++) {
        const char *reason = NULL;
        fd = open_same(buf_str(&tries[i]), m->inode, &reason);
        if (fd >= 0) {
            *open_path = mem_strdup(buf_str(&tries[i]));
        }
        /* "replaced" and "unreadable" say more than that a path is not there */
        why = !why || (reason && strcmp(why, "deleted") == 0) ? reason : why;
    }
    *note = fd < 0 ? why : NULL;
    for (int i = 0; i < 3; i++) {
        buf_free(&tries[i]);
    }
    return fd;
}

static void take_names(struct binary *bin, struct names *names);

/* A file that is gone: what its process has in memory says which build it is, and where in it an
 * address lies, so that a debug file can name it. */
static void open_memory(struct binaries *b, struct binary *bin, const struct event_mapping *m)
{
    struct names *names;
    const char *note = bin->note;
    if (names_open_memory(&names, m->pid, m->start, m->inode, NULL) != 0) {
        return;
    }
    take_names(bin, names);
    bin->note = note;
    bin->is_changed = true;
    if (b->naming && bin->build_id) {
        char root[32];
        snprintf(root, sizeof(root), "/proc/%d/root", m->pid);
        naming_add_file(b->naming, (uint32_t)(bin - b->items) + 1, -1, names, bin->path, root);
        bin->is_asked = true;
    }
}

/* jit-PID.dump: a runtime maps it executable so that profilers find it. */
static bool is_dump_marker(const struct event_mapping *m)
{
    static const char suffix[] = ".dump";
    size_t n = m->path_len, n_suffix = sizeof(suffix) - 1;
    const char *slash = memrchr(m->path, '/', n);
    const char *name = slash ? slash + 1 : m->path;
    n -= (size_t)(name - m->path);
    return m->inode && n >= 4 + n_suffix && memcmp(name, "jit-", 4) == 0 &&
           memcmp(name + n - n_suffix, suffix, n_suffix) == 0;
}

static void open_now(struct binaries *b, struct binary *bin, const struct event_mapping *m)
{
    static const char deleted[] = " (deleted)";
    char *path = mem_strndup(m->path, m->path_len);
    size_t len = strlen(path), n_deleted = sizeof(deleted) - 1;
    if (len > n_deleted && strcmp(path + len - n_deleted, deleted) == 0) {
        path[len - n_deleted] = '\0';
    }
    bool is_file = path[0] == '/';
    bin->fd = is_file ? open_mapped(m, path, &bin->open_path, &bin->note) : -1;
    free(path);
    if (bin->fd < 0) {
        bin->is_loaded = true;
        bin->note = bin->note ? bin->note : "not a file";
        if (is_file) {
            open_memory(b, bin, m);
        }
        return;
    }
    /* a jitdump is read while it grows: its descriptor is never given back for others */
    size_t *n_fds = is_dump_marker(m) ? &b->n_dump_fds : &b->n_fds;
    if (*n_fds >= (is_dump_marker(m) ? DUMP_FDS_MAX : FDS_MAX)) {
        fd_close(&bin->fd);
    } else {
        ++*n_fds;
    }
}

static bool begins_with(const struct event_mapping *m, const char *text)
{
    size_t len = strlen(text);
    return m->path_len >= len && memcmp(m->path, text, len) == 0;
}

/* Without a file, also where it was given a name ([anon:v8]). */
static bool is_anonymous(const struct event_mapping *m)
{
    return m->path_len == 0 || begins_with(m, "//") || begins_with(m, "[anon]") ||
           begins_with(m, "[anon:");
}

/* Memory with a file name: code is put there at run time, unless it turns out to be a program. */
static bool is_shared_memory(const struct event_mapping *m)
{
    return begins_with(m, "/memfd:") || begins_with(m, "/dev/zero") || begins_with(m, "/SYSV");
}

static bool is_elf(int fd)
{
    char magic[4];
    return fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

/* What tells a file from another that got the same inode or was written over it: its size and
 * times. Nothing is added when the file cannot be seen any more. */
static void add_generation(struct buf *identity, const struct event_mapping *m)
{
    struct buf path = {0};
    struct stat st;
    buf_addf(&path, "/proc/%d/root%.*s", m->pid, (int)m->path_len, m->path);
    int rc = stat(buf_str(&path), &st);
    if (rc != 0) {
        buf_clear(&path);
        buf_add(&path, m->path, m->path_len);
        rc = stat(buf_str(&path), &st);
    }
    if (rc == 0 && st.st_ino == m->inode) {
        buf_addf(identity, "%lld:%lld.%09ld:", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                 st.st_mtim.tv_nsec);
    }
    buf_free(&path);
}

/* What a new file is beyond its name. */
static void look_at_file(struct binaries *b, struct binary *bin, const struct event_mapping *m)
{
    if (b->without_files) {
        bin->is_loaded = true;
    } else {
        open_now(b, bin, m);
    }
    if (is_dump_marker(m)) {
        bin->kind = "jit";
        bin->is_dump = true;
        bin->is_loaded = true;
        if (bin->fd < 0 && !bin->note && !b->without_files) {
            bin->note = "too many jitdumps: code made here has no names";
        }
    } else if (is_shared_memory(m) && !b->without_files && !is_elf(bin->fd)) {
        bin->kind = "jit";
        bin->is_memory = true;
        bin->is_loaded = true;
        bin->note = NULL;
        b->n_fds -= bin->fd >= 0;
        fd_close(&bin->fd);
    }
}

uint32_t binaries_of_mapping(struct binaries *b, const struct event_mapping *m, uint32_t upid,
                             bool is_main)
{
    if (m->path_len >= 6 && memcmp(m->path, "[vdso]", 6) == 0) {
        bool is_vdso_new;
        return binary_id(b, "[vdso]", 6, "[vdso]", 6, "vdso", &is_vdso_new);
    }
    if (is_anonymous(m)) {
        return binaries_of_process(b, upid, "[anon]");
    }
    if (m->inode == 0 && m->path[0] == '[') {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(m->path_len < 63 ? m->path_len : 63), m->path);
        struct buf clean = {0};
        text_clean(&clean, name, strlen(name));
        uint32_t id = special_binary(b, buf_str(&clean), "unknown");
        buf_free(&clean);
        return id;
    }
    struct buf identity = {0};
    buf_addf(&identity, "%" PRIx64 ":%" PRIx64 ":", m->device, m->inode);
    if (!b->without_files) {
        add_generation(&identity, m);
    }
    buf_add(&identity, m->path, m->path_len);
    bool is_new;
    uint32_t id = binary_id(b, identity.data, identity.len, m->path, m->path_len,
                            is_main ? "main" : "shared", &is_new);
    buf_free(&identity);
    if (is_new) {
        look_at_file(b, binaries_item(b, id), m);
    }
    return id;
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

/* Takes fd: kept for the machine code at the end of the run while there is room. */
static void keep_for_code(struct binaries *b, struct binary *bin, int fd)
{
    struct stat st;
    if (b->n_code_fds >= CODE_FDS_MAX || fstat(fd, &st) != 0) {
        fd_close(&fd);
        return;
    }
    bin->fd = fd;
    bin->code_bytes = st.st_size;
    bin->code_mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    b->n_code_fds++;
}

int binaries_open_code(const struct binaries *b, uint32_t binary)
{
    struct stat st;
    const struct binary *bin = binary && binary <= b->n_items ? binaries_item(b, binary) : NULL;
    if (bin && bin->is_dump && bin->fd >= 0) {
        return fcntl(bin->fd, F_DUPFD_CLOEXEC, 3);
    }
    if (!bin || bin->fd < 0 || !bin->is_loaded || fstat(bin->fd, &st) != 0 ||
        st.st_size != bin->code_bytes ||
        (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != bin->code_mtime_ns) {
        return -1;
    }
    return fcntl(bin->fd, F_DUPFD_CLOEXEC, 3);
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

static void load(struct binaries *b, struct binary *bin)
{
    bin->is_loaded = true;
    bin->is_changed = true;
    struct names *names = NULL;
    if (strcmp(bin->kind, "vdso") == 0) {
        if (!b->without_files) {
            load_vdso(bin);
        }
        return;
    }
    int fd = bin->fd;
    if (fd < 0) {
        fd = open_same(bin->open_path, bin->inode, &bin->note);
    } else {
        b->n_fds--;
    }
    bin->fd = -1;
    if (fd < 0) {
        return;
    }
    if (names_open_elf(&names, fd, NULL) == 0) {
        take_names(bin, names);
        int copy = b->naming ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
        if (copy >= 0) {
            ask_better_names(b, bin, copy);
        }
    } else {
        bin->note = "not a readable ELF file";
    }
    keep_for_code(b, bin, fd);
}

struct symbol_text binaries_text_of(uint32_t binary, const struct names_symbol *found,
                                    uint64_t base)
{
    struct buf name = {0}, linkage = {0};
    names_demangle(&name, found->linkage_name, found->language ? found->language : "");
    text_clean(&linkage, found->linkage_name, strlen(found->linkage_name));
    struct symbol_text text = {
        .kind = SYMBOL_FUNCTION,
        .binary = binary,
        .rel_address = found->start - base,
        .size = found->size,
        .source = names_source_text(found->source),
        .language = found->language ? found->language : "",
    };
    if (strcmp(buf_str(&name), buf_str(&linkage)) != 0) {
        text.linkage_name = buf_take(&linkage);
    }
    text.name = buf_take(&name);
    buf_free(&linkage);
    return text;
}

static uint32_t unnamed_symbol(struct binaries *b, uint32_t binary, uint64_t start, uint64_t size,
                               const char *source)
{
    struct binary *bin = binaries_item(b, binary);
    struct buf name = {0};
    if (bin->overflow_symbol) {
        return bin->overflow_symbol;
    }
    if (++bin->n_unnamed > UNNAMED_MAX) {
        buf_addf(&name, "%s (further unnamed code)", bin->name);
    } else {
        buf_addf(&name, "%s+0x%" PRIx64, bin->name, start);
    }
    struct symbol_text text = {.kind = SYMBOL_UNNAMED,
                               .binary = binary,
                               .rel_address = start,
                               .size = size,
                               .source = source,
                               .name = buf_take(&name)};
    uint32_t id = intern_symbol(b->intern, &text);
    if (bin->n_unnamed > UNNAMED_MAX) {
        bin->overflow_symbol = id;
    }
    return id;
}

uint32_t binaries_whole_of(struct binaries *b, uint32_t binary, struct names *names,
                           const struct names_symbol *part, uint64_t base)
{
    struct names_symbol whole;
    if (!names_find_whole(names, part, &whole)) {
        return 0;
    }
    uint32_t id = map_get(&binaries_item(b, binary)->symbols, whole.start);
    if (!id) {
        id = binaries_called_symbol(b, binary, names, &whole, base);
        *map_put(&binaries_item(b, binary)->symbols, whole.start) = id;
    }
    return id;
}

uint32_t binaries_symbol_at(struct binaries *b, uint32_t binary, struct names *names,
                            uint64_t address, uint64_t base)
{
    struct names_symbol found = {.start = address, .source = NAMES_NONE};
    if (names) {
        struct names_symbol hit;
        if (names_find(names, address, &hit)) {
            found = hit;
        }
    }
    uint32_t id = map_get(&binaries_item(b, binary)->symbols, found.start);
    /* one symbol stands for all addresses that were too many: none of it is this function */
    bool is_overflow = id && id == binaries_item(b, binary)->overflow_symbol;
    if (id && !(is_overflow && found.linkage_name)) {
        return id;
    }
    if (found.linkage_name) {
        id = binaries_called_symbol(b, binary, names, &found, base);
    } else {
        id = unnamed_symbol(b, binary, found.start - base, found.size,
                            names_source_text(found.source));
    }
    *map_put(&binaries_item(b, binary)->symbols, found.start) = id;
    return id;
}

void binaries_name_start(struct binaries *b, uint32_t binary, uint64_t address)
{
    struct names_symbol found;
    struct names *names = binaries_tables(b, binary);
    if (names && names_find(names, address, &found) && found.start == address &&
        found.linkage_name) {
        binaries_symbol_at(b, binary, names, address, 0);
    }
}

uint32_t binaries_frame(struct binaries *b, uint32_t binary, uint64_t file_offset)
{
    struct binary *bin = binaries_item(b, binary);
    if (!bin->is_loaded) {
        load(b, bin);
        binaries_keep_small(b, bin);
    }
    uint64_t rel = file_offset;
    struct names *names = bin->names;
    if (names && !names_address_of_offset(names, file_offset, &rel)) {
        names = NULL;
        rel = file_offset;
    }
    uint32_t *id = map_put(&bin->frames, rel);
    if (!*id) {
        names = names ? binaries_tables(b, binary) : NULL;
        *id = intern_frame(b->intern, binary, rel, binaries_symbol_at(b, binary, names, rel, 0));
    }
    return *id;
}

/* Of the kernel that runs; what was recorded is told apart by it from what runs later. */
static char *kernel_build_id(void)
{
    enum { MAX_NOTES = 64 << 10 };
    struct buf notes = {0}, id = {0};
    if (fd_read_file("/sys/kernel/notes", MAX_NOTES, &notes) == 0) {
        kernel_code_build_id((const uint8_t *)notes.data, notes.len, &id);
    }
    buf_free(&notes);
    return id.len ? buf_take(&id) : NULL;
}

static void load_kernel(struct binaries *b)
{
    b->kernel = special_binary(b, "[kernel]", "kernel");
    struct binary *bin = binaries_item(b, b->kernel);
    bin->is_changed = true;
    bin->build_id = b->without_files ? NULL : kernel_build_id();
    if (b->kallsyms_fd < 0 && b->kallsyms[0]) {
        b->kallsyms_fd = open(b->kallsyms, O_RDONLY | O_CLOEXEC);
    }
    if (b->kallsyms_fd < 0 || names_open_kallsyms(&b->kernel_names, b->kallsyms_fd, NULL) != 0) {
        bin->note = b->kallsyms[0] ? "kallsyms hidden by kernel.kptr_restrict" : "no kallsyms";
    } else {
        b->kernel_base = names_kernel_base(b->kernel_names);
        bin->has_addresses = true;
        bin->names_from = "kallsyms";
    }
    fd_close(&b->kallsyms_fd);
}

uint32_t binaries_kernel_frame(struct binaries *b, uint64_t address, bool is_return)
{
    uint32_t *id = map_put(is_return ? &b->kernel_returns : &b->kernel_pcs, address);
    if (*id) {
        return *id;
    }
    if (!b->kernel) {
        load_kernel(b);
    }
    address -= is_return;
    uint32_t binary = b->kernel;
    struct names_symbol found;
    if (b->kernel_names && names_find(b->kernel_names, address, &found) && found.module) {
        struct buf name = {0};
        buf_addf(&name, "[%s]", found.module);
        binary = special_binary(b, buf_str(&name), "module");
        binaries_item(b, binary)->has_addresses = true;
        binaries_item(b, binary)->names_from = "kallsyms";
        buf_free(&name);
    }
    uint64_t rel = address - b->kernel_base;
    uint32_t *frame = map_put(&binaries_item(b, binary)->frames, rel);
    if (!*frame) {
        *frame =
            intern_frame(b->intern, binary, rel,
                         binaries_symbol_at(b, binary, b->kernel_names, address, b->kernel_base));
    }
    *id = *frame;
    return *id;
}

uint32_t binaries_marker_frame(struct binaries *b, const char *name, size_t len,
                               enum symbol_kind kind)
{
    uint32_t *id = strmap_put(&b->markers, name, len);
    if (*id) {
        return *id;
    }
    uint32_t binary = special_binary(b, "[marker]", "marker");
    struct buf clean = {0};
    text_clean(&clean, name, len);
    struct symbol_text text = {
        .kind = kind, .source = "none", .name = buf_take(&clean), .rel_address = 0};
    uint32_t symbol = intern_symbol(b->intern, &text);
    *id = intern_frame(b->intern, binary, symbol, symbol);
    return *id;
}

size_t binaries_bytes(const struct binaries *b)
{
    size_t n = b->cap_items * sizeof(*b->items) + binaries_table_bytes(b);
    for (size_t i = 0; i < b->n_items; i++) {
        const struct binary *bin = &b->items[i];
        n += map_bytes(&bin->frames) + map_bytes(&bin->symbols);
    }
    return n;
}
