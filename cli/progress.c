/* progress.c - see progress.h. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cli/render.h"

/* ANSI X3.64, as xterm, tmux, screen and the Linux console have them. */
#define INDEX       "\033D" /* down one row, at the last one by scrolling; the column stays */
#define SAVE        "\0337"
#define RESTORE     "\0338"
#define ERASE_BELOW "\033[J" /* from the cursor to the end of the screen */
#define LAST_ROW    "\033[999;1H"

enum { EVENT_BYTES = 4096, ROWS_MIN = 3 };
static const int64_t QUIET_NS = 1000000000; /* at first */
/* After somebody used the terminal: what writes now and then is rarely silent for so long. */
static const int64_t RETURN_NS = 4000000000;
/* Between two lines that stay, the first and, each time twice as long, at most. */
static const int64_t LASTING_NS = 10000000000, LASTING_MAX_NS = 80000000000;

void progress_open(struct progress *p, const struct out *err)
{
    char path[32];
    const char *term = getenv("TERM");
    *p = (struct progress){.is_open = true, .watch = -1, .open_ns = clock_monotonic_ns()};
    if (!err->is_terminal || !term || !*term || strcmp(term, "dumb") == 0) {
        return;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", err->fd);
    p->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (p->watch >= 0 && inotify_add_watch(p->watch, path, IN_MODIFY | IN_ACCESS) < 0) {
        fd_close(&p->watch);
    }
    p->lasting_ns = p->watch < 0 ? LASTING_NS : 0;
    if (p->watch >= 0) {
        /* Who asks for a password opens the terminal by this name, which is another inode. That it
         * may be another terminal's costs a line at most. */
        (void)inotify_add_watch(p->watch, "/dev/tty", IN_MODIFY | IN_ACCESS);
    }
}

void progress_close(struct progress *p)
{
    if (p->is_open) {
        fd_close(&p->watch);
    }
    *p = (struct progress){0};
}

/* Whether it is long enough since the start, and since others used the terminal. */
static bool is_quiet(const struct progress *p)
{
    int64_t now = clock_monotonic_ns();
    return now - p->open_ns >= QUIET_NS && (!p->used_ns || now - p->used_ns >= RETURN_NS);
}

/* While it is used its events are looked at now and then only: a target may write all the time. */
int progress_watch(const struct progress *p)
{
    return p->is_open && (!p->used_ns || is_quiet(p)) ? p->watch : -1;
}

/* Whether we are in the foreground, and lines are read as lines: who reads keys (an editor, a
 * pager) has the whole screen, and who turned the echo off asks for a password. */
static bool is_ours(const struct out *err)
{
    struct termios mode;
    return tcgetpgrp(err->fd) == getpgrp() && tcgetattr(err->fd, &mode) == 0 &&
           (mode.c_lflag & ICANON) && (mode.c_lflag & ECHO);
}

bool progress_is_shown(const struct progress *p, const struct out *err)
{
    return progress_watch(p) >= 0 && is_ours(err);
}

void progress_line(struct buf *line, const json_t *active, size_t width)
{
    struct buf whole = {0};
    int64_t n_threads = json_int_at(active, "n_threads", 0);
    buf_addf(&whole, "run %" PRId64 "  ", json_int_at(active, "id", 0));
    render_seconds(&whole, json_int_at(active, "elapsed_ns", 0));
    buf_addf(&whole, "  %" PRId64 " samples  %" PRId64 " thread%s  %" PRId64 " lost",
             json_int_at(active, "n_samples", 0), n_threads, n_threads == 1 ? "" : "s",
             json_int_at(active, "n_lost", 0));
    text_cut_name(line, buf_str(&whole), width);
    buf_free(&whole);
}

/* Rows between the cursor and the line: what the target writes at once until we notice. */
static int rows_between(int n_rows)
{
    return n_rows >= 20 ? 4 : n_rows >= 8 ? 2 : 1;
}

static void draw(struct out *err, const json_t *active)
{
    struct winsize size;
    size_t width = err->width;
    if (ioctl(err->fd, TIOCGWINSZ, &size) < 0 || size.ws_row < ROWS_MIN) {
        return;
    }
    if (size.ws_col && size.ws_col < width) {
        width = size.ws_col; /* it was made narrower since */
    }
    int n_between = rows_between(size.ws_row);
    for (int i = 0; i < n_between; i++) {
        buf_addstr(&err->text, INDEX);
    }
    /* The row of the cursor may hold more to its right: a status line that ends in \r. */
    buf_addf(&err->text, "\033[%dA" SAVE "\033[B\r" ERASE_BELOW LAST_ROW, n_between);
    progress_line(&err->text, active, width > 1 ? width - 1 : 1);
    buf_addstr(&err->text, RESTORE);
}

static bool take_events(const struct progress *p)
{
    char events[EVENT_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool is_any = false;
    while (p->watch >= 0 && read(p->watch, events, sizeof events) > 0) {
        is_any = true;
    }
    return is_any;
}

void progress_settle(struct progress *p)
{
    if (p->is_open) {
        take_events(p);
    }
}

/* A line that stays, where it cannot be seen when others write. */
static void add_lasting(struct progress *p, struct out *err, const json_t *active)
{
    if (clock_monotonic_ns() - p->open_ns < p->lasting_ns || !is_ours(err)) {
        return;
    }
    p->lasting_ns += p->lasting_ns < LASTING_MAX_NS ? p->lasting_ns : LASTING_MAX_NS;
    buf_addstr(&err->text, "stax: ");
    progress_line(&err->text, active, err->width > 8 ? err->width - 7 : 1);
    buf_addch(&err->text, '\n');
    out_flush(err, NULL);
}

void progress_show(struct progress *p, struct out *err, const json_t *active)
{
    progress_check(p, err);
    if (p->is_open && p->lasting_ns) {
        add_lasting(p, err, active);
        return;
    }
    if (!progress_is_shown(p, err) || !is_quiet(p)) {
        return;
    }
    draw(err, active);
    p->is_drawn = err->text.len > 0;
    out_flush(err, NULL);
    progress_settle(p);
}

void progress_clear(struct progress *p, struct out *err)
{
    if (p->is_drawn && tcgetpgrp(err->fd) == getpgrp()) {
        buf_addstr(&err->text, ERASE_BELOW);
        out_flush(err, NULL);
        progress_settle(p);
    }
    p->is_drawn = false;
}

void progress_check(struct progress *p, struct out *err)
{
    if (p->is_open && take_events(p)) {
        progress_clear(p, err);
        p->used_ns = clock_monotonic_ns();
    }
}
