/* test_render.c - canned documents and what people read of them. */
#include "cli_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/table.h"

#define RUN                                                                                        \
    "'run':{'id':3,'state':'recording','stop_reason':null,'pid':42,'command':'gcc -O2 big.c',"     \
    "'elapsed_ns':12340000000,'n_samples':100,'on_cpu_ns':111000000}"
#define QUALITY                                                                                    \
    "'quality':{'n_samples':100,'n_lost':0,'n_truncated':0,'n_unnamed':0,'n_pending':0,"           \
    "'n_throttled':0,'data_age_ns':1}"

static void expect(render_fn *render, const char *json, const struct args *args, size_t width,
                   const char *text)
{
    char *document = quoted(json);
    char *shown = rendered(render, document, args, width);
    assert_string_equal(shown, text);
    free(shown);
    free(document);
}

static const char top[] =
    "{" RUN "," QUALITY ",'data':{'sort':'self','n_functions':9,'n_samples':100,"
    "'on_cpu_ns':111000000,'functions':["
    "{'name':'std::vector<int, std::allocator<int> >::push_back(int const&)','binary':'cc1plus',"
    "'self_on_cpu_ns':66600000,'self_pct':60,'n_self_samples':60,'total_on_cpu_ns':111000000,"
    "'total_pct':100,'n_total_samples':100},"
    "{'name':'evil\\u001b[31m\\u202ename','binary':null,'self_on_cpu_ns':40000,'self_pct':0.04,"
    "'n_self_samples':0,'total_on_cpu_ns':1,'total_pct':0,'n_total_samples':0}]}}";

static void test_top(void **state)
{
    (void)state;
    expect(render_top, top, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "self ms  self %  total ms  total %  samples  function"
           "                                                       binary\n"
           "   66.6    60.0     111.0    100.0       60  "
           "std::vector<int, std::allocator<int> >::push_back(int const&)  cc1plus\n"
           "    0.0     0.0       0.0      0.0        0  "
           "evil\\x1b[31m\\xe2\\x80\\xaename\n"
           "... 7 more functions (--limit)\n");
}

static void test_top_fits_the_terminal(void **state)
{
    (void)state;
    char *document = quoted(top);
    for (size_t width = 40; width < 160; width++) {
        char *shown = rendered(render_top, document, NULL, width);
        char *rest = NULL;
        for (char *line = strtok_r(shown, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            assert_in_range(text_width(line), 1, width);
        }
        free(shown);
    }
    char *narrow = rendered(render_top, document, NULL, 10);
    assert_non_null(strstr(narrow, "   66.6    60.0    100.0  std"));
    free(narrow);
    free(document);
}

static void test_top_says_what_is_left_out(void **state)
{
    (void)state;
    static const char alike[] =
        "{" RUN "," QUALITY ",'data':{'sort':'self','n_functions':2,'n_samples':100,"
        "'on_cpu_ns':111000000,'functions':["
        "{'name':'shop::inventory::lookup_all() const','binary':'shop','self_on_cpu_ns':66600000,"
        "'self_pct':60,'n_self_samples':60,'total_on_cpu_ns':66600000,'total_pct':60,"
        "'n_total_samples':60},"
        "{'name':'shop::invoices::add_line() const','binary':'shop','self_on_cpu_ns':44400000,"
        "'self_pct':40,'n_self_samples':40,'total_on_cpu_ns':44400000,'total_pct':40,"
        "'n_total_samples':40}]}}";
    expect(render_top, alike, NULL, 40,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples,\n"
           "111.0 ms on CPU\n"
           "\n"
           "self ms  self %  total %  function\n"
           "   66.6    60.0     60.0  shop::i… const\n"
           "   44.4    40.0     40.0  …nvoices::add…\n"
           "too narrow for: total ms, samples,\n"
           "binary\n");
}

static void test_wrapped(void **state)
{
    (void)state;
    struct out out = {.fd = -1, .width = 20};
    buf_addstr(&out.text, "warning: ");
    out_foreign_wrapped(&out, "one two three four a_word_that_is_longer five", 9);
    assert_string_equal(buf_str(&out.text),
                        "warning: one two\nthree four\na_word_that_is_longer\nfive");
    buf_clear(&out.text);
    out.width = 0;
    out_foreign_wrapped(&out, "one two three four five six seven", 9);
    assert_string_equal(buf_str(&out.text), "one two three four five six seven");
    buf_clear(&out.text);
    out_foreign_wrapped(&out, "", 9);
    assert_string_equal(buf_str(&out.text), "");
    buf_free(&out.text);
}

static void test_flame(void **state)
{
    (void)state;
    static const char json[] =
        "{" RUN "," QUALITY ",'data':{'n_samples':100,'on_cpu_ns':111000000,'n_nodes':3,'roots':["
        "{'name':'gcc','kind':'process','total_on_cpu_ns':111000000,'self_on_cpu_ns':0,"
        "'total_pct':100,'is_inlined':false,'cut':null,'children':["
        "{'name':'main','kind':'function','total_on_cpu_ns':99900000,'self_on_cpu_ns':100000,"
        "'total_pct':90,'is_inlined':false,'cut':{'n_nodes':4,'total_on_cpu_ns':1110000},"
        "'children':[{'name':'work','kind':'function','total_on_cpu_ns':98000000,"
        "'self_on_cpu_ns':98000000,'total_pct':88.3,'is_inlined':true,'cut':null,"
        "'children':[]}]}]}]}}";
    expect(render_flame, json, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "total ms  total %  self ms  function\n"
           "   111.0    100.0      0.0  gcc (process)\n"
           "    99.9     90.0      0.1    main\n"
           "    98.0     88.3     98.0      work (inlined)\n"
           "     1.1      1.0               ... 4 more subtrees (--threshold-pct)\n");
}

/* What was left out for its depth and for its size names the option that shows it. */
static void test_flame_says_why_it_is_cut(void **state)
{
    (void)state;
    static const char json[] =
        "{" RUN "," QUALITY ",'data':{'n_samples':100,'on_cpu_ns':100000000,'n_nodes':2,'roots':["
        "{'name':'gcc','kind':'process','total_on_cpu_ns':100000000,'self_on_cpu_ns':0,"
        "'total_pct':100,'is_inlined':false,'cut':{'n_nodes':7,'is_deep':false,'total_on_cpu_ns':"
        "300000},"
        "'children':[{'name':'main','kind':'function','total_on_cpu_ns':90000000,"
        "'self_on_cpu_ns':0,'total_pct':90,'is_inlined':false,"
        "'cut':{'n_nodes':1,'is_deep':true,'total_on_cpu_ns':90000000},'children':[]}]}]}}";
    expect(render_flame, json, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "total ms  total %  self ms  function\n"
           "   100.0    100.0      0.0  gcc (process)\n"
           "    90.0     90.0      0.0    main\n"
           "    90.0     90.0               ... 1 more subtree (--max-depth)\n"
           "     0.3      0.3           ... 7 more subtrees (--threshold-pct)\n");
}

static void test_deep_flame_keeps_names(void **state)
{
    (void)state;
    struct buf json = {0};
    buf_addstr(&json, "{\"data\":{\"on_cpu_ns\":1,\"roots\":[");
    for (int i = 0; i < 200; i++) {
        buf_addf(&json,
                 "{\"name\":\"a_function_with_a_name_%d\",\"total_on_cpu_ns\":1,"
                 "\"self_on_cpu_ns\":0,\"total_pct\":100,\"children\":[",
                 i);
    }
    for (int i = 0; i < 200; i++) {
        buf_addstr(&json, "]}");
    }
    buf_addstr(&json, "]}}");
    char *shown = rendered(render_flame, buf_str(&json), NULL, 80);
    size_t n_lines = 0;
    char *rest = NULL;
    for (char *line = strtok_r(shown, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        n_lines++;
        assert_in_range(text_width(line), 1, 80);
    }
    assert_int_equal(n_lines, 202); /* the last says what the numbers of levels are */
    free(shown);
    /* Levels that are not indented any more have their numbers. */
    shown = rendered(render_flame, buf_str(&json), NULL, 40);
    assert_non_null(strstr(shown, "      0.0      a_fu…e_2\n"));
    assert_non_null(strstr(shown, "      0.0    3 a_"));
    assert_non_null(strstr(shown, "      0.0  199 a_"));
    assert_non_null(strstr(shown, "\nnumbers are levels too deep to indent\n"));
    free(shown);
    buf_free(&json);
}

static void test_top_off_cpu(void **state)
{
    (void)state;
    static const char json[] =
        "{" RUN "," QUALITY ",'data':{'sort':'self','n_functions':3,'n_waits':9,'off_cpu_ns':"
        "200000000,'reason':null,'stackless_off_cpu_ns':0,'open_off_cpu_ns':0,'functions':["
        "{'name':'pthread_mutex_lock','binary':'libc.so.6','self_off_cpu_ns':150000000,"
        "'self_pct':75,'n_self_waits':5,'total_off_cpu_ns':150000000,'total_pct':75,"
        "'n_total_waits':5,'blocked':'lock'},"
        "{'name':'main','binary':'app','self_off_cpu_ns':0,'self_pct':0,'n_self_waits':0,"
        "'total_off_cpu_ns':200000000,'total_pct':100,'n_total_waits':9,'blocked':null}]}}";
    expect(render_top, json, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "self ms  self %  total ms  total %  waits  blocked  function            binary\n"
           "  150.0    75.0     150.0     75.0      5  lock     pthread_mutex_lock  libc.so.6\n"
           "... 2 more functions (--sort total)\n");
}

/* The end of a recording lists what used the CPU itself. */
static void test_summary_is_of_self_time(void **state)
{
    (void)state;
    static const char json[] = "{" RUN "," QUALITY ",'data':{'sort':'self','functions':["
                               "{'name':'work','self_on_cpu_ns':111000000,'self_pct':100},"
                               "{'name':'main','self_on_cpu_ns':0,'self_pct':0}]}}";
    struct out out = {.fd = -1};
    char *text = quoted(json);
    json_t *document = json_loads(text, 0, NULL);
    render_summary(&out, document);
    assert_non_null(strstr(buf_str(&out.text), "  100.0 %  work\ntry: "));
    assert_null(strstr(buf_str(&out.text), "main"));
    out_fini(&out);
    json_decref(document);
    free(text);
}

static void test_flame_off_cpu(void **state)
{
    (void)state;
    static const char json[] =
        "{" RUN "," QUALITY ",'data':{'n_waits':2,'off_cpu_ns':111000000,'n_nodes':3,'roots':["
        "{'name':'gcc','kind':'process','total_off_cpu_ns':111000000,'self_off_cpu_ns':0,"
        "'total_pct':100,'is_inlined':false,'cut':{'n_nodes':1,'total_off_cpu_ns':11100000},"
        "'children':[{'name':'nap','kind':'function','total_off_cpu_ns':99900000,"
        "'self_off_cpu_ns':0,'total_pct':90,'is_inlined':false,'cut':null,'children':["
        "{'name':'[sleep]','kind':'marker','total_off_cpu_ns':99900000,"
        "'self_off_cpu_ns':99900000,'total_pct':90,'is_inlined':false,'cut':null,"
        "'children':[]}]}]}]}}";
    expect(render_flame, json, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "total ms  total %  self ms  function\n"
           "   111.0    100.0      0.0  gcc (process)\n"
           "    99.9     90.0      0.0    nap\n"
           "    99.9     90.0     99.9      [sleep]\n"
           "    11.1     10.0             ... 1 more subtree (--threshold-pct)\n");
}

static const char waits[] =
    "{" RUN "," QUALITY ",'data':{'reason':null,'n_waits':5,'off_cpu_ns':300000000,'n_folded':7,"
    "'folded_off_cpu_ns':1500000,'waits':["
    "{'since_start_ns':1234567890,'dur_ns':250000000,'is_open':false,'utid':2,'tid':43,'pid':42,"
    "'thread':'worker','process':'app','state':'blocked','reason':'lock','reason_from':"
    "'kernel_stack','stack_from':'switch','n_inner':2,'function':'lock_wait','stack':['app','start'"
    ",'work',"
    "'lock_it','lock_wait','futex_wait','schedule'],'waker':'thread','waker_tid':44,"
    "'waker_thread':'own\\u001ber'},"
    "{'since_start_ns':0,'dur_ns':50000000,'is_open':true,'utid':1,'tid':42,'pid':42,"
    "'thread':'ma\\u001bin','process':'app','state':'blocked','reason':'idle','reason_from':null,"
    "'stack_from':null,'function':null,'stack':null},"
    "{'since_start_ns':5000000,'dur_ns':100000,'is_open':false,'utid':1,'tid':42,'pid':42,"
    "'thread':'main','process':'app','state':'runnable','reason':null,'reason_from':null,"
    "'stack_from':null,'function':null,'stack':null,'waker':'interrupt'}]}}";

static void test_waits(void **state)
{
    (void)state;
    expect(render_waits, waits, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           " at s     ms   reason    tid  thread    functions                           "
           "woken by      reason from   stack from\n"
           "1.235  250.0   lock       43  worker    lock_wait < lock_it < work < start  "
           "own\\x1ber 44  kernel_stack  switch\n"
           "0.000   50.0+  idle       42  ma\\x1bin  -                                   "
           "-             -             -\n"
           "0.005    0.1   runnable   42  main      -                                   "
           "[interrupt]   -             -\n"
           "... 2 more waits (--limit)\n"
           "... 7 short ones kept as sums only, 1.5 ms in all\n");
}

static const char wakers[] =
    "{" RUN "," QUALITY ",'data':{'n_pairs':3,'n_wakeups':12,'blocked_ns':30000000,'off_cpu_ns':"
    "40000000,'wakers':["
    "{'waker':'thread','waker_utid':1,'waker_tid':42,'waker_thread':'main','waker_process':'app',"
    "'utid':2,'tid':43,'pid':42,'thread':'wor\\u001bker','process':'app','n_wakeups':10,"
    "'blocked_ns':20000000,'stacks':[{'n_wakeups':9,'blocked_ns':19000000,'function':'signal',"
    "'n_inner':1,'stack':['app','start','put','signal','futex_wake']}]},"
    "{'waker':'interrupt','waker_utid':null,'waker_tid':null,'waker_thread':null,'waker_process':"
    "null,'utid':1,'tid':42,'pid':42,'thread':'main','process':'app','n_wakeups':2,'blocked_ns':"
    "10000000,'stacks':[]}],"
    "'chain':[{'since_start_ns':1500000000,'dur_ns':20000000,'utid':2,'tid':43,'thread':'worker',"
    "'reason':'lock','n_inner':1,'function':'lock_wait','stack':['app','work','lock_wait','futex_"
    "wait'],"
    "'waker':'thread','waker_tid':42,'waker_thread':'main','waker_function':'signal',"
    "'n_waker_inner':1,'waker_stack':['app','put','signal','futex_wake'],'waker_awake_ns':5000000},"
    "{'since_start_ns':1490000000,'dur_ns':25000000,'utid':1,'tid':42,'thread':'main',"
    "'reason':'sleep','function':null,'stack':null,'waker':null,'waker_tid':null,"
    "'waker_thread':null,'waker_function':null,'waker_stack':null,'waker_awake_ns':null}]}}";

static void test_wakers(void **state)
{
    (void)state;
    expect(render_wakers, wakers, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "12 wakeups ended 75.0 % of the waiting: 30.0 of 40.0 ms\n"
           "woken by     tid  thread      tid  wakeups  blocked ms  functions\n"
           "main          42  wor\\x1bker   43       10        20.0  signal < put < start\n"
           "[interrupt]    -  main         42        2        10.0  -\n"
           "... 1 more pair (--limit)\n");
}

static void test_wakers_with_stacks_and_chain(void **state)
{
    (void)state;
    struct flag stacks = {.name = "stacks"}, chain = {.name = "chain"};
    struct arg_value value = {.flag = &stacks};
    struct args args = {.values = &value, .n_values = 1};
    char *document = quoted(wakers);
    char *shown = rendered(render_wakers, document, &args, 0);
    assert_non_null(strstr(shown, "\nmain woke wor\\x1bker (tid 43) 10 times, 20.0 ms blocked\n"
                                  "  9 times, 19.0 ms:\n    futex_wake\n    signal\n"));
    free(shown);
    value.flag = &chain;
    shown = rendered(render_wakers, document, &args, 0);
    assert_non_null(strstr(shown,
                           "\n20.0 ms worker (tid 43)\n    waited for lock at 1.500 s\n"
                           "    in lock_wait < work\n"
                           "  woken by main (tid 42)\n    5.0 ms after its longest wait meanwhile\n"
                           "    in signal < put\n"
                           "which had waited 25.0 ms\n    for sleep at 1.490 s\n"
                           "  woken by [not known]\n"));
    free(shown);
    free(document);
}

static void test_waits_with_stacks(void **state)
{
    (void)state;
    struct flag stacks = {.name = "stacks"};
    struct arg_value value = {.flag = &stacks};
    struct args args = {.values = &value, .n_values = 1};
    char *document = quoted(waits);
    char *shown = rendered(render_waits, document, &args, 0);
    assert_non_null(strstr(shown, "\n250.0 ms lock at 1.235 s, tid 43 worker (reason: "
                                  "kernel_stack, stack: switch), woken by own\\x1ber\n"
                                  "    schedule\n    futex_wait\n"
                                  "    lock_wait\n"));
    assert_non_null(strstr(shown, "\n50.0 ms so far idle at 0.000 s, tid 42 ma\\x1bin (reason: -, "
                                  "stack: -)\n0.1 ms runnable"));
    free(shown);
    free(document);
}

static const char threads[] =
    "{" RUN "," QUALITY ",'data':{'n_threads':2,'on_cpu_ns':111000000,'n_samples':100,'threads':["
    "{'utid':1,'tid':42,'pid':42,'upid':1,'name':'main','process':'gcc','is_main_thread':true,"
    "'on_cpu_ns':100000000,'on_cpu_pct':90.1,'n_samples':90,'runnable_ns':null,'off_cpu_ns':null,"
    "'blocked':null,'reasons':null,'unknown_ns':null,'wall_ns':null,'n_switches':null,'start_ns':0,"
    "'end_ns':null},"
    "{'utid':2,'tid':43,'pid':%d,'upid':%d,'name':'worker','process':'as','is_main_thread':false,"
    "'on_cpu_ns':11000000,'on_cpu_pct':9.9,'n_samples':10,'runnable_ns':2000000,"
    "'off_cpu_ns':5000000,'blocked':'lock','reasons':{'lock_ns':4000000,'idle_ns':1000000},"
    "'unknown_ns':500000,'wall_ns':118500000,'n_switches':7,"
    "'start_ns':0,'end_ns':null}]}}";

static void test_threads(void **state)
{
    (void)state;
    char json[4096];
    snprintf(json, sizeof json, threads, 42, 1);
    expect(render_threads, json, NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\n"
           "CPU ms  CPU %  runnable ms  off-CPU ms  samples  blocked  tid  name\n"
           " 100.0   90.1            -           -       90  -         42  main\n"
           "  11.0    9.9          2.0         5.0       10  lock      43  worker\n");
}

static void test_threads_wide_of_two_processes(void **state)
{
    (void)state;
    char json[4096];
    struct flag wide = {.name = "wide"};
    struct arg_value value = {.flag = &wide};
    struct args args = {.values = &value, .n_values = 1};
    snprintf(json, sizeof json, threads, 43, 2);
    char *at = strstr(json, "'wall_ns':118500000");
    memmove(at + strlen("'guessed_ns':4000000,"), at, strlen(at) + 1);
    memcpy(at, "'guessed_ns':4000000,", strlen("'guessed_ns':4000000,"));
    char *document = quoted(json);
    char *shown = rendered(render_threads, document, &args, 40);
    assert_non_null(strstr(
        shown, "idle ms  lock ms  sem ms  ipc ms  ioR ms  ioW ms  ready ms  "
               "sleep ms  conn ms  other ms  guessed ms  unknown ms  wall ms  tid  pid  process  "
               "name\n"));
    assert_non_null(strstr(
        shown, "    1.0      4.0       -       -       -       -         -"
               "         -        -         -         4.0         0.5    118.5   43   43  as       "
               "worker\n"));
    assert_non_null(strstr(shown, " ?  "));
    assert_non_null(strstr(shown, "? guessed: 4.0 ms\n"));
    free(shown);
    free(document);
}

static void test_sql(void **state)
{
    (void)state;
    static const char json[] = "{'columns':['name','n','x'],'rows':[['a,b',1,null],['say "
                               "\\\"hi\\\"',-20,0.5],['',3,1e100]],"
                               "'n_rows':3}";
    char *document = quoted(json);
    json_t *data = json_loads(document, 0, NULL);
    struct out out = {.fd = -1};
    render_sql_table(&out, data);
    assert_string_equal(buf_str(&out.text), "name        n      x\n"
                                            "a,b         1\n"
                                            "say \"hi\"  -20    0.5\n"
                                            "            3  1e100\n");
    buf_clear(&out.text);
    render_sql_csv(&out, data);
    assert_string_equal(buf_str(&out.text), "name,n,x\n"
                                            "\"a,b\",1,\n"
                                            "\"say \"\"hi\"\"\",-20,0.5\n"
                                            "\"\",3,1e100\n");
    buf_free(&out.text);
    json_decref(data);
    free(document);
}

static void test_csv_to_a_terminal_is_clean(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:[s],s:[[s]]}", "columns", "a", "rows", "x\033[31my");
    struct out out = {.fd = -1, .is_terminal = true};
    render_sql_csv(&out, data);
    assert_string_equal(buf_str(&out.text), "a\nx\\x1b[31my\n");
    out.is_terminal = false;
    buf_clear(&out.text);
    render_sql_csv(&out, data);
    assert_string_equal(buf_str(&out.text), "a\nx\033[31my\n");
    buf_free(&out.text);
    json_decref(data);
}

static void test_sql_with_nul(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:[s],s:[[s%]]}", "columns", "a", "rows", "x\0,y", (size_t)4);
    struct out out = {.fd = -1, .is_terminal = true};
    render_sql_table(&out, data);
    assert_string_equal(buf_str(&out.text), "a\nx\\x00,y\n");
    buf_clear(&out.text);
    render_sql_csv(&out, data);
    assert_string_equal(buf_str(&out.text), "a\n\"x\\x00,y\"\n");
    out.is_terminal = false;
    buf_clear(&out.text);
    render_sql_csv(&out, data);
    assert_int_equal(out.text.len, 9);
    assert_memory_equal(buf_str(&out.text), "a\n\"x\0,y\"\n", 9);
    buf_free(&out.text);
    json_decref(data);
}

static void test_status(void **state)
{
    (void)state;
    static const char json[] =
        "{'data':{'server':{'version':'0.1.0','pid':7,'uptime_ns':65000000000,'socket':'/s','http':"
        "'127.0.0.1:8080','data_dir':'/d','is_tmpfs':true},'active':%s,'selected':null}}";
    char text[1024];
    snprintf(text, sizeof text, json, "null");
    expect(render_status, text, NULL, 0,
           "stax-server 0.1.0, pid 7, up 1 min 05 s\n"
           "socket    /s\n"
           "http      127.0.0.1:8080\n"
           "data      /d\n"
           "\n"
           "no run is active; start one with: stax record -- COMMAND\n");
    snprintf(text, sizeof text, json,
             "{'id':3,'state':'recording','stop_reason':null,'pid':42,'command':'gcc','elapsed_ns':"
             "1000000000,'n_samples':9,'on_cpu_ns':1000000,'n_lost':4,'n_threads':2,"
             "'n_processes':1,'path':'/d/run-3.stax'}");
    expect(render_status, text, NULL, 0,
           "stax-server 0.1.0, pid 7, up 1 min 05 s\n"
           "socket    /s\n"
           "http      127.0.0.1:8080\n"
           "data      /d\n"
           "\n"
           "run 3  gcc\n"
           "recording for 1.0 s, 9 samples, 1.0 ms on CPU, 4 lost\n"
           "2 threads in 1 process, pid 42\n"
           "file      /d/run-3.stax\n");
}

static void test_list(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    expect(render_list, "{'data':{'runs':[]}}", NULL, 0,
           "no runs yet; make one with: stax record -- COMMAND\n");
    expect(
        render_list,
        "{'data':{'runs':[{'id':12,'state':'recording','stop_reason':null,'command':'gcc','pid':"
        "42,'start_wall_ns':1700000000000000000,'elapsed_ns':1500000000,'n_samples':9,"
        "'on_cpu_ns':1000000,'n_lost':0,'size_bytes':1572864,'is_archive':false,'is_active':true,"
        "'is_selected':false},{'id':3,'state':'stopped','stop_reason':'target_exited','command':"
        "'as','pid':5,'start_wall_ns':0,'elapsed_ns':0,'n_samples':0,'on_cpu_ns':0,'n_lost':0,"
        "'size_bytes':100,'is_archive':true,'is_active':false,'is_selected':true}]}}",
        NULL, 0,
        "run    state                   started              seconds  samples  CPU ms  lost  "
        "   size  pid  command\n"
        " 12 *  recording               2023-11-14 22:13:20      1.5        9     1.0     0  "
        "1.5 MiB   42  gcc\n"
        "  3 >  archive, target exited  1970-01-01 00:00:00      0.0        0     0.0     0  "
        "  100 B    5  as\n"
        "* active  > selected\n");
    expect(
        render_list,
        "{'data':{'runs':[{'id':7,'state':'unreadable','size_bytes':4096,'note':'/d/run-7.stax is "
        "not a stax run','is_archive':false,'is_active':false,'is_selected':false},{'id':8,"
        "'state':'stopped','stop_reason':'stopped','command':'cc','pid':5,'start_wall_ns':"
        "1700000000000000000,'elapsed_ns':0,'n_samples':1,'on_cpu_ns':0,'n_lost':0,'size_bytes':"
        "null,'note':'its file is gone','is_archive':true,'is_active':false,'is_selected':"
        "false}]}}",
        NULL, 0,
        "run    state                        started              seconds  samples  CPU ms  lost  "
        "   size  pid  command\n"
        "  7    unreadable                   -                          -        -       -     -  "
        "4.0 KiB    -  (/d/run-7.stax is not a stax run)\n"
        "  8    archive, stopped by request  2023-11-14 22:13:20      0.0        1     0.0     0  "
        "      -    5  cc (its file is gone)\n"
        "* active  > selected\n");
}

static void test_small_documents(void **state)
{
    (void)state;
    expect(render_wait,
           "{'data':{'is_met':true,'reason':'samples','n_samples':10,'elapsed_ns':500000000}}",
           NULL, 0, "samples reached after 0.5 s, 10 samples\n");
    expect(render_wait,
           "{'data':{'is_met':true,'reason':'stopped','n_samples':10,'elapsed_ns':500000000}}",
           NULL, 0, "the run stopped after 0.5 s, 10 samples\n");
    expect(render_save,
           "{'data':{'path':'/tmp/a.stax','size_bytes':2048,'n_samples':9,'n_functions':2,"
           "'code_bytes':300,'elapsed_ms':3.4}}",
           NULL, 0,
           "saved /tmp/a.stax: 2.0 KiB, 9 samples, code of 2 functions (300 B), in 3 ms\n");
    expect(render_save,
           "{'data':{'path':'/tmp/a.stax','size_bytes':2048,'n_samples':9,'n_functions':2,"
           "'code_bytes':300,'n_source_lines':7,'source_bytes':90,'elapsed_ms':3.4}}",
           NULL, 0,
           "saved /tmp/a.stax: 2.0 KiB, 9 samples, code of 2 functions (300 B), 7 source lines "
           "(90 B), in 3 ms\n");
    expect(render_select, "{'run':null,'data':{'run':5}}", NULL, 0, "selected run 5\n");
    expect(render_stop, "{" RUN "," QUALITY ",'data':{}}", NULL, 0,
           "run 3  gcc -O2 big.c\nrecording for 12.3 s, 100 samples, 111.0 ms on CPU\n");
    expect(render_open, "{" RUN ",'data':{'run':3,'path':'/x'}}", NULL, 0,
           "opened and selected run 3: gcc -O2 big.c, 100 samples, 111.0 ms on CPU\n");
}

static void test_diagnose(void **state)
{
    (void)state;
    expect(render_diagnose,
           "{" RUN "," QUALITY ",'data':{'capture':{'n_samples':100,'ring_bytes':524288,"
           "'cpu_time_ns':1500000},'queue':{'bytes':0},'ingest':null,'database':{},'process':"
           "{'cpu_pct':0.25},'loss':[{'kind':'ring_full','n':3,'first_ts':1,'last_ts':2},"
           "{'kind':'wakeups','n':9,'first_ts':3,'last_ts':3}],"
           "'unresolved':[{'binary':'libx.so','note':'stripped','on_cpu_ns':1000000,'pct':0.9}],"
           "'abilities':[{'name':'kernel_stacks','is_available':false,'reason':'paranoid is 2',"
           "'unlock':'sudo sysctl x=1'}]}}",
           NULL, 0,
           "run 3  gcc -O2 big.c\n"
           "recording for 12.3 s, 100 samples, 111.0 ms on CPU\n"
           "\ncapture\n"
           "  samples            100\n"
           "  ring               512.0 KiB\n"
           "  cpu time           1.5 ms\n"
           "\nqueue\n"
           "  waiting            0 B\n"
           "\nserver process\n"
           "  cpu                0.25 %\n"
           "\nquality\n"
           "  samples            100\n"
           "  lost               0\n"
           "  truncated          0\n"
           "  unnamed            0\n"
           "  pending            0\n"
           "  throttled          0\n"
           "  data age           0.0 ms\n"
           "\nloss\n"
           "  ring_full: 3 records\n"
           "  wakeups: 9 wakeups\n"
           "\ncode without names\n"
           "CPU ms    %  binary   why\n"
           "   1.0  0.9  libx.so  stripped\n"
           "\nwhat this host lets a run record\n"
           "  kernel_stacks: no, paranoid is 2\n"
           "    unlock with: sudo sysctl x=1\n");
}

static void test_summary(void **state)
{
    (void)state;
    char *document = quoted(top);
    json_t *json = json_loads(document, 0, NULL);
    struct out out = {.fd = -1, .width = 60};
    render_summary(&out, json);
    assert_string_equal(buf_str(&out.text),
                        "\nrun 3 recording for 12.3 s, 100 samples, 111.0 ms on CPU, none lost\n"
                        "   60.0 %  std::vector<…>::push_back(…)\n"
                        "    0.0 %  evil\\x1b[31m\\xe2\\x80\\xaename\n"
                        "try: stax top · stax flame · stax threads · stax sql · stax save "
                        "run-3.stax\n");
    buf_free(&out.text);
    json_decref(json);
    free(document);
}

static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } times[] = {{0, "0.0 s"},
                 {59960000000, "59.9 s"},
                 {60000000000, "1 min 00 s"},
                 {3599000000000, "59 min 59 s"},
                 {3725000000000, "1 h 02 min"}};
    static const struct {
        int64_t n_bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1048575, "1.0 MiB"},
                 {5LL << 40, "5.0 TiB"}};
    struct buf b = {0};
    for (size_t i = 0; i < 5; i++) {
        buf_clear(&b);
        render_seconds(&b, times[i].ns);
        assert_string_equal(buf_str(&b), times[i].text);
        buf_clear(&b);
        render_bytes(&b, sizes[i].n_bytes);
        assert_string_equal(buf_str(&b), sizes[i].text);
    }
    buf_free(&b);
}

static void test_progress_line(void **state)
{
    (void)state;
    json_t *active =
        json_pack("{s:i,s:I,s:i,s:i,s:i}", "id", 3, "elapsed_ns", (json_int_t)2500000000,
                  "n_samples", 2250, "n_threads", 4, "n_lost", 0);
    struct buf line = {0};
    progress_line(&line, active, 80);
    assert_string_equal(buf_str(&line), "run 3  2.5 s  2250 samples  4 threads  0 lost");
    json_object_set_new(active, "n_threads", json_integer(1));
    buf_clear(&line);
    progress_line(&line, active, 80);
    assert_string_equal(buf_str(&line), "run 3  2.5 s  2250 samples  1 thread  0 lost");
    buf_clear(&line);
    progress_line(&line, active, 20);
    assert_int_equal(text_width(buf_str(&line)), 20);
    buf_free(&line);
    json_decref(active);
}

/* Documents of another version or a broken server must not crash the reader. */
static void test_odd_documents(void **state)
{
    (void)state;
    static render_fn *const all[] = {render_top,  render_flame,    render_threads, render_sql,
                                     render_list, render_diagnose, render_status,  render_stop,
                                     render_wait, render_save,     render_open,    render_select};
    static const char *const documents[] = {
        "{}",
        "{'run':3,'data':4,'quality':[]}",
        "{'run':{},'data':{},'quality':{},'warnings':3}",
        "{'data':{'functions':[1,null,{}],'roots':[1,{'children':[[]],'cut':4}],'threads':[null],"
        "'runs':[3],'columns':[1,null],'rows':[null,[],[{}]],'loss':[1],'unresolved':[2],"
        "'abilities':[3],'capture':{'x':[]}}}",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (size_t j = 0; j < sizeof documents / sizeof *documents; j++) {
            char *json = quoted(documents[j]);
            char *shown = rendered(all[i], json, NULL, 40);
            assert_non_null(shown);
            free(shown);
            free(json);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_top_fits_the_terminal),
        cmocka_unit_test(test_top_says_what_is_left_out),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_flame),
        cmocka_unit_test(test_flame_says_why_it_is_cut),
        cmocka_unit_test(test_deep_flame_keeps_names),
        cmocka_unit_test(test_top_off_cpu),
        cmocka_unit_test(test_summary_is_of_self_time),
        cmocka_unit_test(test_flame_off_cpu),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_waits_with_stacks),
        cmocka_unit_test(test_wakers),
        cmocka_unit_test(test_wakers_with_stacks_and_chain),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_wide_of_two_processes),
        cmocka_unit_test(test_sql),
        cmocka_unit_test(test_csv_to_a_terminal_is_clean),
        cmocka_unit_test(test_sql_with_nul),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_small_documents),
        cmocka_unit_test(test_diagnose),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_progress_line),
        cmocka_unit_test(test_odd_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
