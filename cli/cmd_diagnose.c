/* cmd_diagnose.c - stax diagnose. */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    const char *file;
    if (args->n_operands) {
        if (strcmp(args->operands[0], "symbols") != 0) {
            err_set(&e, STAX_EUSAGE, "diagnose has no part '%s'", args->operands[0]);
            err_hint(&e, "it is: stax diagnose symbols");
            return cli_fail(cli, &e);
        }
        return ask_view(args, "symbols", json_object(), &document, &e)
                   ? cli_fail(cli, &e)
                   : cli_show(cli, args, document, render_symbols);
    }
    if (ask_is_file(args, &file)) {
        err_set(&e, STAX_EUSAGE, "--run wants the id of a run here, not '%s'", file);
        err_hint(&e, "only 'stax diagnose symbols' takes a file; 'stax list' shows the ids");
        return cli_fail(cli, &e);
    }
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
    .operands = "[symbols]",
    .description =
        "Lost and throttled samples, queue depths, commit times, the size of the database and its "
        "write-ahead log, the server's own CPU time and memory, code without names, and what this "
        "host does not let a run record, with the command that would unlock it.\n\n"
        "'stax diagnose symbols' ranks the binaries by CPU time in code without a name, and in "
        "code that only public or mini debug symbols name (poor), and says why and what would "
        "help.",
    .examples = "stax diagnose\nstax diagnose --run 3 --json\nstax diagnose symbols\n"
                "stax diagnose symbols --run profile.stax",
    .shared = ask_run_file_flags,
    .max_operands = 1,
    .run = run,
};
