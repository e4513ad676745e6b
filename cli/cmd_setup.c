/* cmd_setup.c - stax setup: installs and removes the broker staxd. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/setup.h"

/* What the steps are told to. */
struct report {
    struct cli *cli;
    json_t *steps;
    bool is_json;
};

static const char *const results[] = {
    [SETUP_DONE] = "done", [SETUP_UNCHANGED] = "unchanged", [SETUP_SKIPPED] = "skipped"};

/* As text a step is shown at once: if the next one fails, it is known how far it went. */
static void report_step(void *context, enum setup_result result, const char *what, const char *note)
{
    struct report *report = context;
    json_t *step = json_object();
    json_object_set_new(step, "result", json_string(results[result]));
    json_object_set_new(step, "what", json_clean_string(what));
    if (*note) {
        json_object_set_new(step, "note", json_clean_string(note));
    }
    json_array_append_new(report->steps, step);
    if (!report->is_json) {
        struct out *out = &report->cli->out;
        buf_addf(&out->text, "%-9s  ", results[result]);
        out_foreign(out, what);
        buf_addf(&out->text, "%s%s%s\n", *note ? " (" : "", note, *note ? ")" : "");
        out_flush(out, NULL);
    }
}

static void render_end(struct out *out, const json_t *document, const struct args *args)
{
    const json_t *data = json_object_get(document, "data");
    json_int_t n = json_integer_value(json_object_get(data, "n_changed"));
    if (args_has(args, "uninstall")) {
        buf_addstr(&out->text, n ? "staxd is removed\n" : "staxd was not installed\n");
    } else {
        buf_addstr(&out->text, n ? "staxd is installed; docs/staxd.md says what it grants\n"
                                 : "staxd was installed already; nothing changed\n");
    }
}

static int refuse(struct cli *cli)
{
    struct err e = {0};
    err_set(&e, STAX_EPERMISSION, "stax setup changes the system: it must run as root");
    err_hint(&e, "sudo \"$(command -v stax)\" setup");
    return cli_fail(cli, &e);
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    const char *destdir = getenv("DESTDIR");
    struct report report = {cli, json_array(), args_has(args, "json")};
    struct setup setup = {
        .destdir = args_text(args, "destdir", destdir ? destdir : ""),
        .group = args_text(args, "group", NULL),
        .tell = report_step,
        .context = &report,
    };
    bool is_uninstall = args_has(args, "uninstall");
    int rc;
    if (is_uninstall && setup.group) {
        rc = err_set(&e, STAX_EUSAGE, "--group has no meaning with --uninstall");
    } else if (*setup.destdir && *setup.destdir != '/') {
        rc = err_set(&e, STAX_EUSAGE, "--destdir wants an absolute path, not '%s'", setup.destdir);
    } else if (!*setup.destdir && geteuid() != 0) {
        json_decref(report.steps);
        return refuse(cli);
    } else {
        rc = is_uninstall ? setup_uninstall(&setup, &e) : setup_install(&setup, &e);
    }
    if (rc) {
        json_decref(report.steps);
        return cli_fail(cli, &e);
    }
    json_t *data = json_object();
    json_object_set_new(data, "is_uninstall", json_boolean(is_uninstall));
    json_object_set_new(data, "destdir", json_clean_string(setup.destdir));
    json_object_set_new(data, "n_changed", json_integer((json_int_t)setup.n_changed));
    json_object_set_new(data, "steps", report.steps);
    return cli_show(cli, args, cli_document("stax.setup/1", data), render_end);
}

static const struct flag flags[] = {
    {.name = "uninstall", .type = FLAG_BOOL, .help = "Stop staxd and remove what was installed."},
    {.name = "group",
     .type = FLAG_TEXT,
     .value = "NAME",
     .help = "Let only this group connect to staxd (default: every local user)."},
    {.name = "destdir",
     .type = FLAG_TEXT,
     .value = "DIR",
     .help = "Install into this folder instead of / and start nothing (default $DESTDIR)."},
    {0},
};

const struct command command_setup = {
    .name = "setup",
    .summary = "install the broker that lets users see the kernel's part",
    .operands = "",
    .description =
        "Installs staxd, a small program that runs as root and opens perf events on behalf of "
        "users: kernel stacks, the stacks of waits and wakeups, for processes of their own and no "
        "others. It is started by its socket, /run/staxd.sock, and exits when it is not used.\n\n"
        "Every step is printed; the command can be repeated. docs/staxd.md has the threat model.",
    .examples = "sudo stax setup\nsudo stax setup --group developers  # for these users only\nsudo "
                "stax setup --uninstall",
    .flags = flags,
    .run = run,
};
