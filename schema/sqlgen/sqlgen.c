/*
 * sqlgen.c - build-time program: turns .sql files into C headers.
 *
 *   sqlgen --text VAR IN OUT             the file as one string constant VAR
 *   sqlgen --steps VAR OUT [IN...]       numbered migrations as an array of struct migration_step
 *   sqlgen --blocks IN OUT SCHEMA...     the named blocks of IN, each prepared against the schema
 *
 * A block is a line "--@ NAME", comment lines, and exactly one SQL statement. It becomes a struct
 * sql_block sql_NAME, the numbers of its parameters NAME_p_X and those of its result columns
 * NAME_c_X. A block that SQLite does not accept stops the build with file:line. CREATE TEMP blocks
 * are also executed, so that later blocks of the file can use what they make.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/fd.h"

enum { MAX_FILE_BYTES = 4 << 20 };

struct block {
    char name[128];
    const char *sql; /* first byte after the comment lines */
    size_t len;
    int line; /* of sql in its file, from 1 */
};

struct gen {
    const char *path; /* the file at work, for messages */
    sqlite3 *db;
    struct buf out;
};

static bool complain(const struct gen *g, int line, const char *block, const char *what)
{
    fprintf(stderr, "%s:%d: error: %s%s%s\n", g->path, line, block, *block ? ": " : "", what);
    return false;
}

static bool read_text(const char *path, struct buf *text)
{
    int rc = fd_read_file(path, MAX_FILE_BYTES, text);
    if (rc < 0) {
        fprintf(stderr, "sqlgen: cannot read %s: %s\n", path, strerror(-rc));
    }
    return rc == 0;
}

static bool write_text(const char *path, const struct buf *text)
{
    FILE *f = fopen(path, "we");
    bool is_written = f && fwrite(buf_str(text), 1, text->len, f) == text->len;
    if (f && fclose(f) != 0) {
        is_written = false;
    }
    if (!is_written) {
        perror(path);
    }
    return is_written;
}

/* A string literal a line, with between in front of each, so that compilers point at readable
 * places. */
static void add_literal(struct buf *out, const char *s, size_t len, const char *between)
{
    buf_addf(out, "%s\"", between);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '\n') {
            buf_addstr(out, "\\n");
            if (i + 1 < len) {
                buf_addf(out, "\"%s\"", between);
            }
        } else if (c == '"' || c == '\\' || c == '?') {
            buf_addf(out, "\\%c", c);
        } else if (c < ' ' || c > '~') {
            buf_addf(out, "\\%03o", c);
        } else {
            buf_addch(out, (char)c);
        }
    }
    buf_addch(out, '"');
}

static int lines_between(const char *from, const char *to)
{
    int n = 0;
    for (; from < to; from++) {
        n += *from == '\n';
    }
    return n;
}

static const char *line_end(const char *s)
{
    const char *end = strchr(s, '\n');
    return end ? end + 1 : s + strlen(s);
}

static bool is_comment_or_blank(const char *line)
{
    line += strspn(line, " \t\r");
    return *line == '\n' || *line == '\0' || strncmp(line, "--", 2) == 0;
}

static bool is_block_start(const char *line)
{
    return strncmp(line, "--@", 3) == 0;
}

/* The next block from *at on; false at the end or with *bad set. */
static bool next_block(const struct gen *g, const char *text, const char **at, struct block *b,
                       bool *bad)
{
    const char *p = *at;
    while (*p && !is_block_start(p)) {
        if (!is_comment_or_blank(p)) {
            *bad = true;
            return complain(g, 1 + lines_between(text, p), "", "text before the first block");
        }
        p = line_end(p);
    }
    if (!*p) {
        return false;
    }
    int line = 1 + lines_between(text, p);
    char rest[2] = "";
    if (sscanf(p, "--@ %127[a-z0-9_]%1[^\n]", b->name, rest) != 1 || isdigit(b->name[0])) {
        *bad = true;
        return complain(g, line, "", "a block starts with --@ and a lower-case C name");
    }
    p = line_end(p);
    while (*p && !is_block_start(p) && is_comment_or_blank(p)) {
        p = line_end(p);
    }
    b->sql = p;
    b->line = 1 + lines_between(text, p);
    while (*p && !is_block_start(p)) {
        p = line_end(p);
    }
    b->len = (size_t)(p - b->sql);
    while (b->len && isspace((unsigned char)b->sql[b->len - 1])) {
        b->len--;
    }
    *at = p;
    return true;
}

/* Writes name as a C identifier: other characters become single underscores. */
static void identifier(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (; *name && n + 1 < size; name++) {
        if (isalnum((unsigned char)*name) || *name == '_') {
            out[n++] = *name;
        } else if (n && out[n - 1] != '_') {
            out[n++] = '_';
        }
    }
    while (n && out[n - 1] == '_') {
        n--;
    }
    out[n] = '\0';
}

static bool add_parameters(struct gen *g, const struct block *b, sqlite3_stmt *stmt)
{
    int n = sqlite3_bind_parameter_count(stmt);
    for (int i = 1; i <= n; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        if (!name || name[0] != ':') {
            return complain(g, b->line, b->name, "parameters are written :name");
        }
        buf_addf(&g->out, "%s%s_p_%s = %d", i == 1 ? "enum { " : ", ", b->name, name + 1, i);
    }
    buf_addstr(&g->out, n ? " };\n" : "");
    return true;
}

static bool add_columns(struct gen *g, const struct block *b, sqlite3_stmt *stmt)
{
    int n = sqlite3_column_count(stmt);
    for (int i = 0; i < n; i++) {
        char name[128];
        char other[128];
        identifier(sqlite3_column_name(stmt, i), name, sizeof(name));
        for (int j = 0; j < i; j++) {
            identifier(sqlite3_column_name(stmt, j), other, sizeof(other));
            if (strcmp(name, other) == 0) {
                fprintf(stderr, "%s:%d: error: %s: two result columns are called %s\n", g->path,
                        b->line, b->name, name);
                return false;
            }
        }
        if (!*name) {
            return complain(g, b->line, b->name, "a result column needs a name (AS ...)");
        }
        buf_addf(&g->out, "%s%s_c_%s = %d", i ? ", " : "enum { ", b->name, name, i);
    }
    buf_addstr(&g->out, n ? " };\n" : "");
    return true;
}

static bool prepare_block(struct gen *g, const struct block *b, sqlite3_stmt **stmt)
{
    const char *tail = b->sql;
    if (sqlite3_prepare_v2(g->db, b->sql, (int)b->len, stmt, &tail) != SQLITE_OK) {
        int offset = sqlite3_error_offset(g->db);
        const char *at = b->sql + (offset > 0 ? offset : 0);
        return complain(g, b->line + lines_between(b->sql, at), b->name, sqlite3_errmsg(g->db));
    }
    if (!*stmt) {
        return complain(g, b->line, b->name, "the block has no statement");
    }
    const char *end = b->sql + b->len;
    sqlite3_stmt *second = NULL;
    while (tail < end && isspace((unsigned char)*tail)) {
        tail++;
    }
    int rc = sqlite3_prepare_v2(g->db, tail, (int)(end - tail), &second, NULL);
    sqlite3_finalize(second);
    if (rc != SQLITE_OK || second) {
        return complain(g, b->line + lines_between(b->sql, tail), b->name,
                        "a block is exactly one statement");
    }
    return true;
}

static bool add_block(struct gen *g, const struct block *b)
{
    sqlite3_stmt *stmt = NULL;
    bool is_good = prepare_block(g, b, &stmt);
    if (is_good) {
        buf_addf(&g->out, "\nstatic const struct sql_block sql_%s __attribute__((unused)) = {\n",
                 b->name);
        buf_addf(&g->out, "    \"%s\",", b->name);
        add_literal(&g->out, b->sql, b->len, "\n    ");
        buf_addstr(&g->out, "};\n");
        is_good = add_parameters(g, b, stmt) && add_columns(g, b, stmt);
    }
    if (is_good && sqlite3_strnicmp(b->sql, "CREATE TEMP", 11) == 0 &&
        sqlite3_step(stmt) != SQLITE_DONE) {
        is_good = complain(g, b->line, b->name, sqlite3_errmsg(g->db));
    }
    sqlite3_finalize(stmt);
    return is_good;
}

static bool load_schema(struct gen *g, const char *path)
{
    struct buf text = {0};
    bool is_good = read_text(path, &text);
    const char *at = buf_str(&text);
    g->path = path;
    while (is_good && *at) {
        sqlite3_stmt *stmt = NULL;
        const char *tail = at;
        if (sqlite3_prepare_v2(g->db, at, -1, &stmt, &tail) != SQLITE_OK ||
            (stmt && sqlite3_step(stmt) != SQLITE_DONE)) {
            int offset = sqlite3_error_offset(g->db);
            const char *where = at + (offset > 0 ? offset : 0);
            is_good =
                complain(g, 1 + lines_between(buf_str(&text), where), "", sqlite3_errmsg(g->db));
        }
        sqlite3_finalize(stmt);
        at = tail;
    }
    buf_free(&text);
    return is_good;
}

/* A view is only resolved when it is used: use each one, so that a broken view breaks the build. */
static bool check_views(struct gen *g)
{
    sqlite3_stmt *views = NULL;
    bool is_good = sqlite3_prepare_v2(g->db, "SELECT name FROM sqlite_schema WHERE type = 'view'",
                                      -1, &views, NULL) == SQLITE_OK;
    while (is_good && sqlite3_step(views) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(views, 0);
        char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", name);
        sqlite3_stmt *use = NULL;
        if (sqlite3_prepare_v2(g->db, sql, -1, &use, NULL) != SQLITE_OK) {
            is_good = complain(g, 1, name, sqlite3_errmsg(g->db));
        }
        sqlite3_finalize(use);
        sqlite3_free(sql);
    }
    sqlite3_finalize(views);
    return is_good;
}

static bool open_schema(struct gen *g, char **files, int n_files)
{
    if (sqlite3_open(":memory:", &g->db) != SQLITE_OK) {
        return false;
    }
    /* A misspelt column in double quotes must fail, not become a string. */
    sqlite3_db_config(g->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(g->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    for (int i = 0; i < n_files; i++) {
        if (!load_schema(g, files[i])) {
            return false;
        }
    }
    return check_views(g);
}

static bool is_duplicate(const struct gen *g, const char *name)
{
    char needle[160];
    snprintf(needle, sizeof(needle), " sql_%s __attribute__", name);
    return strstr(buf_str(&g->out), needle) != NULL;
}

static bool make_blocks(const char *in, const char *out, char **schema, int n_schema)
{
    struct gen g = {.path = in};
    struct buf text = {0};
    bool is_good = open_schema(&g, schema, n_schema) && read_text(in, &text);
    g.path = in;
    buf_addf(&g.out, "/* Generated from %s; do not edit. */\n#pragma once\n\n",
             strrchr(in, '/') ? strrchr(in, '/') + 1 : in);
    buf_addstr(&g.out, "#include \"schema/db.h\"\n");
    const char *at = buf_str(&text);
    struct block b;
    bool bad = false;
    while (is_good && next_block(&g, buf_str(&text), &at, &b, &bad)) {
        is_good = is_duplicate(&g, b.name)
                      ? complain(&g, b.line, b.name, "a second block of this name")
                      : add_block(&g, &b);
    }
    is_good = is_good && !bad && write_text(out, &g.out);
    sqlite3_close(g.db);
    buf_free(&text);
    buf_free(&g.out);
    return is_good;
}

/* The text as a literal, so that C can join several, and as a constant. */
static bool make_text(const char *var, const char *in, const char *out)
{
    struct buf text = {0};
    struct buf header = {0};
    bool is_good = read_text(in, &text);
    buf_addf(&header, "/* Generated; do not edit. */\n#pragma once\n\n#define %s_literal", var);
    add_literal(&header, buf_str(&text), text.len, " \\\n    ");
    buf_addf(&header, "\n\nstatic const char %s[] __attribute__((unused)) = %s_literal;\n", var,
             var);
    is_good = is_good && write_text(out, &header);
    buf_free(&text);
    buf_free(&header);
    return is_good;
}

/* Step files are called NNNN_what.sql and lead from version NNNN - 1 to NNNN; they come sorted. */
static bool add_step(struct buf *header, const char *path, int version)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct buf text = {0};
    bool is_good = read_text(path, &text);
    if (is_good && strtol(name, NULL, 10) != version) {
        fprintf(stderr, "%s:1: error: this step should be number %04d\n", path, version);
        is_good = false;
    }
    buf_addf(header, "    {%d,", version);
    add_literal(header, buf_str(&text), text.len, "\n    ");
    buf_addstr(header, "},\n");
    buf_free(&text);
    return is_good;
}

static bool make_steps(const char *var, const char *out, char **files, int n_files)
{
    struct buf header = {0};
    bool is_good = true;
    buf_addstr(&header, "/* Generated; do not edit. */\n#pragma once\n\n");
    buf_addstr(&header, "#include \"schema/migrate.h\"\n\n");
    buf_addf(&header, "static const struct migration_step %s[] = {\n", var);
    for (int i = 0; i < n_files && is_good; i++) {
        is_good = add_step(&header, files[i], i + 2); /* 2: version 1 is the first there was */
    }
    buf_addstr(&header, "    {0, 0}};\n");
    is_good = is_good && write_text(out, &header);
    buf_free(&header);
    return is_good;
}

int main(int argc, char **argv)
{
    bool is_good = false;
    if (argc == 5 && strcmp(argv[1], "--text") == 0) {
        is_good = make_text(argv[2], argv[3], argv[4]);
    } else if (argc >= 4 && strcmp(argv[1], "--steps") == 0) {
        is_good = make_steps(argv[2], argv[3], argv + 4, argc - 4);
    } else if (argc >= 5 && strcmp(argv[1], "--blocks") == 0) {
        is_good = make_blocks(argv[2], argv[3], argv + 4, argc - 4);
    } else {
        fputs("usage: sqlgen --text VAR IN OUT | --steps VAR OUT [IN...] |"
              " --blocks IN OUT SCHEMA...\n",
              stderr);
        return 2;
    }
    return is_good ? 0 : 1;
}
