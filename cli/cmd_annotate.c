/* cmd_annotate.c - stax annotate. */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "list",
     .letter = 'l',
     .type = FLAG_BOOL,
     .help = "Only list the functions that TARGET matches; without TARGET the hottest ones."},
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Functions to list, 0 for all; default 20.",
     .min = 0,
     .max = 100000},
    {.name = "source",
     .type = FLAG_BOOL,
     .help = "Add the samples up by source line, where debug information knows it."},
    {.name = "cfg", .type = FLAG_BOOL, .help = "Show basic blocks and the edges between them."},
    {.name = "dot",
     .type = FLAG_BOOL,
     .help = "The same as a graph in the DOT language. Implies --cfg."},
    {.name = "syntax",
     .type = FLAG_TEXT,
     .value = "intel|att",
     .help = "How x86-64 operands are written; default intel."},
    {.name = "all",
     .letter = 'a',
     .type = FLAG_BOOL,
     .help = "Print every instruction; without it long stretches without samples are left out."},
    {0},
};

static int check_flags(const struct args *args, struct err *e)
{
    const char *syntax = args_text(args, "syntax", "intel");
    bool is_cfg = args_has(args, "cfg") || args_has(args, "dot");

    if (strcmp(syntax, "intel") != 0 && strcmp(syntax, "att") != 0) {
        return err_set(e, STAX_EUSAGE, "--syntax is intel or att, not '%s'", syntax);
    }
    if (args_has(args, "list") + args_has(args, "source") + is_cfg > 1) {
        return err_set(e, STAX_EUSAGE, "--list, --source and --cfg exclude each other");
    }
    if ((args_has(args, "source") || is_cfg) && !args->n_operands) {
        err_set(e, STAX_EUSAGE, "which function? TARGET is missing");
        err_hint(e, "stax annotate --list shows the hottest functions");
        return STAX_EUSAGE;
    }
    if (args_has(args, "dot") && args_has(args, "json")) {
        return err_set(e, STAX_EUSAGE, "--dot and --json exclude each other");
    }
    return 0;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *target = args->n_operands ? json_string(args->operands[0]) : NULL;
    bool is_cfg = args_has(args, "cfg") || args_has(args, "dot");

    if (check_flags(args, &e)) {
        json_decref(target);
        return cli_fail(cli, &e);
    }
    if (args->n_operands && !target) {
        err_set(&e, STAX_EUSAGE, "TARGET is not valid UTF-8");
        return cli_fail(cli, &e);
    }
    json_t *parameters = json_object();
    if (target) {
        json_object_set_new(parameters, "target", target);
    }
    json_object_set_new(parameters, "syntax", json_string(args_text(args, "syntax", "intel")));
    if (!is_cfg) {
        json_object_set_new(parameters, "list", json_boolean(args_has(args, "list") || !target));
        json_object_set_new(parameters, "limit", json_integer(args_int(args, "limit", 20)));
    }
    if (ask_view(args, is_cfg ? "cfg" : "annotated", parameters, &document, &e)) {
        return cli_fail(cli, &e);
    }
    return cli_show(cli, args, document, is_cfg ? render_cfg : render_annotate);
}

const struct command command_annotate = {
    .name = "annotate",
    .summary = "the machine code of a function, and where in it the samples are",
    .operands = "[TARGET]",
    .description =
        "Prints the instructions of one function with the samples, the share and the CPU time of "
        "each. TARGET is a part of its name, in upper or lower case, or an address: 0x... or "
        "BINARY+0x.... The function called exactly TARGET is taken, else the hottest one that "
        "matches; --list shows all of them. Without TARGET the hottest functions are listed.\n\n"
        "A line marked > is the hottest. Lines on the left join jumps inside the function with "
        "where they lead. A sample stands at the instruction that was about to run next when it "
        "was taken, so the time of a slow instruction often shows one or two lines further "
        "down.\n\n"
        "Code is stored with a run when it ends, so that an archive is annotated without the "
        "binaries. While a run records it is read from the binary, if that is still the one that "
        "was mapped. Works while the run records and afterwards, for x86-64 and aarch64.",
    .examples = "stax annotate\nstax annotate burn\nstax annotate --list str\n"
                "stax annotate libc.so.6+0x9d8a0\nstax annotate burn --source\n"
                "stax annotate burn --cfg --dot | dot -Tsvg > burn.svg\n"
                "stax annotate burn --tid 4711 --json\nstax annotate burn --run profile.stax",
    .flags = flags,
    .shared = ask_view_flags,
    .max_operands = 1,
    .run = run,
};
