/*
 * source.h - text of source lines: from table source_line, else from the files that the debug
 * information names.
 *
 * Files are foreign: only regular ones up to SOURCE_FILE_MAX bytes are read, their text is cleaned
 * and cut. A struct source_reader borrows its connection and keeps one file. One thread at a time.
 */
#ifndef STAX_SCHEMA_SOURCE_H
#define STAX_SCHEMA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/db.h"

enum { SOURCE_FILE_MAX = 16 << 20, SOURCE_LINE_MAX = 1000, SOURCE_RUN_MAX = 16 << 20 };

struct source_reader;

/* with_files: files of this machine may be read, not only the table. */
struct source_reader *source_reader_new(struct db *db, bool with_files);
/* NULL is accepted. */
void source_reader_free(struct source_reader *r);

/* The text of a line (from 1), or NULL: not known. Valid until the next call. */
const char *source_text(struct source_reader *r, const char *file, int64_t line);
/* Files changed later than the code of this function (or the run, if that is older) are newer. */
void source_set_function(struct source_reader *r, int64_t symbol);
/* Of the files asked for so far: one that is newer than the code that was built of it, and one that
 * is larger than SOURCE_FILE_MAX and was not read. NULL: there is none. */
const char *source_newer(const struct source_reader *r);
const char *source_too_large(const struct source_reader *r);

/* Stores the lines of every function with samples, with two around them, up to SOURCE_RUN_MAX bytes
 * in all, in a transaction of its own on a writer. */
int source_fill(struct db *db, struct err *e);
/* The same, of files that the caller lets be read. */
typedef bool source_may_read(void *ctx, const char *file);
int source_fill_from(struct db *db, source_may_read *may_read, void *ctx, struct err *e);
/* What is stored already. */
void source_totals(struct db *db, int64_t *n_lines, int64_t *n_bytes);
/* Takes all of them out again. */
int source_clear(struct db *db, struct err *e);

#endif
