/* fine.c - see fine.h. */
#include "ingest/fine.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MIN_SLOTS = 1024 };

void fine_free(struct fine *f)
{
    free(f->stacks);
    free(f->slots);
    free(f->counters);
    free(f->waits);
    map_free(&f->wait_index);
    *f = (struct fine){.n_counters = f->n_counters};
}

/* Ids are dense and ours, so that nobody outside can choose what collides. */
static uint32_t hash_of(uint32_t callsite, uint32_t frame, uint32_t utid)
{
    uint64_t h = (map_pair(callsite, frame) + utid * UINT64_C(0x9e3779b97f4a7c15)) *
                 UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)((h ^ h >> 29) * UINT64_C(0x94d049bb133111eb) >> 32);
}

static void grow(struct fine *f)
{
    size_t n_slots = f->n_slots ? f->n_slots * 2 : MIN_SLOTS;
    struct fine_slot *slots = mem_new(n_slots, sizeof(*slots));
    for (size_t i = 0; i < f->n_slots; i++) {
        if (f->slots[i].id) {
            size_t at = f->slots[i].hash & (n_slots - 1);
            while (slots[at].id) {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = f->slots[i];
        }
    }
    free(f->slots);
    f->slots = slots;
    f->n_slots = n_slots;
}

static struct fine_stack *add(struct fine *f)
{
    size_t n = f->n_counters;
    mem_reserve(&f->stacks, &f->cap_stacks, f->n_stacks + 1, sizeof(*f->stacks));
    if (n) {
        mem_reserve(&f->counters, &f->cap_counters, (f->n_stacks + 1) * n, sizeof(*f->counters));
        memset(f->counters + f->n_stacks * n, 0, n * sizeof(*f->counters));
    }
    return &f->stacks[f->n_stacks++];
}

struct fine_stack *fine_stack(struct fine *f, uint32_t callsite, uint32_t frame, uint32_t utid,
                              bool *is_new)
{
    if (f->n_stacks * 4 >= f->n_slots * 3) {
        grow(f);
    }
    uint32_t hash = hash_of(callsite, frame, utid);
    size_t at = hash & (f->n_slots - 1);
    for (; f->slots[at].id; at = (at + 1) & (f->n_slots - 1)) {
        if (f->slots[at].hash == hash) {
            struct fine_stack *s = &f->stacks[f->slots[at].id - 1];
            if (s->callsite == callsite && s->frame == frame && s->utid == utid) {
                *is_new = false;
                return s;
            }
        }
    }
    struct fine_stack *s = add(f);
    *s = (struct fine_stack){.callsite = callsite, .frame = frame, .utid = utid};
    f->slots[at] = (struct fine_slot){hash, (uint32_t)f->n_stacks};
    *is_new = true;
    return s;
}

struct fine_wait *fine_wait(struct fine *f, uint32_t callsite, uint32_t marker, bool *is_new)
{
    uint32_t *at = map_put(&f->wait_index, map_pair(callsite, marker));
    *is_new = *at == 0;
    if (*is_new) {
        mem_reserve(&f->waits, &f->cap_waits, f->n_waits + 1, sizeof(*f->waits));
        f->waits[f->n_waits] = (struct fine_wait){.callsite = callsite, .marker = marker};
        *at = (uint32_t)++f->n_waits;
    }
    return &f->waits[*at - 1];
}

size_t fine_bytes(const struct fine *f)
{
    return f->cap_stacks * sizeof(*f->stacks) + f->n_slots * sizeof(*f->slots) +
           f->cap_counters * sizeof(*f->counters) + f->cap_waits * sizeof(*f->waits) +
           map_bytes(&f->wait_index);
}
