/*
 * render_code.h - parts of lines with instructions, which render_annotate.c and render_cfg.c share.
 * Items are members of "instructions" or "elsewhere" of stax.annotate documents. Pure apart from
 * out.
 */
#ifndef STAX_CLI_RENDER_CODE_H
#define STAX_CLI_RENDER_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "cli/out.h"

enum { CODE_SUMS_WIDTH = 28 }; /* columns of code_draw_sums() */

/* Name, place, size and time of the function, and its hottest instruction. */
void code_draw_function(struct out *out, const json_t *data);
/* Titles above the columns. */
void code_draw_header(struct out *out, size_t arrows_width, int address_width);
/* Mark, samples, share and time; blanks for an item without samples or NULL. */
void code_draw_sums(struct out *out, const json_t *item, double max_pct, bool is_hottest);
/* Mnemonic and operands, with names for targets, cut to width columns (0: not cut). */
void code_draw_text(struct out *out, const json_t *instruction, size_t width);

/* The instruction that begins at an address, SIZE_MAX if none does. */
size_t code_find(const json_t *instructions, uint64_t rel_address);
double code_max_pct(const json_t *instructions);
/* Hexadecimal digits of the largest address. */
int code_address_width(const json_t *instructions, const json_t *elsewhere);

#endif
