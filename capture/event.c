/* event.c - writing and checking event batches; see event.h. */
#include "capture/event.h"

#include <string.h>

enum { TEXT_MAX = 4095 };

/* Room for a record of size bytes (rounded up to 8), zeroed, with its head filled in. */
static void *add(struct buf *batch, enum event_type type, unsigned flags, int64_t ts, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    struct event_head *head = (struct event_head *)buf_room(batch, size);
    memset(head, 0, size);
    head->type = (uint16_t)type;
    head->flags = (uint16_t)flags;
    head->size = (uint32_t)size;
    head->ts = ts;
    buf_advance(batch, size);
    return head;
}

static uint32_t cut(size_t len)
{
    return len > TEXT_MAX ? TEXT_MAX : (uint32_t)len;
}

void event_add_process(struct buf *batch, enum event_type type, int64_t ts, int32_t pid,
                       int32_t parent_pid, const char *name, size_t name_len, const char *cmdline,
                       size_t cmdline_len)
{
    uint32_t n_name = cut(name_len), n_cmdline = cut(cmdline_len);
    struct event_process *p = add(batch, type, 0, ts, sizeof(*p) + n_name + n_cmdline);
    p->pid = pid;
    p->parent_pid = parent_pid;
    p->name_len = n_name;
    p->cmdline_len = n_cmdline;
    if (n_name) {
        memcpy(p->text, name, n_name);
    }
    if (n_cmdline) {
        memcpy(p->text + n_name, cmdline, n_cmdline);
    }
}

void event_add_thread(struct buf *batch, enum event_type type, int64_t ts, int32_t pid, int32_t tid,
                      const char *name, size_t name_len)
{
    uint32_t n_name = cut(name_len);
    struct event_thread *t = add(batch, type, 0, ts, sizeof(*t) + n_name);
    t->pid = pid;
    t->tid = tid;
    t->name_len = n_name;
    if (n_name) {
        memcpy(t->name, name, n_name);
    }
}

void event_add_mapping(struct buf *batch, const struct event_mapping *body, const char *path,
                       size_t path_len)
{
    uint32_t n_path = cut(path_len);
    struct event_mapping *m =
        add(batch, EVENT_MAPPING, body->head.flags, body->head.ts, sizeof(*m) + n_path);
    struct event_head head = m->head;
    *m = *body;
    m->head = head;
    m->path_len = n_path;
    if (n_path) {
        memcpy(m->path, path, n_path);
    }
}

uint64_t *event_add_sample(struct buf *batch, const struct event_sample *body)
{
    size_t n_words = (size_t)body->n_addresses + body->n_counters;
    struct event_sample *s = add(batch, EVENT_SAMPLE, body->head.flags, body->head.ts,
                                 sizeof(*s) + n_words * sizeof(uint64_t));
    struct event_head head = s->head;
    *s = *body;
    s->head = head;
    return s->addresses;
}

uint64_t *event_add_off_cpu(struct buf *batch, enum event_type type,
                            const struct event_off_cpu *body)
{
    struct event_off_cpu *o = add(batch, type, body->head.flags, body->head.ts,
                                  sizeof(*o) + (size_t)body->n_addresses * sizeof(uint64_t));
    struct event_head head = o->head;
    *o = *body;
    o->head = head;
    return o->addresses;
}

void event_add_off_cpu_folded(struct buf *batch, const struct event_off_cpu_folded *body)
{
    struct event_off_cpu_folded *o =
        add(batch, EVENT_OFF_CPU_FOLDED, body->head.flags, body->head.ts, sizeof(*o));
    struct event_head head = o->head;
    *o = *body;
    o->head = head;
}

uint64_t *event_add_wakeup(struct buf *batch, const struct event_wakeup *body)
{
    struct event_wakeup *w = add(batch, EVENT_WAKEUP, body->head.flags, body->head.ts,
                                 sizeof(*w) + (size_t)body->n_addresses * sizeof(uint64_t));
    struct event_head head = w->head;
    *w = *body;
    w->head = head;
    return w->addresses;
}

void event_add_wakeups_folded(struct buf *batch, const struct event_wakeups_folded *body)
{
    struct event_wakeups_folded *w =
        add(batch, EVENT_WAKEUPS_FOLDED, body->head.flags, body->head.ts, sizeof(*w));
    struct event_head head = w->head;
    *w = *body;
    w->head = head;
}

void event_add_thread_time(struct buf *batch, const struct event_thread_time *body)
{
    struct event_thread_time *t =
        add(batch, EVENT_THREAD_TIME, body->head.flags, body->head.ts, sizeof(*t));
    struct event_head head = t->head;
    *t = *body;
    t->head = head;
}

void event_add_counter_total(struct buf *batch, const struct event_counter_total *body)
{
    struct event_counter_total *t =
        add(batch, EVENT_COUNTER_TOTAL, body->head.flags, body->head.ts, sizeof(*t));
    struct event_head head = t->head;
    *t = *body;
    t->head = head;
}

void event_add_loss(struct buf *batch, int64_t ts, uint32_t cpu, enum event_loss_kind kind,
                    uint64_t n)
{
    struct event_loss *l = add(batch, EVENT_LOSS, 0, ts, sizeof(*l));
    l->cpu = cpu;
    l->kind = kind;
    l->n = n;
}

void event_add_end(struct buf *batch, int64_t ts, enum event_end_reason reason)
{
    struct event_end *end = add(batch, EVENT_END, 0, ts, sizeof(*end));
    end->reason = reason;
}

static bool is_off_state(unsigned state)
{
    return state == EVENT_STATE_RUNNABLE || state == EVENT_STATE_BLOCKED;
}

/* Bytes the body of an event about waits says it needs, SIZE_MAX if it contradicts itself. */
static size_t needed_for_wait(const struct event_head *head, size_t size)
{
    if (head->type == EVENT_OFF_CPU || head->type == EVENT_OPEN_WAIT) {
        const struct event_off_cpu *o = (const void *)head;
        if (size < sizeof(*o) || !is_off_state(o->state) || o->reason >= EVENT_N_REASONS ||
            o->reason_from >= EVENT_N_REASON_SOURCES || o->stack_from >= EVENT_N_STACK_SOURCES ||
            o->n_kernel > o->n_addresses || o->stack_end >= EVENT_N_STACK_ENDS || o->start_ts < 0 ||
            o->dur_ns < 0 || o->dur_ns > INT64_MAX - o->start_ts) {
            return SIZE_MAX;
        }
        return sizeof(*o) + (size_t)o->n_addresses * sizeof(uint64_t);
    }
    if (head->type == EVENT_OFF_CPU_FOLDED) {
        const struct event_off_cpu_folded *o = (const void *)head;
        bool is_good = size >= sizeof(*o) && is_off_state(o->state) &&
                       o->reason < EVENT_N_REASONS && o->dur_ns >= 0 && o->guessed_ns >= 0 &&
                       o->guessed_ns <= o->dur_ns;
        return is_good ? sizeof(*o) : SIZE_MAX;
    }
    const struct event_thread_time *t = (const void *)head;
    bool is_good =
        size >= sizeof(*t) && t->open_state < EVENT_N_STATES && t->open_reason < EVENT_N_REASONS;
    return is_good ? sizeof(*t) : SIZE_MAX;
}

/* The same for one about wakeups. */
static size_t needed_for_wakeup(const struct event_head *head, size_t size)
{
    if (head->type == EVENT_WAKEUP) {
        const struct event_wakeup *w = (const void *)head;
        if (size < sizeof(*w) || w->waker >= EVENT_N_WAKERS || w->stack_end >= EVENT_N_STACK_ENDS ||
            w->n_kernel > w->n_addresses || w->wake_ts < 0 || w->dur_ns < 0 ||
            w->dur_ns > w->wake_ts) {
            return SIZE_MAX;
        }
        return sizeof(*w) + (size_t)w->n_addresses * sizeof(uint64_t);
    }
    const struct event_wakeups_folded *w = (const void *)head;
    return size >= sizeof(*w) && w->waker < EVENT_N_WAKERS && w->dur_ns >= 0 ? sizeof(*w)
                                                                             : SIZE_MAX;
}

/* Bytes the body of a record says it needs, SIZE_MAX if it contradicts itself. */
static size_t needed(const struct event_head *head, size_t size)
{
    switch (head->type) {
    case EVENT_PROCESS_START:
    case EVENT_PROCESS_END:
    case EVENT_EXEC: {
        const struct event_process *p = (const void *)head;
        return size < sizeof(*p) ? SIZE_MAX : sizeof(*p) + (size_t)p->name_len + p->cmdline_len;
    }
    case EVENT_THREAD_START:
    case EVENT_THREAD_END:
    case EVENT_THREAD_NAME: {
        const struct event_thread *t = (const void *)head;
        return size < sizeof(*t) ? SIZE_MAX : sizeof(*t) + (size_t)t->name_len;
    }
    case EVENT_MAPPING: {
        const struct event_mapping *m = (const void *)head;
        return size < sizeof(*m) ? SIZE_MAX : sizeof(*m) + (size_t)m->path_len;
    }
    case EVENT_SAMPLE: {
        const struct event_sample *s = (const void *)head;
        if (size < sizeof(*s) || s->n_addresses < 1 || s->n_kernel > s->n_addresses ||
            s->n_counters > EVENT_COUNTERS_MAX || s->stack_end >= EVENT_N_STACK_ENDS) {
            return SIZE_MAX;
        }
        return sizeof(*s) + ((size_t)s->n_addresses + s->n_counters) * sizeof(uint64_t);
    }
    case EVENT_LOSS: {
        const struct event_loss *l = (const void *)head;
        return size < sizeof(*l) || l->kind >= EVENT_LOSS_N_KINDS ? SIZE_MAX : sizeof(*l);
    }
    case EVENT_END: {
        const struct event_end *end = (const void *)head;
        return size < sizeof(*end) || end->reason >= EVENT_END_N_REASONS ? SIZE_MAX : sizeof(*end);
    }
    case EVENT_COUNTER_TOTAL: {
        const struct event_counter_total *t = (const void *)head;
        return size < sizeof(*t) || t->slot >= EVENT_COUNTERS_MAX ? SIZE_MAX : sizeof(*t);
    }
    case EVENT_OFF_CPU:
    case EVENT_OPEN_WAIT:
    case EVENT_OFF_CPU_FOLDED:
    case EVENT_THREAD_TIME:
        return needed_for_wait(head, size);
    case EVENT_WAKEUP:
    case EVENT_WAKEUPS_FOLDED:
        return needed_for_wakeup(head, size);
    default:
        return SIZE_MAX;
    }
}

const struct event_head *event_next(const void *batch, size_t size, size_t *at, bool *bad)
{
    *bad = false;
    if (*at >= size) {
        return NULL;
    }
    const struct event_head *head = (const void *)((const char *)batch + *at);
    if (size - *at < sizeof(*head) || head->size > size - *at || head->size % 8 != 0 ||
        head->size < sizeof(*head) || needed(head, head->size) > head->size) {
        *bad = true;
        return NULL;
    }
    *at += head->size;
    return head;
}
