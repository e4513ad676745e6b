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

/* Each fills in *a, name and all. */
void ability_kernel_stacks(struct capture_ability *a, const struct events *ev);
void ability_wait_stacks(struct capture_ability *a, const struct events *ev);
/* has_names: addresses of the kernel's symbols can be read. */
void ability_kernel_names(struct capture_ability *a, bool has_names);

#endif
