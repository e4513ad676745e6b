/*
 * counter_event.h - which event a name means: the words of `perf list` and of --counters.
 *
 * Hardware and software events, caches (L1-dcache-load-misses, LLC-loads, ... in every spelling of
 * perf), raw rNNN, tracepoints (SUBSYSTEM:NAME), each with the modifiers :u (user code only) and :k
 * (kernel only). Text is foreign: every length is bounded. Pure functions, any thread, except
 * counter_event_find_tracepoint(), which reads tracefs.
 */
#ifndef STAX_CAPTURE_COUNTER_EVENT_H
#define STAX_CAPTURE_COUNTER_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/event.h"

enum {
    COUNTER_NAME_BYTES = 96, /* a name with its modifiers, terminator included */
    COUNTER_LIST_BYTES = 512,
};

struct counter_event {
    char name[COUNTER_NAME_BYTES]; /* as it was given, clean text */
    const char *unit;              /* what one count is, singular; "ns" for clocks. Static */
    uint32_t type;                 /* perf_event_attr.type */
    uint64_t config;               /* perf_event_attr.config; tracepoints: 0 until it is found */
    bool exclude_user, exclude_kernel;
    bool has_modifiers;  /* the two above were asked for */
    bool is_kernel_only; /* what it counts happens in the kernel: nothing is left without it */
};

struct counter_list {
    struct counter_event items[EVENT_COUNTERS_MAX];
    size_t n;
};

/* One event. STAX_EUSAGE: no such name (the hint has the nearest ones), or a modifier that means
 * nothing here. */
int counter_event_parse(const char *text, size_t len, struct counter_event *out, struct err *e);

/* One to four events, separated by commas, none of them twice. */
int counter_list_parse(const char *text, struct counter_list *out, struct err *e);

/* What is counted unless something else was asked for, where the CPU has a PMU. */
extern const char counter_default_list[];

/* Looks up the number of a tracepoint below root ("/sys/kernel/tracing"); others are left as they
 * are. STAX_ENOTFOUND: there is none of that name; STAX_EPERMISSION: tracefs is not mounted there
 * or may not be read. */
int counter_event_find_tracepoint(struct counter_event *event, const char *root, struct err *e);

#endif
