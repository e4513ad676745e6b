/* source.c - see source.h. */
#include "schema/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "schema/source.sql.h"

enum { CONTEXT_LINES = 2, FUNCTION_LINES = 5000 };

struct source_reader {
    struct db *db;
    bool with_files, is_newer;
    int64_t start_wall_ns;
    char *file; /* that is in text, NULL: none */
    struct buf text;
    uint32_t *starts; /* of lines in text */
    size_t n_lines, cap_starts;
    struct buf line;
};

struct source_reader *source_reader_new(struct db *db, bool with_files)
{
    struct source_reader *r = mem_new(1, sizeof(*r));
    struct stmt *s = db_stmt(db, &sql_source_run_start);

    r->db = db;
    r->with_files = with_files;
    r->start_wall_ns = stmt_next(s) ? stmt_int(s, source_run_start_c_start_wall_ns) : 0;
    stmt_reset(s);
    return r;
}

void source_reader_free(struct source_reader *r)
{
    if (r) {
        free(r->file);
        buf_free(&r->text);
        buf_free(&r->line);
        free(r->starts);
        free(r);
    }
}

bool source_is_newer(const struct source_reader *r)
{
    return r->is_newer;
}

static void split_lines(struct source_reader *r)
{
    const char *text = buf_str(&r->text);

    r->n_lines = 0;
    for (size_t at = 0; at < r->text.len;) {
        mem_reserve(&r->starts, &r->cap_starts, r->n_lines + 1, sizeof(*r->starts));
        r->starts[r->n_lines++] = (uint32_t)at;
        const char *end = memchr(text + at, '\n', r->text.len - at);
        at = end ? (size_t)(end - text) + 1 : r->text.len;
    }
}

/* Whether a file is one of source text by its name. Debug information names files as it likes, and
 * their text travels in archives: a key or a password file must not. */
static bool is_source(const char *file)
{
    static const char *const suffixes[] = {
        "c",   "h",   "cc",  "hh", "cpp", "hpp", "cxx", "hxx",  "c++",   "h++", "inc", "inl",
        "ipp", "tcc", "def", "i",  "ii",  "y",   "l",   "rs",   "go",    "s",   "S",   "asm",
        "d",   "f",   "f90", "F",  "m",   "mm",  "cu",  "zig",  "swift", "ml",  "nim", "pas",
        "adb", "ads", "py",  "js", "mjs", "ts",  "cr",  "java", "kt",    "lua", "pl",  "rb"};
    static const char headers[] = "/usr/include/"; /* of C++ have no suffix */
    const char *name = strrchr(file, '/'), *dot = name ? strrchr(name, '.') : NULL;
    for (size_t i = 0; dot && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (strcmp(dot + 1, suffixes[i]) == 0) {
            return true;
        }
    }
    return strncmp(file, headers, sizeof(headers) - 1) == 0 && !strstr(file, "/../");
}

/* Reads a file into r->text; leaves it empty if that is not to be. */
static void read_file(struct source_reader *r, const char *file)
{
    struct stat st;

    free(r->file);
    r->file = mem_strdup(file);
    buf_clear(&r->text);
    r->n_lines = 0;
    bool is_wanted = file[0] == '/' && is_source(file);
    int fd = is_wanted ? fd_open_regular(file, &st) : -1;
    fd = fd < 0 ? -1 : fd;
    if (fd >= 0 && st.st_size <= SOURCE_FILE_MAX &&
        fd_read_all(fd, SOURCE_FILE_MAX, &r->text) == 0) {
        int64_t written_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        r->is_newer |= written_ns > r->start_wall_ns;
        split_lines(r);
    }
    fd_close(&fd);
}

static const char *line_of_file(struct source_reader *r, const char *file, int64_t line)
{
    if (!r->file || strcmp(r->file, file) != 0) {
        read_file(r, file);
    }
    if (line < 1 || (uint64_t)line > r->n_lines) {
        return NULL;
    }
    const char *start = buf_str(&r->text) + r->starts[line - 1];
    size_t left = r->text.len - r->starts[line - 1];
    const char *end = memchr(start, '\n', left);
    size_t n = end ? (size_t)(end - start) : left;
    n = n && start[n - 1] == '\r' ? n - 1 : n;
    n = n < SOURCE_LINE_MAX ? n : SOURCE_LINE_MAX;
    buf_clear(&r->line);
    for (size_t i = 0; i < n; i++) { /* tabs are no text_clean() text */
        const char *stop = memchr(start + i, '\t', n - i);
        size_t part = stop ? (size_t)(stop - start) - i : n - i;
        text_clean(&r->line, start + i, part);
        buf_addstr(&r->line, stop ? "    " : "");
        i += part;
    }
    return buf_str(&r->line);
}

const char *source_text(struct source_reader *r, const char *file, int64_t line)
{
    struct stmt *s = db_stmt(r->db, &sql_source_stored);

    stmt_bind_text(s, source_stored_p_file, file);
    stmt_bind_int(s, source_stored_p_line, line);
    bool is_stored = stmt_next(s);
    if (is_stored) {
        const char *text = stmt_text(s, source_stored_c_text);
        buf_clear(&r->line);
        text_clean(&r->line, text, strnlen(text, SOURCE_LINE_MAX));
        stmt_reset(s);
        return buf_str(&r->line);
    }
    return r->with_files ? line_of_file(r, file, line) : NULL;
}

/* ---- storing ---- */

struct wanted {
    char *file;
    int64_t first, last;
};

static struct wanted *read_wanted(struct db *db, size_t *n)
{
    struct stmt *s = db_stmt(db, &sql_source_wanted);
    struct wanted *items = NULL;
    size_t cap = 0;

    *n = 0;
    while (stmt_next(s)) {
        mem_reserve(&items, &cap, *n + 1, sizeof(*items));
        int64_t first = stmt_int(s, source_wanted_c_first_line);
        int64_t last = stmt_int(s, source_wanted_c_last_line);
        first = first > CONTEXT_LINES ? first - CONTEXT_LINES : 1;
        last = last - first < FUNCTION_LINES ? last + CONTEXT_LINES : first + FUNCTION_LINES;
        items[(*n)++] =
            (struct wanted){mem_strdup(stmt_text(s, source_wanted_c_file)), first, last};
    }
    return items;
}

static void store_lines(struct source_reader *r, const struct wanted *w, int64_t *n_bytes)
{
    struct stmt *s = db_stmt(r->db, &sql_source_insert);

    for (int64_t line = w->first; line <= w->last && *n_bytes < SOURCE_RUN_MAX; line++) {
        const char *text = line_of_file(r, w->file, line);
        if (!text) {
            return;
        }
        stmt_bind_text(s, source_insert_p_file, w->file);
        stmt_bind_int(s, source_insert_p_line, line);
        stmt_bind_text(s, source_insert_p_text, text);
        stmt_run(s);
        *n_bytes += (int64_t)strlen(text) + 1;
    }
}

void source_totals(struct db *db, int64_t *n_lines, int64_t *n_bytes)
{
    struct stmt *s = db_stmt(db, &sql_source_totals);

    stmt_next(s);
    *n_lines = stmt_int(s, source_totals_c_n_lines);
    *n_bytes = stmt_int(s, source_totals_c_n_bytes);
    stmt_reset(s);
}

int source_fill(struct db *db, struct err *e)
{
    return source_fill_from(db, NULL, NULL, e);
}

int source_fill_from(struct db *db, source_may_read *may_read, void *ctx, struct err *e)
{
    struct source_reader *r = source_reader_new(db, true);
    int64_t stored = 0;
    size_t n;

    db_begin(db);
    struct wanted *wanted = read_wanted(db, &n);
    for (size_t i = 0; i < n; i++) {
        if (!may_read || may_read(ctx, wanted[i].file)) {
            store_lines(r, &wanted[i], &stored);
        }
        free(wanted[i].file);
    }
    free(wanted);
    source_reader_free(r);
    db_commit(db);
    return db_status(db, e);
}

int source_clear(struct db *db, struct err *e)
{
    db_begin(db);
    stmt_run(db_stmt(db, &sql_source_clear));
    db_commit(db);
    return db_status(db, e);
}
