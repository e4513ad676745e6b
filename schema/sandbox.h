/*
 * sandbox.h - other people's SQL on a run: read-only, bounded, and unable to reach anything else.
 *
 * A sandbox is a connection of its own with the defences of FACTS.md (DEFENSIVE, no trusted schema,
 * no double-quoted strings, an authorizer that allows SELECT, READ, RECURSIVE, FUNCTION and a few
 * PRAGMAs, limits, a deadline). One thread at a time; sandbox_cancel() from any.
 */
#ifndef STAX_SCHEMA_SANDBOX_H
#define STAX_SCHEMA_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/db.h"

struct sandbox;

struct sandbox_limits {
    int64_t max_rows;   /* result rows kept */
    int64_t max_bytes;  /* result kept, by what it takes in memory: SANDBOX_MAX_BYTES at most */
    int64_t timeout_ms; /* wall time */
};

enum { SANDBOX_MAX_BYTES = 64 << 20, SANDBOX_MAX_SQL_BYTES = 256 << 10 };

/* 10,000 rows, 16 MiB, 10 s. */
extern const struct sandbox_limits sandbox_default_limits;

/* is_archive: a foreign file (archive_open() checks run first). */
int sandbox_open(struct sandbox **out, const char *path, bool is_archive, struct err *e);
/* Two files at once, as the schemas a and b; a name without either is looked up in a first.
 * Errors also: STAX_EBUSY (a file was replaced meanwhile). */
int sandbox_open_both(struct sandbox **out, const char *path_a, bool is_archive_a,
                      const char *path_b, bool is_archive_b, struct err *e);
void sandbox_close(struct sandbox *s);

/* Runs exactly one statement. *result becomes
 *   {"columns":["name",...],"rows":[[value,...],...],"n_rows":N,"is_truncated":false,
 *    "limit":null|"rows"|"bytes","elapsed_ms":x}
 * Values: numbers, strings (valid UTF-8), null; blobs as "x'hex'" strings. The caller owns *result.
 * Errors: STAX_ESQL (the message carries SQLite's, the hint what is allowed), STAX_ETIMEOUT. */
int sandbox_query(struct sandbox *s, const char *sql, const struct sandbox_limits *limits,
                  json_t **result, struct err *e);
void sandbox_cancel(struct sandbox *s);

/* The error of a query of more than SANDBOX_MAX_SQL_BYTES. Returns its code. */
int sandbox_refuse_long(size_t n_bytes, struct err *e);

/* One snapshot for the queries between the two, and for what is read through the connection that
 * sandbox_begin() returns: queries then answer from one commit. Borrowed; statements on it pass the
 * same checks as any query. */
struct db *sandbox_begin(struct sandbox *s);
void sandbox_end(struct sandbox *s);

/* Table, view and column names for completion: ["sample","sample.ts",...]. Caller owns. */
json_t *sandbox_names(struct sandbox *s);

#endif
