/* annotate.c - instructions of a function with their samples (annotate.h). */
#include "query/annotate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "query/annotate.sql.h"

void annotated_free(struct annotated *a)
{
    buf_free(&a->code.bytes);
    disasm_free(&a->disasm);
    free(a->places);
    a->places = NULL;
}

/* ---- samples ---- */

static void add_place(struct annotated *a, int64_t frame, uint64_t rel_address,
                      const struct annotated_sum *sum)
{
    mem_reserve(&a->places, &a->cap_places, a->n_places + 1, sizeof(*a->places));
    a->places[a->n_places++] = (struct annotated_place){
        .frame = frame, .rel_address = rel_address, .sum = *sum, .instruction = SIZE_MAX};
    annotate_add_sum(&a->sum, sum);
}

static int read_sums(struct annotated *a, struct query *q, const struct filter *filter,
                     struct err *e)
{
    int rc = fold_threads(&q->fold, q->db, filter, e); /* refuses those that do not exist */
    if (rc < 0) {
        return rc;
    }
    struct stmt *s = db_stmt(q->db, &sql_annotate_sums);
    stmt_bind_int(s, annotate_sums_p_symbol, a->symbol);
    view_bind_threads(s, annotate_sums_p_tid, annotate_sums_p_pid, filter);
    while (stmt_next(s)) {
        struct annotated_sum sum = {.n_samples = stmt_int(s, annotate_sums_c_n_samples),
                                    .on_cpu_ns = stmt_int(s, annotate_sums_c_on_cpu_ns)};
        counters_of_row(q, s, annotate_sums_c_c0, sum.counters);
        add_place(a, stmt_int(s, annotate_sums_c_frame),
                  (uint64_t)stmt_int(s, annotate_sums_c_rel_address), &sum);
    }
    return db_status(q->db, e);
}

/* Summaries by address know no times: rows that were dropped cannot be told apart any more. */
static int refuse_dropped(struct query *q, int64_t after, struct err *e)
{
    const struct fold_run *run = &q->run.fold;

    if (run->raw_from_ts <= run->start_ts || after >= run->raw_from_ts - 1) {
        return 0;
    }
    double since_s = ((double)run->raw_from_ts - (double)run->start_ts) / 1e9;
    int rc = err_set(e, STAX_ELIMIT,
                     "single samples before %.3f s were dropped to save space, and instructions "
                     "are filtered by single samples",
                     since_s);
    err_hint(e, "ask from %.3f s on, or without time range and excluded functions", since_s);
    return rc;
}

static int by_address(const void *a, const void *b)
{
    const struct annotated_place *x = a, *y = b;
    return x->rel_address < y->rel_address ? -1 : x->rel_address > y->rel_address;
}

static int read_single(struct annotated *a, struct query *q, const struct filter *filter,
                       struct err *e)
{
    struct fold *f = &q->fold;
    struct map places = {0}; /* frame -> place + 1 */
    int64_t after, upto;
    int rc = fold_threads(f, q->db, filter, e);

    rc = rc < 0 ? rc : fold_prepare(f, q->db, &q->run.fold, filter, e);
    fold_range(&q->run.fold, filter, &after, &upto);
    rc = rc < 0 ? rc : refuse_dropped(q, after, e);
    if (rc < 0) {
        return rc;
    }
    struct stmt *s = db_stmt(q->db, &sql_annotate_samples);
    stmt_bind_int(s, annotate_samples_p_symbol, a->symbol);
    stmt_bind_int(s, annotate_samples_p_after, after);
    stmt_bind_int(s, annotate_samples_p_upto, upto);
    while (stmt_next(s)) {
        int64_t frame = stmt_int(s, annotate_samples_c_frame);
        struct annotated_sum sum = {.n_samples = 1,
                                    .on_cpu_ns = stmt_int(s, annotate_samples_c_on_cpu_ns)};
        uint32_t node = tree_sample_node(&f->tree, stmt_int(s, annotate_samples_c_callsite), frame);
        if (!fold_accepts(f, stmt_int(s, annotate_samples_c_utid), node)) {
            continue;
        }
        counters_of_row(q, s, annotate_samples_c_c0, sum.counters);
        uint32_t *place = map_put(&places, (uint64_t)frame);
        if (!*place) {
            add_place(a, frame, (uint64_t)stmt_int(s, annotate_samples_c_rel_address), &sum);
            *place = (uint32_t)a->n_places;
        } else {
            annotate_add_sum(&a->places[*place - 1].sum, &sum);
            annotate_add_sum(&a->sum, &sum);
        }
    }
    map_free(&places);
    if (a->n_places) {
        qsort(a->places, a->n_places, sizeof(*a->places), by_address);
    }
    return db_status(q->db, e);
}

/* What is shown is the function's own code: where it is inlined, its samples are those of others.
 * Not in time ranges and the like, where how many they are would take all samples. */
static void warn_inlined(const struct annotated *a, struct query *q, const struct filter *filter)
{
    enum { N_SHOWN = 3, MAX_SHOWN_NAME = 80 };
    struct stmt *s = db_stmt(q->db, &sql_annotate_inlined_into);
    struct buf hosts = {0};
    int64_t n = 0, n_all = 0, ns = 0;

    stmt_bind_int(s, annotate_inlined_into_p_symbol, a->symbol);
    view_bind_threads(s, annotate_inlined_into_p_tid, annotate_inlined_into_p_pid, filter);
    for (; n < N_SHOWN && stmt_next(s); n++) {
        json_t *host = symbols_name(q->db, stmt_int(s, annotate_inlined_into_c_symbol));
        buf_addstr(&hosts, n ? ", " : "");
        text_cut_middle(&hosts, json_string_value(host), MAX_SHOWN_NAME);
        json_decref(host);
        n_all = stmt_int(s, annotate_inlined_into_c_n_all);
        ns = stmt_int(s, annotate_inlined_into_c_all_ns);
    }
    stmt_reset(s);
    if (n_all > n) {
        buf_addf(&hosts, " and %lld more", (long long)(n_all - n));
    }
    json_t *name = symbols_name(q->db, a->symbol);
    if (n && filter_needs_fold(filter)) {
        view_warn(q, "%s is also inlined into %s: its samples there are not shown",
                  json_string_value(name), buf_str(&hosts));
    } else if (n) {
        view_warn(q, "%.1f ms more of %s are inlined into %s: not shown here", (double)ns / 1e6,
                  json_string_value(name), buf_str(&hosts));
    }
    json_decref(name);
    buf_free(&hosts);
}

/* ---- code ---- */

static int read_code(struct annotated *a, struct query *q, struct code_reader *reader,
                     struct err *e)
{
    int rc = code_read(reader, a->symbol, !q->is_archive, &a->code, &a->no_code);

    if (rc == 0) {
        rc = disasm_run(&a->disasm, a->arch, a->is_att, buf_str(&a->code.bytes), a->code.bytes.len,
                        annotated_address(a, a->code.rel_address), &a->no_code);
    }
    a->has_code = rc == 0 && a->disasm.n > 0;
    for (size_t i = 0; i < a->n_places && a->has_code; i++) {
        struct annotated_place *place = &a->places[i];
        uint64_t address = annotated_address(a, place->rel_address);
        size_t at = disasm_at(&a->disasm, address);
        if (at < a->disasm.n) {
            place->instruction = at;
            place->is_start = a->disasm.items[at].address == address;
        }
    }
    return db_status(q->db, e);
}

struct annotated_sum *annotated_sums(const struct annotated *a, bool only_starts)
{
    struct annotated_sum *sums = a->has_code ? mem_new(a->disasm.n, sizeof(*sums)) : NULL;

    for (size_t i = 0; sums && i < a->n_places; i++) {
        const struct annotated_place *place = &a->places[i];
        if (place->is_start || (place->instruction != SIZE_MAX && !only_starts)) {
            annotate_add_sum(&sums[place->instruction], &place->sum);
        }
    }
    return sums;
}

/* ---- reading ---- */

static void read_function(struct annotated *a, struct query *q)
{
    struct stmt *s = db_stmt(q->db, &sql_annotate_host);

    stmt_bind_int(s, annotate_host_p_symbol, a->symbol);
    int64_t host = stmt_next(s) ? stmt_int(s, annotate_host_c_symbol) : 0;
    stmt_reset(s);
    if (host) {
        json_t *name = symbols_name(q->db, a->symbol);
        view_warn(q,
                  "%s has no code of its own: shown is the function that most of it is inlined "
                  "into",
                  json_string_value(name));
        json_decref(name);
        a->symbol = host;
    }
    s = db_stmt(q->db, &sql_annotate_function);
    stmt_bind_int(s, annotate_function_p_symbol, a->symbol);
    if (stmt_next(s)) {
        a->binary = stmt_int(s, annotate_function_c_binary);
        a->rel_address = (uint64_t)stmt_int(s, annotate_function_c_rel_address);
        a->size = (uint64_t)stmt_int(s, annotate_function_c_size);
        a->address = (uint64_t)stmt_int(s, annotate_function_c_address);
        a->is_unplaced =
            !a->address && strcmp(stmt_text(s, annotate_function_c_source), "jitdump") == 0;
    }
    stmt_reset(s);
}

static int read_syntax(struct annotated *a, struct query *q, const struct params *p, struct err *e)
{
    const char *syntax = params_text(p, "syntax", "intel");
    struct stmt *s = db_stmt(q->db, &sql_annotate_arch);

    snprintf(a->arch, sizeof(a->arch), "%s",
             stmt_next(s) ? stmt_text(s, annotate_arch_c_arch) : "");
    stmt_reset(s);
    a->is_att = strcmp(syntax, "att") == 0;
    if (!a->is_att && strcmp(syntax, "intel") != 0) {
        return err_set(e, STAX_EUSAGE, "syntax must be \"intel\" or \"att\"");
    }
    return 0;
}

int annotated_read(struct annotated *a, struct query *q, const struct params *p, struct err *e)
{
    const char *target = params_text(p, "target", "");
    struct annotate_match *matches = NULL;
    size_t n = 0;

    *a = (struct annotated){0};
    if (!*target) {
        return err_set(e, STAX_EUSAGE, "target is missing: an address or a part of a name");
    }
    int rc = read_syntax(a, q, p, e);
    if (rc < 0) {
        return rc;
    }
    struct code_reader *reader = code_reader_new(q->db, NULL, NULL);
    rc = annotate_find(q, reader, target, 1, &matches, &n, &a->n_matches, e);
    rc = rc == 0 && n == 0 ? annotate_refuse(q, target, e) : rc;
    if (rc == 0) {
        a->symbol = matches[0].symbol;
        read_function(a, q);
        rc = filter_needs_fold(&p->filter) ? read_single(a, q, &p->filter, e)
                                           : read_sums(a, q, &p->filter, e);
    }
    if (rc == 0) {
        warn_inlined(a, q, &p->filter);
        rc = read_code(a, q, reader, e);
    }
    free(matches);
    code_reader_free(reader);
    return rc;
}
