/* Any bytes as a jitdump or a perf map, read in pieces, and what they tell given to frames. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/jit.h"
#include "base/jitdump.h"
#include "ingest/perf_map.h"

static const int64_t SAMPLE_TS_MAX = INT64_MAX >> 1; /* after a century */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_dump(const uint8_t *data, size_t n_bytes, size_t piece, struct jit_batch *batch)
{
    struct jitdump d = {0};
    bool is_more = true;
    while (is_more) {
        uint64_t first = d.at;
        size_t want = d.want > piece ? d.want : piece;
        size_t left = first < n_bytes ? n_bytes - (size_t)first : 0, n = want < left ? want : left;
        uint8_t *own = mem_new(n ? n : 1, 1); /* exactly as long, so that reading past it is seen */
        memcpy(own, data + (n ? first : 0), n);
        while (d.at - first <= n &&
               jitdump_feed(&d, own + (d.at - first), n - (size_t)(d.at - first), batch)) {
        }
        free(own);
        if (d.at < first) {
            abort();
        }
        is_more = d.at != first || (d.want > n && n < left);
    }
    size_t n_left = d.at < n_bytes ? n_bytes - (size_t)d.at : 0;
    jitdump_end(&d, data + (n_left ? d.at : 0), n_left, n_bytes);
    jitdump_settle(&d, batch);
}

static void read_map(const uint8_t *data, size_t n_bytes, size_t piece, struct jit_batch *batch)
{
    struct perf_map m = {0};
    for (size_t at = 0, end = 0; end < n_bytes;) {
        end = n_bytes - end < piece ? n_bytes : end + piece;
        char *own = mem_new(end - at + 1, 1);
        memcpy(own, data + at, end - at);
        at += perf_map_feed(&m, own, end - at, (int64_t)at, batch);
        free(own);
    }
}

static void use(struct jit_batch *batch, bool is_map)
{
    struct intern intern = {0};
    struct binaries binaries;
    struct store store = {0};
    struct tasks tasks = {0};
    struct jit jit;
    binaries_init(&binaries, &intern, "", true);
    jit_init(&jit, &binaries, &store, 0, false);
    struct process *p = tasks_process(&tasks, tasks_start_process(&tasks, 0, 1, 0, "p", 1, "", 0));
    batch->source = jit_add_source(&jit, p, binaries_of_process(&binaries, 1, "/x"), is_map);
    for (int pass = 0; pass < 2; pass++) { /* before it is told, and after */
        for (size_t i = 0; i < batch->n_items && i < 64; i++) {
            const struct jit_item *item = &batch->items[i];
            jit_enter(&jit, p, item->ts & SAMPLE_TS_MAX); /* the kernel's, not hostile */
            if (!jit_frame(&jit, p, item->address + item->size / 2, i & 1, true)) {
                abort();
            }
        }
        jit_take_batch(&jit, batch);
    }
    jit_finish(&jit, 0);
    jit_fini(&jit);
    for (size_t i = 0; i < store.n_lines; i++) {
        free(store.lines[i].file);
    }
    free(store.lines);
    free(store.moved_frames);
    tasks_free(&tasks);
    binaries_fini(&binaries);
    intern_free(&intern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct jit_batch batch = {0};
    if (n_bytes < 2) {
        return 0;
    }
    bool is_map = data[0] & 1;
    (is_map ? read_map : read_dump)(data + 2, n_bytes - 2, 1u + data[1], &batch);
    for (size_t i = 0; i < batch.n_items; i++) {
        const struct jit_item *item = &batch.items[i];
        if (!item->size || item->address + item->size < item->address ||
            item->first_line + item->n_lines > batch.n_lines) {
            abort();
        }
    }
    use(&batch, is_map);
    jit_batch_fini(&batch);
    return 0;
}
