/*
 * shape.h - whether the schema inside a foreign file is the one this program makes.
 *
 * A file that says it has our version must have our tables and columns and our views word by word
 * (comments apart), and nothing else: no triggers, virtual tables, generated columns or indexes.
 * So any change of schema.sql or views.sql beyond comments needs a new SCHEMA_VERSION and a
 * migration. The thread rule is that of the connection.
 */
#ifndef STAX_SCHEMA_SHAPE_H
#define STAX_SCHEMA_SHAPE_H

#include <stdbool.h>

#include "base/err.h"
#include "schema/db.h"

/* Only what is dangerous in a file of any version: triggers, virtual tables, indexes on
 * expressions. Errors: STAX_ECORRUPT. */
int shape_check_harmless(struct db *db, struct err *e);

/* The whole comparison; includes the above. Errors: STAX_ECORRUPT with what differs. */
int shape_check(struct db *db, struct err *e);

#endif
