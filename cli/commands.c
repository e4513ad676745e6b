/* commands.c - see commands.h. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/help.h"

const struct command *const *commands_all(void)
{
    static const struct command *const commands[] = {
        &command_record,    &command_top,     &command_flame,      &command_callers,
        &command_callees,   &command_threads, &command_waits,      &command_wakers,
        &command_annotate,  &command_compare, &command_sql,        &command_status,
        &command_list,      &command_wait,    &command_stop,       &command_save,
        &command_symbolize, &command_open,    &command_select_run, &command_diagnose,
        &command_setup,     &command_schema,  &command_help,       NULL,
    };
    return commands;
}

const struct command *commands_find(const char *name, struct err *e)
{
    const char *names[32];
    size_t n = 0;
    for (const struct command *const *c = commands_all(); *c; c++) {
        if (strcmp((*c)->name, name) == 0) {
            return *c;
        }
        names[n++] = (*c)->name;
    }
    names[n] = NULL;
    err_set(e, STAX_EUSAGE, "stax has no command '%s'", name);
    err_hint(e, "'stax help' lists the commands");
    struct err copy = {0};
    if (strcmp(name, "version") == 0) {
        err_hint(&copy, "did you mean stax --version?");
    } else {
        args_suggest(&copy, name, names, "stax ");
    }
    if (e && copy.hint[0]) {
        err_hint(e, "%s", copy.hint);
    }
    return NULL;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
    struct err e = {0};
    struct args args;
    int rc = args_parse(&args, command, argc, argv, &e);
    if (rc) {
        rc = cli_fail(cli, &e);
    } else if (args_has(&args, "help")) {
        rc = help_command(cli, command, args_has(&args, "json"));
    } else {
        rc = command->run(cli, &args);
    }
    args_fini(&args);
    return rc;
}

int commands_main(struct cli *cli, int argc, char **argv)
{
    struct err e = {0};
    cli->is_json = args_wants_json(argc - 1, argv + 1);
    if (argc < 2) {
        help_overview(&cli->err);
        out_flush(&cli->err, NULL);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        return help_version(cli, argc > 2 && strcmp(argv[2], "--json") == 0);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_overview(&cli->out);
        return out_flush(&cli->out, &e) ? cli_fail(cli, &e) : EXIT_DONE;
    }
    const struct command *command = commands_find(argv[1], &e);
    if (!command) {
        return cli_fail(cli, &e);
    }
    return run_command(cli, command, argc - 2, argv + 2);
}
