/* test_args.c - command lines and what they parse to. */
#include "cli_test.h"

#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"

/* Parses words separated by spaces; the words live as long as *line. */
static int parse(struct args *args, const struct command *command, char *line, struct err *e)
{
    static const size_t max = 32;
    char **argv = calloc(max, sizeof *argv);
    int argc = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    }
    *e = (struct err){0};
    int rc = args_parse(args, command, argc, argv, e);
    /* Values and the target point to the words, not to the array; the target does. */
    if (!args->target) {
        free(argv);
    }
    return rc;
}

static void expect_error(const struct command *command, const char *words, const char *message,
                         const char *hint)
{
    struct args args;
    struct err e;
    char *line = strdup(words);
    int rc = parse(&args, command, line, &e);
    assert_int_equal(rc, STAX_EUSAGE);
    assert_string_equal(e.msg, message);
    if (hint) {
        assert_string_equal(e.hint, hint);
    }
    args_fini(&args);
    free(line);
}

static void test_forms_of_a_value(void **state)
{
    (void)state;
    static const char *const forms[] = {"--limit 7", "--limit=7", "-n 7", "-n7", "-n=7"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct args args;
        struct err e;
        char *line = strdup(forms[i]);
        assert_int_equal(parse(&args, &command_top, line, &e), 0);
        assert_int_equal(args_int(&args, "limit", 20), 7);
        assert_int_equal(args.n_values, 1);
        args_fini(&args);
        free(line);
    }
}

static void test_types_of_values(void **state)
{
    (void)state;
    struct args args;
    struct err e;
    char line[] = "--from 0.25 --to 3 --exclude a --exclude b --run x.stax --json";
    assert_int_equal(parse(&args, &command_flame, line, &e), 0);
    assert_int_equal(args_int(&args, "from", -1), 250000000);
    assert_int_equal(args_int(&args, "to", -1), 3000000000);
    assert_string_equal(args_text(&args, "exclude", ""), "b");
    assert_int_equal(args.n_values, 6);
    assert_true(args_has(&args, "json"));
    assert_int_equal(args_int(&args, "tid", -1), -1);
    args_fini(&args);
    static const struct {
        const char *text;
        int64_t ns;
    } durations[] = {{"2", 2000000000},     {"2s", 2000000000},  {"0.5s", 500000000},
                     {"500ms", 500000000},  {"1m", 60000000000}, {"1.5min", 90000000000},
                     {"1h", 3600000000000}, {"250us", 250000},   {"7ns", 7}};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        char words[32];
        snprintf(words, sizeof words, "--from %s", durations[i].text);
        assert_int_equal(parse(&args, &command_top, words, &e), 0);
        assert_int_equal(args_int(&args, "from", -1), durations[i].ns);
        args_fini(&args);
    }
    char empty[] = "--daemon-socket= --pid 3";
    assert_int_equal(parse(&args, &command_record, empty, &e), 0);
    assert_string_equal(args_text(&args, "daemon-socket", "x"), "");
    args_fini(&args);
}

static void test_the_target_begins_where_ours_ends(void **state)
{
    (void)state;
    static const char *const lines[] = {"-F 99 -- make -j4 --json", "-F 99 make -j4 --json",
                                        "--frequency=99 make -j4 --json"};
    for (size_t i = 0; i < 3; i++) {
        struct args args;
        struct err e;
        char *line = strdup(lines[i]);
        assert_int_equal(parse(&args, &command_record, line, &e), 0);
        assert_non_null(args.target);
        assert_string_equal(args.target[0], "make");
        assert_string_equal(args.target[2], "--json");
        assert_null(args.target[3]);
        assert_false(args_has(&args, "json"));
        char **words = args.target;
        args_fini(&args);
        free(words - (i == 2 ? 1 : i == 1 ? 2 : 3));
        free(line);
    }
}

static void test_wrong_values(void **state)
{
    (void)state;
    expect_error(&command_top, "--limit ten", "--limit wants a whole number, not 'ten'", "");
    expect_error(&command_top, "--limit -3", "--limit must be between 0 and 100000, not -3", "");
    expect_error(&command_top, "--limit 99999999999999999999",
                 "--limit must be between 0 and 100000, not 99999999999999999999", "");
    expect_error(&command_top, "--limit", "--limit wants a value: N", "");
    expect_error(&command_top, "-n", "-n wants a value: N", "");
    expect_error(&command_top, "--limit=", "--limit wants a whole number, not ''", "");
    expect_error(&command_top, "--from nan", "--from wants seconds, not 'nan'",
                 "a number, or one with its unit: 500ms, 2s, 1.5m, 1h");
    expect_error(&command_top, "--from 2x", "--from wants seconds, not '2x'", NULL);
    expect_error(&command_record, "-l s", "--time-limit wants seconds, not 's'", NULL);
    expect_error(&command_flame, "--threshold-pct 1s", "--threshold-pct wants a number, not '1s'",
                 NULL);
    expect_error(&command_top, "--from -1",
                 "--from must be between 0 and 1000000000 seconds, not -1", "");
    expect_error(&command_flame, "--threshold-pct 101",
                 "--threshold-pct must be between 0 and 100, not 101", "");
    expect_error(&command_top, "--run ''", "--run is empty", "");
    expect_error(&command_top, "--json=1", "--json takes no value", "");
    expect_error(&command_top, "--limit 1 -n 2", "--limit is given twice", "");
    expect_error(&command_top, "x", "stax top does not take 'x'", "usage: stax top [OPTIONS]");
    expect_error(&command_save, "", "stax save wants FILE.stax",
                 "usage: stax save [OPTIONS] FILE.stax");
}

static void test_suggestions(void **state)
{
    (void)state;
    struct err e = {0};
    expect_error(&command_record, "--freqency 9", "stax record has no option --freqency",
                 "did you mean --frequency?");
    expect_error(&command_flame, "--threshold 9", "stax flame has no option --threshold",
                 "did you mean --threshold-pct?");
    expect_error(&command_top, "--zzzzzz", "stax top has no option --zzzzzz",
                 "stax top --help lists its options");
    expect_error(&command_top, "-z", "stax top has no option -z",
                 "stax top --help lists its options");
    expect_error(&command_top, "-s", "stax top has no option -s", "did you mean --sort?");
    expect_error(&command_top, "-V", "stax top has no option -V",
                 "stax --version names the version");
    assert_null(commands_find("version", &e));
    assert_string_equal(e.hint, "did you mean stax --version?");
    assert_null(commands_find("stat", &e)); /* the beginning of one */
    assert_string_equal(e.hint, "did you mean stax status?");
    assert_null(commands_find("tap", &e)); /* one letter off */
    assert_string_equal(e.hint, "did you mean stax top?");
    assert_null(commands_find("flamo", &e));
    assert_string_equal(e.hint, "did you mean stax flame?");
    assert_null(commands_find("salad", &e)); /* two from save */
    assert_string_equal(e.hint, "'stax help' lists the commands");
    assert_null(commands_find("recrod", &e));
    assert_string_equal(e.hint, "did you mean stax record?");
    assert_null(commands_find("select", &e));
    assert_string_equal(e.hint, "did you mean stax select-run?");
    assert_null(commands_find("quux", &e));
    assert_string_equal(e.hint, "'stax help' lists the commands");
    assert_ptr_equal(commands_find("sql", &e), &command_sql);
}

static void test_json_is_seen_before_parsing(void **state)
{
    (void)state;
    char *ours[] = {"top", "--limti", "--json"};
    char *theirs[] = {"record", "--", "x", "--json"};
    char *theirs_too[] = {"record", "-p", "3", "x", "--json"};
    assert_true(args_wants_json(3, ours));
    assert_false(args_wants_json(4, theirs));
    assert_false(args_wants_json(5, theirs_too));
}

static void test_the_table_is_complete(void **state)
{
    (void)state;
    for (const struct command *const *c = commands_all(); *c; c++) {
        assert_true(*(*c)->summary && *(*c)->description && *(*c)->examples);
        assert_non_null((*c)->run);
        const struct flag *tables[] = {(*c)->flags, (*c)->shared, args_common_flags};
        for (size_t i = 0; i < 3; i++) {
            for (const struct flag *f = tables[i]; f && f->name; f++) {
                assert_true((f->type == FLAG_BOOL) == (f->value == NULL));
                assert_true(f->help && f->help[strlen(f->help) - 1] == '.');
                /* The first flag of a name must be this one: no name stands for two flags. */
                assert_ptr_equal(args_flag(*c, f->name, strlen(f->name)), f);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_a_value),
        cmocka_unit_test(test_types_of_values),
        cmocka_unit_test(test_the_target_begins_where_ours_ends),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_json_is_seen_before_parsing),
        cmocka_unit_test(test_the_table_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
