/* handlers_compare.c - the comparison of two runs. See method_table.c. */
#include "query/compare.h"

#include "server/handlers.h"
#include "server/readers.h"
#include "server/server.h"

/* Parameters of the comparison that are those of each run's profile. New reference. */
static json_t *profile_parameters(const json_t *parameters)
{
    static const char *const keys[] = {"from_ns", "to_ns", "exclude"};
    json_t *own = json_object();

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_t *value = json_object_get(parameters, keys[i]);
        if (value) {
            json_object_set(own, keys[i], value);
        }
    }
    return own;
}

static int profile_of(struct call *c, struct readers *readers, int64_t run, json_t **document,
                      struct err *e)
{
    struct query *q;
    struct run_info info;
    int rc = readers_get(readers, run, &q, &info, e);

    rc = rc ? rc : call_reads(c, q, e);
    if (rc) {
        return rc;
    }
    json_t *parameters = profile_parameters(c->parameters);
    rc = query_view(q, "profile", parameters, document, e);
    json_decref(parameters);
    /* The next readers_get() may close q: nobody may cancel it any more. */
    rc = rc ? rc : call_reads(c, NULL, e);
    if (rc == 0) {
        json_object_set_new(json_object_get(*document, "run"), "id", json_integer(info.id));
    }
    return rc;
}

int method_compare(struct call *c, struct readers *readers, json_t **document, struct err *e)
{
    struct compare_options options;
    json_t *a = NULL, *b = NULL;
    int rc = compare_options_read(&options, c->parameters, e);

    rc = rc ? rc : profile_of(c, readers, json_int_at(c->parameters, "a", 0), &a, e);
    rc = rc ? rc : profile_of(c, readers, json_int_at(c->parameters, "b", 0), &b, e);
    rc = rc ? rc : compare_profiles(a, b, &options, document, e);
    json_decref(a);
    json_decref(b);
    return rc;
}
