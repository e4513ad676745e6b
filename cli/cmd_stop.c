/* cmd_stop.c - stax stop. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    if (ask_server("stop_active", NULL, CLIENT_PATIENT, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_stop);
}

const struct command command_stop = {
    .name = "stop",
    .summary = "stop recording; the program keeps running",
    .operands = "",
    .description = "Ends the active run. What was recorded stays and can be asked; the program "
                   "keeps running, whether it was attached to or launched.",
    .examples = "stax stop\nstax stop && stax save run.stax",
    .run = run,
};
