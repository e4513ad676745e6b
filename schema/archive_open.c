/* archive_open.c - opening a file that somebody else made; see archive.h. */
#include "schema/archive_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "schema/archive.sql.h"
#include "schema/connection.sql.h"
#include "schema/db_internal.h"
#include "schema/shape.h"
#include "schema/sums.h"

enum {
    /* Up to here every page is checked at once (some 50 ms). In larger files a damaged page is
     * found when it is read: SQLite bounds every access to it and the view fails. */
    QUICK_CHECK_BYTES = 8 << 20,
    COPY_BYTES = 1 << 20
};
static const int64_t open_timeout_ns = 20LL * 1000 * 1000 * 1000;

static bool is_non_empty_beside(const char *path, const char *suffix)
{
    struct buf beside = {0};
    struct stat st;
    buf_addf(&beside, "%s%s", path, suffix);
    bool is_there = stat(buf_str(&beside), &st) == 0 && st.st_size > 0;
    buf_free(&beside);
    return is_there;
}

/* A file is read alone: what a log beside it holds would be missing. */
static int check_alone(const char *path, struct err *e)
{
    if (is_non_empty_beside(path, "-wal")) {
        err_set(e, STAX_EBUSY, "%s is a run file in use, not an archive", path);
        err_hint(e, "ask for it with --run ID, or make an archive of it with stax save FILE.stax");
        return STAX_EBUSY;
    }
    if (is_non_empty_beside(path, "-journal")) {
        return err_set(e, STAX_ECORRUPT,
                       "%s was not written to its end: its -journal is still there", path);
    }
    return 0;
}

/* file is where db reads from: db_path() of a migrated copy names the original. */
static int check_content(struct db *db, const char *file, bool is_migrated, struct err *e)
{
    struct stmt *run = db_stmt(db, &sql_archive_hold);
    int64_t n_runs = stmt_next(run) ? stmt_int(run, archive_hold_c_n) : -1;
    stmt_reset(run);
    if (n_runs != 1 && db_status(db, NULL) == 0) {
        return err_set(e, STAX_ECORRUPT, "%s is damaged: it holds no run", db_path(db));
    }
    bool is_small = db_file_bytes(file) <= QUICK_CHECK_BYTES;
    if (is_small) {
        struct stmt *check = db_stmt(db, &sql_archive_quick_check);
        if (stmt_next(check) && strcmp(stmt_text(check, 0), "ok") != 0) {
            err_set(e, STAX_ECORRUPT, "%s is damaged: %.200s", db_path(db), stmt_text(check, 0));
            err_hint(e, "ask for a new copy of the file");
            return STAX_ECORRUPT;
        }
        stmt_reset(check);
    }
    int rc = db_status(db, e);
    return rc ? rc : sums_check(db, is_small, !is_migrated, e);
}

static int copy_file(const char *path, int to, struct err *e)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    char *block = mem_new(1, COPY_BYTES);
    int rc = from < 0 ? -errno : 0;
    ssize_t n = 0;
    while (rc == 0 && (n = read(from, block, COPY_BYTES)) != 0) {
        rc = n < 0 ? -errno : fd_write_all(to, block, (size_t)n);
    }
    free(block);
    fd_close(&from);
    return rc < 0 ? err_set_errno(e, -rc, "cannot copy %s to migrate it", path) : 0;
}

/* A private copy in *copy (unlinked by the caller), so that the original stays as it is. */
static int make_copy(const char *path, struct buf *copy, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    buf_addf(copy, "%s/stax-migrate-XXXXXX", folder && folder[0] == '/' ? folder : "/tmp");
    int fd = mkostemp(copy->data, O_CLOEXEC);
    if (fd < 0) {
        int rc = err_set_errno(e, errno, "cannot create %s to migrate %s", buf_str(copy), path);
        buf_free(copy);
        return rc;
    }
    int rc = copy_file(path, fd, e);
    close(fd);
    return rc;
}

static void remove_copy(struct buf *copy)
{
    if (copy->len) {
        unlink(buf_str(copy));
        buf_addstr(copy, "-journal");
        unlink(buf_str(copy));
    }
    buf_free(copy);
}

static int64_t version_of(struct db *db)
{
    struct stmt *s = db_stmt(db, &sql_pragma_user_version);
    int64_t version = stmt_next(s) ? stmt_int(s, pragma_user_version_c_user_version) : -1;
    stmt_reset(s);
    return version;
}

/* Opens the migrated copy under the name of the original. */
static int open_copy(struct db **db, const char *copy, const char *path, struct err *e)
{
    int rc = db_open(db, copy, DB_ARCHIVE, e);
    if (rc < 0) {
        return rc;
    }
    free((*db)->path);
    (*db)->path = mem_strdup(path);
    if (version_of(*db) != SCHEMA_VERSION) {
        err_set(e, STAX_EVERSION, "%s has a format that this stax cannot read any more", path);
        err_hint(e, "open it with the version of stax that saved it");
        return STAX_EVERSION;
    }
    return 0;
}

/* copy: becomes the path of the migrated copy, which the caller removes. */
static int open_migrated(struct db **db, const char *path, const struct migration_step *steps,
                         struct buf *copy, struct err *e)
{
    int rc = shape_check_harmless(*db, e);
    db_close(*db);
    *db = NULL;
    rc = rc ? rc : make_copy(path, copy, e);
    rc = rc ? rc : migrate(buf_str(copy), path, steps, e);
    rc = rc ? rc : open_copy(db, buf_str(copy), path, e);
    rc = rc ? rc : shape_check(*db, e);
    rc = rc ? rc : check_content(*db, buf_str(copy), true, e);
    return rc;
}

static int open_real(struct db **out, const char *path, const struct migration_step *steps,
                     bool *is_migrated, struct buf *copy, struct err *e)
{
    struct db *db = NULL;
    int rc = check_alone(path, e);
    rc = rc ? rc : db_open(&db, path, DB_ARCHIVE, e);
    if (rc < 0) {
        return rc;
    }
    db_set_deadline(db, clock_monotonic_ns() + open_timeout_ns);
    bool is_older = version_of(db) < SCHEMA_VERSION;
    if (is_older) {
        rc = open_migrated(&db, path, steps, copy, e);
    } else {
        rc = shape_check(db, e);
        rc = rc ? rc : check_content(db, path, false, e);
    }
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    db_set_deadline(db, 0);
    if (is_migrated) {
        *is_migrated = is_older;
    }
    *out = db;
    return 0;
}

int archive_open_with(struct db **out, const char *path, const struct migration_step *steps,
                      bool *is_migrated, struct err *e)
{
    struct err own = {0};
    struct buf copy = {0};
    e = e ? e : &own;
    *out = NULL;
    /* The log of a run in use is beside the file itself, not beside a link to it. */
    char *real = realpath(path, NULL);
    int rc = real ? open_real(out, real, steps, is_migrated, &copy, e)
                  : err_set_errno(e, errno, "cannot open %s", path);
    free(real);
    remove_copy(&copy); /* the open connection keeps it */
    return rc;
}

int archive_open(struct db **out, const char *path, bool *is_migrated, struct err *e)
{
    return archive_open_with(out, path, migrate_steps(), is_migrated, e);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* What was checked is what is attached, unless the file was exchanged in between. */
static int attach_archive(struct db *db, const char *name, const char *path, struct err *e)
{
    struct db *checked = NULL;
    struct buf copy = {0};
    struct stat before, after;
    int rc = stat(path, &before) == 0 ? 0 : err_set_errno(e, errno, "cannot open %s", path);

    rc = rc ? rc : open_real(&checked, path, migrate_steps(), NULL, &copy, e);
    if (rc == 0) {
        db_attach(db, name, copy.len ? buf_str(&copy) : path, true);
        rc = db_status(db, e);
    }
    if (rc == 0 && (stat(path, &after) != 0 || !is_same_file(&before, &after))) {
        rc = err_set(e, STAX_EBUSY, "%s was changed while it was opened", path);
    }
    db_close(checked);
    remove_copy(&copy);
    return rc;
}

int archive_attach(struct db *db, const char *name, const char *path, bool is_archive,
                   struct err *e)
{
    struct err own = {0};
    struct db *checked = NULL;
    e = e ? e : &own;
    char *real = realpath(path, NULL);
    int rc = real ? 0 : err_set_errno(e, errno, "cannot open %s", path);

    if (rc == 0 && is_archive) {
        rc = attach_archive(db, name, real, e);
    } else if (rc == 0) {
        rc = db_open(&checked, real, DB_READ, e);
        if (rc == 0) {
            db_attach(db, name, real, false);
            rc = db_status(db, e);
        }
        db_close(checked);
    }
    free(real);
    return rc;
}
