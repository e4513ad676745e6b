/* sandbox_functions.c - instr, replace, trim, LIKE and GLOB in bounded time; see
 * sandbox_internal.h. SQLite's own compare every position of one text with the other: hours for two
 * values of some megabytes, within one step of its machine. */
#include "schema/sandbox_internal.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

enum {
    MAX_PATTERN_BYTES = 1000,
    MAX_PATTERN_WORK = 64 << 20, /* pattern bytes times text bytes, some 0.2 s */
    MAX_TRIMMED = 100            /* different characters */
};

struct text {
    const char *bytes;
    size_t n;
};

/* False: the result is set already, to NULL or to an error. */
static bool begin(sqlite3_context *context, int n, sqlite3_value **values)
{
    struct sandbox_watch *w = sqlite3_user_data(context);
    if (w->must_stop(w->ctx)) {
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (sqlite3_value_type(values[i]) == SQLITE_NULL) {
            return false;
        }
    }
    return true;
}

static struct text text_of(sqlite3_value *value)
{
    const char *bytes = (const char *)sqlite3_value_text(value);
    return bytes ? (struct text){bytes, (size_t)sqlite3_value_bytes(value)} : (struct text){"", 0};
}

static bool is_inside(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Characters in UTF-8. */
static int64_t n_characters(const char *s, size_t n)
{
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += !is_inside(s[i]);
    }
    return count;
}

/* instr(x, y): where y begins in x, from 1; 0 if nowhere. */
static void instr(sqlite3_context *context, int n, sqlite3_value **values)
{
    if (!begin(context, n, values)) {
        return;
    }
    bool is_blob = sqlite3_value_type(values[0]) == SQLITE_BLOB &&
                   sqlite3_value_type(values[1]) == SQLITE_BLOB;
    struct text x, y;
    if (is_blob) {
        const char *a = sqlite3_value_blob(values[0]);
        const char *b = sqlite3_value_blob(values[1]);
        x = (struct text){a ? a : "", a ? (size_t)sqlite3_value_bytes(values[0]) : 0};
        y = (struct text){b ? b : "", b ? (size_t)sqlite3_value_bytes(values[1]) : 0};
    } else {
        x = text_of(values[0]);
        y = text_of(values[1]);
    }
    const char *at = memmem(x.bytes, x.n, y.bytes, y.n);
    size_t before = at ? (size_t)(at - x.bytes) : 0;
    int64_t position = is_blob ? (int64_t)before : n_characters(x.bytes, before);
    sqlite3_result_int64(context, at ? position + 1 : 0);
}

/* replace(x, y, z): x with every y replaced by z. */
static void replace(sqlite3_context *context, int n, sqlite3_value **values)
{
    if (!begin(context, n, values)) {
        return;
    }
    struct text x = text_of(values[0]), y = text_of(values[1]), z = text_of(values[2]);
    struct buf out = {0};
    const char *end = x.bytes + x.n;
    const char *from = x.bytes;
    const char *at;
    while (y.n && out.len <= SANDBOX_VALUE_BYTES &&
           (at = memmem(from, (size_t)(end - from), y.bytes, y.n))) {
        buf_add(&out, from, (size_t)(at - from));
        buf_add(&out, z.bytes, z.n);
        from = at + y.n;
    }
    buf_add(&out, from, (size_t)(end - from));
    if (out.len > SANDBOX_VALUE_BYTES) {
        sqlite3_result_error_toobig(context);
    } else {
        sqlite3_result_text(context, buf_str(&out), (int)out.len, SQLITE_TRANSIENT);
    }
    buf_free(&out);
}

/* Splits a text into characters; false if they are more than MAX_TRIMMED. */
static bool split(struct text set, struct text *characters, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < set.n; i++) {
        if (i > 0 && is_inside(set.bytes[i])) {
            characters[*n - 1].n++;
        } else if (*n == MAX_TRIMMED) {
            return false;
        } else {
            characters[(*n)++] = (struct text){set.bytes + i, 1};
        }
    }
    return true;
}

/* Bytes of the character of the set that x begins with, or ends with; 0: none of them. */
static size_t matched(struct text x, bool at_end, const struct text *characters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = characters[i].n;
        if (len <= x.n &&
            memcmp(at_end ? x.bytes + x.n - len : x.bytes, characters[i].bytes, len) == 0) {
            return len;
        }
    }
    return 0;
}

static void trim_sides(sqlite3_context *context, sqlite3_value **values, bool left, bool right)
{
    struct text characters[MAX_TRIMMED];
    size_t n;
    size_t len;
    if (!begin(context, 2, values)) {
        return;
    }
    struct text x = text_of(values[0]);
    if (!split(text_of(values[1]), characters, &n)) {
        sqlite3_result_error(context, "trim() takes at most 100 characters to remove", -1);
        return;
    }
    while (left && (len = matched(x, false, characters, n)) > 0) {
        x = (struct text){x.bytes + len, x.n - len};
    }
    while (right && (len = matched(x, true, characters, n)) > 0) {
        x.n -= len;
    }
    sqlite3_result_text(context, x.bytes, (int)x.n, SQLITE_TRANSIENT);
}

static void trim(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    trim_sides(context, values, true, true);
}

static void ltrim(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    trim_sides(context, values, true, false);
}

static void rtrim(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    trim_sides(context, values, false, true);
}

static bool check_pattern(sqlite3_context *context, struct text pattern, struct text text)
{
    const char *why = NULL;
    if (pattern.n > MAX_PATTERN_BYTES) {
        why = "LIKE or GLOB pattern too complex";
    } else if (pattern.n * text.n > MAX_PATTERN_WORK) {
        why = "this text is too long for a LIKE or GLOB pattern of this length";
    }
    if (why) {
        sqlite3_result_error(context, why, -1);
    }
    return !why;
}

/* The only character of an ESCAPE, 0 if there is not exactly one. */
static unsigned escape_of(struct text escape)
{
    static const unsigned char masks[] = {0x7f, 0x1f, 0x0f, 0x07};
    if (escape.n < 1 || escape.n > 4 || n_characters(escape.bytes, escape.n) != 1) {
        return 0;
    }
    unsigned c = (unsigned char)escape.bytes[0] & masks[escape.n - 1];
    for (size_t i = 1; i < escape.n; i++) {
        c = c << 6 | ((unsigned char)escape.bytes[i] & 0x3f);
    }
    return c;
}

/* like(pattern, text[, escape]): text LIKE pattern ESCAPE escape. */
static void like(sqlite3_context *context, int n, sqlite3_value **values)
{
    unsigned escape = 0;
    if (!begin(context, n, values)) {
        return;
    }
    struct text pattern = text_of(values[0]), text = text_of(values[1]);
    if (n == 3) {
        escape = escape_of(text_of(values[2]));
        if (!escape || escape == '%' || escape == '_') {
            sqlite3_result_error(
                context, "ESCAPE expression must be a single character other than % and _", -1);
            return;
        }
    }
    if (check_pattern(context, pattern, text)) {
        sqlite3_result_int(context, sqlite3_strlike(pattern.bytes, text.bytes, escape) == 0);
    }
}

/* glob(pattern, text): text GLOB pattern. */
static void glob(sqlite3_context *context, int n, sqlite3_value **values)
{
    if (!begin(context, n, values)) {
        return;
    }
    struct text pattern = text_of(values[0]), text = text_of(values[1]);
    if (check_pattern(context, pattern, text)) {
        sqlite3_result_int(context, sqlite3_strglob(pattern.bytes, text.bytes) == 0);
    }
}

int sandbox_functions_add(sqlite3 *handle, struct sandbox_watch *w)
{
    static const struct {
        const char *name;
        int n;
        void (*call)(sqlite3_context *context, int n, sqlite3_value **values);
    } functions[] = {{"instr", 2, instr}, {"replace", 3, replace}, {"trim", 2, trim},
                     {"ltrim", 2, ltrim}, {"rtrim", 2, rtrim},     {"like", 2, like},
                     {"like", 3, like},   {"glob", 2, glob}};
    /* Innocuous: our views use some of them. */
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]) && rc == SQLITE_OK; i++) {
        rc = sqlite3_create_function_v2(handle, functions[i].name, functions[i].n, flags, w,
                                        functions[i].call, NULL, NULL, NULL);
    }
    return rc;
}
