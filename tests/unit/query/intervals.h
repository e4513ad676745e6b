/* intervals.h - single waits of the whole run against those that are read row by row. */
#ifndef STAX_TESTS_QUERY_INTERVALS_H
#define STAX_TESTS_QUERY_INTERVALS_H

#include "fixture.h"
#include "query/query.h"

/* The document; parameters are taken. */
static inline json_t *ask_view(struct query *q, json_t *parameters)
{
    json_t *document = NULL;
    struct err e = {0};

    if (query_view(q, "intervals", parameters, &document, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    json_decref(parameters);
    return document;
}

/* The whole run, asked from its beginning on, is read row by row; without a range it comes from
 * sums and from the longest of each reason. */
static inline void check_all_intervals(struct query *q)
{
    static const char *const asked[] = {NULL, "idle", "lock", "ioR", "sleep", "other", "runnable"};

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        for (int limit = 0; limit < 40; limit = limit * 3 + 1) {
            json_t *all = json_pack("{s:i, s:s*}", "limit", limit, "reason", asked[i]);
            json_t *range = json_copy(all);
            json_object_set_new(range, "from_ns", json_integer(0));
            json_t *summed = ask_view(q, all), *read = ask_view(q, range);
            assert_true(json_equal(json_object_get(summed, "data"), json_object_get(read, "data")));
            json_decref(summed);
            json_decref(read);
        }
    }
}

#endif
