/* waking.c - see waking.h. The common fields: include/linux/trace_events.h, struct trace_entry. */
#include "capture/waking.h"

#include <stdio.h>
#include <string.h>

enum {
    COMMON_FLAGS_AT = 2,
    COMMON_PID_AT = 4,
    COMMON_BYTES = 8,
    /* enum trace_flag_type */
    FLAG_HARD_IRQ = 0x08,
    FLAG_SOFT_IRQ = 0x10,
    FLAG_NMI = 0x40,
};

size_t waking_pid_offset(const char *format)
{
    static const char field[] = "field:pid_t pid;";
    const char *at = strstr(format, field);
    unsigned offset, size;
    if (!at || sscanf(at + sizeof(field) - 1, " offset:%u; size:%u;", &offset, &size) != 2 ||
        size != sizeof(int32_t) || offset < COMMON_BYTES || offset > UINT16_MAX) {
        return WAKING_PID_UNKNOWN;
    }
    return offset;
}

bool waking_parse(const void *raw, size_t n_bytes, size_t pid_offset, struct waking *w)
{
    const unsigned char *bytes = raw;
    if (n_bytes < COMMON_BYTES || pid_offset > n_bytes - sizeof(w->tid)) {
        return false;
    }
    uint8_t flags = bytes[COMMON_FLAGS_AT];
    *w = (struct waking){
        .is_hard_irq = flags & (FLAG_HARD_IRQ | FLAG_NMI),
        .is_soft_irq = flags & FLAG_SOFT_IRQ,
    };
    memcpy(&w->waker_tid, bytes + COMMON_PID_AT, sizeof(w->waker_tid));
    memcpy(&w->tid, bytes + pid_offset, sizeof(w->tid));
    return true;
}
