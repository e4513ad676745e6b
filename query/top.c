/* top.c - functions by self or total time, and the plain total. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "query/top.sql.h"
#include "query/view.h"

struct row {
    int64_t symbol;
    int64_t n_self_samples, self_on_cpu_ns;
    int64_t n_total_samples, total_on_cpu_ns;
};

struct rows {
    struct row *items;
    size_t n, cap;
    int64_t n_samples, on_cpu_ns; /* of everything that counts */
    int64_t n_functions;
};

static int compare(int64_t a, int64_t b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_self(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = compare(x->self_on_cpu_ns, y->self_on_cpu_ns);
    c = c ? c : compare(x->total_on_cpu_ns, y->total_on_cpu_ns);
    return c ? c : compare(y->symbol, x->symbol);
}

static int by_total(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = compare(x->total_on_cpu_ns, y->total_on_cpu_ns);
    c = c ? c : compare(x->self_on_cpu_ns, y->self_on_cpu_ns);
    return c ? c : compare(y->symbol, x->symbol);
}

static void add_row(struct query *q, struct rows *rows, const struct row *row)
{
    if (symbols_kind(&q->fold.symbols, row->symbol) == SYMBOL_IS_FUNCTION) {
        mem_reserve(&rows->items, &rows->cap, rows->n + 1, sizeof(*rows->items));
        rows->items[rows->n++] = *row;
    }
}

/* The three statements that give rows share their columns. */
_Static_assert((int)top_self_c_total_on_cpu_ns == (int)top_total_c_total_on_cpu_ns &&
                   (int)top_self_c_total_on_cpu_ns == (int)top_of_threads_c_total_on_cpu_ns,
               "columns of top.sql");
_Static_assert((int)top_self_p_limit == (int)top_total_p_limit, "parameters of top.sql");

static void read_rows(struct query *q, struct rows *rows, struct stmt *s)
{
    while (stmt_next(s)) {
        const struct row row = {
            .symbol = stmt_int(s, top_self_c_symbol),
            .n_self_samples = stmt_int(s, top_self_c_n_self_samples),
            .self_on_cpu_ns = stmt_int(s, top_self_c_self_on_cpu_ns),
            .n_total_samples = stmt_int(s, top_self_c_n_total_samples),
            .total_on_cpu_ns = stmt_int(s, top_self_c_total_on_cpu_ns),
        };
        add_row(q, rows, &row);
    }
}

static int read_run(struct query *q, struct rows *rows, bool is_self, int64_t limit, struct err *e)
{
    int rc = symbols_refresh(&q->fold.symbols, q->db, e);
    if (rc < 0) {
        return rc;
    }
    int64_t n_others = (int64_t)q->fold.symbols.n_others;
    struct stmt *s = db_stmt(q->db, &sql_top_n_symbols);
    rows->n_functions = stmt_next(s) ? stmt_int(s, top_n_symbols_c_n) - n_others : 0;
    rows->n_functions = rows->n_functions > 0 ? rows->n_functions : 0;
    stmt_reset(s);
    s = db_stmt(q->db, is_self ? &sql_top_self : &sql_top_total);
    stmt_bind_int(s, top_self_p_limit, limit + n_others);
    read_rows(q, rows, s);
    rows->n_samples = q->run.fold.n_samples;
    rows->on_cpu_ns = q->run.on_cpu_ns;
    return db_status(q->db, e);
}

static int read_threads(struct query *q, struct rows *rows, const struct filter *filter,
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
    view_threads_total(q, filter, &rows->n_samples, &rows->on_cpu_ns);
    rows->n_functions = (int64_t)rows->n;
    return db_status(q->db, e);
}

/* Sums by symbol: self of every node, total of the outermost node of a symbol on each stack. */
static int read_fold(struct query *q, struct rows *rows, const struct params *p, struct err *e)
{
    const struct fold *f = &q->fold;
    int rc = view_fold(q, p, true, e);
    if (rc < 0) {
        return rc;
    }
    struct node_sum *sums = mem_new(f->symbols.n + 1, sizeof(*sums));
    for (size_t id = 1; id < f->tree.n_nodes; id++) {
        const struct tree_node *node = &f->tree.nodes[id];
        if (node->symbol >= f->symbols.n || f->nodes[id].n_total_samples == 0) {
            continue;
        }
        struct node_sum *sum = &sums[node->symbol];
        sum->n_self_samples += f->nodes[id].n_self_samples;
        sum->self_on_cpu_ns += f->nodes[id].self_on_cpu_ns;
        if (!(node->flags & NODE_RECURSIVE)) {
            sum->n_total_samples += f->nodes[id].n_total_samples;
            sum->total_on_cpu_ns += f->nodes[id].total_on_cpu_ns;
        }
    }
    for (size_t symbol = 1; symbol < f->symbols.n; symbol++) {
        const struct row row = {
            .symbol = (int64_t)symbol,
            .n_self_samples = (int64_t)sums[symbol].n_self_samples,
            .self_on_cpu_ns = (int64_t)sums[symbol].self_on_cpu_ns,
            .n_total_samples = (int64_t)sums[symbol].n_total_samples,
            .total_on_cpu_ns = (int64_t)sums[symbol].total_on_cpu_ns,
        };
        if (row.n_total_samples) {
            add_row(q, rows, &row);
        }
    }
    free(sums);
    rows->n_functions = (int64_t)rows->n;
    rows->n_samples = (int64_t)f->n_samples;
    rows->on_cpu_ns = (int64_t)f->on_cpu_ns;
    return 0;
}

static json_t *function_of(struct query *q, const struct row *row, int64_t on_cpu_ns)
{
    json_t *o = json_object();

    symbols_describe(q->db, row->symbol, o);
    view_set_int(o, "self_on_cpu_ns", row->self_on_cpu_ns);
    json_object_set_new(o, "self_pct", view_pct(row->self_on_cpu_ns, on_cpu_ns));
    view_set_int(o, "n_self_samples", row->n_self_samples);
    view_set_int(o, "total_on_cpu_ns", row->total_on_cpu_ns);
    json_object_set_new(o, "total_pct", view_pct(row->total_on_cpu_ns, on_cpu_ns));
    view_set_int(o, "n_total_samples", row->n_total_samples);
    return o;
}

int view_top(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct rows rows = {0};
    const char *sort = params_text(p, "sort", "self");
    bool is_self = strcmp(sort, "self") == 0;
    int64_t limit = params_int(p, "limit", 20);
    int rc;

    if (!is_self && strcmp(sort, "total") != 0) {
        return err_set(e, STAX_EUSAGE, "sort must be \"self\" or \"total\"");
    }
    limit = limit ? limit : 100000;
    if (filter_needs_fold(&p->filter)) {
        rc = read_fold(q, &rows, p, e);
    } else if (filter_is_thread(&p->filter)) {
        rc = read_threads(q, &rows, &p->filter, e);
    } else {
        rc = read_run(q, &rows, is_self, limit, e);
    }
    if (rc == 0) {
        json_t *functions = json_array();
        if (rows.n) {
            qsort(rows.items, rows.n, sizeof(*rows.items), is_self ? by_self : by_total);
        }
        json_object_set_new(data, "sort", json_string(sort));
        view_set_int(data, "n_functions", rows.n_functions);
        view_set_int(data, "n_samples", rows.n_samples);
        view_set_int(data, "on_cpu_ns", rows.on_cpu_ns);
        json_object_set_new(data, "functions", functions);
        for (size_t i = 0; i < rows.n && (int64_t)i < limit; i++) {
            json_array_append_new(functions, function_of(q, &rows.items[i], rows.on_cpu_ns));
        }
        run_warnings(q, true, rows.n == 0, p);
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
        n_samples = (int64_t)q->fold.n_samples;
        on_cpu_ns = (int64_t)q->fold.on_cpu_ns;
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
