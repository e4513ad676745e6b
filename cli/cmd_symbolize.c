/* cmd_symbolize.c - stax symbolize. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "run",
     .type = FLAG_TEXT,
     .value = "ID|FILE",
     .help = "The run, by id or as an archive file, which is replaced by one with the new names; "
             "default: the active one, else the selected or most recent."},
    {.name = "timeout-ms",
     .type = FLAG_INT,
     .value = "MS",
     .help = "How long to look, debuginfod servers included; default 60000.",
     .min = 1,
     .max = 3600000},
    {0},
};

/* An archive becomes a run of the server first. */
static int add_file(struct client *client, const char *file, json_t *parameters, struct err *e)
{
    char path[PATH_MAX];
    json_t *document = NULL;
    if (!realpath(file, path)) {
        return err_set_errno(e, errno, "cannot open %s", file);
    }
    json_t *name = json_string(path);
    if (!name) {
        return err_set(e, STAX_EUSAGE, "the path is not valid UTF-8");
    }
    int rc = client_call(client, "open_saved", json_pack("{s:o}", "path", name), CLIENT_PATIENT,
                         &document, e);
    if (rc == 0) {
        int64_t id = json_int_at(json_object_get(document, "data"), "run", 0);
        json_object_set_new(parameters, "run", json_integer(id));
    }
    json_decref(document);
    return rc;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    struct client *client = NULL;
    const char *file;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "timeout_ms",
                        json_integer(args_int(args, "timeout-ms", 60000)));
    int rc = client_open(&client, &e);
    if (rc == 0) {
        rc = ask_is_file(args, &file) ? add_file(client, file, parameters, &e)
                                      : ask_add_run(args, parameters, &e);
    }
    if (rc == 0) {
        rc = client_call(client, "symbolize", json_incref(parameters), CLIENT_PATIENT, &document,
                         &e);
    }
    client_close(client);
    json_decref(parameters);
    return rc ? cli_fail(cli, &e) : cli_show(cli, args, document, render_symbolize);
}

const struct command command_symbolize = {
    .name = "symbolize",
    .summary = "look for names once more, with what this machine has now",
    .operands = "",
    .description =
        "Names the functions and lines of a run again: after debug packages were installed, a "
        "debuginfod server became reachable, or on a machine that has the binaries. Symbols, lines "
        "and inlined functions change, and all sums with them; what was recorded does not.\n\n"
        "Binaries and debug files are used when they are of the very build that was recorded. A "
        "run that still records looks for its names by itself; this makes it look again for what "
        "it did not find. 'stax diagnose symbols' says what is missing.",
    .examples = "stax symbolize\nstax symbolize --run 3\nstax symbolize --run profile.stax",
    .flags = flags,
    .run = run,
};
