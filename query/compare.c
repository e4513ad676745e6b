/* compare.c - see compare.h. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/compare_internal.h"
#include "query/fail_if.h"

enum { MAX_LIMIT = 100000 };

const struct compare_options compare_default_options = {.limit = 20, .confidence_pct = 99};

const char *const compare_basis_words[N_BASES] = {"time", "rate", "share"};

/* ---- options --------------------------------------------------------------------------------- */

static int read_words(struct compare_options *o, const json_t *parameters, struct err *e)
{
    const char *by = json_text_at(parameters, "by", compare_basis_words[o->by]);
    const char *sort = json_text_at(parameters, "sort", o->is_by_total ? "total" : "self");
    int found = -1;

    for (int i = 0; i < N_BASES; i++) {
        found = strcmp(by, compare_basis_words[i]) == 0 ? i : found;
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

static bool has_binary(const json_t *document, const char *name)
{
    const json_t *on_cpu = json_object_get(json_object_get(document, "data"), "on_cpu");
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(on_cpu, "functions"), i, row)
    {
        if (strcmp(json_text_at(row, "binary", ""), name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *main_binary(const json_t *document)
{
    const json_t *data = json_object_get(document, "data");
    return json_text_at(json_object_get(data, "main"), "binary", "");
}

/* Two builds under two names: what ran in one is nowhere in the other. */
static bool is_renamed(const json_t *a, const json_t *b)
{
    return !has_binary(a, main_binary(b)) && !has_binary(b, main_binary(a));
}

static void read_side(struct side *s, const json_t *document, bool has_other_name)
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
    const json_t *waits = json_object_get(s->data, "off_cpu");
    const json_t *main = json_object_get(s->data, "main");
    const char *binary = has_other_name ? main_binary(document) : "";
    items_read_functions(&s->functions, on_cpu, binary, &measure_on_cpu);
    items_read_functions(&s->waits, waits, binary, &measure_off_cpu);
    items_read_threads(&s->threads, threads, json_text_at(main, "thread", ""));
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

struct change compare_exact(const struct comparing *c, double a, double whole_a, double b,
                            double whole_b)
{
    return change_of(&c->a.sampling, exact(a), whole_a, &c->b.sampling, exact(b), whole_b);
}

/* CPU time of a thread, or of all, is exact where the kernel told of every switch. */
static struct amount thread_time(const struct side *s, double ns, double n_samples)
{
    return s->has_off_cpu ? exact(ns) : (struct amount){ns, n_samples};
}

struct change compare_on_cpu(const struct comparing *c)
{
    const struct side *a = &c->a, *b = &c->b;
    return change_of(&a->sampling, thread_time(a, a->on_cpu_ns, a->n_samples),
                     a->sampling.elapsed_ns, &b->sampling,
                     thread_time(b, b->on_cpu_ns, b->n_samples), b->sampling.elapsed_ns);
}

struct change compare_off_cpu(const struct comparing *c)
{
    return compare_exact(c, c->a.off_cpu_ns, c->a.sampling.elapsed_ns, c->b.off_cpu_ns,
                         c->b.sampling.elapsed_ns);
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

static void compare_functions(struct comparing *c)
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

static void compare_waits(struct comparing *c)
{
    static const struct item none = {.name = ""};

    c->waits = start(&c->a.waits, &c->b.waits, &c->n_waits);
    for (size_t i = 0; i < c->n_waits; i++) {
        struct difference *d = &c->waits[i];
        const struct item *a = d->pair.a ? d->pair.a : &none, *b = d->pair.b ? d->pair.b : &none;
        d->self = compare_exact(c, a->self_ns, c->a.off_cpu_ns, b->self_ns, c->b.off_cpu_ns);
        d->total = compare_exact(c, a->total_ns, c->a.off_cpu_ns, b->total_ns, c->b.off_cpu_ns);
    }
}

static void compare_threads(struct comparing *c)
{
    static const struct item none = {.name = ""};

    c->threads = start(&c->a.threads, &c->b.threads, &c->n_threads);
    for (size_t i = 0; i < c->n_threads; i++) {
        struct difference *d = &c->threads[i];
        const struct item *a = d->pair.a ? d->pair.a : &none, *b = d->pair.b ? d->pair.b : &none;
        d->self =
            change_of(&c->a.sampling, thread_time(&c->a, a->self_ns, a->n_self), c->a.on_cpu_ns,
                      &c->b.sampling, thread_time(&c->b, b->self_ns, b->n_self), c->b.on_cpu_ns);
        d->total = compare_exact(c, a->off_cpu_ns, c->a.off_cpu_ns, b->off_cpu_ns, c->b.off_cpu_ns);
        d->runnable =
            compare_exact(c, a->runnable_ns, c->a.runnable_ns, b->runnable_ns, c->b.runnable_ns);
        c->n_tested += !change_is_exact(&d->self) && change_is_enough(&d->self);
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

struct order {
    const struct comparing *c;
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

const struct item *compare_item(const struct difference *d)
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
    order = order ? order : strcmp(compare_item(x)->name, compare_item(y)->name);
    return order ? order : strcmp(compare_item(x)->binary, compare_item(y)->binary);
}

static void sort(const struct comparing *c, struct difference *list, size_t n)
{
    struct order order = {c, c->options->is_by_total};
    qsort_r(list, n, sizeof(*list), by_change, &order);
}

/* ---- warnings -------------------------------------------------------------------------------- */

static void warn(struct comparing *c, const char *who, const char *text)
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

static void warn_of_sides(struct comparing *c)
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

static void warn_of_comparison(struct comparing *c)
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

int compare_profiles(const json_t *a, const json_t *b, const struct compare_options *options,
                     json_t **document, struct err *e)
{
    struct comparing c = {.options = options, .warnings = json_array()};
    json_t *data = json_object();
    int rc = 0;

    *document = NULL;
    bool has_other_name = is_renamed(a, b);
    read_side(&c.a, a, has_other_name);
    read_side(&c.b, b, has_other_name);
    compare_functions(&c);
    compare_waits(&c);
    compare_threads(&c);
    c.z = estimate_z(options->confidence_pct, c.n_tested);
    sort(&c, c.functions, c.n_functions);
    sort(&c, c.waits, c.n_waits);
    sort(&c, c.threads, c.n_threads);
    compare_fill(&c, data);
    json_object_set_new(data, "fail_if", json_null());
    if (options->fail_if) {
        rc = compare_conditions(&c, data, e);
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
