/*
 * symbols.h - symbols by id and by name, as the views print and look them up. One thread.
 */
#ifndef STAX_QUERY_SYMBOLS_H
#define STAX_QUERY_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/db.h"

enum { SYMBOL_ABSENT = 0, SYMBOL_IS_FUNCTION, SYMBOL_IS_PROCESS, SYMBOL_IS_MARKER };
enum { SYMBOL_IN_KERNEL = 16 }; /* beside one of those */

/* Kinds by symbol.id; what was added since is read by symbols_refresh(). Zeroed: empty. */
struct symbols {
    uint8_t *kinds;
    size_t n, cap;
    size_t n_others; /* symbols that are no functions */
};

void symbols_free(struct symbols *s);
int symbols_refresh(struct symbols *s, struct db *db, struct err *e);

static inline uint8_t symbols_kind(const struct symbols *s, int64_t id)
{
    return id > 0 && (uint64_t)id < s->n ? s->kinds[id] & ~SYMBOL_IN_KERNEL : SYMBOL_ABSENT;
}

static inline bool symbols_is_kernel(const struct symbols *s, int64_t id)
{
    return id > 0 && (uint64_t)id < s->n && (s->kinds[id] & SYMBOL_IN_KERNEL);
}

/* Sets flags[id] of every function with exactly this name, else of those that have it before their
 * parameters (flags holds s->n bytes). STAX_ENOTFOUND, with the nearest names as a hint, if there
 * is none. */
int symbols_flag_named(const struct symbols *s, struct db *db, const char *name, uint8_t *flags,
                       struct err *e);
/* One function: of exactly this name, else the hottest that has it before its parameters, else the
 * hottest whose name contains it, upper or lower case. *taken: its name where there are several, to
 * be told (free()); else NULL. */
int symbols_flag_matching(const struct symbols *s, struct db *db, const char *name, uint8_t *flags,
                          char **taken, struct err *e);
/* "parse" and "ns::parse<int>" are "parse(char)" and "void ns::parse<int>(int)" without parameters.
 */
bool symbols_is_without_parameters(const char *name, const char *full);

/* Adds "symbol", "name", "kind", "binary" (its name or null) and "language" (or null) to object. */
void symbols_describe(struct db *db, int64_t id, json_t *object);
/* The same of one piece of a function's code: "name" says which version of a JavaScript function it
 * is ("fib hot.js:10 [optimised]"). */
void symbols_describe_code(struct db *db, int64_t id, json_t *object);
/* Whether a function is inlined wherever it stands. */
bool symbols_is_inlined(struct db *db, int64_t id);
/* The name alone; new reference. */
json_t *symbols_name(struct db *db, int64_t id);

#endif
