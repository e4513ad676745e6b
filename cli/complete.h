/* complete.h - completion of table and column names in the SQL prompt. Pure. */
#ifndef STAX_CLI_COMPLETE_H
#define STAX_CLI_COMPLETE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/json.h"

/* Words of names ("sample", "sample.ts", ... as sandbox_names()) that begin with prefix: tables,
 * column names, and table.column once a table is named. Each once, sorted. New reference. */
json_t *complete_words(const json_t *names, const char *prefix, size_t n);

/* The beginning that all words share, longer than or equal to the prefix. */
void complete_common(const json_t *words, struct buf *common);

/* How many of the n bytes before the cursor belong to the word being typed. */
size_t complete_word_length(const char *text, size_t n);

#endif
