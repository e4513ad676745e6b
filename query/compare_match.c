/* compare_match.c - see compare_match.h. */
#include "query/compare_match.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_name(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    if (order || (x->is_main && y->is_main)) {
        return order;
    }
    return x->is_main != y->is_main ? (x->is_main ? -1 : 1) : strcmp(x->binary, y->binary);
}

static struct item *add(struct items *items, const json_t *row, const char *binary)
{
    mem_reserve(&items->list, &items->cap, items->n + 1, sizeof(*items->list));
    struct item *item = &items->list[items->n++];
    *item = (struct item){.name = json_text_at(row, "name", ""), .binary = binary, .n = 1};
    return item;
}

static double number_at(const json_t *row, const char *key)
{
    return (double)json_int_at(row, key, 0);
}

/* Sorts, and adds up what has one name. */
static void join(struct items *items)
{
    size_t n = 0;

    if (items->n == 0) {
        return;
    }
    qsort(items->list, items->n, sizeof(*items->list), by_name);
    for (size_t i = 1; i < items->n; i++) {
        struct item *last = &items->list[n];
        const struct item *item = &items->list[i];
        if (by_name(last, item) != 0) {
            items->list[++n] = *item;
            continue;
        }
        last->n += item->n;
        last->n_self += item->n_self;
        last->self_ns += item->self_ns;
        last->n_total += item->n_total;
        last->total_ns += item->total_ns;
        last->off_cpu_ns += item->off_cpu_ns;
        last->runnable_ns += item->runnable_ns;
    }
    items->n = n + 1;
}

void items_read_functions(struct items *items, const json_t *top, const char *main,
                          const struct measure *measure)
{
    size_t i;
    const json_t *row;

    json_array_foreach(json_object_get(top, "functions"), i, row)
    {
        struct item *item = add(items, row, json_text_at(row, "binary", ""));
        item->is_main = *main && strcmp(item->binary, main) == 0;
        item->n_self = number_at(row, measure->n_self);
        item->self_ns = number_at(row, measure->self_ns);
        item->n_total = number_at(row, measure->n_total);
        item->total_ns = number_at(row, measure->total_ns);
    }
    join(items);
}

void items_read_threads(struct items *items, const json_t *threads, const char *main)
{
    size_t i;
    const json_t *row;

    json_array_foreach(json_object_get(threads, "threads"), i, row)
    {
        struct item *item = add(items, row, "");
        item->is_main = *main && strcmp(item->name, main) == 0;
        item->n_self = number_at(row, "n_samples");
        item->self_ns = number_at(row, "on_cpu_ns");
        item->off_cpu_ns = number_at(row, "off_cpu_ns");
        item->runnable_ns = number_at(row, "runnable_ns");
    }
    join(items);
}

void items_free(struct items *items)
{
    free(items->list);
    *items = (struct items){0};
}

/* Merges two sorted lists by name and binary. */
static void match_equal(struct items *a, struct items *b, struct pair *pairs, size_t *n)
{
    size_t i = 0, k = 0;

    while (i < a->n && k < b->n) {
        int order = by_name(&a->list[i], &b->list[k]);
        if (order == 0) {
            pairs[(*n)++] = (struct pair){&a->list[i], &b->list[k]};
            a->list[i].is_matched = b->list[k].is_matched = true;
        }
        i += order <= 0;
        k += order >= 0;
    }
}

/* Of the items of one name that are not matched yet, the only one; NULL: none or several. *at is
 * where the name begins in the list, and becomes where the next one does. */
static struct item *only_one(struct items *items, size_t *at, const char *name)
{
    struct item *found = NULL;
    size_t n = 0;

    for (; *at < items->n && strcmp(items->list[*at].name, name) == 0; (*at)++) {
        if (!items->list[*at].is_matched) {
            found = &items->list[*at];
            n++;
        }
    }
    return n == 1 ? found : NULL;
}

static void match_by_name(struct items *a, struct items *b, struct pair *pairs, size_t *n)
{
    size_t i = 0, k = 0;

    while (i < a->n && k < b->n) {
        int order = strcmp(a->list[i].name, b->list[k].name);
        const char *name = order <= 0 ? a->list[i].name : b->list[k].name;
        struct item *x = only_one(a, &i, name), *y = only_one(b, &k, name);
        if (x && y) {
            pairs[(*n)++] = (struct pair){x, y};
            x->is_matched = y->is_matched = true;
        }
    }
}

/* The one that is called as the target's main thread, if it is not matched yet. */
static struct item *main_thread(struct items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        struct item *item = &items->list[i];
        if (item->is_main && !*item->binary) {
            return item->is_matched ? NULL : item;
        }
    }
    return NULL;
}

static void match_main_threads(struct items *a, struct items *b, struct pair *pairs, size_t *n)
{
    struct item *x = main_thread(a), *y = main_thread(b);

    if (x && y) {
        pairs[(*n)++] = (struct pair){x, y};
        x->is_matched = y->is_matched = true;
    }
}

size_t items_match(struct items *a, struct items *b, struct pair **pairs)
{
    size_t n = 0;

    *pairs = mem_new(a->n + b->n + 1, sizeof(**pairs));
    match_equal(a, b, *pairs, &n);
    match_by_name(a, b, *pairs, &n);
    match_main_threads(a, b, *pairs, &n);
    for (size_t i = 0; i < a->n; i++) {
        if (!a->list[i].is_matched) {
            (*pairs)[n++] = (struct pair){.a = &a->list[i]};
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        if (!b->list[i].is_matched) {
            (*pairs)[n++] = (struct pair){.b = &b->list[i]};
        }
    }
    return n;
}
