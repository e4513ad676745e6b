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

enum { CODE_MAX_COUNTERS = 4 };

/* The columns of samples: their widths do not change within a listing. */
struct code_sums {
    double max_pct;
    const char *counters[CODE_MAX_COUNTERS]; /* names; borrowed from the document */
    size_t n_counters;                       /* that have a column */
    size_t width;                            /* of code_draw_sums() */
};

/* Counters of the run have columns where the terminal is wide enough for them. */
void code_sums_init(struct code_sums *sums, const struct out *out, const json_t *data);

/* Name, place, size and time of the function, and its hottest instruction. */
void code_draw_function(struct out *out, const json_t *data);
/* Titles above the columns. */
void code_draw_header(struct out *out, const struct code_sums *sums, size_t arrows_width,
                      int address_width);
/* Mark, samples, share, time and counters; blanks for an item without samples or NULL. */
void code_draw_sums(struct out *out, const struct code_sums *sums, const json_t *item,
                    bool is_hottest);
/* Mnemonic and operands, with names for targets, cut to width columns (0: not cut). */
void code_draw_text(struct out *out, const json_t *instruction, size_t width);

/* Of a function, an item or a block: in memory where that is known of code made at run time, else
 * in its binary. Targets are such addresses. */
uint64_t code_address(const json_t *item);
/* The instruction that begins at an address, SIZE_MAX if none does. */
size_t code_find(const json_t *instructions, uint64_t address);
double code_max_pct(const json_t *items);
/* Hexadecimal digits of the largest address. */
int code_address_width(const json_t *instructions, const json_t *elsewhere);

#endif
