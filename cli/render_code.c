/* render_code.c - see render_code.h. */
#include "cli/render_code.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/render.h"
#include "cli/table.h"

uint64_t code_address(const json_t *item)
{
    return (uint64_t)json_int_at(item, "address", json_int_at(item, "rel_address", 0));
}

size_t code_find(const json_t *instructions, uint64_t address)
{
    size_t low = 0, high = json_array_size(instructions);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t at = code_address(json_array_get(instructions, middle));
        if (at == address) {
            return middle;
        }
        if (at < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return SIZE_MAX;
}

double code_max_pct(const json_t *instructions)
{
    double max = 0;
    size_t i;
    const json_t *in;

    json_array_foreach(instructions, i, in)
    {
        double pct = json_real_at(in, "pct", 0);
        max = pct > max ? pct : max;
    }
    return max;
}

static int width_of(const json_t *list, int width)
{
    char text[32];
    const json_t *last = json_array_get(list, json_array_size(list) - 1);

    if (last) {
        int n = snprintf(text, sizeof(text), "%" PRIx64, code_address(last));
        width = n > width ? n : width;
    }
    return width;
}

int code_address_width(const json_t *instructions, const json_t *elsewhere)
{
    return width_of(elsewhere, width_of(instructions, 4));
}

enum { SUMS_WIDTH = 28, COUNTER_WIDTH = 14, ROOM_FOR_TEXT = 60 };

void code_sums_init(struct code_sums *sums, const struct out *out, const json_t *data)
{
    const char *name;
    json_t *counted = json_object_get(json_object_get(data, "function"), "self_counters"), *value;

    *sums = (struct code_sums){.max_pct = code_max_pct(json_object_get(data, "instructions")),
                               .width = SUMS_WIDTH};
    json_object_foreach(counted, name, value)
    {
        size_t width = sums->width + COUNTER_WIDTH;
        if (sums->n_counters < CODE_MAX_COUNTERS &&
            (!out->width || width + ROOM_FOR_TEXT <= out->width)) {
            sums->counters[sums->n_counters++] = name;
            sums->width = width;
        }
    }
}

void code_draw_header(struct out *out, const struct code_sums *sums, size_t arrows_width,
                      int address_width)
{
    buf_addf(&out->text, "%s  samples  self %%   self ms ", out_style(out, STYLE_BOLD));
    for (size_t i = 0; i < sums->n_counters; i++) {
        struct buf name = {0};
        text_cut_middle(&name, sums->counters[i], COUNTER_WIDTH - 2);
        size_t n = text_width(buf_str(&name));
        buf_addf(&out->text, "%*s", n < COUNTER_WIDTH - 1 ? (int)(COUNTER_WIDTH - 1 - n) : 0, "");
        out_foreign(out, buf_str(&name));
        buf_addch(&out->text, ' ');
        buf_free(&name);
    }
    buf_addf(&out->text, " %*s %*s  instruction%s\n", (int)arrows_width, "", address_width,
             address_width >= 7 ? "address" : "addr", out_style(out, STYLE_PLAIN));
}

void code_draw_sums(struct out *out, const struct code_sums *sums, const json_t *item,
                    bool is_hottest)
{
    int64_t n = json_int_at(item, "n_samples", 0);
    double pct = json_real_at(item, "pct", 0);

    if (n == 0) {
        buf_addf(&out->text, "%*s", (int)sums->width, "");
        return;
    }
    enum style style = pct >= sums->max_pct / 2   ? STYLE_RED
                       : pct >= sums->max_pct / 8 ? STYLE_YELLOW
                                                  : STYLE_PLAIN;
    buf_addf(&out->text, "%s%s%c%8" PRId64 "  %6.1f%10.1f ", out_style(out, style),
             is_hottest ? out_style(out, STYLE_BOLD) : "", is_hottest ? '>' : ' ', n, pct,
             (double)json_int_at(item, "on_cpu_ns", 0) / 1e6);
    for (size_t i = 0; i < sums->n_counters; i++) {
        char count[16];
        table_format_count(count, sizeof(count),
                           json_int_at(json_object_get(item, "counters"), sums->counters[i], 0));
        buf_addf(&out->text, "%*s ", COUNTER_WIDTH - 1, count);
    }
    buf_addstr(&out->text, out_style(out, STYLE_PLAIN));
}

void code_draw_text(struct out *out, const json_t *instruction, size_t width)
{
    char mnemonic[64];
    const char *name = json_text_at(instruction, "target_name", NULL);
    int64_t offset = json_int_at(instruction, "target_offset", 0);
    struct buf rest = {0};
    const char *operands = name ? name : json_text_at(instruction, "operands", "");
    int n = snprintf(mnemonic, sizeof(mnemonic), *operands ? "%-7s " : "%s",
                     json_text_at(instruction, "mnemonic", "?"));

    buf_addstr(&rest, operands);
    if (name && offset) {
        buf_addf(&rest, "+0x%" PRIx64, (uint64_t)offset);
    }
    out_foreign(out, mnemonic);
    buf_addstr(&out->text, name ? out_style(out, STYLE_CYAN) : "");
    out_foreign_cut(out, buf_str(&rest), width > (size_t)n + 4 ? width - (size_t)n : width ? 4 : 0);
    buf_addstr(&out->text, name ? out_style(out, STYLE_PLAIN) : "");
    buf_free(&rest);
}

void code_draw_function(struct out *out, const json_t *data)
{
    const json_t *f = json_object_get(data, "function");
    const json_t *hottest = json_array_get(json_object_get(data, "instructions"),
                                           (size_t)json_int_at(data, "hottest", -1));
    int64_t n_matches = json_int_at(data, "n_matches", 1);

    buf_addstr(&out->text, out_style(out, STYLE_BOLD));
    out_foreign_cut(out, json_text_at(f, "name", "?"), out->width);
    buf_addf(&out->text, "%s\n  ", out_style(out, STYLE_PLAIN));
    out_foreign_cut(out, json_text_at(f, "binary", "?"), out->width > 40 ? out->width - 30 : 0);
    buf_addf(&out->text, "+0x%" PRIx64 ", %" PRId64 " bytes",
             (uint64_t)json_int_at(f, "rel_address", 0), json_int_at(f, "size_bytes", 0));
    if (json_object_get(f, "address")) {
        buf_addf(&out->text, " at 0x%" PRIx64 " in memory", code_address(f));
    }
    buf_addch(&out->text, '\n');
    buf_addstr(&out->text, "  ");
    render_count(&out->text, json_int_at(f, "n_self_samples", 0), "sample");
    buf_addf(&out->text, ", %.1f ms, %.1f %% of the run\n",
             (double)json_int_at(f, "self_on_cpu_ns", 0) / 1e6, json_real_at(f, "self_pct", 0));
    if (n_matches > 1) {
        buf_addf(&out->text, "%s  one of %" PRId64 " matches (--list)%s\n",
                 out_style(out, STYLE_DIM), n_matches, out_style(out, STYLE_PLAIN));
    }
    if (hottest) {
        buf_addf(&out->text, "  hottest: %" PRIx64 "  %.1f %%  ", code_address(hottest),
                 json_real_at(hottest, "pct", 0));
        code_draw_text(out, hottest, out->width > 50 ? out->width - 40 : 0);
        buf_addch(&out->text, '\n');
    }
    buf_addch(&out->text, '\n');
}
