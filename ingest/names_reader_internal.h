/*
 * names_reader_internal.h - one ELF file while its names are read: what names_elf.c and its parts
 * share.
 *
 * A reader of the mapped file owns struct names; readers of its separate debug file and of its
 * .gnu_debugdata (is_separate) add to the same names and builder, which borrow their strings until
 * names_build(). One thread.
 */
#ifndef STAX_INGEST_NAMES_READER_INTERNAL_H
#define STAX_INGEST_NAMES_READER_INTERNAL_H

#include "ingest/names_internal.h"

#include <libelf.h>

enum names_role {
    NAMES_ROLE_OTHER,
    NAMES_ROLE_EH_FRAME,
    NAMES_ROLE_DEBUG_INFO,
    NAMES_ROLE_LINK,
    NAMES_ROLE_DEBUGDATA,
    NAMES_ROLE_PLT,
    NAMES_ROLE_RELA_PLT,
    NAMES_ROLE_RELA_DYN
};

struct names_section {
    uint64_t address, size, offset;
    uint64_t entry_size;
    uint32_t link;
    uint32_t type;
    bool is_code;
    enum names_role role;
};

struct names_reader {
    /* Where the bytes come from: image if not NULL, else fd. */
    int fd;
    const uint8_t *image;
    uint64_t n_bytes;
    bool is_separate;                /* a debug file: symbols only */
    bool is_for_build_id;            /* nothing else is wanted of the file */
    enum names_source symtab_source; /* what symbols of its .symtab are said to come from */

    Elf *elf;
    uint8_t *copy; /* of image */
    struct names *n;
    struct names_builder *b;
    struct names_section *sections;
    size_t n_sections;
    struct names_reader *inner;                   /* of .gnu_debugdata, or NULL */
    uint64_t eh_header_offset, eh_header_address; /* PT_GNU_EH_FRAME, offset 0: none */
    unsigned address_bytes;
    unsigned machine; /* EM_* */
    bool has_debug_info;
};

/* Judges the header before libelf sees it. */
int names_reader_check(const struct names_reader *r, struct err *e);
/* Reads everything into r->n and r->b. Close it in any case, after names_build(). */
int names_reader_open(struct names_reader *r, struct err *e);
void names_reader_close(struct names_reader *r);

/* Bytes of the file as libelf converts them, valid until the reader is closed. NULL if cut off or
 * too large. */
Elf_Data *names_read_chunk(const struct names_reader *r, uint64_t offset, uint64_t n_bytes,
                           uint64_t max_bytes, Elf_Type type);

/* Adds the stubs of one .plt* section as function@plt, by the relocation of the slot each one jumps
 * through (x86-64). */
void names_add_plt(struct names_reader *r, const struct names_section *plt);
/* Adds the symbols of .gnu_debugdata, an ELF file packed by xz. */
void names_add_debugdata(struct names_reader *r, const struct names_section *s);

#endif
