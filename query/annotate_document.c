/* annotate_document.c - a function's instructions and samples as a document (annotate.h). */
#include <stdlib.h>

#include "base/mem.h"
#include "query/annotate.h"
#include "query/annotate.sql.h"

enum { DEFAULT_MATCHES = 20 };

void annotate_set_address(const struct annotated *a, json_t *o, uint64_t rel_address)
{
    json_object_set_new_nocheck(o, "rel_address", json_integer((int64_t)rel_address));
    if (a->address) {
        int64_t address = (int64_t)annotated_address(a, rel_address);
        json_object_set_new_nocheck(o, "address", json_integer(address));
    }
}

json_t *annotated_function(struct query *q, const struct annotated *a)
{
    json_t *o = json_object();

    symbols_describe_code(q->db, a->symbol, o);
    annotate_set_address(a, o, a->rel_address);
    view_set_int(o, "size_bytes", (int64_t)a->size);
    view_set_int(o, "n_self_samples", a->sum.n_samples);
    view_set_int(o, "self_on_cpu_ns", a->sum.on_cpu_ns);
    json_object_set_new(o, "self_pct", view_pct(a->sum.on_cpu_ns, q->run.on_cpu_ns));
    counters_add(q, o, "self_counters", a->sum.counters);
    counters_add_ipc(q, o, "self_ipc", a->sum.counters);
    return o;
}

void annotated_describe(struct query *q, const struct annotated *a, json_t *data)
{
    const char *from = a->code.is_stored ? "run" : "file";

    view_set_int(data, "n_matches", a->n_matches);
    json_object_set_new(data, "function", annotated_function(q, a));
    json_object_set_new(data, "arch", json_clean_string(a->arch));
    json_object_set_new(data, "syntax", json_string(a->is_att ? "att" : "intel"));
    json_object_set_new(data, "code_from", a->has_code ? json_string(from) : json_null());
    json_object_set_new(data, "is_cut", json_boolean(a->has_code && a->code.is_cut));
    if (!a->has_code) {
        bool has_hint = a->no_code.hint[0] != '\0';
        view_warn(q, "no instructions: %s%s%s",
                  a->no_code.msg[0] ? a->no_code.msg : "the function's code is empty",
                  has_hint ? "; " : "", a->no_code.hint);
    } else if (a->code.is_cut) {
        view_warn(q, "the function has %llu bytes of code: the first %d are shown",
                  (unsigned long long)a->size, CODE_FUNCTION_MAX);
    }
    if (a->has_code && a->is_unplaced) {
        view_warn(q, "where this code lay in memory was not recorded: addresses, and targets of "
                     "jumps and calls, count from the start of its jitdump");
    }
}

/* Functions of the binary, to name what is called. */
struct callees {
    int64_t *symbols;
    uint64_t *starts, *sizes;
    size_t n, cap_symbols, cap_starts, cap_sizes;
};

static void add_callee(struct callees *c, int64_t symbol, uint64_t start, uint64_t size)
{
    mem_reserve(&c->symbols, &c->cap_symbols, c->n + 1, sizeof(*c->symbols));
    mem_reserve(&c->starts, &c->cap_starts, c->n + 1, sizeof(*c->starts));
    mem_reserve(&c->sizes, &c->cap_sizes, c->n + 1, sizeof(*c->sizes));
    c->symbols[c->n] = symbol;
    c->starts[c->n] = start;
    c->sizes[c->n++] = size;
}

/* Two names of one address, or a file that lies about order: the first counts. */
static void add_in_order(struct callees *c, int64_t symbol, uint64_t start, uint64_t size)
{
    if (!c->n || start > c->starts[c->n - 1]) {
        add_callee(c, symbol, start, size);
    }
}

/* Of code made at run time what files have, and itself: what else was made and lay at an address is
 * a matter of time. */
static void read_callees_of_generated(struct callees *c, struct query *q, const struct annotated *a)
{
    struct stmt *s = db_stmt(q->db, &sql_callees_of_generated);
    bool has_self = false;

    stmt_bind_int(s, callees_of_generated_p_symbol, a->symbol);
    while (stmt_next(s)) {
        uint64_t start = (uint64_t)stmt_int(s, callees_of_generated_c_address);
        if (!has_self && start >= a->address) {
            add_in_order(c, a->symbol, a->address, a->size);
            has_self = true;
        }
        add_in_order(c, stmt_int(s, callees_of_generated_c_symbol), start,
                     (uint64_t)stmt_int(s, callees_of_generated_c_size));
    }
    if (!has_self) {
        add_in_order(c, a->symbol, a->address, a->size);
    }
}

static void read_callees(struct callees *c, struct query *q, const struct annotated *a)
{
    if (a->address) {
        read_callees_of_generated(c, q, a);
        return;
    }
    struct stmt *s = db_stmt(q->db, &sql_symbols_of_binary);

    stmt_bind_int(s, symbols_of_binary_p_binary, a->binary);
    while (stmt_next(s)) {
        add_in_order(c, stmt_int(s, symbols_of_binary_c_symbol),
                     (uint64_t)stmt_int(s, symbols_of_binary_c_rel_address),
                     (uint64_t)stmt_int(s, symbols_of_binary_c_size));
    }
}

static void callees_free(struct callees *c)
{
    free(c->symbols);
    free(c->starts);
    free(c->sizes);
}

/* Adds target_name and target_offset if the target lies in a function that has a name. */
static void name_target(struct query *q, const struct callees *c, uint64_t target, json_t *o)
{
    size_t low = 0, high = c->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->starts[middle] <= target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 ||
        (target != c->starts[low - 1] && target - c->starts[low - 1] >= c->sizes[low - 1])) {
        return;
    }
    json_object_set_new_nocheck(o, "target_name", symbols_name(q->db, c->symbols[low - 1]));
    json_object_set_new_nocheck(o, "target_offset",
                                json_integer((int64_t)(target - c->starts[low - 1])));
}

void annotate_set_sum(const struct query *q, json_t *o, const struct annotated_sum *sum,
                      int64_t all_ns)
{
    json_object_set_new_nocheck(o, "n_samples", json_integer(sum->n_samples));
    json_object_set_new_nocheck(o, "on_cpu_ns", json_integer(sum->on_cpu_ns));
    json_object_set_new_nocheck(o, "pct", view_pct(sum->on_cpu_ns, all_ns));
    counters_add(q, o, "counters", sum->counters);
}

/* Members that say nothing are left out: a function may have 100,000 instructions. */
static json_t *instruction_of(struct query *q, const struct annotated *a, const struct callees *c,
                              const struct instruction *i)
{
    const struct disasm *d = &a->disasm;
    const struct instruction *last = &d->items[d->n - 1];
    json_t *o = json_object();

    annotate_set_address(a, o, annotated_rel_address(a, i->address));
    json_object_set_new_nocheck(o, "size_bytes", json_integer(i->size));
    json_object_set_new_nocheck(o, "mnemonic", json_string_nocheck(disasm_mnemonic(d, i)));
    json_object_set_new_nocheck(o, "operands", json_string_nocheck(disasm_operands(d, i)));
    if (i->flow != FLOW_NEXT) {
        json_object_set_new_nocheck(o, "flow", json_string_nocheck(flow_text(i->flow)));
    }
    if (i->has_target) {
        bool is_inside = i->target >= d->items[0].address && i->target <= last->address;
        json_object_set_new_nocheck(o, "target", json_integer((int64_t)i->target));
        if (!is_inside || i->flow == FLOW_CALL) {
            name_target(q, c, i->target, o);
        }
    }
    return o;
}

static json_t *code_hex(const struct annotated *a)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = a->code.bytes.len;
    char *hex = mem_new(2 * n + 1, 1);

    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)a->code.bytes.data[i];
        hex[2 * i] = digits[byte >> 4];
        hex[2 * i + 1] = digits[byte & 15];
    }
    json_t *value = json_stringn_nocheck(hex, 2 * n);
    free(hex);
    return value;
}

/* Samples that are at no instruction's start; with that instruction if they are inside one. */
static json_t *elsewhere_of(const struct query *q, const struct annotated *a)
{
    json_t *list = json_array();

    for (size_t i = 0; i < a->n_places; i++) {
        const struct annotated_place *place = &a->places[i];
        if (place->is_start) {
            continue;
        }
        struct annotated_sum sum = place->sum;
        for (; i + 1 < a->n_places && a->places[i + 1].rel_address == place->rel_address; i++) {
            annotate_add_sum(&sum, &a->places[i + 1].sum);
        }
        json_t *o = json_object();
        annotate_set_address(a, o, place->rel_address);
        json_object_set_new(o, "instruction",
                            place->instruction == SIZE_MAX
                                ? json_null()
                                : json_integer((int64_t)place->instruction));
        annotate_set_sum(q, o, &sum, a->sum.on_cpu_ns);
        json_array_append_new(list, o);
    }
    return list;
}

void annotated_instructions(struct query *q, const struct annotated *a, json_t *data)
{
    json_t *list = json_array();
    struct annotated_sum *sums = annotated_sums(a, true);
    struct callees callees = {0};
    size_t hottest = SIZE_MAX;

    if (a->has_code) {
        read_callees(&callees, q, a);
    }
    for (size_t i = 0; sums && i < a->disasm.n; i++) {
        json_t *o = instruction_of(q, a, &callees, &a->disasm.items[i]);
        if (sums[i].n_samples != 0) {
            annotate_set_sum(q, o, &sums[i], a->sum.on_cpu_ns);
            if (hottest == SIZE_MAX || sums[i].on_cpu_ns > sums[hottest].on_cpu_ns) {
                hottest = i;
            }
        }
        json_array_append_new(list, o);
    }
    callees_free(&callees);
    free(sums);
    json_object_set_new(data, "code", a->has_code ? code_hex(a) : json_null());
    json_object_set_new(data, "hottest",
                        hottest != SIZE_MAX ? json_integer((int64_t)hottest) : json_null());
    json_object_set_new(data, "instructions", list);
    json_object_set_new(data, "elsewhere", elsewhere_of(q, a));
}

static json_t *match_of(struct query *q, const struct annotate_match *match)
{
    json_t *o = json_object();
    struct stmt *s = db_stmt(q->db, &sql_annotate_function);

    symbols_describe_code(q->db, match->symbol, o);
    stmt_bind_int(s, annotate_function_p_symbol, match->symbol);
    if (stmt_next(s)) {
        view_set_int(o, "rel_address", stmt_int(s, annotate_function_c_rel_address));
        view_set_int(o, "size_bytes", stmt_int(s, annotate_function_c_size));
    }
    stmt_reset(s);
    view_set_int(o, "n_self_samples", match->n_samples);
    view_set_int(o, "self_on_cpu_ns", match->on_cpu_ns);
    json_object_set_new(o, "self_pct", view_pct(match->on_cpu_ns, q->run.on_cpu_ns));
    return o;
}

/* "matches": all that the target could mean, up to limit. */
static int add_matches(struct query *q, const char *target, int64_t limit, json_t *data,
                       struct err *e)
{
    struct annotate_match *matches = NULL;
    int64_t n_all = 0;
    size_t n = 0;
    struct code_reader *reader = code_reader_new(q->db, NULL, NULL);
    json_t *list = json_array();
    int rc = annotate_find(q, reader, target, limit ? limit : 100000, &matches, &n, &n_all, e);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        json_array_append_new(list, match_of(q, &matches[i]));
    }
    view_set_int(data, "n_matches", n_all);
    json_object_set_new(data, "matches", list);
    code_reader_free(reader);
    free(matches);
    return rc;
}

static int list_matches(struct query *q, const struct params *p, const char *target, json_t *data,
                        struct err *e)
{
    int rc = add_matches(q, target, params_int(p, "limit", DEFAULT_MATCHES), data, e);
    bool is_empty = json_array_size(json_object_get(data, "matches")) == 0;

    if (rc < 0) {
        return rc;
    }
    if (filter_is_any(&p->filter)) {
        return err_set(e, STAX_EUSAGE,
                       "the list of functions is of the whole run: it takes no "
                       "thread, process, time range or excluded function");
    }
    if (is_empty && *target) {
        return annotate_refuse(q, target, e);
    }
    json_object_set_new(data, "function", json_null());
    run_warnings(q, false, is_empty, p);
    return 0;
}

int view_annotated(struct query *q, const struct params *p, json_t *data, struct err *e)
{
    struct annotated a;
    const char *target = params_text(p, "target", "");

    if (json_is_true(json_object_get(p->object, "list")) || !*target) {
        return list_matches(q, p, target, data, e);
    }
    int rc = annotated_read(&a, q, p, e);
    if (rc == 0) {
        annotated_describe(q, &a, data);
        annotated_instructions(q, &a, data);
        annotate_lines(q, &a, data);
        run_warnings(q, false, a.sum.n_samples == 0, p);
        rc = db_status(q->db, e);
    }
    annotated_free(&a);
    return rc;
}
