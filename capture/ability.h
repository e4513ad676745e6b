/*
 * ability.h - what a run could open, in words: each ability, why it is missing, what would unlock
 * it.
 *
 * Judged by what was tried (struct events), not by what settings promise; the settings of the host
 * then explain a refusal. Any thread.
 */
#ifndef STAX_CAPTURE_ABILITY_H
#define STAX_CAPTURE_ABILITY_H

#include <stdbool.h>

#include "capture/capture.h"
#include "capture/events.h"

/* Abilities that the user left out have reasons that begin so. */
#define ABILITY_TURNED_OFF "turned off"

/* What else there is to a recording. */
struct ability_facts {
    bool has_names;    /* addresses of the kernel's symbols can be read */
    bool unwinds;      /* user stacks are unwound, or would be */
    bool reads_memory; /* the target's memory may be read */
};

/* The abilities of what was opened. Returns how many rows were filled in. */
size_t ability_all(struct capture_ability rows[ABILITIES_MAX], const struct events *ev,
                   const struct ability_facts *facts);
/* The one row of a host that lets nothing be recorded, and why. */
void ability_recording(struct capture_ability *a, const struct err *why);

#endif
