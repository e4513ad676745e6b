/* sqltext.c - see sqltext.h. */
#include "cli/sqltext.h"

#include <string.h>
#include <strings.h>

/* Length of the string, quoted name or comment at s, 0 if there is none; *is_open: it has no end.
 */
static size_t skip_opaque(const char *s, bool *is_open)
{
    const char *end = NULL;
    size_t n_end = 1;
    if (*s == '\'' || *s == '"' || *s == '`') {
        char quote[2] = {*s, '\0'};
        end = strstr(s + 1, quote); /* a doubled quote is two strings side by side */
    } else if (*s == '[') {
        end = strchr(s, ']');
    } else if (strncmp(s, "--", 2) == 0) {
        end = strchr(s, '\n');
    } else if (strncmp(s, "/*", 2) == 0) {
        end = strstr(s + 2, "*/");
        n_end = 2;
    } else {
        return 0;
    }
    *is_open = end == NULL;
    return end ? (size_t)(end - s) + n_end : strlen(s);
}

size_t sqltext_statement(const char *sql)
{
    for (const char *s = sql; *s;) {
        bool is_open = false;
        size_t n = skip_opaque(s, &is_open);
        if (n == 0 && *s == ';') {
            return (size_t)(s - sql) + 1;
        }
        s += n ? n : 1;
    }
    return 0;
}

bool sqltext_is_empty(const char *sql)
{
    for (const char *s = sql; *s;) {
        bool is_open = false;
        bool is_comment = strncmp(s, "--", 2) == 0 || strncmp(s, "/*", 2) == 0;
        if (is_comment) {
            s += skip_opaque(s, &is_open);
        } else if (strchr(" \t\r\n;", *s)) {
            s++;
        } else {
            return false;
        }
    }
    return true;
}

/* Where the name begins on a line that creates a table or view, 0: it does not. */
static size_t name_offset(const char *s)
{
    return strncmp(s, "CREATE TABLE ", 13) == 0 ? 13 : strncmp(s, "CREATE VIEW ", 12) == 0 ? 12 : 0;
}

json_t *sqltext_names(const char *schema)
{
    json_t *names = json_array();
    for (const char *s = schema; *s;) {
        size_t line = strcspn(s, "\n"), word = name_offset(s);
        if (word) {
            json_array_append_new(names, json_stringn(s + word, strcspn(s + word, " (\n")));
        }
        s += line + (s[line] == '\n');
    }
    return names;
}

static bool is_definition(const char *s, const char *name)
{
    size_t n = strlen(name), word = name_offset(s);
    return word && strncasecmp(s + word, name, n) == 0 && strchr(" (\n", s[word + n]);
}

const char *sqltext_definition(const char *schema, const char *name, size_t *n)
{
    const char *comment = NULL; /* first of the comment lines right above s */
    for (const char *s = schema; *s;) {
        size_t line = strcspn(s, "\n");
        if (is_definition(s, name)) {
            const char *start = comment ? comment : s;
            *n = (size_t)(s - start) + sqltext_statement(s);
            return start;
        }
        bool is_comment = strncmp(s, "--", 2) == 0 && strncmp(s, "---", 3) != 0;
        comment = !is_comment ? NULL : comment ? comment : s;
        s += line + (s[line] == '\n');
    }
    return NULL;
}
