/* json.c - see json.h. */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

json_t *json_of_err(const struct err *e)
{
    return json_pack("{s:{s:s,s:o,s:o}}", "error", "code", err_wire_code(e->code), "message",
                     json_clean_string(e->msg), "hint", json_clean_string(e->hint));
}

int64_t json_int_at(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double json_real_at(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

const char *json_text_at(const json_t *object, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : fallback;
}

json_t *json_clean_string(const char *s)
{
    struct buf b = {0};
    text_clean(&b, s, strlen(s));
    json_t *v = json_stringn(buf_str(&b), b.len);
    buf_free(&b);
    return v;
}
