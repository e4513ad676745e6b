/* Any text as a linkage name: bounded output, clean, and no hang (run with -timeout). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "ingest/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* The first byte says how often the rest is repeated, which makes long and nested names likely. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (!n_bytes) {
        return 0;
    }
    static const char *const prefixes[] = {"",   "_Z",     "_R",   "_ZN",
                                           "_D", "_D3app", "caml", "camlA__"};
    struct buf name = {0};
    buf_addstr(&name, prefixes[data[0] & 7]);
    char *unit = mem_strndup((const char *)data + 1, n_bytes - 1);
    for (unsigned i = 0; i < 1 + (data[0] >> 3) && name.len < 20000; i++) {
        buf_addstr(&name, unit);
    }
    struct buf out = {0};
    const char *language = names_language(buf_str(&name));
    names_demangle(&out, buf_str(&name), data[0] & 128 ? "go" : language);
    if (out.len > (256 << 10) + 4 * name.len) {
        abort();
    }
    struct buf again = {0};
    text_clean(&again, buf_str(&out), out.len);
    if (strcmp(buf_str(&again), buf_str(&out)) != 0) {
        abort();
    }
    buf_free(&again);
    buf_free(&out);
    buf_free(&name);
    free(unit);
    return 0;
}
