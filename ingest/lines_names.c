/*
 * lines_names.c - names of C++ functions, made from their entries the way the demangler prints
 * those of the symbol table (lines_internal.h).
 *
 * GCC gives a function that only its own file can call no linkage name. Its entry has a bare name;
 * namespaces, classes and the function that a lambda stands in are the entries around it, of which
 * DWARF keeps no track upwards: they are looked for from the top of the unit.
 */
#include <ctype.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/lines_namer.h"

enum {
    MAX_NAME_BYTES = 16 << 10,
    MAX_ALL_MEMBERS = 1 << 28 /* entries looked at for all names of a file */
};
/* Bytes of debug information that looking for what is around entries may pass over: the time that a
 * hostile file can take. */
static const uint64_t MAX_PASSED_BYTES = UINT64_C(4) << 30;

static void add_function(struct namer *n, Dwarf_Die *die, bool is_outermost);

bool namer_is_within(struct namer *n)
{
    n->is_over |= n->depth > NAMER_MAX_DEPTH || n->out->len > MAX_NAME_BYTES ||
                  n->n_members > NAMER_MAX_MEMBERS;
    return !n->is_over;
}

bool lines_refer(Dwarf_Die *die, unsigned name, Dwarf_Die *to)
{
    Dwarf_Attribute attr;
    if (!dwarf_attr(die, name, &attr) || !dwarf_formref_die(&attr, to)) {
        return false;
    }
    /* A type in a unit of its own. */
    if (dwarf_attr(to, DW_AT_signature, &attr)) {
        Dwarf_Die type;
        *to = dwarf_formref_die(&attr, &type) ? type : *to;
    }
    return true;
}

bool namer_type_of(Dwarf_Die *die, Dwarf_Die *type)
{
    return lines_refer(die, DW_AT_type, type);
}

bool namer_has_flag(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attr;
    bool is_set = false;
    return dwarf_attr(die, name, &attr) && dwarf_formflag(&attr, &is_set) == 0 && is_set;
}

const char *namer_own_name(Dwarf_Die *die)
{
    Dwarf_Attribute attr;
    const char *name = dwarf_attr(die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
    return name && name[0] ? name : NULL;
}

static bool is_before(const Dwarf_Die *a, const Dwarf_Die *b)
{
    return (uintptr_t)a->addr < (uintptr_t)b->addr;
}

bool lines_find_parent(struct lines *l, Dwarf_Die *die, Dwarf_Die *parent)
{
    uint32_t known = map_get(&l->parent_of, (uintptr_t)die->addr);
    if (known) {
        *parent = l->parents[known - 1];
        return true;
    }
    Dwarf_Die unit, child, last;
    if (!dwarf_diecu(die, &unit, NULL, NULL) || !is_before(&unit, die)) {
        return false;
    }
    l->passed_bytes += (uintptr_t)die->addr - (uintptr_t)unit.addr;
    *parent = unit;
    for (unsigned depth = 0; depth < LINES_MAX_NESTING; depth++) {
        bool has_any = false;
        int rc = dwarf_child(parent, &child);
        while (rc == 0 && is_before(&child, die) && l->passed_bytes < MAX_PASSED_BYTES) {
            last = child;
            has_any = true;
            rc = dwarf_siblingof(&last, &child);
        }
        if (rc == 0 && child.addr == die->addr) {
            mem_reserve(&l->parents, &l->cap_parents, l->n_parents + 1, sizeof(*l->parents));
            l->parents[l->n_parents++] = *parent;
            *map_put(&l->parent_of, (uintptr_t)die->addr) = (uint32_t)l->n_parents;
            return true;
        }
        if (!has_any || l->passed_bytes >= MAX_PASSED_BYTES) {
            break;
        }
        *parent = last;
    }
    return false;
}

/* ---- lambdas ---- */

bool namer_is_class(int tag)
{
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

/* Its operator(), of a closure: a class without a name that has one. */
bool namer_find_call(struct namer *n, Dwarf_Die *die, Dwarf_Die *call)
{
    if (!namer_is_class(dwarf_tag(die)) || namer_own_name(die)) {
        return false;
    }
    for (int rc = dwarf_child(die, call); rc == 0; rc = dwarf_siblingof(call, call)) {
        const char *name = namer_own_name(call);
        if (++n->n_members > NAMER_MAX_MEMBERS) {
            break;
        }
        if (dwarf_tag(call) == DW_TAG_subprogram && name && strncmp(name, "operator()", 10) == 0) {
            return true;
        }
    }
    return false;
}

struct place {
    int line, column;
};

static struct place place_of(Dwarf_Die *die)
{
    struct place p = {0};
    if (dwarf_decl_line(die, &p.line) != 0 || dwarf_decl_column(die, &p.column) != 0) {
        p.column = 0;
    }
    return p;
}

/* How many closures of a function, or of its blocks, stand before place in the source: with their
 * parameters, if those count. */
static unsigned count_closures(struct namer *n, Dwarf_Die *scope, struct place place,
                               const char *parameters)
{
    Dwarf_Die child, call;
    unsigned count = 0;
    n->depth++;
    for (int rc = namer_is_within(n) ? dwarf_child(scope, &child) : 1;
         rc == 0 && namer_is_within(n); rc = dwarf_siblingof(&child, &child)) {
        n->n_members++;
        if (dwarf_tag(&child) == DW_TAG_lexical_block) {
            count += count_closures(n, &child, place, parameters);
            continue;
        }
        struct place p = place_of(&child);
        if (!namer_find_call(n, &child, &call) || p.line > place.line ||
            (p.line == place.line && p.column >= place.column)) {
            continue;
        }
        struct buf text = {0};
        struct namer other = {
            .l = n->l, .out = &text, .depth = n->depth, .n_members = n->n_members};
        if (parameters) {
            namer_add_parameters(&other, &call, false);
        }
        count += !parameters || strcmp(buf_str(&text), parameters) == 0;
        n->n_members = other.n_members;
        buf_free(&text);
    }
    n->depth--;
    return count;
}

/* Since GCC 13 lambdas of other parameters do not count. */
static bool counts_by_parameters(Dwarf_Die *die)
{
    Dwarf_Die unit;
    Dwarf_Attribute attr;
    const char *producer = NULL, *number = NULL;
    if (dwarf_diecu(die, &unit, NULL, NULL) && dwarf_attr(&unit, DW_AT_producer, &attr)) {
        producer = dwarf_formstring(&attr);
    }
    number = producer && strncmp(producer, "GNU C++", 7) == 0 ? strchr(producer + 4, ' ') : NULL;
    return number && strtol(number, NULL, 10) >= 13;
}

static void add_closure(struct namer *n, Dwarf_Die *die, Dwarf_Die *call)
{
    Dwarf_Die scope, inner = *die;
    struct buf parameters = {0};
    struct namer other = {
        .l = n->l, .out = &parameters, .depth = n->depth + 1, .n_members = n->n_members};
    namer_add_parameters(&other, call, false);
    n->is_over |= other.is_over;
    n->n_members = other.n_members;
    bool has_scope;
    while ((has_scope = lines_find_parent(n->l, &inner, &scope)) &&
           dwarf_tag(&scope) == DW_TAG_lexical_block) {
        inner = scope;
    }
    unsigned count = 0;
    if (has_scope) {
        count = count_closures(n, &scope, place_of(die),
                               counts_by_parameters(die) ? buf_str(&parameters) : NULL);
    }
    buf_addf(n->out, "{lambda%s#%u}", buf_str(&parameters), count + 1);
    buf_free(&parameters);
}

/* A lambda of no function belongs to the variable that it initializes. */
static void add_variable_of(struct namer *n, Dwarf_Die *scope, const Dwarf_Die *closure)
{
    Dwarf_Die child, type;
    for (int rc = dwarf_child(scope, &child); rc == 0 && namer_is_within(n);
         rc = dwarf_siblingof(&child, &child)) {
        n->n_members++;
        while (dwarf_tag(&child) == DW_TAG_variable && namer_own_name(&child) &&
               namer_type_of(&child, &type)) {
            if (dwarf_tag(&type) == DW_TAG_const_type && !namer_type_of(&type, &type)) {
                break;
            }
            if (type.addr == closure->addr) {
                buf_addf(n->out, "%s::", namer_own_name(&child));
                return;
            }
            break;
        }
    }
}

/* ---- names in names ---- */

/* What is around an entry, with "::". */
static void add_scope(struct namer *n, Dwarf_Die *die)
{
    Dwarf_Die scope, declaration = *die;
    n->depth++;
    /* A type in a unit of its own is declared in its namespace there. */
    lines_refer(die, DW_AT_specification, &declaration);
    if (namer_is_within(n) && lines_find_parent(n->l, &declaration, &scope)) {
        switch (dwarf_tag(&scope)) {
        case DW_TAG_lexical_block:
            add_scope(n, &scope);
            break;
        case DW_TAG_namespace:
        case DW_TAG_structure_type:
        case DW_TAG_class_type:
        case DW_TAG_union_type:
        case DW_TAG_enumeration_type:
            namer_add_qualified(n, &scope);
            buf_addstr(n->out, "::");
            break;
        case DW_TAG_subprogram:
            add_function(n, &scope, false);
            buf_addstr(n->out, "::");
            break;
        default:
            break;
        }
    }
    n->depth--;
}

static bool is_parameter(int tag)
{
    return tag == DW_TAG_template_type_parameter || tag == DW_TAG_template_value_parameter ||
           tag == DW_TAG_GNU_template_template_param || tag == DW_TAG_GNU_template_parameter_pack;
}

static bool has_template_parameters(struct namer *n, Dwarf_Die *die)
{
    Dwarf_Die child;
    for (int rc = dwarf_child(die, &child); rc == 0; rc = dwarf_siblingof(&child, &child)) {
        if (is_parameter(dwarf_tag(&child))) {
            return true;
        }
        if (++n->n_members > NAMER_MAX_MEMBERS) {
            break;
        }
    }
    return false;
}

static bool is_text(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* What a literal of a type ends in; NULL: the type is written in front. */
static const char *literal_suffix(const char *type)
{
    static const char *const suffixes[][2] = {{"int", ""},
                                              {"unsigned int", "u"},
                                              {"long int", "l"},
                                              {"long unsigned int", "ul"},
                                              {"long long int", "ll"},
                                              {"long long unsigned int", "ull"}};
    for (size_t i = 0; type && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (strcmp(type, suffixes[i][0]) == 0) {
            return suffixes[i][1];
        }
    }
    return NULL;
}

void namer_strip(Dwarf_Die *type)
{
    Dwarf_Die next;
    for (unsigned i = 0; i < NAMER_MAX_DEPTH; i++) {
        int tag = dwarf_tag(type);
        bool is_outer = tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
                        tag == DW_TAG_typedef || tag == DW_TAG_template_alias;
        if (!is_outer || !namer_type_of(type, &next)) {
            break;
        }
        *type = next;
    }
}

/* False: not a number. */
static bool add_value(struct namer *n, Dwarf_Die *die)
{
    Dwarf_Die type;
    Dwarf_Attribute attr;
    Dwarf_Sword value;
    if (!namer_type_of(die, &type) || !dwarf_attr(die, DW_AT_const_value, &attr) ||
        dwarf_formsdata(&attr, &value) != 0) {
        return false;
    }
    namer_strip(&type);
    int tag = dwarf_tag(&type);
    const char *name = tag == DW_TAG_base_type ? namer_own_name(&type) : NULL;
    const char *suffix = literal_suffix(name);
    if (tag != DW_TAG_base_type && tag != DW_TAG_enumeration_type) {
        return false;
    }
    if (is_text(name, "bool")) {
        buf_addstr(n->out, value ? "true" : "false");
        return true;
    }
    if (!suffix) {
        buf_addch(n->out, '(');
        namer_add_type(n, &type, "");
        buf_addch(n->out, ')');
    }
    if (suffix && strchr(suffix, 'u')) {
        buf_addf(n->out, "%llu%s", (unsigned long long)value, suffix);
    } else {
        buf_addf(n->out, "%lld%s", (long long)value, suffix ? suffix : "");
    }
    return true;
}

/* False: one of them cannot be said. */
static bool add_arguments(struct namer *n, Dwarf_Die *die, bool *has_any)
{
    Dwarf_Die child, type;
    Dwarf_Attribute attr;
    bool is_good = true;
    n->depth++;
    for (int rc = dwarf_child(die, &child); rc == 0 && is_good && namer_is_within(n);
         rc = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        n->n_members++;
        if (tag == DW_TAG_GNU_template_parameter_pack) {
            is_good = add_arguments(n, &child, has_any);
            continue;
        }
        if (!is_parameter(tag)) {
            continue;
        }
        buf_addstr(n->out, *has_any ? ", " : "");
        *has_any = true;
        if (tag == DW_TAG_template_type_parameter) {
            if (namer_type_of(&child, &type)) {
                namer_add_type(n, &type, "");
            } else {
                buf_addstr(n->out, "void");
            }
        } else if (tag == DW_TAG_GNU_template_template_param) {
            const char *name =
                dwarf_attr(&child, DW_AT_GNU_template_name, &attr) ? dwarf_formstring(&attr) : NULL;
            buf_addstr(n->out, name ? name : "");
            is_good = name != NULL;
        } else {
            is_good = add_value(n, &child);
        }
    }
    n->depth--;
    return is_good && !n->is_over;
}

/* Length of a template's name without its arguments, which compilers write in their own way. */
static size_t length_without_arguments(const char *name)
{
    size_t at = 0;
    if (strncmp(name, "operator", 8) == 0 && !isalnum((unsigned char)name[8]) && name[8] != '_') {
        at = 8 + strspn(name + 8, "<=>-+*/%^&|!~,()[]");
        const char *space = strchr(name, ' ');
        at = space && name[8] == '<' ? (size_t)(space - name) : at;
        if (name[8] == ' ') {
            return strlen(name); /* a conversion */
        }
    }
    return at + strcspn(name + at, "<");
}

/* A name without its scope; of: the entry with the arguments, of a template. */
static void add_name(struct namer *n, const char *name, Dwarf_Die *of)
{
    size_t start = n->out->len, len = length_without_arguments(name);
    bool has_any = false;
    if (!of) {
        buf_addstr(n->out, name);
        return;
    }
    while (len && name[len - 1] == ' ') {
        len--;
    }
    buf_add(n->out, name, len);
    buf_addstr(n->out, len && name[len - 1] == '<' ? " <" : "<");
    if (!add_arguments(n, of, &has_any)) {
        n->out->len = start;
        buf_addstr(n->out, name);
        return;
    }
    buf_addstr(n->out, n->out->data[n->out->len - 1] == '>' ? " >" : ">");
}

/* Types that linkage names have a short form for. */
static void shorten(struct buf *out, size_t start)
{
    static const char *const forms[][2] = {
        {"std::basic_istream<char, std::char_traits<char> >", "std::istream"},
        {"std::basic_ostream<char, std::char_traits<char> >", "std::ostream"},
        {"std::basic_iostream<char, std::char_traits<char> >", "std::iostream"},
        {"std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(buf_str(out) + start, forms[i][0]) == 0) {
            out->len = start;
            buf_addstr(out, forms[i][1]);
            return;
        }
    }
}

/* A namespace or type with what is around it. */
void namer_add_qualified(struct namer *n, Dwarf_Die *die)
{
    Dwarf_Die call;
    const char *name = namer_own_name(die);
    size_t start = n->out->len;
    n->depth++;
    if (namer_is_within(n)) {
        add_scope(n, die);
        if (name) {
            add_name(n, name, has_template_parameters(n, die) ? die : NULL);
            shorten(n->out, start);
        } else if (dwarf_tag(die) == DW_TAG_namespace) {
            buf_addstr(n->out, "(anonymous namespace)");
        } else if (namer_find_call(n, die, &call)) {
            Dwarf_Die scope;
            if (lines_find_parent(n->l, die, &scope) && dwarf_tag(&scope) != DW_TAG_subprogram) {
                add_variable_of(n, &scope, die);
            }
            add_closure(n, die, &call);
        } else {
            buf_addstr(n->out, "{unnamed type}");
        }
    }
    n->depth--;
}

/* ---- functions ---- */

/* The entries of a function: this one, what it is an instance of, what it defines. */
struct entries {
    Dwarf_Die items[LINES_MAX_ORIGINS + 1];
    size_t n;
};

static void read_entries(struct entries *e, Dwarf_Die *die)
{
    e->items[0] = *die;
    e->n = 1;
    while (e->n <= LINES_MAX_ORIGINS) {
        Dwarf_Die *last = &e->items[e->n - 1], *next = &e->items[e->n];
        if (!lines_refer(last, DW_AT_abstract_origin, next) &&
            !lines_refer(last, DW_AT_specification, next)) {
            break;
        }
        e->n++;
    }
}

static bool has_parameters(struct namer *n, Dwarf_Die *die)
{
    Dwarf_Die child;
    for (int rc = dwarf_child(die, &child); rc == 0; rc = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_formal_parameter || tag == DW_TAG_unspecified_parameters) {
            return true;
        }
        if (++n->n_members > NAMER_MAX_MEMBERS) {
            break;
        }
    }
    return false;
}

/* Constructors, destructors and conversions have no result to print. */
static bool has_result(const char *name, Dwarf_Die *declaration, struct lines *l)
{
    Dwarf_Die scope;
    const char *owner = NULL;
    if (lines_find_parent(l, declaration, &scope) && namer_is_class(dwarf_tag(&scope))) {
        owner = namer_own_name(&scope);
    }
    size_t len = owner ? length_without_arguments(owner) : 0;
    bool is_constructor =
        len && strncmp(name, owner, len) == 0 && length_without_arguments(name) == len;
    bool is_conversion = strncmp(name, "operator ", 9) == 0 && strncmp(name + 9, "new", 3) != 0 &&
                         strncmp(name + 9, "delete", 6) != 0;
    return !is_constructor && !is_conversion && name[0] != '~';
}

static void add_result(struct namer *n, struct entries *e)
{
    Dwarf_Die type;
    for (size_t i = e->n; i > 0; i--) {
        if (namer_type_of(&e->items[i - 1], &type)) {
            namer_add_type(n, &type, "");
            buf_addch(n->out, ' ');
            return;
        }
    }
    buf_addstr(n->out, "void ");
}

/* Without debug information of types (-g1), an entry has no parameters either. */
static bool has_types(struct lines *l, Dwarf_Die *die)
{
    Dwarf_Die unit, child;
    if (!dwarf_diecu(die, &unit, NULL, NULL)) {
        return false;
    }
    uint32_t *known = map_put(&l->has_types, (uintptr_t)unit.addr);
    if (*known) {
        return *known == 1;
    }
    *known = 2;
    int64_t budget = LINES_MAX_UNIT_DIES;
    for (int rc = dwarf_child(&unit, &child); rc == 0 && --budget > 0;
         rc = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_base_type || dwarf_tag(&child) == DW_TAG_imported_unit) {
            *known = 1;
            break;
        }
    }
    return *known == 1;
}

/* is_outermost: not what another name is in. */
static void add_function(struct namer *n, Dwarf_Die *die, bool is_outermost)
{
    struct entries e;
    Dwarf_Die *arguments = NULL, *parameters;
    const char *name = NULL;
    bool is_mangled = false, is_external = false;
    n->depth++;
    read_entries(&e, die);
    Dwarf_Die *declaration = parameters = &e.items[e.n - 1];
    for (size_t i = 0; i < e.n; i++) {
        Dwarf_Die *item = &e.items[i];
        name = name ? name : namer_own_name(item);
        is_mangled |= dwarf_hasattr(item, DW_AT_linkage_name) == 1;
        is_external |= dwarf_hasattr(item, DW_AT_external) == 1;
        arguments = !arguments && has_template_parameters(n, item) ? item : arguments;
        parameters = has_parameters(n, item) ? item : parameters; /* the last: as it was declared */
    }
    n->is_over |= !name;
    if (namer_is_within(n)) {
        bool is_plain = (is_external && !is_mangled) || !has_types(n->l, declaration);
        if (is_outermost && arguments && has_result(name, declaration, n->l)) {
            add_result(n, &e);
        }
        add_scope(n, declaration);
        add_name(n, name, arguments);
        if (!is_plain) {
            namer_add_parameters(n, parameters, true);
        }
    }
    n->depth--;
}

bool lines_make_name(struct lines *l, Dwarf_Die *function, struct buf *out)
{
    size_t start = out->len;
    struct buf text = {0};
    struct namer n = {.l = l, .out = &text, .is_over = l->n_members > MAX_ALL_MEMBERS};
    add_function(&n, function, true);
    l->n_members += n.n_members;
    /* Scopes that are not found any more would be left out of names, and not said. */
    n.is_over |= l->passed_bytes >= MAX_PASSED_BYTES;
    if (namer_is_within(&n)) {
        buf_add(out, text.data, text.len);
    }
    buf_free(&text);
    return out->len > start;
}
