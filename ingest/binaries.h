/*
 * binaries.h - the files (and kernel, vDSO, anonymous code) that addresses belong to, and the
 * frames and symbols found in them.
 *
 * A mapped file is opened when it is first seen, through the target's own root, and checked against
 * the mapping's inode, so that a file replaced or deleted later still gives the right names. Its
 * symbol tables are read when the first address needs them. Both is done by threads that may hang
 * in it (file_reader.h): one that does not answer is taken later. One thread.
 */
#ifndef STAX_INGEST_BINARIES_H
#define STAX_INGEST_BINARIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/aside.h"
#include "capture/event.h"
#include "ingest/intern.h"
#include "ingest/names.h"

struct binary {
    char *path; /* clean text, as the row has it */
    char *name;
    const char *kind; /* static */
    char *build_id;   /* or NULL */
    bool has_addresses;
    const char *names_from; /* static */
    const char *note;       /* static or own_note, or NULL */
    char *own_note;         /* note, where it is not static */
    char *server_note; /* what became of asking debuginfod, or NULL; the end of the row's note */
    bool has_lack;     /* own_note is what its debug information lacks */
    char *package;     /* that the file came in, or NULL */
    bool is_changed;   /* differs from its row */
    bool is_memory;    /* not a file: code made at run time may be there (jit.h) */
    bool is_dump;      /* a jitdump: code lies at file offsets */

    char *open_path; /* how the file is opened again, NULL: not a file */
    uint64_t device, inode;
    int fd; /* kept for the tables and, while there is room, for the code; -1 */
    int64_t code_bytes, code_mtime_ns; /* of the file when its tables were read */
    bool is_loaded;                    /* tables were read or cannot be */
    struct names *names;
    struct map frames;    /* rel_address -> frame id */
    struct map symbols;   /* start -> symbol id */
    bool is_late;         /* its file does not answer: frames are at file offsets until it does */
    bool is_asked;        /* binaries.naming looks for better names */
    bool is_asking_again; /* for lines of frames that were asked already, */
    uint32_t asked_again; /* ... up to this id */
    bool is_renamed;      /* its tables are not those of the file itself */
    uint64_t used;        /* when its tables were last asked; the larger, the later */
    size_t n_unnamed;
    uint32_t overflow_symbol; /* of all further unnamed addresses, 0: none yet */
};

struct binaries {
    struct intern *intern;
    struct jit *jit;       /* code made at run time; NULL: nobody knows; borrowed */
    struct naming *naming; /* looks for better names than the files have; NULL: nobody; borrowed */
    struct aside *aside;   /* opens and reads files; NULL: without_files */
    struct binary *items;  /* id is index + 1 */
    size_t n_items, n_written, cap_items;
    struct strmap by_identity;
    struct strmap markers;   /* marker name -> frame id */
    struct strmap inlined;   /* what tells an inlined function from others -> its symbol */
    struct map inlined_only; /* symbols that were known as inlined first -> enum inlined_state */
    const char *kallsyms;    /* path, "" for none */
    int kallsyms_fd;         /* the same, open; -1: not yet */
    bool without_files;
    size_t n_fds, n_code_fds, n_dump_fds;
    /* Symbol tables may have so many bytes in all. Those of files that can be read again are given
     * back, the least recently used first; better tables (binaries_rename()) and the kernel's stay.
     */
    size_t max_table_bytes;
    size_t n_dropped; /* how often that was done */
    uint64_t clock;
    uint32_t unknown; /* binary id, 0 until needed */
    uint32_t kernel;  /* binary id, 0 until needed */
    uint64_t kernel_base;
    struct names *kernel_names;
    struct map kernel_pcs, kernel_returns; /* address -> frame id */
};

/* A function that is inlined, as debug information tells of it. */
struct inlined_function {
    const char *linkage_name;
    bool is_static;       /* only its file can call it: others may have its name */
    const char *declared; /* where, of a static one: what tells it from those; or "" */
    uint64_t address;     /* where it begins if it is called too, else 0 */
};

void binaries_init(struct binaries *b, struct intern *intern, const char *kallsyms,
                   bool without_files);
void binaries_fini(struct binaries *b);

/* The binary of a mapping of process upid, registered when new. is_main: the first file of a fresh
 * address space. */
uint32_t binaries_of_mapping(struct binaries *b, const struct event_mapping *m, uint32_t upid,
                             bool is_main);
/* What stands for code that a process made at run time: [anon], or the file that tells of it.
 * owner: tells those of one path apart. */
uint32_t binaries_of_process(struct binaries *b, uint64_t owner, const char *path);
/* The binary of addresses that no mapping holds. */
uint32_t binaries_unknown(struct binaries *b);

/* The frame of a file offset (unmapped and anonymous code: the address). */
uint32_t binaries_frame(struct binaries *b, uint32_t binary, uint64_t file_offset);
/* The frame of a kernel address; is_return: a return address. */
uint32_t binaries_kernel_frame(struct binaries *b, uint64_t address, bool is_return);
/* The pseudo-frame that stands for a process name or a marker such as [truncated stack]. */
uint32_t binaries_marker_frame(struct binaries *b, const char *name, size_t len,
                               enum symbol_kind kind);

/* Takes the note, of a binary whose row follows. */
void binaries_set_note(struct binary *bin, char *note);
/* The same of its server_note. */
void binaries_set_server_note(struct binary *bin, char *note);

/* For a file that holds a run already: binaries and symbols as their rows have them, in the order
 * of their ids, texts copied. inlined: linkage name of a symbol that is only inlined, else NULL. */
void binaries_adopt(struct binaries *b, const char *path, const char *kind, const char *build_id,
                    const char *names_from, const char *note, bool has_addresses);
void binaries_adopt_symbol(struct binaries *b, uint32_t binary, uint32_t symbol,
                           uint64_t rel_address, const char *inlined);

/* Takes better symbols of a binary and names the symbols that are known so far by them, where both
 * begin at the same address. Frames that lie in another function are moved there by the next
 * relayout. */
void binaries_rename(struct binaries *b, uint32_t binary, struct names *names,
                     enum names_source source);
/* Takes files that have answered since: their frames move to addresses and functions at the next
 * relayout. True: there was one. */
bool binaries_take_late(struct binaries *b);
/* The symbol that a frame would get now. */
uint32_t binaries_symbol(struct binaries *b, const struct frame *frame);
/* The symbol of a function that is inlined somewhere in a binary: the one of the function itself,
 * where that is known. */
uint32_t binaries_inlined(struct binaries *b, uint32_t binary, const struct inlined_function *f);
/* A new descriptor of the file whose tables were read, -1 if it is not open or was written to
 * since; of a jitdump also while it grows. */
int binaries_open_code(const struct binaries *b, uint32_t binary);
/* Gives the function that begins at an ELF virtual address a symbol. False: none does. */
bool binaries_name_start(struct binaries *b, uint32_t binary, uint64_t address);
/* The same of a file offset, whose address is in *address then. */
bool binaries_name_offset(struct binaries *b, uint32_t binary, uint64_t offset, uint64_t *address);

size_t binaries_bytes(const struct binaries *b);
/* Of it, what symbol tables take. */
size_t binaries_table_bytes(const struct binaries *b);

#endif
