/*
 * archive.h - runs as files that travel: saving one, and opening one that somebody else made.
 * Any thread; each call uses connections of its own.
 */
#ifndef STAX_SCHEMA_ARCHIVE_H
#define STAX_SCHEMA_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/db.h"

/* Called now and then with pages done of total; returning false cancels (STAX_ECANCELLED). */
typedef bool archive_progress(void *ctx, int64_t n_done, int64_t n_total);

/* Writes a consistent, self-contained copy of the run file source (live or stopped) to target:
 * beside it under a temporary name first, DELETE journal mode, synced, then renamed over target.
 * A live run's copy says state stopped, stop_reason saved_live, and has exact summaries as far as
 * they were written. *bytes is its size.
 * bytes may be NULL. Errors: STAX_ENOTFOUND (no such folder), STAX_EPERMISSION, STAX_EFULL,
 * STAX_EUSAGE (target is the run itself or no file), STAX_ECANCELLED; nothing is left behind. */
int archive_save(const char *source, const char *target, archive_progress *progress, void *ctx,
                 int64_t *bytes, struct err *e);

/* Adds line tables to a run that nobody else writes, from files of this machine. ctx: as progress
 * gets it. */
typedef int archive_fill_lines(struct db *db, void *ctx, struct err *e);

/* What goes into an archive beside the run itself; the second part is the result. */
struct archive_contents {
    bool with_files;  /* code and source that the run lacks are read from files of this machine */
    bool with_source; /* false: source text is left out, also what the run has */
    archive_fill_lines *fill_lines;  /* ... and line tables; NULL: only those that it has */
    int64_t n_functions, code_bytes; /* functions with code, and its size */
    int64_t n_source_lines, source_bytes;
    int64_t n_missing; /* functions with samples whose code could not be had */
};

/* archive_save(), whose archive has what the run has, with more or less in it. */
int archive_save_with(const char *source, const char *target, struct archive_contents *contents,
                      archive_progress *progress, void *ctx, int64_t *bytes, struct err *e);

/* Removes a database that nobody has open, with what SQLite may have left beside it. */
void archive_unlink(const char *path);

/* Opens a foreign file: checks application id, version, the shape of its schema (our tables and
 * columns; no triggers, virtual tables or unknown views), quick_check, with limits on, and whether
 * its summaries agree (sums.h). In a file above 8 MiB quick_check would take too long, as would
 * looking at the whole call tree: damage there shows as STAX_ECORRUPT when it is read, if at all.
 * An older version is copied to a private temporary file and migrated there; is_migrated says so.
 * Errors: STAX_ENOTFOUND, STAX_EPERMISSION, STAX_ECORRUPT, STAX_EVERSION, STAX_EBUSY (a run file
 * that is being written: its -wal holds part of it). */
int archive_open(struct db **out, const char *path, bool *is_migrated, struct err *e);

/* Adds a file to a connection made by db_open_empty() as NAME: a run file of ours after the checks
 * of db_open(), an archive after those of archive_open(). Errors: theirs, and STAX_EBUSY (the file
 * was replaced meanwhile). */
int archive_attach(struct db *db, const char *name, const char *path, bool is_archive,
                   struct err *e);

#endif
