/* symbolize.c - see symbolize.h. */
#include "ingest/symbolize.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/debuginfod.h"
#include "ingest/ingest.h"
#include "ingest/late_names.h"
#include "ingest/line_tables.h"
#include "ingest/naming.h"
#include "ingest/run_file.h"
#include "ingest/store.sql.h"
#include "ingest/store_internal.h"
#include "schema/db.h"

struct symbolize {
    struct store store;
    struct intern intern;
    struct binaries binaries;
    struct late_names late_names;
    struct symbolize_stats *stats;
    int64_t start_wall_ns;
    bool is_corrupt;
};

static int read_run(struct symbolize *s, const char *path, struct err *e)
{
    struct stmt *st = db_stmt(s->store.db, &sql_read_run);
    bool is_recording = false;
    if (stmt_next(st)) {
        is_recording = stmt_text(st, read_run_c_state)[0] == 'r';
        s->start_wall_ns = stmt_int(st, read_run_c_start_wall_ns);
    }
    stmt_reset(st);
    return is_recording ? err_set(e, STAX_EUSAGE, "%s is being recorded", path) : 0;
}

/* Rows have dense ids from 1 in every file of ours. */
static bool is_next(struct symbolize *s, int64_t id, size_t n)
{
    s->is_corrupt |= id != (int64_t)n + 1 || id >= UINT32_MAX / 2;
    return !s->is_corrupt;
}

static void read_binaries(struct symbolize *s)
{
    struct stmt *st = db_stmt(s->store.db, &sql_read_binaries);
    while (stmt_next(st) && is_next(s, stmt_int(st, read_binaries_c_id), s->binaries.n_items)) {
        binaries_adopt(&s->binaries, stmt_text(st, read_binaries_c_path),
                       stmt_text(st, read_binaries_c_kind), stmt_text(st, read_binaries_c_build_id),
                       stmt_text(st, read_binaries_c_names_from),
                       stmt_int(st, read_binaries_c_has_addresses) != 0);
    }
    stmt_reset(st);
}

static void read_symbols(struct symbolize *s)
{
    struct stmt *st = db_stmt(s->store.db, &sql_read_named_symbols);
    while (stmt_next(st) &&
           is_next(s, stmt_int(st, read_named_symbols_c_id), s->intern.n_symbols)) {
        const char *kind = stmt_text(st, read_named_symbols_c_kind);
        struct buf name = {0};
        buf_addstr(&name, stmt_text(st, read_named_symbols_c_name));
        int64_t binary = stmt_int(st, read_named_symbols_c_binary);
        struct symbol_text text = {.name = (char *)(uintptr_t)buf_str(&name)};
        for (unsigned k = SYMBOL_FUNCTION; k <= SYMBOL_MARKER; k++) {
            text.kind = strcmp(kind, symbol_kind_text(k)) == 0 ? k : text.kind;
        }
        uint32_t id = intern_symbol(&s->intern, &text);
        s->intern.symbols_written = id; /* its text is not kept */
        if (binary > 0 && binary <= (int64_t)s->binaries.n_items) {
            const char *linkage = stmt_text(st, read_named_symbols_c_linkage_name);
            binaries_adopt_symbol(&s->binaries, (uint32_t)binary, id,
                                  (uint64_t)stmt_int(st, read_named_symbols_c_rel_address),
                                  stmt_int(st, read_named_symbols_c_is_inlined)
                                      ? (linkage[0] ? linkage : buf_str(&name))
                                      : NULL);
        }
        buf_free(&name);
    }
    stmt_reset(st);
}

static void read_frames(struct symbolize *s)
{
    struct stmt *st = db_stmt(s->store.db, &sql_read_frames);
    while (stmt_next(st)) {
        int64_t binary = stmt_int(st, read_frames_c_binary);
        int64_t symbol = stmt_int(st, read_frames_c_symbol);
        if (binary <= 0 || binary > (int64_t)s->binaries.n_items || symbol <= 0 ||
            symbol > (int64_t)s->intern.n_symbols) {
            s->is_corrupt = true;
            break;
        }
        intern_frame(&s->intern, (uint32_t)binary,
                     (uint64_t)stmt_int(st, read_frames_c_rel_address), (uint32_t)symbol);
        s->binaries.items[binary - 1].n_unnamed++; /* frames, here */
    }
    stmt_reset(st);
    s->intern.frames_written = s->intern.n_frames;
}

static void look_for(struct symbolize *s, uint32_t id, struct debuginfod *servers)
{
    struct binary *bin = &s->binaries.items[id - 1];
    struct names *names = NULL;
    bool is_file = bin->path[0] == '/' && bin->has_addresses && bin->n_unnamed > 0;
    bin->n_unnamed = 0;
    if (!is_file || strcmp(bin->kind, "jit") == 0) {
        return;
    }
    s->stats->n_binaries++;
    enum names_source source = NAMES_NONE;
    const struct run_file file = {bin->path, bin->build_id, s->start_wall_ns};
    int fd = run_file_open(&file, servers, &names, &source);
    if (fd < 0) {
        s->stats->n_missing++;
        return;
    }
    naming_add_file(s->binaries.naming, id, fd, names, bin->path, "");
    bin->is_asked = true;
    if (source >= names_source_of(bin->names_from)) {
        binaries_rename(&s->binaries, id, names, source);
    } else {
        names_close(names);
    }
}

static void look_for_all(struct symbolize *s)
{
    static const atomic_bool is_stopping;
    struct debuginfod *servers = debuginfod_has_urls() ? debuginfod_open(&is_stopping) : NULL;
    for (size_t i = 0; i < s->binaries.n_items; i++) {
        look_for(s, (uint32_t)i + 1, servers);
    }
    debuginfod_close(servers);
}

static int write_all(struct symbolize *s, struct err *e)
{
    s->stats->n_symbols_named = (int64_t)s->intern.n_renames;
    s->stats->n_frames = (int64_t)s->store.n_moved_frames;
    s->stats->n_lines = (int64_t)s->store.n_lines;
    db_begin(s->store.db);
    store_names(&s->store, &s->intern, &s->binaries);
    db_commit(s->store.db);
    int rc = db_status(s->store.db, e);
    if (rc) {
        db_clear_error(s->store.db);
        db_rollback(s->store.db);
    }
    return rc;
}

static int name_again(struct symbolize *s, const char *path, int timeout_ms, struct err *e)
{
    int rc = read_run(s, path, e);
    if (rc) {
        return rc;
    }
    read_binaries(s);
    read_symbols(s);
    read_frames(s);
    rc = db_status(s->store.db, e);
    if (rc == 0 && s->is_corrupt) {
        rc = err_set(e, STAX_ECORRUPT, "%s: rows name others that are not there", path);
    }
    if (rc) {
        return rc;
    }
    s->binaries.n_written = s->binaries.n_items;
    look_for_all(s);
    late_names_finish(&s->late_names, timeout_ms, true);
    s->stats->is_complete = naming_wait(s->binaries.naming, 0, true);
    rc = write_all(s, e);
    if (rc == 0) {
        line_tables_finish(&s->late_names.tables, timeout_ms, true);
        rc = db_status(s->store.db, e);
    }
    return rc;
}

int ingest_symbolize(const char *path, int timeout_ms, struct symbolize_stats *stats, struct err *e)
{
    struct symbolize s = {.stats = stats};
    *stats = (struct symbolize_stats){0};
    int rc = db_open(&s.store.db, path, DB_WRITE, e);
    if (rc) {
        return rc;
    }
    binaries_init(&s.binaries, &s.intern, "", true);
    late_names_init(&s.late_names, &s.binaries, &s.store);
    rc = s.late_names.naming ? name_again(&s, path, timeout_ms, e)
                             : err_set(e, STAX_ESYSTEM, "cannot start a thread");
    late_names_fini(&s.late_names);
    store_fini(&s.store);
    binaries_fini(&s.binaries);
    intern_free(&s.intern);
    return rc ? rc : ingest_rebuild_names(path, e);
}
