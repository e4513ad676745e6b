/* lines_language.c - what a unit is written in (lines_internal.h). */
#include <dwarf.h>
#include <string.h>

#include "ingest/lines_internal.h"
#include "ingest/names.h"

/* DWARF 6 has it; dwarf.h of elfutils 0.188 does not. */
enum { LANG_ZIG = 0x27 };

static const struct {
    unsigned code;
    const char *word;
} codes[] = {
    {DW_LANG_C89, "c"},
    {DW_LANG_C, "c"},
    {DW_LANG_C99, "c"},
    {DW_LANG_C11, "c"},
    {0x2c /* C17 */, "c"},
    {DW_LANG_C_plus_plus, "c++"},
    {DW_LANG_C_plus_plus_03, "c++"},
    {DW_LANG_C_plus_plus_11, "c++"},
    {DW_LANG_C_plus_plus_14, "c++"},
    {0x2a /* C++17 */, "c++"},
    {0x2b /* C++20 */, "c++"},
    {DW_LANG_Rust, "rust"},
    {DW_LANG_D, "d"},
    {DW_LANG_Go, "go"},
    {DW_LANG_OCaml, "ocaml"},
    {DW_LANG_Swift, "swift"},
    {LANG_ZIG, "zig"},
    {DW_LANG_Ada83, "ada"},
    {DW_LANG_Ada95, "ada"},
    {DW_LANG_Fortran77, "fortran"},
    {DW_LANG_Fortran90, "fortran"},
    {DW_LANG_Fortran95, "fortran"},
    {DW_LANG_Fortran03, "fortran"},
    {DW_LANG_Fortran08, "fortran"},
    {0x2d /* Fortran 2018 */, "fortran"},
    {DW_LANG_Pascal83, "pascal"},
    {DW_LANG_ObjC, "objc"},
    {DW_LANG_ObjC_plus_plus, "objc"},
    {DW_LANG_Java, "java"},
    {DW_LANG_Haskell, "haskell"},
    {DW_LANG_Julia, "julia"},
    {DW_LANG_Mips_Assembler, "assembly"},
};

/* Zig says that it is C99, for the sake of debuggers. */
static bool is_zig(Dwarf_Die *die)
{
    Dwarf_Attribute attr;
    const char *producer = dwarf_attr(die, DW_AT_producer, &attr) ? dwarf_formstring(&attr) : NULL;
    return producer && strncmp(producer, "zig ", 4) == 0;
}

const char *lines_language_of(uint64_t code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].code == code) {
            return codes[i].word;
        }
    }
    return "";
}

const char *lines_language(struct lines_unit *u)
{
    Dwarf_Attribute attr;
    Dwarf_Word code = 0;
    Dwarf_Die die = u->inner;
    if (u->language) {
        return u->language;
    }
    u->language = "";
    if (!dwarf_attr(&die, DW_AT_language, &attr) || dwarf_formudata(&attr, &code) != 0) {
        return u->language;
    }
    u->language = is_zig(&die) ? "zig" : lines_language_of(code);
    return u->language;
}
