/*
 * jit_names.h - readable names of functions that runtimes make. Pure.
 */
#ifndef STAX_INGEST_JIT_NAMES_H
#define STAX_INGEST_JIT_NAMES_H

#include <stdint.h>

#include "base/buf.h"

/* V8's "JS:*fib /src/hot.js:10:5" is shown as "fib hot.js:10"; file "/src/hot.js" and line 10 are
 * taken from it. Other names stay as they are: file is empty and *line 0. Clean text is appended
 * to name and file (text_clean()). */
void jit_names_read(const char *raw, struct buf *name, struct buf *file, uint32_t *line);

/* What all versions of a JavaScript function that V8 makes are called: "fib /src/hot.js:10:5" of
 * the one above. NULL: the name says nothing of that kind. */
const char *jit_names_function(const char *raw);

#endif
