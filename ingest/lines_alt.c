/*
 * lines_alt.c - the dwz alternate of a file: what dwz moved out of several files into one, which
 * .gnu_debugaltlink names by path and build id (lines.h).
 */
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "ingest/debug_files.h"
#include "ingest/lines_internal.h"
#include "ingest/names.h"

enum { MAX_ID_BYTES = 64 };

/* What is there and is no use says more than that elsewhere nothing is. */
static void refuse(struct lines *l, const char *why)
{
    l->wanted_alt.why = why;
}

/* Takes fd (-1: none) and opens it as the alternate if it is that. */
static bool take(struct lines *l, int fd)
{
    if (fd < 0) {
        return false;
    }
    if (names_check_whole(fd, NULL) != 0) {
        refuse(l, "is damaged");
    } else if (!debug_files_is_build(fd, l->wanted_alt.build_id)) {
        refuse(l, "is of another build");
    } else if (lines_open_dwarf(l, fd, &l->alt_elf, &l->alt, NULL) != 0) {
        refuse(l, "cannot be read");
    } else {
        l->alt_fd = fd;
        dwarf_setalt(l->dwarf, l->alt);
        return true;
    }
    elf_end(l->alt_elf);
    l->alt_elf = NULL;
    close(fd);
    return false;
}

/* At name, under folder (its first n bytes). */
static bool try_in(struct lines *l, const char *folder, size_t n, const char *name)
{
    struct buf path = {0};
    buf_add(&path, folder, n);
    buf_addstr(&path, name);
    bool is_found = take(l, debug_files_open(buf_str(&path)));
    buf_free(&path);
    return is_found;
}

/* Up to and with the last slash. */
static size_t folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Debug files in .build-id are links into the folders that their alternates are beside. */
static bool try_beside_target(struct lines *l, const struct lines_place *place, const char *name)
{
    char to[PATH_MAX];
    ssize_t n = readlink(place->path, to, sizeof(to) - 1);
    if (n <= 0) {
        return false;
    }
    to[n] = '\0';
    struct buf folder = {0};
    if (to[0] == '/') {
        const char *root = place->root ? place->root : "";
        buf_addstr(&folder, strncmp(place->path, root, strlen(root)) == 0 ? root : "");
    } else {
        buf_add(&folder, place->path, folder_of(place->path));
    }
    buf_add(&folder, to, folder_of(to));
    bool is_found = try_in(l, buf_str(&folder), folder.len, name);
    buf_free(&folder);
    return is_found;
}

/* Where the file says. */
static bool try_path(struct lines *l, const struct lines_place *place, const char *name)
{
    const char *root = place->root ? place->root : "";
    if (name[0] == '/') {
        return (root[0] && try_in(l, root, strlen(root), name)) || try_in(l, "", 0, name);
    }
    return place->path && (try_in(l, place->path, folder_of(place->path), name) ||
                           try_beside_target(l, place, name));
}

static bool try_build_id(struct lines *l, const struct lines_place *place)
{
    struct debug_found found;
    const struct debug_wanted wanted = {.root = place->root, .build_id = l->wanted_alt.build_id};
    debug_files_find(&wanted, &found);
    if (found.note) {
        refuse(l, strstr(found.note, "damaged") ? "is damaged" : "is of another build");
    }
    free(found.path);
    free(found.note);
    return take(l, found.fd);
}

void lines_open_alt(struct lines *l, const struct lines_place *place)
{
    const char *name;
    const void *id;
    ssize_t n = dwelf_dwarf_gnu_debugaltlink(l->dwarf, &name, &id);
    if (n <= 0 || n > MAX_ID_BYTES) {
        return;
    }
    struct buf hex = {0}, clean = {0};
    for (ssize_t i = 0; i < n; i++) {
        buf_addf(&hex, "%02x", ((const uint8_t *)id)[i]);
    }
    text_clean(&clean, name, strnlen(name, PATH_MAX));
    l->wanted_alt = (struct lines_alt){buf_take(&clean), buf_take(&hex), "is missing"};
    int given = place->alt_fd >= 0 ? fcntl(place->alt_fd, F_DUPFD_CLOEXEC, 3) : -1;
    l->has_alt = take(l, given) || try_path(l, place, name) || try_build_id(l, place);
}

const struct lines_alt *lines_missing_alt(const struct lines *l)
{
    return l->wanted_alt.build_id && !l->has_alt ? &l->wanted_alt : NULL;
}
