/* ring.c - see ring.h. */
#include "capture/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "capture/record.h"

int ring_map(struct ring *r, int fd, size_t data_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *at = mmap(NULL, page_bytes + data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    ring_init_memory(r, at, (const char *)at + page_bytes, data_bytes);
    r->mapped_bytes = page_bytes + data_bytes;
    return 0;
}

void ring_init_memory(struct ring *r, struct perf_event_mmap_page *page, const void *data,
                      size_t data_bytes)
{
    *r = (struct ring){.page = page, .data = data, .data_bytes = data_bytes};
}

void ring_unmap(struct ring *r)
{
    if (r->mapped_bytes) {
        munmap(r->page, r->mapped_bytes);
    }
    free(r->straight);
    *r = (struct ring){0};
}

size_t ring_begin(struct ring *r)
{
    /* Pairs with the kernel's store of data_head after it wrote the records. */
    r->head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
    r->tail = r->page->data_tail;
    r->is_bad = false;
    if (r->head - r->tail > r->data_bytes) {
        r->is_bad = true;
        r->tail = r->head;
    }
    return (size_t)(r->head - r->tail);
}

const void *ring_next(struct ring *r, size_t *size)
{
    if (r->head == r->tail) {
        return NULL;
    }
    size_t at = (size_t)(r->tail & (r->data_bytes - 1)), waiting = (size_t)(r->head - r->tail);
    struct perf_event_header head;
    /* Records are multiples of 8 bytes, so a header never wraps. */
    if (waiting >= sizeof(head) && at % 8 == 0) {
        memcpy(&head, r->data + at, sizeof(head));
        *size = head.size;
    } else {
        *size = 0;
    }
    if (*size < sizeof(head) || *size % 8 != 0 || *size > waiting) {
        r->is_bad = true;
        r->tail = r->head;
        return NULL;
    }
    r->tail += *size;
    if (at + *size <= r->data_bytes) {
        return r->data + at;
    }
    if (!r->straight) {
        r->straight = mem_new(1, RECORD_BYTES_MAX + 1);
    }
    size_t n_first = r->data_bytes - at;
    memcpy(r->straight, r->data + at, n_first);
    memcpy((char *)r->straight + n_first, r->data, *size - n_first);
    return r->straight;
}

void ring_end(struct ring *r)
{
    /* Our reads are done before the kernel may write there again. */
    __atomic_store_n(&r->page->data_tail, r->tail, __ATOMIC_RELEASE);
}
