/*
 * test_property.c - for random runs and filters, views answer what adding up samples one by one
 * gives; also while the run grows.
 */
#include "fixture_counters.h"
#include "intervals.h"
#include "rooted.h"
#include "base/json.h"

struct request {
    int64_t tid, pid;       /* 0: any */
    int64_t from_ns, to_ns; /* to_ns 0: to the end */
    uint32_t excluded[2];
    size_t n_excluded;
    bool has_counters;
    int by; /* a counter, -1: time */
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next_random(state) % n);
}

/* Functions are asked for by name, and two binaries may have one each. */
static bool is_named_like(const struct model *m, uint32_t a, uint32_t b)
{
    return a == b ||
           (strcmp(m->kinds[a], "function") == 0 && strcmp(m->names[a], m->names[b]) == 0 &&
            strcmp(m->kinds[b], "function") == 0);
}

static bool is_name_on(const struct model *m, const struct model_sample *s, uint32_t symbol)
{
    for (uint32_t i = 0; i < s->depth; i++) {
        if (is_named_like(m, s->stack[i], symbol)) {
            return true;
        }
    }
    return false;
}

static bool is_on(const struct model_sample *s, uint32_t symbol)
{
    for (uint32_t i = 0; i < s->depth; i++) {
        if (s->stack[i] == symbol) {
            return true;
        }
    }
    return false;
}

static bool passes(const struct model *m, const struct request *r, const struct model_sample *s)
{
    int64_t since = s->ts - START_TS;

    if ((r->tid && m->threads[s->utid].tid != r->tid) ||
        (r->pid && m->threads[s->utid].pid != r->pid) || since < r->from_ns ||
        (r->to_ns && since >= r->to_ns)) {
        return false;
    }
    for (size_t i = 0; i < r->n_excluded; i++) {
        if (is_name_on(m, s, r->excluded[i])) {
            return false;
        }
    }
    return true;
}

static json_t *parameters_of(const struct model *m, const struct request *r)
{
    json_t *p = json_object(), *exclude = json_array();

    if (r->tid) {
        json_object_set_new(p, "tid", json_integer(r->tid));
    }
    if (r->pid) {
        json_object_set_new(p, "pid", json_integer(r->pid));
    }
    if (r->from_ns) {
        json_object_set_new(p, "from_ns", json_integer(r->from_ns));
    }
    if (r->to_ns) {
        json_object_set_new(p, "to_ns", json_integer(r->to_ns));
    }
    for (size_t i = 0; i < r->n_excluded; i++) {
        json_array_append_new(exclude, json_string(m->names[r->excluded[i]]));
    }
    json_object_set_new(p, "exclude", exclude);
    return p;
}

/* The same with "by", for views that have it. */
static json_t *parameters_by(const struct model *m, const struct request *r)
{
    json_t *p = parameters_of(m, r);

    if (r->by >= 0) {
        json_object_set_new(p, "by", json_string(model_counters[r->by]));
    }
    return p;
}

/* That a member has these counts, or is not there in a run without counters. */
static void check_counts(const json_t *object, const char *key, const struct request *r,
                         const int64_t counts[MODEL_COUNTERS])
{
    const json_t *all = json_object_get(object, key);

    assert_int_equal(json_object_size(all), r->has_counters ? MODEL_COUNTERS : 0);
    for (int slot = 0; r->has_counters && slot < MODEL_COUNTERS; slot++) {
        assert_int_equal(json_int_at(all, model_counters[slot], -1), counts[slot]);
    }
}

static void count(int64_t counts[MODEL_COUNTERS], size_t sample)
{
    for (int slot = 0; slot < MODEL_COUNTERS; slot++) {
        counts[slot] += model_count(sample, slot);
    }
}

/* The document of a view; parameters are taken. */
static json_t *ask(struct query *q, const char *view, json_t *parameters)
{
    json_t *document = NULL;
    struct err e = {0};

    if (query_view(q, view, parameters, &document, &e) < 0) {
        char *text = json_dumps(parameters, 0);
        fail_msg("%s %s: %s", view, text, e.msg);
    }
    json_decref(parameters);
    return document;
}

static int64_t data_int(const json_t *document, const char *key)
{
    return json_int_at(json_object_get(document, "data"), key, -1);
}

static void check_total(struct query *q, const struct model *m, const struct request *r)
{
    int64_t n = 0, ns = 0;
    json_t *document = ask(q, "total_on_cpu_ns", parameters_of(m, r));

    for (size_t i = 0; i < m->n_samples; i++) {
        if (passes(m, r, &m->samples[i])) {
            n++;
            ns += m->samples[i].on_cpu_ns;
        }
    }
    assert_int_equal(data_int(document, "n_samples"), n);
    assert_int_equal(data_int(document, "on_cpu_ns"), ns);
    json_decref(document);
}

static void check_top(struct query *q, const struct model *m, const struct request *r, bool is_self)
{
    int64_t sums[MAX_SYMBOLS + 1][4] = {{0}}, counts[MAX_SYMBOLS + 1][2][MODEL_COUNTERS] = {{{0}}};
    int64_t n_functions = 0, last = INT64_MAX, all[MODEL_COUNTERS] = {0};
    json_t *parameters = parameters_by(m, r), *row;
    size_t i;

    for (i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        for (uint32_t symbol = 1; passes(m, r, s) && symbol <= m->n_symbols; symbol++) {
            bool is_leaf = s->stack[s->depth - 1] == symbol;
            sums[symbol][0] += is_leaf;
            sums[symbol][1] += is_leaf ? s->on_cpu_ns : 0;
            sums[symbol][2] += is_on(s, symbol);
            sums[symbol][3] += is_on(s, symbol) ? s->on_cpu_ns : 0;
            if (is_leaf) {
                count(counts[symbol][0], i);
            }
            if (is_on(s, symbol)) {
                count(counts[symbol][1], i);
            }
        }
        if (passes(m, r, s)) {
            count(all, i);
        }
    }
    for (uint32_t symbol = 1; symbol <= m->n_symbols; symbol++) {
        bool is_function =
            strcmp(m->kinds[symbol], "process") != 0 && strcmp(m->kinds[symbol], "marker") != 0;
        n_functions += is_function && sums[symbol][2] > 0;
    }
    json_object_set_new(parameters, "limit", json_integer(0));
    json_object_set_new(parameters, "sort", json_string(is_self ? "self" : "total"));
    json_t *document = ask(q, "top", parameters);
    json_t *functions = json_object_get(json_object_get(document, "data"), "functions");
    assert_int_equal(json_array_size(functions), n_functions);
    assert_int_equal(data_int(document, "n_functions"), n_functions);
    check_counts(json_object_get(document, "data"), "counters", r, all);
    json_array_foreach(functions, i, row)
    {
        int64_t symbol = json_int_at(row, "symbol", 0);
        check_counts(row, "self_counters", r, counts[symbol][0]);
        check_counts(row, "total_counters", r, counts[symbol][1]);
        int64_t key = r->by >= 0
                          ? counts[symbol][!is_self][r->by]
                          : json_int_at(row, is_self ? "self_on_cpu_ns" : "total_on_cpu_ns", -1);
        assert_int_equal(json_int_at(row, "n_self_samples", -1), sums[symbol][0]);
        assert_int_equal(json_int_at(row, "self_on_cpu_ns", -1), sums[symbol][1]);
        assert_int_equal(json_int_at(row, "n_total_samples", -1), sums[symbol][2]);
        assert_int_equal(json_int_at(row, "total_on_cpu_ns", -1), sums[symbol][3]);
        assert_string_equal(json_text_at(row, "name", ""), m->names[symbol]);
        assert_true(key <= last);
        last = key;
    }
    json_decref(document);
}

static void check_threads(struct query *q, const struct model *m, const struct request *r)
{
    int64_t sums[MAX_THREADS + 1] = {0}, n = 0, ns = 0;
    int64_t counts[MAX_THREADS + 1][MODEL_COUNTERS] = {{0}};
    json_t *parameters = parameters_of(m, r), *row;
    size_t i;

    for (i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        if (passes(m, r, s)) {
            sums[s->utid] += s->on_cpu_ns;
            count(counts[s->utid], i);
            count(counts[0], i);
            ns += s->on_cpu_ns;
        }
    }
    json_object_set_new(parameters, "limit", json_integer(0));
    json_t *document = ask(q, "threads", parameters);
    json_t *threads = json_object_get(json_object_get(document, "data"), "threads");
    json_array_foreach(threads, i, row)
    {
        int64_t utid = json_int_at(row, "utid", 0);
        assert_int_equal(json_int_at(row, "on_cpu_ns", -1), sums[utid]);
        assert_int_equal(json_int_at(row, "tid", -1), m->threads[utid].tid);
        check_counts(row, "counters", r, counts[utid]);
        sums[utid] = 0;
        n++;
    }
    assert_int_equal(data_int(document, "n_threads"), n);
    check_counts(json_object_get(document, "data"), "counters", r, counts[0]);
    assert_int_equal(data_int(document, "on_cpu_ns"), ns);
    for (uint32_t utid = 1; utid <= m->n_threads; utid++) {
        assert_int_equal(sums[utid], 0); /* none was left out */
    }
    json_decref(document);
}

/* Checks a list of flame nodes whose stacks begin with prefix; returns their total. */
static int64_t check_nodes(const struct model *m, const struct request *r, const json_t *nodes,
                           uint32_t *prefix, uint32_t depth)
{
    int64_t all = 0, last = INT64_MAX;
    size_t i;
    json_t *node;

    assert_true(depth < MAX_DEPTH);
    json_array_foreach(nodes, i, node)
    {
        int64_t self = 0, total = 0, counts[2][MODEL_COUNTERS] = {{0}};
        prefix[depth] = (uint32_t)json_int_at(node, "symbol", 0);
        for (size_t k = 0; k < m->n_samples; k++) {
            const struct model_sample *s = &m->samples[k];
            if (s->depth > depth && passes(m, r, s) &&
                memcmp(s->stack, prefix, (depth + 1) * sizeof(*prefix)) == 0) {
                total += s->on_cpu_ns;
                self += s->depth == depth + 1 ? s->on_cpu_ns : 0;
                count(counts[1], k);
                if (s->depth == depth + 1) {
                    count(counts[0], k);
                }
            }
        }
        check_counts(node, "self_counters", r, counts[0]);
        check_counts(node, "total_counters", r, counts[1]);
        int64_t weight = r->by >= 0 ? counts[1][r->by] : total;
        assert_int_equal(json_int_at(node, "self_on_cpu_ns", -1), self);
        assert_int_equal(json_int_at(node, "total_on_cpu_ns", -1), total);
        assert_true(json_is_null(json_object_get(node, "cut")));
        assert_true(total > 0 && weight <= last);
        int64_t below_it = check_nodes(m, r, json_object_get(node, "children"), prefix, depth + 1);
        assert_int_equal(below_it, total - self);
        last = weight;
        all += total;
    }
    return all;
}

static void check_flame(struct query *q, const struct model *m, const struct request *r)
{
    json_t *parameters = parameters_by(m, r);
    uint32_t prefix[MAX_DEPTH];

    json_object_set_new(parameters, "threshold_pct", json_real(0));
    json_object_set_new(parameters, "max_depth", json_integer(1000));
    json_t *document = ask(q, "flamegraph", parameters);
    json_t *roots = json_object_get(json_object_get(document, "data"), "roots");
    assert_int_equal(check_nodes(m, r, roots, prefix, 0), data_int(document, "on_cpu_ns"));
    json_decref(document);
}

/* Callers and callees of a symbol, found by walking every stack. */
static void check_neighbors(struct query *q, const struct model *m, const struct request *r,
                            uint32_t symbol)
{
    int64_t sums[2][MAX_SYMBOLS + 1] = {{0}}, total = 0;
    json_t *parameters = parameters_of(m, r), *row;
    size_t i;

    for (i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        bool is_callee[MAX_SYMBOLS + 1] = {false}, is_seen = false;
        for (uint32_t d = 1; passes(m, r, s) && d < s->depth; d++) {
            if (is_named_like(m, s->stack[d], symbol) && !is_seen) {
                is_seen = true;
                total += s->on_cpu_ns;
                sums[0][s->stack[d - 1]] += s->on_cpu_ns;
            }
            if (is_named_like(m, s->stack[d - 1], symbol) && !is_callee[s->stack[d]]) {
                is_callee[s->stack[d]] = true;
                sums[1][s->stack[d]] += s->on_cpu_ns;
            }
        }
    }
    json_object_set_new(parameters, "symbol", json_string(m->names[symbol]));
    json_object_set_new(parameters, "limit", json_integer(0));
    json_t *document = ask(q, "neighbors", parameters);
    assert_int_equal(data_int(document, "total_on_cpu_ns"), total);
    for (int side = 0; side < 2; side++) {
        json_t *list =
            json_object_get(json_object_get(document, "data"), side ? "callees" : "callers");
        json_array_foreach(list, i, row)
        {
            int64_t *sum = &sums[side][json_int_at(row, "symbol", 0)];
            assert_int_equal(json_int_at(row, "on_cpu_ns", -1), *sum);
            *sum = 0;
        }
        for (i = 1; i <= m->n_symbols; i++) {
            assert_int_equal(sums[side][i], 0);
        }
    }
    json_decref(document);
}

/* Trees rooted at a symbol: their root has what every stack that holds it has, once. */
static void check_rooted(struct query *q, const struct model *m, const struct request *r,
                         uint32_t symbol)
{
    int64_t total = 0, self = 0;

    for (size_t i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        bool is_there = false;
        for (uint32_t d = 1; passes(m, r, s) && d < s->depth; d++) {
            is_there = is_there || is_named_like(m, s->stack[d], symbol);
            self += d + 1 == s->depth && is_named_like(m, s->stack[d], symbol) ? s->on_cpu_ns : 0;
        }
        total += is_there ? s->on_cpu_ns : 0;
    }
    for (int is_callers = 0; is_callers < 2; is_callers++) {
        json_t *parameters = parameters_of(m, r);
        json_object_set_new(parameters, "symbol", json_string(m->names[symbol]));
        json_object_set_new(parameters, "threshold_pct", json_real(0));
        json_object_set_new(parameters, "max_depth", json_integer(1000));
        json_t *document = ask(q, is_callers ? "callers" : "callees", parameters);
        const json_t *roots = json_object_get(json_object_get(document, "data"), "roots");
        const json_t *root = json_array_get(roots, 0);
        assert_int_equal(json_int_at(root, "total_on_cpu_ns", 0), total);
        assert_int_equal(json_int_at(root, "self_on_cpu_ns", 0), self);
        check_branches(roots, is_callers);
        json_decref(document);
    }
}

/* Only thread filters and excluded functions: the range of a timeline is rounded to buckets. */
static void check_timeline(struct query *q, const struct model *m, const struct request *request)
{
    struct request r = *request;
    int64_t sums[MAX_THREADS + 1][3] = {{0}};
    json_t *row, *value;
    size_t i, k;

    r.from_ns = 0;
    r.to_ns = 0;
    if (m->n_folded && r.n_excluded) {
        return;
    }
    json_t *parameters = parameters_of(m, &r);
    json_object_set_new(parameters, "max_buckets", json_integer(3));
    json_t *document = ask(q, "timeline", parameters);
    int64_t bucket_ns = data_int(document, "bucket_ns");
    assert_true(data_int(document, "n_buckets") <= 3);
    for (i = 0; i < m->n_samples; i++) {
        const struct model_sample *s = &m->samples[i];
        sums[s->utid][(s->ts - START_TS) / bucket_ns] += passes(m, &r, s) ? s->on_cpu_ns : 0;
    }
    json_array_foreach(json_object_get(json_object_get(document, "data"), "threads"), i, row)
    {
        json_array_foreach(json_object_get(row, "on_cpu_ns"), k, value)
        {
            int64_t *sum = &sums[json_int_at(row, "utid", 0)][k];
            assert_int_equal(json_integer_value(value), *sum);
            *sum = 0;
        }
    }
    for (i = 0; i < sizeof(sums) / sizeof(**sums); i++) {
        assert_int_equal(sums[i / 3][i % 3], 0); /* no thread was left out */
    }
    json_decref(document);
}

/* ---- time off the CPU -------------------------------------------------------------------------
 */

/* Time of a wait inside the range of a request; 0 if it does not pass. */
static int64_t wait_ns(const struct model *m, const struct request *r, const struct model_wait *w)
{
    int64_t from = w->ts - START_TS, to = from + w->dur;

    if ((r->tid && m->threads[w->utid].tid != r->tid) ||
        (r->pid && m->threads[w->utid].pid != r->pid)) {
        return 0;
    }
    for (size_t i = 0; w->marker && i < r->n_excluded; i++) {
        for (uint32_t d = 0; d < w->depth; d++) {
            if (is_named_like(m, w->stack[d], r->excluded[i])) {
                return 0;
            }
        }
    }
    from = from > r->from_ns ? from : r->from_ns;
    to = r->to_ns && to > r->to_ns ? r->to_ns : to;
    return to > from ? to - from : 0;
}

/* Totals of every function: time of waits with it on the stack. Self: with it innermost (none of
 * these functions is in the kernel). */
static void check_top_waits(struct query *q, const struct model *m, const struct request *r,
                            int reason)
{
    int64_t sums[MAX_SYMBOLS + 1][2] = {{0}}, all = 0, n_functions = 0;
    json_t *parameters = parameters_of(m, r), *row;
    size_t i;

    for (i = 0; i < m->n_waits; i++) {
        const struct model_wait *w = &m->waits[i];
        int64_t ns = w->marker && (reason < 0 || w->reason == reason) ? wait_ns(m, r, w) : 0;
        bool is_seen[MAX_SYMBOLS + 1] = {false};
        all += ns;
        for (uint32_t d = 1; d < w->depth; d++) {
            sums[w->stack[d]][1] += is_seen[w->stack[d]] ? 0 : ns;
            is_seen[w->stack[d]] = true;
        }
        sums[w->stack[w->depth - 1]][0] += w->depth > 1 ? ns : 0;
    }
    for (uint32_t symbol = 1; symbol <= m->n_symbols; symbol++) {
        n_functions += strcmp(m->kinds[symbol], "function") == 0 && sums[symbol][1] > 0;
    }
    json_object_set_new(parameters, "limit", json_integer(0));
    json_object_set_new(parameters, "off_cpu", json_true());
    if (reason >= 0) {
        json_object_set_new(parameters, "reason", json_string(model_reasons[reason]));
    }
    json_t *document = ask(q, "top", parameters);
    assert_int_equal(data_int(document, "off_cpu_ns"), all);
    assert_int_equal(data_int(document, "n_functions"), n_functions);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "functions"), i, row)
    {
        int64_t symbol = json_int_at(row, "symbol", 0);
        assert_int_equal(json_int_at(row, "self_off_cpu_ns", -1), sums[symbol][0]);
        assert_int_equal(json_int_at(row, "total_off_cpu_ns", -1), sums[symbol][1]);
    }
    json_decref(document);
}

/* Checks a list of nodes whose stacks, markers included, begin with prefix. */
static int64_t check_wait_nodes(const struct model *m, const struct request *r, const json_t *nodes,
                                uint32_t *prefix, uint32_t depth)
{
    int64_t all = 0;
    size_t i;
    json_t *node;

    json_array_foreach(nodes, i, node)
    {
        int64_t total = 0, self = 0;
        prefix[depth] = (uint32_t)json_int_at(node, "symbol", 0);
        for (size_t k = 0; k < m->n_waits; k++) {
            struct model_wait w = m->waits[k];
            w.stack[w.depth] = w.marker;
            if (w.marker && w.depth >= depth &&
                memcmp(w.stack, prefix, (depth + 1) * sizeof(*prefix)) == 0) {
                total += wait_ns(m, r, &w);
                self += w.depth == depth ? wait_ns(m, r, &w) : 0;
            }
        }
        assert_int_equal(json_int_at(node, "total_off_cpu_ns", -1), total);
        assert_int_equal(json_int_at(node, "self_off_cpu_ns", -1), self);
        assert_int_equal(
            check_wait_nodes(m, r, json_object_get(node, "children"), prefix, depth + 1),
            total - self);
        all += total;
    }
    return all;
}

static void check_flame_waits(struct query *q, const struct model *m, const struct request *r)
{
    json_t *parameters = parameters_of(m, r);
    uint32_t prefix[MAX_DEPTH + 1];

    json_object_set_new(parameters, "threshold_pct", json_real(0));
    json_object_set_new(parameters, "max_depth", json_integer(1000));
    json_object_set_new(parameters, "off_cpu", json_true());
    json_t *document = ask(q, "flamegraph", parameters);
    json_t *roots = json_object_get(json_object_get(document, "data"), "roots");
    assert_int_equal(check_wait_nodes(m, r, roots, prefix, 0), data_int(document, "off_cpu_ns"));
    json_decref(document);
}

/* Single waits: as many as there are, the longest first, and nothing that does not pass. */
static void check_intervals(struct query *q, const struct model *m, const struct request *r)
{
    int64_t n = 0, ns = 0, last = INT64_MAX;
    json_t *parameters = parameters_of(m, r), *row;
    size_t i;

    for (i = 0; i < m->n_waits; i++) {
        int64_t in_range = m->waits[i].marker ? wait_ns(m, r, &m->waits[i]) : 0;
        n += in_range > 0;
        ns += in_range;
    }
    json_object_set_new(parameters, "limit", json_integer(7));
    json_t *document = ask(q, "intervals", parameters);
    json_t *waits = json_object_get(json_object_get(document, "data"), "waits");
    assert_int_equal(data_int(document, "n_waits"), n);
    assert_int_equal(data_int(document, "off_cpu_ns"), ns);
    assert_int_equal(json_array_size(waits), n < 7 ? n : 7);
    json_array_foreach(waits, i, row)
    {
        int64_t dur = json_int_at(row, "dur_ns", -1), n_longer = 0;
        for (size_t k = 0; k < m->n_waits; k++) {
            const struct model_wait *w = &m->waits[k];
            n_longer += w->marker && w->dur > dur && wait_ns(m, r, w) > 0;
        }
        assert_true(n_longer <= (int64_t)i && dur <= last);
        last = dur;
    }
    json_decref(document);
}

/* Every member of a thread's ledger, and that it closes. */
static void check_ledgers(struct query *q, const struct model *m, const struct request *r)
{
    json_t *parameters = parameters_of(m, r), *row;
    size_t i;

    json_object_set_new(parameters, "limit", json_integer(0));
    json_t *document = ask(q, "threads", parameters);
    json_array_foreach(json_object_get(json_object_get(document, "data"), "threads"), i, row)
    {
        int64_t utid = json_int_at(row, "utid", 0), runnable = 0, blocked = 0, sum = 0;
        json_t *value;
        const char *key;
        if (r->n_excluded) {
            assert_true(json_is_null(json_object_get(row, "reasons")));
            continue;
        }
        for (size_t k = 0; k < m->n_waits; k++) {
            const struct model_wait *w = &m->waits[k];
            int64_t *into = w->marker ? &blocked : &runnable;
            *into += w->utid == utid ? wait_ns(m, r, w) : 0;
        }
        json_object_foreach(json_object_get(row, "reasons"), key, value)
        {
            sum += json_integer_value(value);
        }
        int64_t known = json_int_at(row, "on_cpu_ns", 0) + runnable + blocked;
        int64_t wall = json_int_at(row, "wall_ns", -1);
        assert_int_equal(json_int_at(row, "runnable_ns", -1), runnable);
        assert_int_equal(json_int_at(row, "off_cpu_ns", -1), blocked);
        assert_int_equal(sum, blocked);
        assert_int_equal(json_int_at(row, "unknown_ns", -1), wall > known ? wall - known : 0);
    }
    json_decref(document);
}

static void check_waits(struct query *q, const struct model *m, const struct request *r,
                        uint64_t *random)
{
    check_top_waits(q, m, r, -1);
    check_top_waits(q, m, r, (int)below(random, MODEL_RUNNABLE));
    check_flame_waits(q, m, r);
    check_intervals(q, m, r);
    check_all_intervals(q);
    check_ledgers(q, m, r);
}

/* ---- random runs ------------------------------------------------------------------------------
 */

static void make_names(struct model *m, uint64_t *random)
{
    char name[32];
    uint32_t n_processes = 1 + below(random, 3);

    for (uint32_t i = 0; i < n_processes; i++) {
        snprintf(name, sizeof(name), "proc%u", below(random, 2));
        model_thread(m, 100 + i, model_process(m, 100 + i, name), name);
    }
    for (uint32_t i = 0; i < 4; i++) {
        /* Ids come back: two threads may share a tid. */
        model_thread(m, 200 + below(random, 3), 1 + below(random, n_processes), "worker");
    }
}

static void make_wait(struct model *m, uint64_t *random, uint32_t n_functions)
{
    uint32_t stack[12], depth = 0;
    int reason = (int)below(random, MODEL_RUNNING);
    char name[32];

    for (uint32_t levels = below(random, 9); reason != MODEL_RUNNABLE && levels > 0; levels--) {
        snprintf(name, sizeof(name), "%sf%u", below(random, 9) ? "" : "lib.so!",
                 below(random, n_functions));
        stack[depth++] = model_function(m, name);
    }
    model_wait(m, 1 + below(random, m->n_threads), stack, depth, reason,
               1 + (int64_t)below(random, 90 * (uint32_t)MS));
}

static void make_samples(struct model *m, uint64_t *random, size_t n, uint32_t n_functions)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t stack[12], depth = 0;
        char name[32];
        if (below(random, 8) == 0) {
            stack[depth++] = model_function(m, "[truncated stack]");
        }
        for (uint32_t levels = 1 + below(random, 9); levels > 0; levels--) {
            snprintf(name, sizeof(name), "%sf%u", below(random, 9) ? "" : "lib.so!",
                     below(random, n_functions));
            stack[depth++] = model_function(m, name);
        }
        model_sample(m, 1 + below(random, m->n_threads), stack, depth,
                     1 + (int64_t)below(random, 3 * (uint32_t)MS));
        if (below(random, 60) == 0 && m->n_snapshots < MAX_SNAPSHOTS) {
            m->snapshots[m->n_snapshots++] = m->n_samples;
        }
        if (below(random, 4) == 0 && m->n_waits < MAX_WAITS) {
            make_wait(m, random, n_functions);
        }
        m->next_ns += below(random, 10) ? 0 : (int64_t)below(random, 50) * MS;
    }
}

/* A moment that can be answered exactly: where rows were dropped, only snapshots can. */
static int64_t make_moment(const struct model *m, uint64_t *random)
{
    int64_t raw_from = m->n_folded ? m->samples[m->n_folded - 1].ts + 1 - START_TS : 0;
    int64_t any = (int64_t)below(random, (uint32_t)(m->next_ns / 1000)) * 1000;

    if (any >= raw_from) {
        return any;
    }
    size_t n = m->snapshots[below(random, (uint32_t)m->n_snapshots)];
    return n > 0 ? m->samples[n - 1].ts + 1 - START_TS : 0;
}

static struct request make_request(const struct model *m, uint64_t *random)
{
    struct request r = {0};

    if (below(random, 3) == 0) {
        r.tid = m->threads[1 + below(random, m->n_threads)].tid;
    } else if (below(random, 3) == 0) {
        r.pid = m->threads[1 + below(random, m->n_threads)].pid;
    }
    if (below(random, 2)) {
        r.from_ns = make_moment(m, random);
    }
    if (below(random, 2)) {
        r.to_ns = make_moment(m, random);
    }
    if (r.to_ns && r.from_ns >= r.to_ns) {
        r.to_ns = 0;
    }
    for (uint32_t n = below(random, 3); n > 1; n--) {
        uint32_t symbol = 1 + below(random, m->n_symbols);
        if (strcmp(m->kinds[symbol], "function") == 0) {
            r.excluded[r.n_excluded++] = symbol;
        }
    }
    return r;
}

static void check_all(struct query *q, const struct model *m, uint64_t *random, bool has_counters)
{
    struct request r = make_request(m, random);
    uint32_t symbol = 1 + below(random, m->n_symbols);

    r.has_counters = has_counters;
    r.by = has_counters ? (int)below(random, MODEL_COUNTERS + 1) - 1 : -1;
    check_total(q, m, &r);
    check_top(q, m, &r, below(random, 2));
    check_threads(q, m, &r);
    check_flame(q, m, &r);
    check_timeline(q, m, &r);
    check_waits(q, m, &r, random);
    if (strcmp(m->kinds[symbol], "function") == 0) {
        check_neighbors(q, m, &r, symbol);
        check_rooted(q, m, &r, symbol);
    }
}

static void write_run(struct model *m, const char *path, bool has_counters)
{
    model_write(m, path);
    if (has_counters) {
        counters_write(m, path);
    }
}

static void run_once(uint64_t seed, bool is_folded)
{
    struct model m = {0};
    struct query *q = NULL;
    struct err e = {0};
    char path[512];
    uint64_t random = seed * 0x9E3779B97F4A7C15ULL + 1;

    fixture_path(path, sizeof(path));
    make_names(&m, &random);
    make_samples(&m, &random, 150 + below(&random, 300), 4 + below(&random, 12));
    if (is_folded && m.n_snapshots) {
        m.n_folded = m.snapshots[below(&random, (uint32_t)m.n_snapshots)];
    }
    bool has_counters = seed % 2;
    write_run(&m, path, has_counters);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    for (int i = 0; i < 8; i++) {
        check_all(q, &m, &random, has_counters);
    }
    /* The run goes on: the reader's tree is older than the samples, then snapshots reach it. */
    for (int round = 0; round < 3; round++) {
        size_t n_snapshots = m.n_snapshots;
        make_samples(&m, &random, 60, 20);
        if (round == 0) {
            m.n_snapshots = n_snapshots;
        }
        write_run(&m, path, has_counters);
        for (int i = 0; i < 4; i++) {
            check_all(q, &m, &random, has_counters);
        }
    }
    query_close(q);
    fixture_split(path);
    assert_int_equal(query_open(&q, path, false, &e), 0);
    for (int i = 0; i < 8; i++) {
        check_all(q, &m, &random, has_counters);
    }
    query_close(q);
    fixture_remove(path);
    model_free(&m);
}

static void views_equal_adding_up_samples(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed += SEED_STEP) {
        run_once(seed, false);
    }
}

static void so_do_runs_with_dropped_rows(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed <= 110; seed += SEED_STEP) {
        run_once(seed, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_equal_adding_up_samples),
        cmocka_unit_test(so_do_runs_with_dropped_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
