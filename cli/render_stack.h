/*
 * render_stack.h - stacks as text, in one line or in many. For the renderers (render.h).
 */
#ifndef STAX_CLI_RENDER_STACK_H
#define STAX_CLI_RENDER_STACK_H

#include "base/buf.h"
#include "base/json.h"
#include "cli/out.h"

/* "read < fill_buffer < parse": the function of the stack (names, root first) on which n_inner
 * others follow, which are the kernel's, and its callers. Nothing without a stack. */
void render_callers(struct buf *text, const json_t *stack, int64_t n_inner);

/* A line for each function, the innermost first. */
void render_stack(struct out *out, const json_t *stack);

#endif
