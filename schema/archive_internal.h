/* archive_internal.h - what the tests of archives need beside archive.h. */
#ifndef STAX_SCHEMA_ARCHIVE_INTERNAL_H
#define STAX_SCHEMA_ARCHIVE_INTERNAL_H

#include "schema/archive.h"
#include "schema/migrate.h"

/* archive_open() with other migration steps than those of this build. */
int archive_open_with(struct db **out, const char *path, const struct migration_step *steps,
                      bool *is_migrated, struct err *e);

#endif
