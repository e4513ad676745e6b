/*
 * test_counter_pmu.c - events of PMUs as a folder describes them that looks like sysfs: this
 * machine need not have any.
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

/* What Intel's, AMD's and other drivers have, and what no driver should. */
static const struct {
    const char *path, *text;
} files[] = {
    {"cpu/type", "4\n"},
    {"cpu/format/event", "config:0-7\n"},
    {"cpu/format/umask", "config:8-15\n"},
    {"cpu/format/edge", "config:18\n"},
    {"cpu/format/cmask", "config:24-31\n"},
    {"cpu/format/ldlat", "config1:0-15\n"},
    {"cpu/format/offcore_rsp", "config1:0-63\n"},
    {"cpu/format/wide", "config2:0-3,60-63\n"},
    {"cpu/format/broken", "config:7-3\n"},
    {"cpu/format/beyond", "config:0-64\n"},
    {"cpu/format/foreign", "attr:1\n"},
    {"cpu/events/cpu-cycles", "event=0x3c\n"},
    {"cpu/events/mem-loads", "event=0xcd,umask=0x1,ldlat=3\n"},
    {"cpu/events/topdown-slots", "event=0x0,umask=0x4\n"},
    {"cpu/events/topdown-slots.scale", "4\n"},
    {"cpu/events/open", "event=0x1,umask=?\n"},
    {"cpu/events/loop", "loop\n"},
    {"amd_iommu.0/type", "20\n"},
    {"power/type", "11\n"},
    {"power/cpumask", "0\n"},
    {"power/events/energy-pkg", "event=0x02\n"},
    {"power/events/mem-loads", "event=0x09\n"},
    {"uncore_a/type", "13\n"},
    {"uncore_a/cpumask", "0\n"},
    {"uncore_a/events/tsc", "event=0x01\n"},
    {"cpu_atom/type", "10\n"},
    {"cpu_atom/format/event", "config:0-7\n"},
    {"cpu_atom/events/slots", "event=0x11\n"},
    {"cpu_atom/events/atoms", "event=0x13\n"},
    {"cpu_core/type", "14\n"},
    {"cpu_core/format/event", "config:0-7\n"},
    {"cpu_core/events/slots", "event=0x12\n"},
    {"software/type", "1\n"},
    {"uprobe/type", "7\n"},
    {"uprobe/format/retprobe", "config:0\n"},
    {"msr/type", "12\n"},
    {"msr/format/event", "config:0-63\n"},
    {"msr/events/tsc", "event=0x00\n"},
    {"msr/events/thermal", "event=0x05\n"},
    {"msr/events/thermal.snapshot", "1\n"},
};
enum { N_FILES = sizeof(files) / sizeof(files[0]) };

static char root[] = "/tmp/stax-test-pmus-XXXXXX";

static int make_pmus(void **state)
{
    char path[300];
    (void)state;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < N_FILES; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, files[i].path);
        for (char *slash = path + sizeof(root); (slash = strchr(slash, '/')); slash++) {
            *slash = '\0';
            (void)mkdir(path, 0700);
            *slash = '/';
        }
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(files[i].text, f);
        fclose(f);
    }
    return 0;
}

static int remove_pmus(void **state)
{
    char path[300];
    (void)state;
    for (size_t i = N_FILES; i-- > 0;) {
        snprintf(path, sizeof(path), "%s/%s", root, files[i].path);
        unlink(path);
    }
    for (size_t i = N_FILES; i-- > 0;) {
        snprintf(path, sizeof(path), "%s/%s", root, files[i].path);
        for (char *slash; (slash = strrchr(path, '/')) > path + sizeof(root) - 1;) {
            *slash = '\0';
            rmdir(path);
        }
    }
    return rmdir(root);
}

static void what_they_mean(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t type;
        uint64_t config, config1, config2;
        bool exclude_kernel;
    } cases[] = {
        {"cpu/event=0x3c,umask=0x0/", 4, 0x3c, 0, 0, false},
        {"cpu/event=60/", 4, 0x3c, 0, 0, false},
        {"cpu/event=0xd1,umask=0x20,cmask=1,edge/u", 4, 0x10420d1, 0, 0, true},
        {"cpu/event=0xd1/pp", 4, 0xd1, 0, 0, false},
        {"cpu/mem-loads/", 4, 0x1cd, 3, 0, false},
        {"cpu/mem-loads,ldlat=30/", 4, 0x1cd, 30, 0, false},
        {"cpu/event=0xb7,offcore_rsp=0xffffffffffffffff/", 4, 0xb7, UINT64_MAX, 0, false},
        {"cpu/wide=0x95/", 4, 0, 0, 0x9000000000000005, false},
        {"cpu/config=0x1a8,config1=7,config2=9/", 4, 0x1a8, 7, 9, false},
        {"cpu/event=1,name=what_i_call_it/", 4, 1, 0, 0, false},
        {"cpu/open,umask=5/", 4, 0x501, 0, 0, false},
        {"cpu//", 4, 0, 0, 0, false},
        {"msr/tsc/", 12, 0, 0, 0, false},
        {"amd_iommu.0/config=3/", 20, 3, 0, 0, false},
        /* By the name alone; those that are everywhere come first. */
        {"mem-loads", 4, 0x1cd, 3, 0, false},
        {"mem-loads:u", 4, 0x1cd, 3, 0, true},
        {"tsc", 12, 0, 0, 0, false},
        {"atoms", 10, 0x13, 0, 0, false},
        {"cpu_core/slots/", 14, 0x12, 0, 0, false},
        {"cpu-cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        if (counter_event_parse(root, cases[i].text, strlen(cases[i].text), &event, &e) != 0) {
            fail_msg("%s: %s", cases[i].text, e.msg);
        }
        if (event.type != cases[i].type || event.config != cases[i].config ||
            event.config1 != cases[i].config1 || event.config2 != cases[i].config2 ||
            event.exclude_kernel != cases[i].exclude_kernel) {
            fail_msg("%s: type %u, %llx %llx %llx", cases[i].text, event.type,
                     (unsigned long long)event.config, (unsigned long long)event.config1,
                     (unsigned long long)event.config2);
        }
        assert_string_equal(event.name, cases[i].text);
    }
}

static void what_they_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message, *hint;
    } cases[] = {
        {"gpu/event=1/", "no PMU 'gpu'", "cpu"},
        {"cpu/events=1/", "no field or event 'events'", "umask"},
        {"cpu/mem-load/", "no field or event 'mem-load'", "mem-loads"},
        {"cpu/event=0x100/", "event=0x100 does not fit", ""},
        {"cpu/edge=2/", "does not fit", ""},
        {"cpu/wide=0x195/", "does not fit", ""},
        {"cpu/broken=0/", "does not fit", ""},
        {"cpu/beyond=0/", "does not fit", ""},
        {"cpu/foreign=0/", "does not fit", ""},
        {"cpu/event=12x/", "is none", "FIELD=NUMBER"},
        {"cpu/event=/", "is none", ""},
        {"cpu/event=-1/", "is none", ""},
        {"cpu/event=99999999999999999999/", "is none", ""},
        {"cpu/event=1,/", "is none", ""},
        {"cpu/,event=1/", "is none", ""},
        {"cpu/../../type/", "is none", ""},
        {"cpu/period=1000/", "no field or event 'period'", ""},
        {"cpu/open/", "needs a value: umask", ""},
        {"cpu/loop/", "no field or event 'loop'", ""},
        {"cpu/topdown-slots/", "units of its own", "event=0x0,umask=0x4"},
        {"cpu/event=1/x", "modifiers", ""},
        {"cpu/event=1", "PMU/FIELD", ""},
        {"cpu/", "PMU/FIELD", ""},
        {"/event=1/", "PMU/FIELD", ""},
        {"../cpu/event=1/", "PMU/FIELD", ""},
        {"power/energy-pkg/", "not for threads", "perf stat"},
        {"energy-pkg", "not for threads", ""},
        {"slots", "more than one PMU", "cpu_atom/slots/ or cpu_core/slots/"},
        {"slots:u", "more than one PMU", "cpu_atom/slots/ or cpu_core/slots/"},
        {"software/config=1/", "no fields", "names"},
        {"uprobe/retprobe/", "places in memory", ""},
        {"msr/thermal/", "a state", ""},
        {"mem-loads-of-it", "no event is called", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct counter_event event;
        struct err e = {0};
        int rc = counter_event_parse(root, cases[i].text, strlen(cases[i].text), &event, &e);
        if (rc != STAX_EUSAGE || !strstr(e.msg, cases[i].message) ||
            !strstr(e.hint, cases[i].hint)) {
            fail_msg("'%s': %d '%s', '%s'", cases[i].text, rc, e.msg, e.hint);
        }
    }
}

/* Commas between slashes do not end an event. */
static void lists(void **state)
{
    (void)state;
    struct counter_list list;
    struct err e = {0};
    static const char text[] = "cpu/event=0x3c,umask=0/u,page-faults,tsc,cpu/mem-loads,ldlat=9/";
    assert_int_equal(counter_list_parse(root, text, &list, &e), 0);
    assert_int_equal(list.n, 4);
    assert_string_equal(list.items[0].name, "cpu/event=0x3c,umask=0/u");
    assert_string_equal(list.items[1].name, "page-faults");
    assert_int_equal(list.items[2].type, 12);
    assert_int_equal(list.items[3].config1, 9);
    assert_int_equal(counter_list_parse(root, "cpu/event=1,cycles", &list, &e), STAX_EUSAGE);
}

/* Any bytes in a driver's files are refused or used within bounds. */
static void any_files(void **state)
{
    (void)state;
    char path[300];
    unsigned seed = 1;
    static const char bytes[] = "config12:0-63,=?\n x";
    snprintf(path, sizeof(path), "%s/cpu/format/broken", root);
    for (int i = 0; i < 300; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(rand_r(&seed) % 2 ? "config:" : "", f);
        for (int n = rand_r(&seed) % 40; n > 0; n--) {
            fputc(bytes[(size_t)rand_r(&seed) % sizeof(bytes)], f);
        }
        fclose(f);
        struct counter_event event;
        struct err e = {0};
        int rc = counter_event_parse(root, "cpu/broken=1/", 13, &event, &e);
        assert_true(rc == 0 || (rc == STAX_EUSAGE && e.msg[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_they_mean),
        cmocka_unit_test(what_they_do_not),
        cmocka_unit_test(lists),
        cmocka_unit_test(any_files),
    };
    return cmocka_run_group_tests(tests, make_pmus, remove_pmus);
}
