/* cmd_threads.c - stax threads. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Threads to print, 0 for all; default 20.",
     .min = 0,
     .max = 100000},
    {.name = "wide",
     .letter = 'w',
     .type = FLAG_BOOL,
     .help = "One column for each reason of being blocked."},
    {0},
};

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    json_object_set_new(parameters, "limit", json_integer(args_int(args, "limit", 20)));
    if (ask_view(args, "threads", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_threads);
}

const struct command command_threads = {
    .name = "threads",
    .summary = "the threads and where the time of each went",
    .operands = "",
    .description =
        "Threads by CPU time, with the time they were runnable (ready to run, but no CPU was "
        "free), "
        "the time they were blocked (off-CPU), and the reason of most of it. With --wide each "
        "reason has its column, and so have the wall time and what is unknown of it: wall = CPU + "
        "runnable + reasons + unknown. A wait that has not ended counts up to now. A dash means "
        "that the run did not record this.",
    .examples =
        "stax threads\nstax threads --wide\nstax threads -n 0 --pid 4711\nstax threads --json",
    .flags = flags,
    .shared = ask_view_flags,
    .run = run,
};
