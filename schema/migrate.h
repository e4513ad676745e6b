/*
 * migrate.h - forward steps from older schema versions. Used by archive_open() on a private copy.
 *
 * A step is the SQL of migrations/NNNN_what.sql: it turns a file of version NNNN - 1 into one of
 * version NNNN. Facts are carried over; summaries and views may simply be dropped, because views
 * are made anew afterwards and summaries can be rebuilt.
 */
#ifndef STAX_SCHEMA_MIGRATE_H
#define STAX_SCHEMA_MIGRATE_H

#include "base/err.h"

struct migration_step {
    int version;     /* the version it leads to */
    const char *sql; /* NULL ends a list */
};

/* Brings the file at path from its version to that of the last step, each step in a transaction of
 * its own, then replaces all views by those of this version. Calling it on a current file does
 * nothing. path is a private copy: on failure its content is undefined. Errors call it name.
 * Errors: STAX_ECORRUPT (a step failed, or no step leads from its version), STAX_EFULL. */
int migrate(const char *path, const char *name, const struct migration_step *steps, struct err *e);

/* The steps of this build, from version 1 on. */
const struct migration_step *migrate_steps(void);

#endif
