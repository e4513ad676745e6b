/* complete.c - see complete.h. */
#include "cli/complete.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *complete_words(const json_t *names, const char *prefix, size_t n)
{
    size_t n_words = 0, i;
    const json_t *name;
    const char **words = mem_new(json_array_size(names) + 1, sizeof *words);
    bool has_dot = memchr(prefix, '.', n) != NULL;
    json_array_foreach(names, i, name)
    {
        const char *word = json_string_value(name);
        const char *dot = word ? strchr(word, '.') : NULL;
        /* Without a dot typed, a column is offered by its own name. */
        word = dot && !has_dot ? dot + 1 : word;
        if (word && strncasecmp(word, prefix, n) == 0) {
            words[n_words++] = word;
        }
    }
    qsort(words, n_words, sizeof *words, by_text);
    json_t *list = json_array();
    for (i = 0; i < n_words; i++) {
        if (i == 0 || strcmp(words[i], words[i - 1]) != 0) {
            json_array_append_new(list, json_string(words[i]));
        }
    }
    free(words);
    return list;
}

void complete_common(const json_t *words, struct buf *common)
{
    const char *first = json_string_value(json_array_get(words, 0));
    size_t n = first ? strlen(first) : 0, i;
    const json_t *word;
    json_array_foreach(words, i, word)
    {
        const char *s = json_string_value(word);
        size_t same = 0;
        while (same < n && s[same] == first[same]) {
            same++;
        }
        n = same;
    }
    buf_add(common, first ? first : "", n);
}

size_t complete_word_length(const char *text, size_t n)
{
    size_t length = 0;
    while (length < n) {
        unsigned char c = (unsigned char)text[n - length - 1];
        if (!isalnum(c) && c != '_' && c != '.') {
            break;
        }
        length++;
    }
    return length;
}
