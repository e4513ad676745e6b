/* debug_files.c - see debug_files.h. */
#include "ingest/debug_files.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/names.h"

enum {
    CRC_STEP_BYTES = 1 << 20,
    MAX_DIRECTORIES = 16,
};
static const int64_t MAX_CRC_FILE_BYTES = INT64_C(8) << 30;

int debug_files_open(const char *path)
{
    struct stat st;
    int fd = fd_open_regular(path, &st);
    return fd < 0 ? -1 : fd;
}

bool debug_files_is_build(int fd, const char *build_id)
{
    char *found = names_read_build_id(fd);
    bool is_same = found && strcmp(found, build_id) == 0;
    free(found);
    return is_same;
}

char *debug_files_refusal(int fd, const char *build_id)
{
    struct err e;
    struct buf text = {0};
    if (names_check_whole(fd, &e) != 0) {
        buf_addf(&text, "answered a damaged file (%s)", e.msg);
    } else if (!debug_files_is_build(fd, build_id)) {
        buf_addstr(&text, "answered another build");
    }
    return text.len ? buf_take(&text) : NULL;
}

/* CRC-32 as zip has it, of the whole file. */
static bool has_crc(int fd, uint32_t crc)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size > MAX_CRC_FILE_BYTES) {
        return false;
    }
    uint8_t *block = mem_new(CRC_STEP_BYTES, 1);
    uint32_t sum = 0;
    int64_t at = 0;
    ssize_t n;
    while (at <= MAX_CRC_FILE_BYTES && (n = pread(fd, block, CRC_STEP_BYTES, at)) != 0) {
        if (n < 0 && errno != EINTR) {
            break;
        }
        if (n > 0) {
            sum = lzma_crc32(block, (size_t)n, sum);
            at += n;
        }
    }
    free(block);
    return at == st.st_size && sum == crc;
}

static bool is_same_file(const char *path, int fd)
{
    struct stat a, b;
    return path && stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static void set_note(char **note, char *text)
{
    free(*note);
    *note = text;
}

static bool is_whole(int fd, const char *path, char **note)
{
    struct err e;
    if (names_check_whole(fd, &e) == 0) {
        return true;
    }
    struct buf text = {0};
    buf_addf(&text, "separate debug file is there but damaged (%s): ", e.msg);
    text_clean(&text, path, strlen(path));
    set_note(note, buf_take(&text));
    return false;
}

/* Whether the file belongs to the binary; says why not in *note. */
static bool is_right(const struct debug_wanted *w, int fd, const char *path, bool is_by_link,
                     char **note)
{
    char *build_id = names_read_build_id(fd);
    bool is_judged = w->build_id && build_id;
    bool is_good = false;
    if (!is_judged && is_by_link && has_crc(fd, w->link_crc)) {
        is_good = true;
    } else if (is_judged && strcmp(build_id, w->build_id) != 0) {
        set_note(note, mem_strdup("separate debug file is of another build"));
    } else if (is_whole(fd, path, note)) {
        is_good = is_judged;
        if (!is_good) {
            set_note(note, mem_strdup("separate debug file does not match its checksum"));
        }
    }
    free(build_id);
    return is_good;
}

struct search {
    const struct debug_wanted *w;
    struct debug_found *found;
};

/* Takes the file at root + path if it is the right one. */
static bool try_file(struct search *s, const char *root, const char *path, bool is_by_link)
{
    struct buf whole = {0}, binary = {0};
    buf_addf(&whole, "%s%s", root, path);
    buf_addf(&binary, "%s%s", root, s->w->path ? s->w->path : "");
    int fd = debug_files_open(buf_str(&whole));
    if (fd >= 0 && (is_same_file(buf_str(&binary), fd) ||
                    !is_right(s->w, fd, path, is_by_link, &s->found->note))) {
        fd_close(&fd);
    }
    if (fd >= 0) {
        s->found->fd = fd;
        s->found->path = buf_take(&whole);
        set_note(&s->found->note, NULL);
    }
    buf_free(&whole);
    buf_free(&binary);
    return fd >= 0;
}

/* One debug directory ("": beside the binary). */
static bool try_link(struct search *s, const char *root, const char *directory)
{
    static const char *const between[] = {"", ".debug/"};
    const char *slash = s->w->path ? strrchr(s->w->path, '/') : NULL;
    if (!s->w->link || !slash || strchr(s->w->link, '/')) {
        return false;
    }
    bool is_beside = !directory[0];
    bool is_found = false;
    for (int i = 0; i < (is_beside ? 2 : 1) && !is_found; i++) {
        struct buf path = {0};
        buf_addf(&path, "%s%.*s/%s%s", directory, (int)(slash - s->w->path), s->w->path, between[i],
                 s->w->link);
        is_found = try_file(s, root, buf_str(&path), true);
        buf_free(&path);
    }
    return is_found;
}

static bool try_build_id(struct search *s, const char *root, const char *directory)
{
    const char *id = s->w->build_id;
    if (!id || strlen(id) < 3) {
        return false;
    }
    struct buf path = {0};
    buf_addf(&path, "%s/.build-id/%.2s/%s.debug", directory, id, id + 2);
    bool is_found = try_file(s, root, buf_str(&path), false);
    buf_free(&path);
    return is_found;
}

void debug_files_find(const struct debug_wanted *wanted, struct debug_found *found)
{
    struct search s = {wanted, found};
    const char *setting = getenv("STAX_DEBUG_DIRS");
    char *list = mem_strdup(setting && setting[0] ? setting : "/usr/lib/debug");
    const char *directories[MAX_DIRECTORIES];
    size_t n = 0;
    char *rest = NULL;
    for (char *d = strtok_r(list, ":", &rest); d && n < MAX_DIRECTORIES;
         d = strtok_r(NULL, ":", &rest)) {
        directories[n++] = d;
    }
    *found = (struct debug_found){.fd = -1};
    const char *roots[] = {wanted->root ? wanted->root : "", ""};
    for (int r = roots[0][0] ? 0 : 1; r < 2 && found->fd < 0; r++) {
        for (size_t i = 0; i < n && found->fd < 0; i++) {
            try_build_id(&s, roots[r], directories[i]);
        }
        if (found->fd < 0) {
            try_link(&s, roots[r], "");
        }
        for (size_t i = 0; i < n && found->fd < 0; i++) {
            try_link(&s, roots[r], directories[i]);
        }
    }
    free(list);
}
