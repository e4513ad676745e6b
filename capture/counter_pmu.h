/*
 * counter_pmu.h - events of a PMU, by its fields or by the names that its driver gives them.
 *
 * As perf spells them: PMU/TERM,TERM.../ where a term is a field of the PMU (event=0x3c, edge), one
 * of config, config1 and config2, name=WORD (which means nothing) or an event that the driver has
 * named; and such a name alone. What there is comes from sysfs, a folder for each PMU: `type`,
 * `format/FIELD` (which bits of which word), `events/NAME` (a list of terms). The text is foreign
 * and so are those files: every length is bounded. No state, any thread.
 */
#ifndef STAX_CAPTURE_COUNTER_PMU_H
#define STAX_CAPTURE_COUNTER_PMU_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "capture/counter_event.h"

#define COUNTER_PMU_ROOT "/sys/bus/event_source/devices"

/* "PMU/TERM,.../" of len bytes. Fills type, config*, unit. STAX_EUSAGE: no such PMU, field or
 * event, a value too large for its field, or events that threads cannot be counted by; the hint has
 * what there is. */
int counter_pmu_parse(const char *root, const char *text, size_t len, struct counter_event *out,
                      struct err *e);

/* The event that the driver of one PMU calls so; false: none does. PMUs that count for all of the
 * machine come last. *e with out->type 0: one does, but it cannot be counted, or several do, and
 * the hint spells two of them. */
bool counter_pmu_find(const char *root, const char *name, size_t len, struct counter_event *out,
                      struct err *e);

#endif
