/* debug_info.c - see debug_info.h. */
#include "ingest/debug_info.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/debug_files.h"

void debug_info_init(struct debug_info *d, int fd, const struct names *names, const char *path,
                     const char *root)
{
    uint32_t crc;
    const char *build_id = names_build_id(names), *link = names_debug_link(names, &crc);
    *d = (struct debug_info){.fd = fd,
                             .path = mem_strdup(path),
                             .root = mem_strdup(root ? root : ""),
                             .build_id = build_id ? mem_strdup(build_id) : NULL,
                             .link = link ? mem_strdup(link) : NULL,
                             .link_crc = crc,
                             .has_symtab = names_best_source(names) >= NAMES_SYMTAB,
                             .has_debug_info = names_has_debug_info(names),
                             .debug_fd = -1,
                             .alt_fd = -1};
}

void debug_info_fini(struct debug_info *d)
{
    debug_info_drop_lines(d);
    fd_close(&d->fd);
    fd_close(&d->debug_fd);
    fd_close(&d->alt_fd);
    free(d->alt_build_id);
    free(d->path);
    free(d->root);
    free(d->build_id);
    free(d->link);
    free(d->debug_path);
    free(d->note);
    free(d->lines_error);
}

bool debug_info_is_wanting(const struct debug_info *d)
{
    return d->debug_fd < 0 && (!d->has_symtab || !d->has_debug_info);
}

static void set_note(struct debug_info *d, char *note)
{
    free(d->note);
    d->note = note;
}

/* They are another file's now, or can be read now. */
static void forget_lines(struct debug_info *d)
{
    debug_info_drop_lines(d);
    d->has_no_lines = d->is_lack_told = false;
    free(d->lines_error);
    d->lines_error = NULL;
    free(d->alt_build_id);
    d->alt_build_id = NULL;
}

static struct names *better_names(struct debug_info *d, enum names_source source)
{
    struct names *names;
    int fd = d->fd >= 0 ? d->fd : d->debug_fd; /* of a file that is gone, it has the segments too */
    if (d->has_symtab || names_open_elf_debug(&names, fd, d->debug_fd, source, NULL) != 0) {
        return NULL;
    }
    if (names_best_source(names) < source) { /* it has DWARF but no symbols */
        names_close(names);
        return NULL;
    }
    return names;
}

struct names *debug_info_search(struct debug_info *d)
{
    struct debug_found found;
    if (!debug_info_is_wanting(d)) {
        return NULL;
    }
    const struct debug_wanted wanted = {.root = d->root,
                                        .path = d->path,
                                        .build_id = d->build_id,
                                        .link = d->link,
                                        .link_crc = d->link_crc};
    debug_files_find(&wanted, &found);
    set_note(d, found.note);
    if (found.fd < 0) {
        return NULL;
    }
    d->debug_fd = found.fd;
    d->debug_path = found.path;
    d->is_alt_asked = false;
    forget_lines(d);
    return better_names(d, NAMES_DEBUG_FILE);
}

struct names *debug_info_take(struct debug_info *d, int debug_fd, const char *path,
                              enum names_source source, char **refused)
{
    *refused = NULL;
    char *failure = d->build_id ? debug_files_refusal(debug_fd, d->build_id) : NULL;
    if (!debug_info_is_wanting(d) || !d->build_id || failure) {
        if (debug_info_is_wanting(d) && failure) {
            struct buf note = {0};
            buf_addf(&note, "debuginfod %s", failure);
            set_note(d, buf_take(&note));
        }
        *refused = failure;
        close(debug_fd);
        return NULL;
    }
    d->debug_fd = debug_fd;
    d->debug_path = mem_strdup(path);
    set_note(d, NULL);
    d->is_alt_asked = false;
    forget_lines(d);
    return better_names(d, source);
}

static void open_lines(struct debug_info *d)
{
    bool is_own = d->has_debug_info;
    int fd = is_own ? d->fd : d->debug_fd;
    int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    struct err e = {0};
    struct buf path = {0};
    buf_addf(&path, "%s%s", is_own ? d->root : "", is_own ? d->path : d->debug_path);
    const struct lines_place place = {buf_str(&path), d->root, d->alt_fd};
    if (copy < 0 || lines_open_at(&d->lines, copy, &place, &e) != 0) {
        fd_close(&copy);
        d->has_no_lines = true;
        d->lines_error = e.code && e.code != STAX_ENOTFOUND ? mem_strdup(e.msg) : NULL;
    }
    buf_free(&path);
    const struct lines_alt *alt = d->lines ? lines_missing_alt(d->lines) : NULL;
    free(d->alt_build_id);
    d->alt_build_id = alt ? mem_strdup(alt->build_id) : NULL;
}

char *debug_info_take_alt(struct debug_info *d, int alt_fd)
{
    char *refused = debug_files_refusal(alt_fd, d->alt_build_id);
    if (refused) {
        close(alt_fd);
        return refused;
    }
    fd_close(&d->alt_fd);
    d->alt_fd = alt_fd;
    forget_lines(d);
    return NULL;
}

bool debug_info_search_alt(struct debug_info *d)
{
    if (!d->alt_build_id) {
        return false;
    }
    debug_info_drop_lines(d);
    open_lines(d);
    bool is_found = d->lines && !d->alt_build_id;
    d->is_lack_told &= !is_found;
    return is_found;
}

size_t debug_info_find(struct debug_info *d, uint64_t address,
                       struct lines_row rows[LINES_MAX_DEPTH], struct buf *text)
{
    if (!d->lines && !d->has_no_lines) {
        open_lines(d);
    }
    return d->lines ? lines_find(d->lines, address, rows, text) : 0;
}

bool debug_info_table(struct debug_info *d, uint64_t address, uint64_t size,
                      struct lines_table *table)
{
    if (!d->lines && !d->has_no_lines) {
        open_lines(d);
    }
    return d->lines && lines_read_table(d->lines, address, size, table);
}

/* Under the target's root, or where that is gone with its process. */
static bool has_file(const char *root, const char *path, const char *end)
{
    struct buf whole = {0};
    struct stat st;
    buf_addf(&whole, "%s%s%s", root, path, end);
    bool has = stat(buf_str(&whole), &st) == 0;
    buf_free(&whole);
    return has || (root[0] && has_file("", path, end));
}

static void add_split_lack(const struct debug_info *d, struct buf *lack)
{
    buf_addstr(lack, has_file(d->root, d->path, ".dwp")
                         ? "no inlined functions: split debug information in a .dwp file is not "
                           "read"
                         : "no inlined functions where split debug information (.dwo) is missing");
}

char *debug_info_lack(struct debug_info *d)
{
    struct buf lack = {0};
    if (d->is_lack_told) {
        return NULL;
    }
    if (d->has_no_lines && d->lines_error) {
        buf_addf(&lack, "no lines and no inlined functions: %s", d->lines_error);
    } else if (d->lines && lines_missing_alt(d->lines)) {
        const struct lines_alt *alt = lines_missing_alt(d->lines);
        buf_addf(&lack, "its dwz alternate %s (build id %s) %s: inlined functions have no names",
                 alt->name, alt->build_id, alt->why);
    } else if (d->lines && lines_is_damaged(d->lines)) {
        buf_addstr(&lack, "lines and inlined functions are missing: damaged debug information");
    } else if (d->lines && lines_lacks_split(d->lines)) {
        add_split_lack(d, &lack);
    }
    d->is_lack_told = lack.len > 0;
    return lack.len ? buf_take(&lack) : NULL;
}

size_t debug_info_bytes(const struct debug_info *d)
{
    return d->lines ? lines_bytes(d->lines) : 0;
}

void debug_info_drop_lines(struct debug_info *d)
{
    lines_close(d->lines);
    d->lines = NULL;
}
