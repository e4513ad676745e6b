/*
 * condition.h - the SQL condition of a wait, looked at again and again by the threads for SQL.
 *
 * One check at a time, so that a slow query delays nobody but its own wait. One thread owns a
 * condition and polls it; watch_notify() is called after each check.
 */
#ifndef STAX_SERVER_CONDITION_H
#define STAX_SERVER_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct server;
struct condition;

/* sql is copied. */
struct condition *condition_new(struct server *s, int64_t run, const char *sql);
/* A check under way is stopped. NULL is accepted. */
void condition_free(struct condition *c);

enum condition_state {
    CONDITION_UNKNOWN, /* ask again after the next notification, or some time later */
    CONDITION_MET,     /* the first value of the query is neither 0, empty nor NULL */
    CONDITION_NOT_MET, /* and the run is over: it never will be */
    CONDITION_FAILED,  /* *e says why */
};

/* Whether the outcome of a check was taken already. */
bool condition_was_checked(struct condition *c);
/* Takes the outcome of the last check and starts the next when it is due. is_active: the run is
 * still being written, asked before this call. */
enum condition_state condition_poll(struct condition *c, bool is_active, struct err *e);

#endif
