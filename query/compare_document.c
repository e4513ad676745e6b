/* compare_document.c - a comparison as its document. */
#include <math.h>

#include "query/compare_internal.h"
#include "query/reasons.h"

static int compare_sizes(double a, double b)
{
    return a > b ? -1 : a < b;
}

static double number_at(const json_t *object, const char *key)
{
    return (double)json_int_at(object, key, 0);
}

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

json_t *compare_change(const struct comparing *c, const struct change *change, double z)
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
                        is_exact ? json_null() : whole_number(z * time->deviation));
    json_object_set_new(o, "a_ns_per_s", real_number(rate->a));
    json_object_set_new(o, "b_ns_per_s", real_number(rate->b));
    json_object_set_new(o, "delta_ns_per_s", real_number(rate->delta));
    json_object_set_new(o, "interval_ns_per_s",
                        is_exact ? json_null() : real_number(z * rate->deviation));
    json_object_set_new(o, "a_pct", real_number(share->a));
    json_object_set_new(o, "b_pct", real_number(share->b));
    json_object_set_new(o, "delta_pct", real_number(share->delta));
    json_object_set_new(o, "interval_pct",
                        is_exact ? json_null() : real_number(z * share->deviation));
    json_object_set_new(o, "change_pct", real_number(value_change_pct(&change->by[by])));
    json_object_set_new(o, "n_a_samples", samples_of(change->n_a));
    json_object_set_new(o, "n_b_samples", samples_of(change->n_b));
    json_object_set_new(o, "is_significant",
                        is_exact || !change_is_enough(change)
                            ? json_null()
                            : json_boolean(change_is_significant(change, by, z)));
    return o;
}

static json_t *own_change(const struct comparing *c, const struct change *change)
{
    return compare_change(c, change, c->z);
}

static const char *status_of(const struct pair *pair)
{
    return !pair->a ? "new" : !pair->b ? "vanished" : "both";
}

static json_t *binary_of(const struct item *item)
{
    return item && *item->binary ? json_string(item->binary) : json_null();
}

static json_t *function_document(const struct comparing *c, const struct difference *d)
{
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(compare_item(d)->name));
    json_object_set_new(o, "binary", binary_of(d->pair.b ? d->pair.b : d->pair.a));
    json_object_set_new(o, "a_binary", binary_of(d->pair.a));
    json_object_set_new(o, "status", json_string(status_of(&d->pair)));
    json_object_set_new(o, "self", own_change(c, &d->self));
    json_object_set_new(o, "total", own_change(c, &d->total));
    return o;
}

static json_t *thread_document(const struct comparing *c, const struct difference *d)
{
    bool has_waits = c->a.has_off_cpu && c->b.has_off_cpu;
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string((d->pair.b ? d->pair.b : d->pair.a)->name));
    json_object_set_new(o, "a_name", d->pair.a ? json_string(d->pair.a->name) : json_null());
    json_object_set_new(o, "status", json_string(status_of(&d->pair)));
    view_set_int(o, "n_a_threads", d->pair.a ? d->pair.a->n : 0);
    view_set_int(o, "n_b_threads", d->pair.b ? d->pair.b->n : 0);
    json_object_set_new(o, "on_cpu", own_change(c, &d->self));
    json_object_set_new(o, "off_cpu", has_waits ? own_change(c, &d->total) : json_null());
    json_object_set_new(o, "runnable", has_waits ? own_change(c, &d->runnable) : json_null());
    return o;
}

typedef json_t *row_fn(const struct comparing *c, const struct difference *d);

static json_t *rows_of(const struct comparing *c, const struct difference *list, size_t n,
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

    return compare_sizes(fabs(x->change.by[*by].delta), fabs(y->change.by[*by].delta));
}

static json_t *reasons_of(const struct comparing *c)
{
    struct reason_change list[N_REASONS];
    enum basis by = c->options->by;
    json_t *rows = json_array();

    for (int i = 0; i < N_REASONS; i++) {
        list[i].reason = i;
        list[i].change = compare_exact(c, reason_ns(&c->a, reasons[i].key), c->a.off_cpu_ns,
                                       reason_ns(&c->b, reasons[i].key), c->b.off_cpu_ns);
    }
    qsort_r(list, N_REASONS, sizeof(*list), by_time_change, &by);
    for (int i = 0; i < N_REASONS; i++) {
        json_t *o = json_object();
        json_object_set_new(o, "reason", json_string(reasons[list[i].reason].name));
        json_object_set_new(o, "off_cpu", own_change(c, &list[i].change));
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

static json_t *totals_document(const struct comparing *c)
{
    bool has_waits = c->a.has_off_cpu && c->b.has_off_cpu;
    struct change on_cpu = compare_on_cpu(c), off_cpu = compare_off_cpu(c);
    struct change elapsed = compare_exact(c, c->a.sampling.elapsed_ns, c->a.sampling.elapsed_ns,
                                          c->b.sampling.elapsed_ns, c->b.sampling.elapsed_ns);
    struct change runnable = compare_exact(c, c->a.runnable_ns, c->a.sampling.elapsed_ns,
                                           c->b.runnable_ns, c->b.sampling.elapsed_ns);
    json_t *o = json_object();

    json_object_set_new(o, "elapsed", own_change(c, &elapsed));
    json_object_set_new(o, "on_cpu", own_change(c, &on_cpu));
    json_object_set_new(o, "off_cpu", has_waits ? own_change(c, &off_cpu) : json_null());
    json_object_set_new(o, "runnable", has_waits ? own_change(c, &runnable) : json_null());
    return o;
}

static size_t count_significant(const struct comparing *c)
{
    enum basis by = c->options->by;
    size_t n = 0;

    for (size_t i = 0; i < c->n_functions; i++) {
        n += change_is_significant(&c->functions[i].self, by, c->z) ||
             change_is_significant(&c->functions[i].total, by, c->z);
    }
    return n;
}

void compare_fill(const struct comparing *c, json_t *data)
{
    json_object_set_new(data, "a", side_document(&c->a));
    json_object_set_new(data, "b", side_document(&c->b));
    json_object_set_new(data, "by", json_string(compare_basis_words[c->options->by]));
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
