/* method.c - see method.h. */
#include "server/method.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "query/query.h"

struct methods {
    struct method *items;
    size_t n;
};

static const struct parameter run_parameter = {
    .name = "run",
    .type = "integer",
    .unit = "",
    .help = "number of the run; without it the active, else the selected, else the newest one",
    .min = 1,
    .max = INT64_MAX,
};

/* Calls of views that make sense on any run; the others are called without parameters. */
static const struct {
    const char *view, *example;
} examples[] = {
    {"top", "{\"limit\": 5, \"sort\": \"self\"}"},
    {"flamegraph", "{\"max_depth\": 6, \"threshold_pct\": 5}"},
    {"threads", "{\"limit\": 10}"},
    {"timeline", "{}"},
    {"samples", "{\"limit\": 3}"},
    {"intervals", "{\"limit\": 5, \"reason\": \"sleep\"}"},
    {"wakers", "{\"limit\": 5, \"chain\": true}"},
    {"total_on_cpu_ns", "{\"from_ns\": 0, \"to_ns\": 500000000}"},
    {"annotated", "{\"target\": \"work\"}"},
    {"cfg", "{\"target\": \"work\"}"},
    {"neighbors", "{\"symbol\": \"main\"}"},
    {"callers", "{\"symbol\": \"main\"}"},
    {"callees", "{\"symbol\": \"main\", \"max_depth\": 3}"},
};

static const char *example_of(const char *view)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        if (strcmp(examples[i].view, view) == 0) {
            return examples[i].example;
        }
    }
    return "{}";
}

static const struct parameter *copy_parameters(const struct view *view)
{
    size_t n = 0;
    while (view->parameters && view->parameters[n].name) {
        n++;
    }
    struct parameter *list = mem_new(n + 2, sizeof(*list));
    list[0] = run_parameter;
    for (size_t i = 0; i < n; i++) {
        const struct view_parameter *from = &view->parameters[i];
        list[i + 1] = (struct parameter){from->name, from->type, from->unit, from->help, 0, 0, 0};
    }
    return list;
}

struct methods *methods_new(void)
{
    size_t n_static = 0;
    size_t n_views = 0;
    while (method_table[n_static].name) {
        n_static++;
    }
    while (query_views[n_views].name) {
        n_views++;
    }
    struct methods *m = mem_new(1, sizeof(*m));
    m->items = mem_new(n_static + n_views, sizeof(*m->items));
    memcpy(m->items, method_table, n_static * sizeof(*m->items));
    m->n = n_static;
    for (size_t i = 0; i < n_views; i++) {
        const struct view *view = &query_views[i];
        if (methods_find(m, view->name)) {
            continue; /* a method of our own answers with more than the view */
        }
        m->items[m->n++] = (struct method){
            .name = view->name,
            .schema = view->schema,
            .help = view->help,
            .result = "see the schema",
            .example = example_of(view->name),
            .parameters = copy_parameters(view),
            .handler = method_view,
            .lane = LANE_VIEW,
            .is_view = true,
        };
    }
    return m;
}

void methods_free(struct methods *m)
{
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].is_view) {
            free((void *)m->items[i].parameters);
        }
    }
    free(m->items);
    free(m);
}

const struct method *methods_find(const struct methods *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->items[i].name, name) == 0) {
            return &m->items[i];
        }
    }
    return NULL;
}

const struct method *methods_at(const struct methods *m, size_t i)
{
    return i < m->n ? &m->items[i] : NULL;
}

const char *methods_nearest(const struct methods *m, const char *name)
{
    const char *nearest = m->items[0].name;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < m->n && strlen(name) < 64; i++) {
        size_t distance = text_distance(name, m->items[i].name);
        if (distance < least) {
            least = distance;
            nearest = m->items[i].name;
        }
    }
    return nearest;
}

static bool is_strings(const json_t *value)
{
    if (!json_is_array(value)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return true;
}

static bool has_type(const json_t *value, const char *type)
{
    switch (type[0]) {
    case 'i':
        return json_is_integer(value);
    case 'n':
        return json_is_number(value);
    case 'b':
        return json_is_boolean(value);
    case 'o':
        return json_is_object(value);
    default:
        return strcmp(type, "string[]") == 0 ? is_strings(value) : json_is_string(value);
    }
}

static int check_one(const struct parameter *p, const json_t *value, struct err *e)
{
    if (!has_type(value, p->type)) {
        return err_set(e, STAX_EUSAGE, "parameter '%s' must be of type %s", p->name, p->type);
    }
    int64_t number = json_is_integer(value) ? json_integer_value(value) : 0;
    if (json_is_integer(value) && (p->min || p->max) && (number < p->min || number > p->max)) {
        if (p->max == INT64_MAX) {
            return err_set(e, STAX_EUSAGE, "parameter '%s' must be at least %" PRId64, p->name,
                           p->min);
        }
        return err_set(e, STAX_EUSAGE, "parameter '%s' must be between %" PRId64 " and %" PRId64,
                       p->name, p->min, p->max);
    }
    return 0;
}

static const struct parameter *find(const struct parameter *list, const char *key)
{
    for (; list->name; list++) {
        if (strcmp(list->name, key) == 0) {
            return list;
        }
    }
    return NULL;
}

int parameters_check(const struct parameter *list, const json_t *parameters, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)parameters, key, value)
    {
        const struct parameter *p = find(list, key);
        if (!p) {
            struct buf name = {0};
            text_clean(&name, key, strnlen(key, 64));
            err_set(e, STAX_EUSAGE, "unknown parameter '%s'", buf_str(&name));
            buf_free(&name);
            return STAX_EUSAGE;
        }
        int rc = check_one(p, value, e);
        if (rc) {
            return rc;
        }
    }
    for (; list->name; list++) {
        if (list->is_required && !json_object_get(parameters, list->name)) {
            return err_set(e, STAX_EUSAGE, "parameter '%s' is missing", list->name);
        }
    }
    return 0;
}

int check_view_parameters(const struct method *view, const json_t *parameters, struct err *e)
{
    const json_t *run = json_object_get(parameters, "run");
    if (run && (!json_is_integer(run) || json_integer_value(run) < 1)) {
        return err_set(e, STAX_EUSAGE, "parameter 'run' must be the number of a run");
    }
    return query_check(view->name, parameters, e);
}
