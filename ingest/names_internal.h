/*
 * names_internal.h - what the parts of names (names_*.c) share.
 *
 * A reader collects entries in a struct names_builder; names_build() turns them into the lookup
 * table of a struct names. Names in entries are borrowed until names_build() has copied the
 * winners. One thread at a time.
 */
#ifndef STAX_INGEST_NAMES_INTERNAL_H
#define STAX_INGEST_NAMES_INTERNAL_H

#include "ingest/names.h"

/* More symbols than any real binary has; what comes after is ignored. */
enum { NAMES_MAX_ENTRIES = 4 << 20 };

/* Which of several names of one address is taken: the lowest. */
enum names_rank {
    NAMES_RANK_GLOBAL,
    NAMES_RANK_WEAK,
    NAMES_RANK_LOCAL,
    NAMES_RANK_LABEL,   /* no function by its type: dropped inside one */
    NAMES_RANK_EXTENT,  /* .eh_frame: no name */
    NAMES_RANK_BOUNDARY /* no code, only ends what comes before it */
};

struct names_entry {
    uint64_t start;
    uint64_t size;  /* 0: up to the next entry */
    uint64_t limit; /* address that it cannot reach past (end of section or segment) */
    const char *name;
    uint16_t module; /* index + 1 into struct names.modules, 0: none */
    uint8_t source;  /* enum names_source */
    uint8_t rank;    /* enum names_rank */
    bool is_ifunc;   /* the code chooses a function of that name when the program is loaded */
};

struct names_builder {
    struct names_entry *entries;
    size_t n_entries, cap_entries;
    size_t made_bytes;  /* of names made up for stubs */
    size_t name_budget; /* bytes of names that may be looked at and copied */
    char **made;        /* names that no table has (function@plt), owned */
    size_t n_made, cap_made;
    bool is_kernel; /* the last symbol of a module ends near its start, not at the next module */
};

struct names_segment {
    uint64_t offset, file_size; /* in the file */
    uint64_t address, size;     /* in memory */
    bool is_executable;
};

struct names_function {
    uint64_t start, size;
    uint32_t name; /* offset into strings, NAMES_NO_NAME for extents */
    uint16_t module;
    uint8_t source;
    bool is_global; /* also weak */
};
#define NAMES_NO_NAME UINT32_MAX

struct names {
    struct names_function *functions; /* by start */
    size_t n_functions, cap_functions;
    /* Disjoint spans: from starts[i] to starts[i + 1] belongs to function owners[i] - 1 (0: none).
     */
    uint64_t *starts;
    uint32_t *owners;
    size_t n_spans, cap_starts, cap_owners;
    struct buf strings;
    char **modules;
    size_t n_modules, cap_modules;
    struct names_segment *segments;
    size_t n_segments;
    char *build_id;
    enum names_source best_source;
    uint64_t kernel_base;
    bool has_debug_info;
    char *debug_link; /* NULL: none */
    uint32_t debug_link_crc;
    bool is_dropped;
    bool is_go;                  /* made by the Go linker */
    struct names_wholes *wholes; /* by names_find_whole(), NULL: not asked yet */
};

/* Negative if a is the better name of their common address. */
int names_compare(const struct names_entry *a, const struct names_entry *b);
/* Length of a name without the suffixes of parts and clones; with_others: also those that other
 * functions of the same name got. */
size_t names_length_without_suffixes(const char *name, size_t len, bool with_others);
/* Appends the readable form of an OCaml name (false: it is none), or of a Go name. */
bool names_read_ocaml(struct buf *out, const char *name, size_t len);
void names_read_go(struct buf *out, const char *name, size_t len);
void names_free_wholes(struct names_wholes *w);
size_t names_wholes_bytes(const struct names_wholes *w);
/* Symbol of a function by its index in n->functions. */
struct names_symbol names_symbol_of(const struct names *n, uint32_t function);

/* Adds an entry; past NAMES_MAX_ENTRIES it is ignored. */
void names_add(struct names_builder *b, const struct names_entry *entry);
/* Fills functions, spans, strings and best_source. The entries are sorted, not freed. */
void names_build(struct names *n, struct names_builder *b);
void names_builder_fini(struct names_builder *b);

/* End of the executable segment that holds address, 0 if none does. */
uint64_t names_executable_end(const struct names *n, uint64_t address);

/* Adds the function extents of .eh_frame contents (n_bytes at virtual address) in executable
 * segments. address_bytes is 4 or 8. Malformed contents end the walk; nothing is read past them.
 * Format: LSB Core, "Exception Frames"; DWARF 5 §6.4. */
void names_add_eh_frame(const struct names *n, struct names_builder *b, const uint8_t *bytes,
                        size_t n_bytes, uint64_t address, unsigned address_bytes);

/* One encoded pointer (DW_EH_PE_*) at *at, whose own address is address. Advances *at. False: past
 * the end or an encoding that needs more than the section. */
bool names_eh_pointer(const uint8_t **at, const uint8_t *end, uint8_t encoding, uint64_t address,
                      unsigned address_bytes, uint64_t *value);

#endif
