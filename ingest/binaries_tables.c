/* binaries_tables.c - the memory that symbol tables take (binaries.h). */
#include "ingest/binaries_internal.h"

size_t binaries_table_bytes(const struct binaries *b)
{
    size_t n = b->kernel_names ? names_bytes(b->kernel_names) : 0;
    for (size_t i = 0; i < b->n_items; i++) {
        n += b->items[i].names ? names_bytes(b->items[i].names) : 0;
    }
    return n;
}

static bool can_be_dropped(const struct binary *bin)
{
    return bin->names && bin->fd >= 0 && !bin->is_renamed && !names_is_dropped(bin->names);
}

void binaries_keep_small(struct binaries *b, const struct binary *bin)
{
    size_t n_bytes = binaries_table_bytes(b);
    while (n_bytes > b->max_table_bytes) {
        struct binary *oldest = NULL;
        for (size_t i = 0; i < b->n_items; i++) {
            struct binary *other = &b->items[i];
            if (other != bin && can_be_dropped(other) && (!oldest || other->used < oldest->used)) {
                oldest = other;
            }
        }
        if (!oldest) {
            return;
        }
        n_bytes -= names_bytes(oldest->names);
        names_drop(oldest->names);
        n_bytes += names_bytes(oldest->names);
        b->n_dropped++;
    }
}

struct names *binaries_tables(struct binaries *b, uint32_t binary)
{
    struct binary *bin = binaries_item(b, binary);
    bin->used = ++b->clock;
    if (bin->names && names_is_dropped(bin->names)) {
        struct names *names = binaries_read_again(b, binary);
        if (names) {
            names_close(bin->names);
            bin->names = names;
            binaries_keep_small(b, bin);
        }
    }
    return bin->names;
}
