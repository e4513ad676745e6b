/* params.c - checking of view parameters. */
#include "query/params.h"

#include <string.h>

#include "base/text.h"

/* Numbers have a range of their own; what is not listed may be anything its type holds. */
static const struct range {
    const char *name;
    double min;
    double max;
} ranges[] = {
    {"tid", 1, 4194304},
    {"pid", 1, 4194304},
    {"from_ns", 0, 1e18},
    {"to_ns", 1, 1e18},
    {"limit", 0, 100000},
    {"max_depth", 0, 1000}, /* jansson refuses to parse deeper documents */
    {"threshold_pct", 0, 100},
    {"max_nodes", 1, 200000},
    {"max_buckets", 1, 2000},
};

static const struct view_parameter *find_parameter(const struct view *view, const char *key)
{
    for (const struct view_parameter *p = view->parameters; p->name; p++) {
        if (strcmp(p->name, key) == 0) {
            return p;
        }
    }
    return NULL;
}

static int refuse_unknown(const struct view *view, const char *key, struct err *e)
{
    const char *nearest = NULL;
    size_t best = 4;
    struct buf clean = {0};

    text_clean(&clean, key, strnlen(key, 64));
    for (const struct view_parameter *p = view->parameters; p->name; p++) {
        size_t distance = text_distance(p->name, buf_str(&clean));
        if (distance < best) {
            best = distance;
            nearest = p->name;
        }
    }
    int rc = err_set(e, STAX_EUSAGE, "%s has no parameter \"%s\"", view->name, buf_str(&clean));
    if (nearest) {
        err_hint(e, "did you mean \"%s\"?", nearest);
    }
    buf_free(&clean);
    return rc;
}

static bool is_string_list(const json_t *value)
{
    size_t i;
    const json_t *item;

    if (json_is_string(value)) {
        return true;
    }
    if (!json_is_array(value)) {
        return false;
    }
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return true;
}

static bool has_type(const json_t *value, const char *type)
{
    if (strcmp(type, "integer") == 0) {
        return json_is_integer(value);
    }
    if (strcmp(type, "number") == 0) {
        return json_is_number(value);
    }
    if (strcmp(type, "boolean") == 0) {
        return json_is_boolean(value);
    }
    if (strcmp(type, "string[]") == 0) {
        return is_string_list(value);
    }
    return json_is_string(value);
}

static int check_range(const char *key, const json_t *value, struct err *e)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct range *r = &ranges[i];
        double number = json_number_value(value);
        if (strcmp(r->name, key) == 0 && !(number >= r->min && number <= r->max)) {
            return err_set(e, STAX_EUSAGE, "%s must be from %.0f to %.0f", key, r->min, r->max);
        }
    }
    return 0;
}

static int check_one(const struct view *view, const char *key, const json_t *value, struct err *e)
{
    const struct view_parameter *p = find_parameter(view, key);

    /* Which run was meant has been decided by whoever opened this file. */
    if (!p && strcmp(key, "run") == 0) {
        return 0;
    }
    if (!p) {
        return refuse_unknown(view, key, e);
    }
    if (json_is_null(value)) {
        return 0; /* the same as absent */
    }
    if (!has_type(value, p->type)) {
        return err_set(e, STAX_EUSAGE, "%s must be of type %s", key, p->type);
    }
    return json_is_number(value) ? check_range(key, value, e) : 0;
}

static int read_excluded(struct filter *f, const json_t *value, struct err *e)
{
    size_t n = json_is_array(value) ? json_array_size(value) : json_is_string(value) ? 1 : 0;

    if (n > MAX_EXCLUDED) {
        return err_set(e, STAX_EUSAGE, "exclude takes at most %d names", MAX_EXCLUDED);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        f->excluded[f->n_excluded++] = json_string_value(item);
    }
    return 0;
}

static bool read_int(const json_t *object, const char *key, int64_t *value)
{
    const json_t *v = json_object_get(object, key);

    if (!json_is_integer(v)) {
        return false;
    }
    *value = json_integer_value(v);
    return true;
}

static int read_filter(struct filter *f, const json_t *object, struct err *e)
{
    f->has_tid = read_int(object, "tid", &f->tid);
    f->has_pid = read_int(object, "pid", &f->pid);
    f->has_from = read_int(object, "from_ns", &f->from_ns);
    f->has_to = read_int(object, "to_ns", &f->to_ns);
    if (f->has_to && f->from_ns >= f->to_ns) {
        return err_set(e, STAX_EUSAGE, "from_ns must be less than to_ns");
    }
    f->no_inlines = json_is_true(json_object_get(object, "no_inlines"));
    return read_excluded(f, json_object_get(object, "exclude"), e);
}

int params_check(struct params *p, const struct view *view, const json_t *object, struct err *e)
{
    const char *key;
    json_t *value;

    *p = (struct params){.object = object};
    if (!object) {
        return 0;
    }
    if (!json_is_object(object)) {
        return err_set(e, STAX_EUSAGE, "parameters must be a JSON object");
    }
    /* The iterator wants a non-const object but does not change it. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        int rc = check_one(view, key, value, e);
        if (rc < 0) {
            return rc;
        }
    }
    return read_filter(&p->filter, object, e);
}

int64_t params_int(const struct params *p, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(p->object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double params_real(const struct params *p, const char *key, double fallback)
{
    const json_t *value = json_object_get(p->object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

const char *params_text(const struct params *p, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(p->object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

bool filter_needs_fold(const struct filter *f)
{
    return f->has_from || f->has_to || f->n_excluded > 0 || f->no_inlines;
}

bool filter_is_thread(const struct filter *f)
{
    return f->has_tid || f->has_pid;
}

bool filter_is_any(const struct filter *f)
{
    return filter_needs_fold(f) || filter_is_thread(f);
}
