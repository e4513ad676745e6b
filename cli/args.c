/* args.c - see args.h. */
#include "cli/args.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum { MAX_NAMES = 64 };

const struct flag args_common_flags[] = {
    {.name = "json",
     .type = FLAG_BOOL,
     .help = "Print one JSON document on stdout; errors become JSON on stderr."},
    {.name = "help", .letter = 'h', .type = FLAG_BOOL, .help = "Show this help."},
    {0},
};

static const struct flag *const *flag_tables(const struct command *command,
                                             const struct flag *tables[4])
{
    size_t n = 0;
    if (command->flags) {
        tables[n++] = command->flags;
    }
    if (command->shared) {
        tables[n++] = command->shared;
    }
    tables[n++] = args_common_flags;
    tables[n] = NULL;
    return tables;
}

const struct flag *args_flag(const struct command *command, const char *name, size_t n)
{
    const struct flag *tables[4];
    for (const struct flag *const *t = flag_tables(command, tables); *t; t++) {
        for (const struct flag *f = *t; f->name; f++) {
            if (strlen(f->name) == n && memcmp(f->name, name, n) == 0) {
                return f;
            }
        }
    }
    return NULL;
}

static const struct flag *flag_of_letter(const struct command *command, char letter)
{
    const struct flag *tables[4];
    for (const struct flag *const *t = flag_tables(command, tables); *t; t++) {
        for (const struct flag *f = *t; f->name; f++) {
            if (f->letter == letter) {
                return f;
            }
        }
    }
    return NULL;
}

void args_suggest(struct err *e, const char *word, const char *const *names, const char *prefix)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (; *names; names++) {
        size_t d = text_distance(word, *names);
        bool is_start = strlen(word) >= 2 && strncmp(word, *names, strlen(word)) == 0;
        d = is_start && d > 1 ? 1 : d;
        if (d < least) {
            least = d;
            nearest = *names;
        }
    }
    size_t n = strlen(word);
    if (nearest && least <= (n <= 5 ? 1 : n <= 8 ? 2 : 3)) {
        err_hint(e, "did you mean %s%s?", prefix, nearest);
    }
}

/* The long options that a letter may have been meant for. */
static void suggest_letter(struct err *e, char letter, const char *const *names)
{
    struct buf hint = {0};
    for (; *names; names++) {
        if (**names == letter) {
            buf_addf(&hint, "%s--%s", hint.len ? " or " : "", *names);
        }
    }
    if (letter == 'V') {
        err_hint(e, "stax --version names the version");
    } else if (hint.len) {
        err_hint(e, "did you mean %s?", buf_str(&hint));
    }
    buf_free(&hint);
}

static int unknown_flag(const struct command *command, const char *flag, struct err *e)
{
    const char *names[MAX_NAMES];
    size_t n = 0;
    const struct flag *tables[4];
    for (const struct flag *const *t = flag_tables(command, tables); *t; t++) {
        for (const struct flag *f = *t; f->name && n + 1 < MAX_NAMES; f++) {
            names[n++] = f->name;
        }
    }
    names[n] = NULL;
    err_set(e, STAX_EUSAGE, "stax %s has no option %s", command->name, flag);
    err_hint(e, "stax %s --help lists its options", command->name);
    if (strncmp(flag, "--", 2) == 0) {
        struct err copy = *e;
        copy.hint[0] = '\0';
        args_suggest(&copy, flag + 2, names, "--");
        if (copy.hint[0]) {
            *e = copy;
        }
    } else {
        suggest_letter(e, flag[1], names);
    }
    return STAX_EUSAGE;
}

static int parse_int(struct arg_value *v, struct err *e)
{
    char *end;
    errno = 0;
    long long n = strtoll(v->text, &end, 10);
    if (!*v->text || *end) {
        return err_set(e, STAX_EUSAGE, "--%s wants a whole number, not '%s'", v->flag->name,
                       v->text);
    }
    if (v->flag->max == INT64_MAX && (errno ? n < 0 : n < v->flag->min)) {
        return err_set(e, STAX_EUSAGE, "--%s must be at least %" PRId64 ", not %s", v->flag->name,
                       v->flag->min, v->text);
    }
    if (errno && v->flag->max == INT64_MAX) {
        return err_set(e, STAX_EUSAGE, "--%s is too large: %s", v->flag->name, v->text);
    }
    if (errno || n < v->flag->min || n > v->flag->max) {
        return err_set(e, STAX_EUSAGE, "--%s must be between %" PRId64 " and %" PRId64 ", not %s",
                       v->flag->name, v->flag->min, v->flag->max, v->text);
    }
    v->integer = n;
    return 0;
}

/* Seconds in the unit that follows a number, "" being a second; 0: there is no such unit. */
static double unit_seconds(const char *unit)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1},      {"s", 1},  {"sec", 1},  {"ms", 1e-3}, {"us", 1e-6},
                 {"ns", 1e-9}, {"m", 60}, {"min", 60}, {"h", 3600}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].name) == 0) {
            return units[i].seconds;
        }
    }
    return 0;
}

static int refuse_seconds(const struct arg_value *v, struct err *e)
{
    err_set(e, STAX_EUSAGE, "--%s wants seconds, not '%s'", v->flag->name, v->text);
    err_hint(e, "a number, or one with its unit: 500ms, 2s, 1.5m, 1h");
    return STAX_EUSAGE;
}

static int parse_number(struct arg_value *v, struct err *e)
{
    char *end;
    double n = strtod(v->text, &end);
    double scale = v->flag->type == FLAG_SECONDS ? unit_seconds(end) : *end ? 0 : 1;
    bool is_bad = end == v->text || scale == 0 || !isfinite(n);
    n *= scale;
    if (is_bad && v->flag->type == FLAG_SECONDS) {
        return refuse_seconds(v, e);
    }
    if (is_bad) {
        return err_set(e, STAX_EUSAGE, "--%s wants a number, not '%s'", v->flag->name, v->text);
    }
    if (v->flag->type == FLAG_SECONDS) {
        if (n < 0 || n > 1e9) {
            return err_set(e, STAX_EUSAGE, "--%s must be between 0 and 1000000000 seconds, not %s",
                           v->flag->name, v->text);
        }
        v->integer = llround(n * 1e9);
    } else if (n < (double)v->flag->min || n > (double)v->flag->max) {
        return err_set(e, STAX_EUSAGE, "--%s must be between %" PRId64 " and %" PRId64 ", not %s",
                       v->flag->name, v->flag->min, v->flag->max, v->text);
    }
    v->number = n;
    return 0;
}

static int add_value(struct args *args, const struct flag *flag, const char *text, struct err *e)
{
    struct arg_value v = {.flag = flag, .text = text};
    int rc = 0;
    if (flag->type != FLAG_BOOL && flag->type != FLAG_TEXTS && args_get(args, flag->name)) {
        return err_set(e, STAX_EUSAGE, "--%s is given twice", flag->name);
    }
    if (flag->type == FLAG_INT) {
        rc = parse_int(&v, e);
    } else if (flag->type == FLAG_NUMBER || flag->type == FLAG_SECONDS) {
        rc = parse_number(&v, e);
    } else if (flag->type != FLAG_BOOL && !*text && !flag->may_be_empty) {
        rc = err_set(e, STAX_EUSAGE, "--%s is empty", flag->name);
    }
    if (rc == 0) {
        args->values[args->n_values++] = v;
    }
    return rc;
}

/* One --name, --name=value or --name value; *i moves past what was used. */
static int parse_long(struct args *args, int argc, char **argv, int *i, struct err *e)
{
    const char *name = argv[*i] + 2;
    size_t n = strcspn(name, "=");
    const struct flag *flag = args_flag(args->command, name, n);
    if (!flag) {
        char *word = mem_strndup(argv[*i], n + 2);
        int rc = unknown_flag(args->command, word, e);
        free(word);
        return rc;
    }
    const char *text = name[n] == '=' ? name + n + 1 : NULL;
    if (flag->type == FLAG_BOOL) {
        if (text) {
            return err_set(e, STAX_EUSAGE, "--%s takes no value", flag->name);
        }
    } else if (!text) {
        if (*i + 1 >= argc) {
            return err_set(e, STAX_EUSAGE, "--%s wants a value: %s", flag->name, flag->value);
        }
        text = argv[++*i];
    }
    return add_value(args, flag, text, e);
}

/* One or more short flags in one word: -n20, -n 20, -wn20. */
static int parse_short(struct args *args, int argc, char **argv, int *i, struct err *e)
{
    for (const char *s = argv[*i] + 1; *s; s++) {
        const struct flag *flag = flag_of_letter(args->command, *s);
        if (!flag) {
            char word[3] = {'-', *s, '\0'};
            return unknown_flag(args->command, word, e);
        }
        if (flag->type != FLAG_BOOL) {
            const char *text = s[1] == '=' ? s + 2 : s + 1;
            if (!*text) {
                if (*i + 1 >= argc) {
                    return err_set(e, STAX_EUSAGE, "-%c wants a value: %s", *s, flag->value);
                }
                text = argv[++*i];
            }
            return add_value(args, flag, text, e);
        }
        int rc = add_value(args, flag, NULL, e);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int check_operands(const struct args *args, struct err *e)
{
    const struct command *c = args->command;
    int rc = 0;
    if (args_has(args, "help")) {
        return 0;
    }
    if (args->n_operands > c->max_operands) {
        rc = err_set(e, STAX_EUSAGE, "stax %s does not take '%s'", c->name,
                     args->operands[c->max_operands]);
    } else if (args->n_operands < c->min_operands) {
        rc = err_set(e, STAX_EUSAGE, "stax %s wants %s", c->name, c->operands);
    }
    if (rc) {
        err_hint(e, "usage: stax %s [OPTIONS]%s%s", c->name, *c->operands ? " " : "", c->operands);
    }
    return rc;
}

int args_parse(struct args *args, const struct command *command, int argc, char **argv,
               struct err *e)
{
    *args = (struct args){.command = command};
    args->values = mem_new((size_t)argc + 1, sizeof *args->values);
    args->operands = mem_new((size_t)argc + 1, sizeof *args->operands);
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        bool is_flag = arg[0] == '-' && arg[1];
        if (strcmp(arg, "--") == 0 || (!is_flag && command->has_target)) {
            i += is_flag ? 1 : 0;
            if (command->has_target) {
                args->target = argv[i] ? argv + i : NULL;
                break;
            }
            for (; i < argc; i++) {
                args->operands[args->n_operands++] = argv[i];
            }
            break;
        }
        if (!is_flag) {
            args->operands[args->n_operands++] = argv[i];
            continue;
        }
        int rc = arg[1] == '-' ? parse_long(args, argc, argv, &i, e)
                               : parse_short(args, argc, argv, &i, e);
        if (rc) {
            return rc;
        }
    }
    return check_operands(args, e);
}

void args_fini(struct args *args)
{
    free(args->values);
    free(args->operands);
    *args = (struct args){0};
}

const struct arg_value *args_get(const struct args *args, const char *flag)
{
    for (size_t i = args->n_values; i > 0; i--) {
        if (strcmp(args->values[i - 1].flag->name, flag) == 0) {
            return &args->values[i - 1];
        }
    }
    return NULL;
}

bool args_has(const struct args *args, const char *flag)
{
    return args_get(args, flag) != NULL;
}

int64_t args_int(const struct args *args, const char *flag, int64_t fallback)
{
    const struct arg_value *v = args_get(args, flag);
    return v ? v->integer : fallback;
}

double args_number(const struct args *args, const char *flag, double fallback)
{
    const struct arg_value *v = args_get(args, flag);
    return v ? v->number : fallback;
}

const char *args_text(const struct args *args, const char *flag, const char *fallback)
{
    const struct arg_value *v = args_get(args, flag);
    return v ? v->text : fallback;
}

bool args_wants_json(int argc, char **argv)
{
    bool is_record = argc > 0 && strcmp(argv[0], "record") == 0;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
        /* The first operand of record begins the target's own arguments; flag values do not
         * matter here, since a --json after them would still be ours or an error. */
        if (is_record && i > 0 && argv[i][0] != '-' && argv[i - 1][0] != '-') {
            return false;
        }
    }
    return false;
}
