/* commands.h - the table of commands; one cli/cmd_NAME.c each. Constant, any thread. */
#ifndef STAX_CLI_COMMANDS_H
#define STAX_CLI_COMMANDS_H

#include "cli/args.h"

extern const struct command command_record;
extern const struct command command_status;
extern const struct command command_list;
extern const struct command command_wait;
extern const struct command command_stop;
extern const struct command command_save;
extern const struct command command_symbolize;
extern const struct command command_open;
extern const struct command command_select_run;
extern const struct command command_top;
extern const struct command command_flame;
extern const struct command command_threads;
extern const struct command command_waits;
extern const struct command command_callers;
extern const struct command command_callees;
extern const struct command command_compare;
extern const struct command command_wakers;
extern const struct command command_annotate;
extern const struct command command_sql;
extern const struct command command_diagnose;
extern const struct command command_setup;
extern const struct command command_schema;
extern const struct command command_help;

/* In the order help prints them, ended by NULL. */
const struct command *const *commands_all(void);

/* By name; NULL fills *e with STAX_EUSAGE and the nearest command. */
const struct command *commands_find(const char *name, struct err *e);

/* Parses and runs one command line (argv[0]: the program); returns the exit code. */
int commands_main(struct cli *cli, int argc, char **argv);

#endif
