/* cmd_compare.c - stax compare. */
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "query/compare.h"
#include "query/query.h"

static const struct flag flags[] = {
    {.name = "by",
     .type = FLAG_TEXT,
     .value = "time|rate|share",
     .help = "Compare time, time per second of the run, or percent of the run's CPU time; default "
             "time."},
    {.name = "sort",
     .type = FLAG_TEXT,
     .value = "self|total",
     .help = "By the change in the function itself, or with all it calls; default self."},
    {.name = "limit",
     .letter = 'n',
     .type = FLAG_INT,
     .value = "N",
     .help = "Rows of each list, 0 for all; default 20.",
     .min = 0,
     .max = 100000},
    {.name = "confidence-pct",
     .type = FLAG_NUMBER,
     .value = "PCT",
     .help = "How sure all intervals together are; default 99.",
     .min = 50,
     .max = 100},
    {.name = "fail-if",
     .type = FLAG_TEXT,
     .value = "EXPR",
     .help = "Exit with 1 if a condition holds, such as 'on_cpu > +10% or self(parse) > +5ms'."},
    {.name = "sql",
     .type = FLAG_TEXT,
     .value = "QUERY",
     .help = "One SELECT over both runs, whose tables are a.NAME and b.NAME, instead."},
    {.name = "csv", .type = FLAG_BOOL, .help = "Print the result of --sql as CSV."},
    {.name = "from",
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Only what happened this many seconds after the start of each run, or later."},
    {.name = "to",
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Only what happened before this many seconds after the start of each run."},
    {.name = "exclude",
     .type = FLAG_TEXTS,
     .value = "SYMBOL",
     .help = "Leave out samples and waits with this function on the stack; may be repeated."},
    {0},
};

/* What only one form of the command takes. */
static int check_forms(const struct args *args, struct err *e)
{
    static const char *const of_tables[] = {"by",      "sort", "limit", "confidence-pct",
                                            "fail-if", "from", "to",    "exclude"};

    if (!args_has(args, "sql")) {
        return args_has(args, "csv") ? err_set(e, STAX_EUSAGE, "--csv goes with --sql") : 0;
    }
    for (size_t i = 0; i < sizeof(of_tables) / sizeof(of_tables[0]); i++) {
        if (args_has(args, of_tables[i])) {
            return err_set(e, STAX_EUSAGE, "--%s does not go with --sql", of_tables[i]);
        }
    }
    return args_has(args, "csv") && args_has(args, "json")
               ? err_set(e, STAX_EUSAGE, "stax compare prints --json or --csv, not both")
               : 0;
}

/* Strings stay those of the parameters, which the caller frees. */
static int read_options(const struct args *args, struct compare_options *options,
                        json_t **parameters, struct err *e)
{
    const char *conditions = args_text(args, "fail-if", NULL);
    json_t *o = json_object();

    *parameters = o;
    json_object_set_new(o, "by", json_clean_string(args_text(args, "by", "time")));
    json_object_set_new(o, "sort", json_clean_string(args_text(args, "sort", "self")));
    json_object_set_new(o, "limit", json_integer(args_int(args, "limit", 20)));
    json_object_set_new(o, "confidence_pct", json_real(args_number(args, "confidence-pct", 99)));
    if (conditions) {
        json_t *text = json_string(conditions);
        if (!text) {
            return err_set(e, STAX_EUSAGE, "--fail-if is not valid UTF-8");
        }
        json_object_set_new(o, "fail_if", text);
    }
    return compare_options_read(options, o, e);
}

/* Which conditions held, and which would have but for their interval. */
static bool tell_conditions(struct cli *cli, const json_t *fail_if)
{
    size_t i;
    const json_t *item;

    json_array_foreach(json_object_get(fail_if, "conditions"), i, item)
    {
        const json_t *change = json_object_get(item, "change");
        const char *note = json_text_at(item, "note", "");
        bool is_met = json_is_true(json_object_get(item, "is_met"));
        if (is_met || *note) {
            cli_note(cli, "%s: %s (%.1f ms in A, %.1f ms in B%s%s)",
                     is_met ? "failed" : "not failed", json_text_at(item, "condition", ""),
                     (double)json_int_at(change, "a_ns", 0) / 1e6,
                     (double)json_int_at(change, "b_ns", 0) / 1e6, *note ? "; " : "", note);
        }
    }
    return json_is_true(json_object_get(fail_if, "is_met"));
}

static int compare(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    struct compare_options options;
    json_t *parameters = NULL, *sides[2] = {NULL, NULL}, *document = NULL;
    int rc = read_options(args, &options, &parameters, &e);

    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = ask_view_of(args, args->operands[i], "profile", NULL, &sides[i], &e);
    }
    rc = rc ? rc : compare_profiles(sides[0], sides[1], &options, &document, &e);
    json_decref(sides[0]);
    json_decref(sides[1]);
    json_decref(parameters);
    if (rc) {
        return cli_fail(cli, &e);
    }
    json_t *fail_if = json_incref(json_object_get(json_object_get(document, "data"), "fail_if"));
    int code = cli_show(cli, args, document, render_compare);
    bool is_failed = tell_conditions(cli, fail_if);
    json_decref(fail_if);
    return code == EXIT_DONE && is_failed ? EXIT_FAILED : code;
}

static int query_both(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    struct buf paths[2] = {{0}, {0}};
    json_t *document = NULL;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = ask_path(args->operands[i], &paths[i], &e);
    }
    if (rc == 0) {
        const struct query_file files[2] = {
            {buf_str(&paths[0]), ask_is_foreign(buf_str(&paths[0]))},
            {buf_str(&paths[1]), ask_is_foreign(buf_str(&paths[1]))}};
        rc = query_sql_both(files, args_text(args, "sql", ""), NULL, &document, &e);
    }
    buf_free(&paths[0]);
    buf_free(&paths[1]);
    return rc ? cli_fail(cli, &e) : cli_show(cli, args, document, render_sql);
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};

    if (check_forms(args, &e)) {
        return cli_fail(cli, &e);
    }
    return args_has(args, "sql") ? query_both(cli, args) : compare(cli, args);
}

const struct command command_compare = {
    .name = "compare",
    .summary = "what changed from one run to another, and how sure that is",
    .operands = "A B",
    .description =
        "Functions by what changed most from run A to run B, then threads, reasons of waiting and "
        "the functions that wait. A and B are ids of runs or archive files; two files need no "
        "server. Functions are matched by name, and by binary where a name has several.\n\n"
        "'+-' is the interval of a change that follows from the number of samples; all of them "
        "hold together with --confidence-pct, and a * marks a change beyond it. It covers sampling "
        "alone, not what differs between two runs of one program. Times of threads and waits are "
        "exact where the kernel told of every switch. A ? marks what has too few samples.\n\n"
        "--fail-if takes conditions joined by 'or': on_cpu, off_cpu, self(FUNCTION) or "
        "total(FUNCTION), then > >= < or <=, then a number with ms, s or %. With a sign the number "
        "is the change (% of A), which counts only beyond its interval; without, the value in B (% "
        "of the CPU time). The exit status is then 1, and stderr says which held; it is 2 for a "
        "FUNCTION without samples in both. Parameters may be left out where one function is called "
        "so.\n\n"
        "--sql answers one SELECT over both databases; 'stax sql --schema' explains the tables.",
    .examples = "stax compare 3 4\nstax compare before.stax after.stax --by share\n"
                "stax compare after.stax 7 --fail-if 'on_cpu > +10% or self(parse) > +5ms'\n"
                "stax compare before.stax after.stax --sql 'SELECT a.run.on_cpu_ns, "
                "b.run.on_cpu_ns FROM a.run, "
                "b.run'",
    .flags = flags,
    .min_operands = 2,
    .max_operands = 2,
    .run = run,
};
