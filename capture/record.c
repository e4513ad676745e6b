/* record.c - see record.h. */
#include "capture/record.h"

#include <string.h>

#include <linux/perf_event.h>
#include <sys/mman.h>

#include "base/err.h"

_Static_assert(RECORD_SAMPLE_TYPE ==
                   (PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
                    PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD | PERF_SAMPLE_CALLCHAIN),
               "record.h spells the sample type without the kernel's header");

/* What sample_id_all appends to every record that is not a sample, for RECORD_SAMPLE_TYPE. */
struct trailer {
    uint32_t pid, tid;
    uint64_t time;
    uint32_t cpu, reserved;
    uint64_t id;
};

/* A read position that refuses to leave its record; an overrun sticks. */
struct cursor {
    const char *at, *end;
    bool is_overrun;
};

static void take(struct cursor *c, void *out, size_t n)
{
    if ((size_t)(c->end - c->at) < n) {
        c->is_overrun = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, c->at, n);
    c->at += n;
}

static uint32_t take_u32(struct cursor *c)
{
    uint32_t v;
    take(c, &v, sizeof(v));
    return v;
}

static uint64_t take_u64(struct cursor *c)
{
    uint64_t v;
    take(c, &v, sizeof(v));
    return v;
}

/* The terminated text up to the end of the body; without a terminator the record is malformed. */
static const char *take_text(struct cursor *c, size_t *len)
{
    const char *text = c->at;
    *len = strnlen(text, (size_t)(c->end - c->at));
    if (*len == (size_t)(c->end - c->at)) {
        c->is_overrun = true;
    }
    c->at = c->end;
    return text;
}

static void parse_sample(struct cursor *c, unsigned misc, struct record *r)
{
    r->kind = RECORD_SAMPLE;
    r->id = take_u64(c);
    r->sample.ip = take_u64(c);
    r->pid = (int32_t)take_u32(c);
    r->tid = (int32_t)take_u32(c);
    r->ts = (int64_t)take_u64(c);
    r->cpu = take_u32(c);
    take_u32(c);
    r->sample.period = take_u64(c);
    uint64_t n = take_u64(c);
    if (c->is_overrun || n > (size_t)(c->end - c->at) / sizeof(uint64_t)) {
        c->is_overrun = true;
        return;
    }
    r->sample.chain = (const uint64_t *)(const void *)c->at;
    r->sample.n_chain = (size_t)n;
    r->sample.is_kernel = (misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
}

static void parse_mapping2(struct cursor *c, unsigned misc, struct record *r)
{
    r->kind = RECORD_MAPPING;
    r->pid = (int32_t)take_u32(c);
    r->tid = (int32_t)take_u32(c);
    r->mapping.start = take_u64(c);
    r->mapping.size = take_u64(c);
    r->mapping.file_offset = take_u64(c);
    uint64_t major = take_u32(c), minor = take_u32(c);
    uint64_t inode = take_u64(c);
    take_u64(c); /* inode generation */
    if (!(misc & PERF_RECORD_MISC_MMAP_BUILD_ID)) {
        r->mapping.device = major << 32 | minor;
        r->mapping.inode = inode;
    }
    r->mapping.is_executable = take_u32(c) & PROT_EXEC;
    take_u32(c); /* flags */
    r->mapping.path = take_text(c, &r->mapping.path_len);
}

static void parse_mapping(struct cursor *c, unsigned misc, struct record *r)
{
    r->kind = RECORD_MAPPING;
    r->pid = (int32_t)take_u32(c);
    r->tid = (int32_t)take_u32(c);
    r->mapping.start = take_u64(c);
    r->mapping.size = take_u64(c);
    r->mapping.file_offset = take_u64(c);
    r->mapping.is_executable = !(misc & PERF_RECORD_MISC_MMAP_DATA);
    r->mapping.path = take_text(c, &r->mapping.path_len);
}

static void parse_name(struct cursor *c, unsigned misc, struct record *r)
{
    r->kind = RECORD_NAME;
    r->pid = (int32_t)take_u32(c);
    r->tid = (int32_t)take_u32(c);
    r->name.is_exec = misc & PERF_RECORD_MISC_COMM_EXEC;
    r->name.text = take_text(c, &r->name.len);
}

static void parse_task(struct cursor *c, enum record_kind kind, struct record *r)
{
    r->kind = kind;
    r->pid = (int32_t)take_u32(c);
    r->fork.parent_pid = (int32_t)take_u32(c);
    r->tid = (int32_t)take_u32(c);
    r->fork.parent_tid = (int32_t)take_u32(c);
    take_u64(c); /* time, again in the trailer */
}

static void parse_body(struct cursor *c, const struct perf_event_header *head, struct record *r)
{
    switch (head->type) {
    case PERF_RECORD_MMAP:
        parse_mapping(c, head->misc, r);
        break;
    case PERF_RECORD_MMAP2:
        parse_mapping2(c, head->misc, r);
        break;
    case PERF_RECORD_COMM:
        parse_name(c, head->misc, r);
        break;
    case PERF_RECORD_FORK:
        parse_task(c, RECORD_FORK, r);
        break;
    case PERF_RECORD_EXIT:
        parse_task(c, RECORD_EXIT, r);
        break;
    case PERF_RECORD_LOST:
        r->kind = RECORD_LOST;
        take_u64(c); /* id of the event that met the full ring */
        r->n_lost = take_u64(c);
        break;
    case PERF_RECORD_LOST_SAMPLES:
        r->kind = RECORD_LOST;
        r->n_lost = take_u64(c);
        break;
    case PERF_RECORD_SWITCH:
        r->kind = RECORD_SWITCH;
        r->task_switch.is_out = head->misc & PERF_RECORD_MISC_SWITCH_OUT;
        r->task_switch.is_preempted = head->misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
        break;
    case PERF_RECORD_THROTTLE:
        r->kind = RECORD_THROTTLE;
        break;
    default:
        r->kind = RECORD_OTHER;
        break;
    }
}

int record_parse(const void *bytes, size_t size, struct record *r)
{
    struct perf_event_header head;
    memset(r, 0, sizeof(*r));
    if (size < sizeof(head)) {
        return STAX_ECORRUPT;
    }
    memcpy(&head, bytes, sizeof(head));
    if (head.size != size || size % 8 != 0) {
        return STAX_ECORRUPT;
    }
    struct cursor c = {(const char *)bytes + sizeof(head), (const char *)bytes + size, false};
    if (head.type == PERF_RECORD_SAMPLE) {
        parse_sample(&c, head.misc, r);
        return c.is_overrun || r->ts < 0 ? STAX_ECORRUPT : 0;
    }
    struct trailer trailer;
    if (size < sizeof(head) + sizeof(trailer)) {
        return STAX_ECORRUPT;
    }
    c.end -= sizeof(trailer);
    memcpy(&trailer, c.end, sizeof(trailer));
    r->ts = (int64_t)trailer.time;
    r->cpu = trailer.cpu;
    r->id = trailer.id;
    r->pid = (int32_t)trailer.pid;
    r->tid = (int32_t)trailer.tid;
    parse_body(&c, &head, r);
    return c.is_overrun || r->ts < 0 ? STAX_ECORRUPT : 0;
}

void record_make_lost(uint64_t words[RECORD_LOST_WORDS], int64_t ts, uint32_t cpu, uint64_t n)
{
    const struct {
        struct perf_event_header head;
        uint64_t id, n;
        struct trailer trailer;
    } record = {.head = {.type = PERF_RECORD_LOST, .size = sizeof(record)},
                .n = n,
                .trailer = {.time = (uint64_t)ts, .cpu = cpu}};
    _Static_assert(sizeof(record) == RECORD_LOST_WORDS * sizeof(uint64_t), "its size");
    memcpy(words, &record, sizeof(record));
}

static bool is_context(uint64_t address)
{
    return address >= (uint64_t)PERF_CONTEXT_MAX;
}

size_t record_addresses(const struct record *r, uint64_t *addresses, size_t max, size_t *n_kernel)
{
    bool in_kernel = r->sample.is_kernel;
    size_t n = 0;
    *n_kernel = 0;
    for (size_t i = 0; i < r->sample.n_chain && n < max; i++) {
        uint64_t address = r->sample.chain[i];
        if (is_context(address)) {
            in_kernel = address == (uint64_t)PERF_CONTEXT_KERNEL;
            continue;
        }
        if (n == 0 && address != r->sample.ip) {
            /* The chain did not begin at the sampled instruction (it may be empty of its own
             * context when user stacks are refused): the pc is known all the same. */
            addresses[n++] = r->sample.ip;
            *n_kernel = r->sample.is_kernel;
            if (n == max) {
                break;
            }
        }
        /* Kernel addresses come first; a second kernel part would be a chain gone wrong. */
        if (in_kernel && *n_kernel != n) {
            break;
        }
        addresses[n++] = address;
        *n_kernel += in_kernel;
    }
    if (n == 0) {
        addresses[n++] = r->sample.ip;
        *n_kernel = r->sample.is_kernel;
    }
    return n;
}
