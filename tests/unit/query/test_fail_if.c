/* test_fail_if.c - conditions: what is read of them, what is refused, and when they hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "query/fail_if.h"

#define MS 1e6

/* quantity(name) comparison number, C for a change, % or ns */
static void add(struct buf *out, const struct condition *c)
{
    static const char *const quantities[] = {"on_cpu", "off_cpu", "self", "total"};
    static const char *const comparisons[] = {">", ">=", "<", "<="};

    buf_addf(out, "%s[%s] %s %.10g%s%s; ", quantities[c->quantity], c->name ? c->name : "",
             comparisons[c->comparison], c->number, c->is_percent ? "%" : "ns",
             c->is_change ? " C" : "");
}

static void reads(const char *text, const char *expected)
{
    struct fail_if f;
    struct err e = {0};
    struct buf out = {0};

    if (fail_if_parse(&f, text, BY_TIME, &e) < 0) {
        fail_msg("%s: %s", text, e.msg);
    }
    for (size_t i = 0; i < f.n; i++) {
        add(&out, &f.items[i]);
    }
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
    fail_if_fini(&f);
}

static void conditions_are_read(void **state)
{
    (void)state;
    reads("on_cpu > +10%", "on_cpu[] > 10% C; ");
    reads("  off_cpu<=-2.5s ", "off_cpu[] <= -2500000000ns C; ");
    reads("self(parse)>+5ms or total(main) >= 90%",
          "self[parse] > 5000000ns C; total[main] >= 90%; ");
    reads("on_cpu < 1s or\n on_cpu > 2 s or off_cpu > +0%",
          "on_cpu[] < 1000000000ns; on_cpu[] > 2000000000ns; off_cpu[] > 0% C; ");
}

static void names_may_hold_anything(void **state)
{
    (void)state;
    reads("self( std::vector<int, std::allocator<int> >::push_back(int const&) ) > +1ms",
          "self[std::vector<int, std::allocator<int> >::push_back(int const&)] > 1000000ns C; ");
    reads("self(operator()(int)) > 1%", "self[operator()(int)] > 1%; ");
    reads("self(\"odd ) name or self(x\") > 1%", "self[odd ) name or self(x] > 1%; ");
    reads("total(<core::iter as Iterator>::next) > 1%",
          "total[<core::iter as Iterator>::next] > 1%; ");
    reads("total(or) > 1% or self(on_cpu) > 1%", "total[or] > 1%; self[on_cpu] > 1%; ");
}

static void is_refused(const char *text, enum basis by, const char *message)
{
    struct fail_if f;
    struct err e = {0};

    assert_int_equal(fail_if_parse(&f, text, by, &e), STAX_EUSAGE);
    assert_string_equal(e.msg, message);
    fail_if_fini(&f);
}

static void errors_say_what_is_missing_and_where(void **state)
{
    (void)state;
    is_refused(
        "", BY_TIME,
        "condition: on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION) is missing at the end");
    is_refused("cpu > 1s", BY_TIME,
               "condition: on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION) is missing before "
               "'cpu > 1s'");
    is_refused("on_cpus > 1s", BY_TIME,
               "condition: on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION) is missing before "
               "'on_cpus > 1s'");
    is_refused("on_cpu 1s", BY_TIME, "condition: one of > >= < <= is missing before '1s'");
    is_refused("on_cpu = 1s", BY_TIME, "condition: one of > >= < <= is missing before '= 1s'");
    is_refused("on_cpu >", BY_TIME, "condition: a number is missing at the end");
    is_refused("on_cpu > + 1s", BY_TIME, "condition: a number is missing before ' 1s'");
    is_refused("on_cpu > nan%", BY_TIME, "condition: a number is missing before 'nan%'");
    is_refused("on_cpu > 0x10s", BY_TIME,
               "condition: a unit (ms, s or %) is missing before 'x10s'");
    is_refused("on_cpu > +10", BY_TIME, "condition: a unit (ms, s or %) is missing at the end");
    is_refused("on_cpu > 1 sec", BY_TIME, "condition: a unit (ms, s or %) is missing before 'sec'");
    is_refused("on_cpu > 10%", BY_TIME, "condition: a percentage of on_cpu needs a sign");
    is_refused("self > 1s", BY_TIME,
               "condition: '(' and the name of a function is missing before '> 1s'");
    is_refused("self() > 1s", BY_TIME,
               "condition: the name of a function is missing before ') > 1s'");
    is_refused("self(f > 1s", BY_TIME,
               "condition: the ')' that closes the name is missing before 'f > 1s'");
    is_refused("self(\"f) > 1s", BY_TIME,
               "condition: the closing '\"' is missing before 'f) > 1s'");
    is_refused("self(\"f\"x) > 1s", BY_TIME, "condition: ')' is missing before 'x) > 1s'");
    is_refused("on_cpu > 1s and off_cpu > 1s", BY_TIME,
               "condition: 'or' is missing before 'and off_cpu > 1s'");
    is_refused(
        "on_cpu > 1s or", BY_TIME,
        "condition: on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION) is missing at the end");
    is_refused("self(f) > +1ms", BY_SHARE,
               "condition: shares are compared in percent, not in ms or s");
    is_refused("on_cpu > 1\x1b[31m", BY_TIME,
               "condition: a unit (ms, s or %) is missing before '\\x1b[31m'");
    is_refused("on_cpu > 11111111111111111111111111111111s", BY_TIME,
               "condition: a number has more than 31 characters");
}

static void their_number_and_length_are_bounded(void **state)
{
    struct buf text = {0};
    struct fail_if f;
    struct err e = {0};

    (void)state;
    for (int i = 0; i < MAX_CONDITIONS; i++) {
        buf_addf(&text, "%son_cpu > 1s", i ? " or " : "");
    }
    assert_int_equal(fail_if_parse(&f, buf_str(&text), BY_TIME, &e), 0);
    assert_int_equal(f.n, MAX_CONDITIONS);
    fail_if_fini(&f);
    buf_addstr(&text, " or on_cpu > 1s");
    is_refused(buf_str(&text), BY_TIME, "more than 16 conditions");
    while (text.len <= MAX_FAIL_IF_BYTES) {
        buf_addch(&text, ' ');
    }
    is_refused(buf_str(&text), BY_TIME, "conditions have 4097 bytes, 4096 are allowed");
    buf_free(&text);
}

/* From a ms of n_a samples to b ms of n_b. */
static enum verdict verdict(const char *text, double a, double n_a, double b, double n_b)
{
    const struct sampling sampling = {.elapsed_ns = 1e9, .mean_ns = MS};
    struct change change = change_of(&sampling, (struct amount){a * MS, n_a}, 1000 * MS, &sampling,
                                     (struct amount){b * MS, n_b}, 1000 * MS);
    struct fail_if f;

    assert_int_equal(fail_if_parse(&f, text, BY_TIME, NULL), 0);
    enum verdict v = condition_check(&f.items[0], &change, BY_TIME, 3);
    fail_if_fini(&f);
    return v;
}

static void changes_count_beyond_their_interval(void **state)
{
    (void)state;
    assert_int_equal(verdict("self(f) > +5ms", 100, 100, 200, 200), IS_MET); /* 3 sqrt(300) = 52 */
    assert_int_equal(verdict("self(f) > +5ms", 100, 100, 140, 140), IS_UNSURE);
    assert_int_equal(verdict("self(f) > +5ms", 100, 100, 104, 104), IS_NOT_MET);
    assert_int_equal(verdict("self(f) > +5ms", 0, 0, 9, 9), IS_UNSURE); /* too few */
    assert_int_equal(verdict("self(f) > +99%", 100, 100, 200, 200), IS_MET);
    assert_int_equal(verdict("self(f) > +100%", 100, 100, 200, 200), IS_NOT_MET);
    assert_int_equal(verdict("self(f) >= +100%", 100, 100, 200, 200), IS_MET);
    assert_int_equal(verdict("self(f) < -10%", 200, 200, 100, 100), IS_MET);
    assert_int_equal(verdict("self(f) > +1000%", 0, 0, 100, 100), IS_MET); /* of nothing */
    assert_int_equal(verdict("on_cpu > +10%", 100, -1, 111, -1), IS_MET);  /* exact */
    assert_int_equal(verdict("on_cpu <= -10%", 100, -1, 91, -1), IS_NOT_MET);
}

static void limits_are_those_of_b(void **state)
{
    (void)state;
    assert_int_equal(verdict("self(f) > 150ms", 100, 100, 160, 160), IS_MET);
    assert_int_equal(verdict("self(f) > 15%", 100, 100, 160, 160), IS_MET);
    assert_int_equal(verdict("self(f) > 17%", 100, 100, 160, 160), IS_NOT_MET);
    assert_int_equal(verdict("on_cpu > 0.2s", 300, 300, 160, 160), IS_NOT_MET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_read),
        cmocka_unit_test(names_may_hold_anything),
        cmocka_unit_test(errors_say_what_is_missing_and_where),
        cmocka_unit_test(their_number_and_length_are_bounded),
        cmocka_unit_test(changes_count_beyond_their_interval),
        cmocka_unit_test(limits_are_those_of_b),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
