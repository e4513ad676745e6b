/*
 * method.h - the one table of RPC methods: names, parameters, help, examples, handlers.
 *
 * Dispatch, validation and docs/rpc.md all come from it. Views are taken from query_views[] and get
 * the parameter "run" in front. The table is built once and read by any thread.
 */
#ifndef STAX_SERVER_METHOD_H
#define STAX_SERVER_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct call;
struct readers;

/* Each lane has threads of its own, so that nothing slow holds up another kind of request. */
enum lane {
    LANE_CONTROL, /* start, stop, status: quick */
    LANE_VIEW,    /* reads of our own */
    LANE_SQL,     /* other people's queries */
    LANE_FILE,    /* copies and checks of whole archives */
    N_LANES,
};

struct parameter {
    const char *name; /* NULL ends a list */
    const char *type; /* "integer" "number" "string" "boolean" "string[]" "object" */
    const char *unit; /* "" if none */
    const char *help;
    bool is_required;
    int64_t min, max; /* integers only; both 0: any */
};

/* What a handler returns besides 0 and errors: the call now belongs to somebody else, who answers.
 */
#define METHOD_TAKEN 1

/* Runs on a worker thread. 0: *document is the answer. A negative enum stax_err: *e says why. */
typedef int method_handler(struct call *call, struct readers *readers, json_t **document,
                           struct err *e);

struct method {
    const char *name;
    const char *schema; /* of the document it answers with */
    const char *help;
    const char *result;                 /* what "data" holds, for the docs */
    const char *example;                /* parameters of an example call, JSON */
    const struct parameter *parameters; /* own ones */
    method_handler *handler;
    enum lane lane;
    bool is_control; /* RunControl, else Profiler */
    bool is_view;    /* can be subscribed to; query/ checks its parameters */
    bool is_ws_only;
};

struct methods;

struct methods *methods_new(void);
void methods_free(struct methods *m);
/* NULL if there is none of that name. Valid as long as m. */
const struct method *methods_find(const struct methods *m, const char *name);
const struct method *methods_at(const struct methods *m, size_t i); /* NULL past the end */
/* The method with the most similar name. */
const char *methods_nearest(const struct methods *m, const char *name);

/* Checks parameters (an object or NULL) against a list: unknown keys, types, ranges, required ones.
 * Returns 0 or STAX_EUSAGE with the key named. */
int parameters_check(const struct parameter *list, const json_t *parameters, struct err *e);

/* The same for a view, with the parameter "run" it has here; query/ knows the rest. */
int check_view_parameters(const struct method *view, const json_t *parameters, struct err *e);

/* The static part of the table, ended by a NULL name; and the handler of every view. */
extern const struct method method_table[];
method_handler method_view;

#endif
