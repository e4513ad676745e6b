/*
 * out.h - one output stream of a command: what it is (terminal, width, colour) and the text so far.
 *
 * Text is gathered in memory and written by out_flush(), so that a failing command prints nothing
 * half done and a closed pipe is noticed at one place. Owned by main; not shared between threads.
 */
#ifndef STAX_CLI_OUT_H
#define STAX_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct out {
    int fd;           /* borrowed */
    bool is_terminal; /* */
    bool has_colour;  /* escape sequences may be written */
    size_t width;     /* columns a line may take, 0: no limit (not a terminal) */
    struct buf text;  /* not yet written */
};

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_YELLOW, STYLE_CYAN };

/* Looks at fd: colour only on a terminal without NO_COLOR and with a TERM that is not "dumb"; the
 * width is $COLUMNS, else the terminal's, else no limit. */
void out_init(struct out *o, int fd);
void out_fini(struct out *o);

/* The escape sequence of a style, "" where colour is off. Static storage. */
const char *out_style(const struct out *o, enum style style);

/* Appends foreign text, made safe for a terminal (text_clean). */
void out_foreign(struct out *o, const char *s);
/* ... cut in the middle to width columns; 0: not cut. */
void out_foreign_cut(struct out *o, const char *s, size_t width);
/* The same of text that is no name, such as a line of source: only its end is cut. */
void out_foreign_cut_end(struct out *o, const char *s, size_t width);

/* ... broken at blanks where the line, of which column columns are taken, would become too long. */
void out_foreign_wrapped(struct out *o, const char *s, size_t column);

/* Writes what was gathered. A reader that has gone away (EPIPE) is not an error: the rest is
 * dropped. Other failures are STAX_ESYSTEM or STAX_EFULL. */
int out_flush(struct out *o, struct err *e);

#endif
