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

/* n elements of size bytes, left where they are. */
static const void *take_array(struct cursor *c, uint64_t n, size_t size)
{
    const void *array = c->at;
    if (c->is_overrun || n > (size_t)(c->end - c->at) / size) {
        c->is_overrun = true;
        return NULL;
    }
    c->at += n * size;
    return array;
}

/* struct read_format of perf_event_open(2), with PERF_FORMAT_GROUP. */
static void parse_counters(struct cursor *c, uint64_t format, struct record_counters *counters)
{
    uint64_t n = take_u64(c);
    counters->enabled_ns = format & PERF_FORMAT_TOTAL_TIME_ENABLED ? take_u64(c) : 0;
    counters->running_ns = format & PERF_FORMAT_TOTAL_TIME_RUNNING ? take_u64(c) : 0;
    counters->n_words = 1 + !!(format & PERF_FORMAT_ID) + !!(format & PERF_FORMAT_LOST);
    counters->values = take_array(c, n, counters->n_words * sizeof(uint64_t));
    counters->n = c->is_overrun ? 0 : (size_t)n;
}

static void parse_raw(struct cursor *c, struct record *r)
{
    uint32_t n = take_u32(c);
    r->sample.raw = take_array(c, n, 1);
    r->sample.n_raw_bytes = c->is_overrun ? 0 : n;
    if ((sizeof(n) + n) % 8 != 0) {
        c->is_overrun = true; /* the kernel pads, and counts that in */
    }
}

static void parse_stack(struct cursor *c, uint64_t mask, struct record *r)
{
    uint64_t abi = take_u64(c);
    if (abi != PERF_SAMPLE_REGS_ABI_NONE) {
        size_t n = (size_t)__builtin_popcountll(mask);
        r->sample.user_regs = take_array(c, n, sizeof(uint64_t));
        r->sample.n_user_regs = c->is_overrun ? 0 : n;
        r->sample.is_32_bit = abi == PERF_SAMPLE_REGS_ABI_32;
    }
    uint64_t room = take_u64(c);
    if (room == 0) {
        return;
    }
    r->sample.stack = take_array(c, room, 1);
    uint64_t n = take_u64(c);
    if (n > room || room % 8 != 0) {
        c->is_overrun = true;
    }
    r->sample.n_stack_bytes = c->is_overrun ? 0 : (size_t)n;
}

static void parse_sample(struct cursor *c, unsigned misc, const struct record_format *format,
                         struct record *r)
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
    if (format->has_counters) {
        parse_counters(c, format->read_format, &r->sample.counters);
    }
    uint64_t n = take_u64(c);
    r->sample.chain = take_array(c, n, sizeof(uint64_t));
    r->sample.n_chain = c->is_overrun ? 0 : (size_t)n;
    r->sample.is_kernel = (misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
    if (format->has_raw) {
        parse_raw(c, r);
    }
    if (format->has_stack) {
        parse_stack(c, format->user_regs, r);
    }
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

bool record_is_sample(const void *bytes, size_t size)
{
    const struct perf_event_header *head = bytes;
    return size >= sizeof(*head) && head->type == PERF_RECORD_SAMPLE;
}

uint64_t record_id(const void *bytes, size_t size)
{
    const uint64_t *words = bytes;
    if (size < sizeof(struct perf_event_header) + sizeof(struct trailer) || size % 8 != 0) {
        return 0;
    }
    return record_is_sample(bytes, size) ? words[1] : words[size / 8 - 1];
}

int record_parse(const void *bytes, size_t size, const struct record_format *format,
                 struct record *r)
{
    static const struct record_format plain = {0};
    struct perf_event_header head;
    memset(r, 0, sizeof(*r));
    if (size < sizeof(head)) {
        return STAX_ECORRUPT;
    }
    memcpy(&head, bytes, sizeof(head));
    r->bytes = bytes;
    if (head.size != size || size % 8 != 0) {
        return STAX_ECORRUPT;
    }
    struct cursor c = {(const char *)bytes + sizeof(head), (const char *)bytes + size, false};
    if (head.type == PERF_RECORD_SAMPLE) {
        parse_sample(&c, head.misc, format ? format : &plain, r);
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

/* A copy of no bytes is one word, 0; else there are the bytes, in whole words, and their number. */
size_t record_trimmed_size(const struct record *r, size_t size)
{
    if (r->kind != RECORD_SAMPLE || !r->sample.stack) {
        return size;
    }
    size_t n_words = (r->sample.n_stack_bytes + 7) / 8;
    return (size_t)(r->sample.stack - r->bytes) + (n_words ? (n_words + 1) * 8 : 0);
}

void record_trim(const struct record *r, size_t size, void *to)
{
    size_t trimmed = record_trimmed_size(r, size);
    if (trimmed == size) {
        memcpy(to, r->bytes, size);
        return;
    }
    size_t before = (size_t)(r->sample.stack - r->bytes);
    uint64_t n = r->sample.n_stack_bytes, room = (n + 7) & ~UINT64_C(7);
    struct perf_event_header head;
    memcpy(&head, r->bytes, sizeof(head));
    head.size = (uint16_t)trimmed;
    char *out = to;
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), r->bytes + sizeof(head), before - sizeof(head) - sizeof(room));
    memcpy(out + before - sizeof(room), &room, sizeof(room));
    memcpy(out + before, r->sample.stack, room);
    if (room) {
        memcpy(out + before + room, &n, sizeof(n));
    }
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
