/* cmd_open.c - stax open and stax select-run: which run is asked by default. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static int select_id(struct client *client, int64_t id, json_t **document, struct err *e)
{
    json_t *parameters = json_object();
    json_object_set_new(parameters, "run", json_integer(id));
    return client_call(client, "select_run", parameters, CLIENT_PATIENT, document, e);
}

static int open_file(struct client *client, const char *path, json_t **document, struct err *e)
{
    /* The server's folder is another one than ours. */
    char *full = realpath(path, NULL);
    if (!full) {
        return err_set_errno(e, errno, "cannot open %s", path);
    }
    json_t *name = json_string(full);
    free(full);
    if (!name) {
        return err_set(e, STAX_EUSAGE, "the path of %s is not valid UTF-8", path);
    }
    json_t *parameters = json_object();
    json_object_set_new(parameters, "path", name);
    int rc = client_call(client, "open_saved", parameters, CLIENT_PATIENT, document, e);
    if (rc == 0) {
        int64_t id = json_int_at(json_object_get(*document, "data"), "run", 0);
        rc = select_id(client, id, NULL, e);
    }
    return rc;
}

static int run_open(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    struct client *client = NULL;
    int rc = client_open(&client, &e);
    if (rc == 0) {
        rc = open_file(client, args->operands[0], &document, &e);
    }
    client_close(client);
    if (rc) {
        json_decref(document);
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_open);
}

static int run_select(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    struct client *client = NULL;
    char *end;
    errno = 0;
    long long id = strtoll(args->operands[0], &end, 10);
    if (errno || *end || id <= 0) {
        err_set(&e, STAX_EUSAGE, "'%s' is not the id of a run", args->operands[0]);
        err_hint(&e, "'stax list' shows the ids");
        return cli_fail(cli, &e);
    }
    int rc = client_open(&client, &e);
    if (rc == 0) {
        rc = select_id(client, id, &document, &e);
    }
    client_close(client);
    if (rc) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_select);
}

const struct command command_open = {
    .name = "open",
    .summary = "add an archive to the server's runs and select it",
    .operands = "FILE.stax",
    .description = "Checks the archive and adds it to the runs. While no run is active, every "
                   "command then asks this one. To look at a file without a server, give a view "
                   "--run FILE.stax instead.",
    .examples = "stax open colleague.stax\nstax top --run colleague.stax",
    .min_operands = 1,
    .max_operands = 1,
    .run = run_open,
};

const struct command command_select_run = {
    .name = "select-run",
    .summary = "choose the run that commands ask by default",
    .operands = "ID",
    .description = "While no run is active, every command asks the selected run.",
    .examples = "stax list\nstax select-run 3",
    .min_operands = 1,
    .max_operands = 1,
    .run = run_select,
};
