/* test_render_compare.c - a canned comparison and what people read of it. */
#include "cli_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/render.h"

#define CHANGE(a, b, delta, interval, pct, n_a, n_b, significant)                                  \
    "{'a_ns':" a ",'b_ns':" b ",'delta_ns':" delta ",'interval_ns':" interval ",'a_ns_per_s':" a   \
    ".0,'b_ns_per_s':" b ".0,'delta_ns_per_s':" delta ".0,'interval_ns_per_s':" interval           \
    ",'a_pct':10.5,'b_pct':20.25,'delta_pct':9.75,'interval_pct':4.5,'change_pct':" pct            \
    ",'n_a_samples':" n_a ",'n_b_samples':" n_b ",'is_significant':" significant "}"
#define EXACT(a, b, delta, pct) CHANGE(a, b, delta, "null", pct, "null", "null", "null")
#define SIDE(id, command)                                                                          \
    "{'run':{'id':" id ",'command':'" command "'},'elapsed_ns':2000000000,'n_samples':300,"        \
    "'on_cpu_ns':300000000,'has_off_cpu':true}"

#define SLOWER                                                                                     \
    CHANGE("100000000", "200000000", "100000000", "57000000", "100.0", "100", "200", "true")
#define FEW     CHANGE("0", "3000000", "3000000", "9000000", "null", "0", "3", "null")
#define WITHIN  CHANGE("7000000", "3000000", "-4000000", "9000000", "-57.1", "7", "3", "false")
#define ELAPSED EXACT("20000000", "30000000", "10000000", "50.0")
#define ON_CPU  EXACT("20000000", "25000000", "5000000", "25.0")
#define LOCKED  EXACT("0", "8000000", "8000000", "null")
#define IDLE    EXACT("0", "0", "0", "0.0")

static const char before_by[] =
    "{'schema':'stax.compare/1','run':null,'quality':null,'warnings':[],'data':{'a':" SIDE(
        "3", "app old") ",'b':" SIDE("4", "app \\u001b[31mnew") ",'by':'";
static const char after_by[] =
    "','sort':'self','confidence_pct':99.0,'n_tested':5,'n_deviations':3.1,"
    "'totals':{'elapsed':" ELAPSED ",'on_cpu':" ON_CPU ",'off_cpu':null,'runnable':null},"
    "'n_functions':9,'n_significant':1,'functions':["
    "{'name':'parse','binary':'app','status':'both','self':" SLOWER ",'total':" SLOWER "},"
    "{'name':'evil\\u001b[31m','binary':null,'status':'new','self':" FEW ",'total':" WITHIN "}],"
    "'n_threads':1,'threads':[{'name':'worker','status':'both','n_a_threads':2,'n_b_threads':1,"
    "'on_cpu':" ON_CPU ",'off_cpu':null,'runnable':null}],"
    "'reasons':[{'reason':'lock','off_cpu':" LOCKED "},{'reason':'idle','off_cpu':" IDLE "}],"
    "'n_waits':0,'waits':[],'fail_if':null}}";

static char *shown_by(const char *by, size_t width)
{
    struct buf json = {0};
    buf_addf(&json, "%s%s%s", before_by, by, after_by);
    char *document = quoted(buf_str(&json));
    char *shown = rendered(render_compare, document, NULL, width);
    free(document);
    buf_free(&json);
    return shown;
}

static void test_by_time(void **state)
{
    (void)state;
    char *shown = shown_by("time", 0);
    assert_string_equal(
        shown,
        "A  run 3, 2.0 s, 300 samples, 300.0 ms on CPU  app old\n"
        "B  run 4, 2.0 s, 300 samples, 300.0 ms on CPU  app \\x1b[31mnew\n"
        "\n"
        "whole run  A ms  B ms  change ms  +- ms  % of A\n"
        "elapsed    20.0  30.0      +10.0  exact   +50.0\n"
        "on CPU     20.0  25.0       +5.0  exact   +25.0\n"
        "\n"
        "1 of 9 functions changed beyond their interval (*), all 5 differences at 99 %\n"
        " A ms   B ms  change ms  +- ms  % of A  total change ms       function      binary\n"
        "100.0  200.0    +100.0*   57.0  +100.0          +100.0*       parse         app\n"
        "  0.0    3.0      +3.0?    9.0       -             -4.0  new  evil\\x1b[31m\n"
        "... 7 more functions (--limit)\n"
        "\n"
        "on-CPU change ms  +- ms  runnable change ms  off-CPU change ms  A  B  thread\n"
        "            +5.0  exact                   -                  -  2  1  worker\n"
        "\n"
        "blocked  A ms  B ms  change ms  +- ms  % of A\n"
        "lock      0.0   8.0       +8.0  exact       -\n");
    free(shown);
}

static void test_by_rate_and_share(void **state)
{
    (void)state;
    char *rate = shown_by("rate", 0), *share = shown_by("share", 0);
    assert_non_null(strstr(rate, "A ms/s  B ms/s  change ms/s  +- ms/s"));
    assert_non_null(strstr(rate, "100.00  200.00     +100.00*    57.00  +100.0"));
    assert_non_null(strstr(share, "A %    B %  change %"));
    assert_non_null(strstr(share, "10.50  20.25    +9.75*"));
    free(rate);
    free(share);
}

static void test_fits_the_terminal(void **state)
{
    (void)state;
    for (size_t width = 60; width < 160; width++) {
        char *shown = shown_by("time", width), *rest = NULL;
        for (char *line = strtok_r(shown, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            if (text_width(line) > width && strncmp(line, "1 of 9", 6) != 0) {
                fail_msg("width %zu: %s", width, line);
            }
        }
        free(shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_time),
        cmocka_unit_test(test_by_rate_and_share),
        cmocka_unit_test(test_fits_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
