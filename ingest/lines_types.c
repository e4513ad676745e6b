/*
 * lines_types.c - C++ types and parameters, as the demangler prints them (lines_namer.h).
 */
#include <dwarf.h>
#include <string.h>

#include "ingest/lines_namer.h"

static const char *base_name(const char *name)
{
    static const char *const names[][2] = {
        {"long int", "long"},
        {"long unsigned int", "unsigned long"},
        {"short int", "short"},
        {"short unsigned int", "unsigned short"},
        {"long long int", "long long"},
        {"long long unsigned int", "unsigned long long"},
        {"__int128 unsigned", "unsigned __int128"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return name;
}

/* Whether what a pointer points to is written around it. */
static bool is_around(Dwarf_Die *target)
{
    Dwarf_Die type = *target;
    namer_strip(&type);
    int tag = dwarf_tag(&type);
    return tag == DW_TAG_subroutine_type || tag == DW_TAG_array_type;
}

/* The target of a pointer, with the mark of the pointer in front of inner; no target: void. */
static void add_pointer(struct namer *n, Dwarf_Die *die, const char *mark, const char *inner)
{
    Dwarf_Die target;
    struct buf text = {0};
    bool has_target = namer_type_of(die, &target);
    bool has_parentheses = has_target && is_around(&target);
    buf_addf(&text, "%s%s%s%s", has_parentheses ? " (" : "", mark, inner,
             has_parentheses ? ")" : "");
    if (has_target) {
        namer_add_type(n, &target, buf_str(&text));
    } else {
        buf_addf(n->out, "void%s", buf_str(&text));
    }
    buf_free(&text);
}

static void add_member_pointer(struct namer *n, Dwarf_Die *die, const char *inner)
{
    Dwarf_Die owner, target;
    struct buf text = {0};
    struct namer other = {.l = n->l, .out = &text, .depth = n->depth, .n_members = n->n_members};
    if (!lines_refer(die, DW_AT_containing_type, &owner) || !namer_type_of(die, &target)) {
        n->is_over = true;
        return;
    }
    bool has_parentheses = is_around(&target);
    buf_addstr(&text, has_parentheses ? " (" : " ");
    namer_add_qualified(&other, &owner);
    buf_addf(&text, "::*%s%s", inner, has_parentheses ? ")" : "");
    n->is_over |= other.is_over;
    n->n_members = other.n_members;
    namer_add_type(n, &target, buf_str(&text));
    buf_free(&text);
}

static void add_array(struct namer *n, Dwarf_Die *die, const char *inner)
{
    Dwarf_Die child, element;
    struct buf text = {0};
    buf_addf(&text, "%s ", inner);
    for (int rc = dwarf_child(die, &child); rc == 0 && namer_is_within(n);
         rc = dwarf_siblingof(&child, &child)) {
        Dwarf_Attribute attr;
        Dwarf_Word bound;
        n->n_members++;
        if (dwarf_tag(&child) != DW_TAG_subrange_type) {
            continue;
        }
        if (dwarf_attr(&child, DW_AT_upper_bound, &attr) && dwarf_formudata(&attr, &bound) == 0) {
            buf_addf(&text, "[%llu]", (unsigned long long)bound + 1);
        } else if (dwarf_attr(&child, DW_AT_count, &attr) && dwarf_formudata(&attr, &bound) == 0) {
            buf_addf(&text, "[%llu]", (unsigned long long)bound);
        } else {
            buf_addstr(&text, "[]");
        }
    }
    if (namer_type_of(die, &element)) {
        namer_add_type(n, &element, buf_str(&text));
    } else {
        n->is_over = true;
    }
    buf_free(&text);
}

/* Which of const, volatile an object has that a function is called for. */
static void add_object(Dwarf_Die *parameter, struct buf *out)
{
    Dwarf_Die type;
    if (!namer_type_of(parameter, &type)) {
        return;
    }
    namer_strip(&type);
    bool is_const = false, is_volatile = false;
    bool is_known = dwarf_tag(&type) == DW_TAG_pointer_type && namer_type_of(&type, &type);
    for (unsigned i = 0; is_known && i < 4; i++) {
        int tag = dwarf_tag(&type);
        is_const |= tag == DW_TAG_const_type;
        is_volatile |= tag == DW_TAG_volatile_type;
        is_known = (tag == DW_TAG_const_type || tag == DW_TAG_volatile_type) &&
                   namer_type_of(&type, &type);
    }
    buf_addstr(out, is_const ? " const" : "");
    buf_addstr(out, is_volatile ? " volatile" : "");
}

static void add_parameter(struct namer *n, Dwarf_Die *parameter)
{
    Dwarf_Die type;
    if (!namer_type_of(parameter, &type)) {
        n->is_over = true;
        return;
    }
    while (dwarf_tag(&type) == DW_TAG_const_type || dwarf_tag(&type) == DW_TAG_volatile_type) {
        if (!namer_type_of(&type, &type)) {
            buf_addstr(n->out, "void");
            return;
        }
    }
    namer_add_type(n, &type, "");
}

/* "(int, ...) const" of a function or a type of one. */
void namer_add_parameters(struct namer *n, Dwarf_Die *die, bool with_object)
{
    Dwarf_Die child;
    struct buf object = {0};
    bool has_any = false;
    n->depth++;
    buf_addch(n->out, '(');
    for (int rc = dwarf_child(die, &child); rc == 0 && namer_is_within(n);
         rc = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        n->n_members++;
        if (tag == DW_TAG_formal_parameter && namer_has_flag(&child, DW_AT_artificial)) {
            if (!object.len && !has_any) {
                add_object(&child, &object);
            }
            continue;
        }
        if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters) {
            continue;
        }
        buf_addstr(n->out, has_any ? ", " : "");
        has_any = true;
        if (tag == DW_TAG_formal_parameter) {
            add_parameter(n, &child);
        } else {
            buf_addstr(n->out, "...");
        }
    }
    buf_addch(n->out, ')');
    if (with_object) {
        buf_addstr(n->out, buf_str(&object));
        buf_addstr(n->out, namer_has_flag(die, DW_AT_reference) ? " &" : "");
        buf_addstr(n->out, namer_has_flag(die, DW_AT_rvalue_reference) ? " &&" : "");
    }
    buf_free(&object);
    n->depth--;
}

static void add_function_type(struct namer *n, Dwarf_Die *die, const char *inner)
{
    Dwarf_Die type;
    struct buf text = {0};
    struct namer other = {.l = n->l, .out = &text, .depth = n->depth, .n_members = n->n_members};
    buf_addstr(&text, inner[0] ? inner : " ");
    namer_add_parameters(&other, die, true);
    n->is_over |= other.is_over;
    n->n_members = other.n_members;
    if (namer_type_of(die, &type)) {
        namer_add_type(n, &type, buf_str(&text));
    } else {
        buf_addf(n->out, "void%s", buf_str(&text));
    }
    buf_free(&text);
}

/* const and volatile, in the order in which they are printed, then what they are of. */
static void add_qualifiers(struct namer *n, Dwarf_Die *die, const char *inner)
{
    Dwarf_Die type = *die;
    bool is_const = false, is_volatile = false, is_known = true;
    for (unsigned i = 0; is_known && i < 4; i++) {
        int tag = dwarf_tag(&type);
        if (tag != DW_TAG_const_type && tag != DW_TAG_volatile_type) {
            break;
        }
        is_const |= tag == DW_TAG_const_type;
        is_volatile |= tag == DW_TAG_volatile_type;
        is_known = namer_type_of(&type, &type);
    }
    struct buf text = {0};
    buf_addf(&text, "%s%s%s", is_const ? " const" : "", is_volatile ? " volatile" : "", inner);
    if (is_known) {
        namer_add_type(n, &type, buf_str(&text));
    } else {
        buf_addf(n->out, "void%s", buf_str(&text));
    }
    buf_free(&text);
}

/* The name of a type without one is that of its typedef. */
static void add_typedef(struct namer *n, Dwarf_Die *die, const char *inner)
{
    Dwarf_Die type, call;
    if (!namer_type_of(die, &type)) {
        buf_addf(n->out, "void%s", inner);
        return;
    }
    int tag = dwarf_tag(&type);
    bool can_be_unnamed = namer_is_class(tag) || tag == DW_TAG_enumeration_type;
    if (can_be_unnamed && !namer_own_name(&type) && !namer_find_call(n, &type, &call)) {
        namer_add_qualified(n, die);
        buf_addstr(n->out, inner);
    } else {
        namer_add_type(n, &type, inner);
    }
}

/* A type; inner: what stands around the name of what is of that type, if it had one. */
void namer_add_type(struct namer *n, Dwarf_Die *die, const char *inner)
{
    n->depth++;
    switch (namer_is_within(n) ? dwarf_tag(die) : DW_TAG_invalid) {
    case DW_TAG_base_type:
    case DW_TAG_unspecified_type:
        buf_addf(n->out, "%s%s", base_name(namer_own_name(die) ? namer_own_name(die) : "?"), inner);
        break;
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        namer_add_qualified(n, die);
        buf_addstr(n->out, inner);
        break;
    case DW_TAG_pointer_type:
        add_pointer(n, die, "*", inner);
        break;
    case DW_TAG_reference_type:
        add_pointer(n, die, "&", inner);
        break;
    case DW_TAG_rvalue_reference_type:
        add_pointer(n, die, "&&", inner);
        break;
    case DW_TAG_restrict_type:
        add_pointer(n, die, " __restrict", inner);
        break;
    case DW_TAG_ptr_to_member_type:
        add_member_pointer(n, die, inner);
        break;
    case DW_TAG_const_type:
    case DW_TAG_volatile_type:
        add_qualifiers(n, die, inner);
        break;
    case DW_TAG_typedef:
    case DW_TAG_template_alias:
        add_typedef(n, die, inner);
        break;
    case DW_TAG_array_type:
        add_array(n, die, inner);
        break;
    case DW_TAG_subroutine_type:
        add_function_type(n, die, inner);
        break;
    default:
        n->is_over = true;
        break;
    }
    n->depth--;
}
