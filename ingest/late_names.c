/* late_names.c - see late_names.h. */
#include "ingest/late_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/text.h"
#include "ingest/naming.h"

enum { ASK_FRAMES = 1024 };

void late_names_init(struct late_names *l, struct binaries *b, struct store *s)
{
    *l = (struct late_names){.naming = naming_new(), .binaries = b, .store = s};
    b->naming = l->naming;
    line_tables_init(&l->tables, s->db, l->naming);
}

void late_names_fini(struct late_names *l)
{
    line_tables_fini(&l->tables);
    naming_free(l->naming);
    l->naming = NULL;
}

static struct binary *binary_of(const struct late_names *l, uint32_t binary)
{
    return &l->binaries->items[binary - 1];
}

/* ---- asking ---- */

static bool ask(struct late_names *l, uint32_t binary, const struct naming_address *addresses,
                size_t n)
{
    return n == 0 || naming_ask(l->naming, binary, addresses, n);
}

/* Frames of one binary in [first, end); false: the queue is full. */
static bool ask_of(struct late_names *l, uint32_t binary, size_t first, size_t end)
{
    const struct intern *in = l->binaries->intern;
    struct naming_address addresses[ASK_FRAMES];
    size_t n = 0;
    for (size_t i = first; i < end; i++) {
        if (in->frames[i].binary != binary) {
            continue;
        }
        addresses[n++] = (struct naming_address){(uint32_t)i + 1, in->frames[i].rel_address};
        if (n == ASK_FRAMES) {
            if (!ask(l, binary, addresses, n)) {
                return false;
            }
            n = 0;
        }
    }
    return ask(l, binary, addresses, n);
}

/* The binaries among frames [first, end) that are looked at, each once. */
static bool ask_new(struct late_names *l, size_t first, size_t end)
{
    const struct intern *in = l->binaries->intern;
    struct map done = {0};
    bool is_done = true;
    for (size_t i = first; i < end && is_done; i++) {
        uint32_t binary = in->frames[i].binary;
        if (!binary_of(l, binary)->is_asked || map_get(&done, binary)) {
            continue;
        }
        *map_put(&done, binary) = 1;
        is_done = ask_of(l, binary, first, end);
    }
    map_free(&done);
    return is_done;
}

static void ask_frames(struct late_names *l)
{
    size_t n_frames = l->binaries->intern->n_frames;
    for (size_t i = 0; i < l->binaries->n_items; i++) {
        struct binary *bin = &l->binaries->items[i];
        if (bin->is_asking_again && ask_of(l, (uint32_t)i + 1, 0, l->n_asked)) {
            bin->is_asking_again = false;
        }
    }
    while (l->n_asked < n_frames) {
        size_t end = l->n_asked + ASK_FRAMES < n_frames ? l->n_asked + ASK_FRAMES : n_frames;
        if (!ask_new(l, l->n_asked, end)) {
            return; /* what was asked of this piece is asked again, and answered the same */
        }
        l->n_asked = end;
    }
}

/* ---- taking ---- */

static void take_rows(struct late_names *l, const struct naming_result *r)
{
    const struct intern *in = l->binaries->intern;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct naming_row *row = &r->rows[i];
        struct line_row line = {.frame = row->frame, .depth = row->depth, .line = row->line};
        line.symbol = row->function
                          ? binaries_inlined(l->binaries, r->binary, r->text.data + row->function)
                          : in->frames[row->frame - 1].symbol;
        line.is_last = !row->function;
        if (row->file) {
            struct buf file = {0};
            const char *name = r->text.data + row->file;
            text_clean(&file, name, strlen(name));
            line.file = buf_take(&file);
        }
        l->has_new_tree |= row->function != 0;
        store_add_line(l->store, &line);
    }
}

/* What looks like a call into the middle of a function is none: only starts get names. */
static void name_targets(struct late_names *l, uint32_t binary, const struct naming_table *t)
{
    for (size_t i = 0; i < t->n_targets && binary_of(l, binary)->has_addresses; i++) {
        binaries_name_start(l->binaries, binary, t->targets[i]);
    }
}

static void take(struct late_names *l, struct naming_result *r)
{
    struct binary *bin = binary_of(l, r->binary);
    if (r->names) {
        binaries_rename(l->binaries, r->binary, r->names, r->source);
        r->names = NULL;
    } else if (r->note) {
        bin->note = r->note;
        bin->is_changed = true;
    }
    bin->is_asking_again |= r->is_asking_again;
    take_rows(l, r);
    line_tables_take(&l->tables, r);
    for (size_t i = 0; i < r->n_tables; i++) {
        name_targets(l, r->binary, &r->tables[i]);
    }
}

/* Samples whose pc has no name, after some got one. */
static void count_unnamed(struct late_names *l)
{
    const struct intern *in = l->binaries->intern;
    uint64_t n = 0;
    for (size_t i = 0; i < in->frame_sums.n_rows; i++) {
        const struct lazy_row *row = &in->frame_sums.rows[i];
        uint32_t symbol = in->frames[row->a - 1].symbol;
        n += in->symbol_kinds[symbol - 1] == SYMBOL_UNNAMED ? row->sums.n_self : 0;
    }
    l->store->counts.n_unnamed = n;
}

static bool take_all(struct late_names *l)
{
    bool has_any = false, has_names = false;
    struct naming_result *r;
    while ((r = naming_take(l->naming)) != NULL) {
        has_any = true;
        has_names |= r->names != NULL;
        take(l, r);
        naming_free_result(r);
    }
    if (has_names) {
        count_unnamed(l);
    }
    return has_any;
}

bool late_names_step(struct late_names *l)
{
    if (!l->naming) {
        return false;
    }
    bool has_any = take_all(l);
    ask_frames(l);
    line_tables_step(&l->tables, (int64_t)l->binaries->intern->n_samples);
    return has_any;
}

void late_names_retry(struct late_names *l)
{
    if (l->naming) {
        naming_retry(l->naming);
    }
}

/* Frames that better symbol tables put into another function. */
static void move_frames(struct late_names *l)
{
    struct intern *in = l->binaries->intern;
    for (size_t i = 0; i < in->n_frames; i++) {
        struct frame *f = &in->frames[i];
        if (!binary_of(l, f->binary)->is_renamed) {
            continue;
        }
        uint32_t symbol = binaries_symbol(l->binaries, f);
        if (symbol != f->symbol) {
            f->symbol = symbol;
            store_move_frame(l->store, (uint32_t)i + 1);
            l->has_new_tree = true;
        }
    }
}

void late_names_finish(struct late_names *l, int timeout_ms, bool with_downloads)
{
    if (!l->naming) {
        return;
    }
    int64_t until = clock_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    bool is_idle = false;
    do {
        int64_t left_ms = (until - clock_monotonic_ns()) / 1000000;
        ask_frames(l);
        is_idle = naming_wait(l->naming, left_ms > 0 ? (int)left_ms : 0, with_downloads);
        is_idle = !take_all(l) && is_idle && l->n_asked == l->binaries->intern->n_frames;
    } while (!is_idle && clock_monotonic_ns() < until);
    move_frames(l);
}
