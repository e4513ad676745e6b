/* cmd_top.c - stax top. */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Functions to print, 0 for all; default 20.",
     .min = 0,
     .max = 100000},
    {.name = "sort",
     .type = FLAG_TEXT,
     .value = "self|total",
     .help = "By time in the function itself, or with all it calls; default self."},
    {.name = "by",
     .type = FLAG_TEXT,
     .value = "COUNTER",
     .help = "By what a counter of the run counted, such as cycles, instead of CPU time; see stax "
             "record --counters."},
    {.name = "off-cpu", .type = FLAG_BOOL, .help = "By the time threads were blocked there."},
    {.name = "no-inlines",
     .type = FLAG_BOOL,
     .help = "Count inlined functions as the ones they are inlined into."},
    {.name = "reason",
     .type = FLAG_TEXT,
     .value = "REASON",
     .help = "Only waits for this: idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn or other. "
             "Implies --off-cpu."},
    {0},
};

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    const char *sort = args_text(args, "sort", "self");
    if (strcmp(sort, "self") != 0 && strcmp(sort, "total") != 0) {
        err_set(&e, STAX_EUSAGE, "--sort is self or total, not '%s'", sort);
        return cli_fail(cli, &e);
    }
    json_t *parameters = json_object();
    json_object_set_new(parameters, "limit", json_integer(args_int(args, "limit", 20)));
    json_object_set_new(parameters, "sort", json_string(sort));
    ask_add_waits(args, parameters);
    if (args_has(args, "by")) {
        json_object_set_new(parameters, "by", json_clean_string(args_text(args, "by", "")));
    }
    if (ask_view(args, "top", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_top);
}

const struct command command_top = {
    .name = "top",
    .summary = "the functions that burn the most CPU time, or wait the longest",
    .operands = "",
    .description =
        "Functions by the CPU time spent in them (self) and in them and all they call (total). "
        "Shares are of all CPU time of the run, or of what the filters leave.\n\n"
        "With --off-cpu the time is that of threads being blocked: self is what a function itself "
        "waited for, which is the innermost one outside the kernel, and 'blocked' the reason of "
        "most of it. Shares are of all waits that have ended.\n\n"
        "In a run with counters each function also has what they counted in its samples, and "
        "instructions per cycle (IPC) where it counted both. With --by NAME functions are sorted "
        "by a counter, whose rates per sample and per millisecond of CPU time are shown.\n\n"
        "Works while the run records and afterwards.",
    .examples = "stax top\nstax top -n 50 --sort total\nstax top --off-cpu\n"
                "stax top --reason lock\nstax top --by page-faults\nstax top --from 2 --to 3.5 "
                "--exclude main\n"
                "stax top --run profile.stax --json",
    .flags = flags,
    .shared = ask_view_flags,
    .run = run,
};
