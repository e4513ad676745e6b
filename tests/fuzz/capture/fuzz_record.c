/* Bytes as a ring would hold them, through ring, parser, order and follow; the events must be well
 * formed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/perf_event.h>

#include "base/queue.h"
#include "capture/events.h"
#include "capture/follow.h"
#include "capture/order.h"
#include "capture/proc.h"
#include "capture/record.h"
#include "capture/ring.h"
#include "capture/waking.h"

enum { RING_BYTES = 1 << 16, QUEUE_BYTES = 1 << 20, N_IDS = 8, WAKING_ID = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_batches(struct queue *queue)
{
    size_t n;
    for (void *batch; (batch = queue_pop(queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool bad;
        while (event_next(batch, n, &at, &bad)) {
        }
        if (bad || at != n) {
            abort();
        }
    }
}

/* Some of the ids write samples with all there is; one is that of wakeups, with raw data. */
static const struct record_format *format_of(const void *bytes, size_t size)
{
    static const struct record_format full = {.has_counters = true,
                                              .has_raw = true,
                                              .has_stack = true,
                                              .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID,
                                              .user_regs = 0xff01ff};
    static const struct record_format stack = {.has_stack = true, .user_regs = 0xff01ff};
    static const struct record_format raw = {.has_raw = true};
    uint64_t id = record_id(bytes, size);
    return id == 3 ? &full : id == 4 || id == 5 ? &stack : id == WAKING_ID ? &raw : NULL;
}

/* Samples with registers are unwound; nothing is read from anybody. One for all inputs, since it
 * has a thread. */
static struct unwinder *the_unwinder(void)
{
    static struct unwinder *unwinder;
    struct unwinder_options options = {.arch = &unwind_x86_64, .max_table_bytes = 1 << 20};
    struct err e;
    if (!unwinder && unwinder_new(&unwinder, &options, &e) != 0) {
        abort();
    }
    unwinder_collect(unwinder);
    return unwinder;
}

static void tell(struct order *order, struct follow *follow, int64_t limit_ts)
{
    int64_t ts, last = 0;
    size_t size;
    order_release(order, limit_ts);
    for (const void *bytes; (bytes = order_next(order, &ts, &size));) {
        struct record r;
        if (ts < last || record_parse(bytes, size, format_of(bytes, size), &r) != 0) {
            abort(); /* it was in order and well formed when it was added */
        }
        last = ts;
        follow_record(follow, &r, ts, false);
    }
    follow_tick(follow, limit_ts);
}

static void fuzz_ring(const uint8_t *data, size_t size)
{
    struct perf_event_mmap_page *page = calloc(1, sizeof(*page));
    uint8_t *memory = aligned_alloc(8, RING_BYTES);
    struct queue *queue = queue_new(QUEUE_BYTES);
    struct map sources = {0};
    struct ring ring;
    struct order order = {0};
    for (uint64_t id = 1; id <= N_IDS; id++) {
        *map_put(&sources, id) = id == N_IDS       ? UINT32_MAX
                                 : id == WAKING_ID ? EVENTS_WAKING | 1
                                                   : (uint32_t)id;
    }
    const size_t pid_offset = WAKING_PID_USUAL;
    struct follow_options options = {.pid = 1,
                                     .with_children = size % 2,
                                     .max_stack = 127,
                                     .period_ns = 1,
                                     .out = queue,
                                     .sources = &sources,
                                     .has_switches = size % 3 != 0,
                                     .waking_pid_offset = &pid_offset};
    options.unwinder = the_unwinder();
    struct follow *follow = follow_new(&options);
    if (!page || !memory) {
        abort();
    }
    memset(memory, 0, RING_BYTES);
    ring_init_memory(&ring, page, memory, RING_BYTES);
    page->data_head = page->data_tail = RING_BYTES - 64; /* so that something wraps */
    while (size) {
        size_t n = size < RING_BYTES ? size : RING_BYTES;
        for (size_t i = 0; i < n; i++) {
            memory[(page->data_head + i) % RING_BYTES] = data[i];
        }
        page->data_head += n;
        data += n;
        size -= n;
        size_t record_size;
        int64_t limit_ts = 0;
        ring_begin(&ring);
        for (const void *bytes; (bytes = ring_next(&ring, &record_size));) {
            struct record r;
            if (record_parse(bytes, record_size, format_of(bytes, record_size), &r) == 0) {
                size_t kept = record_trimmed_size(&r, record_size);
                record_trim(&r, record_size, order_room(&order, r.ts, kept));
                limit_ts = r.ts / 2;
            }
        }
        ring_end(&ring);
        tell(&order, follow, limit_ts);
    }
    tell(&order, follow, INT64_MAX);
    follow_end(follow, 0, EVENT_END_STOPPED);
    check_batches(queue);
    follow_free(follow);
    order_free(&order);
    ring_unmap(&ring);
    map_free(&sources);
    queue_free(queue);
    free(memory);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ring(data, size);
    return 0;
}
