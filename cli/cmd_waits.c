/* cmd_waits.c - stax waits. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Waits to print; default 20.",
     .min = 1,
     .max = 10000},
    {.name = "reason",
     .type = FLAG_TEXT,
     .value = "REASON",
     .help = "Only waits for this: idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn or other; or "
             "runnable: waits for a CPU. Default: all but runnable."},
    {.name = "stacks",
     .letter = 's',
     .type = FLAG_BOOL,
     .help = "The whole stack of each wait, not just the innermost functions."},
    {0},
};

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "limit", json_integer(args_int(args, "limit", 20)));
    ask_add_waits(args, parameters);
    if (ask_view(args, "intervals", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_waits);
}

const struct command command_waits = {
    .name = "waits",
    .summary = "the longest single waits, with reason, stack and waker",
    .operands = "",
    .description =
        "Single intervals in which a thread was blocked, the longest first: when it began, how "
        "long it took, why, and the innermost functions of its stack. A duration with a + has not "
        "ended yet.\n\n"
        "'reason from' says how the reason is known: kernel_stack, wchan, syscall, user_function, "
        "earlier (guessed from another wait of the thread), futex (guessed from its arguments) or "
        "none; 'stack from' how the stack is: switch (taken as the thread left its CPU), parked "
        "(read while it waited) or "
        "last_sample (of its last sample before). 'woken by' is the thread that ended the wait; in "
        "brackets what is no thread of the target, a dash where no wakeup was recorded.",
    .examples = "stax waits\nstax waits -n 5 --reason lock --stacks\nstax waits --tid 4711 --json",
    .flags = flags,
    .shared = ask_view_flags,
    .run = run,
};
