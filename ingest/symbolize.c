/* symbolize.c - see symbolize.h. */
#include "ingest/symbolize.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/debuginfod.h"
#include "ingest/file_reader.h"
#include "ingest/ingest.h"
#include "ingest/late_names.h"
#include "ingest/line_tables.h"
#include "ingest/naming.h"
#include "ingest/run_file.h"
#include "ingest/store.sql.h"
#include "ingest/store_internal.h"
#include "schema/code.h"
#include "schema/db.h"
#include "schema/source.h"

enum { WAIT_STEP_MS = 200 };

struct symbolize {
    const struct symbolize_options *options;
    int64_t until_ns; /* CLOCK_MONOTONIC */
    int64_t servers_until_ns;
    struct strmap files; /* source files of lines found now */
    struct aside *aside; /* opens files */
    struct store store;
    struct intern intern;
    struct binaries binaries;
    struct late_names late_names;
    struct symbolize_stats *stats;
    int64_t start_wall_ns;
    bool is_corrupt;
    bool is_late; /* something was not looked at: time was over, or it does not answer */
};

static bool is_cancelled(const struct symbolize *s)
{
    return s->options->goes_on && !s->options->goes_on(s->options->ctx);
}

static bool is_time_over(const struct symbolize *s)
{
    return clock_monotonic_ns() > s->until_ns;
}

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
        binaries_adopt(
            &s->binaries, stmt_text(st, read_binaries_c_path), stmt_text(st, read_binaries_c_kind),
            stmt_text(st, read_binaries_c_build_id), stmt_text(st, read_binaries_c_names_from),
            stmt_text(st, read_binaries_c_note), stmt_int(st, read_binaries_c_has_addresses) != 0);
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
        int64_t whole = stmt_int(st, read_named_symbols_c_whole);
        s->is_corrupt |= whole < 0 || whole >= UINT32_MAX / 2;
        struct symbol_text text = {
            .name = (char *)(uintptr_t)buf_str(&name),
            .language = names_language_of_word(stmt_text(st, read_named_symbols_c_language)),
            .whole = s->is_corrupt ? 0 : (uint32_t)whole,
        };
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
        uint64_t rel_address = (uint64_t)stmt_int(st, read_frames_c_rel_address);
        uint32_t id = intern_frame(&s->intern, (uint32_t)binary, rel_address, (uint32_t)symbol);
        *map_put(&s->binaries.items[binary - 1].frames, rel_address) = id;
    }
    stmt_reset(st);
    s->intern.frames_written = s->intern.n_frames;
}

static void look_for(struct symbolize *s, uint32_t id, struct debuginfod *servers)
{
    struct binary *bin = &s->binaries.items[id - 1];
    struct names *names = NULL;
    bool is_file = bin->path[0] == '/' && bin->has_addresses && bin->frames.n_used > 0;
    if (!is_file || strcmp(bin->kind, "jit") == 0) {
        return;
    }
    s->stats->n_binaries++;
    enum names_source source = NAMES_NONE;
    const struct run_file file = {.path = bin->path,
                                  .build_id = bin->build_id,
                                  .start_wall_ns = s->start_wall_ns,
                                  .aside = s->aside,
                                  .debuginfod = servers,
                                  .servers = s->options->servers};
    char *refused;
    int fd = run_file_open(&file, &names, &source, &refused);
    if (refused) {
        s->is_late |= strcmp(refused, file_reader_hangs) == 0;
        binaries_set_note(bin, refused);
    }
    if (fd < 0) {
        if (servers && bin->build_id) {
            binaries_set_server_note(bin, debuginfod_note(debuginfod_outcome(servers)));
        }
        s->stats->n_missing++;
        return;
    }
    naming_add_file(s->binaries.naming, id, fd, names, bin->path, "");
    bin->is_asked = true;
    if (source >= names_source_of(bin->names_from)) {
        const char *note = bin->note;
        binaries_rename(&s->binaries, id, names, source);
        bin->note = source > NAMES_DYNSYM ? NULL : note; /* why is as true as before */
    } else {
        names_close(names);
    }
}

static bool goes_on(void *ctx)
{
    return !is_cancelled(ctx);
}

static void look_for_all(struct symbolize *s)
{
    struct debuginfod *servers = NULL;
    if (s->options->servers && debuginfod_has_urls()) {
        servers = debuginfod_open(s->options->servers, goes_on, s);
    }
    if (servers) {
        debuginfod_set_deadline(servers, s->servers_until_ns);
    }
    s->aside = aside_new("stax-files");
    for (size_t i = 0; i < s->binaries.n_items && !is_cancelled(s); i++) {
        bool is_late = is_time_over(s);
        s->is_late |= is_late;
        look_for(s, (uint32_t)i + 1, is_late ? NULL : servers);
        s->is_late |= servers && strcmp(debuginfod_outcome(servers), debuginfod_no_answer) == 0;
    }
    aside_free(s->aside);
    debuginfod_close(servers);
}

/* Lines, and what servers answer for the files that are here. */
static void wait_for_rest(struct symbolize *s)
{
    bool is_idle = false;
    while (!is_idle && !is_cancelled(s)) {
        late_names_finish(&s->late_names, WAIT_STEP_MS, true);
        is_idle = !s->late_names.is_cut_off;
        bool only_servers = naming_wait(s->late_names.naming, 0, false);
        if (!is_idle && clock_monotonic_ns() > (only_servers ? s->servers_until_ns : s->until_ns)) {
            s->is_late = true;
            break;
        }
    }
}

static void note_files(struct symbolize *s)
{
    for (size_t i = 0; i < s->store.n_lines && s->options->with_code; i++) {
        const char *file = s->store.lines[i].file;
        if (file) {
            *strmap_put(&s->files, file, strlen(file)) = 1;
        }
    }
}

/* Names and what follows from them, or neither. */
static int write_all(struct symbolize *s, struct err *e)
{
    s->stats->n_symbols_named = (int64_t)s->intern.n_renames;
    s->stats->n_frames = (int64_t)s->store.n_moved_frames;
    s->stats->n_lines = (int64_t)s->store.n_lines;
    note_files(s);
    db_begin(s->store.db);
    store_names(&s->store, &s->intern, &s->binaries);
    if (s->stats->is_complete) {
        stmt_run(db_stmt(s->store.db, &sql_drop_lack_of_names));
    }
    int rc = ingest_rebuild_names(s->store.db, e);
    if (rc == 0) {
        db_commit(s->store.db);
        rc = db_status(s->store.db, e);
    }
    if (rc) {
        db_clear_error(s->store.db);
        db_rollback(s->store.db);
    }
    db_checkpoint(s->store.db, true);
    return rc;
}

/* Names are written and stay, whatever comes of the line tables. */
static int add_tables(struct symbolize *s, struct err *e)
{
    const struct line_tables_bound bound = {s->until_ns, goes_on, s};
    s->late_names.tables.named = s->options->with_code ? &s->files : NULL;
    s->stats->is_complete &= line_tables_finish(&s->late_names.tables, &bound, true);
    return db_status(s->store.db, e);
}

static int name_again(struct symbolize *s, const char *path, struct err *e)
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
    wait_for_rest(s);
    if (is_cancelled(s)) {
        return err_set(e, STAX_ECANCELLED, "the search for names was given up");
    }
    s->stats->is_complete = !s->is_late;
    rc = write_all(s, e);
    return rc ? rc : add_tables(s, e);
}

static bool is_new_file(void *ctx, const char *file)
{
    return strmap_get(ctx, file, strlen(file)) != 0;
}

/* The paths of an archive's own lines are foreign: only files that debug information found here
 * names are read. */
static int add_code(struct symbolize *s, const char *path, struct err *e)
{
    struct db *db;
    struct code_fill fill = {.without_dumps = true};
    int64_t n_functions, n_bytes;
    int rc = db_open(&db, path, DB_WRITE, e);
    if (rc) {
        return rc;
    }
    code_totals(db, &n_functions, &n_bytes);
    rc = code_fill(db, NULL, NULL, CODE_RUN_MAX, &fill, e);
    s->stats->n_code = fill.n_functions - n_functions;
    rc = rc ? rc : source_fill_from(db, is_new_file, &s->files, e);
    db_close(db);
    return rc;
}

int ingest_symbolize(const char *path, const struct symbolize_options *options,
                     struct symbolize_stats *stats, struct err *e)
{
    struct symbolize s = {.stats = stats, .options = options};
    int64_t now = clock_monotonic_ns();
    s.until_ns = now + (int64_t)options->timeout_ms * 1000000;
    s.servers_until_ns =
        options->servers_ms ? now + (int64_t)options->servers_ms * 1000000 : s.until_ns;
    *stats = (struct symbolize_stats){0};
    int rc = db_open(&s.store.db, path, DB_WRITE, e);
    if (rc) {
        return rc;
    }
    binaries_init(&s.binaries, &s.intern, "", true);
    late_names_init(&s.late_names, &s.binaries, &s.store, true, options->servers);
    rc = s.late_names.naming ? name_again(&s, path, e)
                             : err_set(e, STAX_ESYSTEM, "cannot start a thread");
    late_names_fini(&s.late_names);
    store_fini(&s.store);
    binaries_fini(&s.binaries);
    intern_free(&s.intern);
    if (rc == 0 && options->with_code) {
        rc = add_code(&s, path, e);
    }
    strmap_free(&s.files);
    return rc;
}

/* Whether names were still being looked for when the run ended. */
static bool is_cut_off(struct db *db)
{
    struct stmt *st = db_stmt(db, &sql_is_cut_off);
    stmt_bind_text(st, is_cut_off_p_reason, store_names_cut_off);
    bool is = stmt_next(st);
    stmt_reset(st);
    return is;
}

static int fill_tables(struct db *db, const struct symbolize_options *options, bool *is_complete,
                       struct err *e)
{
    const struct line_tables_bound bound = {
        .until_ns = clock_monotonic_ns() + (int64_t)options->timeout_ms * 1000000,
        .goes_on = options->goes_on,
        .ctx = options->ctx,
    };
    int rc = line_tables_fill(db, &bound, is_complete, e);
    db_checkpoint(db, true);
    return rc;
}

int ingest_complete(const char *path, const struct symbolize_options *options, bool *is_complete,
                    struct err *e)
{
    struct symbolize_stats stats = {0};
    struct db *db;
    *is_complete = false;
    int rc = db_open(&db, path, DB_WRITE, e);
    if (rc) {
        return rc;
    }
    bool needs_names = is_cut_off(db);
    if (!needs_names) {
        rc = fill_tables(db, options, is_complete, e);
    }
    db_close(db);
    if (needs_names) {
        rc = ingest_symbolize(path, options, &stats, e);
        *is_complete = rc == 0 && stats.is_complete;
    }
    return rc;
}
