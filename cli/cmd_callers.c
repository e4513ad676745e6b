/* cmd_callers.c - stax callers, stax callees. */
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
     .help = "Levels below the function; default 12.",
     .min = 1,
     .max = 1000},
    {.name = "threshold-pct",
     .type = FLAG_NUMBER,
     .value = "PCT",
     .help = "Sum up subtrees below this share of the function's total; default 1.0.",
     .min = 0,
     .max = 100},
    {.name = "off-cpu", .type = FLAG_BOOL, .help = "The time threads were blocked below it."},
    {.name = "reason",
     .type = FLAG_TEXT,
     .value = "REASON",
     .help = "Only waits for this: idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn or other. "
             "Implies --off-cpu."},
    {0},
};

static int show(struct cli *cli, const struct args *args, const char *view)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *symbol = json_string(args->operands[0]);
    if (!symbol) {
        err_set(&e, STAX_EUSAGE, "the name of the function is not valid UTF-8");
        return cli_fail(cli, &e);
    }
    json_t *parameters = json_object();
    json_object_set_new(parameters, "symbol", symbol);
    json_object_set_new(parameters, "max_depth", json_integer(args_int(args, "max-depth", 12)));
    json_object_set_new(parameters, "threshold_pct",
                        json_real(args_number(args, "threshold-pct", 1.0)));
    ask_add_waits(args, parameters);
    if (ask_view(args, view, parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, render_flame);
}

static int run_callers(struct cli *cli, const struct args *args)
{
    return show(cli, args, "callers");
}

static int run_callees(struct cli *cli, const struct args *args)
{
    return show(cli, args, "callees");
}

const struct command command_callers = {
    .name = "callers",
    .summary = "who calls a function, as a tree, with each caller's share",
    .operands = "FUNCTION",
    .description =
        "The function at the root, its callers below it, their callers below them. 'total' is the "
        "time that comes through a path, 'root %' its share of the function's total, 'self' the "
        "part of it that was spent in the function itself.\n\n"
        "A sample counts once: at the outermost call of the function when it is on the stack more "
        "than once. A caller that calls itself is one line.\n\n"
        "FUNCTION is a name, with or without its parameters, or a part of one: then the hottest "
        "function that has it is shown.\n\n"
        "With --off-cpu the time is that of waits below the function; self is what it waited for "
        "itself, being the innermost function outside the kernel.",
    .examples = "stax callers memcpy\nstax callers malloc -d 3 --threshold-pct 5\n"
                "stax callers pthread_mutex_lock --off-cpu --run profile.stax",
    .flags = flags,
    .shared = ask_view_flags,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_callers,
};

const struct command command_callees = {
    .name = "callees",
    .summary = "what a function calls, as a tree, with each callee's share",
    .operands = "FUNCTION",
    .description =
        "The function at the root, what it calls below it, from all the places it is called at. "
        "'root %' is the share of the function's total.\n\n"
        "A sample counts once: below the innermost call of the function when it is on the stack "
        "more than once, so that recursion is folded. A callee that calls itself is one line.\n\n"
        "FUNCTION is a name, with or without its parameters, or a part of one: then the hottest "
        "function that has it is shown.\n\n"
        "With --off-cpu it is the tree of where threads were blocked below the function, and every "
        "path ends in the reason, such as [lock].",
    .examples = "stax callees parse_expr\nstax callees main -d 2 --json\n"
                "stax callees handle_request --off-cpu",
    .flags = flags,
    .shared = ask_view_flags,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_callees,
};
