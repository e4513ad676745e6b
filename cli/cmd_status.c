/* cmd_status.c - stax status and stax list: what the server has. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static int show(struct cli *cli, const struct args *args, const char *method, render_fn *render)
{
    struct err e = {0};
    json_t *document = NULL;
    if (ask_server(method, NULL, CLIENT_PATIENT, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render);
}

static int run_status(struct cli *cli, const struct args *args)
{
    return show(cli, args, "status", render_status);
}

static int run_list(struct cli *cli, const struct args *args)
{
    return show(cli, args, "list_runs", render_list);
}

const struct command command_status = {
    .name = "status",
    .summary = "the server and the active run",
    .operands = "",
    .description = "Says which server answers, where it keeps its runs, and what it records now.",
    .examples = "stax status\nstax status --json",
    .run = run_status,
};

const struct command command_list = {
    .name = "list",
    .summary = "the runs the server keeps",
    .operands = "",
    .description = "All runs: the active one, stopped ones, and archives that were opened.",
    .examples = "stax list\nstax list --json",
    .run = run_list,
};
