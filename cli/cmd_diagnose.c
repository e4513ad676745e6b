/* cmd_diagnose.c - stax diagnose. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    if (ask_add_run(args, parameters, &e)) {
        json_decref(parameters);
        return cli_fail(cli, &e);
    }
    if (ask_server("diagnostics", parameters, 0, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_diagnose);
}

const struct command command_diagnose = {
    .name = "diagnose",
    .summary = "how well the recording itself is doing",
    .operands = "",
    .description =
        "Lost and throttled samples, queue depths, commit times, the size of the database and its "
        "write-ahead log, the server's own CPU time and memory, code without names, and what this "
        "host does not let a run record, with the command that would unlock it.",
    .examples = "stax diagnose\nstax diagnose --run 3 --json",
    .shared = ask_run_flags,
    .run = run,
};
