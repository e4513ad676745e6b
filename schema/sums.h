/*
 * sums.h - whether the summaries inside a foreign file agree with each other.
 *
 * Views print summaries as they stand, so a file in which one bit has changed, or that somebody
 * made up, would answer with wrong numbers. What must hold by construction is looked at when it is
 * opened: nothing is negative, nothing is larger than what holds it, everything adds up to the
 * run's own sums, and the call tree is a tree. Raw samples are not read. The thread rule is that of
 * the connection.
 */
#ifndef STAX_SCHEMA_SUMS_H
#define STAX_SCHEMA_SUMS_H

#include <stdbool.h>

#include "base/err.h"
#include "schema/db.h"

/* with_large: also the tables that grow with the program, the call tree first of all; the others
 * take milliseconds in a file of any size. with_waits: also where time off the CPU went, which
 * older versions added up in other ways. Sums are compared only in a run that ended in order
 * (target_exited, stopped, time_limit): its last commit wrote every row. A copy of a live run, and
 * one that its server or its storage ended, may lack rows and is held to its bounds only. Errors:
 * STAX_ECORRUPT with the table that is wrong; those of db_status(). */
int sums_check(struct db *db, bool with_large, bool with_waits, struct err *e);

#endif
