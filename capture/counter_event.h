/*
 * counter_event.h - which event a name means: the words of `perf list` and of --counters.
 *
 * Hardware and software events, caches (L1-dcache-load-misses, LLC-loads, ... in every spelling of
 * perf), raw rNNN, tracepoints (SUBSYSTEM:NAME), events of a PMU by its fields
 * (cpu/event=0x3c,umask=0x0/) or by the name that its driver gives them (counter_pmu.h). Modifiers
 * after a colon, or after the last slash: u (user code only), k (kernel only), h (hypervisor only),
 * several of them for several; G, H (in guests of this host only, outside of them only); p to ppp
 * and P say how exactly perf is to find the sampled instruction, which is nothing to a count, and
 * change nothing. Text is foreign: every length is bounded. No state, any thread; sysfs and tracefs
 * are read.
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
    uint64_t config1, config2;
    bool exclude_user, exclude_kernel, exclude_hv;
    bool has_modifiers;               /* the three above were asked for */
    bool exclude_guest, exclude_host; /* of virtual machines that this host runs */
    bool is_kernel_only; /* what it counts happens in the kernel: nothing is left without it */
};

struct counter_list {
    struct counter_event items[EVENT_COUNTERS_MAX];
    size_t n;
};

/* One event. pmus: where PMUs are described, COUNTER_PMU_ROOT. STAX_EUSAGE: no such name (the hint
 * has the nearest ones), or a modifier that means nothing here. */
int counter_event_parse(const char *pmus, const char *text, size_t len, struct counter_event *out,
                        struct err *e);

/* One to four events, separated by commas (those between slashes apart), none of them twice. */
int counter_list_parse(const char *pmus, const char *text, struct counter_list *out, struct err *e);

/* What is counted unless something else was asked for, where the CPU has a PMU. */
extern const char counter_default_list[];

/* Looks up the number of a tracepoint below root ("/sys/kernel/tracing"); others are left as they
 * are. STAX_ENOTFOUND: there is none of that name; STAX_EPERMISSION: tracefs is not mounted there
 * or may not be read. */
int counter_event_find_tracepoint(struct counter_event *event, const char *root, struct err *e);

#endif
