/* err.c - errors as values; see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    const char *wire;
} error_codes[] = {
#define X(name, value, wire) {value, wire},
    STAX_ERRORS(X)
#undef X
};

int err_set(struct err *e, enum stax_err code, const char *fmt, ...)
{
    if (!e) {
        return code;
    }
    e->code = code;
    e->os_errno = 0;
    e->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    return code;
}

static enum stax_err code_of_errno(int os_errno)
{
    switch (os_errno) {
    case EACCES:
    case EPERM:
        return STAX_EPERMISSION;
    case ENOENT:
    case ESRCH:
        return STAX_ENOTFOUND;
    case ENOSPC:
    case EFBIG:
    case EDQUOT:
        return STAX_EFULL;
    default:
        return STAX_ESYSTEM;
    }
}

int err_set_errno(struct err *e, int os_errno, const char *fmt, ...)
{
    enum stax_err code = code_of_errno(os_errno);
    if (!e) {
        return code;
    }
    e->code = code;
    e->os_errno = os_errno;
    e->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->msg)) {
        snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", strerror(os_errno));
    }
    return code;
}

void err_hint(struct err *e, const char *fmt, ...)
{
    if (!e) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
    va_end(ap);
}

const char *err_wire_code(int code)
{
    for (size_t i = 0; i < sizeof(error_codes) / sizeof(error_codes[0]); i++) {
        if (error_codes[i].code == code) {
            return error_codes[i].wire;
        }
    }
    return "failed";
}

enum stax_err err_from_wire(const char *wire_code)
{
    for (size_t i = 0; i < sizeof(error_codes) / sizeof(error_codes[0]); i++) {
        if (strcmp(error_codes[i].wire, wire_code) == 0) {
            return (enum stax_err)error_codes[i].code;
        }
    }
    return STAX_EFAIL;
}
