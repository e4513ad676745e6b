/* source.c - see source.h. */
#include "schema/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "schema/source.sql.h"

enum { CONTEXT_LINES = 2, FUNCTION_LINES = 5000 };

struct source_reader {
    struct db *db;
    bool with_files;
    int64_t built_ns;        /* the code, or the run that recorded it if that is older */
    char *newer, *too_large; /* the first such files, NULL: none */
    const char *note;        /* of the file in text, static; NULL: none */
    char *noted;             /* the file whose stored note was looked at last */
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
    r->built_ns = r->start_wall_ns;
    return r;
}

void source_reader_free(struct source_reader *r)
{
    if (r) {
        free(r->file);
        free(r->newer);
        free(r->too_large);
        free(r->noted);
        buf_free(&r->text);
        buf_free(&r->line);
        free(r->starts);
        free(r);
    }
}

static int64_t changed_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* The time of a file of code, at most that of the run: what was put there later did not run. */
static int64_t built_ns(const struct source_reader *r, const char *binary)
{
    struct stat st;
    bool is_older = binary[0] == '/' && stat(binary, &st) == 0 && S_ISREG(st.st_mode) &&
                    changed_ns(&st) < r->start_wall_ns;
    return is_older ? changed_ns(&st) : r->start_wall_ns;
}

void source_set_function(struct source_reader *r, int64_t symbol)
{
    struct stmt *s = db_stmt(r->db, &sql_source_binary);

    stmt_bind_int(s, source_binary_p_symbol, symbol);
    if (stmt_next(s) && r->with_files) {
        r->built_ns = built_ns(r, stmt_text(s, source_binary_c_path));
    }
    stmt_reset(s);
}

const char *source_newer(const struct source_reader *r)
{
    return r->newer;
}

const char *source_too_large(const struct source_reader *r)
{
    return r->too_large;
}

static void take_note(struct source_reader *r, const char *file, const char *note)
{
    char **first = strcmp(note, "newer") == 0       ? &r->newer
                   : strcmp(note, "too_large") == 0 ? &r->too_large
                                                    : NULL;
    if (first && !*first) {
        *first = mem_strdup(file);
    }
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
    r->note = NULL;
    if (fd >= 0) {
        bool is_large = st.st_size > SOURCE_FILE_MAX;
        if (is_large) {
            r->note = "too_large";
        } else if (fd_read_all(fd, SOURCE_FILE_MAX, &r->text) == 0) {
            r->note = changed_ns(&st) > r->built_ns ? "newer" : NULL;
            split_lines(r);
        }
        take_note(r, file, r->note ? r->note : "");
        fd_close(&fd);
    }
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

/* What was noted of a file when its text was stored. */
static void read_note(struct source_reader *r, const char *file)
{
    struct stmt *s = db_stmt(r->db, &sql_source_note);

    free(r->noted);
    r->noted = mem_strdup(file);
    stmt_bind_text(s, source_note_p_path, file);
    if (stmt_next(s)) {
        take_note(r, file, stmt_text(s, source_note_c_note));
    }
    stmt_reset(s);
}

const char *source_text(struct source_reader *r, const char *file, int64_t line)
{
    if (!r->with_files && (!r->noted || strcmp(r->noted, file) != 0)) {
        read_note(r, file);
    }
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

/* When the oldest code with lines of a file was built. */
struct ages {
    struct strmap index; /* path -> index + 1 */
    int64_t *built_ns;
    size_t n, cap;
};

static void read_ages(struct source_reader *r, struct ages *a)
{
    struct stmt *s = db_stmt(r->db, &sql_source_binaries);

    while (stmt_next(s)) {
        const char *file = stmt_text(s, source_binaries_c_file);
        uint32_t *id = strmap_put(&a->index, file, strlen(file));
        if (!*id) {
            mem_reserve(&a->built_ns, &a->cap, a->n + 1, sizeof(*a->built_ns));
            a->built_ns[a->n++] = INT64_MAX;
            *id = (uint32_t)a->n;
        }
        int64_t *oldest = &a->built_ns[*id - 1];
        int64_t built = built_ns(r, stmt_text(s, source_binaries_c_binary));
        *oldest = built < *oldest ? built : *oldest;
    }
}

/* Before lines of a file are stored. */
static void begin_file(struct source_reader *r, const struct ages *a, const char *file)
{
    uint32_t id = strmap_get(&a->index, file, strlen(file));

    r->built_ns = id ? a->built_ns[id - 1] : r->start_wall_ns;
    read_file(r, file);
    if (r->note) {
        struct stmt *s = db_stmt(r->db, &sql_source_set_note);
        stmt_bind_text(s, source_set_note_p_path, file);
        stmt_bind_text(s, source_set_note_p_note, r->note);
        stmt_run(s);
    }
}

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
    struct ages ages = {0};
    read_ages(r, &ages);
    for (size_t i = 0; i < n; i++) {
        if (!may_read || may_read(ctx, wanted[i].file)) {
            if (!r->file || strcmp(r->file, wanted[i].file) != 0) {
                begin_file(r, &ages, wanted[i].file);
            }
            store_lines(r, &wanted[i], &stored);
        }
        free(wanted[i].file);
    }
    free(wanted);
    strmap_free(&ages.index);
    free(ages.built_ns);
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
