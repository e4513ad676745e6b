/* cmd_diagnose.c - stax diagnose. */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static int run_host(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    ask_add_daemon_socket(args, parameters);
    if (ask_server("diagnose_host", parameters, CLIENT_PATIENT, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_host);
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    bool is_host = args->n_operands > 0;
    if (is_host && strcmp(args->operands[0], "symbols") == 0) {
        return ask_run(args, "symbols", NULL, &document, &e)
                   ? cli_fail(cli, &e)
                   : cli_show(cli, args, document, render_symbols);
    }
    if (is_host && (strcmp(args->operands[0], "host") != 0 || args_has(args, "run"))) {
        err_set(&e, STAX_EUSAGE,
                "stax diagnose tells of a run, with the word 'host' of the host, or with "
                "'symbols' of code without names");
        err_hint(&e, "stax diagnose [symbols] [--run RUN], or stax diagnose host");
        return cli_fail(cli, &e);
    }
    if (is_host) {
        return run_host(cli, args);
    }
    if (ask_run(args, "diagnostics", NULL, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_diagnose);
}

static const struct flag flags[] = {
    {.name = "run",
     .type = FLAG_TEXT,
     .value = "ID|FILE",
     .help = "The run to ask, or a run file, which needs no server; default: the active one, else "
             "the selected or most recent."},
    {.name = "daemon-socket",
     .type = FLAG_TEXT,
     .may_be_empty = true,
     .value = "PATH",
     .help = "With host: the socket of staxd to try, as stax record has it."},
    {0},
};

const struct command command_diagnose = {
    .name = "diagnose",
    .summary = "how well the recording itself is doing",
    .operands = "[host|symbols]",
    .max_operands = 1,
    .description =
        "Lost and throttled samples, queue depths, commit times, the size of the database and its "
        "write-ahead log, the server's own CPU time and memory, code without names, and what this "
        "host does not let a run record, with the command that would unlock it.\n\n"
        "stax diagnose host needs no run: it tries what a run would open, and names each setting "
        "of this host that is in the way, with the command that lifts it.\n\n"
        "stax diagnose symbols ranks the binaries by CPU time in code without a name, and in code "
        "that only public or mini debug symbols name (poor), and says why and what would help.",
    .examples = "stax diagnose\nstax diagnose --run 3 --json\nstax diagnose host\n"
                "stax diagnose symbols --run profile.stax",
    .flags = flags,
    .run = run,
};
