/* cmd_wait.c - stax wait. */
#include <time.h>

#include "base/fd.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/render.h"

static const struct flag flags[] = {
    {.name = "for-samples",
     .type = FLAG_INT,
     .value = "N",
     .help = "Until the run has this many samples.",
     .min = 1,
     .max = INT64_MAX},
    {.name = "for-seconds",
     .type = FLAG_SECONDS,
     .value = "SECS",
     .help = "Until the run is this many seconds long."},
    {.name = "until-symbol",
     .type = FLAG_TEXT,
     .value = "TEXT",
     .help = "Until a function whose name contains this was sampled."},
    {.name = "sql",
     .type = FLAG_TEXT,
     .value = "QUERY",
     .help = "Until this query's first value is neither 0, empty nor NULL."},
    {.name = "timeout-ms",
     .type = FLAG_INT,
     .value = "MS",
     .help = "Give up after this long, with exit status 4; 0: after one look. Default: never.",
     .min = 0,
     .max = INT32_MAX},
    {0},
};

static int add_condition(const struct args *args, json_t *parameters, struct err *e)
{
    static const char *const names[] = {"for-samples", "for-seconds", "until-symbol", "sql"};
    static const char *const keys[] = {"for_samples", "for_ns", "until_symbol", "sql"};
    for (size_t i = 0; i < 4; i++) {
        const struct arg_value *v = args_get(args, names[i]);
        if (!v) {
            continue;
        }
        if (json_object_size(parameters)) {
            err_set(e, STAX_EUSAGE, "stax wait takes one condition, not several");
            err_hint(e, "--sql can say several things at once");
            return STAX_EUSAGE;
        }
        bool is_text = v->flag->type == FLAG_TEXT;
        json_t *value = is_text ? json_string(v->text) : json_integer(v->integer);
        if (!value) {
            return err_set(e, STAX_EUSAGE, "--%s is not valid UTF-8", names[i]);
        }
        json_object_set_new(parameters, keys[i], value);
    }
    return 0;
}

/* `stax record ... &` followed by `stax wait` is a race that the reader of a script does not see: a
 * run that is about to start is given this long (or the timeout) to be there. */
enum { START_GRACE_MS = 2000, RETRY_MS = 50 };

/* Calls wait_active; takes parameters. */
static int ask(json_t *parameters, int64_t grace_ms, json_t **document, struct err *e)
{
    int64_t until_ns = clock_monotonic_ns() + grace_ms * 1000000;
    int rc;
    for (;;) {
        rc = ask_server("wait_active", json_incref(parameters), CLIENT_FOREVER, document, e);
        bool may_come = rc == STAX_ENORUN || rc == STAX_EUNREACHABLE;
        if (!may_come || clock_monotonic_ns() >= until_ns) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
    }
    json_decref(parameters);
    return rc;
}

static int run(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    json_t *document = NULL;
    json_t *parameters = json_object();
    if (add_condition(args, parameters, &e)) {
        json_decref(parameters);
        return cli_fail(cli, &e);
    }
    int64_t grace_ms = START_GRACE_MS;
    if (args_has(args, "timeout-ms")) {
        int64_t timeout_ms = args_int(args, "timeout-ms", 0);
        json_object_set_new(parameters, "timeout_ms", json_integer(timeout_ms));
        grace_ms = timeout_ms < grace_ms ? timeout_ms : grace_ms;
    }
    if (ask(parameters, grace_ms, &document, &e)) {
        return cli_fail(cli, &e);
    }
    bool is_met = json_is_true(json_object_get(json_object_get(document, "data"), "is_met"));
    int code = cli_show(cli, args, document, render_wait);
    return code == EXIT_DONE && !is_met ? EXIT_FAILED : code;
}

const struct command command_wait = {
    .name = "wait",
    .summary = "wait until the active run has something, or stops",
    .operands = "",
    .description =
        "Returns when the condition holds, or when the run stops. At most one "
        "condition; without one, when the run stops. The exit status is 0 when the condition "
        "held, 1 when the run stopped before it did (is_met is false with --json), and 4 when "
        "the time was up. A run that is just being "
        "started is given 2 s to begin, or as long as --timeout-ms says if that is less.",
    .examples = "stax wait --for-samples 1000\n"
                "stax wait --until-symbol parse_expr --timeout-ms 30000\n"
                "stax wait --sql 'SELECT count(*) >= 4 FROM thread'",
    .flags = flags,
    .run = run,
};
