/* rooted.h - whether a tree of callers or callees adds up. */
#ifndef STAX_TESTS_QUERY_ROOTED_H
#define STAX_TESTS_QUERY_ROOTED_H

#include "base/json.h"
#include "fixture.h"

/* Every branch is the sum of those below it, and of its own time if it is a callee. */
static inline void check_branches(const json_t *nodes, bool is_callers)
{
    size_t i;
    const json_t *node;

    json_array_foreach(nodes, i, node)
    {
        const json_t *children = json_object_get(node, "children"), *child;
        int64_t sum = is_callers ? 0 : json_int_at(node, "self_on_cpu_ns", -1);
        size_t k;
        json_array_foreach(children, k, child)
        {
            sum += json_int_at(child, "total_on_cpu_ns", -1);
        }
        if (json_array_size(children) || !is_callers) { /* above a process is nothing */
            assert_int_equal(json_int_at(node, "total_on_cpu_ns", -1), sum);
        }
        assert_true(json_is_null(json_object_get(node, "cut")));
        check_branches(children, is_callers);
    }
}

#endif
