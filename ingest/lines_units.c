/* lines_units.c - see lines_internal.h. */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "ingest/lines_internal.h"

static void add_range(struct lines *l, struct lines_ranges *r, uint64_t low, uint64_t high,
                      uint32_t item)
{
    if (low >= high || r->n >= LINES_MAX_RANGES) {
        return;
    }
    size_t before = r->cap;
    mem_reserve(&r->items, &r->cap, r->n + 1, sizeof(*r->items));
    r->items[r->n++] = (struct lines_range){low, high, item};
    l->n_bytes += (r->cap - before) * sizeof(*r->items);
}

/* All address ranges of an entry; false: it has none. */
static bool add_ranges_of(struct lines *l, struct lines_ranges *r, Dwarf_Die *die, uint32_t item)
{
    Dwarf_Addr base, low, high;
    ptrdiff_t at = 0;
    bool has_any = false;
    for (unsigned i = 0; i < LINES_MAX_DIE_RANGES; i++) {
        at = dwarf_ranges(die, at, &base, &low, &high);
        if (at <= 0) {
            break;
        }
        /* The linker left functions it threw away at address 0 or 1. */
        if (low > 1) {
            add_range(l, r, low, high, item);
        }
        has_any = true;
    }
    return has_any;
}

static int by_low(const void *a, const void *b)
{
    const struct lines_range *x = a, *y = b;
    if (x->low != y->low) {
        return x->low < y->low ? -1 : 1;
    }
    return (x->item > y->item) - (x->item < y->item);
}

/* How many ranges begin at or before address; they are sorted. */
static size_t first_above(const struct lines_ranges *r, uint64_t address)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->items[middle].low <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Ranges that do not nest; where some overlap all the same, a few neighbours are looked at. */
static const struct lines_range *find_range(struct lines_ranges *r, uint64_t address)
{
    enum { NEIGHBOURS = 16 };
    if (!r->is_sorted && r->n) {
        qsort(r->items, r->n, sizeof(*r->items), by_low);
    }
    r->is_sorted = true;
    size_t low = first_above(r, address);
    for (size_t i = 0; i < NEIGHBOURS && low > 0; i++) {
        const struct lines_range *range = &r->items[--low];
        if (address < range->high) {
            return range;
        }
    }
    return NULL;
}

/* The first border of a range after address, at most limit. */
static uint64_t next_border(const struct lines_ranges *r, uint64_t address, uint64_t limit)
{
    enum { NEIGHBOURS = 16 };
    size_t low = first_above(r, address);
    if (low < r->n && r->items[low].low < limit) {
        limit = r->items[low].low;
    }
    for (size_t i = 0; i < NEIGHBOURS && low > 0; i++) {
        uint64_t end = r->items[--low].high;
        limit = end > address && end < limit ? end : limit;
    }
    return limit;
}

/* ---- units ---- */

/* libdw opens the file of a split unit by itself, and would wait for a FIFO there. */
static bool is_split_safe(Dwarf_Die *skeleton)
{
    Dwarf_Attribute attr;
    const char *name = NULL, *directory = NULL;
    if (dwarf_attr(skeleton, DW_AT_dwo_name, &attr) ||
        dwarf_attr(skeleton, DW_AT_GNU_dwo_name, &attr)) {
        name = dwarf_formstring(&attr);
    }
    if (!name) {
        return true;
    }
    if (dwarf_attr(skeleton, DW_AT_comp_dir, &attr)) {
        directory = dwarf_formstring(&attr);
    }
    struct buf path = {0};
    struct stat st;
    if (name[0] != '/' && directory) {
        buf_addf(&path, "%s/", directory);
    }
    buf_addstr(&path, name);
    bool is_safe = stat(buf_str(&path), &st) != 0 || S_ISREG(st.st_mode);
    buf_free(&path);
    return is_safe;
}

static void add_unit(struct lines *l, Dwarf_Die *die)
{
    mem_reserve(&l->units, &l->cap_units, l->n_units + 1, sizeof(*l->units));
    uint32_t item = (uint32_t)l->n_units;
    l->units[l->n_units++] = (struct lines_unit){.die = *die, .inner = *die};
    add_ranges_of(l, &l->ranges, die, item);
}

void lines_read_units(struct lines *l)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Half version;
    uint8_t type;
    Dwarf_Die die;
    int rc = 0;
    /* The split half is not asked for here: that would open its file. */
    while (l->n_units < LINES_MAX_UNITS &&
           (rc = dwarf_get_units(l->dwarf, cu, &cu, &version, &type, &die, NULL)) == 0) {
        if (type == DW_UT_compile || type == DW_UT_skeleton) {
            add_unit(l, &die);
        }
    }
    l->is_damaged = rc < 0;
    l->n_bytes += l->cap_units * sizeof(*l->units);
}

void lines_free_units(struct lines *l)
{
    for (size_t i = 0; i < l->n_units; i++) {
        struct lines_unit *u = &l->units[i];
        for (size_t k = 0; k < u->n_functions; k++) {
            free(u->functions[k].calls);
            free(u->functions[k].ranges.items);
        }
        free(u->functions);
        free(u->ranges.items);
        map_free(&u->out_of_line);
        map_free(&u->origins);
    }
    free(l->units);
    free(l->ranges.items);
}

struct lines_unit *lines_find_unit(struct lines *l, uint64_t address)
{
    const struct lines_range *r = find_range(&l->ranges, address);
    return r ? &l->units[r->item] : NULL;
}

/* ---- functions of a unit ---- */

/* What is inlined elsewhere by these entries is this function. */
static void note_out_of_line(struct lines_unit *u, Dwarf_Die *die, uint32_t function)
{
    Dwarf_Attribute attr;
    Dwarf_Die origin = *die;
    for (unsigned i = 0;
         i < LINES_MAX_ORIGINS && dwarf_attr(&origin, DW_AT_abstract_origin, &attr) &&
         dwarf_formref_die(&attr, &origin);
         i++) {
        uint32_t *known = map_put(&u->out_of_line, (uintptr_t)origin.addr);
        *known = *known ? *known : function;
    }
}

static void add_function(struct lines *l, struct lines_unit *u, Dwarf_Die *die)
{
    uint32_t item = (uint32_t)u->n_functions;
    size_t first = u->ranges.n;
    if (!add_ranges_of(l, &u->ranges, die, item)) {
        return; /* a declaration, or what inlined calls refer to */
    }
    uint64_t low = first < u->ranges.n ? u->ranges.items[first].low : 0;
    size_t before = u->cap_functions;
    mem_reserve(&u->functions, &u->cap_functions, u->n_functions + 1, sizeof(*u->functions));
    u->functions[u->n_functions++] = (struct lines_function){.die = *die, .low = low};
    note_out_of_line(u, die, item + 1);
    l->n_bytes += (u->cap_functions - before) * sizeof(*u->functions);
}

/* Functions among the children of die; budget: entries that may still be looked at. */
static void read_functions(struct lines *l, struct lines_unit *u, Dwarf_Die *die, unsigned depth,
                           int64_t *budget)
{
    Dwarf_Die child;
    int rc = dwarf_child(die, &child);
    while (rc == 0 && --*budget > 0) {
        switch (dwarf_tag(&child)) {
        case DW_TAG_subprogram:
            add_function(l, u, &child);
            break;
        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
        case DW_TAG_enumeration_type:
            if (depth < LINES_MAX_NESTING) {
                read_functions(l, u, &child, depth + 1, budget);
            }
            break;
        default:
            break;
        }
        rc = dwarf_siblingof(&child, &child);
    }
}

static void read_unit(struct lines *l, struct lines_unit *u)
{
    Dwarf_Die split;
    uint8_t type = 0;
    u->is_read = true;
    if (!is_split_safe(&u->die)) {
        l->lacks_split = true;
    } else if (dwarf_cu_info(u->die.cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 &&
               type == DW_UT_skeleton) {
        u->inner = split.cu ? split : u->die;
        l->lacks_split |= !split.cu;
    }
    int64_t budget = LINES_MAX_UNIT_DIES;
    read_functions(l, u, &u->inner, 0, &budget);
    l->n_bytes += map_bytes(&u->out_of_line);
}

void lines_read_all_units(struct lines *l)
{
    for (size_t i = 0; i < l->n_units && !l->has_all_units; i++) {
        if (!l->units[i].is_read) {
            read_unit(l, &l->units[i]);
        }
    }
    l->has_all_units = true;
}

struct lines_function *lines_find_function(struct lines *l, struct lines_unit *u, uint64_t address)
{
    if (!u->is_read) {
        read_unit(l, u);
    }
    const struct lines_range *r = find_range(&u->ranges, address);
    return r ? &u->functions[r->item] : NULL;
}

uint64_t lines_same_until(struct lines *l, struct lines_unit *u, uint64_t address)
{
    uint64_t until = next_border(&l->ranges, address, UINT64_MAX);
    return u ? next_border(&u->ranges, address, until) : until;
}

/* ---- inlined calls of a function ---- */

static void read_calls(struct lines *l, struct lines_function *f, Dwarf_Die *die, uint32_t parent,
                       unsigned depth, int64_t *budget)
{
    Dwarf_Die child;
    int rc = dwarf_child(die, &child);
    while (rc == 0 && --*budget > 0) {
        uint32_t inside = parent;
        bool is_scope = false;
        switch (dwarf_tag(&child)) {
        case DW_TAG_inlined_subroutine:
            inside = (uint32_t)f->n_calls;
            mem_reserve(&f->calls, &f->cap_calls, f->n_calls + 1, sizeof(*f->calls));
            f->calls[f->n_calls++] = (struct lines_call){.die = child, .parent = parent};
            add_ranges_of(l, &f->ranges, &child, inside);
            is_scope = true;
            break;
        case DW_TAG_lexical_block:
        case DW_TAG_try_block:
        case DW_TAG_catch_block:
        case DW_TAG_with_stmt:
            is_scope = true;
            break;
        default:
            break;
        }
        if (is_scope && depth < LINES_MAX_NESTING) {
            read_calls(l, f, &child, inside, depth + 1, budget);
        }
        rc = dwarf_siblingof(&child, &child);
    }
}

void lines_read_calls(struct lines *l, struct lines_function *f)
{
    if (!f->is_read) {
        int64_t budget = LINES_MAX_FUNCTION_DIES;
        f->is_read = true;
        read_calls(l, f, &f->die, LINES_NO_CALL, 0, &budget);
        l->n_bytes += f->cap_calls * sizeof(*f->calls);
    }
}

uint32_t lines_find_call(struct lines *l, struct lines_function *f, uint64_t address)
{
    lines_read_calls(l, f);
    uint32_t found = LINES_NO_CALL;
    for (size_t i = 0; i < f->ranges.n; i++) {
        const struct lines_range *r = &f->ranges.items[i];
        if (address >= r->low && address < r->high) {
            found = r->item; /* inner ones come later */
        }
    }
    return found;
}
