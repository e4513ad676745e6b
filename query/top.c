/* top.c - functions by self or total time, on or off the CPU, and the plain total. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/counters.sql.h"
#include "query/top.h"
#include "query/top.sql.h"

static int compare(int64_t a, int64_t b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_self(const void *a, const void *b)
{
    const struct top_row *x = a, *y = b;
    int c = compare(x->self, y->self);
    c = c ? c : compare(x->total, y->total);
    return c ? c : compare(y->symbol, x->symbol);
}

static int by_total(const void *a, const void *b)
{
    const struct top_row *x = a, *y = b;
    int c = compare(x->total, y->total);
    c = c ? c : compare(x->self, y->self);
    return c ? c : compare(y->symbol, x->symbol);
}

void top_add(struct query *q, struct top_rows *rows, const struct top_row *row)
{
    if (symbols_kind(&q->fold.symbols, row->symbol) == SYMBOL_IS_FUNCTION) {
        mem_reserve(&rows->items, &rows->cap, rows->n + 1, sizeof(*rows->items));
        struct top_row *added = &rows->items[rows->n++];
        *added = *row;
        added->self = rows->by == BY_ON_CPU ? row->self_ns : row->counts.self[rows->by];
        added->total = rows->by == BY_ON_CPU ? row->total_ns : row->counts.total[rows->by];
    }
}

/* The three statements that give rows share their columns. */
_Static_assert((int)top_self_c_total_on_cpu_ns == (int)top_total_c_total_on_cpu_ns &&
                   (int)top_self_c_total_on_cpu_ns == (int)top_of_threads_c_total_on_cpu_ns,
               "columns of top.sql");
_Static_assert((int)top_self_p_limit == (int)top_total_p_limit, "parameters of top.sql");
_Static_assert((int)top_self_c_symbol == (int)top_by_counter_c_symbol &&
                   (int)top_self_c_total_on_cpu_ns == (int)top_by_counter_c_total_on_cpu_ns,
               "columns of top.sql and counters.sql");

static void read_counts(struct query *q, int64_t symbol, struct counts *counts)
{
    struct stmt *s = db_stmt(q->db, &sql_symbol_counters);

    stmt_bind_int(s, symbol_counters_p_symbol, symbol);
    if (stmt_next(s)) {
        counters_of_row(q, s, symbol_counters_c_self_c0, counts->self);
        counters_of_row(q, s, symbol_counters_c_total_c0, counts->total);
    }
    stmt_reset(s);
}

static void read_rows(struct query *q, struct top_rows *rows, struct stmt *s)
{
    while (stmt_next(s)) {
        struct top_row row = {
            .symbol = stmt_int(s, top_self_c_symbol),
            .n_self = stmt_int(s, top_self_c_n_self_samples),
            .self_ns = stmt_int(s, top_self_c_self_on_cpu_ns),
            .n_total = stmt_int(s, top_self_c_n_total_samples),
            .total_ns = stmt_int(s, top_self_c_total_on_cpu_ns),
        };
        if (q->counters.n) {
            read_counts(q, row.symbol, &row.counts);
        }
        top_add(q, rows, &row);
    }
}

static int read_run(struct query *q, struct top_rows *rows, bool is_self, int64_t limit,
                    struct err *e)
{
    int rc = symbols_refresh(&q->fold.symbols, q->db, e);
    if (rc < 0) {
        return rc;
    }
    int64_t n_others = (int64_t)q->fold.symbols.n_others;
    struct stmt *s = db_stmt(q->db, &sql_top_n_functions);
    rows->n_functions = stmt_next(s) ? stmt_int(s, top_n_functions_c_n) : 0;
    stmt_reset(s);
    if (rows->by == BY_ON_CPU) {
        s = db_stmt(q->db, is_self ? &sql_top_self : &sql_top_total);
        stmt_bind_int(s, top_self_p_limit, limit + n_others);
    } else {
        s = db_stmt(q->db, &sql_top_by_counter);
        stmt_bind_int(s, top_by_counter_p_slot, rows->by);
        stmt_bind_int(s, top_by_counter_p_is_total, !is_self);
        stmt_bind_int(s, top_by_counter_p_limit, limit + n_others);
    }
    read_rows(q, rows, s);
    counters_of_run(q, rows->counters);
    rows->n_all = q->run.fold.n_samples;
    rows->all_ns = q->run.on_cpu_ns;
    return db_status(q->db, e);
}

static int read_threads(struct query *q, struct top_rows *rows, const struct filter *filter,
                        struct err *e)
{
    int rc = symbols_refresh(&q->fold.symbols, q->db, e);
    if (rc == 0) {
        rc = fold_threads(&q->fold, q->db, filter, e); /* refuses those that do not exist */
    }
    if (rc < 0) {
        return rc;
    }
    struct stmt *s = db_stmt(q->db, &sql_top_of_threads);
    view_bind_threads(s, top_of_threads_p_tid, top_of_threads_p_pid, filter);
    read_rows(q, rows, s);
    view_threads_total(q, filter, &rows->n_all, &rows->all_ns);
    rows->n_functions = (int64_t)rows->n;
    return db_status(q->db, e);
}

void top_add_sums(struct query *q, struct top_rows *rows, const struct node_sum *sums,
                  const struct counts *counts)
{
    for (size_t symbol = 1; symbol < q->fold.symbols.n; symbol++) {
        struct top_row row = {
            .symbol = (int64_t)symbol,
            .n_self = (int64_t)sums[symbol].n_self,
            .self_ns = (int64_t)sums[symbol].self_ns,
            .n_total = (int64_t)sums[symbol].n_total,
            .total_ns = (int64_t)sums[symbol].total_ns,
        };
        if (counts) {
            row.counts = counts[symbol];
        }
        if (row.n_total) {
            top_add(q, rows, &row);
        }
    }
    rows->n_functions = (int64_t)rows->n;
}

/* Both are sums of anything: unsigned, a foreign file may hold any numbers. */
static void add_counts(struct counts *sum, const struct counts *node, bool is_outermost)
{
    for (size_t i = 0; i < COUNTERS_MAX; i++) {
        sum->self[i] = (int64_t)((uint64_t)sum->self[i] + (uint64_t)node->self[i]);
        if (is_outermost) {
            sum->total[i] = (int64_t)((uint64_t)sum->total[i] + (uint64_t)node->total[i]);
        }
    }
}

/* Sums by symbol: self of every node, total of the outermost node of a symbol on each stack. */
static int read_fold(struct query *q, struct top_rows *rows, const struct params *p, struct err *e)
{
    const struct fold *f = &q->fold;
    int rc = view_fold(q, p, true, e);
    if (rc < 0) {
        return rc;
    }
    struct node_sum *sums = mem_new(f->symbols.n + 1, sizeof(*sums));
    struct counts *counts = f->n_counters ? mem_new(f->symbols.n + 1, sizeof(*counts)) : NULL;
    for (size_t id = 1; id < f->tree.n_nodes; id++) {
        const struct tree_node *node = &f->tree.nodes[id];
        if (node->symbol >= f->symbols.n || f->nodes[id].n_total == 0) {
            continue;
        }
        struct node_sum *sum = &sums[node->symbol];
        sum->n_self += f->nodes[id].n_self;
        sum->self_ns += f->nodes[id].self_ns;
        if (!(node->flags & NODE_RECURSIVE)) {
            sum->n_total += f->nodes[id].n_total;
            sum->total_ns += f->nodes[id].total_ns;
        }
        if (counts) {
            struct counts of_node;
            counters_of_node(f, id, &of_node);
            add_counts(&counts[node->symbol], &of_node, !(node->flags & NODE_RECURSIVE));
        }
    }
    top_add_sums(q, rows, sums, counts);
    free(sums);
    free(counts);
    for (size_t i = 0; i < f->n_counters; i++) {
        rows->counters[i] = (int64_t)f->counters[i];
    }
    rows->n_all = (int64_t)f->n;
    rows->all_ns = (int64_t)f->ns;
    return 0;
}

static int read_samples(struct query *q, struct top_rows *rows, const struct params *p,
                        bool is_self, int64_t limit, struct err *e)
{
    /* Counters are not summed up by thread and function. */
    bool is_thread = filter_is_thread(&p->filter);
    if (filter_needs_fold(&p->filter) || (is_thread && q->counters.n)) {
        return read_fold(q, rows, p, e);
    }
    return is_thread ? read_threads(q, rows, &p->filter, e) : read_run(q, rows, is_self, limit, e);
}

static json_t *function_of(struct query *q, const struct top_row *row, int64_t all,
                           const struct measure *m)
{
    json_t *o = json_object();

    symbols_describe(q->db, row->symbol, o);
    json_object_set_new(o, "is_inlined", json_boolean(symbols_is_inlined(q->db, row->symbol)));
    view_set_int(o, m->self_ns, row->self_ns);
    json_object_set_new(o, "self_pct", view_pct(row->self, all));
    view_set_int(o, m->n_self, row->n_self);
    view_set_int(o, m->total_ns, row->total_ns);
    json_object_set_new(o, "total_pct", view_pct(row->total, all));
    view_set_int(o, m->n_total, row->n_total);
    if (m == &measure_off_cpu) {
        json_object_set_new(o, "blocked", row->blocked ? json_string(row->blocked) : json_null());
    } else {
        counters_add_counts(q, o, &row->counts);
    }
    return o;
}

static void show_rows(struct query *q, struct top_rows *rows, bool is_self, int64_t limit,
                      const struct measure *m, json_t *data)
{
    json_t *functions = json_array();

    if (rows->n) {
        qsort(rows->items, rows->n, sizeof(*rows->items), is_self ? by_self : by_total);
    }
    json_object_set_new(data, "sort", json_string(is_self ? "self" : "total"));
    view_set_int(data, "n_functions", rows->n_functions);
    view_set_int(data, m->n, rows->n_all);
    view_set_int(data, m->ns, rows->all_ns);
    if (m == &measure_on_cpu) {
        counters_describe(q, data, rows->by, rows->counters);
    }
    rows->all = rows->by == BY_ON_CPU ? rows->all_ns : rows->counters[rows->by];
    json_object_set_new(data, "functions", functions);
    for (size_t i = 0; i < rows->n && (int64_t)i < limit; i++) {
        json_array_append_new(functions, function_of(q, &rows->items[i], rows->all, m));
    }
}

int view_top(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct top_rows rows = {0};
    struct waits_rest rest = {0};
    const char *sort = params_text(p, "sort", "self");
    bool is_self = strcmp(sort, "self") == 0, is_off_cpu;
    int64_t limit = params_int(p, "limit", 20);
    int reason;
    int rc = waits_asked(p, &is_off_cpu, &reason, e);

    if (rc == 0) {
        rc = counters_asked(q, p, is_off_cpu, &rows.by, e);
    }
    if (rc < 0) {
        return rc;
    }
    if (!is_self && strcmp(sort, "total") != 0) {
        return err_set(e, STAX_EUSAGE, "sort must be \"self\" or \"total\"");
    }
    limit = limit ? limit : 100000;
    rc = is_off_cpu ? top_read_waits(q, &rows, &p->filter, reason, &rest, e)
                    : read_samples(q, &rows, p, is_self, limit, e);
    if (rc == 0) {
        show_rows(q, &rows, is_self, limit, is_off_cpu ? &measure_off_cpu : &measure_on_cpu, data);
        if (is_off_cpu) {
            waits_describe(data, reason, &rest);
            waits_warnings(q, p, rows.n == 0, rows.all_ns, &rest);
        } else {
            run_warnings(q, true, rows.n == 0, p);
            counters_warn(q, rows.by);
        }
    }
    free(rows.items);
    return rc;
}

int view_total(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    int64_t n_samples = q->run.fold.n_samples, on_cpu_ns = q->run.on_cpu_ns;
    int rc = 0;

    if (filter_needs_fold(&p->filter)) {
        rc = view_fold(q, p, false, e);
        n_samples = (int64_t)q->fold.n;
        on_cpu_ns = (int64_t)q->fold.ns;
    } else if (filter_is_thread(&p->filter)) {
        rc = fold_threads(&q->fold, q->db, &p->filter, e);
        view_threads_total(q, &p->filter, &n_samples, &on_cpu_ns);
    }
    if (rc == 0) {
        view_set_int(data, "on_cpu_ns", on_cpu_ns);
        view_set_int(data, "n_samples", n_samples);
        run_warnings(q, false, n_samples == 0, p);
    }
    return rc;
}
