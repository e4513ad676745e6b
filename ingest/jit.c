/*
 * jit.c - see jit.h.
 *
 * Reading order: a space is what is known of one process; frames of known code; frames of [anon];
 * what files tell (jit_take_batch()); and where known code takes over frames of [anon] (resolve()).
 */
#include "ingest/jit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "ingest/binaries_internal.h"
#include "ingest/jit_follow.h"
#include "ingest/jit_internal.h"
#include "ingest/jit_names.h"

enum {
    FORKS_MAX = 8,         /* processes whose code is looked through */
    WAITING_MAX = 1 << 20, /* frames of [anon] of a process; further ones are told apart no more */
    RESOLVE_MAX = 1 << 14, /* of them in a page are looked at for a batch */
    UPPER_SHIFT = 48,
    UPPER_MAX = 0x7fff,
    TEXT_MAX = 128 << 20 /* bytes of names and lines */
};
/* Frames of [anon] stand for a period each, so that code which turns out to have been replaced
 * meanwhile can be told apart: short where that costs little (callers multiply callsites), and
 * longer once no file has had news for a while. */
static const int64_t STEP_NS = 10000000; /* for what was read, before a commit */
static const int64_t UNIT_NS = 100000000, QUIET_NS = INT64_C(60000000000);
enum { LEAF_UNITS = 1, CALLER_UNITS = 10, QUIET_FACTOR = 10 };

void jit_init(struct jit *j, struct binaries *b, struct store *s, int64_t start_ts, bool with_files)
{
    *j = (struct jit){.binaries = b, .store = s, .start_ts = start_ts};
    j->follow = with_files ? jit_follow_new() : NULL;
    b->jit = j;
}

static void space_free(struct jit_space *s)
{
    jit_table_fini(&s->table);
    buf_free(&s->names);
    free(s->lines);
    free(s->waiting);
    map_free(&s->waiting_at);
    map_free(&s->waiting_pages);
    free(s);
}

static void drop_pending(struct jit *j)
{
    if (j->pending) {
        jit_batch_fini(j->pending);
        free(j->pending);
        j->pending = NULL;
    }
    j->n_taken = j->n_resolved = j->n_pages = 0;
    map_clear(&j->resolved_pages);
}

void jit_fini(struct jit *j)
{
    jit_follow_free(j->follow);
    drop_pending(j);
    for (size_t i = 0; i < j->n_spaces; i++) {
        space_free(j->spaces[i]);
    }
    for (size_t i = 0; i < j->n_files; i++) {
        free(j->file_names[i]);
    }
    for (size_t i = 0; i < j->n_notes; i++) {
        free(j->notes[i]);
    }
    free(j->notes);
    free(j->spaces);
    free(j->sources);
    free(j->moves);
    free(j->tables);
    free(j->file_names);
    strmap_free(&j->functions);
    strmap_free(&j->files);
    map_free(&j->resolved_pages);
    *j = (struct jit){0};
}

static void set_note(struct binary *bin, const char *note)
{
    bin->is_changed |= bin->note != note;
    bin->note = note;
}

/* ---- spaces ---- */

/* The process's own, made when it has none. */
static struct jit_space *space_of(struct jit *j, struct process *p)
{
    struct jit_space *s = p->jit.space;
    if (s && s->upid == p->upid) {
        return s;
    }
    struct jit_space *own = mem_new(1, sizeof(*own));
    own->upid = p->upid;
    own->number = (uint32_t)j->n_spaces + 1;
    own->parent = s;
    own->fork_ts = p->jit.fork_ts;
    own->has_source = s && s->has_source;
    own->anon = binaries_of_process(j->binaries, p->upid, "[anon]");
    own->noted = s ? s->noted : 0;
    if (own->noted) {
        set_note(binaries_item(j->binaries, own->anon), binaries_item(j->binaries, s->anon)->note);
    }
    mem_reserve(&j->spaces, &j->cap_spaces, j->n_spaces + 1, sizeof(struct jit_space *));
    j->spaces[j->n_spaces++] = own;
    p->jit.space = own;
    p->jit.to_ts = p->jit.from_ts;
    return own;
}

/* What lay at an address, in the process or when it was forked. *owner: whose table has it. */
static struct jit_load *find(struct jit_space *s, uint64_t address, int64_t ts,
                             struct jit_space **owner)
{
    for (int i = 0; s && i < FORKS_MAX; i++) {
        struct jit_load *l = jit_table_find(&s->table, address, ts);
        if (l) {
            *owner = s;
            return l;
        }
        ts = ts < s->fork_ts ? ts : s->fork_ts;
        s = s->parent;
    }
    return NULL;
}

/* The period that a frame of [anon] stands for, by its first unit; -1: all, where no file tells of
 * code. */
static int64_t period_of(const struct jit *j, const struct jit_space *s, int64_t ts, bool is_caller)
{
    int64_t unit = (ts > j->start_ts ? ts - j->start_ts : 0) / UNIT_NS;
    int64_t n = is_caller ? CALLER_UNITS : LEAF_UNITS;
    n *= ts - s->news_ts > QUIET_NS ? QUIET_FACTOR : 1;
    return s->has_source && s->n_waiting < WAITING_MAX ? unit - unit % n : -1;
}

/* Distinct but for periods that are hours apart, which struct waiting tells. */
static uint64_t key_of(uint64_t address, int64_t period, bool is_caller)
{
    return (address << 1 | is_caller) ^ (uint64_t)period << UPPER_SHIFT;
}

static uint32_t version_of(const struct jit_space *s)
{
    uint32_t version = 0;
    for (int i = 0; s && i < FORKS_MAX; i++, s = s->parent) {
        version += s->table.version + 1;
    }
    return version;
}

static void set_segment(const struct jit *j, struct process_jit *pj)
{
    const struct jit_space *s = pj->space;
    const int64_t period = CALLER_UNITS * UNIT_NS;
    int64_t ts = pj->ts, n = ts > j->start_ts ? (ts - j->start_ts) / period : 0;
    pj->version = version_of(s);
    pj->from_ts = ts > j->start_ts ? j->start_ts + n * period : INT64_MIN;
    pj->to_ts = j->start_ts + (n + 1) * period;
    for (int i = 0; s && i < FORKS_MAX; i++, s = s->parent) {
        jit_table_segment(&s->table, ts, &pj->from_ts, &pj->to_ts);
        ts = ts < s->fork_ts ? ts : s->fork_ts;
    }
}

void jit_enter(struct jit *j, struct process *p, int64_t ts)
{
    struct process_jit *pj = &p->jit;
    pj->ts = ts;
    j->last_ts = ts > j->last_ts ? ts : j->last_ts;
    if (!pj->space ||
        (ts >= pj->from_ts && ts < pj->to_ts && pj->version == version_of(pj->space))) {
        return;
    }
    set_segment(j, pj);
    p->version++;
}

/* ---- frames of known code ---- */

/* A function is compiled again and again: summaries have all versions as the first one. */
static uint32_t intern_version(struct jit *j, struct symbol_text *text, const char *function)
{
    struct buf key = {0};
    buf_addf(&key, "%u ", text->binary);
    buf_addstr(&key, function);
    uint32_t *whole = strmap_put(&j->functions, key.data, key.len);
    buf_free(&key);
    text->whole = *whole;
    text->language = "javascript";
    uint32_t symbol = intern_symbol(j->binaries->intern, text);
    *whole = *whole ? *whole : symbol;
    return symbol;
}

static uint32_t make_symbol(struct jit *j, struct jit_space *s, const struct jit_load *l,
                            struct buf *file, uint32_t *line)
{
    const char *raw = s->names.data + l->name;
    bool is_map = j->sources[l->source - 1].is_map;
    struct buf name = {0}, linkage = {0};
    jit_names_read(raw, &name, file, line);
    text_clean(&linkage, raw, strlen(raw));
    struct symbol_text text = {
        .kind = SYMBOL_FUNCTION,
        .binary = j->sources[l->source - 1].binary,
        .rel_address = l->rel_address,
        .size = l->size,
        .address = l->start,
        .source = names_source_text(is_map ? NAMES_PERF_MAP : NAMES_JITDUMP),
    };
    if (strcmp(buf_str(&name), buf_str(&linkage)) != 0) {
        text.linkage_name = buf_take(&linkage);
    }
    text.name = buf_take(&name);
    buf_free(&linkage);
    const char *function = jit_names_function(raw);
    return function ? intern_version(j, &text, function)
                    : intern_symbol(j->binaries->intern, &text);
}

static uint32_t symbol_known(const struct jit_space *s, const struct jit_load *l)
{
    return s->table.loads[l->origin - 1].symbol;
}

static uint32_t symbol_of(struct jit *j, struct jit_space *s, struct jit_load *l)
{
    struct jit_load *origin = &s->table.loads[l->origin - 1];
    if (!origin->symbol) {
        struct buf file = {0};
        uint32_t line;
        origin->symbol = make_symbol(j, s, origin, &file, &line);
        jit_lines_begin(j, s, origin);
        buf_free(&file);
    }
    return origin->symbol;
}

static uint32_t frame_of_load(struct jit *j, struct jit_space *s, struct jit_load *l,
                              uint64_t address)
{
    uint32_t binary = j->sources[l->source - 1].binary;
    uint64_t delta = address - l->start, rel = l->rel_address + delta;
    uint32_t id = map_get(&binaries_item(j->binaries, binary)->frames, rel);
    uint32_t symbol = symbol_of(j, s, l);
    /* another's: a map of very much code may not know how often an address was used */
    if (!id || j->binaries->intern->frames[id - 1].symbol != symbol) {
        id = intern_frame(j->binaries->intern, binary, rel, symbol);
        *map_put(&binaries_item(j->binaries, binary)->frames, rel) = id;
        jit_lines_add(j, s, l, id, delta);
    }
    return id;
}

/* ---- frames of [anon] ---- */

static uint32_t wait_for_load(struct jit *j, struct jit_space *s, uint64_t address, int64_t ts,
                              bool is_caller)
{
    enum { PAGE_SHIFT = 12 };
    int64_t period = period_of(j, s, ts, is_caller);
    uint32_t *at = map_put(&s->waiting_at, key_of(address, period, is_caller));
    struct waiting *w = *at ? &s->waiting[*at - 1] : NULL;
    if (w && w->frame && w->address == address && w->period == period) {
        w->first_ts = ts < w->first_ts ? ts : w->first_ts;
        w->last_ts = ts > w->last_ts ? ts : w->last_ts;
        return w->frame;
    }
    uint32_t symbol = binaries_symbol_at(j->binaries, s->anon, NULL, address, 0);
    uint32_t *first = map_put(&s->waiting_pages, address >> PAGE_SHIFT);
    mem_reserve(&s->waiting, &s->cap_waiting, s->n_waiting + 1, sizeof(*s->waiting));
    w = &s->waiting[s->n_waiting++];
    *w = (struct waiting){.address = address,
                          .period = period,
                          .first_ts = ts,
                          .last_ts = ts,
                          .frame = intern_frame(j->binaries->intern, s->anon, address, symbol),
                          .next = *first,
                          .is_caller = is_caller};
    *first = *at = (uint32_t)s->n_waiting;
    return w->frame;
}

static const char too_much[] = "it tells of more code than is kept: some names are missing";
static const char too_many[] =
    "too many files that tell of code were followed: code made here has no names";

/* Behind what was said of it before. */
static void add_note(struct jit *j, struct binary *bin, const char *note)
{
    struct buf all = {0};
    buf_addf(&all, "%s%s%s", bin->note ? bin->note : "", bin->note ? "; " : "", note);
    mem_reserve(&j->notes, &j->cap_notes, j->n_notes + 1, sizeof(char *));
    j->notes[j->n_notes++] = buf_take(&all);
    set_note(bin, j->notes[j->n_notes - 1]);
}

static bool is_under(const struct jit_space *s, const struct jit_space *ancestor)
{
    for (int i = 0; s && i < FORKS_MAX; i++, s = s->parent) {
        if (s == ancestor) {
            return true;
        }
    }
    return false;
}

/* What is wrong with a file stands at the file, and at the code without a name of the process and
 * its forks: of the first such file. */
static void say(struct jit *j, uint32_t id, const struct jit_batch *batch)
{
    const struct jit_source *source = &j->sources[id - 1];
    struct binary *bin = binaries_item(j->binaries, source->binary);
    struct buf note = {0}, own = {0};
    buf_addstr(&note, batch->note);
    if (batch->note_at >= 0) {
        buf_addf(&note, " (at byte %lld)", (long long)batch->note_at);
    }
    buf_addf(&own, "its %s %s: %s", source->is_map ? "perf map" : "jitdump", bin->name,
             buf_str(&note));
    add_note(j, bin, buf_str(&note));
    for (size_t i = 0; i < j->n_spaces; i++) {
        struct jit_space *s = j->spaces[i];
        if (is_under(s, source->space) && (!s->noted || s->noted == id)) {
            add_note(j, binaries_item(j->binaries, s->anon), s->noted ? buf_str(&note) : own.data);
            s->noted = id;
        }
    }
    buf_free(&note);
    buf_free(&own);
}

/* Also a fork that mapped nothing of its own may write one. */
static void look_for_map(struct jit *j, struct jit_space *s, struct process *p)
{
    if (j->follow && !s->has_map) {
        if (!jit_follow_map(j->follow, jit_add_source(j, p, 0, true), p->pid)) {
            set_note(binaries_item(j->binaries, s->anon), too_many);
        }
    }
}

uint32_t jit_frame(struct jit *j, struct process *p, uint64_t address, bool is_caller,
                   bool is_mapped)
{
    struct jit_space *s = is_mapped ? space_of(j, p) : p->jit.space, *owner;
    struct jit_load *l = find(s, address, p->jit.ts, &owner);
    if (l) {
        return frame_of_load(j, owner, l, address);
    }
    if (is_mapped) {
        look_for_map(j, s, p);
    }
    return is_mapped ? wait_for_load(j, s, address, p->jit.ts, is_caller) : 0;
}

static void note_guess(struct jit *j, uint32_t source)
{
    struct jit_source *from = &j->sources[source - 1];
    if (!from->is_guess_said) {
        from->is_guess_said = true;
        add_note(j, binaries_item(j->binaries, from->binary),
                 "it told of code late, and some had been replaced by then: a few samples may "
                 "count for the code before");
    }
}

/* The one place where a frame becomes another's. */
static void move_frame(struct jit *j, struct jit_space *owner, struct jit_load *l,
                       struct waiting *w)
{
    if (intern_move_frame(j->binaries->intern, w->frame, symbol_of(j, owner, l))) {
        mem_reserve(&j->moves, &j->cap_moves, j->n_moves + 1, sizeof(*j->moves));
        j->moves[j->n_moves++] = (struct jit_move){.owner = owner,
                                                   .frame = w->frame,
                                                   .load = (uint32_t)(l - owner->table.loads) + 1,
                                                   .delta = w->address - l->start};
        j->n_moved++;
    } else {
        j->is_left_out = true;
    }
    w->frame = 0;
}

static void place(struct jit *j, const struct jit_move *m)
{
    struct jit_load *l = &m->owner->table.loads[m->load - 1];
    struct frame *f = &j->binaries->intern->frames[m->frame - 1];
    f->binary = j->sources[l->source - 1].binary;
    f->rel_address = l->rel_address + m->delta;
    uint32_t *id = map_put(&binaries_item(j->binaries, f->binary)->frames, f->rel_address);
    *id = *id ? *id : m->frame;
    store_move_frame(j->store, m->frame);
    jit_lines_add(j, m->owner, l, m->frame, m->delta);
}

bool jit_settle(struct jit *j)
{
    const struct intern *in = j->binaries->intern;
    size_t n_left = 0, n = j->n_moves;
    for (size_t i = 0; i < n; i++) {
        const struct jit_move m = j->moves[i];
        const struct jit_load *l = &m.owner->table.loads[m.load - 1];
        if (intern_is_stale(in, m.frame)) {
            j->moves[n_left++] = m;
        } else if (in->frames[m.frame - 1].symbol == symbol_known(m.owner, l)) {
            place(j, &m);
        } else { /* the tree could not follow any more */
            j->is_left_out = true;
        }
    }
    j->n_moves = n_left;
    return n_left < n;
}

/* Other code lay there before the last sample that the frame stands for. */
static void count_guess(struct jit *j, const struct jit_load *l, const struct waiting *w)
{
    int64_t last_ts = w->last_ts;
    if (w->is_caller) { /* stacks that are remembered do not ask */
        last_ts = j->start_ts + (w->period + CALLER_UNITS * QUIET_FACTOR) * UNIT_NS;
        last_ts = w->period < 0 || last_ts > j->last_ts ? j->last_ts : last_ts;
    }
    if (l->to_ts <= last_ts) {
        j->n_guessed++;
        note_guess(j, l->source);
    }
}

/* Gives a frame of [anon] to what lay there when it was first seen. */
static void resolve_one(struct jit *j, struct jit_space *s, struct waiting *w)
{
    struct jit_space *owner;
    j->n_looks++;
    struct jit_load *l = w->frame ? find(s, w->address, w->first_ts, &owner) : NULL;
    if (l) {
        count_guess(j, l, w);
        move_frame(j, owner, l, w);
    }
}

/* What waits in a page, and waits no more once it is resolved; the newest first, as what lies
 * further back may be very much: jit_finish() looks at all. */
static void resolve_page(struct jit *j, struct jit_space *s, uint64_t page)
{
    if (!map_get(&s->waiting_pages, page)) {
        return;
    }
    uint32_t *at = map_put(&s->waiting_pages, page);
    for (int n = 0; *at && n < RESOLVE_MAX; n++) {
        struct waiting *w = &s->waiting[*at - 1];
        resolve_one(j, s, w);
        if (w->frame) {
            at = &w->next;
        } else {
            *at = w->next;
        }
    }
}

/* Each page once a batch, however many of its items lie there. False: the time is over. */
static bool resolve(struct jit *j, struct jit_space *s, const struct jit_item *item, int64_t until)
{
    enum { PAGE_SHIFT = 12 };
    uint64_t first = item->address >> PAGE_SHIFT,
             last = (item->address + item->size - 1) >> PAGE_SHIFT;
    while (first + j->n_pages <= last) {
        uint64_t page = first + j->n_pages++;
        uint32_t *is_done = map_put(&j->resolved_pages, page);
        if (*is_done) {
            continue;
        }
        *is_done = 1;
        resolve_page(j, s, page);
        if (page < last && clock_monotonic_ns() >= until) {
            return false;
        }
    }
    j->n_pages = 0;
    j->n_resolved++;
    return true;
}

/* At the end: also what the parent's files told, and code that came to lie there a little later. */
static void resolve_rest(struct jit *j, struct jit_space *s)
{
    for (size_t i = 0; i < s->n_waiting; i++) {
        struct waiting *w = &s->waiting[i];
        resolve_one(j, s, w);
        struct jit_load *l =
            w->frame ? jit_table_find_any(&s->table, w->address, w->first_ts, w->last_ts) : NULL;
        if (l) {
            j->n_guessed++;
            note_guess(j, l->source);
            move_frame(j, s, l, w);
        }
    }
}

/* ---- what files tell ---- */

uint32_t jit_add_source(struct jit *j, struct process *p, uint32_t binary, bool is_map)
{
    struct jit_space *s = space_of(j, p);
    mem_reserve(&j->sources, &j->cap_sources, j->n_sources + 1, sizeof(*j->sources));
    j->sources[j->n_sources++] =
        (struct jit_source){.space = s, .binary = binary, .is_map = is_map};
    s->has_map |= is_map;
    return (uint32_t)j->n_sources;
}

static bool has_dump(const struct jit *j, const struct jit_space *s, uint32_t binary)
{
    for (size_t i = 0; i < j->n_sources; i++) {
        if (j->sources[i].space == s && j->sources[i].binary == binary) {
            return true;
        }
    }
    return false;
}

void jit_take_mapping(struct jit *j, struct process *p, const struct event_mapping *m,
                      uint32_t binary)
{
    struct binary *bin = binaries_item(j->binaries, binary);
    if (!j->follow || (!bin->is_memory && !bin->is_dump)) {
        return;
    }
    struct jit_space *s = space_of(j, p);
    bin = binaries_item(j->binaries, binary); /* a new space is a new binary: they may have moved */
    if (bin->is_dump && bin->fd >= 0 && !has_dump(j, s, binary)) {
        int fd = fcntl(bin->fd, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0) {
            s->has_source = true;
            s->news_ts = m->head.ts;
            if (!jit_follow_dump(j->follow, jit_add_source(j, p, binary, false), fd, p->pid)) {
                set_note(binaries_item(j->binaries, binary), too_many);
            }
        }
    } else if (bin->is_memory) {
        look_for_map(j, s, p);
    }
}

/* A map tells the same code again, when it is written anew. */
static bool is_known(const struct jit_space *s, const struct jit_item *item, const char *name)
{
    const struct jit_load *l = jit_table_find(&s->table, item->address, INT64_MAX - 1);
    return l && l->start == item->address && l->size == item->size &&
           strcmp(s->names.data + l->name, name) == 0;
}

/* False: there is no room for it. */
static bool take_load(struct jit *j, uint32_t source, const struct jit_batch *batch,
                      const struct jit_item *item)
{
    const struct jit_source *from = &j->sources[source - 1];
    struct jit_space *s = from->space;
    const char *name = jit_batch_str(batch, item->name);
    struct jit_load l = {.start = item->address,
                         .size = item->size,
                         .from_ts = item->ts,
                         .rel_address = item->offset,
                         .source = source,
                         .name = s->names.len};
    if (from->is_map) {
        int generation = jit_table_generation(&s->table, item->address, item->size) + 1;
        if (is_known(s, item, name)) {
            return true;
        }
        l.rel_address = item->address | (uint64_t)generation << UPPER_SHIFT;
    }
    size_t len = strlen(name) + 1;
    if (j->n_text_bytes + len > TEXT_MAX || l.rel_address + l.size > INT64_MAX ||
        (from->is_map && item->address >> UPPER_SHIFT)) {
        jit_table_end(&s->table, l.start, l.size, l.from_ts);
        return false;
    }
    jit_lines_take(j, s, batch, item, &l);
    if (!jit_table_load(&s->table, &l)) {
        return false;
    }
    buf_add(&s->names, name, len);
    j->n_text_bytes += len;
    return true;
}

static void note_opened(struct jit *j, struct jit_source *source, const char *path)
{
    struct buf clean = {0};
    text_clean(&clean, path, strlen(path));
    source->binary = binaries_of_process(
        j->binaries, map_pair(source->space->number, source->space->upid), buf_str(&clean));
    source->space->has_source = true;
    source->space->news_ts = j->last_ts;
    source->space->table.version++; /* periods begin to count */
    buf_free(&clean);
}

/* The news that are for a file as a whole. False: there is no file. */
static bool begin_batch(struct jit *j, const struct jit_batch *batch)
{
    struct jit_source *source = &j->sources[batch->source - 1];
    if (batch->path && j->n_taken == 0) {
        note_opened(j, source, batch->path);
    }
    if (!source->binary) {
        return false;
    }
    struct binary *bin = binaries_item(j->binaries, source->binary);
    if (batch->note) {
        say(j, batch->source, batch);
    }
    if (batch->n_items) {
        source->space->news_ts = j->last_ts;
        bin->names_from = names_source_text(source->is_map ? NAMES_PERF_MAP : NAMES_JITDUMP);
        bin->is_changed = true;
    }
    return true;
}

static void take_item(struct jit *j, const struct jit_batch *batch, const struct jit_item *item)
{
    const struct jit_source *source = &j->sources[batch->source - 1];
    if (item->what == JIT_MOVE) {
        jit_table_move(&source->space->table, item->from, item->address, item->size, item->ts);
    } else if (!take_load(j, batch->source, batch, item)) {
        struct binary *bin = binaries_item(j->binaries, source->binary);
        if (!bin->note || !strstr(bin->note, too_much)) {
            add_note(j, bin, too_much);
        }
    }
}

bool jit_take_some(struct jit *j, const struct jit_batch *batch, int64_t until)
{
    bool is_done = !begin_batch(j, batch);
    while (!is_done) {
        if (j->n_taken < batch->n_items) {
            take_item(j, batch, &batch->items[j->n_taken++]);
        } else if (j->n_resolved < batch->n_items) {
            /* once all of them are there: the next may end the one before */
            const struct jit_item *item = &batch->items[j->n_resolved];
            if (!resolve(j, j->sources[batch->source - 1].space, item, until)) {
                return false;
            }
        }
        is_done = j->n_resolved >= batch->n_items;
        if (!is_done && clock_monotonic_ns() >= until) {
            return false;
        }
    }
    j->n_taken = j->n_resolved = 0;
    map_clear(&j->resolved_pages);
    return true;
}

void jit_take_batch(struct jit *j, const struct jit_batch *batch)
{
    jit_take_some(j, batch, INT64_MAX);
}

/* Takes batches up to a time. True: there were any. */
static bool take_batches(struct jit *j, int64_t until)
{
    bool has_any = false;
    do {
        j->pending = j->pending ? j->pending : jit_follow_take(j->follow);
        if (!j->pending) {
            break;
        }
        has_any = true;
        if (jit_take_some(j, j->pending, until)) {
            drop_pending(j);
        }
    } while (clock_monotonic_ns() < until);
    return has_any;
}

bool jit_step(struct jit *j)
{
    return j->follow && take_batches(j, clock_monotonic_ns() + STEP_NS);
}

void jit_finish(struct jit *j, int timeout_ms)
{
    int64_t now = clock_monotonic_ns(), until = now + (int64_t)timeout_ms * 1000000;
    bool is_done = !j->follow;
    while (!is_done && now < until) { /* each makes room for the next */
        is_done = jit_follow_finish(j->follow, (int)((until - now + 999999) / 1000000));
        is_done = !take_batches(j, until) && is_done;
        now = clock_monotonic_ns();
    }
    j->is_cut_off = !is_done;
    for (size_t i = 0; i < j->n_spaces; i++) {
        resolve_rest(j, j->spaces[i]);
    }
}

size_t jit_bytes(const struct jit *j)
{
    size_t n = j->n_text_bytes + j->cap_tables * sizeof(*j->tables);
    for (size_t i = 0; i < j->n_spaces; i++) {
        const struct jit_space *s = j->spaces[i];
        n += sizeof(*s) + jit_table_bytes(&s->table) + s->cap_waiting * sizeof(*s->waiting) +
             map_bytes(&s->waiting_at) + map_bytes(&s->waiting_pages);
    }
    return n;
}
