/* compare.c - see compare.h. */
#include "query/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "query/compare_match.h"
#include "query/fail_if.h"
#include "query/reasons.h"

enum { MAX_LIMIT = 100000, MAX_SUGGESTED = 64 };

const struct compare_options compare_default_options = {.limit = 20, .confidence_pct = 99};

static const char *const basis_words[N_BASES] = {"time", "rate", "share"};

struct side {
    const json_t *document, *data;
    struct sampling sampling;
    double on_cpu_ns, off_cpu_ns, runnable_ns; /* of all threads */
    double n_samples;
    bool has_off_cpu;
    struct items functions, waits, threads;
};

struct difference {
    struct pair pair;
    struct change self, total; /* of threads: on the CPU, off the CPU */
    struct change runnable;    /* of threads */
};

struct comparison_of {
    const struct compare_options *options;
    struct side a, b;
    struct difference *functions, *waits, *threads;
    size_t n_functions, n_waits, n_threads;
    double z;        /* of the functions and threads together */
    size_t n_tested; /* ... differences */
    json_t *warnings;
};

/* ---- options --------------------------------------------------------------------------------- */

static int read_words(struct compare_options *o, const json_t *parameters, struct err *e)
{
    const char *by = json_text_at(parameters, "by", basis_words[o->by]);
    const char *sort = json_text_at(parameters, "sort", o->is_by_total ? "total" : "self");
    int found = -1;

    for (int i = 0; i < N_BASES; i++) {
        found = strcmp(by, basis_words[i]) == 0 ? i : found;
    }
    if (found < 0) {
        return err_set(e, STAX_EUSAGE, "by must be \"time\", \"rate\" or \"share\"");
    }
    o->by = (enum basis)found;
    o->is_by_total = strcmp(sort, "total") == 0;
    if (!o->is_by_total && strcmp(sort, "self") != 0) {
        return err_set(e, STAX_EUSAGE, "sort must be \"self\" or \"total\"");
    }
    return 0;
}

int compare_options_read(struct compare_options *options, const json_t *parameters, struct err *e)
{
    struct fail_if conditions = {0};
    int rc;

    *options = compare_default_options;
    rc = read_words(options, parameters, e);
    if (rc < 0) {
        return rc;
    }
    options->limit = json_int_at(parameters, "limit", options->limit);
    options->confidence_pct = json_real_at(parameters, "confidence_pct", options->confidence_pct);
    options->fail_if = json_text_at(parameters, "fail_if", NULL);
    if (options->limit < 0 || options->limit > MAX_LIMIT) {
        return err_set(e, STAX_EUSAGE, "limit must be from 0 to %d", MAX_LIMIT);
    }
    if (!(options->confidence_pct >= 50 && options->confidence_pct <= 99.9999)) {
        return err_set(e, STAX_EUSAGE, "confidence_pct must be from 50 to 99.9999");
    }
    if (options->fail_if) {
        rc = fail_if_parse(&conditions, options->fail_if, options->by, e);
        fail_if_fini(&conditions);
    }
    return rc;
}

/* ---- reading the profiles -------------------------------------------------------------------- */

static double number_at(const json_t *object, const char *key)
{
    return (double)json_int_at(object, key, 0);
}

static void read_side(struct side *s, const json_t *document)
{
    s->document = document;
    s->data = json_object_get(document, "data");
    const json_t *on_cpu = json_object_get(s->data, "on_cpu");
    const json_t *threads = json_object_get(s->data, "threads");
    s->has_off_cpu = json_is_true(json_object_get(s->data, "has_off_cpu"));
    s->n_samples = number_at(on_cpu, "n_samples");
    double sampled_ns = number_at(on_cpu, "on_cpu_ns");
    s->sampling = (struct sampling){
        .elapsed_ns = number_at(s->data, "elapsed_ns"),
        .mean_ns = s->n_samples > 0 ? sampled_ns / s->n_samples : 0,
        .variation = json_real_at(s->data, "weight_variation", 0),
    };
    items_read_functions(&s->functions, on_cpu, &measure_on_cpu);
    items_read_functions(&s->waits, json_object_get(s->data, "off_cpu"), &measure_off_cpu);
    items_read_threads(&s->threads, threads);
    for (size_t i = 0; i < s->threads.n; i++) {
        s->on_cpu_ns += s->threads.list[i].self_ns;
        s->off_cpu_ns += s->threads.list[i].off_cpu_ns;
        s->runnable_ns += s->threads.list[i].runnable_ns;
    }
}

static void free_side(struct side *s)
{
    items_free(&s->functions);
    items_free(&s->waits);
    items_free(&s->threads);
}

/* ---- differences ----------------------------------------------------------------------------- */

static struct amount exact(double ns)
{
    return (struct amount){ns, -1};
}

static struct change exact_change(const struct comparison_of *c, double a, double whole_a, double b,
                                  double whole_b)
{
    return change_of(&c->a.sampling, exact(a), whole_a, &c->b.sampling, exact(b), whole_b);
}

/* CPU time of a thread, or of all, is exact where the kernel told of every switch. */
static struct amount thread_time(const struct side *s, double ns, double n_samples)
{
    return s->has_off_cpu ? exact(ns) : (struct amount){ns, n_samples};
}

static struct difference *start(struct items *a, struct items *b, size_t *n)
{
    struct pair *pairs;

    *n = items_match(a, b, &pairs);
    struct difference *list = mem_new(*n + 1, sizeof(*list));
    for (size_t i = 0; i < *n; i++) {
        list[i].pair = pairs[i];
    }
    free(pairs);
    return list;
}

static void compare_functions(struct comparison_of *c)
{
    static const struct item none = {.name = ""};

    c->functions = start(&c->a.functions, &c->b.functions, &c->n_functions);
    for (size_t i = 0; i < c->n_functions; i++) {
        struct difference *d = &c->functions[i];
        const struct item *a = d->pair.a ? d->pair.a : &none, *b = d->pair.b ? d->pair.b : &none;
        double whole_a = c->a.sampling.mean_ns * c->a.n_samples;
        double whole_b = c->b.sampling.mean_ns * c->b.n_samples;
        d->self = change_of(&c->a.sampling, (struct amount){a->self_ns, a->n_self}, whole_a,
                            &c->b.sampling, (struct amount){b->self_ns, b->n_self}, whole_b);
        d->total = change_of(&c->a.sampling, (struct amount){a->total_ns, a->n_total}, whole_a,
                             &c->b.sampling, (struct amount){b->total_ns, b->n_total}, whole_b);
        c->n_tested += change_is_enough(&d->self) + change_is_enough(&d->total);
    }
}

static void compare_waits(struct comparison_of *c)
{
    static const struct item none = {.name = ""};

    c->waits = start(&c->a.waits, &c->b.waits, &c->n_waits);
    for (size_t i = 0; i < c->n_waits; i++) {
        struct difference *d = &c->waits[i];
        const struct item *a = d->pair.a ? d->pair.a : &none, *b = d->pair.b ? d->pair.b : &none;
        d->self = exact_change(c, a->self_ns, c->a.off_cpu_ns, b->self_ns, c->b.off_cpu_ns);
        d->total = exact_change(c, a->total_ns, c->a.off_cpu_ns, b->total_ns, c->b.off_cpu_ns);
    }
}

static void compare_threads(struct comparison_of *c)
{
    static const struct item none = {.name = ""};

    c->threads = start(&c->a.threads, &c->b.threads, &c->n_threads);
    for (size_t i = 0; i < c->n_threads; i++) {
        struct difference *d = &c->threads[i];
        const struct item *a = d->pair.a ? d->pair.a : &none, *b = d->pair.b ? d->pair.b : &none;
        d->self =
            change_of(&c->a.sampling, thread_time(&c->a, a->self_ns, a->n_self), c->a.on_cpu_ns,
                      &c->b.sampling, thread_time(&c->b, b->self_ns, b->n_self), c->b.on_cpu_ns);
        d->total = exact_change(c, a->off_cpu_ns, c->a.off_cpu_ns, b->off_cpu_ns, c->b.off_cpu_ns);
        d->runnable =
            exact_change(c, a->runnable_ns, c->a.runnable_ns, b->runnable_ns, c->b.runnable_ns);
        c->n_tested += !change_is_exact(&d->self) && change_is_enough(&d->self);
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

struct order {
    const struct comparison_of *c;
    bool is_by_total;
};

/* What is significant comes first, then what could be told from nothing with more samples, then
 * what has too few of them. */
static int rank_of(const struct change *change, enum basis by, double z)
{
    if (change_is_exact(change) || change_is_significant(change, by, z)) {
        return 0;
    }
    return change_is_enough(change) ? 1 : 2;
}

static int compare_numbers(double a, double b)
{
    return a > b ? -1 : a < b;
}

static int compare_changes(const struct order *o, const struct change *a, const struct change *b)
{
    enum basis by = o->c->options->by;
    int rank_a = rank_of(a, by, o->c->z), rank_b = rank_of(b, by, o->c->z);

    if (rank_a != rank_b) {
        return rank_a < rank_b ? -1 : 1;
    }
    int order = compare_numbers(change_beyond(a, by, o->c->z), change_beyond(b, by, o->c->z));
    return order ? order : compare_numbers(fabs(a->by[by].delta), fabs(b->by[by].delta));
}

static const struct item *item_of(const struct difference *d)
{
    return d->pair.a ? d->pair.a : d->pair.b;
}

static int by_change(const void *a, const void *b, void *context)
{
    const struct order *o = context;
    const struct difference *x = a, *y = b;
    const struct change *first_x = o->is_by_total ? &x->total : &x->self;
    const struct change *first_y = o->is_by_total ? &y->total : &y->self;
    int order = compare_changes(o, first_x, first_y);

    order = order ? order
                  : compare_changes(o, o->is_by_total ? &x->self : &x->total,
                                    o->is_by_total ? &y->self : &y->total);
    order = order ? order : strcmp(item_of(x)->name, item_of(y)->name);
    return order ? order : strcmp(item_of(x)->binary, item_of(y)->binary);
}

static void sort(const struct comparison_of *c, struct difference *list, size_t n)
{
    struct order order = {c, c->options->is_by_total};
    qsort_r(list, n, sizeof(*list), by_change, &order);
}

/* ---- the document ---------------------------------------------------------------------------- */

static json_t *whole_number(double value)
{
    return json_integer((json_int_t)fmin(fmax(value, -9e18), 9e18));
}

/* Numbers of a foreign file may make no number. */
static json_t *real_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *samples_of(double n)
{
    return n < 0 ? json_null() : whole_number(n);
}

static json_t *change_document(const struct comparison_of *c, const struct change *change)
{
    const struct value *time = &change->by[BY_TIME], *rate = &change->by[BY_RATE];
    const struct value *share = &change->by[BY_SHARE];
    enum basis by = c->options->by;
    bool is_exact = change_is_exact(change);
    json_t *o = json_object();

    json_object_set_new(o, "a_ns", whole_number(time->a));
    json_object_set_new(o, "b_ns", whole_number(time->b));
    json_object_set_new(o, "delta_ns", whole_number(time->delta));
    json_object_set_new(o, "interval_ns",
                        is_exact ? json_null() : whole_number(c->z * time->deviation));
    json_object_set_new(o, "a_ns_per_s", real_number(rate->a));
    json_object_set_new(o, "b_ns_per_s", real_number(rate->b));
    json_object_set_new(o, "delta_ns_per_s", real_number(rate->delta));
    json_object_set_new(o, "interval_ns_per_s",
                        is_exact ? json_null() : real_number(c->z * rate->deviation));
    json_object_set_new(o, "a_pct", real_number(share->a));
    json_object_set_new(o, "b_pct", real_number(share->b));
    json_object_set_new(o, "delta_pct", real_number(share->delta));
    json_object_set_new(o, "interval_pct",
                        is_exact ? json_null() : real_number(c->z * share->deviation));
    json_object_set_new(o, "change_pct", real_number(value_change_pct(&change->by[by])));
    json_object_set_new(o, "n_a_samples", samples_of(change->n_a));
    json_object_set_new(o, "n_b_samples", samples_of(change->n_b));
    json_object_set_new(o, "is_significant",
                        is_exact || !change_is_enough(change)
                            ? json_null()
                            : json_boolean(change_is_significant(change, by, c->z)));
    return o;
}

static const char *status_of(const struct pair *pair)
{
    return !pair->a ? "new" : !pair->b ? "vanished" : "both";
}

static json_t *binary_of(const struct item *item)
{
    return item && *item->binary ? json_string(item->binary) : json_null();
}

static json_t *function_document(const struct comparison_of *c, const struct difference *d)
{
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(item_of(d)->name));
    json_object_set_new(o, "binary", binary_of(d->pair.b ? d->pair.b : d->pair.a));
    json_object_set_new(o, "a_binary", binary_of(d->pair.a));
    json_object_set_new(o, "status", json_string(status_of(&d->pair)));
    json_object_set_new(o, "self", change_document(c, &d->self));
    json_object_set_new(o, "total", change_document(c, &d->total));
    return o;
}

static json_t *thread_document(const struct comparison_of *c, const struct difference *d)
{
    bool has_waits = c->a.has_off_cpu && c->b.has_off_cpu;
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(item_of(d)->name));
    json_object_set_new(o, "status", json_string(status_of(&d->pair)));
    view_set_int(o, "n_a_threads", d->pair.a ? d->pair.a->n : 0);
    view_set_int(o, "n_b_threads", d->pair.b ? d->pair.b->n : 0);
    json_object_set_new(o, "on_cpu", change_document(c, &d->self));
    json_object_set_new(o, "off_cpu", has_waits ? change_document(c, &d->total) : json_null());
    json_object_set_new(o, "runnable", has_waits ? change_document(c, &d->runnable) : json_null());
    return o;
}

typedef json_t *row_fn(const struct comparison_of *c, const struct difference *d);

static json_t *rows_of(const struct comparison_of *c, const struct difference *list, size_t n,
                       row_fn *row)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < n && (c->options->limit == 0 || (int64_t)i < c->options->limit); i++) {
        json_array_append_new(rows, row(c, &list[i]));
    }
    return rows;
}

static double reason_ns(const struct side *s, const char *key)
{
    double ns = 0;
    size_t i;
    const json_t *thread;

    json_array_foreach(json_object_get(json_object_get(s->data, "threads"), "threads"), i, thread)
    {
        ns += number_at(json_object_get(thread, "reasons"), key);
    }
    return ns;
}

struct reason_change {
    int reason;
    struct change change;
};

static int by_time_change(const void *a, const void *b, void *context)
{
    const enum basis *by = context;
    const struct reason_change *x = a, *y = b;

    return compare_numbers(fabs(x->change.by[*by].delta), fabs(y->change.by[*by].delta));
}

static json_t *reasons_of(const struct comparison_of *c)
{
    struct reason_change list[N_REASONS];
    enum basis by = c->options->by;
    json_t *rows = json_array();

    for (int i = 0; i < N_REASONS; i++) {
        list[i].reason = i;
        list[i].change = exact_change(c, reason_ns(&c->a, reasons[i].key), c->a.off_cpu_ns,
                                      reason_ns(&c->b, reasons[i].key), c->b.off_cpu_ns);
    }
    qsort_r(list, N_REASONS, sizeof(*list), by_time_change, &by);
    for (int i = 0; i < N_REASONS; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "reason", json_string(reasons[list[i].reason].name));
        json_object_set_new(o, "off_cpu", change_document(c, &list[i].change));
        json_array_append_new(rows, o);
    }
    return rows;
}

static json_t *side_document(const struct side *s)
{
    json_t *o = json_object();

    json_object_set(o, "run", json_object_get(s->document, "run"));
    json_object_set(o, "quality", json_object_get(s->document, "quality"));
    json_object_set_new(o, "elapsed_ns", whole_number(s->sampling.elapsed_ns));
    json_object_set_new(o, "on_cpu_ns", whole_number(s->on_cpu_ns));
    json_object_set_new(o, "n_samples", whole_number(s->n_samples));
    json_object_set_new(o, "has_off_cpu", json_boolean(s->has_off_cpu));
    json_object_set_new(o, "weight_variation", real_number(s->sampling.variation));
    return o;
}

static struct change all_on_cpu(const struct comparison_of *c)
{
    const struct side *a = &c->a, *b = &c->b;
    return change_of(&a->sampling, thread_time(a, a->on_cpu_ns, a->n_samples),
                     a->sampling.elapsed_ns, &b->sampling,
                     thread_time(b, b->on_cpu_ns, b->n_samples), b->sampling.elapsed_ns);
}

static struct change all_off_cpu(const struct comparison_of *c)
{
    return exact_change(c, c->a.off_cpu_ns, c->a.sampling.elapsed_ns, c->b.off_cpu_ns,
                        c->b.sampling.elapsed_ns);
}

static json_t *totals_document(const struct comparison_of *c)
{
    bool has_waits = c->a.has_off_cpu && c->b.has_off_cpu;
    struct change on_cpu = all_on_cpu(c), off_cpu = all_off_cpu(c);
    struct change elapsed = exact_change(c, c->a.sampling.elapsed_ns, c->a.sampling.elapsed_ns,
                                         c->b.sampling.elapsed_ns, c->b.sampling.elapsed_ns);
    struct change runnable = exact_change(c, c->a.runnable_ns, c->a.sampling.elapsed_ns,
                                          c->b.runnable_ns, c->b.sampling.elapsed_ns);
    json_t *o = json_object();

    json_object_set_new(o, "elapsed", change_document(c, &elapsed));
    json_object_set_new(o, "on_cpu", change_document(c, &on_cpu));
    json_object_set_new(o, "off_cpu", has_waits ? change_document(c, &off_cpu) : json_null());
    json_object_set_new(o, "runnable", has_waits ? change_document(c, &runnable) : json_null());
    return o;
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* All functions of that name in either run, added up. False: there is none. */
static bool named_change(const struct comparison_of *c, const char *name, bool is_total,
                         struct change *change)
{
    struct amount a = {0}, b = {0};
    bool is_found = false;

    for (size_t i = 0; i < c->n_functions; i++) {
        const struct pair *pair = &c->functions[i].pair;
        if (strcmp(item_of(&c->functions[i])->name, name) != 0) {
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

static int refuse_unknown(const struct comparison_of *c, const char *name, struct err *e)
{
    struct buf clean = {0};
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 2;

    for (size_t i = 0; i < c->n_functions && strlen(name) <= MAX_SUGGESTED; i++) {
        const char *candidate = item_of(&c->functions[i])->name;
        size_t distance =
            strlen(candidate) <= MAX_SUGGESTED ? text_distance(name, candidate) : best;
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    text_clean(&clean, name, strnlen(name, 256));
    int rc =
        err_set(e, STAX_ENOTFOUND, "condition: no function named \"%s\" has samples in either run",
                buf_str(&clean));
    if (nearest) {
        err_hint(e, "did you mean \"%s\"?", nearest);
    } else {
        err_hint(e, "names are whole, as stax top prints them");
    }
    buf_free(&clean);
    return rc;
}

static int find_change(const struct comparison_of *c, const struct condition *condition,
                       struct change *change, struct err *e)
{
    switch (condition->quantity) {
    case QUANTITY_ON_CPU:
        *change = all_on_cpu(c);
        return 0;
    case QUANTITY_OFF_CPU:
        *change = all_off_cpu(c);
        if (c->a.has_off_cpu && c->b.has_off_cpu) {
            return 0;
        }
        err_set(e, STAX_ENOTFOUND, "condition: run %s has no time off the CPU",
                c->a.has_off_cpu ? "B" : "A");
        err_hint(e, "stax diagnose --run tells what it lacks and what would record it");
        return STAX_ENOTFOUND;
    default:
        return named_change(c, condition->name, condition->quantity == QUANTITY_TOTAL, change)
                   ? 0
                   : refuse_unknown(c, condition->name, e);
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

static int check_conditions(const struct comparison_of *c, json_t *data, struct err *e)
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
            struct comparison_of own = *c;
            own.z = z;
            json_t *o = json_object();
            json_object_set_new(o, "condition", json_clean_string(f.items[i].text));
            json_object_set_new(o, "is_met", json_boolean(verdict == IS_MET));
            json_object_set_new(o, "note", json_string(verdict_note(verdict, &change)));
            json_object_set_new(o, "change", change_document(&own, &change));
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

/* ---- warnings -------------------------------------------------------------------------------- */

static void warn(struct comparison_of *c, const char *who, const char *text)
{
    json_array_append_new(c->warnings, json_sprintf("%s: %s", who, text));
}

static bool has_warning(const json_t *list, const json_t *warning)
{
    size_t i;
    const json_t *item;

    json_array_foreach(list, i, item)
    {
        if (json_equal(item, warning)) {
            return true;
        }
    }
    return false;
}

static void warn_of_sides(struct comparison_of *c)
{
    const json_t *of_a = json_object_get(c->a.document, "warnings");
    const json_t *of_b = json_object_get(c->b.document, "warnings");
    size_t i;
    const json_t *item;

    json_array_foreach(of_a, i, item)
    {
        warn(c, has_warning(of_b, item) ? "A and B" : "A", json_string_value(item));
    }
    json_array_foreach(of_b, i, item)
    {
        if (!has_warning(of_a, item)) {
            warn(c, "B", json_string_value(item));
        }
    }
}

static bool is_cut(const struct side *s)
{
    const json_t *on_cpu = json_object_get(s->data, "on_cpu");
    return json_int_at(on_cpu, "n_functions", 0) >
           (int64_t)json_array_size(json_object_get(on_cpu, "functions"));
}

static void warn_of_comparison(struct comparison_of *c)
{
    if (c->a.has_off_cpu != c->b.has_off_cpu) {
        warn(c, c->a.has_off_cpu ? "B" : "A", "waits are not compared: they were not recorded");
    }
    if (is_cut(&c->a) || is_cut(&c->b)) {
        warn(c, "A or B", "only the 100000 largest functions are compared");
    }
    if (c->n_tested == 0 && c->n_functions) {
        warn(c, "A and B",
             "too few samples to compare functions: record longer, or with a "
             "higher -F");
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static size_t count_significant(const struct comparison_of *c)
{
    enum basis by = c->options->by;
    size_t n = 0;

    for (size_t i = 0; i < c->n_functions; i++) {
        n += change_is_significant(&c->functions[i].self, by, c->z) ||
             change_is_significant(&c->functions[i].total, by, c->z);
    }
    return n;
}

static void fill(struct comparison_of *c, json_t *data)
{
    json_object_set_new(data, "a", side_document(&c->a));
    json_object_set_new(data, "b", side_document(&c->b));
    json_object_set_new(data, "by", json_string(basis_words[c->options->by]));
    json_object_set_new(data, "sort", json_string(c->options->is_by_total ? "total" : "self"));
    json_object_set_new(data, "confidence_pct", json_real(c->options->confidence_pct));
    view_set_int(data, "n_tested", (int64_t)c->n_tested);
    json_object_set_new(data, "n_deviations", json_real(c->z));
    json_object_set_new(data, "totals", totals_document(c));
    view_set_int(data, "n_functions", (int64_t)c->n_functions);
    view_set_int(data, "n_significant", (int64_t)count_significant(c));
    json_object_set_new(data, "functions",
                        rows_of(c, c->functions, c->n_functions, function_document));
    view_set_int(data, "n_threads", (int64_t)c->n_threads);
    json_object_set_new(data, "threads", rows_of(c, c->threads, c->n_threads, thread_document));
    bool has_waits = c->a.has_off_cpu && c->b.has_off_cpu;
    json_object_set_new(data, "reasons", has_waits ? reasons_of(c) : json_null());
    view_set_int(data, "n_waits", has_waits ? (int64_t)c->n_waits : 0);
    json_object_set_new(data, "waits",
                        has_waits ? rows_of(c, c->waits, c->n_waits, function_document)
                                  : json_null());
}

int compare_profiles(const json_t *a, const json_t *b, const struct compare_options *options,
                     json_t **document, struct err *e)
{
    struct comparison_of c = {.options = options, .warnings = json_array()};
    json_t *data = json_object();
    int rc = 0;

    *document = NULL;
    read_side(&c.a, a);
    read_side(&c.b, b);
    compare_functions(&c);
    compare_waits(&c);
    compare_threads(&c);
    c.z = estimate_z(options->confidence_pct, c.n_tested);
    sort(&c, c.functions, c.n_functions);
    sort(&c, c.waits, c.n_waits);
    sort(&c, c.threads, c.n_threads);
    fill(&c, data);
    json_object_set_new(data, "fail_if", json_null());
    if (options->fail_if) {
        rc = check_conditions(&c, data, e);
    }
    warn_of_sides(&c);
    warn_of_comparison(&c);
    if (rc == 0) {
        *document = json_pack("{s:s,s:n,s:O,s:n,s:O}", "schema", "stax.compare/1", "run", "data",
                              data, "quality", "warnings", c.warnings);
    }
    json_decref(data);
    json_decref(c.warnings);
    free(c.functions);
    free(c.waits);
    free(c.threads);
    free_side(&c.a);
    free_side(&c.b);
    return rc;
}
