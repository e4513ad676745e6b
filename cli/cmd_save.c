/* cmd_save.c - stax save. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

enum { DIAGNOSE_TIMEOUT_MS = 1000 };

static const struct flag flags[] = {
    {.name = "force", .letter = 'f', .type = FLAG_BOOL, .help = "Replace an existing file."},
    {.name = "no-source",
     .type = FLAG_BOOL,
     .help = "Leave out the text of source lines; their numbers stay."},
    {0},
};

struct progress {
    struct cli *cli;
    const char *path; /* of the archive, as the server was told */
    int64_t start_ns;
    int64_t shown_ns; /* 0: nothing shown yet */
};

/* How much of the file is written, in percent; -1: the server does not say. On a connection of its
 * own: ours waits for the answer. */
static double share_done(const struct progress *p)
{
    struct client *client = NULL;
    struct err ignored;
    json_t *document = NULL;
    double pct = -1;
    size_t i;
    const json_t *save;
    if (client_open(&client, &ignored) == 0) {
        client_call(client, "diagnostics", NULL, DIAGNOSE_TIMEOUT_MS, &document, &ignored);
    }
    json_array_foreach(json_object_get(json_object_get(document, "data"), "saves"), i, save)
    {
        int64_t n_total = json_int_at(save, "n_total_pages", 0);
        if (n_total > 0 && strcmp(json_text_at(save, "path", ""), p->path) == 0) {
            pct = 100 * (double)json_int_at(save, "n_done_pages", 0) / (double)n_total;
        }
    }
    json_decref(document);
    client_close(client);
    return pct;
}

/* On a terminal, saves that take long say that they are under way. */
static void tick(void *ctx)
{
    struct progress *p = ctx;
    struct out *o = &p->cli->err;
    int64_t now = clock_monotonic_ns();
    if (!o->is_terminal || now - p->start_ns < 1000000000 || now - p->shown_ns < 500000000) {
        return;
    }
    p->shown_ns = now;
    double pct = share_done(p);
    buf_addstr(&o->text, "\r\033[Ksaving for ");
    render_seconds(&o->text, now - p->start_ns);
    if (pct >= 0) {
        buf_addf(&o->text, ", %.0f %% done", pct);
    }
    out_flush(o, NULL);
}

static int absolute_path(const char *path, struct buf *out, struct err *e)
{
    char folder[PATH_MAX];
    if (path[0] != '/') {
        if (!getcwd(folder, sizeof folder)) {
            return err_set_errno(e, errno, "cannot tell the current folder");
        }
        buf_addf(out, "%s/", folder);
    }
    buf_addstr(out, path);
    return 0;
}

static int save(struct cli *cli, const struct args *args, json_t **document, struct err *e)
{
    struct client *client = NULL;
    struct buf path = {0};
    json_t *parameters = json_object();
    struct progress p = {.cli = cli, .start_ns = clock_monotonic_ns()};
    int rc = args->operands[0][0] ? absolute_path(args->operands[0], &path, e)
                                  : err_set(e, STAX_EUSAGE, "the name of the file is empty");
    if (rc == 0 && !args_has(args, "force") && access(buf_str(&path), F_OK) == 0) {
        rc = err_set(e, STAX_EUSAGE, "%s is already there", args->operands[0]);
        err_hint(e, "choose another name, or replace it with --force");
    }
    json_t *name = rc ? NULL : json_string(buf_str(&path));
    if (rc == 0 && !name) {
        rc = err_set(e, STAX_EUSAGE, "the path is not valid UTF-8");
    }
    if (rc == 0) {
        json_object_set_new(parameters, "path", name);
        json_object_set_new(parameters, "is_overwrite", json_boolean(args_has(args, "force")));
        json_object_set_new(parameters, "with_source", json_boolean(!args_has(args, "no-source")));
        rc = ask_add_run(args, parameters, e);
    }
    if (rc == 0) {
        rc = client_open(&client, e);
    }
    if (rc == 0) {
        p.path = buf_str(&path);
        client_set_tick(client, tick, &p);
        rc = client_call(client, "save_current", json_incref(parameters), CLIENT_PATIENT, document,
                         e);
    }
    if (p.shown_ns) {
        buf_addstr(&cli->err.text, "\r\033[K");
        out_flush(&cli->err, NULL);
    }
    client_close(client);
    json_decref(parameters);
    buf_free(&path);
    return rc;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    if (save(cli, args, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_save);
}

const struct command command_save = {
    .name = "save",
    .summary = "write a run into one file that can be handed on",
    .operands = "FILE.stax",
    .description =
        "Writes a self-contained archive of the run, live or stopped: one SQLite file that answers "
        "the same questions anywhere, without the program, its binaries or its sources. "
        "The machine code of every function with samples is in it, for stax annotate, and the text "
        "of its source lines unless --no-source is given. The file "
        "appears when it is complete, or not at all.",
    .examples = "stax save run.stax\nstax save --run 3 --force run.stax\n"
                "stax top --run run.stax\nsqlite3 run.stax 'SELECT * FROM v_top LIMIT 10'",
    .flags = flags,
    .shared = ask_run_flags,
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
