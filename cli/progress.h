/*
 * progress.h - the line that stax record keeps rewriting on a terminal, which may be the target's
 * own terminal too.
 *
 * The line stands in the last row of the screen, with the cursor left where it was: at the place
 * where the target would write next. When anybody else writes to the terminal or reads from it, the
 * line goes away, and comes back when nobody has for some seconds; not while keys are read one by
 * one or without echo. What others do is seen by inotify: the kernel tells of each write to a
 * terminal, whoever makes it. That takes the right to read the terminal, which su and sudo do not
 * give: there a plain line is added after 10 s, 20 s, 40 s and so on, which nobody takes away.
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
    int watch;          /* inotify of the terminal; -1: none, or it cannot be watched */
    int64_t open_ns;    /* CLOCK_MONOTONIC */
    int64_t used_ns;    /* ... when others were last seen to use the terminal; 0: they have not */
    int64_t lasting_ns; /* since open_ns, when the next line that stays is due; 0: there are none */
};

/* From here on what others do with the terminal counts; before the target begins. */
void progress_open(struct progress *p, const struct out *err);
void progress_close(struct progress *p);

/* Whether it may be drawn now: nobody uses the terminal, and we are in its foreground. */
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
