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
    UNNAMED_MAX = 20000 /* distinct unnamed addresses of one binary that get a symbol each */
};

void binaries_init(struct binaries *b, struct intern *intern, const char *kallsyms,
                   bool without_files)
{
    *b = (struct binaries){.intern = intern,
                           .kallsyms = kallsyms ? kallsyms : "/proc/kallsyms",
                           .kallsyms_fd = -1,
                           .max_table_bytes = MAX_TABLE_BYTES,
                           .aside = without_files ? NULL : aside_new("stax-files"),
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
        free(bin->own_note);
        free(bin->server_note);
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
    aside_free(b->aside);
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

/* What a new file is beyond its name. */
static void look_at_file(struct binaries *b, struct binary *bin, const struct event_mapping *m)
{
    bin->is_dump = is_dump_marker(m);
    if (b->without_files) {
        bin->is_loaded = true;
    } else {
        binaries_open_file(b, bin, m);
    }
    if (bin->is_dump) {
        bin->kind = "jit";
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
        binaries_add_generation(b, &identity, m);
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

bool binaries_name_start(struct binaries *b, uint32_t binary, uint64_t address)
{
    struct names_symbol found;
    struct names *names = binaries_tables(b, binary);
    bool is_there =
        names && names_find(names, address, &found) && found.start == address && found.linkage_name;
    if (is_there) {
        binaries_symbol_at(b, binary, names, address, 0);
    }
    return is_there;
}

bool binaries_name_offset(struct binaries *b, uint32_t binary, uint64_t offset, uint64_t *address)
{
    const struct names *names = binaries_tables(b, binary);
    return names && names_address_of_offset(names, offset, address) &&
           binaries_name_start(b, binary, *address);
}

uint32_t binaries_frame(struct binaries *b, uint32_t binary, uint64_t file_offset)
{
    struct binary *bin = binaries_item(b, binary);
    if (!bin->is_loaded) {
        binaries_load(b, bin);
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
