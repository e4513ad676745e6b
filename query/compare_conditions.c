/* compare_conditions.c - the conditions of --fail-if on a comparison. */
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "query/compare_internal.h"
#include "query/fail_if.h"

enum { MAX_SUGGESTED = 64, N_SUGGESTED = 3 };

static const char *name_at(const struct comparing *c, size_t i)
{
    return compare_item(&c->functions[i])->name;
}

/* All functions of that name in either run, added up. False: there is none. */
static bool named_change(const struct comparing *c, const char *name, bool is_total,
                         struct change *change)
{
    struct amount a = {0}, b = {0};
    bool is_found = false;

    for (size_t i = 0; i < c->n_functions; i++) {
        const struct pair *pair = &c->functions[i].pair;
        if (strcmp(name_at(c, i), name) != 0) {
            continue;
        }
        is_found = true;
        if (pair->a) {
            a.ns += is_total ? pair->a->total_ns : pair->a->self_ns;
            a.n_samples += is_total ? pair->a->n_total : pair->a->n_self;
        }
        if (pair->b) {
            b.ns += is_total ? pair->b->total_ns : pair->b->self_ns;
            b.n_samples += is_total ? pair->b->n_total : pair->b->n_self;
        }
    }
    *change = change_of(&c->a.sampling, a, c->a.sampling.mean_ns * c->a.n_samples, &c->b.sampling,
                        b, c->b.sampling.mean_ns * c->b.n_samples);
    return is_found;
}

static void add_suggestion(struct buf *list, const char *name)
{
    buf_addstr(list, list->len ? ", \"" : "\"");
    text_cut_middle(list, name, MAX_SUGGESTED);
    buf_addch(list, '"');
}

/* Functions that hold the name, those that changed most first. */
static void suggest_containing(const struct comparing *c, const char *name, struct buf *list)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_functions && n < N_SUGGESTED; i++) {
        if (strcasestr(name_at(c, i), name)) {
            add_suggestion(list, name_at(c, i));
            n++;
        }
    }
}

static void suggest_similar(const struct comparing *c, const char *name, struct buf *list)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 2;

    for (size_t i = 0; i < c->n_functions && strlen(name) <= MAX_SUGGESTED; i++) {
        const char *candidate = name_at(c, i);
        size_t distance =
            strlen(candidate) <= MAX_SUGGESTED ? text_distance(name, candidate) : best;
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    if (nearest) {
        add_suggestion(list, nearest);
    }
}

/* Wrong usage, not a condition that holds: nothing has become slower. */
static int refuse_unknown(const struct comparing *c, const char *name, struct err *e)
{
    struct buf clean = {0}, list = {0};

    suggest_containing(c, name, &list);
    if (!list.len) {
        suggest_similar(c, name, &list);
    }
    text_clean(&clean, name, strnlen(name, 256));
    err_set(e, STAX_EUSAGE, "condition: no function named \"%s\" has samples in either run",
            buf_str(&clean));
    if (list.len) {
        err_hint(e, "did you mean %s?", buf_str(&list));
    } else {
        err_hint(e, "names are those of stax top; parameters may be left out");
    }
    buf_free(&clean);
    buf_free(&list);
    return STAX_EUSAGE;
}

/* The one whole name that a name without parameters stands for. */
static int find_whole_name(const struct comparing *c, const char *name, const char **whole,
                           struct err *e)
{
    struct buf list = {0};
    const char *found = NULL;
    size_t n = 0;

    for (size_t i = 0; i < c->n_functions; i++) {
        const char *full = name_at(c, i);
        if (symbols_is_without_parameters(name, full) && (!found || strcmp(full, found) != 0)) {
            found = full;
            if (n++ < N_SUGGESTED) {
                add_suggestion(&list, full);
            }
        }
    }
    *whole = found;
    int rc = n == 1 ? 0 : STAX_EUSAGE;
    if (n == 0) {
        refuse_unknown(c, name, e);
    } else if (n > 1) {
        err_set(e, STAX_EUSAGE, "condition: \"%s\" has several functions", name);
        err_hint(e, "name one with its parameters: %s%s", buf_str(&list),
                 n > N_SUGGESTED ? ", ..." : "");
    }
    buf_free(&list);
    return rc;
}

static int find_named(const struct comparing *c, const struct condition *condition,
                      struct change *change, struct err *e)
{
    bool is_total = condition->quantity == QUANTITY_TOTAL;
    const char *whole;

    if (named_change(c, condition->name, is_total, change)) {
        return 0;
    }
    int rc = find_whole_name(c, condition->name, &whole, e);
    if (rc == 0) {
        named_change(c, whole, is_total, change);
    }
    return rc;
}

static int find_change(const struct comparing *c, const struct condition *condition,
                       struct change *change, struct err *e)
{
    switch (condition->quantity) {
    case QUANTITY_ON_CPU:
        *change = compare_on_cpu(c);
        return 0;
    case QUANTITY_OFF_CPU:
        *change = compare_off_cpu(c);
        if (c->a.has_off_cpu && c->b.has_off_cpu) {
            return 0;
        }
        err_set(e, STAX_EUSAGE, "condition: run %s has no time off the CPU",
                c->a.has_off_cpu ? "B" : "A");
        err_hint(e, "stax diagnose --run tells what it lacks and what would record it");
        return STAX_EUSAGE;
    default:
        return find_named(c, condition, change, e);
    }
}

static const char *verdict_note(enum verdict verdict, const struct change *change)
{
    if (verdict != IS_UNSURE) {
        return "";
    }
    return change_is_enough(change) ? "the change is within its interval"
                                    : "there are too few samples to tell";
}

int compare_conditions(const struct comparing *c, json_t *data, struct err *e)
{
    struct fail_if f = {0};
    json_t *list = json_array();
    bool is_met = false;
    int rc = fail_if_parse(&f, c->options->fail_if, c->options->by, e);
    double z = estimate_z(c->options->confidence_pct, f.n);

    for (size_t i = 0; rc == 0 && i < f.n; i++) {
        struct change change;
        rc = find_change(c, &f.items[i], &change, e);
        if (rc == 0) {
            enum verdict verdict = condition_check(&f.items[i], &change, c->options->by, z);
            json_t *o = json_object();
            json_object_set_new(o, "condition", json_clean_string(f.items[i].text));
            json_object_set_new(o, "is_met", json_boolean(verdict == IS_MET));
            json_object_set_new(o, "note", json_string(verdict_note(verdict, &change)));
            json_object_set_new(o, "change", compare_change(c, &change, z));
            json_array_append_new(list, o);
            is_met = is_met || verdict == IS_MET;
        }
    }
    if (rc == 0) {
        json_object_set_new(data, "fail_if",
                            json_pack("{s:b,s:O}", "is_met", is_met, "conditions", list));
    }
    json_decref(list);
    fail_if_fini(&f);
    return rc;
}
