/* names.c - see names.h: lookup, and the table behind it. */
#include "ingest/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/names_internal.h"

enum {
    MAX_NAME_BYTES = 64 << 10,
    COMPARED_BYTES = 256, /* of a name, when several compete: bounds what a hostile table costs */
    PAGE_BYTES = 4096
};

static const char *const source_texts[] = {
#define X(name, text) text,
    NAMES_SOURCES(X)
#undef X
};

const char *names_source_text(enum names_source s)
{
    return source_texts[s];
}

enum names_source names_source_of(const char *text)
{
    for (unsigned s = NAMES_NONE; s <= NAMES_KALLSYMS; s++) {
        if (strcmp(source_texts[s], text) == 0) {
            return s;
        }
    }
    return NAMES_NONE;
}

void names_add(struct names_builder *b, const struct names_entry *entry)
{
    if (b->n_entries >= NAMES_MAX_ENTRIES) {
        return;
    }
    mem_reserve(&b->entries, &b->cap_entries, b->n_entries + 1, sizeof(*b->entries));
    b->entries[b->n_entries++] = *entry;
}

void names_builder_fini(struct names_builder *b)
{
    for (size_t i = 0; i < b->n_made; i++) {
        free(b->made[i]);
    }
    free(b->made);
    free(b->entries);
    memset(b, 0, sizeof(*b));
}

struct sort_key {
    uint64_t start;
    uint32_t entry;
};

static bool is_sorted(const struct sort_key *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (keys[i].start < keys[i - 1].start) {
            return false;
        }
    }
    return true;
}

/* Stable radix sort, a byte a pass; bytes that all keys share cost one count. Three times as fast
 * as qsort() for half a million symbols. Returns the array (free()). */
static struct sort_key *sort_by_start(const struct names_builder *b)
{
    size_t n = b->n_entries;
    struct sort_key *keys = mem_new(n + 1, sizeof(*keys));
    for (size_t i = 0; i < n; i++) {
        keys[i] = (struct sort_key){b->entries[i].start, (uint32_t)i};
    }
    if (is_sorted(keys, n)) {
        return keys;
    }
    struct sort_key *other = mem_new(n + 1, sizeof(*other));
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t counts[257] = {0};
        for (size_t i = 0; i < n; i++) {
            counts[(keys[i].start >> shift & 0xff) + 1]++;
        }
        if (counts[(keys[0].start >> shift & 0xff) + 1] == n) {
            continue;
        }
        for (size_t i = 1; i < 257; i++) {
            counts[i] += counts[i - 1];
        }
        for (size_t i = 0; i < n; i++) {
            other[counts[keys[i].start >> shift & 0xff]++] = keys[i];
        }
        struct sort_key *t = keys;
        keys = other;
        other = t;
    }
    free(other);
    return keys;
}

int names_compare(const struct names_entry *a, const struct names_entry *b)
{
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    if (a->source != b->source) { /* what .dynsym has, .symtab has too */
        return a->source > b->source ? -1 : 1;
    }
    if (!a->name || !b->name) {
        return (a->name ? 0 : 1) - (b->name ? 0 : 1);
    }
    /* Versioned aliases (name@VERSION) only when nothing else is there. */
    size_t a_len = strnlen(a->name, COMPARED_BYTES);
    size_t b_len = strnlen(b->name, COMPARED_BYTES);
    int a_at = memchr(a->name, '@', a_len) != NULL;
    int b_at = memchr(b->name, '@', b_len) != NULL;
    if (a_at != b_at) {
        return a_at - b_at;
    }
    size_t a_prefix = strspn(a->name, "_");
    size_t b_prefix = strspn(b->name, "_");
    if (a_prefix != b_prefix) {
        return a_prefix < b_prefix ? -1 : 1;
    }
    if (a_len != b_len) {
        return a_len < b_len ? -1 : 1;
    }
    return strncmp(a->name, b->name, COMPARED_BYTES);
}

/* One entry for all that share a start: the best name, the best known size. */
static struct names_entry merge_group(const struct names_builder *b, const struct sort_key *keys,
                                      size_t n)
{
    struct names_entry best = b->entries[keys[0].entry];
    uint64_t function_size = best.rank <= NAMES_RANK_LOCAL ? best.size : 0;
    uint64_t any_size = best.size;
    for (size_t i = 1; i < n; i++) {
        const struct names_entry *e = &b->entries[keys[i].entry];
        if (e->rank <= NAMES_RANK_LOCAL && e->size > function_size) {
            function_size = e->size;
        }
        any_size = e->size > any_size ? e->size : any_size;
        if (names_compare(e, &best) < 0) {
            best = *e;
        }
    }
    if (!best.size) {
        best.size = function_size ? function_size : any_size;
    }
    return best;
}

static uint32_t keep_name(struct names *n, struct names_builder *b, const char *name)
{
    size_t len = strnlen(name, MAX_NAME_BYTES);
    if (len >= MAX_NAME_BYTES || len + 1 > b->name_budget) {
        b->name_budget -= len + 1 > b->name_budget ? b->name_budget : len + 1;
        return NAMES_NO_NAME;
    }
    b->name_budget -= len + 1;
    uint32_t at = (uint32_t)n->strings.len;
    buf_add(&n->strings, name, len + 1);
    return at;
}

/* From start on, addresses belong to owner (index + 1; 0: to nobody). */
static void add_span(struct names *n, uint64_t start, uint32_t owner)
{
    if (n->n_spans && n->starts[n->n_spans - 1] == start) {
        n->owners[n->n_spans - 1] = owner;
        return;
    }
    mem_reserve(&n->starts, &n->cap_starts, n->n_spans + 1, sizeof(*n->starts));
    mem_reserve(&n->owners, &n->cap_owners, n->n_spans + 1, sizeof(*n->owners));
    n->starts[n->n_spans] = start;
    n->owners[n->n_spans++] = owner;
}

/* Functions that contain the place the sweep has reached, outermost first (index + 1). */
struct open_functions {
    uint32_t *ids;
    size_t n, cap;
};

static uint64_t end_of(const struct names *n, uint32_t id)
{
    return n->functions[id - 1].start + n->functions[id - 1].size;
}

/* Closes what ends at or before place; what goes on around it owns the rest. */
static void close_until(struct names *n, struct open_functions *open, uint64_t place)
{
    while (open->n && end_of(n, open->ids[open->n - 1]) <= place) {
        uint64_t end = end_of(n, open->ids[--open->n]);
        while (open->n && end_of(n, open->ids[open->n - 1]) <= end) {
            open->n--;
        }
        add_span(n, end, open->n ? open->ids[open->n - 1] : 0);
    }
}

/* Bytes of an entry: what the table says, else up to the next start; never past its limit. */
static uint64_t size_within(const struct names_builder *b, const struct names_entry *e,
                            const struct names_entry *next, uint64_t outer_end)
{
    uint64_t end = e->limit;
    if (e->size) {
        return e->size < end - e->start ? e->size : end - e->start;
    }
    if (b->is_kernel && (!next || next->module != e->module)) {
        uint64_t near = (e->start | (PAGE_BYTES - 1)) + PAGE_BYTES;
        end = near > e->start && near < end ? near : end;
    }
    if (next && next->start < end) {
        end = next->start;
    }
    if (outer_end && outer_end < end) {
        end = outer_end;
    }
    return end - e->start;
}

static void place_entry(struct names *n, struct names_builder *b, struct open_functions *open,
                        const struct names_entry *e, const struct names_entry *next)
{
    close_until(n, open, e->start);
    uint32_t outer = open->n ? open->ids[open->n - 1] : 0;
    bool is_in_function = outer && n->functions[outer - 1].name != NAMES_NO_NAME;
    if (e->limit <= e->start || e->rank == NAMES_RANK_BOUNDARY ||
        (is_in_function && e->rank >= NAMES_RANK_LABEL)) {
        return;
    }
    struct names_function f = {.start = e->start,
                               .size = size_within(b, e, next, outer ? end_of(n, outer) : 0),
                               .name = e->name ? keep_name(n, b, e->name) : NAMES_NO_NAME,
                               .module = e->module,
                               .source = e->source,
                               .is_global = e->rank <= NAMES_RANK_WEAK};
    if (f.name == NAMES_NO_NAME) {
        f.source = NAMES_EH_FRAME;
    }
    mem_reserve(&n->functions, &n->cap_functions, n->n_functions + 1, sizeof(*n->functions));
    n->functions[n->n_functions++] = f;
    if (f.source > n->best_source) {
        n->best_source = f.source;
    }
    mem_reserve(&open->ids, &open->cap, open->n + 1, sizeof(*open->ids));
    open->ids[open->n++] = (uint32_t)n->n_functions;
    add_span(n, f.start, (uint32_t)n->n_functions);
}

/* The loop below visits entries and names in address order, which is no order of theirs. */
static void prefetch(const struct names_builder *b, const struct sort_key *keys, size_t i)
{
    enum { ENTRY_AHEAD = 16, NAME_AHEAD = 8 };
    if (i + ENTRY_AHEAD < b->n_entries) {
        __builtin_prefetch(&b->entries[keys[i + ENTRY_AHEAD].entry]);
        __builtin_prefetch(b->entries[keys[i + NAME_AHEAD].entry].name);
    }
}

/* Where functions overlap, the one that starts last owns the address. */
void names_build(struct names *n, struct names_builder *b)
{
    struct sort_key *keys = sort_by_start(b);
    struct open_functions open = {0};
    struct names_entry current = {0};
    bool has_current = false;
    for (size_t i = 0; i < b->n_entries;) {
        size_t first = i;
        while (i < b->n_entries && keys[i].start == keys[first].start) {
            prefetch(b, keys, i++);
        }
        struct names_entry next = merge_group(b, keys + first, i - first);
        if (has_current) {
            place_entry(n, b, &open, &current, &next);
        }
        current = next;
        has_current = true;
    }
    if (has_current) {
        place_entry(n, b, &open, &current, NULL);
    }
    close_until(n, &open, UINT64_MAX);
    free(open.ids);
    free(keys);
}

/* What the Go linker put there and is no C: its names have a package. */
static const char *language_of(const struct names *n, const char *name)
{
    const char *language = name ? names_language(name) : "";
    return !language[0] && n->is_go && name && strchr(name, '.') ? "go" : language;
}

struct names_symbol names_symbol_of(const struct names *n, uint32_t function)
{
    const struct names_function *f = &n->functions[function];
    struct names_symbol symbol = {
        .linkage_name = f->name == NAMES_NO_NAME ? NULL : n->strings.data + f->name,
        .start = f->start,
        .size = f->size,
        .source = f->source,
        .is_global = f->is_global,
        .module = f->module ? n->modules[f->module - 1] : NULL,
    };
    symbol.language = language_of(n, symbol.linkage_name);
    return symbol;
}

bool names_find(const struct names *n, uint64_t address, struct names_symbol *symbol)
{
    size_t low = 0;
    size_t high = n->n_spans; /* the span sought is the last that starts at or below address */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (n->starts[middle] <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (!low || !n->owners[low - 1]) {
        return false;
    }
    *symbol = names_symbol_of(n, n->owners[low - 1] - 1);
    return true;
}

uint64_t names_executable_end(const struct names *n, uint64_t address)
{
    for (size_t i = 0; i < n->n_segments; i++) {
        const struct names_segment *s = &n->segments[i];
        if (s->is_executable && address >= s->address && address - s->address < s->size) {
            return s->address + s->size;
        }
    }
    return 0;
}

bool names_address_of_offset(const struct names *n, uint64_t file_offset, uint64_t *address)
{
    /* The kernel maps whole pages, so a mapping can begin before its segment does: second choice.
     */
    for (unsigned choice = 0; choice < 4; choice++) {
        bool is_executable = choice < 2;
        uint64_t mask = choice % 2 ? PAGE_BYTES - 1 : 0;
        for (size_t i = 0; i < n->n_segments; i++) {
            const struct names_segment *s = &n->segments[i];
            uint64_t slack = s->offset & mask;
            uint64_t from = s->offset - slack;
            uint64_t size = s->file_size + slack;
            size = (size + mask) & ~mask;
            if (s->is_executable == is_executable && file_offset >= from &&
                file_offset - from < size) {
                *address = s->address - slack + (file_offset - from);
                return true;
            }
        }
    }
    return false;
}

const char *names_build_id(const struct names *n)
{
    return n->build_id;
}

enum names_source names_best_source(const struct names *n)
{
    return n->best_source;
}

bool names_has_debug_info(const struct names *n)
{
    return n->has_debug_info;
}

const char *names_debug_link(const struct names *n, uint32_t *crc)
{
    *crc = n->debug_link_crc;
    return n->debug_link;
}

uint64_t names_kernel_base(const struct names *n)
{
    return n->kernel_base;
}

size_t names_bytes(const struct names *n)
{
    size_t bytes = sizeof(*n) + n->strings.cap;
    bytes += n->cap_functions * sizeof(*n->functions);
    bytes += n->cap_starts * sizeof(*n->starts) + n->cap_owners * sizeof(*n->owners);
    bytes += n->n_segments * sizeof(*n->segments) + n->cap_modules * sizeof(*n->modules);
    for (size_t i = 0; i < n->n_modules; i++) {
        bytes += strlen(n->modules[i]) + 1;
    }
    return bytes + names_wholes_bytes(n->wholes);
}

void names_drop(struct names *n)
{
    free(n->functions);
    free(n->starts);
    free(n->owners);
    buf_free(&n->strings);
    names_free_wholes(n->wholes);
    n->functions = NULL;
    n->starts = NULL;
    n->owners = NULL;
    n->wholes = NULL;
    n->n_functions = n->cap_functions = n->n_spans = n->cap_starts = n->cap_owners = 0;
    n->is_dropped = true;
}

bool names_is_dropped(const struct names *n)
{
    return n->is_dropped;
}

void names_close(struct names *n)
{
    if (!n) {
        return;
    }
    for (size_t i = 0; i < n->n_modules; i++) {
        free(n->modules[i]);
    }
    free(n->modules);
    free(n->functions);
    free(n->starts);
    free(n->owners);
    buf_free(&n->strings);
    free(n->segments);
    free(n->build_id);
    free(n->debug_link);
    names_free_wholes(n->wholes);
    free(n);
}
