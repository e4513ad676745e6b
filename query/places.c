/* places.c - see places.h. */
#include "query/places.h"

#include "query/places.sql.h"

const struct place_keys place_of_wait = {"function", "stack", "n_inner"};
const struct place_keys place_of_waker = {"waker_function", "waker_stack", "n_waker_inner"};

enum { MAX_SHOWN_DEPTH = 1200 }; /* deeper than any stack that is recorded */

uint32_t place_node(struct query *q, int64_t callsite)
{
    struct tree *t = &q->fold.tree;
    uint32_t node = tree_wait_node(t, callsite, 0);

    return node && t->nodes[node].parent ? node : 0; /* else the process's name at most */
}

/* Names of a stack, the process first and the innermost function last; null for node 0. */
static json_t *stack_of(struct query *q, uint32_t node)
{
    const struct tree *t = &q->fold.tree;
    json_t *names = json_array();

    if (!node) {
        json_decref(names);
        return json_null();
    }
    for (int depth = 0; node && depth < MAX_SHOWN_DEPTH; node = t->nodes[node].parent, depth++) {
        json_array_insert_new(names, 0, symbols_name(q->db, t->nodes[node].symbol));
    }
    return names;
}

/* The node of the innermost function outside the kernel, else the innermost; *n_inner: how many
 * follow on it. */
static uint32_t function_node(const struct query *q, uint32_t innermost, int *n_inner)
{
    const struct tree *t = &q->fold.tree;

    *n_inner = 0;
    for (uint32_t node = innermost; node; node = t->nodes[node].parent, ++*n_inner) {
        uint32_t symbol = t->nodes[node].symbol;
        if (symbols_kind(&q->fold.symbols, symbol) == SYMBOL_IS_FUNCTION &&
            !symbols_is_kernel(&q->fold.symbols, symbol)) {
            return node;
        }
    }
    *n_inner = 0;
    return innermost;
}

json_t *place_function(struct query *q, uint32_t innermost)
{
    int n_inner;
    uint32_t node = function_node(q, innermost, &n_inner);

    return node ? symbols_name(q->db, q->fold.tree.nodes[node].symbol) : json_null();
}

void place_add_stack(struct query *q, json_t *o, const struct place_keys *keys, uint32_t node)
{
    int n_inner;

    function_node(q, node, &n_inner);
    json_object_set_new(o, keys->function, place_function(q, node));
    json_object_set_new(o, keys->stack, stack_of(q, node));
    view_set_int(o, keys->n_inner, n_inner);
}

static json_t *text_or_null(struct stmt *s, int column)
{
    return stmt_is_null(s, column) ? json_null() : json_clean_string(stmt_text(s, column));
}

void place_add_thread(struct query *q, json_t *o, int64_t utid)
{
    struct stmt *s = db_stmt(q->db, &sql_place_thread);

    stmt_bind_int(s, place_thread_p_utid, utid);
    view_set_int(o, "utid", utid);
    if (stmt_next(s)) {
        view_set_int(o, "tid", stmt_int(s, place_thread_c_tid));
        view_set_int(o, "pid", stmt_int(s, place_thread_c_pid));
        json_object_set_new(o, "thread", text_or_null(s, place_thread_c_name));
        json_object_set_new(o, "process", text_or_null(s, place_thread_c_process));
    }
    stmt_reset(s);
}

void place_add_waker(struct query *q, json_t *o, const char *kind, int64_t utid)
{
    struct stmt *s = db_stmt(q->db, &sql_place_thread);
    bool is_thread;

    stmt_bind_int(s, place_thread_p_utid, utid);
    is_thread = utid && stmt_next(s);
    json_object_set_new(o, "waker", *kind ? json_clean_string(kind) : json_null());
    json_object_set_new(o, "waker_utid", is_thread ? json_integer(utid) : json_null());
    json_object_set_new(o, "waker_tid",
                        is_thread ? json_integer(stmt_int(s, place_thread_c_tid)) : json_null());
    json_object_set_new(o, "waker_thread",
                        is_thread ? text_or_null(s, place_thread_c_name) : json_null());
    json_object_set_new(o, "waker_process",
                        is_thread ? text_or_null(s, place_thread_c_process) : json_null());
    stmt_reset(s);
}
