/* counters.c - see counters.h. */
#include "query/counters.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "query/counters.sql.h"
#include "query/view.h"

enum { MISSING_PCT = 1, SCALED_PCT = 2 }; /* from here on worth a warning */

static int64_t known(struct stmt *s, int column)
{
    return stmt_is_null(s, column) ? -1 : stmt_int(s, column);
}

/* "cycles:u" is a pair with "instructions:u" only. */
static bool is_event(const char *name, const char *event, const char *modifiers)
{
    size_t n = strlen(event);
    return strncmp(name, event, n) == 0 && strcmp(name + n, modifiers) == 0;
}

static void find_ratio(struct run_counters *c)
{
    c->cycles = c->instructions = -1;
    for (size_t i = 0; i < c->n && c->instructions < 0; i++) {
        const char *modifiers = c->items[i].name + strcspn(c->items[i].name, ":");
        bool is_cycles = is_event(c->items[i].name, "cycles", modifiers) ||
                         is_event(c->items[i].name, "cpu-cycles", modifiers);
        for (size_t k = 0; k < c->n && is_cycles; k++) {
            if (is_event(c->items[k].name, "instructions", modifiers)) {
                c->cycles = (int)i;
                c->instructions = (int)k;
            }
        }
    }
}

void counters_read(struct query *q)
{
    struct run_counters *c = &q->counters;
    struct stmt *s = db_stmt(q->db, &sql_counters);

    c->n = 0;
    while (stmt_next(s)) {
        if (c->n == COUNTERS_MAX || stmt_int(s, counters_c_slot) != (int64_t)c->n) {
            stmt_reset(s);
            break;
        }
        struct run_counter *item = &c->items[c->n++];
        struct buf clean = {0};
        const char *name = stmt_text(s, counters_c_name);
        text_clean(&clean, name, strnlen(name, sizeof(item->name) - 1));
        snprintf(item->name, sizeof(item->name), "%s", buf_str(&clean));
        buf_free(&clean);
        item->n_attributed = stmt_int(s, counters_c_n_attributed);
        item->n_counted = known(s, counters_c_n_counted);
        item->enabled_ns = known(s, counters_c_enabled_ns);
        item->running_ns = known(s, counters_c_running_ns);
    }
    find_ratio(c);
    q->run.fold.n_counters = c->n;
}

static int refuse(const struct run_counters *c, const char *name, struct err *e)
{
    struct buf clean = {0}, list = {0};

    text_clean(&clean, name, strnlen(name, 64));
    for (size_t i = 0; i < c->n; i++) {
        buf_addf(&list, "%s%s", i ? ", " : "", c->items[i].name);
    }
    err_set(e, STAX_ENOTFOUND, "this run does not count %s", buf_str(&clean));
    if (list.len) {
        err_hint(e, "it counts %s", buf_str(&list));
    } else {
        err_hint(e, "stax record --counters %s", buf_str(&clean));
    }
    buf_free(&clean);
    buf_free(&list);
    return STAX_ENOTFOUND;
}

int counters_asked(struct query *q, const struct params *p, bool is_off_cpu, int *by, struct err *e)
{
    const char *name = params_text(p, "by", NULL);

    *by = BY_ON_CPU;
    if (name && is_off_cpu) {
        err_set(e, STAX_EUSAGE, "waits cannot be measured by a counter: it counts what runs");
        err_hint(e, "by and off_cpu exclude each other");
        return STAX_EUSAGE;
    }
    if (!name || strcmp(name, "on_cpu") == 0) {
        return 0;
    }
    for (size_t i = 0; i < q->counters.n; i++) {
        if (strcmp(q->counters.items[i].name, name) == 0) {
            *by = (int)i;
            return 0;
        }
    }
    return refuse(&q->counters, name, e);
}

void counters_of_row(const struct query *q, struct stmt *s, int first_column,
                     int64_t values[COUNTERS_MAX])
{
    for (size_t i = 0; i < q->counters.n; i++) {
        values[i] = stmt_int(s, first_column + (int)i);
    }
}

void counters_of_node(const struct fold *f, size_t node, struct counts *counts)
{
    const uint64_t *sums = f->node_counters + node * 2 * f->n_counters;

    *counts = (struct counts){0};
    for (size_t i = 0; i < f->n_counters; i++) {
        counts->self[i] = (int64_t)sums[i];
        counts->total[i] = (int64_t)sums[f->n_counters + i];
    }
}

void counters_add(const struct query *q, json_t *object, const char *key,
                  const int64_t values[COUNTERS_MAX])
{
    if (q->counters.n == 0) {
        return;
    }
    json_t *all = json_object();
    for (size_t i = 0; i < q->counters.n; i++) {
        view_set_int(all, q->counters.items[i].name, values[i]);
    }
    json_object_set_new(object, key, all);
}

void counters_add_ipc(const struct query *q, json_t *object, const char *key,
                      const int64_t values[COUNTERS_MAX])
{
    const struct run_counters *c = &q->counters;

    if (c->cycles < 0) {
        return;
    }
    double cycles = (double)values[c->cycles], instructions = (double)values[c->instructions];
    json_object_set_new(object, key,
                        cycles > 0 ? json_real(round(instructions / cycles * 1000) / 1000)
                                   : json_null());
}

void counters_add_counts(const struct query *q, json_t *object, const struct counts *counts)
{
    counters_add(q, object, "self_counters", counts->self);
    counters_add(q, object, "total_counters", counts->total);
    counters_add_ipc(q, object, "self_ipc", counts->self);
    counters_add_ipc(q, object, "total_ipc", counts->total);
}

void counters_describe(const struct query *q, json_t *data, int by,
                       const int64_t values[COUNTERS_MAX])
{
    json_object_set_new(data, "by",
                        json_string(by == BY_ON_CPU ? "on_cpu" : q->counters.items[by].name));
    counters_add(q, data, "counters", values);
}

void counters_of_run(const struct query *q, int64_t values[COUNTERS_MAX])
{
    for (size_t i = 0; i < q->counters.n; i++) {
        values[i] = q->counters.items[i].n_attributed;
    }
}

/* Counts that are in no sample, of the counters from first up to end. */
static void warn_missing(struct query *q, size_t first, size_t end, const char *who)
{
    char text[512] = "";
    size_t len = 0;
    for (size_t i = first; i < end; i++) {
        const struct run_counter *c = &q->counters.items[i];
        int64_t missing;
        if (c->n_counted <= 0 || __builtin_sub_overflow(c->n_counted, c->n_attributed, &missing) ||
            (double)missing * 100 < (double)c->n_counted * MISSING_PCT) {
            continue;
        }
        int n =
            snprintf(text + len, sizeof(text) - len,
                     "%s%.0f %% of all %s of the run (%" PRId64 " of %" PRId64 ")", len ? ", " : "",
                     100 * (double)missing / (double)c->n_counted, c->name, missing, c->n_counted);
        len += n > 0 && (size_t)n < sizeof(text) - len ? (size_t)n : 0;
    }
    if (len) {
        view_warn(q,
                  "%.*s came after the last sample of a thread, or of its time on a CPU: no %s has "
                  "them",
                  (int)len, text, who);
    }
}

void counters_warn_threads(struct query *q)
{
    warn_missing(q, 0, q->counters.n, "thread");
}

void counters_warn(struct query *q, int by)
{
    if (by == BY_ON_CPU) {
        return;
    }
    const struct run_counter *c = &q->counters.items[by];
    warn_missing(q, (size_t)by, (size_t)by + 1, "function");
    double enabled = (double)c->enabled_ns, idle = enabled - (double)c->running_ns;
    if (c->enabled_ns > 0 && c->running_ns >= 0 && idle * 100 >= enabled * SCALED_PCT) {
        view_warn(q,
                  "the CPU has too few counters: %s were counted %.0f %% of the time and are "
                  "scaled up",
                  c->name, 100 * (enabled - idle) / enabled);
    }
}
