/*
 * bound.h - how many events of a kind may be taken: so many a second in the long run, and some more
 * in a burst.
 *
 * Of context switches either all may be taken, when they are so few that it costs the target
 * little, or a number that is much smaller: a target that switches a million times a second would
 * pay for each of them. Pure functions, any thread; times are ns of CLOCK_MONOTONIC.
 */
#ifndef STAX_CAPTURE_BOUND_H
#define STAX_CAPTURE_BOUND_H

#include <stdbool.h>
#include <stdint.h>

struct bound {
    int64_t left; /* events that may still be taken; below 0 they are off */
    int64_t ts;   /* when more were last allowed */
    int64_t hz, at_once;
    bool is_off;
    /* For bound_adapt(): */
    int64_t few_hz;     /* so many that could be taken are few; 0: never */
    int64_t many_hz;    /* hz when there are more */
    uint64_t n_offered; /* that could have been taken, since from_ts */
    int64_t from_ts;
};

/* many_hz until bound_adapt() has seen few. */
struct bound bound_of(int64_t many_hz, int64_t at_once, int64_t few_hz, int64_t now);

/* Takes account of n events. */
void bound_take(struct bound *b, uint64_t n);

/* Sets hz by how many were offered (added to n_offered by the caller) in the last tenth of a
 * second. */
void bound_adapt(struct bound *b, int64_t now);

/* Takes a rate, and counts anew from now: also where nobody could look in the meantime. */
void bound_restart(struct bound *b, int64_t hz, int64_t now);

/* Allows for more. Whether the events are to be switched: to is_off. */
bool bound_keep(struct bound *b, int64_t now);

#endif
