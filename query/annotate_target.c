/* annotate_target.c - which function a text means (annotate.h). */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "query/annotate.h"
#include "query/annotate.sql.h"

enum { N_HOTTEST = 5, MAX_SHOWN = 60 };

/* "0x" and hexadecimal digits to the end. */
static bool read_hex(const char *text, uint64_t *value)
{
    char *end;

    if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X') || !isxdigit((uint8_t)text[2])) {
        return false;
    }
    errno = 0;
    *value = strtoull(text + 2, &end, 16);
    return *end == '\0' && errno == 0;
}

struct found {
    struct annotate_match *list;
    size_t n, cap;
    int64_t n_all;
};

#define HAS_COLUMNS_OF_FUNCTIONS_AT(block)                                                         \
    _Static_assert((int)block##_c_symbol == (int)functions_at_c_symbol &&                          \
                       (int)block##_c_n_all == (int)functions_at_c_n_all &&                        \
                       (int)block##_c_n_samples == (int)functions_at_c_n_samples &&                \
                       (int)block##_c_on_cpu_ns == (int)functions_at_c_on_cpu_ns,                  \
                   "columns of annotate.sql")
HAS_COLUMNS_OF_FUNCTIONS_AT(functions_matching);
HAS_COLUMNS_OF_FUNCTIONS_AT(generated_at);

static void take_rows(struct found *f, struct stmt *s)
{
    while (stmt_next(s)) {
        mem_reserve(&f->list, &f->cap, f->n + 1, sizeof(*f->list));
        f->list[f->n++] =
            (struct annotate_match){.symbol = stmt_int(s, functions_at_c_symbol),
                                    .n_samples = stmt_int(s, functions_at_c_n_samples),
                                    .on_cpu_ns = stmt_int(s, functions_at_c_on_cpu_ns)};
        f->n_all = stmt_int(s, functions_at_c_n_all);
    }
}

static void find_at(struct query *q, struct found *f, int64_t binary, const char *name,
                    uint64_t rel_address, int64_t limit)
{
    struct stmt *s = db_stmt(q->db, &sql_functions_at);

    stmt_bind_int(s, functions_at_p_binary, binary);
    stmt_bind_text(s, functions_at_p_name, name);
    stmt_bind_int(s, functions_at_p_rel_address, (int64_t)rel_address);
    stmt_bind_int(s, functions_at_p_limit, limit);
    take_rows(f, s);
}

static void find_generated(struct query *q, struct found *f, uint64_t address, int64_t limit)
{
    struct stmt *s = db_stmt(q->db, &sql_generated_at);

    stmt_bind_int(s, generated_at_p_address, (int64_t)address);
    stmt_bind_int(s, generated_at_p_limit, limit);
    take_rows(f, s);
}

/* An address of a process: through what was mapped there. */
static void find_mapped(struct query *q, struct code_reader *code, struct found *f,
                        uint64_t address, int64_t limit)
{
    struct stmt *s = db_stmt(q->db, &sql_mappings_of_address);

    stmt_bind_int(s, mappings_of_address_p_address, (int64_t)address);
    while (f->n == 0 && stmt_next(s)) {
        int64_t binary = stmt_int(s, mappings_of_address_c_binary);
        uint64_t rel = (uint64_t)stmt_int(s, mappings_of_address_c_file_offset);
        bool is_guess = stmt_int(s, mappings_of_address_c_has_addresses) &&
                        (q->is_archive || !code_address_of_offset(code, binary, rel, &rel));
        find_at(q, f, binary, "", rel, limit);
        if (f->n && is_guess) {
            view_warn(q,
                      "the file of 0x%llx cannot be read here: its addresses are taken for "
                      "file offsets, which is a guess",
                      (unsigned long long)address);
        }
    }
    stmt_reset(s);
}

static void find_named(struct query *q, struct found *f, const char *text, int64_t limit)
{
    struct stmt *s = db_stmt(q->db, &sql_functions_matching);
    const char *dot = strchr(text, '.');
    struct buf base = {0}, clone = {0};

    stmt_bind_text(s, functions_matching_p_text, text);
    if (dot && dot > text) { /* "parse.cold" is "parse(int) [clone .cold]" in C++ */
        buf_add(&base, text, (size_t)(dot - text));
        buf_addf(&clone, "[clone %s]", dot);
        stmt_bind_text(s, functions_matching_p_base, buf_str(&base));
        stmt_bind_text(s, functions_matching_p_clone, buf_str(&clone));
    }
    stmt_bind_int(s, functions_matching_p_limit, limit);
    take_rows(f, s);
    buf_free(&base);
    buf_free(&clone);
}

int annotate_find(struct query *q, struct code_reader *code, const char *target, int64_t limit,
                  struct annotate_match **list, size_t *n, int64_t *n_all, struct err *e)
{
    struct found f = {0};
    uint64_t address;
    const char *plus = strrchr(target, '+');

    if (read_hex(target, &address)) {
        find_mapped(q, code, &f, address, limit);
        if (f.n == 0) {
            find_generated(q, &f, address, limit);
        }
        if (f.n == 0) {
            find_at(q, &f, 0, "", address, limit);
        }
    } else {
        /* Names of functions hold "+0x" only where they have no other. */
        if (plus && plus > target && read_hex(plus + 1, &address)) {
            char *name = mem_strndup(target, (size_t)(plus - target));
            find_at(q, &f, 0, name, address, limit);
            free(name);
        }
        if (f.n == 0) {
            find_named(q, &f, target, limit);
        }
    }
    *list = f.list;
    *n = f.n;
    *n_all = f.n_all;
    return db_status(q->db, e);
}

int annotate_refuse(struct query *q, const char *target, struct err *e)
{
    struct found f = {0};
    struct buf list = {0}, clean = {0};

    text_clean(&clean, target, strnlen(target, 256));
    find_named(q, &f, "", N_HOTTEST);
    for (size_t i = 0; i < f.n; i++) {
        json_t *name = symbols_name(q->db, f.list[i].symbol);
        buf_addstr(&list, i ? ", " : "");
        text_cut_middle(&list, json_string_value(name), MAX_SHOWN);
        json_decref(name);
    }
    int rc = err_set(e, STAX_ENOTFOUND, "no function with samples matches \"%s\"", buf_str(&clean));
    if (f.n) {
        err_hint(e, "the hottest are: %s", buf_str(&list));
    } else {
        err_hint(e, "this run has no samples in functions yet");
    }
    free(f.list);
    buf_free(&list);
    buf_free(&clean);
    return rc;
}
