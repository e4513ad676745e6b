/* render_stack.c - see render_stack.h. */
#include "cli/render_stack.h"

#include <string.h>

enum { N_FUNCTIONS = 4 };

void render_callers(struct buf *text, const json_t *stack, int64_t n_inner)
{
    size_t n = json_array_size(stack);
    size_t first = n_inner >= 0 && (uint64_t)n_inner < n ? n - 1 - (size_t)n_inner : 0;

    for (size_t shown = 0, i = first; shown < N_FUNCTIONS && i > 0; shown++, i--) {
        buf_addf(text, "%s%s", shown ? " < " : "", json_string_value(json_array_get(stack, i)));
    }
}

void render_stack(struct out *out, const json_t *stack)
{
    for (size_t i = json_array_size(stack); i-- > 0;) {
        buf_addstr(&out->text, "    ");
        out_foreign_cut(out, json_string_value(json_array_get(stack, i)),
                        out->width > 12 ? out->width - 4 : out->width);
        buf_addch(&out->text, '\n');
    }
}
