/*
 * progress.h - the line that stax record keeps rewriting on a terminal, which may be the target's
 * own terminal too.
 *
 * The line stands in the last row of the screen, with the cursor left where it was: at the place
 * where the target would write next. When anybody else writes to the terminal or reads from it, the
 * line goes away for good, since what stands on the screen from then on is not ours to touch. What
 * others do is seen by inotify: the kernel tells of each write to a terminal, whoever makes it.
 * One thread.
 */
#ifndef STAX_CLI_PROGRESS_H
#define STAX_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "cli/out.h"

/* Zeroed: not open, and nothing is shown. */
struct progress {
    bool is_open;
    bool is_drawn;
    int watch;       /* inotify of the terminal; -1: it is used by others, or cannot be watched */
    int64_t open_ns; /* CLOCK_MONOTONIC */
};

/* From here on what others do with the terminal counts; before the target begins. */
void progress_open(struct progress *p, const struct out *err);
void progress_close(struct progress *p);

/* Only on a terminal that nobody else uses, where we are in the foreground. */
bool progress_is_shown(const struct progress *p, const struct out *err);
/* Draws the line, but in the first second. active: the run summary of a status document. */
void progress_show(struct progress *p, struct out *err, const json_t *active);
void progress_clear(struct progress *p, struct out *err);
/* A descriptor that is readable when somebody used the terminal, -1: none. */
int progress_watch(const struct progress *p);
/* Looks whether somebody did, and takes the line away then. */
void progress_check(struct progress *p, struct out *err);
/* What happened to the terminal so far was done by us. */
void progress_settle(struct progress *p);

/* The line itself, at most width columns. */
void progress_line(struct buf *line, const json_t *active, size_t width);

#endif
