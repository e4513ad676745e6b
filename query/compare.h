/*
 * compare.h - what differs between two runs, from their profiles (the view "profile") alone: so
 * each may come from a live run, an archive or another machine.
 *
 * Functions are matched by name, and by binary where one name has several; threads by name; waits
 * by the function that waits, and by reason. estimate.h has the formulas. No thread rule: values.
 */
#ifndef STAX_QUERY_COMPARE_H
#define STAX_QUERY_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "query/estimate.h"

struct compare_options {
    enum basis by;
    bool is_by_total; /* functions are sorted by their total, else by self */
    int64_t limit;    /* rows of each list, 0: all */
    double confidence_pct;
    const char *fail_if; /* conditions (fail_if.h), borrowed; NULL: none */
};

extern const struct compare_options compare_default_options;

/* Reads "by", "sort", "limit", "confidence_pct" and "fail_if" where given, and checks them; strings
 * stay those of parameters. STAX_EUSAGE. */
int compare_options_read(struct compare_options *options, const json_t *parameters, struct err *e);

/* {"schema":"stax.compare/1","run":null,"data":…,"quality":null,"warnings":[…]} of two documents
 * "stax.profile/1". *document is the caller's. Errors: STAX_EUSAGE (a condition names no function
 * of either run, too). */
int compare_profiles(const json_t *a, const json_t *b, const struct compare_options *options,
                     json_t **document, struct err *e);

#endif
