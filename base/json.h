/* json.h - the JSON library and the few helpers every folder needs with it. */
#ifndef STAX_BASE_JSON_H
#define STAX_BASE_JSON_H

#include <jansson.h>

#include "base/err.h"

/* {"error":{"code","message","hint"}} of an error. New reference. */
json_t *json_of_err(const struct err *e);

/* Member of an object as a number or text, or fallback when absent or of another type. */
int64_t json_int_at(const json_t *object, const char *key, int64_t fallback);
double json_real_at(const json_t *object, const char *key, double fallback);
const char *json_text_at(const json_t *object, const char *key, const char *fallback);

/* A string value from foreign bytes: what is not clean (text.h) is escaped. New reference. */
json_t *json_clean_string(const char *s);

#endif
