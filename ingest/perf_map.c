/* perf_map.c - see perf_map.h. */
#include "ingest/perf_map.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A number in hex, with or without 0x, and the blanks after it. */
static bool take_hex(const char **at, const char *end, uint64_t *value)
{
    const char *p = *at;
    if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        p += 2;
    }
    int n_digits = 0;
    *value = 0;
    for (; p < end && hex_digit(*p) >= 0; p++, n_digits++) {
        if (n_digits == 16) {
            return false;
        }
        *value = *value << 4 | (uint64_t)hex_digit(*p);
    }
    const char *blank = p;
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    *at = p;
    return n_digits > 0 && p > blank;
}

static void take_line(struct perf_map *m, const char *line, size_t n, int64_t ts,
                      struct jit_batch *batch)
{
    const char *at = line, *end = line + n;
    struct jit_item item = {.what = JIT_LOAD, .ts = ts};
    if (n && line[n - 1] == '\r') {
        end--;
    }
    if (!take_hex(&at, end, &item.address) || !take_hex(&at, end, &item.size) || at == end ||
        !item.size || item.size > PERF_MAP_CODE_MAX || item.address + item.size < item.address) {
        m->n_large += item.size > PERF_MAP_CODE_MAX;
        m->n_bad++;
        return;
    }
    /* A NUL would end the name for everything behind us: it stands as a blank. */
    item.name = jit_batch_text(batch, at, (size_t)(end - at));
    char *name = batch->text.data + item.name;
    for (size_t i = 0; i < (size_t)(end - at); i++) {
        name[i] = name[i] ? name[i] : ' ';
    }
    jit_batch_add(batch, &item);
    m->n_loads++;
}

size_t perf_map_feed(struct perf_map *m, const char *text, size_t n, int64_t ts,
                     struct jit_batch *batch)
{
    size_t at = 0;
    while (at < n) {
        const char *line = text + at, *newline = memchr(line, '\n', n - at);
        size_t len = newline ? (size_t)(newline - line) : n - at;
        if (!newline && len <= PERF_MAP_LINE_MAX && !m->is_skipping) {
            break;
        }
        if (newline && len <= PERF_MAP_LINE_MAX && !m->is_skipping) {
            take_line(m, line, len, ts, batch);
        } else if (newline) {
            m->n_bad++;
        }
        m->is_skipping = !newline;
        at += len + (newline != NULL);
    }
    return at;
}
