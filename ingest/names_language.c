/*
 * names_language.c - what a linkage name tells without being demangled: its language, what
 * compilers and linkers appended to it, and readable forms of OCaml and Go names (names.h).
 */
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "ingest/names_internal.h"

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- suffixes ---- */

/* Of one function: what GCC and LLVM split off or specialise. A .lto_priv is another function of
 * the same name. */
static const struct {
    const char *word;
    bool is_other_function;
} suffixes[] = {
    {"part", false},       {"cold", false}, {"isra", false},   {"constprop", false},
    {"localalias", false}, {"llvm", false}, {"__uniq", false}, {"lto_priv", true},
};

/* Whether text (without its dot) is a known word. */
static bool is_suffix(const char *text, size_t len, bool with_others)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (strlen(suffixes[i].word) == len && memcmp(suffixes[i].word, text, len) == 0) {
            return with_others || !suffixes[i].is_other_function;
        }
    }
    return false;
}

static size_t last_dot(const char *text, size_t len)
{
    const char *dot = len ? memrchr(text, '.', len) : NULL;
    return dot ? (size_t)(dot - text) : 0;
}

/* Length without the last ".word" or ".word.number"; len: it ends in none. */
static size_t without_last(const char *name, size_t len, bool with_others)
{
    size_t dot = last_dot(name, len);
    size_t end = len;
    if (dot && dot + 1 < len && strspn(name + dot + 1, "0123456789") >= len - dot - 1) {
        end = dot;
        dot = last_dot(name, end);
    }
    return dot && is_suffix(name + dot + 1, end - dot - 1, with_others) ? dot : len;
}

size_t names_length_without_suffixes(const char *name, size_t len, bool with_others)
{
    size_t shorter;
    while ((shorter = without_last(name, len, with_others)) < len) {
        len = shorter;
    }
    return len;
}

/* ---- languages ---- */

static const char *const languages[] = {"",      "c",     "c++",     "rust",  "d",       "go",
                                        "ocaml", "swift", "zig",     "ada",   "fortran", "pascal",
                                        "objc",  "java",  "haskell", "julia", "assembly"};

const char *names_language_of_word(const char *word)
{
    for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++) {
        if (strcmp(languages[i], word) == 0) {
            return languages[i];
        }
    }
    return "";
}

/* Rust's first scheme borrows C++'s and ends in a hash: 17h, 16 hexadecimal digits, E. */
static bool is_rust_legacy(const char *name, size_t len)
{
    static const char start[] = "17h";
    enum { N_DIGITS = 16 };
    if (len < N_DIGITS + 8 || name[len - 1] != 'E') {
        return false;
    }
    const char *hash = name + len - 1 - N_DIGITS;
    for (size_t i = 0; i < N_DIGITS; i++) {
        if (!isxdigit((unsigned char)hash[i])) {
            return false;
        }
    }
    return memcmp(hash - 3, start, 3) == 0;
}

/* camlModule__function_123 (before 5.1 and since 5.3) or camlModule.function_123. */
static bool is_ocaml(const char *name, size_t len)
{
    return len > 6 && starts_with(name, "caml") && isupper((unsigned char)name[4]) &&
           (strstr(name + 5, "__") || strchr(name + 5, '.'));
}

const char *names_language(const char *linkage_name)
{
    size_t len = strcspn(linkage_name, "@");
    len = names_length_without_suffixes(linkage_name, len, true);
    if (starts_with(linkage_name, "_Z")) {
        return is_rust_legacy(linkage_name, len) ? "rust" : "c++";
    }
    if (starts_with(linkage_name, "_R") && len > 3) {
        return isupper((unsigned char)linkage_name[2]) || isdigit((unsigned char)linkage_name[2])
                   ? "rust"
                   : "";
    }
    if (starts_with(linkage_name, "_D") && len > 3 && isdigit((unsigned char)linkage_name[2])) {
        return "d";
    }
    if (starts_with(linkage_name, "$s") || starts_with(linkage_name, "_$s")) {
        return "swift";
    }
    return is_ocaml(linkage_name, len) ? "ocaml" : "";
}

/* ---- readable forms ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends text with escapes (mark and two lower-case hexadecimal digits) resolved. */
static void add_unescaped(struct buf *out, const char *text, size_t len, char mark)
{
    for (size_t i = 0; i < len; i++) {
        int high = i + 2 < len && text[i] == mark ? hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0 && high < 8 && high > 1) {
            buf_addch(out, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_addch(out, text[i]);
        }
    }
}

bool names_read_ocaml(struct buf *out, const char *name, size_t len)
{
    if (!is_ocaml(name, len)) {
        return false;
    }
    size_t end = len; /* the stamp that tells functions of one name apart is not part of it */
    while (end > 5 && isdigit((unsigned char)name[end - 1])) {
        end--;
    }
    end = end < len && end > 6 && name[end - 1] == '_' ? end - 1 : len;
    struct buf dotted = {0};
    for (size_t i = 4; i < end; i++) {
        bool is_separator = i > 4 && name[i] == '_' && i + 2 < end && name[i + 1] == '_';
        buf_addch(&dotted, is_separator ? '.' : name[i]);
        i += is_separator;
    }
    add_unescaped(out, buf_str(&dotted), dotted.len, '$');
    buf_free(&dotted);
    return true;
}

/* The linker writes dots in the last part of an import path as %2e. */
void names_read_go(struct buf *out, const char *name, size_t len)
{
    add_unescaped(out, name, len, '%');
}
