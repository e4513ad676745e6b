/*
 * lines_origins.c - which function an inlined call is of (lines_internal.h).
 *
 * By the entry that the call is an instance of: a name alone does not tell functions apart that
 * only one file can call. The same entry leads to the function itself, where that was made too.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/lines_internal.h"

enum {
    MAX_NAME_BYTES = 16 << 10,
    MAX_TEXT_BYTES = 256 << 20,
    MAX_WHOLE_BYTES = 512 << 20 /* of debug information of which all units may be read */
};

static uint64_t address_in(const struct lines_unit *u, Dwarf_Die die)
{
    for (unsigned i = 0; i < LINES_MAX_ORIGINS; i++) {
        uint32_t function = map_get(&u->out_of_line, (uintptr_t)die.addr);
        if (function) {
            return u->functions[function - 1].low;
        }
        if (!lines_refer(&die, DW_AT_abstract_origin, &die)) {
            break;
        }
    }
    return 0;
}

/* Where the function begins that was not inlined. Where whole programs are optimized, it may be in
 * any unit; all are read for those that cannot be told by a linkage name. */
static uint64_t address_of(struct lines *l, const struct lines_unit *u, const Dwarf_Die *origin)
{
    Dwarf_Die unit, die = *origin;
    uint64_t address = address_in(u, *origin);
    bool is_elsewhere = die.cu != u->inner.cu && dwarf_diecu(&die, &unit, NULL, NULL) &&
                        dwarf_tag(&unit) == DW_TAG_compile_unit;
    bool is_mangled = dwarf_hasattr_integrate(&die, DW_AT_linkage_name) &&
                      dwarf_hasattr_integrate(&die, DW_AT_external);
    if (address || !is_elsewhere || is_mangled ||
        (!l->has_all_units && l->n_bytes > MAX_WHOLE_BYTES)) {
        return address;
    }
    lines_read_all_units(l);
    for (size_t i = 0; i < l->n_units && !address; i++) {
        address = address_in(&l->units[i], *origin);
    }
    return address;
}

static const char *text_of(Dwarf_Die *die, const unsigned *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Dwarf_Attribute attr;
        if (dwarf_attr_integrate(die, names[i], &attr)) {
            const char *text = dwarf_formstring(&attr);
            if (text && text[0] && strnlen(text, MAX_NAME_BYTES) < MAX_NAME_BYTES) {
                return text;
            }
        }
    }
    return NULL;
}

static bool is_cplus(struct lines_unit *u, Dwarf_Die *die)
{
    Dwarf_Die unit;
    int code = dwarf_diecu(die, &unit, NULL, NULL) ? dwarf_srclang(&unit) : -1;
    return strcmp(code < 0 ? lines_language(u) : lines_language_of((unsigned)code), "c++") == 0;
}

/* The linkage name, else the name; 0: none. */
static uint32_t add_name(struct lines *l, struct lines_unit *u, Dwarf_Die *die, bool is_static)
{
    static const unsigned linkage[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name};
    static const unsigned plain[] = {DW_AT_name};
    struct buf *text = &l->origin_text;
    uint32_t at = (uint32_t)text->len;
    bool has_room = text->len < MAX_TEXT_BYTES;
    const char *name = has_room ? text_of(die, linkage, 2) : NULL;
    if (!name && has_room && is_static && is_cplus(u, die) && lines_make_name(l, die, text)) {
        buf_addch(text, '\0');
        return at;
    }
    name = name || !has_room ? name : text_of(die, plain, 1);
    buf_addstr(text, name ? name : "(inlined function without a name)");
    buf_addch(text, '\0');
    return at;
}

/* The entry that says where a function is declared: of a lambda, that of its closure. */
static bool find_declaration(struct lines *l, Dwarf_Die *die)
{
    Dwarf_Die next;
    for (unsigned i = 0; i < LINES_MAX_ORIGINS; i++) {
        if (dwarf_hasattr(die, DW_AT_decl_line)) {
            return true;
        }
        if (!lines_refer(die, DW_AT_abstract_origin, &next) &&
            !lines_refer(die, DW_AT_specification, &next) && !lines_find_parent(l, die, &next)) {
            break;
        }
        *die = next;
    }
    return false;
}

static const char *declared_file(Dwarf_Die *die)
{
    Dwarf_Die unit;
    Dwarf_Attribute attr;
    Dwarf_Word number;
    Dwarf_Files *files;
    size_t n_files;
    /* dwarf_decl_file() aborts where the files cannot be read */
    if (!dwarf_attr(die, DW_AT_decl_file, &attr) || dwarf_formudata(&attr, &number) != 0 ||
        !dwarf_diecu(die, &unit, NULL, NULL) || dwarf_getsrcfiles(&unit, &files, &n_files) != 0 ||
        number >= n_files) {
        return NULL;
    }
    return dwarf_filesrc(files, number, NULL, NULL);
}

/* What tells a static function from others of its name. The same one of a header is one function,
 * however many units have it. */
static uint32_t add_declared(struct lines *l, const struct lines_unit *u, Dwarf_Die *function)
{
    int line = 0, column = 0;
    Dwarf_Die die = *function;
    struct buf *text = &l->origin_text;
    struct buf file = {0};
    uint32_t at = (uint32_t)text->len;
    uint32_t name = 0;
    if (text->len >= MAX_TEXT_BYTES) {
        return 0;
    }
    if (find_declaration(l, &die)) {
        name = lines_keep_file(u, &file, declared_file(&die));
    }
    if (name) {
        dwarf_decl_line(&die, &line);
        dwarf_decl_column(&die, &column);
        buf_addf(text, "%s:%d:%d", file.data + name, line, column);
    } else {
        buf_addf(text, "unit %zu entry 0x%llx", (size_t)(u - l->units),
                 (unsigned long long)dwarf_dieoffset(function));
    }
    buf_addch(text, '\0');
    buf_free(&file);
    return at;
}

static struct lines_origin describe(struct lines *l, struct lines_unit *u, Dwarf_Die *die)
{
    struct lines_origin o = {.is_static = !dwarf_hasattr_integrate(die, DW_AT_external)};
    o.address = address_of(l, u, die);
    o.name = add_name(l, u, die, o.is_static);
    o.declared = o.is_static ? add_declared(l, u, die) : 0;
    return o;
}

const struct lines_origin *lines_origin_of(struct lines *l, struct lines_unit *u,
                                           const struct lines_call *call)
{
    Dwarf_Die die = call->die, origin;
    if (!lines_refer(&die, DW_AT_abstract_origin, &origin)) {
        origin = die;
    }
    uint32_t *known = map_put(&u->origins, (uintptr_t)origin.addr);
    if (!*known) {
        if (l->origin_text.len == 0) {
            buf_addch(&l->origin_text, '\0'); /* 0 means none */
        }
        struct lines_origin o = describe(l, u, &origin);
        mem_reserve(&l->origins, &l->cap_origins, l->n_origins + 1, sizeof(*l->origins));
        l->origins[l->n_origins++] = o;
        *known = (uint32_t)l->n_origins;
    }
    return &l->origins[*known - 1];
}

void lines_free_origins(struct lines *l)
{
    free(l->origins);
    free(l->parents);
    buf_free(&l->origin_text);
    map_free(&l->parent_of);
    map_free(&l->has_types);
}
