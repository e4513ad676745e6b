/* progress.c - see progress.h. */
#include "cli/progress.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/render.h"

bool progress_is_shown(const struct out *err)
{
    return err->is_terminal && tcgetpgrp(err->fd) == getpgrp();
}

void progress_line(struct buf *line, const json_t *active, size_t width)
{
    struct buf whole = {0};
    buf_addf(&whole, "run %" PRId64 "  ", json_int_at(active, "id", 0));
    render_seconds(&whole, json_int_at(active, "elapsed_ns", 0));
    buf_addf(&whole, "  %" PRId64 " samples  %" PRId64 " threads  %" PRId64 " lost",
             json_int_at(active, "n_samples", 0), json_int_at(active, "n_threads", 0),
             json_int_at(active, "n_lost", 0));
    text_cut_name(line, buf_str(&whole), width);
    buf_free(&whole);
}

void progress_show(struct progress *p, struct out *err, const json_t *active)
{
    if (!progress_is_shown(err)) {
        return;
    }
    buf_addstr(&err->text, "\r\033[K");
    progress_line(&err->text, active, err->width > 1 ? err->width - 1 : 80);
    out_flush(err, NULL);
    p->is_drawn = true;
}

void progress_clear(struct progress *p, struct out *err)
{
    if (p->is_drawn && progress_is_shown(err)) {
        buf_addstr(&err->text, "\r\033[K");
        out_flush(err, NULL);
    }
    p->is_drawn = false;
}
