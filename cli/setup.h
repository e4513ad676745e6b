/*
 * setup.h - the steps that install or remove the broker staxd. One thread.
 *
 * A step finds out first whether it is needed, so that all of them can be repeated. Each is told to
 * a function as it is done.
 */
#ifndef STAX_CLI_SETUP_H
#define STAX_CLI_SETUP_H

#include <stddef.h>

#include "base/err.h"

enum setup_result { SETUP_DONE, SETUP_UNCHANGED, SETUP_SKIPPED };

struct setup {
    const char *destdir; /* stands for /, "" for the system itself */
    const char *group;   /* who may connect, NULL for every local user */
    void (*tell)(void *context, enum setup_result result, const char *what, const char *note);
    void *context;
    size_t n_changed; /* files installed or removed */
};

/* Installs the program, its units, and starts the socket. Errors: STAX_ENOTFOUND (no staxd beside
 * this program, no such group), STAX_EPERMISSION, STAX_EFULL, STAX_EFAIL (systemctl). */
int setup_install(struct setup *s, struct err *e);

/* Stops the socket and removes all of it; what is not there is no error. */
int setup_uninstall(struct setup *s, struct err *e);

#endif
