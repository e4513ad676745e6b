/* text.c - see text.h. */
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Decodes one UTF-8 sequence (RFC 3629: no overlongs, no surrogates). Returns its length, 0 if bad.
 */
static size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *cp)
{
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > len) {
        return 0;
    }
    uint32_t c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *cp = c;
    return n;
}

static bool is_unsafe(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0x2028 || cp == 0x2029;
}

void text_clean(struct buf *out, const char *src, size_t len)
{
    const unsigned char *s = (const unsigned char *)src;
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        size_t n = utf8_decode(s + i, len - i, &cp);
        if (n && !is_unsafe(cp)) {
            buf_add(out, src + i, n);
            i += n;
            continue;
        }
        for (size_t end = i + (n ? n : 1); i < end; i++) {
            buf_addf(out, "\\x%02x", s[i]);
        }
    }
}

/* Ranges of East Asian wide characters and emoji (Unicode 15 EastAsianWidth W and F, coarsened). */
static bool is_wide(uint32_t c)
{
    return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
           (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
           (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
           (c >= 0x20000 && c <= 0x3fffd);
}

static bool is_combining(uint32_t c)
{
    return (c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) ||
           (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe00 && c <= 0xfe0f) ||
           (c >= 0xfe20 && c <= 0xfe2f) || (c >= 0x200b && c <= 0x200f) || c == 0xfeff;
}

static size_t step(const char *s, size_t len, size_t *columns)
{
    uint32_t cp = 0;
    size_t n = utf8_decode((const unsigned char *)s, len, &cp);
    *columns = n == 0 ? 1 : is_combining(cp) ? 0 : is_wide(cp) ? 2 : 1;
    return n ? n : 1;
}

size_t text_width(const char *s)
{
    size_t len = strlen(s), width = 0;
    for (size_t i = 0; i < len;) {
        size_t columns;
        i += step(s + i, len - i, &columns);
        width += columns;
    }
    return width;
}

void text_cut_middle(struct buf *out, const char *s, size_t width)
{
    size_t full = text_width(s), len = strlen(s);
    if (full <= width) {
        buf_add(out, s, len);
        return;
    }
    if (width == 0) {
        return;
    }
    size_t head = (width - 1) - (width - 1) / 2, tail = (width - 1) / 2;
    size_t i = 0, at = 0;
    while (i < len) {
        size_t columns, n = step(s + i, len - i, &columns);
        if (at + columns > head) {
            break;
        }
        at += columns;
        i += n;
    }
    buf_add(out, s, i);
    buf_addstr(out, "…");
    while (i < len && full - at > tail) {
        size_t columns;
        i += step(s + i, len - i, &columns);
        at += columns;
    }
    buf_add(out, s + i, len - i);
}

void text_cut_end(struct buf *out, const char *s, size_t width)
{
    size_t i = 0, at = 0, len = strlen(s);
    if (text_width(s) <= width) {
        buf_add(out, s, len);
        return;
    }
    while (i < len) {
        size_t columns, n = step(s + i, len - i, &columns);
        if (at + columns + 1 > width) {
            break;
        }
        at += columns;
        i += n;
    }
    buf_add(out, s, i);
    buf_addstr(out, width ? "…" : "");
}

/* Bytes of a bracketed group that begins at s, its closing bracket included; 0 if it never closes.
 * An arrow's '>' closes nothing. */
static size_t group_len(const char *s)
{
    size_t depth = 0;
    for (size_t i = 0; s[i]; i++) {
        if (s[i] == '<' || s[i] == '(') {
            depth++;
        } else if (s[i] == ')' || (s[i] == '>' && (i == 0 || s[i - 1] != '-'))) {
            if (--depth == 0) {
                return i + 1;
            }
        }
    }
    return 0;
}

/* Bytes of an operator's name at s, whose brackets are no groups: operator<<, operator(), ... */
static size_t operator_len(const char *s)
{
    static const char word[] = "operator";
    size_t n = sizeof(word) - 1;
    if (strncmp(s, word, n) != 0) {
        return 0;
    }
    if (strncmp(s + n, "()", 2) == 0) {
        return n + 2;
    }
    return n + strspn(s + n, "<>=-!");
}

static void shrink_groups(struct buf *out, const char *s)
{
    static const char anonymous[] = "(anonymous namespace)";
    while (*s) {
        size_t n = operator_len(s);
        if (n == 0 && strncmp(s, anonymous, sizeof(anonymous) - 1) == 0) {
            n = sizeof(anonymous) - 1;
        }
        size_t group = n == 0 && (*s == '<' || *s == '(') ? group_len(s) : 0;
        if (group > 2) {
            buf_addf(out, "%c…%c", s[0], s[group - 1]);
            s += group;
        } else {
            n = n ? n : 1;
            buf_add(out, s, n);
            s += n;
        }
    }
}

void text_cut_name(struct buf *out, const char *name, size_t width)
{
    struct buf shrunk = {0};
    if (text_width(name) <= width) {
        buf_addstr(out, name);
        return;
    }
    shrink_groups(&shrunk, name);
    char *clone = strstr(shrunk.data, " [clone ");
    if (clone && text_width(shrunk.data) > width) {
        *clone = '\0';
    }
    text_cut_middle(out, shrunk.data, width);
    buf_free(&shrunk);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t text_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t la = strlen(a), lb = strlen(b);
    if (la > LONGEST || lb > LONGEST) {
        return LONGEST;
    }
    size_t d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= la; i++) {
        for (size_t j = 0; j <= lb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t cost = a[i - 1] != b[j - 1];
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                d[i][j] = min3(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
            }
        }
    }
    return d[la][lb];
}
