/*
 * cli.h - what every command shares: its streams, how it ends, and how a document is shown.
 *
 * A struct cli is made in main and used by one thread. Data goes to stdout, everything else to
 * stderr; commands return an exit code.
 */
#ifndef STAX_CLI_CLI_H
#define STAX_CLI_CLI_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/out.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_SERVER_OR_RUN = 3,
    EXIT_TIMED_OUT = 4,
    EXIT_NOT_PERMITTED = 5,
};

struct cli {
    struct out out; /* stdout */
    struct out err; /* stderr */
    bool is_json;   /* errors are printed as JSON */
};

/* The exit code of an enum stax_err. */
enum exit_code exit_code_of(int code);

/* "stax: TEXT" on stderr at once; the text is cleaned. */
void cli_note(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints the error, as JSON if asked for, and returns its exit code. */
int cli_fail(struct cli *cli, const struct err *e);

/* Shows data as text; documents are borrowed. */
typedef void render_fn(struct out *out, const json_t *document, const struct args *args);

/* Prints the document (--json) or what render makes of it, then its warnings on stderr; takes the
 * document. Returns an exit code. */
int cli_show(struct cli *cli, const struct args *args, json_t *document, render_fn *render);

/* {"schema","run":null,"data","quality":null,"warnings":[]} for documents that no view makes.
 * Takes data. New reference. */
json_t *cli_document(const char *schema, json_t *data);

#endif
