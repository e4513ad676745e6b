/* line_tables.c - see line_tables.h. */
#include "ingest/line_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/file_reader.h"
#include "ingest/line_tables.sql.h"
#include "ingest/names.h"
#include "ingest/run_file.h"

enum {
    BATCH = 16,         /* functions asked for at once; of one binary */
    LOOK_FOR = 256,     /* hot functions in each look */
    LOOK_MS = 1000,     /* between two looks */
    HOT_SHARE = 1000,   /* of this part of all samples */
    MAX_SIZE = 1 << 20, /* bytes of a function; CODE_FUNCTION_MAX */
    WAIT_MS = 50
};

void line_tables_init(struct line_tables *t, struct db *db, struct naming *naming)
{
    *t = (struct line_tables){.db = db, .naming = naming};
}

void line_tables_fini(struct line_tables *t)
{
    map_free(&t->asked);
    strmap_free(&t->files);
}

/* What the run has already: of an earlier look, or of the machine it comes from. */
static void begin(struct line_tables *t)
{
    struct stmt *s = db_stmt(t->db, &sql_line_tables_totals);

    t->is_begun = true;
    if (stmt_next(s)) {
        t->n_rows = stmt_int(s, line_tables_totals_c_n_rows);
        t->last_file = (uint32_t)stmt_int(s, line_tables_totals_c_last_file);
        t->last_call = (uint32_t)stmt_int(s, line_tables_totals_c_last_call);
    }
    stmt_reset(s);
    s = db_stmt(t->db, &sql_line_tables_files);
    while (stmt_next(s)) {
        const char *path = stmt_text(s, line_tables_files_c_path);
        *strmap_put(&t->files, path, strlen(path)) = (uint32_t)stmt_int(s, line_tables_files_c_id);
    }
    stmt_reset(s);
}

/* ---- asking ---- */

struct wanted {
    struct naming_code code;
    uint32_t binary;
};

static struct wanted *read_wanted(struct line_tables *t, int64_t min_self_samples, bool is_again,
                                  int64_t limit, size_t *n)
{
    struct stmt *s = db_stmt(t->db, &sql_line_tables_wanted);
    struct wanted *items = NULL;
    size_t cap = 0;

    *n = 0;
    stmt_bind_int(s, line_tables_wanted_p_min_self_samples, min_self_samples);
    stmt_bind_int(s, line_tables_wanted_p_is_again, is_again);
    stmt_bind_int(s, line_tables_wanted_p_limit, limit);
    while (stmt_next(s)) {
        uint32_t symbol = (uint32_t)stmt_int(s, line_tables_wanted_c_symbol);
        int64_t size = stmt_int(s, line_tables_wanted_c_size);
        if (size <= 0 || map_get(&t->asked, symbol)) {
            continue;
        }
        mem_reserve(&items, &cap, *n + 1, sizeof(*items));
        items[(*n)++] = (struct wanted){
            {symbol, (uint64_t)stmt_int(s, line_tables_wanted_c_rel_address),
             (uint64_t)(size < MAX_SIZE ? size : MAX_SIZE)},
            (uint32_t)stmt_int(s, line_tables_wanted_c_binary),
        };
    }
    stmt_reset(s);
    return items;
}

/* The first of items with others of its binary; what is asked for loses its binary. */
static bool ask_some(struct line_tables *t, struct wanted *items, size_t n)
{
    struct naming_code codes[BATCH];
    uint32_t binary = items[0].binary;
    size_t n_codes = 0;

    for (size_t i = 0; i < n && i < 16 * BATCH && n_codes < BATCH; i++) {
        if (items[i].binary == binary) {
            codes[n_codes++] = items[i].code;
        }
    }
    if (!naming_ask_tables(t->naming, binary, codes, n_codes)) {
        return false;
    }
    for (size_t i = 0, k = 0; k < n_codes; i++) {
        if (items[i].binary == binary) {
            *map_put(&t->asked, items[i].code.symbol) = 1;
            items[i].binary = 0;
            k++;
        }
    }
    return true;
}

static bool ask(struct line_tables *t, int64_t min_self_samples, bool is_again, int64_t limit)
{
    size_t n;
    bool is_done = true;

    if (!t->is_begun) {
        begin(t);
    }
    if (t->n_rows >= LINE_TABLES_MAX_ROWS) {
        return true;
    }
    struct wanted *items = read_wanted(t, min_self_samples, is_again, limit, &n);
    for (size_t i = 0; i < n && is_done; i++) {
        is_done = !items[i].binary || ask_some(t, items + i, n - i);
    }
    free(items);
    return is_done;
}

bool line_tables_ask(struct line_tables *t, int64_t min_self_samples, bool is_again)
{
    return ask(t, min_self_samples, is_again, -1);
}

void line_tables_ask_again(struct line_tables *t, uint32_t binary)
{
    struct stmt *s = db_stmt(t->db, &sql_line_tables_forget_nameless);

    stmt_bind_int(s, line_tables_forget_nameless_p_binary, binary);
    stmt_run(s);
    s = db_stmt(t->db, &sql_line_tables_forget_nameless_calls);
    stmt_bind_int(s, line_tables_forget_nameless_calls_p_binary, binary);
    stmt_run(s);
    map_free(&t->asked);
}

void line_tables_step(struct line_tables *t, int64_t n_samples)
{
    int64_t now = clock_monotonic_ns();

    if (now >= t->next_ns) {
        ask(t, n_samples / HOT_SHARE + 1, false, LOOK_FOR);
        t->next_ns = now + (int64_t)LOOK_MS * 1000000;
    }
}

/* ---- writing ---- */

static void bind_id(struct stmt *s, int parameter, uint32_t id)
{
    if (id) {
        stmt_bind_int(s, parameter, id);
    } else {
        stmt_bind_null(s, parameter);
    }
}

uint32_t line_tables_file(struct line_tables *t, const char *path)
{
    struct buf clean = {0};

    if (!t->is_begun) {
        begin(t);
    }

    if (!*path) {
        return 0;
    }
    text_clean(&clean, path, strlen(path));
    uint32_t *id = strmap_put(&t->files, buf_str(&clean), clean.len);
    if (t->named) {
        *strmap_put(t->named, buf_str(&clean), clean.len) = 1;
    }
    if (!*id) {
        struct stmt *s = db_stmt(t->db, &sql_line_tables_put_file);
        *id = ++t->last_file;
        stmt_bind_int(s, line_tables_put_file_p_id, *id);
        stmt_bind_text(s, line_tables_put_file_p_path, buf_str(&clean));
        stmt_run(s);
    }
    buf_free(&clean);
    return *id;
}

static const char *text_at(const struct lines_table *table, uint32_t at)
{
    return at ? table->text.data + at : "";
}

/* Ids of calls begin after base. */
static void put_calls(struct line_tables *t, uint32_t symbol, const struct lines_table *table,
                      uint32_t base)
{
    for (size_t i = 0; i < table->n_calls; i++) {
        const struct lines_inlined *call = &table->calls[i];
        struct buf name = {0};
        uint32_t file = line_tables_file(t, text_at(table, call->file));
        struct stmt *s = db_stmt(t->db, &sql_line_tables_put_call);

        const char *function = text_at(table, call->function);
        names_demangle(&name, function, names_language(function));
        stmt_bind_int(s, line_tables_put_call_p_id, base + (int64_t)i + 1);
        stmt_bind_int(s, line_tables_put_call_p_symbol, symbol);
        stmt_bind_int(s, line_tables_put_call_p_parent, call->parent ? base + call->parent : 0);
        stmt_bind_text(s, line_tables_put_call_p_function, buf_str(&name));
        bind_id(s, line_tables_put_call_p_file, file);
        bind_id(s, line_tables_put_call_p_line, call->line);
        stmt_run(s);
        buf_free(&name);
    }
    t->last_call += (uint32_t)table->n_calls;
}

static void put_span(struct line_tables *t, uint32_t symbol, const struct line_tables_span *span,
                     uint32_t call)
{
    struct stmt *s = db_stmt(t->db, &sql_line_tables_put);

    stmt_bind_int(s, line_tables_put_p_symbol, symbol);
    stmt_bind_int(s, line_tables_put_p_rel_address, (int64_t)span->rel_address);
    bind_id(s, line_tables_put_p_file, span->file);
    bind_id(s, line_tables_put_p_line, span->line);
    stmt_bind_int(s, line_tables_put_p_call, call);
    stmt_run(s);
    t->n_rows++;
}

static void put_spans(struct line_tables *t, uint32_t symbol, const struct lines_table *table,
                      uint32_t base)
{
    for (size_t i = 0; i < table->n_spans; i++) {
        const struct lines_span *span = &table->spans[i];
        struct line_tables_span own = {span->address,
                                       line_tables_file(t, text_at(table, span->file)), span->line};
        put_span(t, symbol, &own, span->call ? base + span->call : 0);
    }
}

void line_tables_put(struct line_tables *t, uint32_t symbol, const struct line_tables_span *spans,
                     size_t n)
{
    if (!t->is_begun) {
        begin(t);
    }
    if (t->n_rows + (int64_t)n > LINE_TABLES_MAX_ROWS) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        put_span(t, symbol, &spans[i], 0);
    }
}

static bool has_table(struct line_tables *t, uint32_t symbol)
{
    struct stmt *s = db_stmt(t->db, &sql_line_tables_has);

    stmt_bind_int(s, line_tables_has_p_symbol, symbol);
    bool has = stmt_next(s);
    stmt_reset(s);
    return has;
}

static void put_table(struct line_tables *t, const struct naming_table *found)
{
    static const struct lines_table none;
    const struct lines_table *table = found->is_known ? &found->table : &none;
    struct lines_span nothing = {.address = found->code.address};
    struct lines_table unknown = {.spans = &nothing, .n_spans = 1};
    uint32_t base = t->last_call;

    if (t->n_rows + (int64_t)table->n_spans > LINE_TABLES_MAX_ROWS ||
        (!found->is_known && has_table(t, found->code.symbol))) { /* better than none */
        return;
    }
    struct stmt *s = db_stmt(t->db, &sql_line_tables_forget_calls);
    stmt_bind_int(s, line_tables_forget_calls_p_symbol, found->code.symbol);
    stmt_run(s);
    s = db_stmt(t->db, &sql_line_tables_forget);
    stmt_bind_int(s, line_tables_forget_p_symbol, found->code.symbol);
    stmt_run(s);
    put_calls(t, found->code.symbol, table, base);
    put_spans(t, found->code.symbol, found->is_known ? table : &unknown, base);
}

size_t line_tables_take(struct line_tables *t, const struct naming_result *r, size_t *next,
                        size_t max)
{
    size_t n = 0;

    if (*next >= r->n_tables) {
        return 0;
    }
    db_begin(t->db);
    for (; *next < r->n_tables && n < max; ++*next) {
        put_table(t, &r->tables[*next]);
        n += 1 + r->tables[*next].table.n_spans + r->tables[*next].table.n_calls;
    }
    db_commit(t->db);
    return n;
}

/* ---- all of them ---- */

static void take_all(struct line_tables *t)
{
    struct naming_result *r;

    while ((r = naming_take(t->naming)) != NULL) {
        size_t next = 0;
        line_tables_take(t, r, &next, SIZE_MAX);
        naming_free_result(r);
    }
}

bool line_tables_finish(struct line_tables *t, const struct line_tables_bound *bound, bool is_again)
{
    bool is_asked = false, is_idle = false;

    while (!(is_asked && is_idle) && db_status(t->db, NULL) == 0) {
        int64_t left_ms = (bound->until_ns - clock_monotonic_ns()) / 1000000;
        if (left_ms <= 0 || (bound->goes_on && !bound->goes_on(bound->ctx))) {
            break;
        }
        is_asked = is_asked || line_tables_ask(t, 0, is_again);
        is_idle = naming_wait_tables(t->naming, left_ms < WAIT_MS ? (int)left_ms : WAIT_MS);
        take_all(t);
    }
    return is_asked && is_idle;
}

/* False: some file does not answer, or it was given up. */
static bool add_files(struct db *db, struct naming *naming, const struct line_tables_bound *bound)
{
    struct stmt *s = db_stmt(db, &sql_line_tables_binaries);
    struct aside *aside = aside_new("stax-files");
    bool is_complete = true;

    while (stmt_next(s)) {
        if (bound->goes_on && !bound->goes_on(bound->ctx)) {
            is_complete = false;
            break;
        }
        const char *path = stmt_text(s, line_tables_binaries_c_path);
        const char *build_id = stmt_text(s, line_tables_binaries_c_build_id);
        const struct run_file file = {
            .path = path,
            .build_id = build_id[0] ? build_id : NULL,
            .start_wall_ns = stmt_int(s, line_tables_binaries_c_start_wall_ns),
            .aside = aside,
        };
        struct names *names = NULL;
        enum names_source source;
        char *note = NULL;
        int fd = path[0] == '/' ? run_file_open(&file, &names, &source, &note) : -1;
        is_complete &= !note || strcmp(note, file_reader_hangs) != 0;
        free(note);
        if (fd >= 0) {
            naming_add_file(naming, (uint32_t)stmt_int(s, line_tables_binaries_c_binary), fd, names,
                            path, "");
            names_close(names);
        }
    }
    stmt_reset(s);
    aside_free(aside);
    return is_complete;
}

int line_tables_fill(struct db *db, const struct line_tables_bound *bound, bool *is_complete,
                     struct err *e)
{
    struct naming *naming = naming_new(NULL);
    struct line_tables t;

    *is_complete = false;
    if (!naming) {
        return err_set(e, STAX_ESYSTEM, "cannot start a thread");
    }
    line_tables_init(&t, db, naming);
    *is_complete = add_files(db, naming, bound);
    *is_complete &= line_tables_finish(&t, bound, false);
    line_tables_fini(&t);
    naming_free(naming);
    return db_status(db, e);
}
