/*
 * host.h - the settings and parts of this host that decide what can be recorded on it.
 *
 * Each is looked at or tried when asked; nothing is changed and nothing is kept. Any thread. What
 * follows from them all for a run is capture_probe()'s to say (capture.h).
 */
#ifndef STAX_CAPTURE_HOST_H
#define STAX_CAPTURE_HOST_H

#include <stdbool.h>
#include <stddef.h>

struct host_check {
    const char *name; /* "kernel.perf_event_paranoid", ... (static) */
    char value[160];  /* as found */
    bool is_ok;       /* it is not in the way of anything */
    char note[512];   /* what it withholds, or what it allows */
    char unlock[512]; /* the command that lifts it; "" if none */
};

enum { HOST_CHECKS_MAX = 16 };

/* Looks at everything, for this process as it runs. daemon_socket: as in struct capture_options.
 * Returns how many rows were filled in. */
size_t host_check(const char *daemon_socket, struct host_check rows[HOST_CHECKS_MAX]);

#endif
