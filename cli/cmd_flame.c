/* cmd_flame.c - stax flame. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    /* Each level nests twice in JSON, which the parser bounds at 2048. */
    {.name = "max-depth",
     .letter = 'd',
     .type = FLAG_INT,
     .value = "N",
     .help = "Levels of branches below the process; default 12. A function alone below another is "
             "as deep as that.",
     .min = 1,
     .max = 1000},
    {.name = "threshold-pct",
     .type = FLAG_NUMBER,
     .value = "PCT",
     .help = "Sum up subtrees below this share of the time; default 1.0.",
     .min = 0,
     .max = 100},
    {.name = "by",
     .type = FLAG_TEXT,
     .value = "COUNTER",
     .help = "By what a counter of the run counted, such as cycles, instead of CPU time; see stax "
             "record --counters."},
    {.name = "off-cpu",
     .type = FLAG_BOOL,
     .help = "Where threads were blocked; each path ends in the reason."},
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
    json_t *parameters = json_object();
    json_object_set_new(parameters, "max_depth", json_integer(args_int(args, "max-depth", 12)));
    json_object_set_new(parameters, "threshold_pct",
                        json_real(args_number(args, "threshold-pct", 1.0)));
    ask_add_waits(args, parameters);
    if (args_has(args, "by")) {
        json_object_set_new(parameters, "by", json_clean_string(args_text(args, "by", "")));
    }
    if (ask_view(args, "flamegraph", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_flame);
}

const struct command command_flame = {
    .name = "flame",
    .summary = "the call tree with the CPU time, or the waiting, of each path",
    .operands = "",
    .description =
        "The call tree, callers above callees, as an indented text. Subtrees that are "
        "small or deep are summed up in one line that says how many they are and which option "
        "shows "
        "them; those that hardly matter are counted in the last line.\n\n"
        "With --off-cpu it is the tree of where threads were blocked, and every path ends "
        "in its reason, such as [lock].",
    .examples =
        "stax flame\nstax flame -d 40 --threshold-pct 0.1\nstax flame --off-cpu\n"
        "stax flame --reason ioR -d 30\nstax flame --by page-faults\nstax flame --tid 4711 --json",
    .flags = flags,
    .shared = ask_view_flags,
    .run = run,
};
