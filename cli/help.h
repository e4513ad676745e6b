/* help.h - what the table of commands looks like to people: --help and the manual page. */
#ifndef STAX_CLI_HELP_H
#define STAX_CLI_HELP_H

#include "cli/cli.h"

/* One line per command. */
void help_overview(struct out *out);
/* A command's usage, options, description and examples as text. */
void help_text(struct out *out, const struct command *command);
/* The version, as a document if is_json; returns an exit code. */
int help_version(struct cli *cli, bool is_json);
/* stax(1) in roff, all commands. */
void help_man(struct out *out);
/* Prints a command's help on stdout, as a document if is_json; returns an exit code. */
int help_command(struct cli *cli, const struct command *command, bool is_json);

#endif
