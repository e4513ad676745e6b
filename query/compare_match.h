/*
 * compare_match.h - the same things in two runs, found by their names. Inside query/ only. One
 * thread.
 */
#ifndef STAX_QUERY_COMPARE_MATCH_H
#define STAX_QUERY_COMPARE_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "query/view.h"

/* A function or thread name of one run; strings are borrowed from its profile. */
struct item {
    const char *name;
    const char *binary; /* "" if it has none */
    bool is_main;       /* of the target's own binary; called as its main thread */
    int64_t n;          /* how many were added up: functions or threads */
    double n_self, self_ns, n_total, total_ns;
    double off_cpu_ns, runnable_ns; /* of threads */
    bool is_matched;
};

struct items {
    struct item *list;
    size_t n, cap;
};

/* The functions of a view "top", those of one name and binary added up, sorted by both. main:
 * the target's own binary if it is called otherwise in the other run, else "". */
void items_read_functions(struct items *items, const json_t *top, const char *main,
                          const struct measure *measure);
/* The threads of a view "threads", those of one name added up, sorted by it. main: what the
 * target's main thread is called, "": not known. */
void items_read_threads(struct items *items, const json_t *threads, const char *main);
void items_free(struct items *items);

struct pair {
    const struct item *a, *b; /* NULL: only the other run has it */
};

/* Every item of both once. Name and binary are equal (both of the target's own binary: they are),
 * or else the name is and no other item of either run that has it is left. Main threads are a pair
 * if nothing else is called as they are. The caller frees *pairs. */
size_t items_match(struct items *a, struct items *b, struct pair **pairs);

#endif
