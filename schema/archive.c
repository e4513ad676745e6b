/* archive.c - saving a run as a file that travels; see archive.h. */
#include "schema/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "schema/archive.sql.h"
#include "schema/code.h"
#include "schema/connection.sql.h"
#include "schema/db_internal.h"
#include "schema/source.h"

enum {
    STEP_PAGES = 1000, /* 4 MB between two looks at the caller's wish to cancel */
    BUSY_PAUSE_MS = 5,
    MAX_BUSY = 1000
};

struct save {
    struct archive_contents *contents; /* NULL: as the run has it */
    const char *target;
    struct buf temporary; /* path beside target */
    struct db *source;
    struct db *copy;
    archive_progress *progress;
    void *ctx;
    struct err *e;
};

static char *folder_of(const char *path)
{
    char *copy = mem_strdup(path);
    char *folder = mem_strdup(dirname(copy));
    free(copy);
    return folder;
}

/* Space is checked first, so that a copy that cannot fit costs nothing. */
static int check_target(struct save *s, const char *source)
{
    struct stat from;
    struct stat to;
    if (stat(source, &from) != 0) {
        return err_set_errno(s->e, errno, "cannot open %s", source);
    }
    if (stat(s->target, &to) == 0) {
        if (!S_ISREG(to.st_mode)) {
            return err_set(s->e, STAX_EUSAGE, "cannot save to %s: it is not a regular file",
                           s->target);
        }
        if (to.st_dev == from.st_dev && to.st_ino == from.st_ino) {
            return err_set(s->e, STAX_EUSAGE, "cannot save to %s: it is the run itself", s->target);
        }
    }
    char *folder = folder_of(s->target);
    struct statvfs fs;
    int rc = 0;
    if (statvfs(folder, &fs) != 0) {
        rc = err_set_errno(s->e, errno, "cannot save to %s", s->target);
        err_hint(s->e, "the folder %s must exist and be accessible", folder);
    } else if (fs.f_blocks == 0) { /* such as /proc */
        rc = err_set(s->e, STAX_EPERMISSION, "cannot save to %s: no files can be made there",
                     s->target);
        err_hint(s->e, "save to another folder");
    } else if ((uint64_t)fs.f_bavail * fs.f_frsize < (uint64_t)from.st_size) {
        rc = err_set(s->e, STAX_EFULL,
                     "cannot save to %s: it needs %lld MB, the file system has %lld MB free",
                     s->target, (long long)(from.st_size >> 20) + 1,
                     (long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
        err_hint(s->e, "free space there, or save to another folder");
    }
    free(folder);
    return rc;
}

/* A new file with the permissions that the caller's umask gives, under a name nobody else uses. */
static int make_temporary(struct save *s)
{
    for (int try = 0; try < 100; try++) {
        buf_clear(&s->temporary);
        buf_addf(&s->temporary, "%s.saving-%d-%llx", s->target, (int)getpid(),
                 (unsigned long long)clock_monotonic_ns());
        int fd = open(buf_str(&s->temporary), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    int rc = err_set_errno(s->e, errno, "cannot save to %s", s->target);
    buf_free(&s->temporary); /* nothing to remove */
    return rc;
}

static int copy_failed(struct save *s, int sqlite_rc)
{
    int os_errno = sqlite3_system_errno(s->copy->handle);
    enum stax_err code = db_code(sqlite_rc, os_errno);
    err_set(s->e, code, "cannot save to %s: %s", s->target,
            os_errno == EFBIG    ? "it would pass the server's limit on file sizes (ulimit -f)"
            : code == STAX_EFULL ? "no space left on its file system"
                                 : sqlite3_errstr(sqlite_rc));
    if (code == STAX_EFULL && os_errno != EFBIG) {
        err_hint(s->e, "free space there, or save to another folder");
    }
    return code;
}

static int copy_pages(struct save *s)
{
    sqlite3_backup *backup =
        sqlite3_backup_init(s->copy->handle, "main", s->source->handle, "main");
    if (!backup) {
        return copy_failed(s, sqlite3_errcode(s->copy->handle));
    }
    int rc;
    int n_busy = 0;
    bool is_wanted = true;
    do {
        rc = sqlite3_backup_step(backup, STEP_PAGES);
        int64_t total = sqlite3_backup_pagecount(backup);
        if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
            sqlite3_sleep(BUSY_PAUSE_MS);
            rc = ++n_busy < MAX_BUSY ? SQLITE_OK : rc;
        }
        if (s->progress && (rc == SQLITE_OK || rc == SQLITE_DONE)) {
            is_wanted = s->progress(s->ctx, total - sqlite3_backup_remaining(backup), total);
        }
    } while (rc == SQLITE_OK && is_wanted);
    int finish_rc = sqlite3_backup_finish(backup);
    if (!is_wanted) {
        return err_set(s->e, STAX_ECANCELLED, "saving to %s was cancelled", s->target);
    }
    if (rc != SQLITE_DONE) {
        return copy_failed(s, finish_rc != SQLITE_OK ? finish_rc : rc);
    }
    return 0;
}

static int copy_run(struct save *s, const char *source)
{
    int rc = db_open(&s->source, source, DB_READ, s->e);
    if (rc < 0) {
        return rc;
    }
    /* FACTS: on a live run only a copy from one held snapshot ever ends. */
    db_begin(s->source);
    struct stmt *hold = db_stmt(s->source, &sql_archive_hold);
    stmt_next(hold);
    if ((rc = db_status(s->source, s->e)) < 0) {
        return rc;
    }
    if ((rc = db_open_copy(&s->copy, buf_str(&s->temporary), s->e)) < 0) {
        return rc;
    }
    rc = copy_pages(s);
    db_rollback(s->source);
    return rc;
}

/* The copy becomes a plain file in DELETE mode (FACTS: else it would not open in a read-only
 * folder) that says it is stopped. */
static int finish_copy(struct save *s)
{
    db_exec(s->copy, &sql_pragma_journal_delete);
    db_begin(s->copy);
    stmt_run(db_stmt(s->copy, &sql_archive_finish));
    db_commit(s->copy);
    int rc = db_status(s->copy, s->e);
    if (rc == STAX_EFULL) {
        copy_failed(s, SQLITE_FULL);
    }
    db_close(s->copy);
    s->copy = NULL;
    return rc;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    fd_close(&fd);
    return rc;
}

static int put_in_place(struct save *s, int64_t *bytes)
{
    const char *temporary = buf_str(&s->temporary);
    int rc = sync_path(temporary, O_RDWR);
    if (rc == 0 && rename(temporary, s->target) != 0) {
        rc = -errno;
    }
    if (rc < 0) {
        return err_set_errno(s->e, -rc, "cannot save to %s", s->target);
    }
    buf_free(&s->temporary); /* it has its own name now */
    char *folder = folder_of(s->target);
    sync_path(folder,
              O_RDONLY | O_DIRECTORY); /* some file systems cannot; the file itself is safe */
    free(folder);
    *bytes = db_file_bytes(s->target);
    return 0;
}

void archive_unlink(const char *path)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        struct buf file = {0};
        buf_addf(&file, "%s%s", path, suffixes[i]);
        unlink(buf_str(&file));
        buf_free(&file);
    }
}

static void remove_temporary(struct save *s)
{
    if (s->temporary.len) {
        archive_unlink(buf_str(&s->temporary));
    }
    buf_free(&s->temporary);
}

/* Makes the copy's code and source what they shall be. */
static int fill_copy(struct save *s)
{
    struct archive_contents *c = s->contents;
    struct code_fill fill = {0};
    int rc = 0;

    if (!c) {
        return 0;
    }
    if (c->with_files) {
        rc = code_fill(s->copy, NULL, NULL, CODE_RUN_MAX, &fill, s->e);
    }
    if (rc == 0 && c->with_files && c->fill_lines) {
        rc = c->fill_lines(s->copy, s->ctx, s->e);
    }
    if (rc == 0 && !c->with_source) {
        rc = source_clear(s->copy, s->e);
    } else if (rc == 0 && c->with_files) {
        rc = source_fill(s->copy, s->e);
    }
    c->n_missing = fill.n_missing + fill.n_over;
    code_totals(s->copy, &c->n_functions, &c->code_bytes);
    source_totals(s->copy, &c->n_source_lines, &c->source_bytes);
    rc = rc ? rc : db_status(s->copy, s->e);
    return rc == STAX_EFULL ? copy_failed(s, SQLITE_FULL) : rc;
}

int archive_save(const char *source, const char *target, archive_progress *progress, void *ctx,
                 int64_t *bytes, struct err *e)
{
    return archive_save_with(source, target, NULL, progress, ctx, bytes, e);
}

int archive_save_with(const char *source, const char *target, struct archive_contents *contents,
                      archive_progress *progress, void *ctx, int64_t *bytes, struct err *e)
{
    struct err own = {0};
    int64_t size = 0;
    struct save s = {.target = target,
                     .contents = contents,
                     .progress = progress,
                     .ctx = ctx,
                     .e = e ? e : &own};
    int rc = check_target(&s, source);
    rc = rc ? rc : make_temporary(&s);
    rc = rc ? rc : copy_run(&s, source);
    rc = rc ? rc : fill_copy(&s);
    rc = rc ? rc : finish_copy(&s);
    db_close(s.copy);
    db_close(s.source);
    rc = rc ? rc : put_in_place(&s, &size);
    remove_temporary(&s);
    if (bytes) {
        *bytes = size;
    }
    return rc;
}
