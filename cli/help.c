/* help.c - see help.h. */
#include "cli/help.h"

#include <string.h>

#include "cli/commands.h"

enum { TEXT_WIDTH = 80 };

/* Appends words of s, broken before width, each new line indented. column: where the text starts.
 */
static void wrap(struct buf *b, const char *s, size_t n, size_t indent, size_t column)
{
    size_t at = column;
    for (size_t i = 0; i < n;) {
        size_t word = strcspn(s + i, " \n");
        word = word > n - i ? n - i : word;
        if (at > indent && at + 1 + word > TEXT_WIDTH) {
            buf_addf(b, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent && i > 0) {
            buf_addch(b, ' ');
            at++;
        }
        buf_add(b, s + i, word);
        at += word;
        i += word;
        i += strspn(s + i, " \n");
    }
    buf_addch(b, '\n');
}

static void add_paragraphs(struct buf *b, const char *text)
{
    for (const char *s = text; *s;) {
        const char *end = strstr(s, "\n\n");
        size_t n = end ? (size_t)(end - s) : strlen(s);
        wrap(b, s, n, 0, 0);
        s += end ? n + 2 : n;
        buf_addstr(b, *s ? "\n" : "");
    }
}

static void flag_name(struct buf *b, const struct flag *f)
{
    if (f->letter) {
        buf_addf(b, "-%c, ", f->letter);
    }
    buf_addf(b, "--%s", f->name);
    if (f->value) {
        buf_addf(b, " %s", f->value);
    }
}

static void add_flags(struct buf *b, const struct flag *flags)
{
    enum { HELP_COLUMN = 28 };
    for (; flags && flags->name; flags++) {
        struct buf name = {0};
        buf_addf(&name, "  %s", flags->letter ? "" : "    ");
        flag_name(&name, flags);
        buf_addf(b, "%-*s", HELP_COLUMN - 2, buf_str(&name));
        if (name.len > HELP_COLUMN - 2) {
            buf_addf(b, "\n%*s", HELP_COLUMN - 2, "");
        }
        buf_addstr(b, "  ");
        wrap(b, flags->help, strlen(flags->help), HELP_COLUMN, HELP_COLUMN);
        buf_free(&name);
    }
}

void help_overview(struct out *out)
{
    struct buf *b = &out->text;
    buf_addstr(b, "stax shows where a running program spends its CPU time, and why it waits.\n\n"
                  "usage: stax COMMAND [OPTIONS]\n\n");
    for (const struct command *const *c = commands_all(); *c; c++) {
        buf_addf(b, "  %-12s %s\n", (*c)->name, (*c)->summary);
    }
    buf_addstr(b, "\nstart with:\n"
                  "  stax record -- COMMAND    or    stax record --pid PID\n"
                  "  stax top                  while it runs, or afterwards\n\n"
                  "'stax COMMAND --help' explains a command; 'stax --version' names the version.\n"
                  "SECS is a number of seconds, or one with its unit: 500ms, 2s, 1.5m, 1h.\n");
}

void help_text(struct out *out, const struct command *command)
{
    struct buf *b = &out->text;
    buf_addf(b, "stax %s: %s\n\nusage: stax %s [OPTIONS]%s%s\n\n", command->name, command->summary,
             command->name, *command->operands ? " " : "", command->operands);
    add_paragraphs(b, command->description);
    buf_addstr(b, "\noptions:\n");
    add_flags(b, command->flags);
    add_flags(b, command->shared);
    add_flags(b, args_common_flags);
    buf_addf(b, "\nexamples:\n");
    for (const char *s = command->examples; *s;) {
        size_t n = strcspn(s, "\n");
        buf_addf(b, "  %.*s\n", (int)n, s);
        s += n + (s[n] == '\n');
    }
}

static json_t *flags_json(json_t *array, const struct flag *flags)
{
    static const char *const types[] = {
        [FLAG_BOOL] = "boolean",  [FLAG_INT] = "integer", [FLAG_SECONDS] = "seconds",
        [FLAG_NUMBER] = "number", [FLAG_TEXT] = "string", [FLAG_TEXTS] = "string[]",
    };
    for (; flags && flags->name; flags++) {
        json_t *flag = json_object();
        char letter[2] = {flags->letter, '\0'};
        json_object_set_new(flag, "name", json_string(flags->name));
        json_object_set_new(flag, "letter", flags->letter ? json_string(letter) : json_null());
        json_object_set_new(flag, "type", json_string(types[flags->type]));
        json_object_set_new(flag, "help", json_string(flags->help));
        json_array_append_new(array, flag);
    }
    return array;
}

static json_t *command_json(const struct command *command)
{
    json_t *c = json_object();
    json_t *flags = flags_json(json_array(), command->flags);
    flags_json(flags, command->shared);
    flags_json(flags, args_common_flags);
    json_object_set_new(c, "name", json_string(command->name));
    json_object_set_new(c, "summary", json_string(command->summary));
    json_object_set_new(c, "operands", json_string(command->operands));
    json_object_set_new(c, "description", json_string(command->description));
    json_object_set_new(c, "examples", json_string(command->examples));
    json_object_set_new(c, "options", flags);
    return c;
}

static void render_help(struct out *out, const json_t *document, const struct args *args)
{
    (void)args;
    const json_t *commands = json_object_get(json_object_get(document, "data"), "commands");
    const json_t *first = json_array_get(commands, 0);
    const struct command *command = commands_find(json_text_at(first, "name", ""), NULL);
    if (json_array_size(commands) == 1 && command) {
        help_text(out, command);
    } else {
        help_overview(out);
    }
}

int help_command(struct cli *cli, const struct command *command, bool is_json)
{
    json_t *commands = json_array();
    for (const struct command *const *c = commands_all(); *c; c++) {
        if (!command || *c == command) {
            json_array_append_new(commands, command_json(*c));
        }
    }
    json_t *data = json_object();
    json_object_set_new(data, "version", json_string(STAX_VERSION));
    json_object_set_new(data, "commands", commands);
    struct arg_value json = {.flag = &args_common_flags[0]};
    struct args args = {.values = &json, .n_values = is_json ? 1 : 0};
    return cli_show(cli, &args, cli_document("stax.help/1", data), render_help);
}

static void render_version(struct out *out, const json_t *document, const struct args *args)
{
    (void)document, (void)args;
    buf_addstr(&out->text, "stax " STAX_VERSION "\n");
}

int help_version(struct cli *cli, bool is_json)
{
    json_t *data = json_object();
    json_object_set_new(data, "version", json_string(STAX_VERSION));
    struct arg_value json = {.flag = &args_common_flags[0]};
    struct args args = {.values = &json, .n_values = is_json ? 1 : 0};
    return cli_show(cli, &args, cli_document("stax.version/1", data), render_version);
}

static int run_help(struct cli *cli, const struct args *args)
{
    struct err e = {0};
    const struct command *command = NULL;
    if (args_has(args, "man")) {
        help_man(&cli->out);
        return out_flush(&cli->out, &e) ? cli_fail(cli, &e) : EXIT_DONE;
    }
    if (args->n_operands) {
        command = commands_find(args->operands[0], &e);
        if (!command) {
            return cli_fail(cli, &e);
        }
    }
    return help_command(cli, command, args_has(args, "json"));
}

static const struct flag help_flags[] = {
    {.name = "man", .type = FLAG_BOOL, .help = "Print the manual page stax(1) in roff."},
    {0},
};

const struct command command_help = {
    .name = "help",
    .summary = "explain the commands",
    .operands = "[COMMAND]",
    .description = "Lists the commands, or explains one of them. With --json every command with "
                   "its options, for programs that drive stax.",
    .examples = "stax help record\nstax help --json",
    .flags = help_flags,
    .max_operands = 1,
    .run = run_help,
};
