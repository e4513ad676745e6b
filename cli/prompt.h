/* prompt.h - stax sql without a query on a terminal: an interactive prompt on one run file. */
#ifndef STAX_CLI_PROMPT_H
#define STAX_CLI_PROMPT_H

#include "cli/cli.h"
#include "schema/sandbox.h"

/* Reads and answers statements until the end of input. is_foreign: an archive somebody else made.
 * Ctrl-C cancels a running query or the line being typed. Returns an exit code. */
int prompt_run(struct cli *cli, const char *path, bool is_foreign,
               const struct sandbox_limits *limits);

#endif
