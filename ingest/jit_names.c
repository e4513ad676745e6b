/*
 * jit_names.c - see jit_names.h.
 *
 * V8 (src/logging/code-events.h, log.cc): TAG ':' [tier] [function] ' ' script ':' line ':' column,
 * the tier one of ~ (bytecode) ^ (baseline) + (mid tier) * (optimised); old versions leave the
 * column out. Functions without a name have an empty one.
 */
#include "ingest/jit_names.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

/* Where the name behind a tag of JavaScript code begins; NULL: no such code. */
static const char *after_tag(const char *raw)
{
    static const char *const tags[] = {"JS:", "LazyCompile:", "Function:", "Script:", "Eval:"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        size_t len = strlen(tags[i]);
        if (strncmp(raw, tags[i], len) == 0) {
            return raw + len;
        }
    }
    return NULL;
}

/* Takes ":123" off the end of [s, *end). */
static bool take_number(const char *s, const char **end, uint32_t *number)
{
    const char *p = *end;
    uint64_t value = 0, scale = 1;
    while (p > s && p[-1] >= '0' && p[-1] <= '9' && *end - p < 9) {
        value += (uint64_t)(*--p - '0') * scale;
        scale *= 10;
    }
    if (p == *end || p == s || p[-1] != ':') {
        return false;
    }
    *end = p - 1;
    *number = (uint32_t)value;
    return true;
}

/* The last component of a path or URL; what is neither stays whole. */
static const char *base_of(const char *file, const char *end)
{
    bool is_url = end - file > 7 && memcmp(file, "file://", 7) == 0;
    if (file == end || (*file != '/' && !is_url)) {
        return file;
    }
    const char *base = file;
    for (const char *p = file; p < end; p++) {
        base = *p == '/' && p + 1 < end ? p + 1 : base;
    }
    return base;
}

/* Paths hold blanks too: the script begins at the first blank before something like a path or URL,
 * else at the last blank. */
static const char *script_of(const char *at, const char *end)
{
    const char *last = NULL;
    for (const char *p = at; p < end; p++) {
        if (*p != ' ') {
            continue;
        }
        if (p + 1 < end && (p[1] == '/' || (end - p > 5 && (memcmp(p + 1, "file:", 5) == 0 ||
                                                            memcmp(p + 1, "node:", 5) == 0)))) {
            return p;
        }
        last = p;
    }
    return last;
}

/* What follows the tag and the tier; NULL: no tag. */
static const char *after_tier(const char *raw)
{
    const char *at = after_tag(raw);
    return at && *at && strchr("~^+*", *at) ? at + 1 : at;
}

/* Takes ":line:column" or ":line" off the end of [s, *end). */
static bool take_line(const char *s, const char **end, uint32_t *line)
{
    uint32_t column;
    if (!take_number(s, end, &column)) {
        return false;
    }
    if (!take_number(s, end, line)) {
        *line = column;
    }
    return true;
}

const char *jit_names_function(const char *raw)
{
    const char *at = after_tier(raw), *end = raw + strlen(raw);
    uint32_t line;
    bool has_script = at && take_line(at, &end, &line);
    const char *blank = has_script ? script_of(at, end) : NULL;
    return blank && blank + 1 < end ? at : NULL;
}

void jit_names_read(const char *raw, struct buf *name, struct buf *file, uint32_t *line)
{
    const char *at = after_tier(raw), *script_end = raw + strlen(raw), *blank = NULL;
    uint32_t number = 0;
    *line = 0;
    if (at && take_line(at, &script_end, &number)) {
        blank = script_of(at, script_end);
    }
    if (!blank || blank + 1 >= script_end) {
        text_clean(name, raw, strlen(raw));
        return;
    }
    struct buf text = {0};
    if (blank == at) {
        buf_addstr(&text, "(anonymous)");
    } else {
        buf_add(&text, at, (size_t)(blank - at));
    }
    const char *base = base_of(blank + 1, script_end);
    buf_addf(&text, " %.*s:%u", (int)(script_end - base), base, number);
    text_clean(name, text.data, text.len);
    buf_free(&text);
    bool is_url = script_end - blank > 8 && memcmp(blank + 1, "file://", 7) == 0;
    const char *path = blank + 1 + (is_url ? 7 : 0);
    text_clean(file, path, (size_t)(script_end - path));
    *line = number;
}
