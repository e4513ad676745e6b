/* test_render_counters.c - documents with counters and what people read of them. */
#include "cli_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/render.h"
#include "cli/table.h"

#define RUN                                                                                        \
    "'run':{'id':3,'state':'stopped','stop_reason':'stopped','pid':42,'command':'gcc -O2 big.c',"  \
    "'elapsed_ns':12340000000,'n_samples':100,'on_cpu_ns':111000000}"
#define QUALITY                                                                                    \
    "'quality':{'n_samples':100,'n_lost':0,'n_truncated':0,'n_unnamed':0,'n_pending':0,"           \
    "'n_throttled':0,'data_age_ns':null}"
#define HEAD                                                                                       \
    "run 3  gcc -O2 big.c\n"                                                                       \
    "stopped (stopped by request) after 12.3 s, 100 samples, 111.0 ms on CPU\n"                    \
    "\n"

#define FUNCTIONS                                                                                  \
    "'counters':{'cycles':5000000000,'instructions':7500000000,'page-faults':99999},"              \
    "'functions':[{'name':'work','binary':'cc1','self_on_cpu_ns':66000000,'self_pct':60,"          \
    "'n_self_samples':60,'total_on_cpu_ns':111000000,'total_pct':100,'n_total_samples':100,"       \
    "'self_counters':{'cycles':4000000000,'instructions':7000000000,'page-faults':6000},"          \
    "'total_counters':{'cycles':5000000000,'instructions':7500000000,'page-faults':99999},"        \
    "'self_ipc':1.75,'total_ipc':1.5},"                                                            \
    "{'name':'main','binary':'cc1','self_on_cpu_ns':0,'self_pct':0,"                               \
    "'n_self_samples':0,'total_on_cpu_ns':111000000,'total_pct':100,'n_total_samples':100,"        \
    "'self_counters':{'cycles':0,'instructions':0,'page-faults':0},"                               \
    "'total_counters':{'cycles':5000000000,'instructions':7500000000,'page-faults':100000},"       \
    "'self_ipc':null,'total_ipc':1.5}]}}"
#define TOP(sort, by)                                                                              \
    "{" RUN "," QUALITY ",'data':{'sort':'" sort "','n_functions':2,'n_samples':100,"              \
    "'on_cpu_ns':111000000,'by':'" by "'," FUNCTIONS

static void expect(render_fn *render, const char *json, const char *text)
{
    char *document = quoted(json);
    char *shown = rendered(render, document, NULL, 0);
    assert_string_equal(shown, text);
    free(shown);
    free(document);
}

static void test_beside_time(void **state)
{
    (void)state;
    expect(render_top, TOP("self", "on_cpu"),
           HEAD "self ms  self %  total ms  total %  samples  cycles  instructions  page-faults   "
                "IPC  function  binary\n"
                "   66.0    60.0     111.0    100.0       60    4.0G          7.0G         6000  "
                "1.75  work      cc1\n"
                "... 1 more function (--sort total)\n");
}

static void test_by_a_counter(void **state)
{
    (void)state;
    expect(render_top, TOP("self", "page-faults"),
           HEAD "by page-faults, 99999 in all\n"
                "self  self %  total  total %  /sample  /ms  samples  CPU ms   IPC  function  "
                "binary\n"
                "6000    60.0  99999    100.0      100   90       60    66.0  1.75  work      "
                "cc1\n"
                "... 1 more function (--sort total)\n");
    /* Rates of what rows are sorted by. */
    expect(render_top, TOP("total", "page-faults"),
           HEAD "by page-faults, 99999 in all\n"
                "self  self %   total  total %  /sample  /ms  samples  CPU ms   IPC  function  "
                "binary\n"
                "6000    60.0   99999    100.0      999  900      100   111.0  1.50  work      "
                "cc1\n"
                "   0     0.0  100.0k    100.0     1000  900      100   111.0  1.50  main      "
                "cc1\n");
}

static void test_narrow_terminals(void **state)
{
    (void)state;
    static const char *const documents[] = {TOP("self", "on_cpu"), TOP("self", "cycles")};
    for (size_t i = 0; i < 2; i++) {
        char *document = quoted(documents[i]);
        for (size_t width = 44; width < 130; width++) {
            char *shown = rendered(render_top, document, NULL, width), *rest = NULL;
            assert_non_null(strstr(shown, "work"));
            for (char *line = strtok_r(shown, "\n", &rest); line;
                 line = strtok_r(NULL, "\n", &rest)) {
                assert_in_range(text_width(line), 1, width);
            }
            free(shown);
        }
        free(document);
    }
}

static void test_flame(void **state)
{
    (void)state;
    expect(render_flame,
           "{" RUN "," QUALITY
           ",'data':{'n_samples':100,'on_cpu_ns':111000000,'by':'cycles','counters':{'cycles':"
           "5000000000},'n_nodes':2,'cut':null,'roots':[{'name':'gcc','kind':'process',"
           "'total_on_cpu_ns':111000000,'self_on_cpu_ns':0,'self_counters':{'cycles':0},"
           "'total_counters':{'cycles':5000000000},'total_pct':100,'is_inlined':false,"
           "'cut':{'n_nodes':4,'total_on_cpu_ns':1,'total_counters':{'cycles':1000000000}},"
           "'children':[{'name':'work','kind':'function','total_on_cpu_ns':66000000,"
           "'self_on_cpu_ns':66000000,'self_counters':{'cycles':4000000000},'total_counters':"
           "{'cycles':4000000000},'total_pct':80,'is_inlined':false,'cut':null,'children':[]}]}]}}",
           HEAD "by cycles, 5.0G in all\n"
                "   total  total %     self  function\n"
                "    5.0G    100.0        0  gcc (process)\n"
                "    4.0G     80.0     4.0G    work\n"
                "    1.0G     20.0             ... 4 more subtrees (--threshold-pct)\n");
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-7, "-7"},
                 {99999, "99999"},
                 {100000, "100.0k"},
                 {999949, "999.9k"},
                 {999950, "1.0M"},
                 {1234567890, "1.2G"},
                 {INT64_MAX, "9.2E"},
                 {INT64_MIN, "-9.2E"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        table_format_count(text, sizeof(text), cases[i].value);
        assert_string_equal(text, cases[i].text);
    }
}

/* Two instructions of an inlined call, one of the function itself, all of them counted. */
static void test_instructions(void **state)
{
    (void)state;
    expect(
        render_annotate,
        "{" RUN "," QUALITY ",'data':{'n_matches':1,'hottest':0,"
        "'function':{'name':'work','binary':'app','rel_address':4096,'size_bytes':9,"
        "'n_self_samples':3,'self_on_cpu_ns':3000000,'self_pct':50,"
        "'self_counters':{'cycles':9000,'page-faults':2}},"
        "'instructions':["
        "{'rel_address':4096,'size_bytes':4,'mnemonic':'add','operands':'rax, 1',"
        "'n_samples':2,'on_cpu_ns':2000000,'pct':66.7,'counters':{'cycles':8000,'page-faults':2},"
        "'file':'/src/a.c','line':7,'inlined':['step','middle']},"
        "{'rel_address':4100,'size_bytes':4,'mnemonic':'nop','operands':''},"
        "{'rel_address':4104,'size_bytes':1,'mnemonic':'ret','operands':'',"
        "'n_samples':1,'on_cpu_ns':1000000,'pct':33.3,'counters':{'cycles':1000,'page-faults':0},"
        "'file':'/src/a.c','line':9}],"
        "'elsewhere':[],'lines':[{'file':'/src/a.c','line':7,'text':'  x += 1;'},"
        "{'file':'/src/a.c','line':9,'text':null}]}}",
        HEAD "work\n"
             "  app+0x1000, 9 bytes\n"
             "  3 samples, 3.0 ms, 50.0 % of the run\n"
             "  hottest: 1000  66.7 %  add     rax, 1\n"
             "\n"
             "  samples  self %   self ms        cycles   page-faults   addr  instruction\n"
             "                                                         inlined: step < middle\n"
             "                                                         a.c:7  x += 1;\n"
             ">       2    66.7       2.0          8000             2  1000  add     rax, 1\n"
             "                                                         1004  nop\n"
             "                                                         (the function itself)\n"
             "                                                         a.c:9\n"
             "        1    33.3       1.0          1000             0  1008  ret\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_time),  cmocka_unit_test(test_instructions),
        cmocka_unit_test(test_by_a_counter), cmocka_unit_test(test_narrow_terminals),
        cmocka_unit_test(test_flame),        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
