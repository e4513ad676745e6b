/*
 * test_counter_event.c - the words of perf list, what they mean, and what is none of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/perf_event.h>

#include "capture/counter_event.h"
#include "capture/counter_pmu.h"

#define CACHE(cache, op, result)                                                                   \
    (PERF_COUNT_HW_CACHE_##cache | PERF_COUNT_HW_CACHE_OP_##op << 8 |                              \
     PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct {
    const char *text;
    uint32_t type;
    uint64_t config;
    const char *unit;
} good[] = {
    {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "cycle"},
    {"cpu-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "cycle"},
    {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, "instruction"},
    {"branches", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, "branch"},
    {"branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, "miss"},
    {"cache-references", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES, "reference"},
    {"idle-cycles-backend", PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_BACKEND, "cycle"},
    {"ref-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES, "cycle"},
    {"task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, "ns"},
    {"faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, "fault"},
    {"minor-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN, "fault"},
    {"cs", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, "switch"},
    {"cpu-migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, "migration"},
    {"L1-dcache-load-misses", PERF_TYPE_HW_CACHE, CACHE(L1D, READ, MISS), "miss"},
    {"L1-dcache-loads", PERF_TYPE_HW_CACHE, CACHE(L1D, READ, ACCESS), "access"},
    {"l1d-read-miss", PERF_TYPE_HW_CACHE, CACHE(L1D, READ, MISS), "miss"},
    {"l1d-misses-read", PERF_TYPE_HW_CACHE, CACHE(L1D, READ, MISS), "miss"},
    {"L1-icache-prefetches", PERF_TYPE_HW_CACHE, CACHE(L1I, PREFETCH, ACCESS), "access"},
    {"LLC-loads", PERF_TYPE_HW_CACHE, CACHE(LL, READ, ACCESS), "access"},
    {"llc-store-misses", PERF_TYPE_HW_CACHE, CACHE(LL, WRITE, MISS), "miss"},
    {"LLC-misses", PERF_TYPE_HW_CACHE, CACHE(LL, READ, MISS), "miss"},
    {"LLC-speculative-load-miss", PERF_TYPE_HW_CACHE, CACHE(LL, PREFETCH, MISS), "miss"},
    {"dTLB-load-misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, READ, MISS), "miss"},
    {"Data-TLB-stores", PERF_TYPE_HW_CACHE, CACHE(DTLB, WRITE, ACCESS), "access"},
    {"iTLB-load-misses", PERF_TYPE_HW_CACHE, CACHE(ITLB, READ, MISS), "miss"},
    {"branch-load-misses", PERF_TYPE_HW_CACHE, CACHE(BPU, READ, MISS), "miss"},
    {"node-loads", PERF_TYPE_HW_CACHE, CACHE(NODE, READ, ACCESS), "access"},
    {"r1a8", PERF_TYPE_RAW, 0x1a8, "event"},
    {"rFFFFffffFFFFffff", PERF_TYPE_RAW, UINT64_MAX, "event"},
    {"sched:sched_switch", PERF_TYPE_TRACEPOINT, 0, "event"},
    {"syscalls:sys_enter_read", PERF_TYPE_TRACEPOINT, 0, "event"},
    {"u:k_u", PERF_TYPE_TRACEPOINT, 0, "event"},
};

static const struct {
    const char *text, *message, *hint;
} bad[] = {
    {"", "empty", ""},
    {"cycels", "no event is called 'cycels'", "cycles"},
    {"instruction", "no event", "instructions"},
    {"page_faults", "no event", "page-faults"},
    {"L1-dcache-load-mises", "no event", "L1-dcache-load-misses"},
    {"dtlb", "no event", "dTLB-loads"},
    {"iTLB-stores", "no event", "iTLB-loads"}, /* that cache has no stores */
    {"LLC-load-misses-", "no event", "LLC-load-misses"},
    {"LLC-loads-loads", "no event", ""},
    {"r", "no event", ""},
    {"r12345678901234567", "no event", ""},
    {"no_such_pmu/event=1/", "no PMU 'no_such_pmu'", "it has"},
    {"cpu/event=1", "PMU/FIELD=NUMBER", "cpu/event=0x3c"},
    {"cycles:", "no modifier", ""},
    {"cycles:x", "modifiers", ":u counts in user code"},
    {"cycles:pppp", "modifiers", ""},
    {"cycles:u:k", "modifiers", ""},
    {"sched:sched_switch:x", "modifiers", ""},
    {"nothing:u", "no event is called 'nothing'", ""},
    {"sched:", "no event is called 'sched'", ""},
    {"a b:c", "no event", ""},
    {"../../etc:passwd", "PMU", "cpu/event=0x3c"},
    {"../event=1/", "PMU", "cpu/event=0x3c"},
    {"sched:..", "no event", ""},
    {"\x1b[31m", "\\x1b", ""},
    {"r1\x11", "no event is called 'r1\\x11'", ""}, /* a digit but for one bit */
    {"software/name=\x01/", "no event is called", ""},
    {"a-name-that-is-far-too-long-a-name-that-is-far-too-long-a-name-that-is-far-too-long-and-on-"
     "and-on",
     "too long", ""},
};

static void names_that_mean_something(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        if (counter_event_parse(COUNTER_PMU_ROOT, good[i].text, strlen(good[i].text), &event, &e) !=
            0) {
            fail_msg("%s: %s", good[i].text, e.msg);
        }
        if (event.type != good[i].type || event.config != good[i].config) {
            fail_msg("%s: type %u, config %llx", good[i].text, event.type,
                     (unsigned long long)event.config);
        }
        assert_string_equal(event.unit, good[i].unit);
        assert_string_equal(event.name, good[i].text);
        assert_false(event.has_modifiers);
    }
}

static void names_that_mean_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        assert_int_equal(
            counter_event_parse(COUNTER_PMU_ROOT, bad[i].text, strlen(bad[i].text), &event, &e),
            STAX_EUSAGE);
        if (!strstr(e.msg, bad[i].message) || !strstr(e.hint, bad[i].hint)) {
            fail_msg("'%s': '%s', '%s'", bad[i].text, e.msg, e.hint);
        }
    }
}

static void modifiers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool exclude_user, exclude_kernel, is_kernel_only;
    } cases[] = {
        {"cycles:u", false, true, false},           {"cycles:k", true, false, false},
        {"cycles:ku", false, false, false},         {"r1a8:u", false, true, false},
        {"LLC-loads:k", true, false, false},        {"context-switches:k", true, false, true},
        {"sched:sched_switch:k", true, false, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        assert_int_equal(
            counter_event_parse(COUNTER_PMU_ROOT, cases[i].text, strlen(cases[i].text), &event, &e),
            0);
        assert_true(event.has_modifiers);
        assert_int_equal(event.exclude_user, cases[i].exclude_user);
        assert_int_equal(event.exclude_kernel, cases[i].exclude_kernel);
        assert_int_equal(event.is_kernel_only, cases[i].is_kernel_only);
        assert_string_equal(event.name, cases[i].text);
    }
}

/* Of guests, and how exactly perf is to find the sampled instruction. */
static void other_modifiers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_modifiers, exclude_user, exclude_hv, exclude_guest, exclude_host;
    } cases[] = {{"cycles:p", 0, 0, 0, 0, 0},   {"cycles:ppp", 0, 0, 0, 0, 0},
                 {"cycles:P", 0, 0, 0, 0, 0},   {"cycles:upp", 1, 0, 1, 0, 0},
                 {"cycles:kh", 1, 1, 0, 0, 0},  {"cycles:G", 0, 0, 0, 0, 1},
                 {"cycles:ukH", 1, 0, 1, 1, 0}, {"cycles:GH", 0, 0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        assert_int_equal(
            counter_event_parse(COUNTER_PMU_ROOT, cases[i].text, strlen(cases[i].text), &event, &e),
            0);
        if (event.has_modifiers != cases[i].has_modifiers ||
            event.exclude_user != cases[i].exclude_user ||
            event.exclude_hv != cases[i].exclude_hv ||
            event.exclude_guest != cases[i].exclude_guest ||
            event.exclude_host != cases[i].exclude_host) {
            fail_msg("%s", cases[i].text);
        }
    }
}

static void lists(void **state)
{
    (void)state;
    struct counter_list list;
    struct err e = {0};
    assert_int_equal(counter_list_parse(COUNTER_PMU_ROOT, counter_default_list, &list, &e), 0);
    assert_int_equal(list.n, 4);
    assert_string_equal(list.items[2].name, "L1-dcache-load-misses");
    assert_int_equal(counter_list_parse(COUNTER_PMU_ROOT, "page-faults", &list, &e), 0);
    assert_int_equal(list.n, 1);
    static const struct {
        const char *text, *message;
    } cases[] = {{"", "empty"},
                 {"cycles,", "empty"},
                 {",cycles", "empty"},
                 {"cycles,cycles", "twice"},
                 {"cycles,instructions,cs,faults,migrations", "more than 4"},
                 {"cycles,nonsense", "nonsense"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(counter_list_parse(COUNTER_PMU_ROOT, cases[i].text, &list, &e),
                         STAX_EUSAGE);
        if (!strstr(e.msg, cases[i].message)) {
            fail_msg("'%s': %s", cases[i].text, e.msg);
        }
    }
    char *endless = malloc(100001);
    memset(endless, 'a', 100000);
    endless[100000] = '\0';
    assert_int_equal(counter_list_parse(COUNTER_PMU_ROOT, endless, &list, &e), STAX_EUSAGE);
    free(endless);
}

/* A tracepoint's number is read from a folder that looks like tracefs. */
static void tracepoints(void **state)
{
    (void)state;
    char root[] = "/tmp/stax-test-tracefs-XXXXXX", path[200];
    static const char *const folders[] = {"events", "events/sched", "events/sched/sched_switch"};
    struct counter_event event;
    struct err e = {0};
    assert_non_null(mkdtemp(root));
    assert_int_equal(counter_event_parse(COUNTER_PMU_ROOT, "sched:sched_switch:k", 20, &event, &e),
                     0);
    assert_int_equal(counter_event_find_tracepoint(&event, root, &e), STAX_EPERMISSION);
    assert_non_null(strstr(e.hint, "mount -t tracefs"));
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(counter_event_find_tracepoint(&event, root, &e), STAX_ENOTFOUND);
    snprintf(path, sizeof(path), "%s/events/sched/sched_switch/id", root);
    FILE *id = fopen(path, "w");
    assert_non_null(id);
    fputs("314\n", id);
    fclose(id);
    assert_int_equal(counter_event_find_tracepoint(&event, root, &e), 0);
    assert_int_equal(event.config, 314);
    unlink(path);
    for (size_t i = 3; i-- > 0;) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        rmdir(path);
    }
    rmdir(root);
    /* Others have their number. */
    assert_int_equal(counter_event_parse(COUNTER_PMU_ROOT, "cycles", 6, &event, &e), 0);
    assert_int_equal(counter_event_find_tracepoint(&event, root, &e), 0);
}

/* Any bytes are refused or parsed within their length, and parse to the same once more. */
static void any_bytes(void **state)
{
    (void)state;
    static const char *const pieces[] = {"L1-", "dcache", "-", "load",  "misses", ":", "u",    "r",
                                         "1a8", "LLC",    "/", "sched", "_",      ",", "\xff", ""};
    unsigned seed = 1;
    size_t n_good = 0;
    for (int i = 0; i < 20000; i++) {
        char text[80] = "";
        for (size_t n = (size_t)rand_r(&seed) % 8, at = 0; n > 0; n--) {
            const char *piece = pieces[rand_r(&seed) % 16];
            memcpy(text + at, piece, strlen(piece) + 1);
            at += strlen(piece);
        }
        struct counter_event event, again;
        struct err e = {0};
        size_t len = strlen(text);
        char *exact = malloc(len + 1); /* a sanitizer sees any byte read beyond */
        memcpy(exact, text, len);
        int rc = counter_event_parse(COUNTER_PMU_ROOT, exact, len, &event, &e);
        free(exact);
        if (rc == 0) {
            n_good++;
            assert_int_equal(
                counter_event_parse(COUNTER_PMU_ROOT, event.name, strlen(event.name), &again, &e),
                0);
            assert_int_equal(again.config, event.config);
        } else {
            assert_int_equal(rc, STAX_EUSAGE);
            assert_true(e.msg[0]);
        }
    }
    assert_true(n_good > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_mean_something),
        cmocka_unit_test(names_that_mean_nothing),
        cmocka_unit_test(modifiers),
        cmocka_unit_test(other_modifiers),
        cmocka_unit_test(lists),
        cmocka_unit_test(tracepoints),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
