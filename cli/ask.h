/*
 * ask.h - where an answer comes from: a running server, or a run file opened right here
 * (--run FILE.stax). One thread.
 */
#ifndef STAX_CLI_ASK_H
#define STAX_CLI_ASK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/args.h"

/* --run, for commands that only the server can answer. */
extern const struct flag ask_run_flags[];
/* --run, --tid, --pid, --from, --to, --exclude: what every view takes. */
extern const struct flag ask_view_flags[];

/* Whether --run names a file; *file is then its path, borrowed from args. */
bool ask_is_file(const struct args *args, const char **file);

/* Adds "run": ID when --run was given. STAX_EUSAGE when it names a file or nothing sensible. */
int ask_add_run(const struct args *args, json_t *parameters, struct err *e);

/* One call to the server; takes parameters (NULL: none). The caller owns *document. */
int ask_server(const char *method, json_t *parameters, int64_t timeout_ms, json_t **document,
               struct err *e);

/* Answers a view with the parameters and those of ask_view_flags, from the server or a file. Takes
 * parameters (NULL: none). The caller owns *document. */
int ask_view(const struct args *args, const char *view, json_t *parameters, json_t **document,
             struct err *e);

/* The same for what takes no filters but the run. */
int ask_run(const struct args *args, const char *view, json_t *parameters, json_t **document,
            struct err *e);

/* The same of another run than that of --run: an id or a file. */
int ask_view_of(const struct args *args, const char *run, const char *view, json_t *parameters,
                json_t **document, struct err *e);

/* Appends the path of the file of a run, given as an id or as a file. */
int ask_path(const char *run, struct buf *path, struct err *e);

/* "off_cpu", "reason" and "no_inlines" from --off-cpu, --reason and --no-inlines, where given. */
void ask_add_waits(const struct args *args, json_t *parameters);

/* "daemon_socket" from --daemon-socket or STAX_DAEMON_SOCKET, if either is given. */
void ask_add_daemon_socket(const struct args *args, json_t *parameters);

/* Whether a run file must be treated as foreign: true unless it is a live file of our own, in a
 * private folder of our own, with its write-ahead log beside it. */
bool ask_is_foreign(const char *path);

#endif
