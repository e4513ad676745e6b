/* symbolize.c - see symbolize.h. */
#include "ingest/symbolize.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/debug_files.h"
#include "ingest/debuginfod.h"
#include "ingest/ingest.h"
#include "ingest/late_names.h"
#include "ingest/naming.h"
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
        uint64_t rel_address = (uint64_t)stmt_int(st, read_frames_c_rel_address);
        uint32_t id = intern_frame(&s->intern, (uint32_t)binary, rel_address, (uint32_t)symbol);
        *map_put(&s->binaries.items[binary - 1].frames, rel_address) = id;
    }
    stmt_reset(st);
    s->intern.frames_written = s->intern.n_frames;
}

/* The mapped file, if it is still the one that was recorded: build ids say so; a file without one
 * is believed when it is older than the run. */
static int open_mapped(const struct symbolize *s, const struct binary *bin, struct names **names)
{
    struct stat st;
    int fd = debug_files_open(bin->path);
    if (fd < 0 || names_open_elf(names, fd, NULL) != 0) {
        fd_close(&fd);
        return -1;
    }
    const char *id = names_build_id(*names);
    bool is_same = bin->build_id && id && strcmp(bin->build_id, id) == 0;
    if (!bin->build_id && !id && fstat(fd, &st) == 0) {
        is_same = (int64_t)st.st_mtim.tv_sec < s->start_wall_ns / 1000000000;
    }
    if (!is_same) {
        names_close(*names);
        *names = NULL;
        fd_close(&fd);
    }
    return fd;
}

/* Its debug file alone: symbols, segments and DWARF are all there. */
static int open_debug_only(const struct binary *bin, struct debuginfod *servers,
                           struct names **names, enum names_source *source)
{
    struct debug_found found;
    if (!bin->build_id) {
        return -1;
    }
    debug_files_find(&(struct debug_wanted){.path = bin->path, .build_id = bin->build_id}, &found);
    *source = NAMES_DEBUG_FILE;
    if (found.fd < 0 && servers) {
        found.fd = debuginfod_find(servers, bin->build_id, &found.path);
        *source = NAMES_DEBUGINFOD;
    }
    free(found.path);
    if (found.fd >= 0 && (!debug_files_is_build(found.fd, bin->build_id) ||
                          names_open_elf_debug(names, found.fd, found.fd, *source, NULL) != 0)) {
        fd_close(&found.fd);
    }
    return found.fd;
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
    int fd = open_mapped(s, bin, &names);
    if (fd >= 0) {
        source = names_best_source(names);
    } else {
        fd = open_debug_only(bin, servers, &names, &source);
    }
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

/* Names and what follows from them, or neither. */
static int write_all(struct symbolize *s, struct err *e)
{
    s->stats->n_symbols_named = (int64_t)s->intern.n_renames;
    s->stats->n_frames = (int64_t)s->store.n_moved_frames;
    s->stats->n_lines = (int64_t)s->store.n_lines;
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
    return write_all(s, e);
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
    late_names_init(&s.late_names, &s.binaries, &s.store, true);
    rc = s.late_names.naming ? name_again(&s, path, timeout_ms, e)
                             : err_set(e, STAX_ESYSTEM, "cannot start a thread");
    late_names_fini(&s.late_names);
    store_fini(&s.store);
    binaries_fini(&s.binaries);
    intern_free(&s.intern);
    return rc;
}
