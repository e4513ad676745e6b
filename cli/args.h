/*
 * args.h - commands, their flags, and the parsing of a command line against them.
 *
 * One table of struct command (commands.c) drives parsing, --help, the manual page and suggestions.
 * Tables are constant; struct args borrows the strings of argv. Any thread.
 */
#ifndef STAX_CLI_ARGS_H
#define STAX_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cli;
struct args;

enum flag_type {
    FLAG_BOOL,
    FLAG_INT,     /* whole number within min..max */
    FLAG_SECONDS, /* decimal seconds or a number with its unit, 0 or more, kept as nanoseconds */
    FLAG_NUMBER,  /* decimal number within min..max */
    FLAG_TEXT,
    FLAG_TEXTS, /* may be repeated */
};

struct flag {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* short form, 0 if none */
    enum flag_type type;
    const char *value; /* what the value is called in help, NULL for FLAG_BOOL */
    const char *help;  /* one sentence, with the default */
    int64_t min;       /* FLAG_INT, FLAG_NUMBER */
    int64_t max;
    bool may_be_empty; /* FLAG_TEXT: an empty value means something */
};

struct command {
    const char *name;
    const char *summary;       /* one line without a full stop */
    const char *operands;      /* as usage prints them, "" if none */
    const char *description;   /* paragraphs separated by an empty line */
    const char *examples;      /* lines of "command  # comment" */
    const struct flag *flags;  /* its own, NULL if none */
    const struct flag *shared; /* more flags, shared with other commands, NULL if none */
    int min_operands;
    int max_operands;
    bool has_target; /* the first operand begins a command line that is not ours */
    int (*run)(struct cli *cli, const struct args *args); /* returns an exit code */
};

/* --json and --help, which every command has. */
extern const struct flag args_common_flags[];

struct arg_value {
    const struct flag *flag;
    const char *text;
    int64_t integer; /* FLAG_INT, FLAG_SECONDS (ns) */
    double number;   /* FLAG_NUMBER */
};

struct args {
    const struct command *command;
    struct arg_value *values; /* in the order given */
    size_t n_values;
    char **operands; /* pointers into argv */
    int n_operands;
    char **target; /* has_target: NULL-terminated tail of argv, NULL if none */
};

/* Parses what follows the command's name. argv[argc] must be NULL. Errors: STAX_EUSAGE, naming the
 * flag and the nearest known one. args_fini() in either case. */
int args_parse(struct args *args, const struct command *command, int argc, char **argv,
               struct err *e);
void args_fini(struct args *args);

/* The last value given for a flag, NULL when it was not given. */
const struct arg_value *args_get(const struct args *args, const char *flag);
bool args_has(const struct args *args, const char *flag);
int64_t args_int(const struct args *args, const char *flag, int64_t fallback);
double args_number(const struct args *args, const char *flag, double fallback);
const char *args_text(const struct args *args, const char *flag, const char *fallback);

/* The flag of a command by name, else NULL. */
const struct flag *args_flag(const struct command *command, const char *name, size_t n);

/* Whether --json stands among our own arguments: errors found while parsing are printed in the form
 * that was asked for. */
bool args_wants_json(int argc, char **argv);

/* A hint "did you mean X?" with the nearest candidate into e, if one is near. names ends with NULL.
 */
void args_suggest(struct err *e, const char *word, const char *const *names, const char *prefix);

#endif
