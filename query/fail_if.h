/*
 * fail_if.h - conditions on a comparison, for continuous integration.
 *
 *     conditions = condition { "or" condition }
 *     condition  = quantity ( ">" | ">=" | "<" | "<=" ) [ "+" | "-" ] number ( "ms" | "s" | "%" )
 *     quantity   = "on_cpu" | "off_cpu" | "self(" NAME ")" | "total(" NAME ")"
 *
 * With a sign the number is the change from A to B (percent: of A); without, the value in B
 * (percent: the function's share of all on-CPU time). NAME is a function's whole name, or
 * the one without parameters where only one function has it; brackets in it are paired, or it
 * stands in double quotes. No thread rule: values.
 */
#ifndef STAX_QUERY_FAIL_IF_H
#define STAX_QUERY_FAIL_IF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "query/estimate.h"

enum { MAX_CONDITIONS = 16, MAX_FAIL_IF_BYTES = 4096 };

enum quantity { QUANTITY_ON_CPU, QUANTITY_OFF_CPU, QUANTITY_SELF, QUANTITY_TOTAL };
enum comparison { IS_ABOVE, IS_ABOVE_OR_EQUAL, IS_BELOW, IS_BELOW_OR_EQUAL };

struct condition {
    char *text; /* the condition alone, as it was written */
    enum quantity quantity;
    char *name; /* of the function; NULL: none */
    enum comparison comparison;
    bool is_change;  /* the number had a sign */
    bool is_percent; /* else ns, or ns per second */
    double number;
};

struct fail_if {
    struct condition items[MAX_CONDITIONS];
    size_t n;
};

/* STAX_EUSAGE: says what was expected where. fail_if_fini() in either case. */
int fail_if_parse(struct fail_if *f, const char *text, enum basis by, struct err *e);
void fail_if_fini(struct fail_if *f);

enum verdict {
    IS_MET,
    IS_NOT_MET,
    IS_UNSURE, /* the change is as asked but within its interval, or there are too few samples */
};

/* A change counts only if it is exact or beyond z deviations. */
enum verdict condition_check(const struct condition *c, const struct change *change, enum basis by,
                             double z);

#endif
