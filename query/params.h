/*
 * params.h - what a caller may ask of a view: declared once, checked here, read by the views.
 *
 * A struct params borrows the JSON object it was made from. One thread.
 */
#ifndef STAX_QUERY_PARAMS_H
#define STAX_QUERY_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

enum { MAX_EXCLUDED = 64 };

/* The filters that every view takes. Times are ns since the start of the run. */
struct filter {
    bool has_tid, has_pid, has_from, has_to;
    bool no_inlines; /* inlined functions count as what they are inlined into */
    int64_t tid;
    int64_t pid;
    int64_t from_ns; /* first moment that counts */
    int64_t to_ns;   /* first moment that no longer counts */
    const char *excluded[MAX_EXCLUDED];
    size_t n_excluded;
};

struct params {
    const json_t *object; /* borrowed; NULL: nothing given */
    struct filter filter;
};

/* Checks every key, type and range against the view's declaration (STAX_EUSAGE names the key). */
int params_check(struct params *p, const struct view *view, const json_t *object, struct err *e);

int64_t params_int(const struct params *p, const char *key, int64_t fallback);
double params_real(const struct params *p, const char *key, double fallback);
const char *params_text(const struct params *p, const char *key, const char *fallback);

/* Whether anything narrows the run; time or excluded functions; a thread or process. */
bool filter_is_any(const struct filter *f);
bool filter_needs_fold(const struct filter *f);
bool filter_is_thread(const struct filter *f);

#endif
