/* binaries_internal.h - what the parts of binaries share. */
#ifndef STAX_INGEST_BINARIES_INTERNAL_H
#define STAX_INGEST_BINARIES_INTERNAL_H

#include "ingest/binaries.h"

static inline struct binary *binaries_item(const struct binaries *b, uint32_t id)
{
    return &b->items[id - 1];
}

/* The row of a symbol found in a table; base: of addresses that are relative to something. Texts
 * are the caller's. */
struct symbol_text binaries_text_of(uint32_t binary, const struct names_symbol *found,
                                    uint64_t base);
/* The symbol of the function that a part or a clone belongs to; 0: it is one itself. */
uint32_t binaries_whole_of(struct binaries *b, uint32_t binary, struct names *names,
                           const struct names_symbol *part, uint64_t base);
/* Says that a symbol is a function by that linkage name: what is inlined by it is the same one. */
void binaries_note_called(struct binaries *b, uint32_t binary, uint32_t symbol,
                          const struct names_symbol *found);
/* The symbol of a function found in a table; of what was known as inlined only, if that is the
 * same.
 */
uint32_t binaries_called_symbol(struct binaries *b, uint32_t binary, struct names *names,
                                const struct names_symbol *found, uint64_t base);
/* A mapped file when it is first seen, and its tables when an address asks. */
void binaries_open_file(struct binaries *b, struct binary *bin, const struct event_mapping *m);
void binaries_load(struct binaries *b, struct binary *bin);
/* Appends what tells a file from another that got the same inode or was written over it: its size
 * and times. Nothing is added when the file cannot be seen any more. */
void binaries_add_generation(struct binaries *b, struct buf *identity,
                             const struct event_mapping *m);
/* The tables of the file once more, if it is unchanged; NULL: it is not, or does not answer. */
struct names *binaries_read_again(struct binaries *b, uint32_t binary);
/* Frames that are at file offsets get the addresses that these are by the tables now, and with them
 * their functions at the next relayout. */
void binaries_readdress(struct binaries *b, uint32_t binary);
/* Gives back tables until their bound holds; keeps those of bin. */
void binaries_keep_small(struct binaries *b, const struct binary *bin);
/* The tables of a binary, read again if they were given back; NULL: none. */
struct names *binaries_tables(struct binaries *b, uint32_t binary);
/* The symbol of an address in a binary whose tables are names (may be NULL). */
uint32_t binaries_symbol_at(struct binaries *b, uint32_t binary, struct names *names,
                            uint64_t address, uint64_t base);

#endif
