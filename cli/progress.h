/* progress.h - the line that stax record keeps rewriting on a terminal. One thread. */
#ifndef STAX_CLI_PROGRESS_H
#define STAX_CLI_PROGRESS_H

#include <stdbool.h>

#include "base/json.h"
#include "cli/out.h"

/* A zeroed struct is ready. */
struct progress {
    bool is_drawn;
};

/* Only on a terminal where we are in the foreground. */
bool progress_is_shown(const struct out *err);
/* active: the run summary of a status document. */
void progress_show(struct progress *p, struct out *err, const json_t *active);
void progress_clear(struct progress *p, struct out *err);

/* The line itself, at most width columns. */
void progress_line(struct buf *line, const json_t *active, size_t width);

#endif
