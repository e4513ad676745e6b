/* counter_pmu.c - see counter_pmu.h. */
#include "capture/counter_pmu.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "base/buf.h"
#include "base/fd.h"

enum {
    PATH_BYTES = 512,
    WORD_BYTES = 64,
    FILE_BYTES_MAX = 4096,
    PMUS_MAX = 4096, /* a server has some hundred, most of them of its memory and links */
    NAMES_MAX = 12,  /* in a hint */
    N_CONFIGS = 3,
};

struct pmu {
    const char *root;
    char name[WORD_BYTES];
};

/* Where a PMU has something; empty when that would not fit. */
static const char *pmu_path(const struct pmu *pmu, const char *folder, const char *name,
                            char path[PATH_BYTES])
{
    int n = snprintf(path, PATH_BYTES, "%s/%s/%s%s%s", pmu->root, pmu->name, folder,
                     *folder ? "/" : "", name);
    if (n < 0 || n >= PATH_BYTES) {
        path[0] = '\0';
    }
    return path;
}

static bool has_file(const struct pmu *pmu, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    return access(pmu_path(pmu, folder, name, path), F_OK) == 0;
}

static int read_file(const struct pmu *pmu, const char *folder, const char *name, struct buf *text)
{
    char path[PATH_BYTES];
    int rc = fd_read_file(pmu_path(pmu, folder, name, path), FILE_BYTES_MAX, text);
    while (rc == 0 && text->len && strchr("\n ", text->data[text->len - 1])) {
        text->data[--text->len] = '\0';
    }
    return rc;
}

/* A name that may become part of a path, copied; false: it is none. */
static bool take_name(char to[WORD_BYTES], const char *text, size_t len)
{
    if (len == 0 || len >= WORD_BYTES || text[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && !strchr("_-.", c)) {
            return false;
        }
    }
    memcpy(to, text, len);
    to[len] = '\0';
    return true;
}

/* What a folder of a PMU lists, for a hint. */
static void list_names(const struct pmu *pmu, const char *folder, struct buf *out)
{
    char path[PATH_BYTES], name[WORD_BYTES];
    DIR *dir = opendir(pmu_path(pmu, folder, "", path));
    size_t n = 0;
    for (const struct dirent *d; dir && (d = readdir(dir));) {
        const char *dot = strchr(d->d_name, '.');
        if (!take_name(name, d->d_name, strlen(d->d_name)) || dot) {
            continue;
        }
        if (n++ == NAMES_MAX) {
            buf_addstr(out, ", ...");
            break;
        }
        buf_addf(out, "%s%s", out->len ? ", " : "", name);
    }
    if (dir) {
        closedir(dir);
    }
}

/* ---- terms ---- */

struct terms {
    const struct pmu *pmu;
    const char *given; /* all that was asked for: what an event of the driver leaves open */
    size_t given_len;
    bool is_alias; /* these are the terms of an event of the driver */
    uint64_t config[N_CONFIGS];
};

struct term {
    char name[WORD_BYTES];
    uint64_t value; /* 1 if there is none */
    bool has_value, is_open;
};

/* The next term of a list of them, and *at moved past it; false: it is none. */
static bool take_term(const char **at, const char *end, struct term *t)
{
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    const char *stop = comma ? comma : end, *equals = memchr(*at, '=', (size_t)(stop - *at));
    const char *start = *at;
    char number[WORD_BYTES], *rest = number;
    *at = comma ? comma + 1 : end;
    *t = (struct term){.value = 1, .has_value = equals != NULL};
    if (!take_name(t->name, start, (size_t)((equals ? equals : stop) - start))) {
        return false;
    }
    if (!equals) {
        return true;
    }
    size_t n = (size_t)(stop - equals - 1);
    if (n == 0 || n >= sizeof(number)) {
        return false;
    }
    memcpy(number, equals + 1, n);
    number[n] = '\0';
    t->is_open = strcmp(number, "?") == 0;
    bool is_word = strcmp(t->name, "name") == 0;
    errno = 0;
    if (number[0] >= '0' && number[0] <= '9') {
        t->value = strtoull(number, &rest, strncasecmp(number, "0x", 2) == 0 ? 16 : 10);
    }
    return t->is_open || is_word || (rest != number && *rest == '\0' && errno == 0);
}

static bool was_given(const struct terms *terms, const char *name)
{
    const char *at = terms->given, *end = at + terms->given_len;
    struct term t;
    while (at < end) {
        if (take_term(&at, end, &t) && strcmp(t.name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Puts a value's bits where a format says, lowest first: "config1:0-7,32-35". false: it does not
 * fit, or the format is none. */
static bool put_bits(const char *format, uint64_t value, uint64_t config[N_CONFIGS])
{
    unsigned word = 0;
    int n = 0;
    if (strncmp(format, "config", 6) != 0) {
        return false;
    }
    format += 6;
    if (*format >= '1' && *format < '0' + N_CONFIGS) {
        word = (unsigned)(*format++ - '0');
    }
    if (*format++ != ':') {
        return false;
    }
    do {
        unsigned low, high;
        if (sscanf(format, "%2u-%2u%n", &low, &high, &n) < 2) {
            if (sscanf(format, "%2u%n", &low, &n) < 1) {
                return false;
            }
            high = low;
        }
        if (high < low || high > 63) {
            return false;
        }
        unsigned width = high - low + 1;
        uint64_t mask = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
        config[word] = (config[word] & ~(mask << low)) | (value & mask) << low;
        value = width == 64 ? 0 : value >> width;
        format += n;
    } while (*format++ == ',');
    return format[-1] == '\0' && value == 0;
}

static int apply_terms(struct terms *terms, const char *text, size_t len, struct err *e);

/* A count that perf would multiply, or that is no count but a state, would be a wrong number. */
static int apply_event(struct terms *terms, const struct term *t, struct err *e)
{
    char file[WORD_BYTES + 16];
    struct buf text = {0}, scale = {0};
    snprintf(file, sizeof(file), "%s.snapshot", t->name);
    bool is_state = has_file(terms->pmu, "events", file);
    snprintf(file, sizeof(file), "%s.scale", t->name);
    bool is_scaled =
        read_file(terms->pmu, "events", file, &scale) == 0 && strtod(buf_str(&scale), NULL) != 1.0;
    int rc = read_file(terms->pmu, "events", t->name, &text);
    if (rc != 0) {
        rc = err_set(e, STAX_EUSAGE, "event %s of %s cannot be read", t->name, terms->pmu->name);
    } else if (is_state || is_scaled) {
        rc = err_set(e, STAX_EUSAGE, "event %s of %s is %s", t->name, terms->pmu->name,
                     is_state ? "a state, not a count" : "counted in units of its own");
        err_hint(e, "its fields: %s/%s/", terms->pmu->name, buf_str(&text));
    } else {
        terms->is_alias = true;
        rc = apply_terms(terms, buf_str(&text), text.len, e);
        terms->is_alias = false;
    }
    buf_free(&text);
    buf_free(&scale);
    return rc;
}

static int refuse_term(const struct terms *terms, const struct term *t, struct err *e)
{
    struct buf fields = {0}, events = {0};
    list_names(terms->pmu, "format", &fields);
    list_names(terms->pmu, "events", &events);
    err_set(e, STAX_EUSAGE, "%s has no field or event '%s'", terms->pmu->name, t->name);
    err_hint(e, "fields: %s; events: %s", fields.len ? buf_str(&fields) : "none",
             events.len ? buf_str(&events) : "none");
    buf_free(&fields);
    buf_free(&events);
    return STAX_EUSAGE;
}

static int apply_term(struct terms *terms, const struct term *t, struct err *e)
{
    static const char *const words[N_CONFIGS] = {"config", "config1", "config2"};
    struct buf format = {0};
    if (strcmp(t->name, "name") == 0 && t->has_value) {
        return 0;
    }
    if (t->is_open) {
        bool is_given = terms->is_alias && was_given(terms, t->name);
        return is_given ? 0
                        : err_set(e, STAX_EUSAGE, "%s needs a value: %s=NUMBER", terms->pmu->name,
                                  t->name);
    }
    for (unsigned i = 0; i < N_CONFIGS; i++) {
        if (strcmp(t->name, words[i]) == 0 && t->has_value) {
            terms->config[i] = t->value;
            return 0;
        }
    }
    if (read_file(terms->pmu, "format", t->name, &format) == 0) {
        bool fits = put_bits(buf_str(&format), t->value, terms->config);
        buf_free(&format);
        return fits ? 0
                    : err_set(e, STAX_EUSAGE, "%s=%#llx does not fit its field of %s", t->name,
                              (unsigned long long)t->value, terms->pmu->name);
    }
    buf_free(&format);
    /* An event of the driver is made of fields alone. */
    bool is_event = !t->has_value && !terms->is_alias && has_file(terms->pmu, "events", t->name);
    return is_event ? apply_event(terms, t, e) : refuse_term(terms, t, e);
}

static int apply_terms(struct terms *terms, const char *text, size_t len, struct err *e)
{
    const char *at = text, *end = text + len;
    int rc = 0;
    while (rc == 0 && at < end) {
        struct term t;
        bool is_last_empty = end[-1] == ',';
        if (is_last_empty || !take_term(&at, end, &t)) {
            err_set(e, STAX_EUSAGE, "a term of %s is none", terms->pmu->name);
            err_hint(e, "terms are FIELD=NUMBER, FIELD or EVENT, separated by commas");
            return STAX_EUSAGE;
        }
        rc = apply_term(terms, &t, e);
    }
    return rc;
}

/* ---- PMUs ---- */

static int refuse_pmu(const struct pmu *pmu, const char *why, const char *hint, struct err *e)
{
    err_set(e, STAX_EUSAGE, "%s%s", pmu->name, why);
    err_hint(e, "%s", hint);
    return STAX_EUSAGE;
}

static int find_type(const struct pmu *pmu, uint32_t *type, struct err *e)
{
    char path[PATH_BYTES];
    int64_t number = -1;
    if (fd_read_int(pmu_path(pmu, "", "type", path), &number) != 0 || number < 0 ||
        number > INT32_MAX) {
        struct pmu all = {pmu->root, "."};
        struct buf names = {0};
        list_names(&all, "", &names);
        err_set(e, STAX_EUSAGE, "this machine has no PMU '%s'", pmu->name);
        err_hint(e, "it has %s", names.len ? buf_str(&names) : "none");
        buf_free(&names);
        return STAX_EUSAGE;
    }
    if (strcmp(pmu->name, "uprobe") == 0 || strcmp(pmu->name, "kprobe") == 0) {
        return refuse_pmu(pmu, " takes places in memory, which cannot be given", "", e);
    }
    if (number < PERF_TYPE_MAX && number != PERF_TYPE_RAW) {
        return refuse_pmu(pmu, " has no fields",
                          "its events go by their names: page-faults, "
                          "sched:sched_switch",
                          e);
    }
    if (has_file(pmu, "", "cpumask")) {
        return refuse_pmu(pmu, " counts for all of the machine, not for threads",
                          "perf stat -a counts it", e);
    }
    *type = (uint32_t)number;
    return 0;
}

static int resolve(const struct pmu *pmu, const char *text, size_t len, struct counter_event *out,
                   struct err *e)
{
    struct terms terms = {.pmu = pmu, .given = text, .given_len = len};
    uint32_t type = 0;
    int rc = find_type(pmu, &type, e);
    if (rc == 0) {
        rc = apply_terms(&terms, text, len, e);
    }
    if (rc == 0) {
        out->type = type;
        out->config = terms.config[0];
        out->config1 = terms.config[1];
        out->config2 = terms.config[2];
        out->unit = "event";
    }
    return rc;
}

int counter_pmu_parse(const char *root, const char *text, size_t len, struct counter_event *out,
                      struct err *e)
{
    struct pmu pmu = {.root = root};
    const char *slash = memchr(text, '/', len);
    size_t n = slash ? (size_t)(slash - text) : 0;
    if (!slash || text[len - 1] != '/' || slash == text + len - 1 ||
        !take_name(pmu.name, text, n)) {
        err_set(e, STAX_EUSAGE, "events of a PMU are spelled PMU/FIELD=NUMBER,.../");
        err_hint(e, "as in cpu/event=0x3c,umask=0x0/");
        return STAX_EUSAGE;
    }
    return resolve(&pmu, slash + 1, len - n - 2, out, e);
}

/* On a CPU with two kinds of cores each has its PMU, and a name means half of the machine. */
static void refuse_ambiguous(const struct pmu *a, const struct pmu *b, const char *event,
                             struct err *e)
{
    bool is_sorted = strcmp(a->name, b->name) < 0;
    err_set(e, STAX_EUSAGE, "more than one PMU has an event '%s'", event);
    err_hint(e, "%s/%s/ or %s/%s/", (is_sorted ? a : b)->name, event, (is_sorted ? b : a)->name,
             event);
}

bool counter_pmu_find(const char *root, const char *name, size_t len, struct counter_event *out,
                      struct err *e)
{
    char event[WORD_BYTES];
    DIR *dir = take_name(event, name, len) ? opendir(root) : NULL;
    struct pmu found = {.root = root}, other = {.root = root};
    size_t n_found = 0, n_threads = 0, n_left = PMUS_MAX;
    for (const struct dirent *d; dir && n_threads < 2 && n_left-- && (d = readdir(dir));) {
        struct pmu pmu = {.root = root};
        if (!take_name(pmu.name, d->d_name, strlen(d->d_name)) ||
            !has_file(&pmu, "events", event)) {
            continue;
        }
        bool is_of_threads = !has_file(&pmu, "", "cpumask");
        if (is_of_threads && n_threads++) {
            other = pmu;
        } else if (is_of_threads || !n_found) {
            found = pmu;
        }
        n_found++;
    }
    if (dir) {
        closedir(dir);
    }
    out->type = 0;
    if (n_threads > 1) {
        refuse_ambiguous(&found, &other, event, e);
    } else if (n_found) {
        (void)resolve(&found, name, len, out, e);
    }
    return n_found > 0;
}
