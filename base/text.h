/*
 * text.h - foreign text made safe: what may be stored, what may reach a terminal, what fits a
 * column. Pure functions, any thread.
 */
#ifndef STAX_BASE_TEXT_H
#define STAX_BASE_TEXT_H

#include <stddef.h>

#include "base/buf.h"

/* Appends src as valid UTF-8 without control characters: C0, DEL, C1, bidirectional controls
 * (U+202A..202E, U+2066..2069), line separators and invalid bytes become \xNN (one per byte).
 * What is already clean is appended unchanged, so cleaning twice changes nothing. */
void text_clean(struct buf *out, const char *src, size_t len);

/* Columns of a clean UTF-8 string on a terminal (combining marks 0, wide characters 2). */
size_t text_width(const char *s);

/* Appends s cut to at most width columns, the middle replaced by "…" when it does not fit. */
void text_cut_middle(struct buf *out, const char *s, size_t width);

/* The same with the end replaced by "…". */
void text_cut_end(struct buf *out, const char *s, size_t width);

/* Appends a function's demangled name cut to at most width columns. When it does not fit, template
 * arguments and parameter lists shrink to <…> and (…) first, since two long names differ elsewhere,
 * then a compiler's [clone .x] goes; only then is the middle cut. */
void text_cut_name(struct buf *out, const char *name, size_t width);

/* Edit distance between two short words (Damerau-Levenshtein, restricted), for "did you mean". */
size_t text_distance(const char *a, const char *b);

#endif
