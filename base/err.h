/*
 * err.h - one vocabulary of errors for the whole program.
 *
 * Functions that can fail return 0 or a negative enum stax_err. At a folder's border they also fill
 * a struct err: the code, the errno behind it (0 if none), one sentence that says what happened and
 * why, and a hint that says what the user can do. A struct err is a value: no ownership, any
 * thread.
 */
#ifndef STAX_BASE_ERR_H
#define STAX_BASE_ERR_H

/* X(name, value, wire code): the wire code is what JSON errors carry as "code". */
#define STAX_ERRORS(X)                                                                             \
    X(OK, 0, "ok")                                                                                 \
    X(EFAIL, -1, "failed")                                                                         \
    X(EUSAGE, -2, "usage")                                                                         \
    X(ENORUN, -3, "no_such_run")                                                                   \
    X(EUNREACHABLE, -4, "server_unreachable")                                                      \
    X(ETIMEOUT, -5, "timed_out")                                                                   \
    X(EPERMISSION, -6, "not_permitted")                                                            \
    X(EBUSY, -7, "busy")                                                                           \
    X(ENOTFOUND, -8, "not_found")                                                                  \
    X(EFULL, -9, "full")                                                                           \
    X(ECORRUPT, -10, "corrupt")                                                                    \
    X(EVERSION, -11, "version_mismatch")                                                           \
    X(ELIMIT, -12, "limit_reached")                                                                \
    X(ESQL, -13, "sql_error")                                                                      \
    X(ESYSTEM, -14, "system_error")                                                                \
    X(ECANCELLED, -15, "cancelled")

enum stax_err {
#define X(name, value, wire) STAX_##name = (value),
    STAX_ERRORS(X)
#undef X
};

struct err {
    int code;       /* enum stax_err; 0 = no error */
    int os_errno;   /* errno behind it, 0 if none */
    char msg[512];  /* what happened and why, one line, no final newline */
    char hint[512]; /* what the user can do, one line, "" if nothing is known */
};

/* Fills *e (may be NULL) and returns code. Clears any hint. */
int err_set(struct err *e, enum stax_err code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set() with code STAX_ESYSTEM (EACCES/EPERM: STAX_EPERMISSION; ENOENT: STAX_ENOTFOUND;
 * ENOSPC/EDQUOT/EFBIG: STAX_EFULL); appends ": <strerror>" to the message. */
int err_set_errno(struct err *e, int os_errno, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the way out to an error already set. e may be NULL. */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The wire code of an enum stax_err ("failed" for unknown values). Static storage. */
const char *err_wire_code(int code);

/* The enum value of a wire code, STAX_EFAIL when unknown. */
enum stax_err err_from_wire(const char *wire_code);

#endif
