/* symbols.c - symbols by id and by name. */
#include "query/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "query/symbols.sql.h"

enum { N_SUGGESTIONS = 3, N_CANDIDATES = 2000, MAX_SUGGESTED_LENGTH = 64 };

void symbols_free(struct symbols *s)
{
    free(s->kinds);
    memset(s, 0, sizeof(*s));
}

static uint8_t kind_of(const char *text)
{
    if (strcmp(text, "process") == 0) {
        return SYMBOL_IS_PROCESS;
    }
    return strcmp(text, "marker") == 0 ? SYMBOL_IS_MARKER : SYMBOL_IS_FUNCTION;
}

int symbols_refresh(struct symbols *s, struct db *db, struct err *e)
{
    struct stmt *st = db_stmt(db, &sql_symbol_kinds);

    stmt_bind_int(st, symbol_kinds_p_after, s->n ? (int64_t)s->n - 1 : 0);
    while (stmt_next(st)) {
        int64_t id = stmt_int(st, symbol_kinds_c_id);
        /* Ids are dense in a run of ours; a foreign file must not size our memory. */
        if (id <= 0 || (uint64_t)id > s->n + 1000000) {
            stmt_reset(st);
            return err_set(e, STAX_ECORRUPT, "table symbol of this run holds impossible ids");
        }
        mem_reserve(&s->kinds, &s->cap, (size_t)id + 1, 1);
        memset(s->kinds + s->n, SYMBOL_ABSENT, (size_t)id + 1 - s->n);
        s->n = (size_t)id + 1;
        s->kinds[id] = kind_of(stmt_text(st, symbol_kinds_c_kind));
        s->n_others += s->kinds[id] != SYMBOL_IS_FUNCTION;
        if (stmt_int(st, symbol_kinds_c_is_kernel)) {
            s->kinds[id] |= SYMBOL_IN_KERNEL;
        }
    }
    return db_status(db, e);
}

static void add_suggestion(struct buf *list, const char *name)
{
    buf_addstr(list, list->len ? ", \"" : "\"");
    text_cut_middle(list, name, MAX_SUGGESTED_LENGTH);
    buf_addch(list, '"');
}

static void suggest_containing(struct db *db, const char *name, struct buf *list)
{
    struct stmt *s = db_stmt(db, &sql_symbols_containing);

    stmt_bind_text(s, symbols_containing_p_text, name);
    stmt_bind_int(s, symbols_containing_p_limit, N_SUGGESTIONS);
    while (stmt_next(s)) {
        add_suggestion(list, stmt_text(s, symbols_containing_c_name));
    }
}

static void suggest_similar(struct db *db, const char *name, struct buf *list)
{
    struct stmt *s = db_stmt(db, &sql_symbols_heaviest);
    size_t best = strlen(name) / 3 + 2;
    char *nearest = NULL;

    stmt_bind_int(s, symbols_heaviest_p_limit, N_CANDIDATES);
    while (strlen(name) <= MAX_SUGGESTED_LENGTH && stmt_next(s)) {
        const char *candidate = stmt_text(s, symbols_heaviest_c_name);
        size_t distance =
            strlen(candidate) <= MAX_SUGGESTED_LENGTH ? text_distance(name, candidate) : best;
        if (distance < best) {
            best = distance;
            free(nearest);
            nearest = mem_strdup(candidate);
        }
    }
    if (nearest) {
        add_suggestion(list, nearest);
    }
    free(nearest);
}

static int refuse_unknown(struct db *db, const char *name, struct err *e)
{
    struct buf list = {0}, clean = {0};

    text_clean(&clean, name, strnlen(name, 256));
    if (*name) {
        suggest_containing(db, name, &list);
    }
    if (!list.len) {
        suggest_similar(db, name, &list);
    }
    int rc = err_set(e, STAX_ENOTFOUND, "no function named \"%s\" in this run", buf_str(&clean));
    if (list.len) {
        err_hint(e, "did you mean %s?", buf_str(&list));
    }
    buf_free(&list);
    buf_free(&clean);
    return rc;
}

/* Where the parameters of a demangled name begin, its end if it has none: the '(' of the last ')'
 * if nothing but "const", "&" or "[clone .x]" follows. */
static size_t start_of_parameters(const char *full)
{
    const char *end = strrchr(full, ')');
    int depth = 0;

    if (end && strchr(" &", end[1])) { /* or the end of the text */
        for (const char *s = end; s > full; s--) {
            depth += *s == ')';
            depth -= *s == '(';
            if (depth == 0) {
                return (size_t)(s - full);
            }
        }
    }
    return strlen(full);
}

bool symbols_is_without_parameters(const char *name, const char *full)
{
    static const char word[] = "operator ";
    size_t n = strlen(name), n_base = start_of_parameters(full);

    if (n > n_base || full[n_base] == '\0' || memcmp(full + n_base - n, name, n) != 0) {
        return false;
    }
    size_t n_type = n_base - n;
    bool is_operator = n_type >= sizeof(word) - 1 &&
                       memcmp(full + n_type - (sizeof(word) - 1), word, sizeof(word) - 1) == 0;
    return n_type == 0 || (full[n_type - 1] == ' ' && !is_operator);
}

/* Functions of exactly this name. */
static bool flag_exact(const struct symbols *s, struct db *db, const char *name, uint8_t *flags)
{
    struct stmt *st = db_stmt(db, &sql_symbols_named);
    bool is_found = false;

    stmt_bind_text(st, symbols_named_p_name, name);
    while (stmt_next(st)) {
        int64_t id = stmt_int(st, symbols_named_c_id);
        if (id > 0 && (uint64_t)id < s->n) {
            flags[id] = 1;
            is_found = true;
        }
    }
    return is_found;
}

/* Functions of this name without parameters, all overloads. */
static bool flag_overloads(const struct symbols *s, struct db *db, const char *name, uint8_t *flags)
{
    struct stmt *st = db_stmt(db, &sql_symbols_holding);
    bool is_found = false;

    stmt_bind_text(st, symbols_holding_p_text, name);
    while (*name && stmt_next(st)) {
        int64_t id = stmt_int(st, symbols_holding_c_id);
        if (id > 0 && (uint64_t)id < s->n &&
            symbols_is_without_parameters(name, stmt_text(st, symbols_holding_c_name))) {
            flags[id] = 1;
            is_found = true;
        }
    }
    stmt_reset(st);
    return is_found;
}

int symbols_flag_named(const struct symbols *s, struct db *db, const char *name, uint8_t *flags,
                       struct err *e)
{
    bool is_found = flag_exact(s, db, name, flags) || flag_overloads(s, db, name, flags);
    int rc = db_status(db, e);
    return rc < 0 || is_found ? rc : refuse_unknown(db, name, e);
}

/* Of the functions whose names hold a text the hottest one, but one that is called so before its
 * parameters goes first; NULL: none. *is_one_of: there were others of its kind. */
static char *find_hottest(struct db *db, const char *name, bool *is_one_of)
{
    struct stmt *st = db_stmt(db, &sql_symbols_containing);
    char *hottest = NULL, *called = NULL;
    size_t n = 0, n_called = 0;

    stmt_bind_text(st, symbols_containing_p_text, name);
    stmt_bind_int(st, symbols_containing_p_limit, N_CANDIDATES);
    while (stmt_next(st)) {
        const char *candidate = stmt_text(st, symbols_containing_c_name);
        if (n++ == 0) {
            hottest = mem_strdup(candidate);
        }
        if (symbols_is_without_parameters(name, candidate) && n_called++ == 0) {
            called = mem_strdup(candidate);
        }
    }
    *is_one_of = called ? n_called > 1 : n > 1;
    if (called) {
        free(hottest);
    }
    return called ? called : hottest;
}

int symbols_flag_matching(const struct symbols *s, struct db *db, const char *name, uint8_t *flags,
                          char **taken, struct err *e)
{
    bool is_one_of = false;
    bool is_found = flag_exact(s, db, name, flags);

    *taken = NULL;
    if (!is_found && *name) {
        char *hottest = find_hottest(db, name, &is_one_of);
        is_found = hottest && flag_exact(s, db, hottest, flags);
        if (is_found && is_one_of) {
            *taken = hottest;
        } else {
            free(hottest);
        }
    }
    int rc = db_status(db, e);
    return rc < 0 || is_found ? rc : refuse_unknown(db, name, e);
}

void symbols_describe(struct db *db, int64_t id, json_t *object)
{
    struct stmt *s = db_stmt(db, &sql_symbol_by_id);
    bool is_there;

    stmt_bind_int(s, symbol_by_id_p_symbol, id);
    is_there = stmt_next(s);
    json_object_set_new(object, "symbol", json_integer(id));
    json_object_set_new(
        object, "name",
        json_clean_string(is_there ? stmt_text(s, symbol_by_id_c_name) : "[unknown]"));
    json_object_set_new(
        object, "kind",
        json_clean_string(is_there ? stmt_text(s, symbol_by_id_c_kind) : "unnamed"));
    json_object_set_new(object, "binary",
                        !is_there || stmt_is_null(s, symbol_by_id_c_binary)
                            ? json_null()
                            : json_clean_string(stmt_text(s, symbol_by_id_c_binary)));
    const char *language = is_there ? stmt_text(s, symbol_by_id_c_language) : "";
    json_object_set_new(object, "language",
                        language[0] ? json_clean_string(language) : json_null());
    stmt_reset(s);
}

void symbols_describe_code(struct db *db, int64_t id, json_t *object)
{
    struct stmt *s = db_stmt(db, &sql_symbol_by_id);

    symbols_describe(db, id, object);
    stmt_bind_int(s, symbol_by_id_p_symbol, id);
    const char *version = stmt_next(s) ? stmt_text(s, symbol_by_id_c_version) : "";
    if (*version) {
        json_object_set_new(object, "name",
                            json_sprintf("%s [%s]", json_text_at(object, "name", ""), version));
    }
    stmt_reset(s);
}

bool symbols_is_inlined(struct db *db, int64_t id)
{
    struct stmt *s = db_stmt(db, &sql_symbol_by_id);

    stmt_bind_int(s, symbol_by_id_p_symbol, id);
    bool is_inlined = stmt_next(s) && stmt_int(s, symbol_by_id_c_is_inlined);
    stmt_reset(s);
    return is_inlined;
}

json_t *symbols_name(struct db *db, int64_t id)
{
    struct stmt *s = db_stmt(db, &sql_symbol_by_id);

    stmt_bind_int(s, symbol_by_id_p_symbol, id);
    json_t *name =
        json_clean_string(stmt_next(s) ? stmt_text(s, symbol_by_id_c_name) : "[unknown]");
    stmt_reset(s);
    return name;
}
