/* cmd_wakers.c - stax wakers. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Pairs of threads to print; default 20, 0 for all.",
     .min = 0,
     .max = 1000000},
    {.name = "stacks",
     .letter = 's',
     .type = FLAG_BOOL,
     .help = "The hottest stacks of each waker, whole."},
    {.name = "chain",
     .letter = 'c',
     .type = FLAG_BOOL,
     .help = "Instead: the longest wait, who ended it, what that thread had waited for meanwhile, "
             "and so on."},
    {0},
};

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "limit", json_integer(args_int(args, "limit", 20)));
    if (args_has(args, "chain")) {
        json_object_set_new(parameters, "chain", json_true());
    }
    if (ask_view(args, "wakers", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_wakers);
}

const struct command command_wakers = {
    .name = "wakers",
    .summary = "who ended the waits of whom",
    .operands = "",
    .description =
        "Pairs of threads: one that woke and one that was blocked until then, with how often, the "
        "waiting time that ended so, and where the waker was. --tid, --pid, --from and --to are "
        "about the thread that was woken, --exclude about the waker's stack.\n\n"
        "A waker in brackets is no thread of the target: [interrupt] is a timer or a device. A "
        "wait has no waker where none was recorded: the first line says how much of the waiting "
        "has one. Wakeups are recorded as root or through staxd.",
    .examples = "stax wakers\nstax wakers --tid 4711 --stacks\nstax wakers --chain\n"
                "stax wakers --chain --tid 4711 --json",
    .flags = flags,
    .shared = ask_view_flags,
    .run = run,
};
