/* sqltext.h - SQL as typed: where statements end, and the definition of one table. Pure. */
#ifndef STAX_CLI_SQLTEXT_H
#define STAX_CLI_SQLTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

/* Bytes up to and including the semicolon that ends the first statement of sql, outside of strings,
 * quoted names and comments; 0: it has no end yet. */
size_t sqltext_statement(const char *sql);

/* Whether there is nothing but blanks, comments and semicolons. */
bool sqltext_is_empty(const char *sql);

/* The CREATE TABLE or VIEW of name in a schema, with the comment lines right above it; NULL: there
 * is none. *n is its length. Case of name does not matter. */
const char *sqltext_definition(const char *schema, const char *name, size_t *n);

/* The names of all tables and views of a schema, in its order: an array of strings. New reference.
 */
json_t *sqltext_names(const char *schema);

#endif
