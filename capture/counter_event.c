/* counter_event.c - see counter_event.h. */
#include "capture/counter_event.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/text.h"
#include "capture/counter_pmu.h"

const char counter_default_list[] = "cycles,instructions,L1-dcache-load-misses,branch-misses";

enum { N_NEAREST = 3, N_ALIASES = 5, PATH_BYTES = 256 };

/* A word of perf's, what it means, and what one count of it is. */
struct known_event {
    const char *name;
    uint32_t type;
    uint64_t config;
    const char *unit;
    bool is_kernel_only;
};

#define HARDWARE(name, config, unit)                                                               \
    {                                                                                              \
        name, PERF_TYPE_HARDWARE, PERF_COUNT_HW_##config, unit, false                              \
    }
#define SOFTWARE(name, config, unit, is_kernel_only)                                               \
    {                                                                                              \
        name, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_##config, unit, is_kernel_only                     \
    }

/* tools/perf/util/parse-events.c: event_symbols_hw and event_symbols_sw, with their aliases. */
static const struct known_event known_events[] = {
    HARDWARE("cycles", CPU_CYCLES, "cycle"),
    HARDWARE("cpu-cycles", CPU_CYCLES, "cycle"),
    HARDWARE("instructions", INSTRUCTIONS, "instruction"),
    HARDWARE("cache-references", CACHE_REFERENCES, "reference"),
    HARDWARE("cache-misses", CACHE_MISSES, "miss"),
    HARDWARE("branches", BRANCH_INSTRUCTIONS, "branch"),
    HARDWARE("branch-instructions", BRANCH_INSTRUCTIONS, "branch"),
    HARDWARE("branch-misses", BRANCH_MISSES, "miss"),
    HARDWARE("bus-cycles", BUS_CYCLES, "cycle"),
    HARDWARE("stalled-cycles-frontend", STALLED_CYCLES_FRONTEND, "cycle"),
    HARDWARE("idle-cycles-frontend", STALLED_CYCLES_FRONTEND, "cycle"),
    HARDWARE("stalled-cycles-backend", STALLED_CYCLES_BACKEND, "cycle"),
    HARDWARE("idle-cycles-backend", STALLED_CYCLES_BACKEND, "cycle"),
    HARDWARE("ref-cycles", REF_CPU_CYCLES, "cycle"),
    SOFTWARE("cpu-clock", CPU_CLOCK, "ns", false),
    SOFTWARE("task-clock", TASK_CLOCK, "ns", false),
    SOFTWARE("page-faults", PAGE_FAULTS, "fault", false),
    SOFTWARE("faults", PAGE_FAULTS, "fault", false),
    SOFTWARE("minor-faults", PAGE_FAULTS_MIN, "fault", false),
    SOFTWARE("major-faults", PAGE_FAULTS_MAJ, "fault", false),
    SOFTWARE("alignment-faults", ALIGNMENT_FAULTS, "fault", false),
    SOFTWARE("emulation-faults", EMULATION_FAULTS, "fault", false),
    SOFTWARE("context-switches", CONTEXT_SWITCHES, "switch", true),
    SOFTWARE("cs", CONTEXT_SWITCHES, "switch", true),
    SOFTWARE("cpu-migrations", CPU_MIGRATIONS, "migration", true),
    SOFTWARE("migrations", CPU_MIGRATIONS, "migration", true),
    SOFTWARE("cgroup-switches", CGROUP_SWITCHES, "switch", true),
    SOFTWARE("bpf-output", BPF_OUTPUT, "event", true),
    SOFTWARE("dummy", DUMMY, "event", false),
};
enum { N_KNOWN = sizeof(known_events) / sizeof(known_events[0]) };

/* tools/perf/util/evsel.c: evsel__hw_cache, evsel__hw_cache_op, evsel__hw_cache_result. The first
 * word of each row is the one perf prints. The order is that of the PERF_COUNT_HW_CACHE_* enums. */
static const char *const cache_words[][N_ALIASES] = {
    {"L1-dcache", "l1-d", "l1d", "L1-data"},
    {"L1-icache", "l1-i", "l1i", "L1-instruction"},
    {"LLC", "L2"},
    {"dTLB", "d-tlb", "Data-TLB"},
    {"iTLB", "i-tlb", "Instruction-TLB"},
    {"branch", "branches", "bpu", "btb", "bpc"},
    {"node"},
};
static const char *const op_words[][N_ALIASES] = {
    {"load", "loads", "read"},
    {"store", "stores", "write"},
    {"prefetch", "prefetches", "speculative-read", "speculative-load"},
};
static const char *const result_words[][N_ALIASES] = {
    {"refs", "Reference", "ops", "access"},
    {"misses", "miss"},
};
enum {
    N_CACHES = sizeof(cache_words) / sizeof(cache_words[0]),
    N_OPS = sizeof(op_words) / sizeof(op_words[0]),
    N_RESULTS = sizeof(result_words) / sizeof(result_words[0]),
    LOAD = 1,
    STORE = 2,
    PREFETCH = 4,
};
/* Which operations a cache can count (evsel__hw_cache_stat). */
static const uint8_t cache_ops[N_CACHES] = {LOAD | STORE | PREFETCH,
                                            LOAD | PREFETCH,
                                            LOAD | STORE | PREFETCH,
                                            LOAD | STORE | PREFETCH,
                                            LOAD,
                                            LOAD,
                                            LOAD | STORE | PREFETCH};

struct words {
    const char *at, *end;
};

/* The row whose longest word the text begins with, and the text moved past it and a dash; -1. */
static int take_word(struct words *text, const char *const (*rows)[N_ALIASES], int n_rows)
{
    size_t left = (size_t)(text->end - text->at), best = 0;
    int found = -1;
    for (int row = 0; row < n_rows; row++) {
        for (int i = 0; i < N_ALIASES && rows[row][i]; i++) {
            size_t len = strlen(rows[row][i]);
            bool is_whole = len == left || (len < left && text->at[len] == '-');
            if (is_whole && len > best && strncasecmp(text->at, rows[row][i], len) == 0) {
                best = len;
                found = row;
            }
        }
    }
    if (found >= 0) {
        text->at += best + (best < left);
    }
    return found;
}

/* CACHE, then an operation and a result in either order, each of which may be left out. A cache
 * that cannot count that operation is no event. */
static bool parse_cache(const char *text, size_t len, struct counter_event *out)
{
    struct words words = {text, text + len};
    int op = -1, result = -1;
    int cache = take_word(&words, cache_words, N_CACHES);
    bool is_known = cache >= 0;
    while (is_known && words.at < words.end) {
        int found = op < 0 ? take_word(&words, op_words, N_OPS) : -1;
        if (found >= 0) {
            op = found;
            continue;
        }
        found = result < 0 ? take_word(&words, result_words, N_RESULTS) : -1;
        result = found >= 0 ? found : result;
        is_known = found >= 0;
    }
    if (!is_known || text[len - 1] == '-' || (op < 0 && result < 0)) {
        return false;
    }
    op = op < 0 ? 0 : op;
    result = result < 0 ? 0 : result;
    if (!(cache_ops[cache] & 1 << op)) {
        return false;
    }
    out->type = PERF_TYPE_HW_CACHE;
    out->config = (uint64_t)cache | (uint64_t)op << 8 | (uint64_t)result << 16;
    out->unit = result ? "miss" : "access";
    return true;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    int digit = at ? (int)(at - digits) : -1;
    return digit < 16 ? digit : digit - 6;
}

/* rNNN: the number that the CPU's manual has, as hexadecimal digits. */
static bool parse_raw(const char *text, size_t len, struct counter_event *out)
{
    uint64_t config = 0;
    if (len < 2 || len > 17 || text[0] != 'r') {
        return false;
    }
    for (size_t i = 1; i < len; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        config = config << 4 | (uint64_t)digit;
    }
    out->type = PERF_TYPE_RAW;
    out->config = config;
    out->unit = "event";
    return true;
}

static bool parse_known(const char *text, size_t len, struct counter_event *out)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        const struct known_event *k = &known_events[i];
        if (strlen(k->name) == len && memcmp(k->name, text, len) == 0) {
            out->type = k->type;
            out->config = k->config;
            out->unit = k->unit;
            out->is_kernel_only = k->is_kernel_only;
            return true;
        }
    }
    return parse_raw(text, len, out) || parse_cache(text, len, out);
}

static bool is_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') {
            return false;
        }
    }
    return len > 0;
}

static int refuse_modifiers(const struct counter_event *event, struct err *e)
{
    err_set(e, STAX_EUSAGE, "%s: the modifiers of a counter are u, k, h, G, H and p", event->name);
    err_hint(e, ":u counts in user code only, :k in the kernel only");
    return STAX_EUSAGE;
}

static int parse_modifiers(const char *text, size_t len, struct counter_event *out, struct err *e)
{
    static const char letters[] = "ukhGHpP";
    size_t n[sizeof(letters)] = {0};
    enum { USER, KERNEL, HYPERVISOR, GUEST, HOST, PRECISE };
    for (size_t i = 0; i < len; i++) {
        const char *letter = text[i] ? strchr(letters, text[i]) : NULL;
        if (!letter) {
            return refuse_modifiers(out, e);
        }
        n[letter - letters]++;
    }
    if (len == 0) {
        return err_set(e, STAX_EUSAGE, "%s: no modifier after the colon", out->name);
    }
    if (n[PRECISE] > 3) {
        return refuse_modifiers(out, e);
    }
    out->has_modifiers = n[USER] || n[KERNEL] || n[HYPERVISOR];
    out->exclude_user = out->has_modifiers && !n[USER];
    out->exclude_kernel = out->has_modifiers && !n[KERNEL];
    out->exclude_hv = out->has_modifiers && !n[HYPERVISOR];
    out->exclude_guest = n[HOST] && !n[GUEST];
    out->exclude_host = n[GUEST] && !n[HOST];
    return 0;
}

/* ---- names that are none ---- */

struct nearest {
    struct {
        char name[COUNTER_NAME_BYTES];
        size_t distance;
    } items[N_NEAREST];
    size_t n;
};

static void consider(struct nearest *nearest, const char *text, const char *name)
{
    bool is_part = strlen(text) >= 3 && strcasestr(name, text) != NULL;
    size_t distance = is_part ? 1 : text_distance(text, name), at = nearest->n;
    if (distance > strlen(text) / 3 + 1) {
        return;
    }
    while (at > 0 && nearest->items[at - 1].distance > distance) {
        at--;
    }
    if (at == N_NEAREST) {
        return;
    }
    nearest->n += nearest->n < N_NEAREST;
    memmove(&nearest->items[at + 1], &nearest->items[at],
            (nearest->n - at - 1) * sizeof(nearest->items[0]));
    snprintf(nearest->items[at].name, COUNTER_NAME_BYTES, "%s", name);
    nearest->items[at].distance = distance;
}

/* The name perf prints for what a cache counts. */
static void cache_name(char *name, int cache, int op, int result)
{
    snprintf(name, COUNTER_NAME_BYTES, "%s-%s%s", cache_words[cache][0], op_words[op][result == 0],
             result ? "-misses" : "");
}

static int refuse_unknown(const char *text, struct err *e)
{
    struct nearest nearest = {0};
    for (size_t i = 0; i < N_KNOWN; i++) {
        consider(&nearest, text, known_events[i].name);
    }
    for (int i = 0; i < N_CACHES * N_OPS * N_RESULTS; i++) {
        char name[COUNTER_NAME_BYTES];
        int cache = i / (N_OPS * N_RESULTS), op = i / N_RESULTS % N_OPS;
        if (cache_ops[cache] & 1 << op) {
            cache_name(name, cache, op, i % N_RESULTS);
            consider(&nearest, text, name);
        }
    }
    err_set(e, STAX_EUSAGE, "no event is called '%s'", text);
    if (nearest.n) {
        struct buf list = {0};
        for (size_t i = 0; i < nearest.n; i++) {
            buf_addf(&list, "%s%s", i ? ", " : "", nearest.items[i].name);
        }
        err_hint(e, "did you mean %s?", buf_str(&list));
        buf_free(&list);
    } else {
        err_hint(e, "counters are events of perf list: cycles, LLC-load-misses, page-faults, r1a8, "
                    "sched:sched_switch, cpu/event=0x3c/");
    }
    return STAX_EUSAGE;
}

/* ---- parsing ---- */

static bool are_modifiers(const char *text, size_t len)
{
    return len <= 4 && strspn(text, "ukhGHpP") >= len;
}

/* SUBSYSTEM:NAME[:MODIFIERS]; colon: the first of them. */
static int parse_tracepoint(const char *text, const char *colon, const char *end,
                            struct counter_event *out, struct err *e)
{
    const char *name = colon + 1, *second = memchr(name, ':', (size_t)(end - name));
    size_t n_first = (size_t)(colon - text), n_name = (size_t)((second ? second : end) - name);
    if (!is_word(text, n_first) || !is_word(name, n_name) || are_modifiers(name, n_name)) {
        char first[COUNTER_NAME_BYTES];
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(out->name, ":"), out->name);
        return refuse_unknown(first, e);
    }
    out->type = PERF_TYPE_TRACEPOINT;
    out->is_kernel_only = true;
    return second ? parse_modifiers(second + 1, (size_t)(end - second - 1), out, e) : 0;
}

/* PMU/TERMS/[MODIFIERS] */
static int parse_pmu(const char *pmus, const char *text, size_t len, struct counter_event *out,
                     struct err *e)
{
    size_t n = len;
    while (text[n - 1] != '/') {
        n--;
    }
    int rc = counter_pmu_parse(pmus, text, n, out, e);
    if (rc || n == len) {
        return rc;
    }
    n += text[n] == ':';
    return parse_modifiers(text + n, len - n, out, e);
}

int counter_event_parse(const char *pmus, const char *text, size_t len, struct counter_event *out,
                        struct err *e)
{
    *out = (struct counter_event){.unit = "event"};
    struct buf clean = {0};
    text_clean(&clean, text, len < COUNTER_NAME_BYTES ? len : COUNTER_NAME_BYTES);
    snprintf(out->name, sizeof(out->name), "%s", buf_str(&clean));
    buf_free(&clean);
    if (len == 0) {
        return err_set(e, STAX_EUSAGE, "an empty name among the counters");
    }
    if (len >= COUNTER_NAME_BYTES) {
        return err_set(e, STAX_EUSAGE, "'%.40s...' is too long for the name of an event",
                       out->name);
    }
    if (strlen(out->name) != len || memcmp(out->name, text, len) != 0) {
        return refuse_unknown(out->name, e); /* it would have another name than it was given */
    }
    if (memchr(text, '/', len)) {
        return parse_pmu(pmus, text, len, out, e);
    }
    const char *colon = memchr(text, ':', len), *end = text + len;
    size_t n_first = colon ? (size_t)(colon - text) : len;
    bool is_named = !colon || are_modifiers(colon + 1, (size_t)(end - colon - 1));
    if (parse_known(text, n_first, out)) {
        return colon ? parse_modifiers(colon + 1, (size_t)(end - colon - 1), out, e) : 0;
    }
    if (is_named && counter_pmu_find(pmus, text, n_first, out, e)) {
        int rc = out->type ? 0 : STAX_EUSAGE;
        return colon && !rc ? parse_modifiers(colon + 1, (size_t)(end - colon - 1), out, e) : rc;
    }
    return colon ? parse_tracepoint(text, colon, end, out, e) : refuse_unknown(out->name, e);
}

/* Up to the comma that ends an event: those between two slashes separate its terms. */
static size_t event_length(const char *at)
{
    bool is_inside = false;
    size_t n = 0;
    for (; at[n] && (is_inside || at[n] != ','); n++) {
        is_inside ^= at[n] == '/';
    }
    return n;
}

int counter_list_parse(const char *pmus, const char *text, struct counter_list *out, struct err *e)
{
    *out = (struct counter_list){0};
    if (strnlen(text, COUNTER_LIST_BYTES) == COUNTER_LIST_BYTES) {
        return err_set(e, STAX_EUSAGE, "the list of counters is longer than %d bytes",
                       COUNTER_LIST_BYTES - 1);
    }
    for (const char *at = text;; at++) {
        size_t len = event_length(at);
        if (out->n == EVENT_COUNTERS_MAX) {
            return err_set(e, STAX_EUSAGE, "more than %d counters", EVENT_COUNTERS_MAX);
        }
        struct counter_event *event = &out->items[out->n];
        int rc = counter_event_parse(pmus, at, len, event, e);
        if (rc) {
            return rc;
        }
        for (size_t i = 0; i < out->n; i++) {
            if (strcmp(out->items[i].name, event->name) == 0) {
                return err_set(e, STAX_EUSAGE, "%s is among the counters twice", event->name);
            }
        }
        out->n++;
        at += len;
        if (*at == '\0') {
            return 0;
        }
    }
}

int counter_event_find_tracepoint(struct counter_event *event, const char *root, struct err *e)
{
    char path[PATH_BYTES];
    int64_t id = 0;
    if (event->type != PERF_TYPE_TRACEPOINT) {
        return 0;
    }
    int n_subsystem = (int)strcspn(event->name, ":");
    const char *name = event->name + n_subsystem + 1;
    snprintf(path, sizeof(path), "%s/events/%.*s/%.*s/id", root, n_subsystem, event->name,
             (int)strcspn(name, ":"), name);
    if (fd_read_int(path, &id) == 0 && id > 0) {
        event->config = (uint64_t)id;
        return 0;
    }
    snprintf(path, sizeof(path), "%s/events", root);
    if (access(path, R_OK | X_OK) != 0) {
        err_set(e, STAX_EPERMISSION, "the number of tracepoint %s cannot be read: %s: %s",
                event->name, path, strerror(errno));
        err_hint(e, "sudo mount -t tracefs nodev %s; tracepoints need root or CAP_PERFMON", root);
        return STAX_EPERMISSION;
    }
    return err_set(e, STAX_ENOTFOUND, "this kernel has no tracepoint %s", event->name);
}
