/*
 * names.h - the symbols of one binary (ELF file, vDSO image or the kernel), looked up by address.
 *
 * Tables are read when the object is opened and never touch the file again; memory is bounded by
 * the symbols kept. Every byte of the file is hostile. One thread at a time.
 */
#ifndef STAX_INGEST_NAMES_H
#define STAX_INGEST_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct names;

/* Where the best symbol table of a binary came from, in binary.names_from / symbol.source words.
 * From poor to good: where two name an address, the later is taken. */
#define NAMES_SOURCES(X)                                                                           \
    X(NONE, "none")                                                                                \
    X(EH_FRAME, "eh_frame")                                                                        \
    X(PLT, "plt")                                                                                  \
    X(DYNSYM, "dynsym")                                                                            \
    X(DEBUGDATA, "gnu_debugdata")                                                                  \
    X(SYMTAB, "symtab")                                                                            \
    X(DEBUG_FILE, "debug_file")                                                                    \
    X(DEBUGINFOD, "debuginfod")                                                                    \
    X(DWARF, "dwarf")                                                                              \
    X(PERF_MAP, "perf_map")                                                                        \
    X(JITDUMP, "jitdump")                                                                          \
    X(KALLSYMS, "kallsyms")
enum names_source {
#define X(name, text) NAMES_##name,
    NAMES_SOURCES(X)
#undef X
};
const char *names_source_text(enum names_source s);
/* The source that a word means; NAMES_NONE when it means none. */
enum names_source names_source_of(const char *text);

struct names_symbol {
    const char *linkage_name; /* raw bytes as the table has them, NUL-terminated, owned by the
                                 names object; NULL for NAMES_EH_FRAME (only the extent is known) */
    uint64_t start;           /* ELF virtual address (kernel: absolute) */
    uint64_t size;            /* bytes; from the table or up to the next symbol */
    enum names_source source;
    bool is_global;       /* or weak: no static function. Local ones may have been hidden only */
    const char *module;   /* kernel module name, or NULL */
    const char *language; /* as symbol.language: what its name or its binary tells; static */
};

/* Reads the symbol tables of an ELF file: .symtab, .dynsym (functions, also IFUNC; one name per
 * address: global before weak before local, then the shortest underscore prefix), and function
 * extents from .eh_frame_hdr/.eh_frame where no symbol covers them. The descriptor is borrowed.
 * Errors: STAX_ECORRUPT with what is wrong; a file without any names is not an error. */
int names_open_elf(struct names **out, int fd, struct err *e);
/* The same with the symbols of its separate debug file (debug_fd, borrowed; -1: none) added, said
 * to come from debug_source. That the two belong together is for the caller to know. */
int names_open_elf_debug(struct names **out, int fd, int debug_fd, enum names_source debug_source,
                         struct err *e);
/* The same from memory (the vDSO image); bytes are only read during the call. */
int names_open_elf_image(struct names **out, const void *image, size_t n_bytes, struct err *e);
/* The same of a mapped file that is gone, from the memory of a process that maps it at address and
 * may be read (ptrace(2)): build id, segments, extents. STAX_ENOTFOUND, STAX_EPERMISSION. */
int names_open_memory(struct names **out, int pid, uint64_t address, uint64_t inode, struct err *e);
/* Whether libelf may be let at a file: an ELF header that claims nothing absurd. */
int names_check_elf(int fd, struct err *e);
/* The same, and that the file has all that its section headers tell of. The message is a few words
 * on what is wrong: "not an ELF file", "cut off after 2000 bytes". */
int names_check_whole(int fd, struct err *e);
/* The GNU build id of an ELF file in hex, free(); NULL: none. Reads no more than its notes. */
char *names_read_build_id(int fd);
/* Text symbols of /proc/kallsyms from an open descriptor. STAX_EPERMISSION if all addresses are 0.
 */
int names_open_kallsyms(struct names **out, int fd, struct err *e);
/* Gives back the symbols; build id, segments and the rest stay. Nothing is found from then on. */
void names_drop(struct names *n);
bool names_is_dropped(const struct names *n);
/* NULL is accepted. */
void names_close(struct names *n);

/* The symbol that contains address. False: none. */
bool names_find(const struct names *n, uint64_t address, struct names_symbol *symbol);
/* The function that a symbol is a part or a clone of (foo for foo.cold and foo.isra.0; the first of
 * its clones where the table has no foo). False: it is one itself, or the table has several
 * functions that it could belong to. The first call for a table reads all its names. */
bool names_find_whole(struct names *n, const struct names_symbol *part, struct names_symbol *whole);

/* ELF virtual address of a file offset by the program headers (executable PT_LOAD first); false if
 * no segment holds it. */
bool names_address_of_offset(const struct names *n, uint64_t file_offset, uint64_t *address);

/* Whether the file, or its debug file, has DWARF. */
bool names_has_debug_info(const struct names *n);
/* The file name in .gnu_debuglink and the CRC-32 of that file; NULL if it has none. Owned by n. */
const char *names_debug_link(const struct names *n, uint32_t *crc);
/* GNU build id in lower-case hex, or NULL. Owned by n. */
const char *names_build_id(const struct names *n);
enum names_source names_best_source(const struct names *n);
/* kernel: address of the first text symbol (_text / _stext), 0 otherwise. */
uint64_t names_kernel_base(const struct names *n);
size_t names_bytes(const struct names *n);

/* Appends the readable form of a linkage name, cleaned by text_clean(): demangled (Itanium C++,
 * Rust legacy and v0, D by libiberty; OCaml, Go), without what compilers append to parts and clones
 * of a function (.part.0, .cold, .isra.0, .constprop.0, .llvm.123, .lto_priv.0). language: as in
 * struct names_symbol. Bounded in time and memory: names over 16 KiB or that explode stay as they
 * are. */
void names_demangle(struct buf *out, const char *linkage_name, const char *language);

/* The language that a linkage name is mangled by, "" if it tells none. Static. */
const char *names_language(const char *linkage_name);
/* The static text of a word that is one of symbol.language; "" if it is none. */
const char *names_language_of_word(const char *word);

#endif
