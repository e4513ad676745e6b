/* late_names.c - see late_names.h. */
#include "ingest/late_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/lines.h"
#include "ingest/naming.h"

enum {
    ASK_FRAMES = 1024,
    TAKE_ROWS = 500,       /* between two looks at the clock */
    TAKE_ROWS_MOST = 2000, /* ... and in a commit */
    MAX_LINES = 100000,    /* that wait for a relayout; until then no more is taken */
    SMALL_SAMPLES = 50000, /* in a run of fewer, any stale frame is worth a relayout */
    STALE_SHARE = 100,     /* in a larger one, 1/100 of its samples or waits */
    RELAYOUT_FACTOR = 20,  /* a relayout may take 1/20 of the time */
    FEW_ROWS = 10000,      /* that a relayout writes anew: always made while a run goes on */
    MANY_ROWS = 300000,    /* ... or never */
};
static const int64_t TAKE_NS = 10000000;
static const int64_t RELAYOUT_MIN_NS = 500000000;  /* between two relayouts */
static const int64_t RELAYOUT_MOST_NS = 500000000; /* the queue holds events for longer */
static const int64_t SHARE_NS = 1000000000;        /* between two looks at what is stale */

void late_names_init(struct late_names *l, struct binaries *b, struct store *s, bool with_naming,
                     struct debuginfod_servers *servers)
{
    *l = (struct late_names){
        .naming = with_naming ? naming_new(servers) : NULL, .binaries = b, .store = s};
    b->naming = l->naming;
    line_tables_init(&l->tables, s->db, l->naming);
}

void late_names_fini(struct late_names *l)
{
    line_tables_fini(&l->tables);
    naming_free(l->naming);
    l->naming = NULL;
    if (l->current) {
        naming_free_result(l->current);
    }
    for (size_t i = 0; i < l->n_waiting; i++) {
        free(l->waiting[i].file);
    }
    free(l->waiting);
}

static struct binary *binary_of(const struct late_names *l, uint32_t binary)
{
    return &l->binaries->items[binary - 1];
}

/* ---- asking ---- */

/* Of at most ASK_FRAMES frames [first, end), those of one binary. False: the queue is full. */
static bool ask_of(struct late_names *l, uint32_t binary, size_t first, size_t end)
{
    const struct intern *in = l->binaries->intern;
    struct naming_address addresses[ASK_FRAMES];
    size_t n = 0;
    for (size_t i = first; i < end; i++) {
        if (in->frames[i].binary == binary) {
            addresses[n++] = (struct naming_address){(uint32_t)i + 1, in->frames[i].rel_address};
        }
    }
    return n == 0 || naming_ask(l->naming, binary, addresses, n);
}

/* All that were asked for, a piece at a time: a full queue goes on where it was full. */
static bool ask_again(struct late_names *l, uint32_t binary)
{
    struct binary *bin = binary_of(l, binary);
    while (bin->asked_again < l->n_asked) {
        size_t end = bin->asked_again + ASK_FRAMES;
        end = end < l->n_asked ? end : l->n_asked;
        if (!ask_of(l, binary, bin->asked_again, end)) {
            return false;
        }
        bin->asked_again = (uint32_t)end;
    }
    return true;
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
        if (bin->is_asking_again && ask_again(l, (uint32_t)i + 1)) {
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

/* Takes the strings of *line. */
static void wait_for_relayout(struct late_names *l, const struct line_row *line)
{
    mem_reserve(&l->waiting, &l->cap_waiting, l->n_waiting + 1, sizeof(*l->waiting));
    l->waiting[l->n_waiting++] = *line;
}

static struct line_row line_of(const struct naming_result *r, size_t i)
{
    const struct naming_row *row = &r->rows[i];
    struct line_row line = {.frame = row->frame, .depth = row->depth, .line = row->line};
    line.is_last = !row->function;
    if (row->file) {
        struct buf file = {0};
        const char *name = r->text.data + row->file;
        text_clean(&file, name, strlen(name));
        line.file = buf_take(&file);
    }
    return line;
}

/* The tree cannot follow any more: where the code is, without what is inlined there. */
static void take_place(struct late_names *l, const struct naming_result *r, size_t first,
                       bool is_deep)
{
    const uint32_t *inlined;
    uint32_t frame = r->rows[first].frame;
    l->is_left_out |= is_deep;
    if (intern_inlined(l->binaries->intern, frame, &inlined) == 0) {
        struct line_row line = line_of(r, first);
        line.is_last = true;
        store_add_line(l->store, &line);
    }
}

/* Rows [first, end) are all of one frame, innermost function first. */
static void take_frame(struct late_names *l, const struct naming_result *r, size_t first,
                       size_t end)
{
    struct intern *in = l->binaries->intern;
    uint32_t frame = r->rows[first].frame, inlined[LINES_MAX_DEPTH];
    size_t n = end - first - 1; /* the last is the frame's own function */
    if (in->is_frozen) {
        take_place(l, r, first, n > 0);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct naming_row *row = &r->rows[first + i];
        const struct inlined_function f = {
            .linkage_name = r->text.data + row->function,
            .is_static = row->is_static,
            .declared = row->declared ? r->text.data + row->declared : "",
            .address = row->address,
        };
        inlined[n - 1 - i] = binaries_inlined(l->binaries, r->binary, &f);
        intern_set_language(in, inlined[n - 1 - i], row->language);
    }
    intern_set_language(in, in->frames[frame - 1].symbol, r->rows[end - 1].language);
    intern_set_inlined(in, frame, inlined, n);
    for (size_t i = 0; i <= n; i++) {
        struct line_row line = line_of(r, first + i);
        line.symbol = i < n ? inlined[n - 1 - i] : 0;
        if (intern_is_stale(in, frame)) {
            wait_for_relayout(l, &line);
        } else {
            store_add_line(l->store, &line);
        }
    }
}

size_t late_names_take_rows(struct late_names *l, const struct naming_result *r, size_t first,
                            size_t max)
{
    size_t most = first + max;
    while (first < r->n_rows && first < most) {
        size_t end = first + 1;
        while (end < r->n_rows && r->rows[end].frame == r->rows[first].frame &&
               r->rows[end].depth > 0) {
            end++;
        }
        if (end - first <= LINES_MAX_DEPTH && r->rows[first].frame) {
            take_frame(l, r, first, end);
        }
        first = end;
    }
    return first;
}

/* What looks like a call into the middle of a function is none: only starts get names. */
static void name_targets(struct late_names *l, uint32_t binary, const struct naming_table *t)
{
    for (size_t i = 0; i < t->n_targets && binary_of(l, binary)->has_addresses; i++) {
        binaries_name_start(l->binaries, binary, t->targets[i]);
    }
}

static void take_names(struct late_names *l, struct naming_result *r)
{
    struct binary *bin = binary_of(l, r->binary);
    if (r->names) {
        binaries_rename(l->binaries, r->binary, r->names, r->source);
        r->names = NULL;
        l->has_renames = true;
        l->is_left_out |= l->binaries->intern->is_frozen;
    } else if (r->note) {
        binaries_set_note(bin, r->note);
        r->note = NULL;
    }
    if (r->lack && !bin->note) {
        binaries_set_note(bin, r->lack);
        bin->has_lack = true;
        r->lack = NULL;
    }
    if (r->server) {
        binaries_set_server_note(bin, r->server);
        r->server = NULL;
    }
    if (r->is_asking_again) { /* it was found */
        binaries_set_server_note(bin, NULL);
    }
    if (r->has_alternate && bin->has_lack && bin->note == bin->own_note) {
        binaries_set_note(bin, NULL);
    }
    if (r->has_alternate) {
        line_tables_ask_again(&l->tables, r->binary);
    }
    if (r->package && !bin->package && !l->binaries->without_files) {
        bin->package = r->package;
        bin->is_changed = true;
        r->package = NULL;
    }
    if (r->is_asking_again) {
        bin->is_asking_again = true;
        bin->asked_again = 0;
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
    l->has_renames = false;
}

/* A piece of the current result, names first. Returns how many rows it had. */
static size_t take_piece(struct late_names *l)
{
    const struct naming_result *r = l->current;
    size_t first = l->n_rows_taken;
    if (first < r->n_rows) {
        l->n_rows_taken = late_names_take_rows(l, r, first, TAKE_ROWS);
        return l->n_rows_taken - first;
    }
    first = l->n_tables_taken;
    size_t n = line_tables_take(&l->tables, r, &l->n_tables_taken, TAKE_ROWS);
    for (; first < l->n_tables_taken; first++) {
        name_targets(l, r->binary, &r->tables[first]);
        n += r->tables[first].n_targets;
    }
    return n;
}

static bool is_full(const struct late_names *l)
{
    return l->n_waiting >= MAX_LINES;
}

/* Takes results, or max rows of them and what fits into a little time; is_all: every one. Returns
 * whether there was any. */
static bool take_some(struct late_names *l, bool is_all)
{
    bool has_any = false;
    size_t n_rows = 0;
    int64_t until = clock_monotonic_ns() + TAKE_NS;
    while (is_all || (!is_full(l) && n_rows < TAKE_ROWS_MOST && clock_monotonic_ns() < until)) {
        if (!l->current) {
            l->current = naming_take(l->naming);
            l->n_rows_taken = l->n_tables_taken = 0;
            if (!l->current) {
                break;
            }
            take_names(l, l->current);
        }
        n_rows += take_piece(l);
        has_any = true;
        if (l->n_rows_taken == l->current->n_rows && l->n_tables_taken == l->current->n_tables) {
            naming_free_result(l->current);
            l->current = NULL;
        }
    }
    return has_any;
}

/* ---- the call tree ---- */

/* What waited for a relayout that cannot come. */
static void give_up_waiting(struct late_names *l)
{
    const uint32_t *inlined;
    l->is_left_out |= l->n_waiting > 0;
    for (size_t i = 0; i < l->n_waiting; i++) {
        struct line_row *line = &l->waiting[i];
        if (line->depth > 0 || intern_inlined(l->binaries->intern, line->frame, &inlined)) {
            free(line->file);
            continue;
        }
        line->is_last = true;
        store_add_line(l->store, line);
    }
    l->n_waiting = 0;
}

bool late_names_relayout(struct late_names *l)
{
    struct intern *in = l->binaries->intern;
    l->is_left_out |= in->has_lost;
    if (in->is_frozen) {
        give_up_waiting(l);
    }
    if (!intern_has_stale(in)) {
        return false;
    }
    int64_t began = clock_monotonic_ns();
    for (size_t i = 0; i < in->n_stale; i++) {
        const struct stale_frame *s = &in->stale[i];
        if (s->symbol != in->frames[s->frame - 1].symbol) {
            store_move_frame(l->store, s->frame);
        }
    }
    intern_relayout(in);
    for (size_t i = 0; i < l->n_waiting; i++) {
        store_add_line(l->store, &l->waiting[i]);
    }
    l->n_waiting = 0;
    l->has_renames = true;
    l->last_relayout_ns = clock_monotonic_ns();
    l->relayout_took_ns = l->last_relayout_ns - began;
    return true;
}

/* Whether its commit would take so long that events are lost, or its loss of snapshots would cost
 * rows. At the end of a run nothing can be lost. */
static bool is_relayout_for_end(const struct late_names *l)
{
    const struct intern *in = l->binaries->intern;
    size_t n_rows = in->fine.n_stacks + in->fine.n_waits + in->tree.n_rows;
    bool is_slow = l->relayout_took_ns > RELAYOUT_MOST_NS && n_rows > FEW_ROWS;
    return l->is_end_only || is_slow || n_rows > MANY_ROWS;
}

static bool is_relayout_due(struct late_names *l)
{
    const struct intern *in = l->binaries->intern;
    int64_t now = clock_monotonic_ns(), wait_ns = l->relayout_took_ns * RELAYOUT_FACTOR;
    wait_ns = wait_ns > RELAYOUT_MIN_NS ? wait_ns : RELAYOUT_MIN_NS;
    if (!intern_has_stale(in) || now - l->last_relayout_ns < wait_ns || is_relayout_for_end(l)) {
        return false;
    }
    if (in->n_samples < SMALL_SAMPLES || is_full(l)) {
        return true;
    }
    if (now - l->last_share_ns < SHARE_NS) {
        return false;
    }
    l->last_share_ns = now;
    struct intern_share s = intern_stale_share(in);
    return s.n_samples * STALE_SHARE >= s.n_samples_of ||
           (s.n_waits && s.n_waits * STALE_SHARE >= s.n_waits_of);
}

/* Files that have answered since they were mapped. */
static bool take_files(struct late_names *l)
{
    bool has_any = binaries_take_late(l->binaries);
    l->has_renames |= has_any;
    l->is_left_out |= has_any && l->binaries->intern->is_frozen;
    return has_any;
}

bool late_names_step(struct late_names *l)
{
    bool has_any = take_files(l);
    has_any |= l->naming && take_some(l, false);
    if (l->naming) {
        ask_frames(l);
        line_tables_step(&l->tables, (int64_t)l->binaries->intern->n_samples);
    }
    if (is_relayout_due(l) || l->binaries->intern->is_frozen) {
        has_any |= late_names_relayout(l);
    }
    if (l->has_renames) {
        count_unnamed(l);
    }
    return has_any || l->binaries->intern->n_renames > 0 || l->binaries->intern->n_languages > 0;
}

void late_names_retry(struct late_names *l)
{
    if (l->naming) {
        naming_retry(l->naming);
    }
}

/* Waits for what is under way and takes all of it. */
static void finish_naming(struct late_names *l, int timeout_ms, bool with_downloads)
{
    int64_t until = clock_monotonic_ns() + (int64_t)timeout_ms * 1000000;
    bool is_idle = false;
    do {
        int64_t left_ms = (until - clock_monotonic_ns()) / 1000000;
        ask_frames(l);
        is_idle = naming_wait(l->naming, left_ms > 0 ? (int)left_ms : 0, with_downloads);
        is_idle = !take_some(l, true) && is_idle && l->n_asked == l->binaries->intern->n_frames;
    } while (!is_idle && clock_monotonic_ns() < until);
    l->is_cut_off = !is_idle || !naming_wait(l->naming, 0, true);
}

void late_names_finish(struct late_names *l, int timeout_ms, bool with_downloads)
{
    take_files(l);
    if (l->naming) {
        finish_naming(l, timeout_ms, with_downloads);
    }
    take_files(l);
    l->is_cut_off |= l->binaries->aside && aside_n_late(l->binaries->aside) > 0;
    late_names_relayout(l);
    if (l->has_renames) {
        count_unnamed(l);
    }
}
