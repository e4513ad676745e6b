/* Any bytes as a file with DWARF: lines and inlined functions of some addresses, bounded. The
 * corpus has small libraries built with DWARF 4 and 5, split, and compressed in both ways. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void look_up(struct lines *l)
{
    for (uint64_t address = 0; address < 0x3000; address += 37) {
        struct lines_row rows[LINES_MAX_DEPTH];
        struct buf text = {0};
        size_t n = lines_find(l, address, rows, &text);
        if (n > LINES_MAX_DEPTH) {
            abort();
        }
        for (size_t i = 0; i < n; i++) {
            if (rows[i].function >= text.len + !text.len || rows[i].file >= text.len + !text.len ||
                !rows[i].language) {
                abort();
            }
        }
        buf_free(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct lines *l;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, data, n_bytes) != 0) {
        abort();
    }
    if (lines_open(&l, fd, NULL, NULL) == 0) { /* has fd now */
        look_up(l);
        lines_close(l);
    } else {
        close(fd);
    }
    return 0;
}
