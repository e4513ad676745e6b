/* jit_batch.c - see jit_batch.h. */
#include "base/jit_batch.h"

#include <stdlib.h>

#include "base/mem.h"

const char jit_batch_too_large[] =
    "it tells of functions that are too large to be told apart from others: these have no names";

void jit_batch_add(struct jit_batch *b, const struct jit_item *item)
{
    mem_reserve(&b->items, &b->cap_items, b->n_items + 1, sizeof(*b->items));
    b->items[b->n_items++] = *item;
}

void jit_batch_add_line(struct jit_batch *b, const struct jit_line *line)
{
    mem_reserve(&b->lines, &b->cap_lines, b->n_lines + 1, sizeof(*b->lines));
    b->lines[b->n_lines++] = *line;
}

size_t jit_batch_text(struct jit_batch *b, const char *s, size_t len)
{
    if (!b->text.len) {
        buf_addch(&b->text, '\0');
    }
    size_t at = b->text.len;
    buf_add(&b->text, s, len);
    buf_addch(&b->text, '\0');
    return at;
}

size_t jit_batch_bytes(const struct jit_batch *b)
{
    return sizeof(*b) + b->cap_items * sizeof(*b->items) + b->cap_lines * sizeof(*b->lines) +
           b->text.len;
}

void jit_batch_fini(struct jit_batch *b)
{
    free(b->path);
    free(b->items);
    free(b->lines);
    buf_free(&b->text);
    *b = (struct jit_batch){0};
}
